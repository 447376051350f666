//! Texts that are hard to write down and to read back, and a source full of them.

/// Texts that other readers take for something else, or that are hard to write down.
#[rustfmt::skip]
const NASTY: [&str; 40] = [
    "yes", "no", "On", "off", "y", "N", "true", "FALSE", "null", "~", "", " ", "1:30", "190:20:30", "1_000",
    "0x1F", "0o17", "017", "1e3", "1.5", ".5", ".inf", ".NaN", "2024-01-01", "2024-01-01T10:00:00Z", "=",
    "<<", "- a", "? a", "a: b", "a #b", "*alias", "&anchor", "!tag", "%directive", "@at", "`tick", "| ",
    "two\nlines\n\n  indented\n", "---",
];

/// More of them: quotes, escapes, control characters, everything beyond ASCII.
#[rustfmt::skip]
const STRANGE: [&str; 18] = [
    "'", "\"", "it's \"both\"", "back\\slash", "\\n", "tab\there", "\u{7f}", "\u{85}", "\u{a0}",
    "\u{2028}x\u{2029}", "\u{feff}bom", "é", "日本語", "😀🏳️‍🌈", "\u{1}\u{1f}\u{8}\u{c}", "\r\n", "ends with:",
    " both sides ",
];

/// All of them.
pub(crate) fn nasty() -> impl Iterator<Item = &'static str> {
    NASTY.into_iter().chain(STRANGE)
}

/// A source in which every place that takes free text holds a nasty one.
pub(crate) fn nasty_source() -> String {
    let all: Vec<String> = nasty().map(yaml_text).collect();
    let all = all.join(", ");
    let mut yaml = String::from("services:\n");
    for text in nasty().filter(|text| !text.is_empty()) {
        // A blank key in a source says nothing about the key.
        let key = yaml_text(if text.trim().is_empty() { "k" } else { text });
        let text = yaml_text(text);
        yaml += &format!(
            "  {text}:\n    type: http\n    base_url: {text}\n    default_model: {text}\n    api_key: {key}\n"
        );
        yaml += &format!("    site_name: {text}\n    models: [{text}]\n    fallback_models: [{all}]\n");
    }
    yaml += "routing_rules:\n";
    for text in nasty().filter(|text| !text.is_empty()) {
        let text = yaml_text(text);
        yaml += &format!("  {text}: {{primary: {text}, fallback: [{text}]}}\n");
    }
    yaml + "security:\n  allowed_directories: [~/Documents, \"yes\"] # carried\n"
}

/// A text in double quotes with everything beyond printable ASCII escaped, for any YAML reader.
pub(crate) fn yaml_text(text: &str) -> String {
    let escape = |char: char| match char {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        ' '..='~' => char.to_string(),
        other => format!("\\U{:08x}", u32::from(other)),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}
