//! Tokens to the structure of a document, one event after the other.
//!
//! Source: `PyYAML` 6 `parser.py`, state by state.

use std::borrow::Cow;
use std::ops::Range;

use super::error::{Result, SyntaxError};
use super::scan::Scanner;
use super::token::{Token, TokenKind};

/// What a document is made of, in order.
#[derive(Debug)]
pub(super) enum Event<'s> {
    StreamEnd,
    DocumentStart,
    DocumentEnd,
    Alias(&'s str),
    Scalar { properties: Properties<'s>, text: Cow<'s, str>, plain: bool },
    SequenceStart(Properties<'s>),
    SequenceEnd,
    MappingStart(Properties<'s>),
    MappingEnd,
}

/// What stands before a value.
#[derive(Debug, Default)]
pub(super) struct Properties<'s> {
    pub(super) anchor: Option<&'s str>,
    pub(super) tag: Option<Cow<'s, str>>,
}

/// Which kinds of value may stand somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Block,
    /// Behind a key, where the dashes of a list may stand at the key's column.
    BehindKey,
    Flow,
}

#[derive(Clone, Copy, Debug)]
enum State {
    ImplicitDocument,
    Document,
    DocumentContent,
    DocumentEnd,
    BlockNode,
    BlockItem,
    IndentlessItem,
    BlockKey,
    BlockValue,
    FlowFirstItem,
    FlowItem,
    FlowItemKey,
    FlowItemValue,
    FlowItemEnd,
    FlowFirstKey,
    FlowKey,
    FlowValue,
    FlowEmptyValue,
    End,
}

pub(super) struct Events<'s> {
    scanner: Scanner<'s>,
    state: State,
    /// What follows once the value that is being read has ended.
    states: Vec<State>,
    ahead: Option<(Event<'s>, Range<usize>)>,
}

type Next<'s> = Result<(Event<'s>, Range<usize>)>;

impl<'s> Events<'s> {
    pub(super) fn new(text: &'s str) -> Self {
        Self { scanner: Scanner::new(text), state: State::ImplicitDocument, states: Vec::new(), ahead: None }
    }

