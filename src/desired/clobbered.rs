//! Whether the orchestrator rewrote a source, and lost what it does not know.
//!
//! Source: both of its writers, of its page's key form and of its API, load the YAML and dump it again with
//! `yaml.dump(…, default_flow_style=False, sort_keys=False)`. Neither adds or removes a service or a rule. Comments are
//! gone then, sections may fall back to defaults, and API keys land in the file in plain text.

use serde_json::{Value as Json, json};

use super::{DesiredConfig, value_of};
use crate::model::{Configuration, GoodSource, Section, SourceSnapshot, Value};

/// At least so many lines of the good source are written otherwise than a dump writes them, where nothing else tells: a
/// person changes one or two by the way.
const LINES_THAT_TELL: usize = 3;

/// Returns the signs that the orchestrator rewrote a source: what changed is dumped as `PyYAML` dumps, it declares the same
/// objects as the good one, and that was written otherwise, or something was lost.
pub fn clobbered(
    good: (&SourceSnapshot, &DesiredConfig),
    now: (&SourceSnapshot, &DesiredConfig),
) -> Option<Vec<&'static str>> {
    let changed = changed(good.0, now.0);
    let is_dumped = !changed.is_empty() && changed.iter().all(|(_, after)| is_dump(after));
    if !is_dumped || !declare_the_same(good.1.configuration(), now.1.configuration()) {
        return None;
    }
    let before: Vec<Layout> = changed.iter().map(|(before, _)| Layout::of(before)).collect();
    let otherwise: usize = before.iter().map(|layout| layout.unlike_a_dump).sum();
    let mut signs = vec!["it is written as the orchestrator writes it"];
    if otherwise > 1 && before.iter().any(|layout| layout.has_comments) {
        signs.push("every comment is gone");
    }
    if sections_reset(good.0, now.0) {
        signs.push("`security` or `cluster` fell back to defaults");
    }
    // A good source that is laid out as a dump gets its keys from people, too: only one that it had otherwise counts.
    let had_them = keys(good.1.configuration()) == keys(now.1.configuration());
    if now.1.plaintext_secrets() > good.1.plaintext_secrets() && (had_them || otherwise > 0) {
        signs.push("API keys appeared in plain text");
    }
    (otherwise >= LINES_THAT_TELL || signs.len() > 1).then_some(signs)
}

/// The files that changed, before and after: the orchestrator rewrites the one that it reads, whatever lies beside it.
fn changed<'a>(good: &'a SourceSnapshot, now: &'a SourceSnapshot) -> Vec<(&'a str, &'a str)> {
    let file = |name: &'a str| name.rsplit('/').next().unwrap_or(name);
    let pairs = now.documents.iter().filter_map(|after| {
        let before = good.documents.iter().find(|before| file(&before.name) == file(&after.name))?;
        (before.bytes != after.bytes).then_some((before, after))
    });
    pairs
        .filter_map(|(before, after)| {
            Some((std::str::from_utf8(&before.bytes).ok()?, std::str::from_utf8(&after.bytes).ok()?))
        })
        .collect()
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

/// How a text is laid out, compared with what `PyYAML` dumps: block style, two spaces, lists at the column of their key, no
/// blank line, no comment, and quotes only where they are needed.
#[derive(Default)]
struct Layout {
    /// How many lines a dump would not have so.
    unlike_a_dump: usize,
    has_comments: bool,
}

impl Layout {
    fn of(text: &str) -> Self {
        let mut layout = Self::default();
        let (mut before, mut open) = (None, None);
        for line in text.lines() {
            // What goes on in quotes may hold blank lines and number signs.
            if let Some(quote) = open {
                open = Some(quote).filter(|quote| !is_odd(line, *quote));
                continue;
            }
            let line = Line::of(line);
            layout.has_comments |= line.has_comment();
            layout.unlike_a_dump += usize::from(!line.is_dumped() || !line.is_in_place(before.as_ref()));
            open = line.opens();
            before = Some(line);
        }
        layout
    }
}

fn is_dump(text: &str) -> bool {
    !text.is_empty() && Layout::of(text).unlike_a_dump == 0
}

