//! Scalars without quotes, anchors and tags as the scanner reads them.
//!
//! Source: `PyYAML` 6 `scanner.py`, from `scan_anchor` on.

use std::borrow::Cow;

use super::cursor::{is_blank_or_end, is_break_or_end};
use super::error::{Result, SyntaxError};
use super::scan::Scanner;
use super::token::Tag;

/// Whether the line breaks at the end of a block scalar belong to its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chomping {
    /// `-`: none.
    Strip,
    /// The first.
    Clip,
    /// `+`: all.
    Keep,
}

impl<'s> Scanner<'s> {
    /// Reads the name behind `*` or `&`.
    pub(super) fn fetch_name(&mut self, what: &str) -> Result<&'s str> {
        self.save_key()?;
        self.key_allowed = false;
        let start = self.at;
        self.move_to(start + 1);
        self.skip(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let name = &self.text[start + 1..self.at];
        if name.is_empty() || !(is_blank_or_end(self.byte(0)) || b"?:,]}%@`".contains(&self.byte(0))) {
            let message = format!("the name of an {what} has letters, digits, `-` and `_` only");
            let help = format!("a text that begins with `{}` stands in quotes", &self.text[start..=start]);
            return Err(SyntaxError::new(message, start..self.at).help(help));
        }
        Ok(name)
    }