    /// Returns the next event without taking it.
    pub(super) fn peek(&mut self) -> Result<&Event<'s>> {
        if self.ahead.is_none() {
            self.ahead = Some(self.step()?);
        }
        Ok(self.ahead.as_ref().map_or(&Event::StreamEnd, |(event, _)| event))
    }

    pub(super) fn next(&mut self) -> Next<'s> {
        match self.ahead.take() {
            Some(next) => Ok(next),
            None => self.step(),
        }
    }

    fn step(&mut self) -> Next<'s> {
        match self.state {
            State::ImplicitDocument => self.implicit_document(),
            State::Document => self.document(),
            State::DocumentContent => self.document_content(),
            State::DocumentEnd => {
                let mut span = self.here()?;
                if self.is(&TokenKind::DocumentEnd)? {
                    span = self.take()?.span;
                }
                self.state = State::Document;
                Ok((Event::DocumentEnd, span))
            }
            State::BlockNode => self.node(Place::Block),
            State::BlockItem => self.block_item(),
            State::IndentlessItem => self.indentless_item(),
            State::BlockKey => self.block_key(),
            State::BlockValue => self.value(State::BlockKey, Place::BehindKey),
            State::FlowFirstItem => self.flow_item(State::FlowFirstItem),
            State::FlowItem => self.flow_item(State::FlowItem),
            State::FlowItemKey => {
                let key = self.take()?;
                self.content(key.span.end, State::FlowItemValue, Place::Flow)
            }
            State::FlowItemValue => self.value(State::FlowItemEnd, Place::Flow),
            State::FlowItemEnd => {
                self.state = State::FlowItem;
                Ok((Event::MappingEnd, self.here()?))
            }
            State::FlowFirstKey => self.flow_key(State::FlowFirstKey),
            State::FlowKey => self.flow_key(State::FlowKey),
            State::FlowValue => self.value(State::FlowKey, Place::Flow),
            State::FlowEmptyValue => {
                self.state = State::FlowKey;
                self.empty_here()
            }
            State::End => Ok((Event::StreamEnd, self.scanner.text.len()..self.scanner.text.len())),
        }
    }

    fn implicit_document(&mut self) -> Next<'s> {
        match self.scanner.peek()?.kind {
            TokenKind::YamlDirective | TokenKind::DocumentStart | TokenKind::StreamEnd => self.document(),
            _ => {
                self.states.push(State::DocumentEnd);
                self.state = State::BlockNode;
                Ok((Event::DocumentStart, self.here()?))
            }
        }
    }

    fn document(&mut self) -> Next<'s> {
        while self.is(&TokenKind::DocumentEnd)? {
            self.take()?;
        }
        if self.is(&TokenKind::StreamEnd)? {
            self.state = State::End;
            return Ok((Event::StreamEnd, self.take()?.span));
        }
        if self.is(&TokenKind::YamlDirective)? {
            self.take()?;
        }
        let token = self.take()?;
        if token.kind != TokenKind::DocumentStart {
            return Err(SyntaxError::new("the document ends above this line, and more follows", token.span)
                .help("indent the line like what it belongs to"));
        }
        self.states.push(State::DocumentEnd);
        self.state = State::DocumentContent;
        Ok((Event::DocumentStart, token.span))
    }

    fn document_content(&mut self) -> Next<'s> {
        match self.scanner.peek()?.kind {
            TokenKind::YamlDirective
            | TokenKind::DocumentStart
            | TokenKind::DocumentEnd
            | TokenKind::StreamEnd => {
                self.state = self.after();
                self.empty_here()
            }
            _ => self.node(Place::Block),
        }
    }

    fn node(&mut self, place: Place) -> Next<'s> {
        if let TokenKind::Alias(name) = self.scanner.peek()?.kind {
            self.state = self.after();
            return Ok((Event::Alias(name), self.take()?.span));
        }
        let start = self.here()?;
        let properties = self.properties()?;
        let bare = properties.anchor.is_none() && properties.tag.is_none();
        let token = self.scanner.peek()?;
        let span = token.span.clone();
        let (event, state) = match &token.kind {
            TokenKind::BlockEntry if place == Place::BehindKey => {
                (Event::SequenceStart(properties), State::IndentlessItem)
            }
            TokenKind::Scalar { .. } => {
                let state = self.after();
                let TokenKind::Scalar { text, plain } = self.take()?.kind else {
                    return Err(self.misplaced());
                };
                (Event::Scalar { properties, text, plain }, state)
            }
            TokenKind::FlowSequenceStart => (Event::SequenceStart(properties), State::FlowFirstItem),
            TokenKind::FlowMappingStart => (Event::MappingStart(properties), State::FlowFirstKey),
            TokenKind::BlockSequenceStart if place != Place::Flow => {
                (Event::SequenceStart(properties), State::BlockItem)
            }
            TokenKind::BlockMappingStart if place != Place::Flow => {
                (Event::MappingStart(properties), State::BlockKey)
            }
            _ if !bare => {
                let event = Event::Scalar { properties, text: Cow::Borrowed(""), plain: true };
                self.state = self.after();
                return Ok((event, start.end..start.end));
            }
            _ => return Err(self.misplaced()),
        };
        if matches!(state, State::FlowFirstItem | State::FlowFirstKey | State::BlockItem | State::BlockKey)
            && !matches!(event, Event::Scalar { .. })
        {
            self.take()?;
        }
        self.state = state;
        Ok((event, span))
    }

    /// Reads an anchor and a tag, in either order.
    fn properties(&mut self) -> Result<Properties<'s>> {
        let mut properties = Properties::default();
        for _ in 0..2 {
            match &self.scanner.peek()?.kind {
                TokenKind::Anchor(name) if properties.anchor.is_none() => {
                    properties.anchor = Some(name);
                    self.take()?;
                }
                TokenKind::Tag(_) if properties.tag.is_none() => {
                    let Token { kind: TokenKind::Tag(tag), span } = self.take()? else { break };
                    properties.tag = Some(super::tags::full_name(tag, span)?);
                }
                _ => break,
            }
        }
        Ok(properties)
    }

    fn block_item(&mut self) -> Next<'s> {
        if self.is(&TokenKind::BlockEntry)? {
            let dash = self.take()?;
            return self.content(dash.span.end, State::BlockItem, Place::Block);
        }
        self.block_end(Event::SequenceEnd)
    }

    fn indentless_item(&mut self) -> Next<'s> {
        if self.is(&TokenKind::BlockEntry)? {
            let dash = self.take()?;
            let empty = matches!(self.scanner.peek()?.kind, TokenKind::Key | TokenKind::Value);
            if !empty {
                return self.content(dash.span.end, State::IndentlessItem, Place::Block);
            }
            self.state = State::IndentlessItem;
            return Ok(empty_scalar(dash.span.end));
        }
        self.state = self.after();
        let at = self.here()?.start;
        Ok((Event::SequenceEnd, at..at))
    }

    fn block_key(&mut self) -> Next<'s> {
        if self.is(&TokenKind::Key)? {
            let key = self.take()?;
            return self.content(key.span.end, State::BlockValue, Place::BehindKey);
        }
        self.block_end(Event::MappingEnd)
    }

    fn block_end(&mut self, event: Event<'s>) -> Next<'s> {
        let token = self.take()?;
        if token.kind != TokenKind::BlockEnd {
            return Err(SyntaxError::new("this line belongs to nothing above it", token.span)
                .help("indent it exactly like the lines it belongs to"));
        }
        self.state = self.after();
        Ok((event, token.span))
    }

    /// Reads the value behind a key's colon; there need not be one.
    fn value(&mut self, then: State, place: Place) -> Next<'s> {
        if self.is(&TokenKind::Value)? {
            let colon = self.take()?;
            return self.content(colon.span.end, then, place);
        }
        self.state = then;
        self.empty_here()
    }

    /// Reads the value that follows an indicator, which ends at `at`; null where nothing follows.
    fn content(&mut self, at: usize, then: State, place: Place) -> Next<'s> {
        let kind = &self.scanner.peek()?.kind;
        let empty = match (place, then) {
            (Place::Block, _) => matches!(kind, TokenKind::BlockEntry | TokenKind::BlockEnd),
            (Place::BehindKey, _) => {
                matches!(kind, TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd)
            }
            (Place::Flow, State::FlowItemValue) => {
                matches!(kind, TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowSequenceEnd)
            }
            (Place::Flow, State::FlowItemEnd) => {
                matches!(kind, TokenKind::FlowEntry | TokenKind::FlowSequenceEnd)
            }
            (Place::Flow, State::FlowValue) => {
                matches!(kind, TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowMappingEnd)
            }
            (Place::Flow, _) => matches!(kind, TokenKind::FlowEntry | TokenKind::FlowMappingEnd),
        };
        if empty {
            self.state = then;
            return Ok(empty_scalar(at));
        }
        self.states.push(then);
        self.node(place)
    }

    fn flow_item(&mut self, state: State) -> Next<'s> {
        if !self.is(&TokenKind::FlowSequenceEnd)? {
            if matches!(state, State::FlowItem) {
                self.separator("]")?;
            }
            if self.is(&TokenKind::Key)? {
                self.state = State::FlowItemKey;
                return Ok((Event::MappingStart(Properties::default()), self.here()?));
            }
            if !self.is(&TokenKind::FlowSequenceEnd)? {
                self.states.push(State::FlowItem);
                return self.node(Place::Flow);
            }
        }
        self.state = self.after();
        Ok((Event::SequenceEnd, self.take()?.span))
    }

    fn flow_key(&mut self, state: State) -> Next<'s> {
        if !self.is(&TokenKind::FlowMappingEnd)? {
            if matches!(state, State::FlowKey) {
                self.separator("}")?;
            }
            if self.is(&TokenKind::Key)? {
                let key = self.take()?;
                return self.content(key.span.end, State::FlowValue, Place::Flow);
            }
            if !self.is(&TokenKind::FlowMappingEnd)? {
                self.states.push(State::FlowEmptyValue);
                return self.node(Place::Flow);
            }
        }
        self.state = self.after();
        Ok((Event::MappingEnd, self.take()?.span))
    }

    fn separator(&mut self, end: &str) -> Result<()> {
        let token = self.take()?;
        if token.kind == TokenKind::FlowEntry {
            return Ok(());
        }
        Err(SyntaxError::new(format!("expected `,` or `{end}`"), token.span).help(
            "within braces and brackets, a text that holds `?`, `,`, `[`, `]`, `{` or `}` stands in quotes",
        ))
    }

    fn misplaced(&mut self) -> SyntaxError {
        let span = self.here().unwrap_or(0..0);
        SyntaxError::new("expected a value", span).help("close what is open, or write `null` for no value")
    }

    fn after(&mut self) -> State {
        self.states.pop().unwrap_or(State::End)
    }

    fn is(&mut self, kind: &TokenKind<'_>) -> Result<bool> {
        Ok(self.scanner.peek()?.kind == *kind)
    }

    fn take(&mut self) -> Result<Token<'s>> {
        self.scanner.next()
    }

    fn here(&mut self) -> Result<Range<usize>> {
        Ok(self.scanner.peek()?.span.clone())
    }

    fn empty_here(&mut self) -> Next<'s> {
        Ok(empty_scalar(self.here()?.start))
    }
}

fn empty_scalar<'s>(at: usize) -> (Event<'s>, Range<usize>) {
    (Event::Scalar { properties: Properties::default(), text: Cow::Borrowed(""), plain: true }, at..at)
}
