//! Why a YAML text cannot be read.

use std::borrow::Cow;
use std::ops::Range;

/// Why reading stopped: what, where, and what to do.
#[derive(Debug)]
pub(in crate::desired) struct SyntaxError {
    pub(in crate::desired) message: String,
    pub(in crate::desired) help: Option<Cow<'static, str>>,
    pub(in crate::desired) span: Range<usize>,
}

pub(in crate::desired) type Result<T> = std::result::Result<T, SyntaxError>;

impl SyntaxError {
    pub(in crate::desired) fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), help: None, span }
    }

    pub(in crate::desired) fn help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A character that begins nothing.
    pub(super) fn unexpected(byte: u8, span: Range<usize>) -> Self {
        if byte == b'\t' {
            return Self::new("a tab stands where the orchestrator's YAML reader takes only spaces", span)
                .help("replace the tab with spaces");
        }
        let shown = char::from(byte);
        Self::new(format!("`{shown}` cannot stand here"), span)
            .help("put the text in quotes if it begins with this character")
    }

    /// A line that can only be a key, and has no colon.
    pub(super) fn missing_colon(text: &str, at: usize) -> Self {
        let line = text[at..].split(['\r', '\n']).next().unwrap_or_default();
        Self::new("expected a key with a `:` behind it", at..at + line.trim_end().len())
            .help("write `key: value`, or indent the line further if it continues the text above")
    }

    /// A colon where no key can be.
    pub(super) fn second_colon(at: usize) -> Self {
        Self::new("a key is not allowed here", at..at + 1)
            .help("indent it exactly like the keys it belongs to; a text that holds `: ` stands in quotes")
    }

    /// Quotes that are not closed.
    pub(super) fn open_quote(start: usize) -> Self {
        Self::new("the text that begins here has no closing quote", start..start + 1)
            .help("close it with the same quote")
    }
}
