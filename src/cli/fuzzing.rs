//! The files that the command line reads, for `fuzz/`.

use std::path::Path;

use super::operator_file::OperatorFile;
use super::plan::SavedPlan;
use crate::model::Finding;

/// Reads `operator.yaml`.
pub fn operator_yaml(text: &str) -> Result<(), Vec<Finding>> {
    let read = OperatorFile::read("operator.yaml", text)?;
    let _ = (read.policy(), read.fights());
    Ok(())
}

/// Reads a saved plan, as `apply` does.
pub fn saved_plan(path: &Path) -> Result<(), String> {
    let plan = SavedPlan::load(path).map_err(|error| format!("{error:#}"))?;
    plan.fingerprint().map(drop).map_err(|error| format!("{error:#}"))
}
