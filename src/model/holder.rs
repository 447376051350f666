//! The agent that holds a database.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::printable;

/// Who holds a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentHolder {
    /// The host, or the pod.
    pub host: String,
    /// The process, as its own container numbers it.
    pub pid: u32,
    /// Its source, as it resolves on that host.
    pub source: String,
    /// Since when, as RFC 3339.
    pub since: String,
}

impl std::fmt::Display for AgentHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, pid, source, since } = self;
        // Any process that may write beside the database may have written these.
        let [host, source, since] = [host, source, since].map(|text| printable(text));
        write!(f, "process {pid} on {host}, with the source {source}, since {since}")
    }
}
