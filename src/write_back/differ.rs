//! What differs between a document and the wanted value, as patches of its text.

use std::ops::Range;

use serde_json::Value as Json;

use super::Refused;
use super::layout::Layout;
use super::scalar;
use super::tree::{Kind, Node, Tree};

/// Text for a range of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Directly behind the colon or the dash.
    pub(super) after: usize,
    /// The column of the key or of the dash; none at the root.
    pub(super) column: Option<usize>,
    /// Whether it stands in braces or brackets.
    pub(super) flow: bool,
    /// Whether it is an item of a list.
    pub(super) item: bool,
}

pub(super) struct Differ<'t> {
    pub(super) tree: &'t Tree<'t>,
    pub(super) layout: Layout,
    patches: Vec<Patch>,
}

impl<'t> Differ<'t> {
    pub(super) fn new(tree: &'t Tree<'t>) -> Self {
        Self { tree, layout: Layout::of(tree), patches: Vec::new() }
    }

    pub(super) fn patches(mut self, old: &Json, new: &Json) -> Result<Vec<Patch>, Refused> {
        let tree = self.tree;
        let place = Place { after: tree.root.range.start, column: None, flow: false, item: false };
        self.node(&tree.root, place, old, new)?;
        self.patches.sort_by_key(|patch| (patch.range.start, patch.range.end));
        Ok(self.patches)
    }

    pub(super) fn patch(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.patches.push(Patch { range, text: text.into() });
    }

    /// Turns a node from one value into another.
    pub(super) fn node(&mut self, node: &Node, place: Place, old: &Json, new: &Json) -> Result<(), Refused> {
        if old == new {
            return Ok(());
        }
        self.stands_alone(node)?;
        match (&node.kind, old, new) {
            (Kind::Map { flow, entries }, Json::Object(before), Json::Object(after)) if !after.is_empty() => {
                if entries.is_empty() {
                    return self.replace(node, place, new);
                }
                if *flow {
                    self.flow_map(node, entries, before, after)
                } else {
                    self.block_map(node, place, entries, before, after)
                }
            }
            (Kind::List { flow, items }, Json::Array(before), Json::Array(after))
                if !after.is_empty() && !items.is_empty() =>
            {
                self.list(node, *flow, items, before, after)
            }
            (Kind::Alias, Json::Object(_), _) => Err(self
                .tree
                .refuse(node.range.start, "the value is an alias of another one; write it out first")),
            _ => self.replace(node, place, new),
        }
    }

    /// A value that others take over by its anchor cannot change for one of them alone.
    fn stands_alone(&self, node: &Node) -> Result<(), Refused> {
        if node.tagged {
            return Err(self.tree.refuse(node.range.start, "the value has a tag; remove the tag first"));
        }
        match self.tree.uses.get(&node.anchor).filter(|_| node.anchor > 0) {
            Some(uses) => Err(self.shared(node.range.start, uses)),
            None => Ok(()),
        }
    }

    /// What leaves must not be the anchor of something that stays.
    pub(super) fn may_leave(&self, node: &Node, leaves: &Range<usize>) -> Result<(), Refused> {
        for anchor in node.anchors() {
            let uses: Vec<usize> = self.tree.uses.get(&anchor).cloned().unwrap_or_default();
            let staying: Vec<usize> = uses.into_iter().filter(|at| !leaves.contains(at)).collect();
            if !staying.is_empty() {
                return Err(self.shared(node.range.start, &staying));
            }
        }
        Ok(())
    }

    fn shared(&self, at: usize, uses: &[usize]) -> Refused {
        let lines: Vec<String> = uses.iter().map(|at| self.tree.line(*at).to_string()).collect();
        let plural = if lines.len() == 1 { "line" } else { "lines" };
        let why = format!("the value is used by its anchor on {plural} {}, too", lines.join(", "));
        self.tree.refuse(at, why)
    }

