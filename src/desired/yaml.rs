//! YAML text to nodes, one entry at a time, with the byte range of everything.
//!
//! ```text
//! text ─ scan, scalars ─▶ tokens ─ events ─▶ structure ─ Reader, tags ─▶ nodes
//! ```
//!
//! The orchestrator reads the same file with `PyYAML`, so this reads by `PyYAML`'s rules: what it refuses is refused
//! here, and every value is the one that it sees. `tests/interop.rs` compares the two.
//!
//! A file of 100 000 services is never held as a tree: the caller walks the top-level mapping and asks for
//! one entry after the other. Aliases are resolved from the anchored nodes, within a budget.

mod cursor;
mod error;
mod events;
mod quotes;
mod scalars;
mod scan;
mod tags;
mod token;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

pub(super) use error::{Result, SyntaxError};
use events::{Event, Events, Properties};

use super::escape::unreadable_character;
use super::mask;

/// How many bytes aliases may add in all before the file is refused as an alias bomb: so many, and so many times what
/// the file has.
const MAX_ALIASED: (usize, usize) = (4 << 20, 4);

/// What a value counts beside its text, in bytes: an alias to many empty ones is a bomb, too.
const VALUE_BYTES: usize = 16;

/// How many values one object or one section that is not managed may have, aliases expanded: these are held in memory
/// as a tree. A service has some thirty.
const MAX_VALUES: usize = 20_000;

/// How deep values may be nested.
const MAX_DEPTH: usize = 200;

/// A value with its place in the text.
#[derive(Clone, Debug)]
pub(super) struct Node<'s> {
    pub(super) span: Range<usize>,
    pub(super) content: Content<'s>,
}

#[derive(Clone, Debug)]
pub(super) enum Content<'s> {
    Scalar {
        text: Cow<'s, str>,
        plain: bool,
    },
    /// Shared with the aliases that stand for it.
    Sequence(Rc<Vec<Node<'s>>>),
    /// Shared with the aliases that stand for it.
    Mapping(Rc<Vec<(Node<'s>, Node<'s>)>>),
}

impl<'s> Node<'s> {
    /// Returns the value of a mapping's key.
    pub(super) fn get(&self, name: &str) -> Option<&Node<'s>> {
        let Content::Mapping(entries) = &self.content else { return None };
        entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
    }

    /// Returns the text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// How much was read, aliases expanded.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    values: usize,
    bytes: usize,
}

impl Count {
    fn add(&mut self, values: usize, bytes: usize) {
        self.values = self.values.saturating_add(values);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn since(self, before: Self) -> Self {
        Self { values: self.values - before.values, bytes: self.bytes - before.bytes }
    }
}

/// What the next value is, seen before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A mapping that can be entered.
    Mapping,
    /// Anything else, or a mapping that is anchored and so must be read whole.
    Other,
    /// The end of the document or of the mapping that was entered.
    End,
}

/// Reads one document from a text.
pub(super) struct Reader<'s> {
    text: &'s str,
    events: Events<'s>,
    /// The values that have an anchor, and what they count; none while such a value is being read.
    anchors: HashMap<&'s str, Option<(Node<'s>, Count)>>,
    /// What all values that were read count together.
    counted: Count,
    /// What they counted when the last object or section began.
    before: Count,
    /// How many bytes of it aliases added.
    aliased: usize,
    max_values: usize,
    depth: usize,
}

impl<'s> Reader<'s> {
    pub(super) fn new(text: &'s str) -> Self {
        Self {
            text,
            events: Events::new(text),
            anchors: HashMap::new(),
            counted: Count::default(),
            before: Count::default(),
            aliased: 0,
            max_values: usize::MAX,
            depth: 0,
        }
    }

    /// A reader that takes no object and no section with more than [`MAX_VALUES`] values.
    pub(super) fn limited(text: &'s str) -> Self {
        Self { max_values: MAX_VALUES, ..Self::new(text) }
    }

    /// Moves to the root value of the only document.
    pub(super) fn open(&mut self) -> Result<Next> {
        if let Some((at, char)) = unreadable_character(self.text) {
            let message = format!("the character U+{:04X} cannot stand in YAML as it is", u32::from(char));
            let help = super::escape::help(char);
            return Err(SyntaxError::new(message, at..at + char.len_utf8()).help(help));
        }
        while matches!(self.events.peek()?, Event::DocumentStart) {
            self.events.next()?;
        }
        self.next_is()
    }

