//! YAML text to nodes, one entry at a time, with the byte range of everything.
//!
//! A file of 100 000 services is never held as a tree: the caller walks the top-level mapping and asks for
//! one entry after the other. Aliases are resolved from the anchored nodes, within a budget.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

/// How many nodes aliases may add in all before the file is refused as an alias bomb.
const MAX_ALIASED_NODES: usize = 1_000_000;

/// A value with its place in the text.
#[derive(Clone, Debug)]
pub(super) struct Node<'s> {
    pub(super) span: Range<usize>,
    pub(super) content: Content<'s>,
}

#[derive(Clone, Debug)]
pub(super) enum Content<'s> {
    Scalar { text: Cow<'s, str>, plain: bool },
    Sequence(Vec<Node<'s>>),
    Mapping(Vec<(Node<'s>, Node<'s>)>),
}

impl Node<'_> {
    fn size(&self) -> usize {
        1 + match &self.content {
            Content::Scalar { .. } => 0,
            Content::Sequence(items) => items.iter().map(Node::size).sum(),
            Content::Mapping(entries) => entries.iter().map(|(key, value)| key.size() + value.size()).sum(),
        }
    }

    /// Returns the text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// Why reading stopped: a message and the place.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) span: Range<usize>,
}

type Result<T> = std::result::Result<T, SyntaxError>;

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
    parser: Parser<'s, StrInput<'s>>,
    anchors: HashMap<usize, Node<'s>>,
    aliased: usize,
    end: usize,
}

impl<'s> Reader<'s> {
    pub(super) fn new(text: &'s str) -> Self {
        let mut options = granit_parser::options! {
            // PyYAML, with which the orchestrator reads the same file, adds no line feed there either.
            block_scalar_eof_without_line_feed: true,
        };
        options.set_emit_comments(false);
        Self {
            parser: Parser::new_from_str_with_options(text, options),
            anchors: HashMap::new(),
            aliased: 0,
            end: text.len(),
        }
    }

    /// Moves to the root value of the only document.
    pub(super) fn open(&mut self) -> Result<Next> {
        loop {
            match self.peek()? {
                Event::StreamStart | Event::DocumentStart(..) => {
                    self.advance()?;
                }
                _ => return self.next_is(),
            }
        }
    }

    /// Says what comes next, without reading it.
    pub(super) fn next_is(&mut self) -> Result<Next> {
        Ok(match self.peek()? {
            Event::MappingStart(_, 0, _) => Next::Mapping,
            Event::MappingEnd | Event::StreamEnd | Event::DocumentEnd => Next::End,
            _ => Next::Other,
        })
    }

    /// Enters a mapping; then `key`, value, `key`, value … until `next_is` says `End`.
    pub(super) fn enter(&mut self) -> Result<Range<usize>> {
        Ok(range(&self.advance()?.1))
    }

    /// Leaves the mapping that was entered.
    pub(super) fn leave(&mut self) -> Result<()> {
        self.advance().map(|_| ())
    }

    /// Makes sure that nothing follows the document.
    pub(super) fn close(&mut self) -> Result<()> {
        loop {
            let (event, span) = self.advance()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentEnd => {}
                _ => {
                    return Err(SyntaxError {
                        message: "a second document starts here; a source file holds one".into(),
                        span: range(&span),
                    });
                }
            }
        }
    }

    /// Reads one value whole, aliases and merge keys resolved.
    pub(super) fn node(&mut self) -> Result<Node<'s>> {
        let (event, span) = self.advance()?;
        let span = range(&span);
        let (content, anchor, end) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (Content::Scalar { text, plain }, anchor, span.end)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                while !matches!(self.peek()?, Event::SequenceEnd) {
                    items.push(self.node()?);
                }
                let end = self.advance()?.1;
                (Content::Sequence(items), anchor, range(&end).end)
            }
            Event::MappingStart(_, anchor, _) => {
                let mut entries = Vec::new();
                while !matches!(self.peek()?, Event::MappingEnd) {
                    entries.push((self.node()?, self.node()?));
                }
                let end = self.advance()?.1;
                (Content::Mapping(merged(entries)?), anchor, range(&end).end)
            }
            Event::Alias(id) => return self.aliased(id, span),
            other => {
                return Err(SyntaxError {
                    message: format!("expected a value, found {}", name(&other)),
                    span,
                });
            }
        };
        let node = Node { span: span.start..end, content };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn aliased(&mut self, id: usize, span: Range<usize>) -> Result<Node<'s>> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(SyntaxError {
                message: "this alias refers to a value that contains it".into(),
                span,
            });
        };
        self.aliased += node.size();
        if self.aliased > MAX_ALIASED_NODES {
            let message = format!(
                "aliases expand to more than {MAX_ALIASED_NODES} values; write the values out instead"
            );
            return Err(SyntaxError { message, span });
        }
        Ok(Node { span, content: node.content.clone() })
    }

    fn peek(&mut self) -> Result<&Event<'s>> {
        let end = self.end;
        match self.parser.peek() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(SyntaxError::from_scan(&error, end)),
            None => Ok(&Event::StreamEnd),
        }
    }

    fn advance(&mut self) -> Result<(Event<'s>, Span)> {
        let end = self.end;
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(SyntaxError::from_scan(&error, end)),
            None => Err(SyntaxError { message: "the file ends here unexpectedly".into(), span: end..end }),
        }
    }
}

impl SyntaxError {
    fn from_scan(error: &ScanError, end: usize) -> Self {
        let at = error.marker().byte_offset().unwrap_or(end).min(end);
        Self { message: error.info(), span: at..at }
    }
}

/// Applies `<<: *anchor` entries as YAML 1.1 does: what stands in the mapping itself wins.
///
/// Source: <https://yaml.org/type/merge.html>; `PyYAML`, with which the orchestrator reads, supports it.
fn merged<'s>(entries: Vec<(Node<'s>, Node<'s>)>) -> Result<Vec<(Node<'s>, Node<'s>)>> {
    let is_merge =
        |key: &Node<'_>| matches!(&key.content, Content::Scalar { text, plain: true } if text == "<<");
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        return Ok(entries);
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| is_merge(key));
    for (key, value) in merges {
        let sources = match value.content {
            Content::Sequence(items) => items,
            content => vec![Node { span: value.span, content }],
        };
        for source in sources {
            let Content::Mapping(inherited) = source.content else {
                return Err(SyntaxError {
                    message: "`<<` takes a mapping or a list of mappings".into(),
                    span: key.span,
                });
            };
            for entry in inherited {
                if !own.iter().any(|(key, _)| key.text().is_some() && key.text() == entry.0.text()) {
                    own.push(entry);
                }
            }
        }
    }
    Ok(own)
}

fn range(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

fn name(event: &Event<'_>) -> &'static str {
    match event {
        Event::MappingEnd => "the end of a mapping",
        Event::SequenceEnd => "the end of a list",
        Event::DocumentEnd | Event::StreamEnd => "the end of the document",
        _ => "something else",
    }
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
