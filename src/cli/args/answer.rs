//! Arguments of `explain` and `revert`.

use clap::Args;

use super::{EditArgs, Format, PolicyArgs};
use crate::model::Selection;

/// Arguments of `explain`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator explain services.lmstudio.enabled
  oxide-operator explain lmstudio  every value of it that differs")]
pub struct Explain {
    /// services.ID.FIELD, rules.TASK.FIELD or execution.FIELD; an object, or its id alone
    #[arg(value_name = "PATH")]
    pub path: String,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
    /// The answers to differences.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Arguments of `revert`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator revert services.lmstudio.enabled
  oxide-operator revert services.lmstudio execution.timeout_seconds --dry-run")]
pub struct Revert {
    /// Objects or fields that the source declares
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<Selection>,
    /// How the edit is made.
    #[command(flatten)]
    pub edit: EditArgs,
}
