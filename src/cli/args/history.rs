//! Arguments of `history`, `show`, `diff` and `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::edit::{EditArgs, RestoreArgs};
use super::{Format, PlanArgs};
use crate::store::RevisionId;

/// Arguments of `history`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator history  who changed what, when and why; newest first
  oxide-operator history --limit 5 -o json

Revisions such as o12 are snapshots that the orchestrator made itself.")]
#[command(args_conflicts_with_subcommands = true)]
pub struct History {
    /// Something else than listing it.
    #[command(subcommand)]
    pub command: Option<HistoryCommand>,
    /// At most so many, the newest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 30)]
    pub limit: usize,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
}

/// What is done with the history besides listing it.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Take plain API keys out of the orchestrator's own old snapshots
    #[command(
        before_help = "Examples:\n  oxide-operator history scrub --dry-run\n  oxide-operator history scrub"
    )]
    Scrub {
        /// Only count them
        #[arg(long)]
        dry_run: bool,
    },
}

/// Arguments of `show`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator show 7          who, why, and each change
  oxide-operator show 7 -o yaml  and all that it recorded")]
pub struct Show {
    /// A revision, as `history` names it
    #[arg(value_name = "REV")]
    pub revision: RevisionId,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
}

/// Arguments of `diff`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator diff      the same as `plan`
  oxide-operator diff 7    from revision 7 to the database as it is
  oxide-operator diff 7 9  from revision 7 to revision 9")]
pub struct Diff {
    /// The revision to compare from
    #[arg(value_name = "REV")]
    pub from: Option<RevisionId>,
    /// The revision to compare with [default: the database as it is]
    #[arg(value_name = "REV")]
    pub to: Option<RevisionId>,
    /// Arguments of `plan`, for a comparison of the source with the database.
    #[command(flatten)]
    pub plan: PlanArgs,
}

/// Arguments of `restore`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator restore 7 --dry-run               what would be written
  oxide-operator restore 7                         everything as in revision 7
  oxide-operator restore 7 --only services.gemini  only that service

The restore is a revision of its own: restoring the one before it undoes it. The YAML is not changed.")]
pub struct Restore {
    /// A revision, as `history` names it
    #[arg(value_name = "REV")]
    pub revision: RevisionId,
    /// How much, and how.
    #[command(flatten)]
    pub how: RestoreArgs,
}

/// Arguments of `undo`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator undo --dry-run  what would be taken back
  oxide-operator undo            the last write of oxide-operator, and nothing else
  oxide-operator undo            again: the undo itself is taken back

What somebody changed since is kept: where the last write no longer stands, nothing is written, and it is said.")]
pub struct Undo {
    /// How the edit is made.
    #[command(flatten)]
    pub edit: EditArgs,
}

/// Arguments of `rollback`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator rollback --to-yaml --dry-run       what would be exported and set aside
  oxide-operator rollback --to-yaml --with-secrets  a complete export
  oxide-operator rollback --undo                    the way back

The database is kept among its backups. Stop the orchestrator first: a database in use is not set aside.
The last write is taken back by `undo`, an earlier state brought back by `restore REV`.")]
pub struct Rollback {
    /// With --to-yaml: the file to export to, 0600; it must not exist [default: current.yaml beside the source]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Export the database to a YAML file, and set it aside among its backups
    #[arg(long)]
    pub to_yaml: bool,
    /// Write API keys in plain text, so that the orchestrator can use the file by itself
    #[arg(long)]
    pub with_secrets: bool,
    /// Put the database back that the last rollback set aside, or the one that is named as `backup list` shows it; one
    /// that was made meanwhile is set aside in its turn
    #[arg(long, value_name = "NAME", num_args = 0..=1, conflicts_with_all = ["file", "with_secrets", "to_yaml"])]
    pub undo: Option<Option<String>>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}
