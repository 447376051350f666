//! `history`, `show`, `diff`: who changed what, when and why.

use anyhow::Result;
use serde_json::Value as Json;

use super::args::{Diff, History, HistoryCommand, OutputFormat, PlanFormat, Show};
use super::context::{Context, error_with_help};
use super::restore::recorded;
use super::{Exit, output};
use crate::actions::{DiffDocument, RevisionDocument};
use crate::export::{ExportOptions, ExportedSecrets, to_yaml};
use crate::model::{printable, shown_path};
use crate::plan::{Plan, towards};
use crate::store::{Access, Revision, RevisionId};

pub(super) fn list(context: &Context, args: &History) -> Result<Exit> {
    if let Some(HistoryCommand::Scrub { dry_run }) = args.command {
        return scrub(context, dry_run);
    }
    let mut revisions = context.existing_store(Access::Read)?.revisions()?;
    let all = revisions.len();
    revisions.truncate(args.limit);
    if args.format.output != OutputFormat::Table {
        output::value(&revisions, args.format.output);
        return Ok(Exit::Ok);
    }
    if revisions.is_empty() {
        output::note("No history yet: it begins with the first write.");
        return Ok(Exit::Ok);
    }
    let rows = revisions.iter().map(|it| {
        let when = output::local_time(it.recorded_at);
        vec![it.revision.to_string(), when, it.actor.clone(), from(it), what(&it.changes), it.reason.clone()]
    });
    output::table(&["REV", "WHEN", "WHO", "FROM", "WHAT", "WHY"], rows);
    if all > args.limit {
        output::note(format!("… and {} older (--limit shows more)", all - args.limit));
    }
    Ok(Exit::Ok)
}

/// Names the source that a revision was made from: the beginning of its digest. An edit has none.
fn from(revision: &Revision) -> String {
    revision.source_digest.get(..8).map_or_else(|| "-".into(), str::to_owned)
}

/// Counts what was done: `2 created, 1 changed`.
fn what(changes: &Json) -> String {
    let count = |name: &str| changes.get(name).and_then(Json::as_array).map_or(0, Vec::len);
    let parts = [("created", "created"), ("updated", "changed"), ("deleted", "deleted")];
    let parts = parts.map(|(name, word)| (count(name), word));
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if said.is_empty() { "-".into() } else { said.join(", ") }
}

pub(super) fn show(context: &Context, args: &Show) -> Result<Exit> {
    let mut store = context.existing_store(Access::Read)?;
    if let RevisionId::Orchestrator(row) = args.revision {
        let snapshot = store.orchestrators_snapshot(row)?.ok_or_else(|| {
            error_with_help(format!("there is no {}", args.revision), "`oxide-operator history` lists them")
        })?;
        let format = match args.format.output {
            OutputFormat::Table => OutputFormat::Yaml,
            other => other,
        };
        output::value(&snapshot, format);
        return Ok(Exit::Ok);
    }
    let state = recorded(&mut store, args.revision)?;
    let options = ExportOptions { minimal: false, secrets: ExportedSecrets::Masked };
    let yaml = to_yaml(&state.configuration, &state.carried, &options);
    match args.format.output {
        OutputFormat::Table => output::result(header(&state.revision) + &changes(&state.revision.changes)),
        OutputFormat::Yaml => output::data(&(commented(&header(&state.revision)) + &yaml)),
        OutputFormat::Json => {
            let document = RevisionDocument { revision: &state.revision, configuration: yaml };
            output::value(&document, OutputFormat::Json);
        }
    }
    Ok(Exit::Ok)
}

fn header(revision: &Revision) -> String {
    let digest = revision.source_digest.get(..12).map(|digest| format!(" ({digest})")).unwrap_or_default();
    let none = match &revision.edit {
        Some(_) => "none: another program made this edit",
        None => "none: the database was empty",
    };
    let backup = printable(revision.backup.as_deref().unwrap_or(none));
    format!(
        "Revision {}\n  When    {}\n  Who     {}\n  Why     {}\n  From    {}{digest}\n  Backup  {backup}\n",
        revision.revision,
        output::local_time(revision.recorded_at),
        printable(&revision.actor),
        printable(&revision.reason),
        printable(&revision.source),
    )
}

