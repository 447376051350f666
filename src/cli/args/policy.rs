//! The answers to differences, as flags and environment variables.

use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::model::{OnConflict, OnDrift, Override, PathPattern, PolicyPart, Prune, Seconds};

/// The answers to differences.
#[derive(Args, Clone, Debug, Default)]
pub struct PolicyArgs {
    /// What to do where only the database moved [default: keep]
    #[arg(long, value_enum, env = "OXIDE_OPERATOR_ON_DRIFT", value_name = "ANSWER", help_heading = "Policy")]
    pub on_drift: Option<OnDrift>,
    /// What to do where both sides moved apart, or differed when they met [default: hold]
    #[arg(
        long,
        value_enum,
        env = "OXIDE_OPERATOR_ON_CONFLICT",
        value_name = "ANSWER",
        help_heading = "Policy"
    )]
    pub on_conflict: Option<OnConflict>,
    /// Whether to delete what the source no longer declares [default: never]
    #[arg(long, value_enum, env = "OXIDE_OPERATOR_PRUNE", value_name = "ANSWER", help_heading = "Policy")]
    pub prune: Option<Prune>,
    /// Another answer for some paths, as `services.*.enabled=revert`; the most specific counts
    #[arg(
        long = "override",
        env = "OXIDE_OPERATOR_OVERRIDES",
        value_name = "PATH=ANSWER",
        value_delimiter = ',',
        value_parser = overriding,
        help_heading = "Policy"
    )]
    pub overrides: Vec<Override>,
    /// A path that is left out of every comparison, as `services.*.models`
    #[arg(
        long,
        env = "OXIDE_OPERATOR_IGNORE",
        value_name = "PATH",
        value_delimiter = ',',
        help_heading = "Policy"
    )]
    pub ignore: Vec<PathPattern>,
    /// How long an edit must be quiet before `run` answers it by itself [default: 30s]
    #[arg(long, env = "OXIDE_OPERATOR_GRACE", value_name = "TIME", help_heading = "Policy")]
    pub grace: Option<Seconds>,
    /// Confirm exactly this many deletions, beyond the limit of 20 %
    #[arg(long, value_name = "N", help_heading = "Policy")]
    pub confirm_prune: Option<usize>,
}

impl PolicyArgs {
    /// The answers that are given.
    pub(in crate::cli) fn part(&self) -> PolicyPart {
        PolicyPart {
            on_drift: self.on_drift,
            grace: self.grace,
            on_conflict: self.on_conflict,
            prune: self.prune,
            overrides: self.overrides.clone(),
            ignore: self.ignore.clone(),
        }
    }
}

/// Reads `PATH=ANSWER`; the answer tells what is answered.
fn overriding(text: &str) -> Result<Override, String> {
    let (path, answer) = text.rsplit_once('=').ok_or("write it as PATH=ANSWER")?;
    let path = PathPattern::from_str(path)?;
    let on_drift = OnDrift::from_str(answer, false).ok();
    let on_conflict = OnConflict::from_str(answer, false).ok();
    let prune = Prune::from_str(answer, false).ok();
    if on_drift.is_none() && on_conflict.is_none() && prune.is_none() {
        return Err(format!(
            "`{answer}` is no answer: drift takes keep, revert, promote; conflict hold, source, database; removal never, owned"
        ));
    }
    Ok(Override { path, on_drift, on_conflict, prune })
}

impl ValueEnum for OnDrift {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Keep, Self::Revert, Self::Promote]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (name, help) = match self {
            Self::Keep => ("keep", "Leave the database's value and report it"),
            Self::Revert => ("revert", "Write the source's value back"),
            Self::Promote => ("promote", "Write the database's value into the source (`run` does)"),
        };
        Some(clap::builder::PossibleValue::new(name).help(help))
    }
}

impl ValueEnum for OnConflict {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Hold, Self::Source, Self::Database]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (name, help) = match self {
            Self::Hold => ("hold", "Write nothing until somebody chooses"),
            Self::Source => ("source", "The source wins"),
            Self::Database => ("database", "The database wins"),
        };
        Some(clap::builder::PossibleValue::new(name).help(help))
    }
}

impl ValueEnum for Prune {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Never, Self::Owned]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (name, help) = match self {
            Self::Never => ("never", "Nothing is ever deleted"),
            Self::Owned => ("owned", "What we wrote and nobody changed"),
        };
        Some(clap::builder::PossibleValue::new(name).help(help))
    }
}
