//! Writes a configuration as YAML. Quoting is left to the YAML library wherever a plain word does not do.

use std::borrow::Cow;

use crate::model::{Carried, Configuration, Kind, Object, Secret, Section, Value};

/// How a configuration is exported.
#[derive(Clone, Copy, Debug)]
pub struct ExportOptions<'a> {
    /// Leave out what the orchestrator assumes anyway.
    pub minimal: bool,
    /// What becomes of API keys.
    pub secrets: ExportedSecrets<'a>,
}

/// What becomes of API keys.
#[derive(Clone, Copy)]
pub enum ExportedSecrets<'a> {
    /// `apiKeyFrom: {token: …}`: opens only with the key, applies as it is, and is ignored by the orchestrator.
    Tokens,
    /// Plain text, for a file that the orchestrator reads by itself. The argument opens tokens.
    Plain(&'a dyn Fn(&str) -> Option<crate::model::SecretText>),
    /// `••••`, for people to look at.
    Masked,
}

impl std::fmt::Debug for ExportedSecrets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tokens => "Tokens",
            Self::Plain(_) => "Plain",
            Self::Masked => "Masked",
        })
    }
}

/// Returns the configuration as a YAML document: managed sections, then the carried ones word for word.
///
/// # Guarantees
/// Reading it back gives the same values. A value that cannot be read is left out, with a comment that says so.
pub fn to_yaml(configuration: &Configuration, carried: &Carried, options: &ExportOptions<'_>) -> String {
    let mut text = String::with_capacity(1 << 16);
    for section in Section::ALL {
        let Some(objects) = configuration.section(section) else { continue };
        if section == Section::Execution {
            let Some(object) = objects.values().next() else { continue };
            let fields = fields(section, object, options, "  ");
            if !(options.minimal && fields.is_empty()) {
                open_section(&mut text, section, fields.is_empty());
                text.push_str(&fields);
            }
            continue;
        }
        open_section(&mut text, section, objects.is_empty());
        for (id, object) in objects {
            text.push_str("  ");
            text.push_str(&scalar(id));
            text.push_str(":\n");
            text.push_str(&fields(section, object, options, "    "));
        }
    }
    for section in &carried.0 {
        if !text.is_empty() {
            text.push('\n');
        }
        match (&section.masked, options.secrets) {
            (Some(masked), ExportedSecrets::Masked) => text.push_str(masked),
            (Some(masked), ExportedSecrets::Tokens) => text.push_str(&left_out(masked)),
            (Some(masked), _) if section.yaml.is_empty() => text.push_str(&left_out(masked)),
            _ => text.push_str(&section.yaml),
        }
    }
    text
}

/// A section that is not exported, for people to see.
fn left_out(masked: &str) -> String {
    let lines: String = masked.lines().map(|line| format!("# {line}\n")).collect();
    format!("# Left out, because it holds what may be a secret; --with-secrets exports it:\n{lines}")
}

fn open_section(text: &mut String, section: Section, empty: bool) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(section.name());
    text.push_str(if empty { ": {}\n" } else { ":\n" });
}

fn fields(section: Section, object: &Object, options: &ExportOptions<'_>, indent: &str) -> String {
    let mut text = String::new();
    for (field, value) in object.iter() {
        let spec = section.spec(field);
        let drop_default = options.minimal && value.is_default(spec);
        match value {
            Value::Unset => {}
            _ if drop_default => {}
            Value::Unreadable(why) => push(&mut text, &[indent, "# ", spec.name, ": ", why, "\n"]),
            Value::Secret(secret) => push_secret(&mut text, secret, options, indent),
            Value::List(items) => {
                push(&mut text, &[indent, spec.name, ":\n"]);
                for item in items {
                    push(&mut text, &[indent, "- ", &scalar(item), "\n"]);
                }
            }
            Value::Flag(flag) => {
                push(&mut text, &[indent, spec.name, ": ", if *flag { "true" } else { "false" }, "\n"])
            }
            Value::Integer(number) => push(&mut text, &[indent, spec.name, ": ", &number.to_string(), "\n"]),
            Value::Text(value) => push(&mut text, &[indent, spec.name, ": ", &scalar(value), "\n"]),
        }
        debug_assert!(
            spec.kind != Kind::Secret || !matches!(value, Value::Text(_)),
            "a secret is a type of its own"
        );
    }
    text
}