    /// Says what comes next, without reading it.
    pub(super) fn next_is(&mut self) -> Result<Next> {
        Ok(match self.events.peek()? {
            Event::MappingStart(Properties { anchor: None, tag: None }) => Next::Mapping,
            Event::MappingEnd | Event::StreamEnd | Event::DocumentEnd => Next::End,
            _ => Next::Other,
        })
    }

    /// Enters a mapping; then `key`, value, `key`, value … until `next_is` says `End`.
    pub(super) fn enter(&mut self) -> Result<Range<usize>> {
        Ok(self.events.next()?.1)
    }

    /// Leaves the mapping that was entered.
    pub(super) fn leave(&mut self) -> Result<()> {
        self.events.next().map(|_| ())
    }

    /// Makes sure that nothing follows the document.
    pub(super) fn close(&mut self) -> Result<()> {
        loop {
            let (event, span) = self.events.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentEnd => {}
                _ => {
                    return Err(SyntaxError::new(
                        "a second document starts here; a source file holds one",
                        span,
                    ));
                }
            }
        }
    }

    /// Whether anything that was read so far has an anchor.
    pub(super) fn has_anchors(&self) -> bool {
        !self.anchors.is_empty()
    }

    /// Reads the key of an entry: a scalar, or `<<` as it is.
    pub(super) fn key(&mut self) -> Result<Node<'s>> {
        let mut node = self.any_node()?;
        match &mut node.content {
            Content::Scalar { text, plain } => *plain &= text != "=",
            _ => {
                return Err(SyntaxError::new("a key must be one value, not a list or a mapping", node.span)
                    .help("put a text in quotes if it begins with `[` or `{`"));
            }
        }
        Ok(node)
    }

    /// Reads one value whole, aliases and merge keys resolved.
    pub(super) fn node(&mut self) -> Result<Node<'s>> {
        let node = self.any_node()?;
        match &node.content {
            Content::Scalar { text, plain: true } if text == "=" || text == "<<" => {
                let help = format!("quote it: \"{text}\"");
                Err(SyntaxError::new(format!("`{text}` is no value"), node.span.clone()).help(help))
            }
            _ => Ok(node),
        }
    }

    fn any_node(&mut self) -> Result<Node<'s>> {
        let (event, span) = self.events.next()?;
        let anchor = match &event {
            Event::Scalar { properties, .. }
            | Event::SequenceStart(properties)
            | Event::MappingStart(properties) => properties.anchor,
            _ => None,
        };
        if let Some(name) = anchor
            && self.anchors.insert(name, None).is_some()
        {
            return Err(SyntaxError::new(format!("a second anchor is called `{}`", mask::word(name)), span)
                .help("give each anchor a name of its own"));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::new(
                format!("values are nested more than {MAX_DEPTH} levels deep"),
                span,
            ));
        }
        let before = self.counted;
        if self.depth == 1 {
            self.before = before;
        }
        self.count(1, VALUE_BYTES, &span)?;
        let node = self.content(event, span)?;
        self.depth -= 1;
        if let Some(name) = anchor {
            self.anchors.insert(name, Some((node.clone(), self.counted.since(before))));
        }
        Ok(node)
    }

    fn count(&mut self, values: usize, bytes: usize, span: &Range<usize>) -> Result<()> {
        self.counted.add(values, bytes);
        if self.counted.since(self.before).values > self.max_values {
            let message = format!("more than {} values in one object or section", self.max_values);
            return Err(SyntaxError::new(message, span.clone()).help("is this the right file?"));
        }
        Ok(())
    }

    fn content(&mut self, event: Event<'s>, span: Range<usize>) -> Result<Node<'s>> {
        let mut end = span.end;
        let content = match event {
            Event::Scalar { properties, text, plain } => {
                self.counted.add(0, text.len());
                tags::scalar(properties.tag.as_deref(), text, plain, &span)?
            }
            Event::SequenceStart(properties) => {
                tags::collection(properties.tag.as_deref(), "seq", &span)?;
                let mut items = Vec::new();
                while !matches!(self.events.peek()?, Event::SequenceEnd) {
                    items.push(self.node()?);
                }
                end = self.events.next()?.1.end;
                Content::Sequence(Rc::new(items))
            }
            Event::MappingStart(properties) => {
                tags::collection(properties.tag.as_deref(), "map", &span)?;
                let mut entries = Vec::new();
                while !matches!(self.events.peek()?, Event::MappingEnd) {
                    entries.push((self.key()?, self.node()?));
                }
                end = self.events.next()?.1.end;
                Content::Mapping(Rc::new(merged(entries)?))
            }
            Event::Alias(name) => return self.aliased(name, span),
            Event::StreamEnd
            | Event::DocumentStart
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(SyntaxError::new("expected a value", span)),
        };
        Ok(Node { span: span.start..end.max(span.end), content })
    }

    fn aliased(&mut self, name: &str, span: Range<usize>) -> Result<Node<'s>> {
        let (node, count) = match self.anchors.get(name) {
            Some(Some((node, count))) => (node.clone(), *count),
            Some(None) => {
                return Err(SyntaxError::new("this alias refers to a value that contains it", span));
            }
            None => {
                return Err(SyntaxError::new(
                    format!("no anchor above is called `{}`", mask::word(name)),
                    span,
                )
                .help("a text that begins with `*` stands in quotes"));
            }
        };
        self.count(count.values, count.bytes, &span)?;
        self.aliased = self.aliased.saturating_add(count.bytes);
        let (so_many, times) = MAX_ALIASED;
        if self.aliased > so_many.saturating_add(self.text.len().saturating_mul(times)) {
            let message = format!(
                "aliases expand to {} times what the file has; write the values out instead",
                self.aliased / self.text.len().max(1)
            );
            return Err(SyntaxError::new(message, span));
        }
        Ok(Node { span, content: node.content })
    }
}

