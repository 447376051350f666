//! Text of others as it may be printed: on one line, and without what a terminal would obey.

use std::borrow::Cow;
use std::fmt::Write as _;

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
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(printable("x\u{1b}[1A\u{1b}[2K"), "x\\u001b[1A\\u001b[2K");
        assert_eq!(printable("a\nb\tc\u{7f}\u{9b}\u{202e}"), "a\\nb\\tc\\u007f\\u009b\\u202e");
        assert!(matches!(printable("grün 日本 ✓"), Cow::Borrowed(_)));
        assert_eq!(printable_in_place("a\rb\tc\u{202e}d"), "a\u{fffd}b c\u{fffd}d");
    }
}
