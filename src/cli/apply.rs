//! `apply`: do what `plan` says, or exactly what a saved plan said.

use anyhow::{Context as _, Result};

use super::args::{Apply, OutputFormat};
use super::context::{Context, ensure_not_failed, refused};
use super::plan::{SavedPlan, print_text, print_value};
use super::{Exit, output};
use crate::model::printable;
use crate::report::{Outcome, SyncReport, Written};
use crate::store::{Access, WhenMissing};
use crate::sync::{Mode, Pass};

pub(super) fn run(context: &mut Context, args: &Apply) -> Result<Exit> {
    let mut policy = context.policy(Some(&args.policy))?;
    let mut expected = None;
    if let Some(path) = &args.plan {
        let saved = SavedPlan::load(path)?;
        expected = Some((saved.source_digest.clone(), saved.fingerprint()?));
        context.source = saved.source.parse().map_err(anyhow::Error::msg).context("the plan's source")?;
        context.db = saved.db.into();
        policy = saved.policy;
        if !args.dry_run {
            context.ensure_agent_agrees()?;
        }
    }
    if args.fresh {
        context.when_missing.set(WhenMissing::StartFresh);
    }
    let mode = if args.dry_run { Mode::Plan } else { Mode::Apply };
    let mut store = context.store(if args.dry_run { Access::Read } else { Access::Write })?;
    let actor = context.actor();
    let Apply { while_paused, release_pin, .. } = *args;
    let pass =
        Pass { mode, expected, while_paused, release_pin, ..Pass::apply(&policy, &actor, &args.reason) };
    let spinner = output::spinner("applying");
    let passed = context.pass(&mut store, &pass);
    spinner.finish_and_clear();
    let report = passed?.report;
    match args.format.output {
        OutputFormat::Table => {
            print_text(&report);
            print_written(&report);
        }
        format => print_value(&report, format),
    }
    if report.outcome == Outcome::Stale {
        let message = "the source or the database moved since the plan was made; nothing was written";
        output::error(message, Some("run `oxide-operator plan` again and look at what changed"));
        return Ok(Exit::Stale);
    }
    if let Some(exit) = refused(&report) {
        return Ok(exit);
    }
    ensure_not_failed(&report)?;
    if wrote(&report) {
        super::reload::after_write(context);
    }
    Ok(Exit::from(&report))
}

/// Whether a revision was recorded: the orchestrator's rows changed.
pub(super) fn wrote(report: &SyncReport) -> bool {
    report.written.as_ref().is_some_and(|written| written.revision.is_some())
}

/// Says what was written, and where the backup is.
pub(super) fn print_written(report: &SyncReport) {
    if let Some(quarantined) = &report.quarantined {
        output::note(format!("warning: the database was corrupt; {}", printable(quarantined)));
    }
    if let (true, Some(written)) = (wrote(report), &report.written) {
        output::result(written_text(written));
    }
}

/// Returns what was written, and where the backup is.
pub(super) fn written_text(written: &Written) -> String {
    let revision = written.revision.map(|revision| format!(" revision {revision}")).unwrap_or_default();
    let mut text = format!(
        "Applied{revision}: {} created, {} changed, {} deleted; {} read back and verified.",
        written.created,
        written.updated,
        written.deleted,
        output::counted(written.verified, "row"),
    );
    if let Some(backup) = &written.backup {
        text.push_str(&format!("\nBackup: {}", printable(backup)));
    }
    text
}
