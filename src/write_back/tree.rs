//! Where everything of a document stands, in bytes.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::Refused;

/// A document with the place of each of its nodes.
pub(super) struct Tree<'s> {
    pub(super) text: &'s str,
    pub(super) root: Node,
    /// Where aliases stand, by the anchor that they refer to.
    pub(super) uses: HashMap<usize, Vec<usize>>,
    /// Every comment, with its `#`, in order.
    pub(super) comments: Vec<Range<usize>>,
}

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    /// From its first to its last character, without anchor and tag. Trailing blank lines do not belong to it,
    /// unless they are part of a block scalar's value.
    pub(super) range: Range<usize>,
    /// Its anchor; 0 for none.
    pub(super) anchor: usize,
    pub(super) tagged: bool,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar(ScalarStyle),
    Alias,
    Map { flow: bool, entries: Vec<Entry> },
    List { flow: bool, items: Vec<Node> },
}

/// An entry of a mapping.
#[derive(Debug)]
pub(super) struct Entry {
    /// The key, when it is a scalar.
    pub(super) name: Option<String>,
    pub(super) key: Range<usize>,
    pub(super) quoted: bool,
    /// Directly behind the colon; none when the key is not followed by one on its line.
    pub(super) after_colon: Option<usize>,
    pub(super) value: Node,
}

impl Entry {
    pub(super) fn range(&self) -> Range<usize> {
        self.key.start..self.value.range.end.max(self.after_colon.unwrap_or(self.key.end))
    }

    pub(super) fn is_merge(&self) -> bool {
        !self.quoted && self.name.as_deref() == Some("<<")
    }
}

impl Node {
    /// Whether it is written in lines of its own, below its key.
    pub(super) fn is_block(&self) -> bool {
        matches!(self.kind, Kind::Map { flow: false, .. } | Kind::List { flow: false, .. })
    }

    /// Every anchor in it.
    pub(super) fn anchors(&self) -> Vec<usize> {
        let mut anchors = if self.anchor > 0 { vec![self.anchor] } else { Vec::new() };
        match &self.kind {
            Kind::Map { entries, .. } => {
                anchors.extend(entries.iter().flat_map(|entry| entry.value.anchors()))
            }
            Kind::List { items, .. } => anchors.extend(items.iter().flat_map(Self::anchors)),
            Kind::Scalar(_) | Kind::Alias => {}
        }
        anchors
    }
}

impl<'s> Tree<'s> {
    pub(super) fn of(text: &'s str) -> Result<Self, Refused> {
        let mut options = granit_parser::options! {
            block_scalar_eof_without_line_feed: true,
            emit_comments: true,
            max_buffered_comment_events: usize::MAX,
        };
        options.set_emit_comments(true);
        let mut builder = Builder {
            text,
            parser: Parser::new_from_str_with_options(text, options),
            ahead: None,
            uses: HashMap::new(),
            comments: Vec::new(),
        };
        while matches!(builder.peek()?.0, Event::StreamStart | Event::DocumentStart(..)) {
            builder.next()?;
        }
        if matches!(builder.peek()?.0, Event::StreamEnd | Event::DocumentEnd) {
            return Err(Refused::Unreadable("the document is empty".into()));
        }
        let root = builder.node(0)?;
        while !matches!(builder.next()?.0, Event::StreamEnd) {}
        Ok(Self { text, root, uses: builder.uses, comments: builder.comments })
    }

    /// The line at a place, counted from one.
    pub(super) fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    pub(super) fn refuse(&self, at: usize, why: impl Into<String>) -> Refused {
        Refused::At { line: self.line(at), why: why.into() }
    }

    pub(super) fn line_start(&self, at: usize) -> usize {
        line_start(self.text, at)
    }

    /// The end of the line at a place, before its line end.
    pub(super) fn line_end(&self, at: usize) -> usize {
        let end = self.text[at..].find('\n').map_or(self.text.len(), |end| at + end);
        if self.text[at..end].ends_with('\r') { end - 1 } else { end }
    }

