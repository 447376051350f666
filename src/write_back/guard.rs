//! The last word: an edited text is taken only when it is exactly what was meant.

use serde_json::Value as Json;

use super::Refused;
use super::differ::Patch;
use super::tree::{Entry, Kind, Node, Tree};

/// Checks an edited text against the one before.
///
/// # Errors
/// The first check that failed.
pub(super) fn check(before: &Tree<'_>, patches: &[Patch], after: &str, wanted: &Json) -> Result<(), Refused> {
    check_keys(before, &before.root, patches)?;
    if let (Kind::Map { entries, .. }, Json::Object(read)) =
        (&before.root.kind, super::value_of(before.text)?)
    {
        let is_read = |entry: &Entry| entry.name.as_ref().is_some_and(|name| read.contains_key(name));
        let merges = entries.iter().any(Entry::is_merge);
        if !merges && (entries.len() != read.len() || !entries.iter().all(is_read)) {
            return Err(Refused::Guard("two programs read different keys in it"));
        }
    }
    let found = super::value_of(after).map_err(|_| Refused::Guard("the result is no YAML"))?;
    if found != *wanted {
        return Err(Refused::Guard("another value would be read"));
    }
    if line_ends(before.text) != line_ends(after) {
        return Err(Refused::Guard("the line ends would change"));
    }
    if before.text.ends_with('\n') != after.ends_with('\n') {
        return Err(Refused::Guard("the end of the file would change"));
    }
    let tree = Tree::of(after)?;
    let gone = |at: usize| patches.iter().any(|patch| patch.range.contains(&at));
    let kept = before
        .comments
        .iter()
        .filter(|comment| !gone(comment.start))
        .map(|at| before.text[at.clone()].trim());
    if !kept.eq(tree.comments.iter().map(|at| after[at.clone()].trim())) {
        return Err(Refused::Guard("a comment would change"));
    }
    Ok(())
}

/// Which of the two kinds of line end a text has.
fn line_ends(text: &str) -> (bool, bool) {
    let with_return = text.matches("\r\n").count();
    (with_return > 0, text.matches('\n').count() > with_return)
}

fn check_keys(tree: &Tree<'_>, node: &Node, patches: &[Patch]) -> Result<(), Refused> {
    match &node.kind {
        Kind::Map { entries, .. } => {
            let mut seen = std::collections::HashSet::new();
            for entry in entries {
                if let Some(name) = entry.name.as_ref().filter(|_| !entry.is_merge())
                    && !seen.insert(name)
                {
                    return Err(tree.refuse(entry.key.start, format!("`{name}` stands here twice")));
                }
                // JSON has no such key, so that the result could not be compared.
                let key = tree.text[entry.key.clone()].trim();
                if matches!(key, "~" | "null" | "Null" | "NULL") {
                    return Err(tree.refuse(entry.key.start, "a key is null".to_owned()));
                }
                let is_written_anew = patches.iter().any(|patch| patch.range.contains(&entry.key.start));
                let key = key.trim_start_matches('?').trim_start();
                if is_written_anew && !super::value_of(key)?.is_string() {
                    return Err(tree.refuse(entry.key.start, "a key is not a text".to_owned()));
                }
                check_keys(tree, &entry.value, patches)?;
            }
            Ok(())
        }
        Kind::List { items, .. } => items.iter().try_for_each(|item| check_keys(tree, item, patches)),
        Kind::Scalar(_) | Kind::Alias => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::write_back::{Edit, write_back};

    #[test]
    fn a_key_that_is_not_a_text_is_not_written_anew() {
        let edits = [Edit { path: vec!["a".into(), "x".into()], value: Some("v".into()) }];
        let refused = write_back("a: {\n ?1,  # one\n  }\n", &edits).expect_err("written anew");
        assert!(refused.to_string().contains("a key is not a text"), "{refused}");
        let beside = write_back("a:\n  x: w\nb: {1: y}\n", &edits);
        assert_eq!(beside.as_deref(), Ok("a:\n  x: v\nb: {1: y}\n"));
    }

    #[test]
    fn a_text_that_two_programs_read_differently_is_left_alone() {
        let edits = [Edit { path: vec!["a".into(), "c".into()], value: Some("x".into()) }];
        let refused = write_back("&x:\na:\n  c: 1\n", &edits).expect_err("an anchor, or a key that is null");
        assert!(refused.to_string().contains("two programs"), "{refused}");
    }

    #[test]
    fn a_text_with_a_null_key_is_left_alone_and_an_empty_one_is_a_key() {
        let edits = [Edit { path: vec!["a".into(), "b".into()], value: Some("x".into()) }];
        for text in ["\n? ", "a:\n  c: 1\n~: 1\n", "a:\n  null: 1\n", "\u{feff}?"] {
            let refused = write_back(text, &edits).expect_err(text);
            assert!(refused.to_string().contains("a key is null"), "{text:?}: {refused}");
        }
        assert_eq!(
            write_back("\"\": 1\na:\n  c: 1\n", &edits).as_deref(),
            Ok("\"\": 1\na:\n  c: 1\n  b: x\n")
        );
    }
}
