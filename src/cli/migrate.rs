//! `migrate`: the migration guide's tool, flag for flag and line for line, idempotent and verified.

use anyhow::{Context as _, Result};

use super::args::{Migrate, OutputFormat};
use super::context::{Context, ensure_not_failed, with_hint};
use super::destination::Overwrite;
use super::doctor::quoted_text;
use super::{Exit, export, output, plan, verify};
use crate::guide::{MigrationOptions, MigrationResult, migrate};
use crate::model::{Policy, Section, printable, shown_path};
use crate::plan::{Class, findings_text};
use crate::report::Outcome;
use crate::source::SourceSpec;
use crate::store::{Access, StoreError, WhenMissing};

/// How many names are listed before the rest is counted.
const NAMED: usize = 12;

pub(super) fn run(context: &Context, args: &Migrate) -> Result<Exit> {
    if args.verify {
        return verify::run(context, args.format);
    }
    if let Some(file) = &args.export {
        let incomplete =
            export::to_file(context, file, Overwrite::if_forced(args.force), false, args.with_secrets)?;
        output::result(format!("✅ Exported to: {}", shown_path(file)));
        return Ok(if incomplete { Exit::Error } else { Exit::Ok });
    }
    let policy = context.policy(Some(&args.policy))?;
    say_what_is_kept(context)?;
    if args.dry_run {
        let passed = context.dry_pass(&policy)?;
        match args.format.output {
            OutputFormat::Table => plan::print_text(&passed.report),
            format => plan::print_value(&passed.report, format),
        }
        ensure_not_failed(&passed.report)?;
        // The guide's tool knows 0 and 1: that there is something to write is no failure.
        return Ok(match Exit::from(&passed.report) {
            Exit::Ok | Exit::Differences => Exit::Ok,
            _ => Exit::Error,
        });
    }
    migrate_now(context, args, &policy)
}

/// The guide's way to begin again is to remove the database and migrate; what was in it stays in the backups.
fn say_what_is_kept(context: &Context) -> Result<()> {
    let kept = context.store(Access::Read)?.ensure_present();
    context.when_missing.set(WhenMissing::StartFresh);
    match kept {
        Err(StoreError::Missing { backup, .. }) => {
            let backup = quoted_text(&backup);
            output::note(format!(
                "note: the database that was here is gone; backup {backup} has what was in it, and `oxide-operator backup restore {backup}` brings it back"
            ));
            Ok(())
        }
        other => Ok(other?),
    }
}

fn migrate_now(context: &Context, args: &Migrate, policy: &Policy) -> Result<Exit> {
    let table = args.format.output == OutputFormat::Table;
    let path = shown_path(context.source_path()?);
    if table {
        output::result(format!("Starting migration from {path}..."));
    }
    let source = context.read_source().map_err(with_hint)?;
    let options = MigrationOptions {
        source: &context.source,
        db: &context.db,
        keys: &context.keys,
        reach: &context.reach,
        backups: &context.backups,
        policy,
        backup: !args.no_backup && matches!(context.source, SourceSpec::File(_)),
        actor: &context.actor(),
    };
    let spinner = output::spinner("migrating");
    let migrated = migrate(&source, &options).context("Migration failed");
    spinner.finish_and_clear();
    let result = migrated?;
    if super::apply::wrote(&result.report) {
        super::reload::after_write(context);
    }
    if !table {
        output::value(&result, args.format.output);
        ensure_not_failed(&result.report)?;
        return Ok(if result.is_success() { Exit::Ok } else { Exit::Error });
    }
    print(&result, args);
    ensure_not_failed(&result.report)?;
    Ok(if result.is_success() { Exit::Ok } else { Exit::Error })
}

fn print(result: &MigrationResult, args: &Migrate) {
    let report = &result.report;
    if let Some(desired) = result.desired.as_ref().filter(|_| report.failure.is_none()) {
        if !args.no_validate {
            output::result("✅ Configuration is valid");
        }
        if let Some(backup) = &result.backup_path {
            output::result(format!("✅ Created backup: {}", shown_path(backup)));
        }
        let configuration = desired.configuration();
        // What was refused was not migrated.
        let migrated = if report.outcome == Outcome::Invalid { None } else { Some(configuration) };
        for (title, section) in [("services", Section::Services), ("routing rules", Section::RoutingRules)] {
            if let Some(objects) = migrated.and_then(|configuration| configuration.section(section)) {
                // A tick is for what is there now: an object of which something was held back gets none.
                let held = |id: &str| {
                    let left = report.plan.iter().flat_map(|plan| &plan.left_alone);
                    let blocking = [Class::Conflict, Class::Drift, Class::Pending];
                    left.filter(|left| blocking.contains(&left.class))
                        .any(|left| left.path.section == section && *left.path.id == *id)
                };
                let done: Vec<&Box<str>> = objects.keys().filter(|id| !held(id)).collect();
                output::result(format!("Migrating {title}...{}", names(done.into_iter())));
            }
        }
        if migrated.is_some() {
            output::result("Migrating execution settings... ✓");
        }
    }
    output::note(findings_text(&report.findings).trim_end());
    apply_note(result);
    if !result.is_success() {
        if report.failure.is_none() {
            output::note("❌ Migration is not complete");
            if let Some(plan) = &report.plan {
                output::coloured(&plan.to_text(output::colour()));
                output::note(
                    "  help: `oxide-operator adopt --plan` shows both sides; `promote PATH` keeps the database's value, `accept PATH` leaves it; --on-conflict source and --on-drift revert overwrite it with the YAML's",
                );
            }
        }
        return;
    }
    let settings = result.execution_settings;
    output::result(format!(
        "✅ Migration completed successfully!\nStatistics:\nServices migrated: {}\nRouting rules migrated: {}\nExecution settings: {settings}",
        result.services_migrated, result.routing_rules_migrated
    ));
    if report.written.as_ref().is_none_or(|written| written.revision.is_none()) {
        output::note("The database already held this configuration: nothing was written.");
    }
}

fn apply_note(result: &MigrationResult) {
    if let Some(quarantined) = &result.report.quarantined {
        output::note(format!("warning: the database was corrupt; {quarantined}"));
    }
    if let Some(backup) = result.report.written.as_ref().and_then(|written| written.backup.as_ref()) {
        output::note(format!("Database backup: {backup}"));
    }
    if result.report.plaintext_secrets > 0 {
        let count = result.report.plaintext_secrets;
        output::note(format!(
            "note: {} in plain text in the YAML; `api_key: ${{NAME}}` or `apiKeyFrom` keeps keys out of it",
            output::counted(count, "API key")
        ));
    }
}

fn names<'a>(ids: impl ExactSizeIterator<Item = &'a Box<str>>) -> String {
    let more = ids.len().saturating_sub(NAMED);
    let mut text: String = ids.take(NAMED).map(|id| format!(" ✓ {}", printable(id))).collect();
    if more > 0 {
        text.push_str(&format!(" ... and {more} more"));
    }
    text
}
