//! Paths: `services.<id>.<field>`, `routing_rules.<task>.<field>`, `execution.<field>`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{FieldId, Section, printable};

/// Names a section's object, or one field of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigPath {
    /// The section.
    pub section: Section,
    /// The object's id; the empty string for execution.
    pub id: Box<str>,
    /// The field, or `None` for the whole object.
    pub field: Option<FieldId>,
}

impl ConfigPath {
    /// Returns the path of a whole object.
    pub fn object(section: Section, id: &str) -> Self {
        Self { section, id: id.into(), field: None }
    }

    /// Returns the path of a field.
    pub fn field(section: Section, id: &str, field: FieldId) -> Self {
        Self { section, id: id.into(), field: Some(field) }
    }
}

impl fmt::Display for ConfigPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.section.name())?;
        if self.section != Section::Execution {
            f.write_str(".")?;
            f.write_str(&written_id(&self.id))?;
        }
        match self.field {
            Some(field) => write!(f, ".{}", self.section.spec(field).name),
            None => Ok(()),
        }
    }
}

/// An id as it stands in a path: quoted as JSON quotes it, where it could be read as something else.
pub(super) fn written_id(id: &str) -> Cow<'_, str> {
    let plain = !id.is_empty() && !id.contains(['.', ' ', '"', '\\', '*', '?']) && printable(id) == id;
    if plain {
        return Cow::Borrowed(id);
    }
    let quoted = serde_json::to_string(id).unwrap_or_default();
    // JSON leaves some characters as they are that a terminal obeys.
    Cow::Owned(printable(&quoted).into_owned())
}

/// Reads an id that begins with a quote; returns what follows it.
pub(super) fn quoted_id(text: &str) -> Result<(String, &str), String> {
    let mut ids = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match ids.next() {
        Some(Ok(id)) => Ok((id, &text[ids.byte_offset()..])),
        _ => Err("the quote is not closed, or what is in it is not written as in JSON".to_owned()),
    }
}

/// Returns the name of the field behind a quoted id, if there is one.
pub(super) fn field_behind(rest: &str) -> Result<Option<&str>, String> {
    match rest.strip_prefix('.') {
        None if !rest.is_empty() => Err(format!("`{rest}` stands behind the quote, and no dot before it")),
        field => Ok(field),
    }
}

impl Serialize for ConfigPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a user names on the command line: a section, an object of it, or a field.
///
/// ```
/// use oxide_operator::model::{Section, Selection};
///
/// let one: Selection = "services.gpt-4.1.enabled".parse().expect("a path");
/// assert_eq!((one.section, one.id.as_deref()), (Section::Services, Some("gpt-4.1")));
/// assert!("services.\"a.enabled\"".parse::<Selection>().expect("a path").field.is_none());
/// assert!("logging.level".parse::<Selection>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The section.
    pub section: Section,
    /// The object's id, or `None` for the whole section; execution has one object, with the empty id.
    pub id: Option<Box<str>>,
    /// The field, or `None` for the whole object.
    pub field: Option<FieldId>,
}

impl Selection {
    /// Whether this names a path, or something that the path lies in.
    pub fn covers(&self, path: &ConfigPath) -> bool {
        self.covers_object(path.section, &path.id)
            && (self.field.is_none() || path.field.is_none() || self.field == path.field)
    }

    /// Whether this names the object, something in it, or its section.
    pub fn covers_object(&self, section: Section, id: &str) -> bool {
        self.section == section && self.id.as_deref().is_none_or(|own| own == id)
    }
}

impl From<&ConfigPath> for Selection {
    fn from(path: &ConfigPath) -> Self {
        Self { section: path.section, id: Some(path.id.clone()), field: path.field }
    }
}

impl FromStr for Selection {
    type Err = String;

    /// Reads `services`, `services.ID`, `services.ID.FIELD`, and the same for `routing_rules` (or `rules`) and
    /// `execution`. An id with dots needs quotes only where its last part is the name of a field.
    fn from_str(text: &str) -> Result<Self, String> {
        let (section, rest) = section_and_rest(text)?;
        let id = match (section, rest) {
            (Section::Execution, None) => {
                return Ok(Self { section, id: Some("".into()), field: None });
            }
            (Section::Execution, Some(name)) => {
                return Ok(Self { section, id: Some("".into()), field: Some(known_field(section, name)?) });
            }
            (_, None) => return Ok(Self { section, id: None, field: None }),
            (_, Some(rest)) => rest,
        };
        let quoted;
        let (id, field) = if id.starts_with('"') {
            let rest;
            (quoted, rest) = quoted_id(id)?;
            let field = field_behind(rest)?.map(|name| known_field(section, name)).transpose()?;
            (&*quoted, field)
        } else {
            match id.rsplit_once('.').map(|(id, name)| (id, section.field(name))) {
                Some((id, Some(field))) => (id, Some(field)),
                _ => (id, None),
            }
        };
        if id.is_empty() {
            return Err(format!("`{text}` names no {}", section.noun()));
        }
        Ok(Self { section, id: Some(id.into()), field })
    }
}

/// Splits the section off a path or a pattern; `rules` is short for `routing_rules`.
pub(super) fn section_and_rest(text: &str) -> Result<(Section, Option<&str>), String> {
    let (first, rest) = match text.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (text, None),
    };
    let section = match first {
        "rules" => Some(Section::RoutingRules),
        name => Section::named(name),
    };
    let section = section.ok_or_else(|| {
        format!("`{first}` is not a section: a path begins with services, routing_rules or execution")
    })?;
    Ok((section, rest))
}

fn known_field(section: Section, name: &str) -> Result<FieldId, String> {
    section
        .field(name)
        .ok_or_else(|| format!("`{name}` is not a field of {}: {}", section.noun(), section.field_names()))
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => {
                let path = ConfigPath { section: self.section, id: id.clone(), field: self.field };
                path.fmt(f)
            }
            None => f.write_str(self.section.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PathPattern;

    #[test]
    fn a_path_reads_as_in_the_yaml() {
        let timeout = Section::Execution.field("timeout_seconds").expect("known");
        assert_eq!(
            ConfigPath::field(Section::Execution, "", timeout).to_string(),
            "execution.timeout_seconds"
        );
        assert_eq!(ConfigPath::object(Section::Services, "a.b").to_string(), "services.\"a.b\"");
    }

    #[test]
    fn every_path_that_is_shown_can_be_given_back() {
        let retries = Section::Services.field("max_retries").expect("known");
        for id in [
            "a",
            "a.b",
            "a b",
            "q\"",
            "back\\slash",
            "\"",
            "a\u{1b}[2K",
            "new\nline",
            "$(touch x)",
            "日本",
            "\u{202e}x",
            "a.max_retries",
            "a*",
            "wh?t",
        ] {
            let path = ConfigPath::field(Section::Services, id, retries);
            let text = path.to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
            let read: Selection = text.parse().expect("a path");
            assert_eq!((read.id.as_deref(), read.field), (Some(id), Some(retries)), "{text}");
            let object: Selection =
                ConfigPath::object(Section::Services, id).to_string().parse().expect("a path");
            assert_eq!((object.id.as_deref(), object.field), (Some(id), None), "{text}");
            assert_eq!(text.parse(), Ok(PathPattern::exactly(&path)), "as a pattern it is that path alone");
        }
    }

    #[test]
    fn nothing_but_a_field_stands_behind_a_quoted_id() {
        for text in ["services.\"a\"x", "services.\"a\" .enabled", "services.\"a\"enabled"] {
            assert!(text.parse::<Selection>().is_err(), "{text}");
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
    }
}
