//! The parts of a status that both resources share.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A condition as Kubernetes knows them.
/// Source: `metav1.Condition`, <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/>.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A word from a fixed set.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// The generation of the object when this was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` became what it is, in RFC 3339.
    #[serde(default)]
    pub last_transition_time: String,
}

/// The schema of a list of conditions, one of each type.
pub(super) fn conditions_schema(generator: &mut SchemaGenerator) -> Schema {
    let condition = generator.subschema_for::<Condition>();
    json_schema!({
        "description": "What holds, one entry for each type.",
        "type": "array",
        "items": condition,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// Returns conditions with their times: what already was as it is keeps its time, the rest changed `now`.
pub fn conditions_with_times(mut found: Vec<Condition>, before: &[Condition], now: &str) -> Vec<Condition> {
    for condition in &mut found {
        let same = before.iter().find(|it| it.kind == condition.kind && it.status == condition.status);
        let time = same.map(|it| it.last_transition_time.as_str()).filter(|time| !time.is_empty());
        condition.last_transition_time = time.unwrap_or(now).to_owned();
    }
    found
}

/// Differences by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DifferenceCounts {
    /// The source moved, and it is not written yet.
    pub pending: i64,
    /// Only the database moved.
    pub drift: i64,
    /// Both moved, apart.
    pub conflict: i64,
    /// Objects that only the database has and nobody declared.
    pub extra: i64,
    /// Values that only the database has in declared objects.
    pub undeclared: i64,
    /// Values that could not be read or decrypted.
    pub unknown: i64,
}

/// How many objects of a section each side has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectCount {
    /// The section.
    pub section: String,
    /// In the source; none when the section is not declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<i64>,
    /// In the database.
    pub database: i64,
}

/// One difference that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Where, as `services.ollama.enabled`.
    pub path: String,
    /// `drift`, `conflict` and others.
    pub class: String,
    /// Why it stays.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: &str, status: &str, time: &str) -> Condition {
        Condition {
            kind: kind.into(),
            status: status.into(),
            last_transition_time: time.into(),
            ..Condition::default()
        }
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let before = [condition("Ready", "True", "then"), condition("Synced", "True", "then")];
        let found = vec![condition("Ready", "True", ""), condition("Synced", "False", "")];
        let times: Vec<String> = conditions_with_times(found, &before, "now")
            .into_iter()
            .map(|condition| condition.last_transition_time)
            .collect();
        assert_eq!(times, ["then", "now"]);
    }
}