    /// The start of the line after the one at a place, or the end of the text.
    pub(super) fn next_line(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |end| at + end + 1)
    }

    /// How far from the start of its line a place is.
    pub(super) fn column(&self, at: usize) -> usize {
        let start = self.line_start(at);
        self.text[start..at].chars().count()
    }

    /// Whether nothing but blanks stands before a place on its line.
    pub(super) fn begins_line(&self, at: usize) -> bool {
        self.text[self.line_start(at)..at].trim().is_empty()
    }

    /// Where the comment lines that stand directly above a line, at `column`, begin.
    pub(super) fn with_comments_above(&self, mut start: usize, column: usize) -> usize {
        while start > self.line_start(0) {
            let above = self.line_start(start - 1);
            let line = &self.text[above..start];
            let indent = line.len() - line.trim_start().len();
            if !line.trim_start().starts_with('#') || indent != column {
                break;
            }
            start = above;
        }
        start
    }
}

/// The start of the line at a place; a byte order mark stands before the first one.
fn line_start(text: &str, at: usize) -> usize {
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    text[..at].rfind('\n').map_or(mark, |start| start + 1)
}

struct Builder<'s> {
    text: &'s str,
    parser: Parser<'s, StrInput<'s>>,
    ahead: Option<(Event<'s>, Span)>,
    uses: HashMap<usize, Vec<usize>>,
    comments: Vec<Range<usize>>,
}

impl<'s> Builder<'s> {
    fn peek(&mut self) -> Result<&(Event<'s>, Span), Refused> {
        if self.ahead.is_none() {
            let next = self.read()?;
            self.ahead = Some(next);
        }
        self.ahead.as_ref().ok_or_else(|| Refused::Unreadable("the document ends unexpectedly".into()))
    }

    fn next(&mut self) -> Result<(Event<'s>, Span), Refused> {
        match self.ahead.take() {
            Some(next) => Ok(next),
            None => self.read(),
        }
    }