/// Applies `<<: *anchor` entries as `PyYAML` does: what stands in the mapping itself wins, then the last `<<`, within
/// it the first of a list.
///
/// Source: <https://yaml.org/type/merge.html>; `PyYAML` 6 `constructor.py`, `flatten_mapping`.
fn merged<'s>(entries: Vec<(Node<'s>, Node<'s>)>) -> Result<Vec<(Node<'s>, Node<'s>)>> {
    let is_merge =
        |key: &Node<'_>| matches!(&key.content, Content::Scalar { text, plain: true } if text == "<<");
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        return Ok(entries);
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| is_merge(key));
    let mut known: HashSet<String> =
        own.iter().filter_map(|(key, _)| key.text()).map(str::to_owned).collect();
    for (key, value) in merges.into_iter().rev() {
        let one = [Node { span: value.span.clone(), content: value.content.clone() }];
        let sources = match &value.content {
            Content::Sequence(items) => &items[..],
            _ => &one,
        };
        for source in sources {
            let Content::Mapping(inherited) = &source.content else {
                return Err(SyntaxError::new("`<<` takes a mapping or a list of mappings", key.span));
            };
            // Of a key that such a mapping has twice, the last counts.
            for entry in inherited.iter().rev() {
                if entry.0.text().is_none_or(|name| known.insert(name.to_owned())) {
                    own.push(entry.clone());
                }
            }
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> Result<Node<'_>> {
        let mut reader = Reader::new(text);
        reader.open()?;
        let node = reader.node()?;
        reader.close()?;
        Ok(node)
    }

    fn entry<'n>(node: &'n Node<'_>, name: &str) -> Option<&'n str> {
        let Content::Mapping(entries) = &node.content else { return None };
        entries.iter().find(|(key, _)| key.text() == Some(name)).and_then(|(_, value)| value.text())
    }

    #[test]
    fn an_alias_stands_for_its_anchor() {
        assert_eq!(entry(&root("a: &x 1\nb: *x\n").expect("valid"), "b"), Some("1"));
    }

    #[test]
    fn a_merge_key_fills_in_what_the_mapping_does_not_say_itself() {
        let text = "d: &d {p: 1, q: 2}\ne:\n  <<: *d\n  q: 3\n";
        let root = root(text).expect("valid");
        let Content::Mapping(entries) = &root.content else { panic!("a mapping") };
        assert_eq!(entry(&entries[1].1, "p"), Some("1"));
        assert_eq!(entry(&entries[1].1, "q"), Some("3"));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(root(&text).expect_err("a bomb").message.contains("aliases expand"));
    }

    #[test]
    fn a_second_document_is_refused() {
        assert!(root("a: 1\n---\nb: 2\n").expect_err("two documents").message.contains("second document"));
    }

    #[test]
    fn a_deeply_nested_file_is_an_error_not_a_crash() {
        assert!(root(&"[".repeat(100_000)).is_err());
        assert!(root(&"- ".repeat(100_000)).is_err());
    }

    #[test]
    fn a_block_scalar_at_the_end_of_a_file_reads_as_python_reads_it() {
        assert_eq!(entry(&root("a: |\n  x").expect("valid"), "a"), Some("x"));
    }
}
