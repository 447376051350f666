//! What is parsed and printed is parsed as the same again: paths, patterns, and the names of sources.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use oxide_operator::model::{ConfigPath, PathPattern, Section, Selection};
use oxide_operator::source::SourceSpec;

pub(crate) fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(selection) = same_again::<Selection>(text) {
        assert!(!selection.to_string().contains(char::is_control), "{selection}");
    }
    if let Some(pattern) = same_again::<PathPattern>(text) {
        assert!(pattern.overlaps(&pattern), "{pattern}");
    }
    if text.contains(':') {
        same_again::<SourceSpec>(text);
    }
    exact_paths(text);
}

fn same_again<T: FromStr + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    let read: T = text.parse().ok()?;
    let printed = read.to_string();
    assert_eq!(printed.parse().ok().as_ref(), Some(&read), "{text:?} is printed as {printed:?}");
    Some(read)
}

/// A path with any id is given back as a path, and as the pattern of just that path.
fn exact_paths(id: &str) {
    if id.is_empty() {
        return;
    }
    for section in [Section::Services, Section::RoutingRules] {
        for path in [
            ConfigPath::object(section, id),
            ConfigPath::field(
                section,
                id,
                section.field("timeout_seconds").unwrap_or(section_field(section)),
            ),
        ] {
            let text = path.to_string();
            let read: Selection = text.parse().unwrap_or_else(|why| panic!("{text:?}: {why}"));
            assert_eq!(read, Selection::from(&path), "{text:?}");
            let pattern: PathPattern = text.parse().unwrap_or_else(|why| panic!("{text:?}: {why}"));
            assert_eq!(pattern, PathPattern::exactly(&path), "{text:?}");
        }
    }
}

fn section_field(section: Section) -> oxide_operator::model::FieldId {
    section.field_ids().next().expect("a section has fields")
}
