//! What somebody decided about this store, kept in it: accepted values, pauses, pins.

use serde::{Deserialize, Serialize};

use super::{ConfigPath, Object, PathPattern, Section, SourceDigest, Value, canonical_json};

/// Something that somebody decided, with who, why and until when.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What was decided.
    pub kind: DecisionKind,
    /// Where it holds; the whole store when it names none.
    pub scope: Option<PathPattern>,
    /// Who decided.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, in seconds since the epoch.
    pub at: f64,
    /// Until when, in seconds since the epoch; for good when there is none.
    pub until: Option<f64>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum DecisionKind {
    /// The database's value stays, and is quiet until either side moves again.
    Accept {
        /// What the database held, see [`mark`].
        #[serde(rename = "database")]
        live: String,
        /// What the source said.
        #[serde(rename = "source")]
        desired: String,
    },
    /// Nothing is written.
    Pause,
    /// After a restore: what this source says is not applied again.
    Pin {
        /// The source that was rejected.
        digest: SourceDigest,
    },
}

impl DecisionKind {
    /// The name of each kind.
    pub const NAMES: [&'static str; 3] = ["accept", "pause", "pin"];

    /// `accept`, `pause` or `pin`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "accept",
            Self::Pause => "pause",
            Self::Pin { .. } => "pin",
        }
    }
}

impl Decision {
    /// Whether it holds for a path.
    pub fn covers(&self, path: &ConfigPath) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.covers(path))
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: f64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The scope as text; empty for the whole store.
    pub fn scope_text(&self) -> String {
        self.scope.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// Returns what identifies a value without showing a secret: its canonical text, API keys as keyed fingerprints.
/// An object that is not there, or a field that is not mentioned, is `-`.
pub fn mark(path: &ConfigPath, object: Option<&Object>) -> String {
    let Some(object) = object else { return "-".into() };
    let Some(field) = path.field else { return canonical_json(path.section, object) };
    value_mark(path.section, field, object.get(field))
}

/// Returns what identifies the value of one field, see [`mark`].
pub fn value_mark(section: Section, field: super::FieldId, value: Option<&Value>) -> String {
    let Some(value) = value else { return "-".into() };
    let mut single = Object::default();
    single.set(field, value.clone());
    canonical_json(section, &single)
}
