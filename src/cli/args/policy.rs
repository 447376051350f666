//! The answers to differences, as flags and environment variables.

use clap::{Args, ValueEnum};

use crate::model::{OnConflict, OnDrift, Policy, Prune};

/// The answers to differences.
#[derive(Args, Clone, Debug, Default)]
pub struct PolicyArgs {
    /// What to do where only the database moved
    #[arg(long, value_enum, env = "OXIDE_OPERATOR_ON_DRIFT", value_name = "ANSWER", help_heading = "Policy")]
    #[arg(default_value_t = DriftAnswer::Keep)]
    pub on_drift: DriftAnswer,
    /// What to do where both sides moved apart, or differed when they met
    #[arg(
        long,
        value_enum,
        env = "OXIDE_OPERATOR_ON_CONFLICT",
        value_name = "ANSWER",
        help_heading = "Policy"
    )]
    #[arg(default_value_t = ConflictAnswer::Hold)]
    pub on_conflict: ConflictAnswer,
    /// Whether to delete what the source no longer declares
    #[arg(long, value_enum, env = "OXIDE_OPERATOR_PRUNE", value_name = "ANSWER", help_heading = "Policy")]
    #[arg(default_value_t = PruneAnswer::Never)]
    pub prune: PruneAnswer,
    /// Confirm exactly this many deletions, beyond the limit of 20 %
    #[arg(long, value_name = "N", help_heading = "Policy")]
    pub confirm_prune: Option<usize>,
}

/// `--on-drift`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum DriftAnswer {
    /// Leave the database's value and report it
    #[default]
    Keep,
    /// Write the source's value back
    Revert,
}

/// `--on-conflict`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum ConflictAnswer {
    /// Write nothing until somebody chooses
    #[default]
    Hold,
    /// The source wins
    Source,
    /// The database wins
    Database,
}

/// `--prune`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum PruneAnswer {
    /// Nothing is ever deleted
    #[default]
    Never,
    /// What we wrote and nobody changed
    Owned,
}

impl From<&PolicyArgs> for Policy {
    fn from(args: &PolicyArgs) -> Self {
        Self {
            on_drift: match args.on_drift {
                DriftAnswer::Keep => OnDrift::Keep,
                DriftAnswer::Revert => OnDrift::Revert,
            },
            on_conflict: match args.on_conflict {
                ConflictAnswer::Hold => OnConflict::Hold,
                ConflictAnswer::Source => OnConflict::Source,
                ConflictAnswer::Database => OnConflict::Database,
            },
            prune: match args.prune {
                PruneAnswer::Never => Prune::Never,
                PruneAnswer::Owned => Prune::Owned,
            },
            confirm_prune: args.confirm_prune,
        }
    }
}
