//! `OxideConfig`: a declared configuration.

#![expect(clippy::duplicated_attributes, reason = "several columns of one type are no mistake")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::status::{Condition, conditions_schema};
use crate::model::PolicyPart;

/// A declared configuration of the Oxide orchestrator. Every agent whose source it is makes its database equal to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "oxide.dev",
    version = "v1alpha1",
    kind = "OxideConfig",
    namespaced,
    status = "OxideConfigStatus",
    shortname = "oxc",
    category = "oxide",
    doc = "A declared configuration of the Oxide orchestrator. Every agent whose source it is makes its database equal to it.",
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
    printcolumn(name = "Stores", type_ = "integer", json_path = ".status.stores.total"),
    printcolumn(name = "In sync", type_ = "integer", json_path = ".status.stores.synced"),
    printcolumn(name = "Drifted", type_ = "integer", json_path = ".status.stores.drifted"),
    printcolumn(name = "Conflicts", type_ = "integer", json_path = ".status.stores.conflicted"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct OxideConfigSpec {
    /// The orchestrator's YAML, word for word: read as any other source is, so that a path, a finding and a rule are the
    /// same everywhere.
    #[schemars(schema_with = "schema::configuration")]
    pub config: serde_json::Value,
    /// Answers to differences; where it says nothing, the agent's own settings count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyPart>,
    /// Stops writes into every database of this configuration, never the watch for differences.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

/// What the stores of a configuration have in common; written by the agent that holds the Lease.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OxideConfigStatus {
    /// The generation of the declaration that was summed up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: every store has what is declared. `Synced`: and nothing else.
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// How many stores are in which state.
    pub stores: StoreCounts,
    /// The last request for a full comparison that every store answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// How many stores are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreCounts {
    /// All of them.
    pub total: i64,
    /// Those that have what this generation declares.
    pub ready: i64,
    /// Those that differ in nothing.
    pub synced: i64,
    /// Those in which somebody changed a value.
    pub drifted: i64,
    /// Those that wait for somebody's choice.
    pub conflicted: i64,
}
