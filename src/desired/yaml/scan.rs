//! YAML text to tokens, by the rules of the reader with which the orchestrator reads the same file.
//!
//! Source: `PyYAML` 6 `scanner.py` (YAML 1.1), rule by rule. Where it refuses a text, so does this; what it takes for
//! a key or a value, this takes for the same. Directives other than `%YAML` are refused.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::cursor::{is_blank_or_end, is_break_or_end};
use super::error::{Result, SyntaxError};
use super::token::{Token, TokenKind};

/// A key on one line is at most this long, in characters.
const MAX_KEY_LENGTH: usize = 1024;

/// A place where a key may begin, known to be one only once its colon is found.
#[derive(Clone, Copy, Debug)]
struct PossibleKey {
    /// The number of its first token, counted over the whole text.
    token: usize,
    /// Whether nothing but a key can stand here.
    required: bool,
    index: usize,
    line: usize,
    column: isize,
    at: usize,
}

pub(super) struct Scanner<'s> {
    pub(super) text: &'s str,
    /// The byte that is looked at next.
    pub(super) at: usize,
    pub(super) is_ascii: bool,
    /// How many bytes before `at` are not the first of their character.
    pub(super) continuation_bytes: usize,
    pub(super) line: usize,
    /// The number of the line's first character in the text.
    pub(super) line_index: usize,
    /// How many braces and brackets are open.
    pub(super) flow: usize,
    /// The column of the block collection that is open; -1 for none.
    pub(super) indent: isize,
    indents: Vec<isize>,
    pub(super) key_allowed: bool,
    /// The possible key of each level of braces and brackets.
    keys: Vec<Option<PossibleKey>>,
    tokens: VecDeque<Token<'s>>,
    taken: usize,
    done: bool,
}

impl<'s> Scanner<'s> {
    pub(super) fn new(text: &'s str) -> Self {
        let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self {
            text,
            at: mark,
            is_ascii: text.is_ascii(),
            continuation_bytes: mark,
            line: 0,
            line_index: 0,
            flow: 0,
            indent: -1,
            indents: Vec::new(),
            key_allowed: true,
            keys: vec![None],
            tokens: VecDeque::new(),
            taken: 0,
            done: false,
        }
    }

