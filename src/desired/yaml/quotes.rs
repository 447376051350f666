//! Scalars in quotes.
//!
//! Source: `PyYAML` 6 `scanner.py`, `scan_flow_scalar`.

use std::borrow::Cow;

use super::error::{Result, SyntaxError};
use super::scalars::push_fold;
use super::scan::Scanner;

impl<'s> Scanner<'s> {
    /// Reads a scalar in quotes.
    pub(super) fn quoted(&mut self, quote: u8) -> Result<Cow<'s, str>> {
        let start = self.at;
        self.move_to(start + 1);
        let from = self.at;
        self.skip(|byte| !matches!(byte, b'\'' | b'"' | b'\\' | b'\r' | b'\n'));
        if self.byte(0) == quote && !(quote == b'\'' && self.byte(1) == b'\'') {
            let text = &self.text[from..self.at];
            self.move_to(self.at + 1);
            return Ok(Cow::Borrowed(text));
        }
        let mut text = self.text[from..self.at].to_owned();
        loop {
            let double = quote == b'"';
            match self.byte(0) {
                0 => return Err(SyntaxError::open_quote(start)),
                b'\'' if !double && self.byte(1) == b'\'' => {
                    text.push('\'');
                    self.move_to(self.at + 2);
                }
                byte if byte == quote => {
                    self.move_to(self.at + 1);
                    return Ok(Cow::Owned(text));
                }
                b'\\' if double => self.escape(&mut text, start)?,
                b'\r' | b'\n' => {
                    // Blanks before the break are not part of the text, unless they were escaped.
                    text.truncate(self.trimmed_length(&text, quote));
                    self.line_break();
                    let breaks = self.quoted_breaks(start)?;
                    push_fold(&mut text, breaks);
                }
                _ => {
                    let from = self.at;
                    self.move_to(from + 1);
                    self.skip(|byte| !matches!(byte, b'\'' | b'"' | b'\\' | b'\r' | b'\n' | 0));
                    text.push_str(&self.text[from..self.at]);
                }
            }
        }
    }

    /// Returns how long a text is without the blanks that stand in the source directly before here.
    fn trimmed_length(&self, text: &str, quote: u8) -> usize {
        let blanks =
            self.text[..self.at].bytes().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        // `\ ` and `\<tab>`: the blank behind a backslash is an escape.
        let escaped = blanks > 0 && quote == b'"' && {
            let before = &self.text[..self.at - blanks];
            before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
        };
        text.len().saturating_sub(blanks - usize::from(escaped))
    }

    /// Reads line breaks and blanks within quotes; returns how many lines were blank.
    fn quoted_breaks(&mut self, start: usize) -> Result<usize> {
        let mut breaks = 0;
        loop {
            if self.is_document_mark("---") || self.is_document_mark("...") {
                return Err(SyntaxError::open_quote(start));
            }
            self.skip(|byte| matches!(byte, b' ' | b'\t'));
            if !self.line_break() {
                return Ok(breaks);
            }
            breaks += 1;
        }
    }

    fn escape(&mut self, text: &mut String, start: usize) -> Result<()> {
        let at = self.at;
        self.move_to(at + 1);
        let char = match self.byte(0) {
            b'0' => '\0',
            b'a' => '\u{7}',
            b'b' => '\u{8}',
            b't' | b'\t' => '\t',
            b'n' => '\n',
            b'v' => '\u{b}',
            b'f' => '\u{c}',
            b'r' => '\r',
            b'e' => '\u{1b}',
            b' ' => ' ',
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'N' => '\u{85}',
            b'_' => '\u{a0}',
            b'L' => '\u{2028}',
            b'P' => '\u{2029}',
            b'x' => return self.coded(text, 2),
            b'u' => return self.coded(text, 4),
            b'U' => return self.coded(text, 8),
            b'\r' | b'\n' => {
                self.line_break();
                let breaks = self.quoted_breaks(start)?;
                text.extend(std::iter::repeat_n('\n', breaks));
                return Ok(());
            }
            _ => {
                return Err(SyntaxError::new("this is no escape that YAML knows", at..at + 2)
                    .help("write `\\\\` for a backslash, or use single quotes"));
            }
        };
        text.push(char);
        self.move_to(self.at + 1);
        Ok(())
    }

    fn coded(&mut self, text: &mut String, digits: usize) -> Result<()> {
        let at = self.at - 1;
        let end = self.at + 1 + digits;
        let hex =
            self.text.get(self.at + 1..end).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(code) = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()) else {
            let message = format!("this escape takes {digits} hexadecimal digits");
            return Err(SyntaxError::new(message, at..at + 2));
        };
        let Some(char) = char::from_u32(code) else {
            return Err(SyntaxError::new(
                "this escape is half a character; the orchestrator does not join halves",
                at..end,
            )
            .help("write the character itself, or `\\U` with its eight digits"));
        };
        text.push(char);
        self.move_to(end);
        Ok(())
    }
}
