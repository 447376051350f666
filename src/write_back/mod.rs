//! A value into a YAML text, by editing only what differs.
//!
//! ```text
//! text ─ tree ─▶ places ─ differ ─▶ patches ─▶ text ─ guard ─▶ the new text, or why not
//! ```
//!
//! Comments, blank lines, order, quoting, indentation, anchors and line ends of everything else stay byte for byte.
//! Every editor that was tried writes wrong values somewhere, this one included: so the result is read again and
//! compared, and whatever is not exactly what was meant is refused (`guard`).

mod differ;
mod flow;
mod guard;
mod layout;
mod lists;
mod maps;
mod scalar;
mod tree;

use serde_json::{Map, Value as Json};

use crate::desired;
use differ::Differ;
use tree::Tree;

/// Why a text is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The text cannot be edited there without changing something else.
    #[error("line {line}: {why}")]
    At {
        /// The line, counted from one.
        line: usize,
        /// What stands in the way.
        why: String,
    },
    /// The text is no YAML document that can be edited.
    #[error("{0}")]
    Unreadable(String),
    /// The edited text would not have been what was meant.
    #[error("the edit would not have been exact ({0}), so it was not made")]
    Guard(&'static str),
}

/// One change of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The keys from the root to the place.
    pub path: Vec<Box<str>>,
    /// What is to stand there; `None` takes the entry out.
    pub value: Option<Json>,
}

/// Makes edits in a text.
///
/// # Guarantees
/// The result reads as the text did, but for the edits; every byte that they do not concern is where it was. Edits
/// that change nothing return the same bytes.
///
/// # Errors
/// Why the text is better left alone.
pub fn write_back(text: &str, edits: &[Edit]) -> Result<String, Refused> {
    let before = value_of(text)?;
    let mut wanted = before.clone();
    for edit in edits {
        put(&mut wanted, &edit.path, edit.value.as_ref());
    }
    if wanted == before {
        return Ok(text.to_owned());
    }
    let tree = Tree::of(text)?;
    let patches = Differ::new(&tree).patches(&before, &wanted)?;
    let after = differ::apply(text, &patches)?;
    guard::check(&tree, &patches, &after, &wanted)?;
    Ok(after)
}

/// Returns the value of a text, typed as the orchestrator's YAML reader types it.
fn value_of(text: &str) -> Result<Json, Refused> {
    desired::value_of(text).map_err(Refused::Unreadable)
}

/// Puts a value at a path, with the mappings that lead there; or takes an entry out.
fn put(into: &mut Json, path: &[Box<str>], value: Option<&Json>) {
    let Some((first, rest)) = path.split_first() else {
        *into = value.cloned().unwrap_or_default();
        return;
    };
    if !into.is_object() {
        if value.is_none() {
            return;
        }
        *into = Json::Object(Map::new());
    }
    let Json::Object(entries) = into else { return };
    match (rest, value) {
        ([], None) => {
            entries.shift_remove(&**first);
        }
        (rest, None) => {
            if let Some(inner) = entries.get_mut(&**first) {
                put(inner, rest, None);
            }
        }
        (rest, value) => put(entries.entry(&**first).or_insert(Json::Null), rest, value),
    }
}