    /// Returns the next token without taking it.
    pub(super) fn peek(&mut self) -> Result<&Token<'s>> {
        while self.needs_more()? {
            self.fetch()?;
        }
        let end = self.text.len();
        self.tokens.front().ok_or_else(|| SyntaxError::new("the file ends here unexpectedly", end..end))
    }

    pub(super) fn next(&mut self) -> Result<Token<'s>> {
        self.peek()?;
        self.taken += 1;
        let end = self.text.len();
        self.tokens.pop_front().ok_or_else(|| SyntaxError::new("the file ends here unexpectedly", end..end))
    }

    fn needs_more(&mut self) -> Result<bool> {
        if self.done || self.tokens.is_empty() {
            return Ok(!self.done);
        }
        self.drop_stale_keys()?;
        // The first token may yet turn out to be a key.
        Ok(self.keys.iter().flatten().map(|key| key.token).min() == Some(self.taken))
    }

    fn fetch(&mut self) -> Result<()> {
        self.skip_to_token();
        self.drop_stale_keys()?;
        self.unwind_indent(self.column());
        let start = self.at;
        match self.byte(0) {
            0 => self.fetch_stream_end(),
            b'%' if self.column() == 0 => self.fetch_directive(),
            b'-' if self.is_document_mark("---") => self.fetch_document_mark(TokenKind::DocumentStart),
            b'.' if self.is_document_mark("...") => self.fetch_document_mark(TokenKind::DocumentEnd),
            b'[' => self.fetch_flow_start(TokenKind::FlowSequenceStart),
            b'{' => self.fetch_flow_start(TokenKind::FlowMappingStart),
            b']' => self.fetch_flow_end(TokenKind::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(TokenKind::FlowMappingEnd),
            b',' => {
                self.key_allowed = true;
                self.remove_key()?;
                self.push_indicator(TokenKind::FlowEntry);
                Ok(())
            }
            b'-' if is_blank_or_end(self.byte(1)) => self.fetch_block_entry(),
            b'?' if self.flow > 0 || is_blank_or_end(self.byte(1)) => self.fetch_key(),
            b':' if self.flow > 0 || is_blank_or_end(self.byte(1)) => self.fetch_value(),
            b'*' => {
                let name = self.fetch_name("alias")?;
                self.push(TokenKind::Alias(name), start);
                Ok(())
            }
            b'&' => {
                let name = self.fetch_name("anchor")?;
                self.push(TokenKind::Anchor(name), start);
                Ok(())
            }
            b'!' => {
                self.save_key()?;
                self.key_allowed = false;
                let tag = self.tag()?;
                self.push(TokenKind::Tag(tag), start);
                Ok(())
            }
            style @ (b'|' | b'>') if self.flow == 0 => {
                self.key_allowed = true;
                self.remove_key()?;
                let (text, end) = self.block_scalar(style)?;
                let kind = TokenKind::Scalar { text: Cow::Owned(text), plain: false };
                self.tokens.push_back(Token { kind, span: start..end });
                Ok(())
            }
            quote @ (b'\'' | b'"') => {
                self.save_key()?;
                self.key_allowed = false;
                let text = self.quoted(quote)?;
                self.push(TokenKind::Scalar { text, plain: false }, start);
                Ok(())
            }
            first if self.begins_plain(first) => {
                self.save_key()?;
                self.key_allowed = false;
                let (text, end) = self.plain();
                self.tokens
                    .push_back(Token { kind: TokenKind::Scalar { text, plain: true }, span: start..end });
                Ok(())
            }
            _ => Err(self.unexpected_character()),
        }
    }

    fn begins_plain(&self, first: u8) -> bool {
        match first {
            b'-' => !is_blank_or_end(self.byte(1)),
            b'?' | b':' => self.flow == 0 && !is_blank_or_end(self.byte(1)),
            b' ' | b'\t' | b'\r' | b'\n' | 0 => false,
            first => !b",[]{}#&*!|>'\"%@`".contains(&first),
        }
    }

    /// Skips blanks, comments and line breaks. A tab is none of them.
    fn skip_to_token(&mut self) {
        loop {
            self.skip(|byte| byte == b' ');
            if self.byte(0) == b'#' {
                self.skip(|byte| !is_break_or_end(byte));
            }
            if !self.line_break() {
                return;
            }
            if self.flow == 0 {
                self.key_allowed = true;
            }
        }
    }

    fn drop_stale_keys(&mut self) -> Result<()> {
        let (line, index) = (self.line, self.index());
        for position in 0..self.keys.len() {
            if let Some(key) = self.keys[position]
                && (key.line != line || index - key.index > MAX_KEY_LENGTH)
            {
                self.drop_key(position)?;
            }
        }
        Ok(())
    }

    fn drop_key(&mut self, level: usize) -> Result<()> {
        match self.keys[level].take() {
            Some(key) if key.required => Err(SyntaxError::missing_colon(self.text, key.at)),
            _ => Ok(()),
        }
    }

    pub(super) fn remove_key(&mut self) -> Result<()> {
        self.drop_key(self.flow)
    }

    pub(super) fn save_key(&mut self) -> Result<()> {
        if self.key_allowed {
            self.remove_key()?;
            self.keys[self.flow] = Some(PossibleKey {
                token: self.taken + self.tokens.len(),
                required: self.flow == 0 && self.indent == self.column(),
                index: self.index(),
                line: self.line,
                column: self.column(),
                at: self.at,
            });
        }
        Ok(())
    }

    fn unwind_indent(&mut self, column: isize) {
        while self.flow == 0 && self.indent > column {
            self.indent = self.indents.pop().unwrap_or(-1);
            self.push(TokenKind::BlockEnd, self.at);
        }
    }

    fn opens_block(&mut self, column: isize) -> bool {
        let deeper = self.indent < column;
        if deeper {
            self.indents.push(self.indent);
            self.indent = column;
        }
        deeper
    }

    fn fetch_stream_end(&mut self) -> Result<()> {
        self.unwind_indent(-1);
        self.remove_key()?;
        self.keys.iter_mut().for_each(|key| *key = None);
        self.push(TokenKind::StreamEnd, self.at);
        self.done = true;
        Ok(())
    }

    fn fetch_directive(&mut self) -> Result<()> {
        self.unwind_indent(-1);
        self.remove_key()?;
        self.key_allowed = false;
        let start = self.at;
        self.skip(|byte| !is_break_or_end(byte));
        let line = &self.text[start..self.at];
        let version = line
            .strip_prefix("%YAML 1.")
            .map(|rest| rest.split(" #").next().unwrap_or(rest).trim_end_matches(' '));
        if !version.is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err(SyntaxError::new(
                "a line that begins with `%` is a directive, and only `%YAML 1.1` is supported",
                start..self.at,
            )
            .help("remove the line; a text that begins with `%` stands in quotes"));
        }
        self.push(TokenKind::YamlDirective, start);
        Ok(())
    }

    fn fetch_document_mark(&mut self, kind: TokenKind<'s>) -> Result<()> {
        self.unwind_indent(-1);
        self.remove_key()?;
        self.key_allowed = false;
        self.at += 2;
        self.push_indicator(kind);
        Ok(())
    }

    fn fetch_flow_start(&mut self, kind: TokenKind<'s>) -> Result<()> {
        self.save_key()?;
        self.flow += 1;
        self.keys.push(None);
        self.key_allowed = true;
        self.push_indicator(kind);
        Ok(())
    }

    fn fetch_flow_end(&mut self, kind: TokenKind<'s>) -> Result<()> {
        if self.flow == 0 {
            return Err(self.unexpected_character());
        }
        self.remove_key()?;
        self.keys.pop();
        self.flow -= 1;
        self.key_allowed = false;
        self.push_indicator(kind);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Result<()> {
        if self.flow == 0 {
            if !self.key_allowed {
                return Err(SyntaxError::new("a list item is not allowed here", self.at..self.at + 1).help(
                    "begin the list on a line of its own; a text that begins with `- ` stands in quotes",
                ));
            }
            if self.opens_block(self.column()) {
                self.push(TokenKind::BlockSequenceStart, self.at);
            }
        }
        self.key_allowed = true;
        self.remove_key()?;
        self.push_indicator(TokenKind::BlockEntry);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<()> {
        if self.flow == 0 {
            if !self.key_allowed {
                return Err(SyntaxError::new("a `?` is not allowed here", self.at..self.at + 1)
                    .help("a text that begins with `? ` stands in quotes"));
            }
            if self.opens_block(self.column()) {
                self.push(TokenKind::BlockMappingStart, self.at);
            }
        }
        self.key_allowed = self.flow == 0;
        self.remove_key()?;
        self.push_indicator(TokenKind::Key);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<()> {
        if let Some(key) = self.keys[self.flow].take() {
            let position = key.token - self.taken;
            let span = key.at..key.at;
            self.tokens.insert(position, Token { kind: TokenKind::Key, span: span.clone() });
            if self.flow == 0 && self.opens_block(key.column) {
                self.tokens.insert(position, Token { kind: TokenKind::BlockMappingStart, span });
            }
            self.key_allowed = false;
        } else {
            if self.flow == 0 {
                if !self.key_allowed {
                    return Err(SyntaxError::second_colon(self.at));
                }
                if self.opens_block(self.column()) {
                    self.push(TokenKind::BlockMappingStart, self.at);
                }
            }
            self.key_allowed = self.flow == 0;
        }
        self.push_indicator(TokenKind::Value);
        Ok(())
    }

    /// Adds a token that reaches from `start` to here.
    fn push(&mut self, kind: TokenKind<'s>, start: usize) {
        self.tokens.push_back(Token { kind, span: start..self.at });
    }

    /// Adds a token for the character that is looked at.
    fn push_indicator(&mut self, kind: TokenKind<'s>) {
        let start = self.at;
        self.at += 1;
        self.push(kind, start);
    }

    fn unexpected_character(&self) -> SyntaxError {
        let width = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        SyntaxError::unexpected(self.byte(0), self.at..self.at + width)
    }
}