    /// Puts another kind of value where a node stands.
    pub(super) fn replace(&mut self, node: &Node, place: Place, new: &Json) -> Result<(), Refused> {
        self.may_leave(node, &node.range)?;
        let below = !place.flow && self.layout.stands_below(new);
        if (below || node.is_block()) && node.anchor > 0 {
            return Err(self
                .tree
                .refuse(node.range.start, "the value has an anchor; remove the anchor first"));
        }
        match (below, place.column) {
            (true, Some(column)) if !place.item => self.put_below(node, place.after, column, new),
            (_, None) => Err(self.tree.refuse(node.range.start, "the document holds no sections")),
            _ => self.put_inline(node, place, new),
        }
    }

    /// The new value on lines of its own, below the key.
    fn put_below(&mut self, node: &Node, after: usize, column: usize, new: &Json) -> Result<(), Refused> {
        if node.is_block() {
            return Err(self.tree.refuse(node.range.start, "the value would change its kind"));
        }
        let lines = self.layout.below(new, column);
        self.patch(after..node.range.end.max(after), "");
        self.insert_lines(node.range.end.max(after), &lines);
        Ok(())
    }

    fn put_inline(&mut self, node: &Node, place: Place, new: &Json) -> Result<(), Refused> {
        let tree = self.tree;
        if node.is_block() {
            if place.item {
                return Err(tree.refuse(node.range.start, "the value would change its kind"));
            }
            // What stands behind the key stays there: a comment, for instance.
            let text = scalar::inline(new, scalar::Style::default());
            self.patch(place.after..place.after, format!(" {text}"));
            let from = tree.line_end(place.after);
            let to = tree.line_end(node.range.end);
            self.patch(from..to.max(from), "");
            return Ok(());
        }
        let style = scalar::Style { flow: place.flow, old: self.old_style(node), json: self.layout.json };
        let text = match (&node.kind, new) {
            (Kind::Scalar(granit_parser::ScalarStyle::Literal), Json::String(text)) if !place.flow => {
                let indent = place.column.map_or(0, |column| column + self.layout.step);
                scalar::literal(text, indent, self.layout.eol).unwrap_or_else(|| scalar::inline(new, style))
            }
            _ => scalar::inline(new, style),
        };
        // An empty value begins directly behind the colon; what stood there is not there any more.
        let space = if node.range.is_empty() { " " } else { "" };
        self.patch(node.range.clone(), format!("{space}{text}"));
        Ok(())
    }

    fn old_style(&self, node: &Node) -> Option<char> {
        self.tree.text[node.range.clone()].chars().next().filter(|first| matches!(first, '"' | '\''))
    }

    /// Inserts lines below the line at a place.
    pub(super) fn insert_lines(&mut self, at: usize, lines: &[String]) {
        let (tree, eol) = (self.tree, self.layout.eol);
        let next = tree.next_line(at);
        if next == tree.text.len() && !tree.text.ends_with('\n') {
            let text: String = lines.iter().map(|line| format!("{eol}{line}")).collect();
            self.patch(next..next, text);
        } else {
            let text: String = lines.iter().map(|line| format!("{line}{eol}")).collect();
            self.patch(next..next, text);
        }
    }

    /// Takes whole lines out; the text goes on ending as it did.
    pub(super) fn remove_lines(&mut self, lines: Range<usize>) {
        let text = self.tree.text;
        let mut start = lines.start;
        if lines.end == text.len() && !text.ends_with('\n') {
            start = text[..start].strip_suffix('\n').map_or(start, str::len);
            start = text[..start].strip_suffix('\r').map_or(start, str::len);
        }
        self.patch(start..lines.end, "");
    }
}

/// Applies patches, which are sorted.
pub(super) fn apply(text: &str, patches: &[Patch]) -> Result<String, Refused> {
    let mut result = String::with_capacity(text.len() + 256);
    let mut kept = 0;
    for patch in patches {
        if patch.range.start < kept {
            return Err(Refused::Guard("two edits at one place"));
        }
        result.push_str(&text[kept..patch.range.start]);
        result.push_str(&patch.text);
        kept = patch.range.end;
    }
    result.push_str(&text[kept..]);
    Ok(result)
}
