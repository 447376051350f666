//! Where the scanner is, and its steps.

use super::scan::Scanner;

impl Scanner<'_> {
    /// The byte that is `ahead` of the one that is looked at; 0 behind the end, and nowhere else.
    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn index(&self) -> usize {
        self.at - self.continuation_bytes
    }

    /// How many characters stand before this one on its line.
    pub(super) fn column(&self) -> isize {
        (self.index() - self.line_index).cast_signed()
    }

    /// Moves on within the line.
    pub(super) fn move_to(&mut self, at: usize) {
        if !self.is_ascii {
            let passed = &self.text.as_bytes()[self.at..at];
            self.continuation_bytes += passed.iter().filter(|byte| **byte & 0xC0 == 0x80).count();
        }
        self.at = at;
    }

    /// Moves on within the line over the bytes that `wanted` says.
    pub(super) fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
        self.move_to(self.at + length);
    }

    /// Moves over a line break; false when there is none here.
    pub(super) fn line_break(&mut self) -> bool {
        self.at += match (self.byte(0), self.byte(1)) {
            (b'\r', b'\n') => 2,
            (b'\r' | b'\n', _) => 1,
            _ => return false,
        };
        self.line += 1;
        self.line_index = self.index();
        true
    }

    /// Whether a document mark stands here, at the start of a line.
    pub(super) fn is_document_mark(&self, mark: &str) -> bool {
        self.column() == 0 && self.text[self.at..].starts_with(mark) && is_blank_or_end(self.byte(3))
    }
}

pub(super) fn is_blank_or_end(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t') || is_break_or_end(byte)
}

pub(super) fn is_break_or_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}
