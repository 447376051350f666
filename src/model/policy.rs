//! What the user wants done with differences.

use serde::{Deserialize, Serialize};

/// The answers to drift, conflict and objects removed from the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// What to do where only the database moved.
    pub on_drift: OnDrift,
    /// What to do where both sides moved apart.
    pub on_conflict: OnConflict,
    /// What to do with our objects that the source no longer declares.
    pub prune: Prune,
    /// The exact number of deletions that the user confirmed, which lifts the limit of 20 %.
    pub confirm_prune: Option<usize>,
}

/// The answer to drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDrift {
    /// Leave the database's value and report it.
    #[default]
    Keep,
    /// Write the source's value back.
    Revert,
}

/// The answer to a conflict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Write nothing until somebody chooses.
    #[default]
    Hold,
    /// The source wins; the overwritten value stays in the history.
    Source,
    /// The database wins; the value is left as it is.
    Database,
}

/// Whether objects that we own and the source no longer declares are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prune {
    /// Never.
    #[default]
    Never,
    /// Those we own and nobody changed, within the limits of `plan`.
    Owned,
}
