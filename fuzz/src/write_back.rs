//! An edited text reads as it was meant, for the orchestrator's own reader too, and is otherwise as it was.
//!
//! An input is written as the cases in `tests/write_back_cases/` are: a text, `>>> edit`, and a line for every edit.

use oxide_operator::desired::{places_of, value_of};
use oxide_operator::write_back::{Edit, write_back};
use serde_json::{Map, Value as Json, json};

use super::python;
use super::world::in_proportion;

const EDITS: &str = ">>> edit\n";

pub(crate) fn target(data: &[u8]) {
    let Ok(case) = std::str::from_utf8(data) else { return };
    let (before, edits) = match case.split_once(EDITS) {
        Some((before, edits)) => (before, edits.lines().filter_map(edit).collect()),
        None => (case, vec![Edit { path: vec!["a".into(), "b".into()], value: Some(json!("x")) }]),
    };
    let Ok(after) = in_proportion(data.len(), "editing", || write_back(before, &edits)) else { return };
    let mut meant = value_of(before).expect("it was read");
    for edit in &edits {
        put(&mut meant, &edit.path, edit.value.as_ref());
    }
    assert_eq!(value_of(&after).as_ref(), Ok(&meant), "another value is read:\n{after}");
    assert_eq!(write_back(&after, &edits).as_ref(), Ok(&after), "what is done is done again:\n{after}");
    if let [edit] = &edits[..] {
        check_surroundings(before, &after, edit);
    }
    python::check_edits(before, &after, &edits);
}

fn edit(line: &str) -> Option<Edit> {
    let (path, value) = match line.split_once(" = ") {
        Some((path, value)) => (path, Some(serde_json::from_str(value).ok()?)),
        None => (line.strip_suffix(" -")?, None),
    };
    Some(Edit { path: path.split('/').map(Box::from).collect(), value })
}

/// What an edit means, said once more.
fn put(into: &mut Json, path: &[Box<str>], value: Option<&Json>) {
    let Some((first, rest)) = path.split_first() else {
        *into = value.cloned().unwrap_or_default();
        return;
    };
    if value.is_none() && into.get(&**first).is_none() {
        return;
    }
    if !into.is_object() {
        *into = Json::Object(Map::new());
    }
    let entries = into.as_object_mut().expect("it is one now");
    match value {
        None if rest.is_empty() => drop(entries.shift_remove(&**first)),
        value => put(entries.entry(&**first).or_insert(Json::Null), rest, value),
    }
}

/// An edit within one top-level entry leaves every line before and behind that entry.
fn check_surroundings(before: &str, after: &str, edit: &Edit) {
    let Some(first) = edit.path.first() else { return };
    let Ok(Json::Object(entries)) = value_of(before) else { return };
    let places = places_of("before", before, &entries.keys().cloned().collect());
    let Some(at) = places.get(&**first) else { return };
    let next = places.values().map(|other| other.line).filter(|line| *line > at.line).min();
    let lines: Vec<&str> = before.split_inclusive('\n').collect();
    let mut head = &lines[..at.line - 1];
    if edit.value.is_none() {
        // What stands right above an entry goes with it.
        let apart = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
        head = &head[..head.iter().rposition(|line| !apart(line)).map_or(0, |at| at + 1)];
    }
    let head = head.concat();
    assert!(after.starts_with(&head), "a line before `{first}` was changed:\n{after}");
    let tail = next.map(|line| lines[line - 1..].concat()).unwrap_or_default();
    assert!(after.ends_with(&tail), "a line behind `{first}` was changed:\n{after}");
}