fn push_secret(text: &mut String, secret: &Secret, options: &ExportOptions<'_>, indent: &str) {
    let token = secret.token.as_deref();
    match options.secrets {
        ExportedSecrets::Masked => push(text, &[indent, "api_key: ••••\n"]),
        ExportedSecrets::Tokens => match token {
            Some(token) => push(text, &[indent, "apiKeyFrom:\n", indent, "  token: ", token, "\n"]),
            None => push(text, &[indent, "# api_key: not stored\n"]),
        },
        ExportedSecrets::Plain(open) => match token.and_then(open) {
            Some(plain) => push(text, &[indent, "api_key: ", &scalar(plain.expose()), "\n"]),
            None => push(text, &[indent, "# api_key: no key at hand decrypts it\n"]),
        },
    }
}

fn push(text: &mut String, parts: &[&str]) {
    for part in parts {
        text.push_str(part);
    }
}

/// Returns a text as a YAML scalar that every YAML 1.1 and 1.2 reader takes for that text.
pub(crate) fn scalar(text: &str) -> Cow<'_, str> {
    if is_plainly_text(text) {
        return Cow::Borrowed(text);
    }
    let options = serde_yaml::ser_options! { prefer_block_scalars: false };
    match serde_yaml::to_string_with_options(&text, options) {
        Ok(yaml) => Cow::Owned(yaml.trim_end_matches('\n').to_owned()),
        Err(_) => Cow::Owned(serde_json::Value::from(text).to_string()),
    }
}

/// Whether a text is a plain word in every reader's eyes: it starts with a letter, has no special characters, and
/// is none of the words that mean something else.
fn is_plainly_text(text: &str) -> bool {
    const WORDS: [&str; 9] = ["yes", "no", "on", "off", "true", "false", "null", "y", "n"];
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !text.ends_with(':')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':'))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_mean_something_else_are_quoted() {
        for text in [
            "yes",
            "NO",
            "1:30",
            "0x1F",
            "2024-01-01",
            "",
            "a: b",
            "# x",
            "*a",
            "~",
            "null",
            "1_000",
            "é: ",
            "a\nb",
            " x",
            "x ",
        ] {
            let yaml = format!(
                "services:\n  a:\n    type: cli\n    executable: x\n    site_name: {}\n",
                scalar(text)
            );
            let source = crate::model::SourceSnapshot::of("test", "t.yaml", yaml.as_bytes());
            let none = crate::model::Fingerprinter::derived_from(b"k");
            let read =
                crate::desired::read(&source, &|_: &crate::model::SecretReference| Err(String::new()), &none);
            let read = read.unwrap_or_else(|findings| panic!("{yaml}\n{findings:?}"));
            let value = read.configuration().value(Section::Services, "a", "site_name").cloned();
            assert_eq!(value, Some(Value::Text(text.into())), "{yaml}");
        }
    }

    proptest::proptest! {
        /// Read by the rules of the orchestrator's reader; as a value, a key and an item.
        #[test]
        fn any_text_reads_back_as_it_was(text in "\\PC{0,6}|[\u{0}-\u{ff}]{0,4}|[\u{2020}-\u{2030}\u{fff0}-\u{ffff}\u{d7ff}\u{feff}]{0,3}|[a-c?:,#&*!|>'\"%@`{}\\[\\] \n\t.~=<0-9-]{0,5}") {
            let written = scalar(&text);
            let yaml = format!("v: {written}\n{written}: k\nl:\n- {written}\n");
            let read = crate::desired::value_of(&yaml).unwrap_or_else(|why| panic!("{yaml:?}: {why}"));
            let expected = serde_json::Value::from(text.as_str());
            proptest::prop_assert_eq!(&read["l"][0], &expected);
            if text != "v" && text != "l" {
                proptest::prop_assert_eq!(&read["v"], &expected);
                proptest::prop_assert_eq!(&read[text.as_str()], &serde_json::Value::from("k"));
            }
        }
    }

    #[test]
    fn ordinary_words_stay_plain() {
        for text in
            ["gemini", "qwen2.5-coder:7b", "http://localhost:11434", "meta-llama/llama-3.2-3b-instruct:free"]
        {
            assert_eq!(scalar(text), text);
        }
    }
}
