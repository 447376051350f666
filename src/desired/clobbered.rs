//! Whether the orchestrator rewrote a source, and lost what it does not know.
//!
//! Source: both of its writers, of its page's key form and of its API, load the YAML and dump it again with
//! `yaml.dump(…, default_flow_style=False, sort_keys=False)`. Neither adds or removes a service or a rule. Comments are
//! gone then, sections may fall back to defaults, and API keys land in the file in plain text.

use serde_json::{Value as Json, json};

use super::{DesiredConfig, value_of};
use crate::model::{Configuration, GoodSource, Section, SourceSnapshot, Value};

/// Returns the signs that the orchestrator rewrote a source: it is dumped as `PyYAML` dumps, it declares the same objects as
/// the good one, and that was written otherwise, or something was lost.
pub fn clobbered(
    good: (&SourceSnapshot, &DesiredConfig),
    now: (&SourceSnapshot, &DesiredConfig),
) -> Option<Vec<&'static str>> {
    if !is_dumped(now.0) || !declare_the_same(good.1.configuration(), now.1.configuration()) {
        return None;
    }
    let was_dumped = is_dumped(good.0);
    let mut signs = vec!["it is written as the orchestrator writes it"];
    if has_comments(good.0) {
        signs.push("every comment is gone");
    }
    if sections_reset(good.0, now.0) {
        signs.push("`security` or `cluster` fell back to defaults");
    }
    // A good source that is laid out as a dump gets its keys from people, too: only one that it had otherwise counts.
    let had_them = keys(good.1.configuration()) == keys(now.1.configuration());
    if now.1.plaintext_secrets() > good.1.plaintext_secrets() && (had_them || !was_dumped) {
        signs.push("API keys appeared in plain text");
    }
    (!was_dumped || signs.len() > 1).then_some(signs)
}

fn declare_the_same(good: &Configuration, now: &Configuration) -> bool {
    [Section::Services, Section::RoutingRules].into_iter().all(|section| {
        let ids = |side: &Configuration| {
            let mut ids: Vec<Box<str>> =
                side.section(section).into_iter().flatten().map(|(id, _)| id.clone()).collect();
            ids.sort();
            ids
        };
        ids(good) == ids(now)
    })
}

/// How many services have an API key.
fn keys(side: &Configuration) -> usize {
    let services = side.section(Section::Services).into_iter().flatten();
    services
        .filter(|(id, _)| {
            side.value(Section::Services, id, "api_key").is_some_and(|key| !matches!(key, Value::Unset))
        })
        .count()
}

/// Whether every file is laid out as `PyYAML` lays out what it dumps: block style, two spaces, lists at the column of their
/// key, no blank line, no comment, and quotes only where they are needed.
fn is_dumped(source: &SourceSnapshot) -> bool {
    let texts = source.documents.iter().map(|document| std::str::from_utf8(&document.bytes));
    source.documents.iter().any(|document| !document.bytes.is_empty())
        && texts.into_iter().all(|text| text.is_ok_and(is_dump))
}

fn is_dump(text: &str) -> bool {
    let mut before: Option<(usize, &str)> = None;
    text.lines().all(|line| {
        let body = line.trim_start_matches(' ');
        let indent = line.len() - body.len();
        let plain = !body.is_empty()
            && indent.is_multiple_of(2)
            && !body.starts_with(['#', '\t', '%'])
            && !body.contains(" #")
            && !body.starts_with("---")
            && has_plain_value(body);
        // A list stands at the column of its key.
        let in_place = !body.starts_with("- ")
            || before.is_some_and(|(above, text)| {
                above > indent || (above == indent && (text.starts_with("- ") || text.ends_with(':')))
            });
        before = Some((indent, body));
        plain && in_place
    })
}

/// Whether the value on a line is written as a dump writes it: no collection in braces but an empty one, and double quotes
/// only around what needs an escape.
fn has_plain_value(body: &str) -> bool {
    let item = body.trim_start_matches("- ");
    let value = item.split_once(": ").map_or(item, |(_, value)| value);
    match value.chars().next() {
        Some('[') => value == "[]",
        Some('{') => value == "{}",
        Some('"') => value.contains('\\'),
        _ => true,
    }
}

/// Returns what is to be known of a source that is kept as good.
pub fn known(source: &SourceSnapshot, desired: &DesiredConfig) -> GoodSource {
    GoodSource {
        digest: desired.digest().clone(),
        comments: has_comments(source),
        plaintext_secrets: desired.plaintext_secrets(),
    }
}

/// Whether a source may have been rewritten, by its own look: without opening the good one.
pub fn may_be_clobbered(source: &SourceSnapshot) -> bool {
    is_dumped(source)
}

fn has_comments(source: &SourceSnapshot) -> bool {
    source.documents.iter().any(|document| {
        let text = String::from_utf8_lossy(&document.bytes);
        text.lines().any(|line| line.trim_start().starts_with('#') || line.contains(" #"))
    })
}

/// Whether a section that only the YAML has lost what it said.
fn sections_reset(good: &SourceSnapshot, now: &SourceSnapshot) -> bool {
    let defaults = [
        ("cluster", json!({"enabled": false, "broadcast_port": 8888, "api_port": 8000})),
        ("security", json!({"path_validation_enabled": true})),
    ];
    defaults.iter().any(|(name, default)| {
        let Some(before) = section(good, name) else { return false };
        let after = section(now, name);
        after.as_ref() != Some(&before) && after.is_none_or(|after| loses(&before, &after, default))
    })
}

/// Whether a section no longer says something that was not the default, or says more than it did.
fn loses(before: &Json, after: &Json, default: &Json) -> bool {
    let (Json::Object(before), Json::Object(after)) = (before, after) else { return true };
    before.iter().any(|(key, value)| {
        let now = after.get(key).unwrap_or(&Json::Null);
        now != value && (now.is_null() || default.get(key) == Some(now) || now.is_array())
    })
}

fn section(source: &SourceSnapshot, name: &str) -> Option<Json> {
    source.documents.iter().find_map(|document| {
        let value = value_of(std::str::from_utf8(&document.bytes).ok()?).ok()?;
        value.get(name).cloned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dumped_looks_so_and_what_people_write_does_not() {
        let dumped = "services:\n  a:\n    type: cli\n    executable: a\n    models:\n    - x\n    - y: z\n    - '1'\n    capabilities: []\n    site_name: \"\\e\"\nexecution: {}\n";
        assert!(is_dump(dumped));
        for (from, to) in [
            ("    - x", "      - x"),
            ("  a:\n", "  a:   # the first\n"),
            ("services:", "# ours\nservices:"),
            ("execution:", "\nexecution:"),
            ("executable: a", "executable: \"a\""),
            ("capabilities: []", "capabilities: [a]"),
            ("  a:\n", "   a:\n"),
        ] {
            assert!(!is_dump(&dumped.replacen(from, to, 1)), "{to}");
        }
    }
}