/// Whether a quote stands in a text an odd number of times; in double quotes one after a backslash is none.
fn is_odd(text: &str, quote: char) -> bool {
    let mut escaped = false;
    let count = text.chars().filter(|char| {
        let counts = *char == quote && !escaped;
        escaped = quote == '"' && *char == '\\' && !escaped;
        counts
    });
    !count.count().is_multiple_of(2)
}

/// A line that begins outside quotes.
struct Line<'a> {
    indent: usize,
    /// Without its indent.
    body: &'a str,
    /// How many list items begin on it.
    items: usize,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let body = line.trim_start_matches(' ');
        let (mut items, mut rest) = (0, body);
        while let Some(item) = rest.strip_prefix("- ") {
            (items, rest) = (items + 1, item);
        }
        Self { indent: line.len() - body.len(), body, items }
    }

    /// The value on it, or its text where it has no key.
    fn value(&self) -> &'a str {
        let item = self.body.trim_start_matches("- ");
        item.split_once(": ").map_or(item, |(_, value)| value)
    }

    /// The quote that is not closed on it.
    fn opens(&self) -> Option<char> {
        self.value()
            .chars()
            .next()
            .filter(|first| matches!(first, '\'' | '"') && is_odd(self.value(), *first))
    }

    fn has_comment(&self) -> bool {
        let value = self.value();
        let quote = value.chars().next().filter(|first| matches!(first, '\'' | '"'));
        let plain = match quote.map(|quote| (value.rfind(quote), self.opens())) {
            Some((Some(end), None)) => &value[end..],
            Some(_) => "",
            None => self.body,
        };
        self.body.starts_with('#') || plain.contains(" #")
    }

    /// Whether a dump has such a line: no collection in braces but an empty one, double quotes only around what needs an
    /// escape, no text in a block of its own.
    fn is_dumped(&self) -> bool {
        let value = self.value();
        let plain_value = match value.chars().next() {
            Some('[') => value == "[]",
            Some('{') => value == "{}",
            Some('"') => value.contains('\\'),
            Some('|' | '>') => false,
            _ => true,
        };
        let begins_otherwise =
            self.body.is_empty() || self.body.starts_with(['\t', '%', '#']) || self.body.starts_with("---");
        plain_value && !begins_otherwise && self.indent.is_multiple_of(2) && !self.has_comment()
    }

    /// Whether a list stands at the column of its key, or goes on.
    fn is_in_place(&self, before: Option<&Self>) -> bool {
        let Some(before) = before.filter(|_| self.items > 0) else { return self.items == 0 };
        let content = before.indent + 2 * before.items;
        self.indent < before.indent
            || (self.indent < content && (content - self.indent).is_multiple_of(2))
            || (self.indent == content && before.begins_a_collection())
    }

    /// Whether it ends with a key alone, perhaps with the name that a dump gives to what it refers to again.
    fn begins_a_collection(&self) -> bool {
        let anchored = self.body.rsplit_once(": &id").is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        self.body.ends_with(':') || anchored
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
    source.documents.iter().any(|document| std::str::from_utf8(&document.bytes).is_ok_and(is_dump))
}

fn has_comments(source: &SourceSnapshot) -> bool {
    source.documents.iter().any(|document| Layout::of(&String::from_utf8_lossy(&document.bytes)).has_comments)
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
        let dumped = "services:\n  a:\n    type: cli\n    executable: a\n    models:\n    - x\n    - y: z\n    - '1'\n    capabilities: []\n    site_name: \"\\e\"\n    note: 'two\n\n      lines # and a sign'\n    nested:\n    - - 1\n      - 2\n    - a:\n      - 3\n    again: &id001\n    - x\n    once_more: *id001\nexecution: {}\n";
        assert!(is_dump(dumped));
        for (from, to) in [
            ("    - x", "      - x"),
            ("  a:\n", "  a:   # the first\n"),
            ("services:", "# ours\nservices:"),
            ("execution:", "\nexecution:"),
            ("executable: a", "executable: \"a\""),
            ("capabilities: []", "capabilities: [a]"),
            ("  a:\n", "   a:\n"),
            ("again: &id001", "again: &mine"),
            ("note: '", "note: |"),
        ] {
            assert!(!is_dump(&dumped.replacen(from, to, 1)), "{to}");
        }
    }
}