fn commented(text: &str) -> String {
    text.lines().map(|line| format!("# {line}\n")).collect()
}

/// Returns the journal of a revision, a line for each change.
fn changes(journal: &Json) -> String {
    let list = |name: &str| journal.get(name).and_then(Json::as_array).into_iter().flatten();
    let mut text = String::from("\n");
    let path = |json: &Json| printable(json.as_str().unwrap_or_default()).into_owned();
    for created in list("created") {
        text.push_str(&format!("  + {}\n", path(created)));
    }
    for change in list("updated") {
        let side = |name: &str| match change.get(name) {
            None | Some(Json::Null) => "unset".to_owned(),
            Some(Json::String(value)) => printable(value).into_owned(),
            Some(other) => other.to_string(),
        };
        let at = change.get("path").map(path).unwrap_or_default();
        text.push_str(&format!("  ~ {at}  {} -> {}\n", side("old"), side("new")));
    }
    for deleted in list("deleted") {
        text.push_str(&format!("  - {}\n", path(deleted)));
    }
    text
}

pub(super) fn diff(context: &Context, args: &Diff) -> Result<Exit> {
    let Some(from) = args.from else { return super::plan::run(context, &args.plan) };
    let mut store = context.store(Access::Read)?;
    let old = recorded(&mut store, from)?.configuration;
    let (new, name) = match args.to {
        Some(to) => (recorded(&mut store, to)?.configuration, format!("revision {to}")),
        None => (store.read()?.live, "the database".to_owned()),
    };
    let plan = Plan { steps: towards(&new, &old, None), ..Plan::default() };
    let document = || DiffDocument { from, steps: plan.step_documents() };
    match args.plan.output {
        PlanFormat::Json => output::value(&document(), OutputFormat::Json),
        PlanFormat::Yaml => output::value(&document(), OutputFormat::Yaml),
        _ if plan.steps.is_empty() => {
            output::result(format!("No difference from revision {from} to {name}."))
        }
        _ => {
            let lines = plan.changes_text(output::colour());
            output::coloured(&format!("From revision {from} to {name}:\n{lines}"));
        }
    }
    Ok(if plan.steps.is_empty() { Exit::Ok } else { Exit::Differences })
}

fn scrub(context: &Context, dry_run: bool) -> Result<Exit> {
    let mut store = context.store(if dry_run { Access::Read } else { Access::Write })?;
    if !store.exists() {
        return Err(error_with_help(
            format!("{} does not exist", shown_path(store.path())),
            "name another with --db",
        ));
    }
    let done = store.scrub_history(dry_run, &crate::desired::masked)?;
    let snapshots = format!("{} of the orchestrator's own", output::counted(done.snapshots, "snapshot"));
    let verb = if dry_run { "hold" } else { "held" };
    output::result(match done.with_keys {
        0 => format!("{snapshots}: none {verb} a plain API key."),
        count => format!(
            "{snapshots}: {count} {verb} plain API keys{}.",
            if dry_run { "" } else { "; they are out" }
        ),
    });
    if done.carried > 0 {
        output::result(format!(
            "{} from before carried sections were encrypted: {verb} secrets in plain text{}.",
            output::counted(done.carried, "record"),
            if dry_run { "" } else { "; they are encrypted now" }
        ));
    }
    if done.found_any() && !dry_run {
        output::note("Older backups still hold them: `oxide-operator backup list` names the files.");
    }
    if done.unreadable > 0 {
        let message = format!(
            "{} cannot be read as JSON, so whether they hold API keys cannot be told; they stay as they are",
            output::counted(done.unreadable, "snapshot")
        );
        let help =
            "the orchestrator needs none of them: delete those rows of config_history that you do not need";
        output::error(&message, Some(help));
        return Ok(Exit::Error);
    }
    Ok(Exit::Ok)
}
