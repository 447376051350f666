//! Paths: `services.<id>.<field>`, `routing_rules.<task>.<field>`, `execution.<field>`.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{FieldId, Section};

/// Names a section's object, or one field of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
            if self.id.contains(['.', ' ', '"']) || self.id.is_empty() {
                write!(f, ".{:?}", self.id)?;
            } else {
                write!(f, ".{}", self.id)?;
            }
        }
        match self.field {
            Some(field) => write!(f, ".{}", self.section.spec(field).name),
            None => Ok(()),
        }
    }
}

impl Serialize for ConfigPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_in_the_yaml() {
        let timeout = Section::Execution.field("timeout_seconds").expect("known");
        assert_eq!(
            ConfigPath::field(Section::Execution, "", timeout).to_string(),
            "execution.timeout_seconds"
        );
        assert_eq!(ConfigPath::object(Section::Services, "a.b").to_string(), "services.\"a.b\"");
    }
}
