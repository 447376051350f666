//! Values as text on one line, quoted so that every reader of YAML 1.1 and 1.2 takes them for what they are.

use serde_json::Value as Json;

use crate::export;

/// How a value is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    /// Whether it stands in braces or brackets.
    pub(super) flow: bool,
    /// The quote that the old value had.
    pub(super) old: Option<char>,
    /// Whether the document is JSON.
    pub(super) json: bool,
}

/// Returns a value on one line.
pub(super) fn inline(value: &Json, style: Style) -> String {
    match value {
        Json::String(text) if style.json => double_quoted(text),
        Json::String(text) => string(text, style),
        Json::Array(items) => {
            let inner = Style { flow: true, old: None, ..style };
            let items: Vec<String> = items.iter().map(|item| inline(item, inner)).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(entries) => {
            let inner = Style { flow: true, old: None, ..style };
            let name =
                |name: &str| if style.json { double_quoted(name) } else { plain_or_quoted(name, true) };
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", name(key), inline(value, inner)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn string(text: &str, style: Style) -> String {
    match style.old {
        Some('"') => double_quoted(text),
        Some('\'') if !text.chars().any(must_be_escaped) => format!("'{}'", text.replace('\'', "''")),
        _ => plain_or_quoted(text, style.flow),
    }
}

/// Returns a text as it is, when every reader takes it for that text; else in quotes.
pub(super) fn plain_or_quoted(text: &str, flow: bool) -> String {
    let scalar = export::scalar(text);
    let is_plain = !scalar.starts_with(['"', '\'']);
    // `?` ends a plain text there in YAML 1.1, which the orchestrator reads, and not in 1.2.
    let breaks_flow = flow && is_plain && scalar.contains([',', '[', ']', '{', '}', '?']);
    let on_one_line = !scalar.contains(['\n', '\r']);
    if breaks_flow || !on_one_line || text.chars().any(must_be_escaped) {
        return double_quoted(text);
    }
    scalar.into_owned()
}

/// Returns a text in double quotes.
pub(super) fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            char if must_be_escaped(char) => {
                let mut units = [0; 2];
                for unit in char.encode_utf16(&mut units) {
                    quoted.push_str(&format!("\\u{unit:04x}"));
                }
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// Characters that not every reader takes as they are: controls, line breaks of YAML 1.1, byte order marks.
fn must_be_escaped(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Returns a text as the block scalar that it was, when it can be one.
pub(super) fn literal(text: &str, indent: usize, eol: &str) -> Option<String> {
    let body = text.trim_end_matches('\n');
    let chomp = match text.len() - body.len() {
        0 => "-",
        1 => "",
        _ => return None,
    };
    let odd = |char: char| char != '\n' && must_be_escaped(char);
    if body.is_empty() || body.starts_with([' ', '\n', '\t']) || body.chars().any(odd) {
        return None;
    }
    let indent = " ".repeat(indent);
    let lines: Vec<String> = body
        .split('\n')
        .map(|line| if line.is_empty() { String::new() } else { format!("{indent}{line}") })
        .collect();
    Some(format!("|{chomp}{eol}{}", lines.join(eol)))
}
