//! Characters that cannot stand in a YAML text as they are, and how they are written instead.

/// Line breaks in YAML 1.1, which the orchestrator reads, and plain characters in YAML 1.2, which other tools read: a
/// value or a comment with one in it would end at different places.
pub(super) const DISPUTED_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Returns the first character that `PyYAML` refuses or that readers do not agree on, and where it stands.
///
/// Source: `PyYAML` 6 `reader.py`, `NON_PRINTABLE`.
pub(super) fn unreadable_character(text: &str) -> Option<(usize, char)> {
    let is_control = |byte: u8| (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0x7f;
    if text.is_ascii() && !text.bytes().any(is_control) {
        return None;
    }
    text.char_indices().find(|(_, char)| {
        matches!(char, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}')
            || matches!(char, '\u{fffe}' | '\u{ffff}')
            || DISPUTED_BREAKS.contains(char)
    })
}

/// Returns what to write instead of such a character.
pub(super) fn help(char: char) -> String {
    let escape = match char {
        '\u{85}' => "\\N".to_owned(),
        '\u{2028}' => "\\L".to_owned(),
        '\u{2029}' => "\\P".to_owned(),
        char if u32::from(char) < 0x100 => format!("\\x{:02x}", u32::from(char)),
        char => format!("\\u{:04x}", u32::from(char)),
    };
    format!("remove it, or write it as an escape in double quotes: \"{escape}\"")
}

/// Returns a value as JSON on one line that every YAML reader takes for that value.
pub(super) fn json(value: &serde_json::Value) -> String {
    let text = value.to_string();
    if unreadable_character(&text).is_none() {
        return text;
    }
    let escaped = |char: char| match unreadable_character(char.encode_utf8(&mut [0; 4])) {
        Some(_) => format!("\\u{:04x}", u32::from(char)),
        None => char.to_string(),
    };
    text.chars().map(escaped).collect()
}
