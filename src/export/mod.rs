//! The database back to YAML: everything, in a form that applies as a no-op.

mod yaml_file;

pub use yaml_file::{ExportOptions, ExportedSecrets, to_yaml};