    pub(super) fn tag(&mut self) -> Result<Tag<'s>> {
        let start = self.at;
        let bad = |at| {
            SyntaxError::new("this is no tag", start..at).help("a text that begins with `!` stands in quotes")
        };
        let tag = if self.byte(1) == b'<' {
            self.move_to(start + 2);
            let suffix = self.tag_suffix();
            if suffix.is_empty() || self.byte(0) != b'>' {
                return Err(bad(self.at));
            }
            self.move_to(self.at + 1);
            Tag { handle: None, suffix: Cow::Borrowed(suffix) }
        } else if is_blank_or_end(self.byte(1)) {
            self.move_to(start + 1);
            Tag { handle: None, suffix: Cow::Borrowed("!") }
        } else {
            let word = self.text[start + 1..].split([' ', '\r', '\n']).next().unwrap_or_default();
            let handle = word.find('!').map_or(1, |end| end + 2);
            self.move_to(start + handle);
            let suffix = self.tag_suffix();
            if suffix.is_empty() {
                return Err(bad(self.at));
            }
            Tag { handle: Some(&self.text[start..start + handle]), suffix: Cow::Borrowed(suffix) }
        };
        if !matches!(self.byte(0), b' ') && !is_break_or_end(self.byte(0)) {
            return Err(bad(self.at));
        }
        Ok(tag)
    }

    /// Percent escapes stay as they are: no tag that is known has one.
    fn tag_suffix(&mut self) -> &'s str {
        let start = self.at;
        self.skip(|byte| byte.is_ascii_alphanumeric() || b"-;/?:@&=+$,_.!~*'()[]%".contains(&byte));
        &self.text[start..self.at]
    }

    /// Reads a scalar without quotes; returns where it ends, too: blanks behind it have been passed.
    pub(super) fn plain(&mut self) -> (Cow<'s, str>, usize) {
        let start = self.at;
        let indent = self.indent + 1;
        let mut end = start;
        // As soon as a line is folded, the text is not a part of the source any more.
        let mut folded: Option<String> = None;
        let mut spaces = String::new();
        loop {
            if self.byte(0) == b'#' {
                break;
            }
            let from = self.at;
            self.plain_word();
            if self.at == from {
                break;
            }
            self.key_allowed = false;
            if let Some(folded) = &mut folded {
                folded.push_str(&spaces);
                folded.push_str(&self.text[from..self.at]);
            }
            end = self.at;
            spaces.clear();
            self.skip(|byte| byte == b' ');
            if matches!(self.byte(0), b'\r' | b'\n') {
                folded.get_or_insert_with(|| self.text[start..end].to_owned());
                if !self.fold_lines(&mut spaces) {
                    break;
                }
            } else if self.at == end {
                break;
            } else {
                spaces.push_str(&self.text[end..self.at]);
            }
            if self.byte(0) == b'#' || (self.flow == 0 && self.column() < indent) {
                break;
            }
        }
        (folded.map_or_else(|| Cow::Borrowed(&self.text[start..end]), Cow::Owned), end)
    }

    fn plain_word(&mut self) {
        let bytes = self.text.as_bytes();
        let flow = self.flow > 0;
        let mut at = self.at;
        loop {
            let byte = bytes.get(at).copied().unwrap_or(0);
            let ends = match byte {
                b':' => {
                    let next = bytes.get(at + 1).copied().unwrap_or(0);
                    is_blank_or_end(next) || (flow && b",[]{}".contains(&next))
                }
                b',' | b'?' | b'[' | b']' | b'{' | b'}' => flow,
                byte => is_blank_or_end(byte),
            };
            if ends {
                return self.move_to(at);
            }
            at += 1;
        }
    }

    /// Reads the line breaks within a plain scalar; false where a document mark ends it.
    fn fold_lines(&mut self, spaces: &mut String) -> bool {
        self.line_break();
        self.key_allowed = true;
        let mut breaks = 0;
        loop {
            if self.is_document_mark("---") || self.is_document_mark("...") {
                return false;
            }
            self.skip(|byte| byte == b' ');
            if !self.line_break() {
                break;
            }
            breaks += 1;
        }
        push_fold(spaces, breaks);
        true
    }

    /// Reads a block scalar; returns where its text ends, too.
    pub(super) fn block_scalar(&mut self, style: u8) -> Result<(String, usize)> {
        let start = self.at;
        self.move_to(start + 1);
        let (chomping, increment) = self.block_header(start)?;
        let least = (self.indent + 1).max(1);
        let mut breaks;
        let indent = if let Some(increment) = increment {
            let indent = least + increment - 1;
            breaks = self.block_breaks(indent);
            indent
        } else {
            let (found, deepest) = self.block_indentation();
            breaks = found;
            least.max(deepest)
        };
        let mut text = String::new();
        let mut end = self.at;
        let mut last_break = false;
        while self.column() == indent && self.byte(0) != 0 {
            text.extend(std::iter::repeat_n('\n', breaks));
            let is_text = !matches!(self.byte(0), b' ' | b'\t');
            let from = self.at;
            self.skip(|byte| !is_break_or_end(byte));
            text.push_str(&self.text[from..self.at]);
            end = self.at;
            last_break = self.line_break();
            breaks = self.block_breaks(indent);
            if self.column() != indent || self.byte(0) == 0 {
                break;
            }
            if style == b'>' && is_text && !matches!(self.byte(0), b' ' | b'\t') {
                if breaks == 0 {
                    text.push(' ');
                }
            } else {
                text.push('\n');
            }
        }
        if chomping != Chomping::Strip && last_break {
            text.push('\n');
        }
        if chomping == Chomping::Keep {
            text.extend(std::iter::repeat_n('\n', breaks));
        }
        Ok((text, end))
    }

    /// Reads what stands behind `|` or `>` on its line.
    fn block_header(&mut self, start: usize) -> Result<(Chomping, Option<isize>)> {
        let mut chomping = None;
        let mut increment = None;
        loop {
            match self.byte(0) {
                b'+' if chomping.is_none() => chomping = Some(Chomping::Keep),
                b'-' if chomping.is_none() => chomping = Some(Chomping::Strip),
                digit @ b'1'..=b'9' if increment.is_none() => increment = Some(isize::from(digit - b'0')),
                _ => break,
            }
            self.move_to(self.at + 1);
        }
        let blank = self.byte(0) == b' ';
        self.skip(|byte| byte == b' ');
        if blank && self.byte(0) == b'#' {
            self.skip(|byte| !is_break_or_end(byte));
        }
        if !is_break_or_end(self.byte(0)) {
            if self.byte(0) == b'\t' {
                return Err(SyntaxError::unexpected(b'\t', self.at..self.at + 1));
            }
            return Err(SyntaxError::new(
                "nothing but `+`, `-` and a digit stands behind `|` or `>`",
                start..self.at + 1,
            )
            .help("put the text on the lines below, or in quotes"));
        }
        self.line_break();
        Ok((chomping.unwrap_or(Chomping::Clip), increment))
    }

    /// Finds how deep the text is indented; returns the number of blank lines above it, too.
    fn block_indentation(&mut self) -> (usize, isize) {
        let (mut breaks, mut deepest) = (0, 0);
        loop {
            self.skip(|byte| byte == b' ');
            deepest = deepest.max(self.column());
            if !self.line_break() {
                return (breaks, deepest);
            }
            breaks += 1;
        }
    }

    fn block_breaks(&mut self, indent: isize) -> usize {
        let mut breaks = 0;
        loop {
            while self.column() < indent && self.byte(0) == b' ' {
                self.at += 1;
            }
            if !self.line_break() {
                return breaks;
            }
            breaks += 1;
        }
    }
}

/// One line break reads as a blank, more of them as that many less one.
pub(super) fn push_fold(text: &mut String, blank_lines: usize) {
    if blank_lines == 0 {
        text.push(' ');
    }
    text.extend(std::iter::repeat_n('\n', blank_lines));
}
