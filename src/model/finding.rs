//! What is wrong with an input: where, what, and what to do about it.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::printable;

/// One thing found in an input. All findings of an input are reported together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// Whether it stops everything or is only worth knowing.
    pub severity: Severity,
    /// The configuration path it is about, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is wrong; lower case, no full stop, never holds a secret.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// Where it stands in the source.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The input is refused: nothing is written.
    Error,
    /// The input is used; this deserves attention.
    Warning,
}

/// A place in a source file, with its line masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Location {
    /// The file as the user named it.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// The line's text, of a long line what is around the place; a secret in it is masked.
    pub text: String,
    /// The column at which `text` begins: 1 but in a long line.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(default = "one")]
    pub shown_from: usize,
    /// How many characters to underline.
    pub length: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_one(column: &usize) -> bool {
    *column == 1
}

fn one() -> usize {
    1
}

/// The longest part of a finding, in bytes: names come from the input, and may be as long as it is.
const MAX_PART: usize = 600;

/// On one line, without what a terminal would obey, and not longer than anybody reads.
fn clipped(text: impl AsRef<str>) -> String {
    let mut text = printable(text.as_ref()).into_owned();
    if text.len() > MAX_PART {
        text.truncate(text.floor_char_boundary(MAX_PART));
        text.push('…');
    }
    text
}

impl Finding {
    /// Returns an error that stops everything.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: None,
            message: clipped(Into::<String>::into(message)),
            suggestion: None,
            location: None,
        }
    }

    /// Returns a warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Names the configuration path.
    #[must_use]
    pub fn at_path(mut self, path: impl fmt::Display) -> Self {
        self.path = Some(clipped(path.to_string()));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(clipped(Into::<String>::into(suggestion)));
        self
    }
}

/// The form people read: message, place, the line with the text underlined, suggestion.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        match &self.path {
            Some(path) => write!(f, "{severity}: {path}: {}", self.message)?,
            None => write!(f, "{severity}: {}", self.message)?,
        }
        if let Some(at) = &self.location {
            let gutter = " ".repeat(at.line.to_string().len());
            let left_out = if at.shown_from > 1 { "…" } else { "" };
            write!(f, "\n{gutter}--> {}:{}:{}", printable(&at.file), at.line, at.column)?;
            write!(f, "\n{gutter} |\n{} | {left_out}{}", at.line, at.text)?;
            // Both stand in the text that is shown, however long the line is.
            let shown = at.text.chars().count() + 1;
            let indent = at.column.saturating_sub(at.shown_from).min(shown) + left_out.chars().count();
            let marks = "^".repeat(at.length.clamp(1, shown));
            write!(f, "\n{gutter} | {}{marks}", " ".repeat(indent))?;
        }
        match &self.suggestion {
            Some(suggestion) => write!(f, "\n  help: {suggestion}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_underlines_the_offending_text() {
        let mut finding = Finding::error("unknown field `base_ulr`")
            .at_path("services.a.base_ulr")
            .suggest("did you mean `base_url`?");
        finding.location = Some(Location {
            file: "default.yaml".into(),
            line: 12,
            column: 5,
            shown_from: 1,
            text: "    base_ulr: http://x".into(),
            length: 8,
        });
        let expected = "error: services.a.base_ulr: unknown field `base_ulr`
  --> default.yaml:12:5
   |
12 |     base_ulr: http://x
   |     ^^^^^^^^
  help: did you mean `base_url`?";
        assert_eq!(finding.to_string(), expected);
    }

    #[test]
    fn a_place_far_out_in_a_line_is_shown_with_what_is_around_it() {
        let mut finding = Finding::error("unknown field `x`");
        finding.location = Some(Location {
            file: "default.yaml".into(),
            line: 1,
            column: 70_000,
            shown_from: 69_996,
            text: "ab, x: 1}".into(),
            length: usize::MAX,
        });
        let shown = finding.to_string();
        assert!(shown.contains("1 | …ab, x: 1}\n  |      ^^^^^^^^^^"), "{shown}");
        if let Some(location) = &mut finding.location {
            location.shown_from = 1;
        }
        assert!(finding.to_string().len() < 200, "a caret is never further out than the text");
    }
}
