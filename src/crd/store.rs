//! `OxideStore`: the state of one database.

#![expect(clippy::duplicated_attributes, reason = "several columns of one type are no mistake")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::{Condition, Difference, DifferenceCounts, ObjectCount, conditions_schema};

/// The state of one database, reported by the agent beside it and gone with its pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "oxide.dev",
    version = "v1alpha1",
    kind = "OxideStore",
    namespaced,
    status = "OxideStoreStatus",
    shortname = "oxs",
    category = "oxide",
    doc = "The state of one database, reported by the agent beside it and gone with its pod.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Synced",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Synced')].status"
    ),
    printcolumn(name = "Drift", type_ = "integer", json_path = ".status.counts.drift"),
    printcolumn(name = "Conflicts", type_ = "integer", json_path = ".status.counts.conflict"),
    printcolumn(name = "Revision", type_ = "integer", json_path = ".status.revision"),
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.source"),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.database", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.summary", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct OxideStoreSpec {
    /// The source, as the agent was given it.
    pub source: String,
    /// The database's path, where the agent sees it.
    pub database: String,
    /// Stops writes into this database, never the watch for differences. Yours to set; the agent does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// What the last pass found. It holds no secret, and nothing that changes when nothing changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OxideStoreStatus {
    /// The generation of this object that the agent has seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The generation of the source that was compared; a `ConfigMap` has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_generation: Option<i64>,
    /// The version of the source that was compared, as the API server counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_resource_version: Option<String>,
    /// The digest of the source's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<String>,
    /// How the last pass ended: `inSync`, `applied`, `differences`, `conflictHeld` and others.
    pub outcome: String,
    /// One sentence for people.
    pub summary: String,
    /// The newest revision that this agent wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Differences by class.
    pub counts: DifferenceCounts,
    /// Objects on each side.
    pub objects: Vec<ObjectCount>,
    /// `Ready`, `Synced`, `Drifted`, `Conflicted`, `Paused`, `Pinned`, `SourceAvailable`, `KeyMismatch`,
    /// `BackupHealthy`, `ConsumerInSync`.
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The first differences by path, values masked where they are secret.
    pub differences: Vec<Difference>,
    /// How many differences are not listed.
    pub more_differences: i64,
    /// What is wrong with the source, or with the state that would result.
    pub findings: Vec<String>,
    /// The value of `oxide.dev/reconcile-requested-at` that was answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The agent's version.
    pub agent_version: String,
}