    fn read(&mut self) -> Result<(Event<'s>, Span), Refused> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), span))) => self.comments.push(bytes(&span)),
                Some(Ok(next)) => return Ok(next),
                Some(Err(error)) => return Err(self.unreadable(&error)),
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn unreadable(&self, error: &ScanError) -> Refused {
        let at = error.marker().byte_offset().unwrap_or(self.text.len()).min(self.text.len());
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Refused::At { line, why: error.info() }
    }

    /// Reads a node; `from` is where its key's colon or its dash ends.
    fn node(&mut self, from: usize) -> Result<Node, Refused> {
        let (event, span) = self.next()?;
        let span = bytes(&span);
        Ok(match event {
            Event::Alias(id) => {
                self.uses.entry(id).or_default().push(span.start);
                Node { range: span, anchor: 0, tagged: false, kind: Kind::Alias }
            }
            Event::Scalar(_, style, anchor, tag) => {
                let range = self.scalar_range(span, style, from, anchor > 0 || tag.is_some());
                Node { range, anchor, tagged: tag.is_some(), kind: Kind::Scalar(style) }
            }
            Event::SequenceStart(_, anchor, tag) => {
                let flow = self.text[span.start..].starts_with('[') && !span.is_empty();
                let start = if flow || from == 0 { span.start } else { self.first_dash(from) };
                let mut items: Vec<Node> = Vec::new();
                while !matches!(self.peek()?.0, Event::SequenceEnd) {
                    let after_dash = if flow { from } else { self.after_dash(start, items.last()) };
                    items.push(self.node(after_dash)?);
                }
                let end = bytes(&self.next()?.1).end;
                let end = if flow { end } else { items.last().map_or(span.end, |item| item.range.end) };
                let kind = Kind::List { flow, items };
                Node { range: start..end.max(start), anchor, tagged: tag.is_some(), kind }
            }
            Event::MappingStart(_, anchor, tag) => {
                let flow = self.text[span.start..].starts_with('{') && !span.is_empty();
                let mut entries = Vec::new();
                while !matches!(self.peek()?.0, Event::MappingEnd) {
                    entries.push(self.entry()?);
                }
                let end = bytes(&self.next()?.1).end;
                let end = if flow { end } else { entries.last().map_or(span.end, |entry| entry.range().end) };
                let start =
                    if flow { span.start } else { entries.first().map_or(span.start, |it| it.key.start) };
                let kind = Kind::Map { flow, entries };
                Node { range: start..end, anchor, tagged: tag.is_some(), kind }
            }
            _ => return Err(Refused::Unreadable("expected a value".into())),
        })
    }

    fn entry(&mut self) -> Result<Entry, Refused> {
        let (event, span) = self.peek()?;
        let (name, quoted) = match event {
            Event::Scalar(text, style, 0, None) => (Some(text.to_string()), *style != ScalarStyle::Plain),
            _ => (None, false),
        };
        let (is_scalar, span) = (matches!(event, Event::Scalar(..)), bytes(span));
        if is_scalar && span.is_empty() {
            // It has no place, and JSON has no such key, so that the result could not be compared.
            let before = self.text.get(..span.start).unwrap_or_default();
            return Err(Refused::At { line: before.matches('\n').count() + 1, why: "a key is null".into() });
        }
        let key = self.node(0)?.range;
        let rest = &self.text[key.end..];
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let explicit = self.text[line_start(self.text, key.start)..key.start].trim_start().starts_with("? ");
        let after_colon = (rest[blanks..].starts_with(':') && !explicit).then_some(key.end + blanks + 1);
        let value = self.node(after_colon.unwrap_or(key.end))?;
        Ok(Entry { name, key, quoted, after_colon, value })
    }

    /// Returns where a list in lines begins: the parser tells the place of its first item instead where the dashes
    /// stand below their key.
    fn first_dash(&self, from: usize) -> usize {
        let mut at = from;
        loop {
            let rest = &self.text[at..];
            at += match rest.chars().next() {
                Some(' ' | '\t' | '\r' | '\n') => 1,
                Some('#') => rest.find('\n').unwrap_or(rest.len()),
                Some('&' | '!') => rest.find(char::is_whitespace).unwrap_or(rest.len()),
                _ => return at,
            };
        }
    }

    /// Returns where an item's dash ends: the first stands where the list begins, each other begins its line.
    fn after_dash(&self, first: usize, previous: Option<&Node>) -> usize {
        let Some(previous) = previous else { return first + 1 };
        let column = first - line_start(self.text, first);
        let mut at = previous.range.end;
        while let Some(end) = self.text[at..].find('\n') {
            at += end + 1;
            let dash = at + column;
            if self.text.get(at..dash).is_some_and(|blank| blank.trim().is_empty())
                && self.text[dash..].starts_with('-')
            {
                return dash + 1;
            }
        }
        previous.range.end
    }

    /// A block scalar begins at its `|` or `>`; an empty one directly behind the colon or the dash.
    fn scalar_range(
        &self,
        span: Range<usize>,
        style: ScalarStyle,
        from: usize,
        properties: bool,
    ) -> Range<usize> {
        if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return if span.is_empty() && !properties { from..from } else { span };
        }
        let mut start = from;
        for word in self.text[from..].split_inclusive(char::is_whitespace) {
            if word.starts_with(['|', '>']) {
                break;
            }
            start += word.len();
        }
        let header = self.text[start..].split('\n').next().unwrap_or_default();
        let keeps = header.split('#').next().unwrap_or_default().contains('+');
        let content = &self.text[start..span.end.max(start)];
        let end = if keeps {
            let content = content.trim_end_matches([' ', '\t']);
            content.strip_suffix('\n').unwrap_or(content).trim_end_matches('\r').len()
        } else {
            content.trim_end().len()
        };
        start..start + end.max(header.trim_end().len())
    }
}

fn bytes(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}
