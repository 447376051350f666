//! The database back to YAML: everything, in a form that applies as a no-op.

mod plain;
mod yaml_file;

pub use plain::object_to_yaml;
pub(crate) use yaml_file::scalar;
pub use yaml_file::{ExportOptions, ExportedSecrets, to_yaml};

/// Returns any value as a YAML document, for output that people and programs read.
pub fn value_to_yaml(value: &impl serde::Serialize) -> String {
    serde_yaml::to_string(value).unwrap_or_default()
}

/// Returns what [`to_yaml`] wrote as JSON.
pub fn yaml_to_json(yaml: &str) -> serde_json::Value {
    serde_yaml::from_str(yaml).unwrap_or_default()
}
