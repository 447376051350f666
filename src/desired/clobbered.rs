//! Whether another program wrote a source anew and lost what it does not know.
//!
//! Source: the orchestrator's web UI rewrites its YAML after an edit; comments are lost, `security` and `cluster` fall
//! back to its defaults, and API keys land in the file in plain text.

use serde_json::{Value as Json, json};

use super::{DesiredConfig, value_of};
use crate::model::{GoodSource, SourceSnapshot};

/// Returns the signs that a source was written anew by a program, when there are enough of them: two of lost comments,
/// sections fallen back to defaults, keys in plain text. A source that never had a comment needs the other two.
pub fn clobbered(
    good: (&SourceSnapshot, &DesiredConfig),
    now: (&SourceSnapshot, &DesiredConfig),
) -> Option<Vec<&'static str>> {
    let mut signs = Vec::new();
    if has_comments(good.0) && !has_comments(now.0) {
        signs.push("every comment is gone");
    }
    if sections_reset(good.0, now.0) {
        signs.push("`security` or `cluster` fell back to defaults");
    }
    if now.1.plaintext_secrets() > good.1.plaintext_secrets() {
        signs.push("API keys appeared in plain text");
    }
    (signs.len() >= 2).then_some(signs)
}

/// Returns what is to be known of a source that is kept as good.
pub fn known(source: &SourceSnapshot, desired: &DesiredConfig) -> GoodSource {
    GoodSource {
        digest: desired.digest().clone(),
        comments: has_comments(source),
        plaintext_secrets: desired.plaintext_secrets(),
    }
}

/// Whether a source may have been written anew, by what is known without opening the good one.
pub fn may_be_clobbered(good: &GoodSource, source: &SourceSnapshot, desired: &DesiredConfig) -> bool {
    desired.plaintext_secrets() > good.plaintext_secrets || (good.comments && !has_comments(source))
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
