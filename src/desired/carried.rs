//! Sections without a table, kept word for word.

use std::ops::Range;

use super::document::{self, Document, Other};
use super::mask;
use super::scalar::closest;
use super::yaml::Reader;
use crate::model::{CarriedSection, Section};

/// The sections that the orchestrator reads from the YAML and has no table for.
const KNOWN: [&str; 4] = ["logging", "security", "storage", "cluster"];

/// Returns the sections of `document` that are not managed, each as a YAML text of its own, and where its key
/// stands.
///
/// # Guarantees
/// The text alone reads as the same value. It is the source's own text, comments included, wherever that text
/// can stand alone; otherwise (a flow mapping, an alias to elsewhere) it is written anew.
pub(super) fn sections(text: &str, document: &mut Document) -> Vec<(CarriedSection, Range<usize>)> {
    let others = std::mem::take(&mut document.others);
    let starts = &document.section_starts;
    // A key may stand here, and be taken by an alias.
    let elsewhere = document.anchored.then(|| mask::Spans::of(text)).flatten();
    others
        .into_iter()
        .map(|other| {
            let next = starts.partition_point(|start| *start <= other.key.start);
            let next = starts.get(next).copied().unwrap_or(text.len());
            let yaml = verbatim(text, &other, next).unwrap_or_else(|| written_anew(&other));
            let masked = mask::text(&yaml, elsewhere.iter().flat_map(mask::Spans::aliased));
            let masked = (masked != yaml).then_some(masked);
            (CarriedSection { name: other.name, yaml, masked }, other.key)
        })
        .collect()
}

/// What people call a section otherwise, in the database and in speech.
const OTHER_NAMES: [(&str, &str); 3] =
    [("rules", "routing_rules"), ("routes", "routing_rules"), ("execution_settings", "execution")];

/// The beginning of a section's name stands for it from so many bytes on.
const MIN_ABBREVIATION: usize = 4;

/// Whether the orchestrator reads a section of this name, or its author marked it as one for other sections to refer to.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name) || name.starts_with("x-")
}

/// Returns what a misspelt name was probably meant to be; `None` for names that are nothing like a section's.
pub(super) fn near_miss(name: &str) -> Option<String> {
    if is_known(name) {
        return None;
    }
    let known: Vec<&str> = Section::ALL.iter().map(|section| section.name()).chain(KNOWN).collect();
    let plain = name.trim().to_lowercase().replace(['-', ' ', '.'], "_");
    // `routingRules` and `routingrules`, too.
    let squeezed = |text: &str| text.replace('_', "");
    let is_short_for = |known: &str| plain.len() >= MIN_ABBREVIATION && known.starts_with(&plain);
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == plain).map(|(_, known)| known);
    let same =
        known.iter().find(|known| squeezed(known) == squeezed(&plain) || is_short_for(known)).or(other);
    let near_other = || {
        let near = |(other, known): &(&str, &'static str)| {
            closest(&plain, &[*other]).map(|_| format!("did you mean `{known}`?"))
        };
        OTHER_NAMES.iter().find_map(near)
    };
    same.map(|known| format!("did you mean `{known}`?"))
        .or_else(|| closest(&plain, &known))
        .or_else(near_other)
}

fn verbatim(text: &str, other: &Other, next: usize) -> Option<String> {
    let before = &text[..other.key.start];
    if !before.is_empty() && !before.ends_with('\n') {
        return None;
    }
    let start = with_comments_above(text, other.key.start);
    let end = if next == text.len() { next } else { with_comments_above(text, next) };
    let slice = format!("{}\n", text.get(start..end)?.trim_start_matches('\u{feff}').trim_end());
    reads_as(&slice, other).then_some(slice)
}

/// Returns where the comment lines directly above the line at `start` begin.
fn with_comments_above(text: &str, mut start: usize) -> usize {
    while start > 0 {
        let above = text[..start - 1].rfind('\n').map_or(0, |at| at + 1);
        if !text[above..start].starts_with('#') {
            break;
        }
        start = above;
    }
    start
}

fn reads_as(slice: &str, other: &Other) -> bool {
    let mut reader = Reader::new(slice);
    let Ok(node) = reader.open().and_then(|_| reader.node()) else { return false };
    let expected = serde_json::Map::from_iter([(other.name.clone(), other.value.clone())]);
    reader.close().is_ok() && document::json(&node) == serde_json::Value::Object(expected)
}

fn written_anew(other: &Other) -> String {
    let section = serde_json::Map::from_iter([(other.name.clone(), other.value.clone())]);
    serde_yaml::to_string(&section).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::NoSecrets;
    use crate::model::Fingerprinter;

    fn carried(text: &str) -> Vec<CarriedSection> {
        let mut document = document::read(text, &NoSecrets, &Fingerprinter::derived_from(b"k"));
        sections(text, &mut document).into_iter().map(|(section, _)| section).collect()
    }

    #[test]
    fn a_section_keeps_its_comments_and_leaves_those_of_its_neighbours() {
        let text = "# head\n\n# about logging\nlogging:\n  level: INFO # loud\n\n# about security\nsecurity: {a: 1}\n";
        let sections = carried(text);
        assert_eq!(sections[0].yaml, "# about logging\nlogging:\n  level: INFO # loud\n");
        assert_eq!(sections[1].yaml, "# about security\nsecurity: {a: 1}\n");
    }

    #[test]
    fn a_section_that_cannot_stand_alone_is_written_anew() {
        let sections = carried("x-d: &d [a, b]\nsecurity:\n  dirs: *d\n");
        assert_eq!(sections[1].yaml, "security:\n  dirs:\n  - a\n  - b\n");
        assert_eq!(carried("{\"logging\": {\"level\": \"yes\"}}")[0].yaml, "logging:\n  level: \"yes\"\n");
    }

    #[test]
    fn a_misspelt_section_is_suggested_and_a_template_is_not() {
        assert_eq!(near_miss("servces").as_deref(), Some("did you mean `services`?"));
        for (name, meant) in [
            ("service", "services"),
            ("Services", "services"),
            ("routing-rules", "routing_rules"),
            ("routingRules", "routing_rules"),
            ("excution", "execution"),
            ("loging", "logging"),
            ("routing", "routing_rules"),
            ("rules", "routing_rules"),
            ("exec", "execution"),
            ("execution_settings", "execution"),
            ("execution-setting", "execution"),
        ] {
            assert_eq!(near_miss(name), Some(format!("did you mean `{meant}`?")), "{name}");
        }
        for name in ["x-defaults", "custom", "tools", "a", "log", "cluster"] {
            assert_eq!(near_miss(name), None, "{name}");
        }
    }
}
