//! How a document is laid out, and new parts of it laid out alike.

use serde_json::Value as Json;

use super::maps::key;
use super::scalar;
use super::tree::{Entry, Kind, Node, Tree};

/// A list up to this length is written in brackets where the document has no list to go by.
const SHORT_LIST: usize = 60;

/// What a document does mostly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) eol: &'static str,
    /// How much deeper a nested mapping stands.
    pub(super) step: usize,
    /// How much deeper than its key a list's dashes stand.
    pub(super) dash: usize,
    /// Whether lists stand in brackets.
    flow_lists: bool,
    /// Whether the document is JSON, so that everything is quoted.
    pub(super) json: bool,
}

#[derive(Default)]
struct Votes {
    steps: [usize; 9],
    dashes: [usize; 9],
    flow: usize,
    block: usize,
}

impl Layout {
    pub(super) fn of(tree: &Tree<'_>) -> Self {
        let mut votes = Votes::default();
        votes.count(tree, &tree.root);
        let most = |votes: &[usize; 9], default| {
            let (at, count) =
                votes.iter().enumerate().rev().max_by_key(|(_, count)| **count).unwrap_or((default, &0));
            if *count == 0 { default } else { at }
        };
        Self {
            eol: if tree.text.contains("\r\n") { "\r\n" } else { "\n" },
            step: most(&votes.steps, 2),
            dash: most(&votes.dashes, 0),
            flow_lists: votes.flow >= votes.block,
            json: is_json(&tree.root),
        }
    }

    /// Whether a value is written on lines of its own, below its key.
    pub(super) fn stands_below(&self, value: &Json) -> bool {
        match value {
            Json::Object(entries) => !entries.is_empty(),
            Json::Array(items) => !items.is_empty() && !self.in_brackets(value),
            _ => false,
        }
    }

    fn in_brackets(&self, list: &Json) -> bool {
        self.flow_lists && scalar::inline(list, scalar::Style::default()).chars().count() <= SHORT_LIST
    }

    /// The lines of a value below a key that stands at `column`.
    pub(super) fn below(&self, value: &Json, column: usize) -> Vec<String> {
        match value {
            Json::Object(entries) => entries
                .iter()
                .flat_map(|(name, value)| self.entry(&key(name, false), value, column + self.step, self.step))
                .collect(),
            Json::Array(items) => {
                let indent = " ".repeat(column + self.dash);
                let style = scalar::Style::default();
                items.iter().map(|item| format!("{indent}- {}", scalar::inline(item, style))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The lines of an entry whose key stands at `column`.
    pub(super) fn entry(&self, key: &str, value: &Json, column: usize, step: usize) -> Vec<String> {
        let indent = " ".repeat(column);
        if !self.stands_below(value) {
            return vec![format!("{indent}{key}: {}", scalar::inline(value, scalar::Style::default()))];
        }
        let mut lines = vec![format!("{indent}{key}:")];
        lines.extend(Self { step, ..*self }.below(value, column));
        lines
    }
}

fn is_json(root: &Node) -> bool {
    matches!(&root.kind, Kind::Map { flow: true, entries } if entries.iter().all(|entry| entry.quoted))
}

impl Votes {
    fn count(&mut self, tree: &Tree<'_>, node: &Node) {
        match &node.kind {
            Kind::Map { entries, .. } => {
                for entry in entries {
                    self.entry(tree, entry);
                }
            }
            Kind::List { items, .. } => items.iter().for_each(|item| self.count(tree, item)),
            Kind::Scalar(_) | Kind::Alias => {}
        }
    }

    fn entry(&mut self, tree: &Tree<'_>, entry: &Entry) {
        let value = &entry.value;
        if value.is_block() && tree.begins_line(value.range.start) {
            let deeper = tree.column(value.range.start).checked_sub(tree.column(entry.key.start));
            let votes = match value.kind {
                Kind::Map { .. } => &mut self.steps,
                _ => &mut self.dashes,
            };
            if let Some(vote) = deeper.and_then(|deeper| votes.get_mut(deeper)) {
                *vote += 1;
            }
        }
        match &value.kind {
            Kind::List { flow: true, items } if !items.is_empty() => self.flow += 1,
            Kind::List { flow: false, .. } => self.block += 1,
            _ => {}
        }
        self.count(tree, value);
    }
}
