//! The managed fields of each section: one table that decoding, planning, storing and exporting share.
//!
//! Source: `services`, `routing_rules` and `execution_settings` as the orchestrator creates them
//! (`config_storage_sqlite.py`) and reads them (`loader.py`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A managed section of the configuration: compared with the database and written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// `services.<id>`: table `services`.
    Services,
    /// `routing_rules.<task>`: table `routing_rules`.
    RoutingRules,
    /// `execution`: the one row of table `execution_settings`.
    Execution,
}

impl Section {
    /// All sections, in the order in which they are read, written and shown.
    pub const ALL: [Self; 3] = [Self::Services, Self::RoutingRules, Self::Execution];

    /// The section's key in the YAML.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::RoutingRules => "routing_rules",
            Self::Execution => "execution",
        }
    }

    /// What one object of the section is called in messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Services => "service",
            Self::RoutingRules => "routing rule",
            Self::Execution => "execution settings",
        }
    }

    /// The section's table in the orchestrator's database.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::RoutingRules => "routing_rules",
            Self::Execution => "execution_settings",
        }
    }

    /// The column that holds an object's id.
    pub const fn id_column(self) -> &'static str {
        match self {
            Self::Services | Self::Execution => "id",
            Self::RoutingRules => "task_type",
        }
    }

    /// The section's fields. A [`FieldId`] is a position in this slice.
    pub const fn fields(self) -> &'static [FieldSpec] {
        match self {
            Self::Services => SERVICE,
            Self::RoutingRules => ROUTING_RULE,
            Self::Execution => EXECUTION,
        }
    }

    /// Returns the section whose YAML key is `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }

    /// Returns the field called `name` in the YAML.
    pub fn field(self, name: &str) -> Option<FieldId> {
        let position = self.fields().iter().position(|spec| spec.name == name)?;
        Some(FieldId(u8::try_from(position).expect("a section has fewer than 256 fields")))
    }

    /// Returns the names of all fields, for messages.
    pub fn field_names(self) -> String {
        let names: Vec<&str> = self.fields().iter().map(|spec| spec.name).collect();
        names.join(", ")
    }

    /// Returns every field of the section, in table order.
    pub fn field_ids(self) -> impl Iterator<Item = FieldId> {
        (0..self.fields().len()).map(|position| FieldId(u8::try_from(position).expect("see Section::field")))
    }

    /// Returns the table entry of `field`, which must be a field of this section.
    pub fn spec(self, field: FieldId) -> &'static FieldSpec {
        &self.fields()[usize::from(field.0)]
    }
}

/// A field's position in its section's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub u8);

/// One managed field.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// The key in the YAML.
    pub name: &'static str,
    /// The column in the database.
    pub column: &'static str,
    /// The column's declared type, used when an older database lacks it.
    pub sql_type: &'static str,
    /// What a value may be.
    pub kind: Kind,
    /// Whether an explicit null is refused, because the orchestrator cannot read one back.
    pub required: bool,
    /// What the orchestrator assumes, and we write on create, where nothing is declared.
    pub default: FieldDefault,
}

/// The type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Free text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`; 0 or 1 in the database.
    Flag,
    /// A whole number that is not negative.
    Integer,
    /// A list whose order nobody reads: compared as a set. A JSON array in the database.
    Set,
    /// A list whose order matters. A JSON array in the database.
    List,
    /// An API key: encrypted in the database, never shown.
    Secret,
}

impl Kind {
    /// Whether an absent value, NULL and `[]` all mean the same.
    pub const fn is_list(self) -> bool {
        matches!(self, Self::Set | Self::List)
    }
}

/// What holds where a field is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldDefault {
    /// Nothing: NULL, or `[]` for lists.
    Unset,
    /// This flag.
    Flag(bool),
    /// This number.
    Integer(i64),
}

const fn field(name: &'static str, sql_type: &'static str, kind: Kind) -> FieldSpec {
    FieldSpec { name, column: name, sql_type, kind, required: false, default: FieldDefault::Unset }
}

const fn stored_as(spec: FieldSpec, column: &'static str) -> FieldSpec {
    FieldSpec { column, ..spec }
}

const fn required(spec: FieldSpec) -> FieldSpec {
    FieldSpec { required: true, ..spec }
}

const fn or(spec: FieldSpec, default: FieldDefault) -> FieldSpec {
    FieldSpec { default, required: true, ..spec }
}

const SERVICE: &[FieldSpec] = &[
    required(field("type", "TEXT", Kind::Choice(&["cli", "http"]))),
    or(field("enabled", "BOOLEAN", Kind::Flag), FieldDefault::Flag(true)),
    field("executable", "TEXT", Kind::Text),
    field("base_url", "TEXT", Kind::Text),
    field("api_type", "TEXT", Kind::Choice(&["ollama", "openai_compatible"])),
    stored_as(field("api_key", "TEXT", Kind::Secret), "api_key_encrypted"),
    field("default_model", "TEXT", Kind::Text),
    field("max_context_tokens", "INTEGER", Kind::Integer),
    field("capabilities", "TEXT", Kind::Set),
    field("models", "TEXT", Kind::Set),
    field("preferred_models", "TEXT", Kind::List),
    field("fallback_models", "TEXT", Kind::List),
    field("use_free_only", "BOOLEAN", Kind::Flag),
    field("max_retries", "INTEGER", Kind::Integer),
    field("retry_delay", "INTEGER", Kind::Integer),
    field("site_url", "TEXT", Kind::Text),
    field("site_name", "TEXT", Kind::Text),
    field("auto_start", "BOOLEAN", Kind::Flag),
    field("auto_detect_model", "BOOLEAN", Kind::Flag),
];

const ROUTING_RULE: &[FieldSpec] = &[
    required(stored_as(field("primary", "TEXT", Kind::Text), "primary_service")),
    stored_as(field("fallback", "TEXT", Kind::List), "fallback_services"),
    field("parallel_threshold_files", "INTEGER", Kind::Integer),
    field("timeout_seconds", "INTEGER", Kind::Integer),
];

const EXECUTION: &[FieldSpec] = &[
    or(field("max_parallel_workers", "INTEGER", Kind::Integer), FieldDefault::Integer(3)),
    or(field("timeout_seconds", "INTEGER", Kind::Integer), FieldDefault::Integer(120)),
    or(field("streaming", "BOOLEAN", Kind::Flag), FieldDefault::Flag(true)),
    or(field("retry_on_failure", "BOOLEAN", Kind::Flag), FieldDefault::Flag(true)),
    or(field("max_retries", "INTEGER", Kind::Integer), FieldDefault::Integer(2)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_yaml_name() {
        for section in Section::ALL {
            for id in section.field_ids() {
                assert_eq!(section.field(section.spec(id).name), Some(id));
            }
        }
    }

    #[test]
    fn a_section_is_found_by_its_yaml_key() {
        assert_eq!(Section::named("routing_rules"), Some(Section::RoutingRules));
        assert_eq!(Section::named("logging"), None);
    }
}
