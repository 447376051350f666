//! Text of others as it may be printed: on one line, and without what a terminal would obey.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Returns a text with every character that a terminal or a log would obey written as JSON writes it: control characters,
/// line breaks, and marks that change the direction of the text around them.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut printed = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '\n' => printed.push_str("\\n"),
            '\r' => printed.push_str("\\r"),
            '\t' => printed.push_str("\\t"),
            char if is_obeyed(char) => {
                let _ = write!(printed, "\\u{:04x}", u32::from(char));
            }
            char => printed.push(char),
        }
    }
    Cow::Owned(printed)
}

/// Returns a text of several lines so that each can be printed: as [`printable`], with line feeds and tabs as they are. JSON
/// and YAML in double quotes mean the same afterwards.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    let is_obeyed = |char| is_obeyed(char) && char != '\n' && char != '\t';
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let escaped = |char: char| match char {
        char if is_obeyed(char) => format!("\\u{:04x}", u32::from(char)),
        char => char.to_string(),
    };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// Returns a path as it may be printed.
pub fn shown_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// The longest reason, in characters: it stands in a line of the history.
const MAX_REASON: usize = 300;

/// Returns why somebody does something as it is recorded: one line, which is printed in many places.
///
/// # Errors
/// What a reason is.
pub fn reason_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= MAX_REASON && !text.contains(is_obeyed);
    let what = || {
        format!(
            "a reason is one line of 1 to {MAX_REASON} characters, without control characters and marks of direction"
        )
    };
    fits.then(|| text.to_owned()).ok_or_else(what)
}

/// Returns a text in which each such character is one that takes a column, so that what is marked below it still fits.
pub fn printable_in_place(text: &str) -> String {
    let in_place = |char| match char {
        '\t' => ' ',
        char if is_obeyed(char) => char::REPLACEMENT_CHARACTER,
        char => char,
    };
    text.chars().map(in_place).collect()
}

/// Source for the marks: Unicode Bidirectional Algorithm, <https://www.unicode.org/reports/tr9/#Explicit_Directional_Embeddings>.
fn is_obeyed(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines_and_json_means_the_same() {
        assert_eq!(printable_lines("a\tb\nc\r\u{1b}[31m"), "a\tb\nc\\u000d\\u001b[31m");
        let value = serde_json::json!({"a\u{202e}": ["\u{7f}\u{85}\u{9b}\u{2066}\n"]});
        let text = serde_json::to_string_pretty(&value).expect("JSON");
        let printed = printable_lines(&text);
        assert!(printed.chars().all(|char| char == '\n' || !is_obeyed(char)), "{printed}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("JSON"), value);
    }

    #[test]
    fn a_reason_is_one_line_that_no_terminal_obeys() {
        assert_eq!(reason_of(" too slow – grün "), Ok("too slow – grün".to_owned()));
        for bad in ["", "  ", "a\nb", "a\u{1b}[31m", "a\u{9b}", "a\u{202e}b", &"x".repeat(301)] {
            assert!(reason_of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(printable("x\u{1b}[1A\u{1b}[2K"), "x\\u001b[1A\\u001b[2K");
        assert_eq!(printable("a\nb\tc\u{7f}\u{9b}\u{202e}"), "a\\nb\\tc\\u007f\\u009b\\u202e");
        assert!(matches!(printable("grün 日本 ✓"), Cow::Borrowed(_)));
        assert_eq!(printable_in_place("a\rb\tc\u{202e}d"), "a\u{fffd}b c\u{fffd}d");
    }
}
