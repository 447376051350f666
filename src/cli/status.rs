//! `status`: source, store, differences, backups and key on one screen.

use anyhow::Result;

use super::args::{Format, OutputFormat};
use super::context::Context;
use super::documents::{BackupDocument, StatusDocument};
use super::{Exit, output};
use crate::actions::KeyDocument;
use crate::model::{Decision, DecisionKind, Section, printable, shown_path};
use crate::plan::Class;
use crate::report::{Outcome, SyncReport};
use crate::store::{Access, Backup, agent_of};
use crate::sync::Pass;

pub(super) fn run(context: &Context, format: Format) -> Result<Exit> {
    let mut store = context.store(Access::Read)?;
    let report = match context.read_source() {
        Ok(source) => context.pass_over(&source, &mut store, &Pass::plan(&context.policy(None)?)).report,
        Err(error) => {
            let mut report =
                SyncReport::new(context.source.to_string(), context.db.display().to_string(), 0.0);
            let failure = crate::report::Failure {
                reason: error.reason(),
                message: error.to_string(),
                hint: Some(error.hint().to_owned()),
                transient: false,
            };
            report.failed(Outcome::SourceUnavailable, failure);
            report
        }
    };
    let live = store.read().ok();
    let keys = live.as_ref().map(|live| StoredKeys { all: live.tokens, undecryptable: live.undecryptable });
    let decisions = live.map(|live| live.decisions).unwrap_or_default();
    let kept: Vec<Backup> = store.backups().into_iter().map(|listed| listed.backup).collect();
    let lines = lines(&report, &store, (keys.as_ref(), &decisions), &kept);
    match format.output {
        OutputFormat::Table => print(&report, &lines),
        other => {
            let backups = kept
                .iter()
                .map(|backup| BackupDocument { path: &backup.path, bytes: backup.bytes })
                .collect();
            let key = KeyDocument {
                present: store.keys().has_key(),
                origin: store.keys().origin(),
                tokens: keys.as_ref().map(|keys| keys.all),
                undecryptable: keys.as_ref().map(|keys| keys.undecryptable),
            };
            let agent = agent_of(store.path()).ok().flatten();
            output::value(&StatusDocument { report: &report, agent, key, backups }, other);
        }
    }
    Ok(Exit::from(&report))
}

/// The API keys in the store.
struct StoredKeys {
    all: usize,
    undecryptable: usize,
}

fn lines(
    report: &SyncReport,
    store: &crate::store::Store,
    (stored, decisions): (Option<&StoredKeys>, &[Decision]),
    kept: &[crate::store::Backup],
) -> Vec<(&'static str, String)> {
    let objects = |section| {
        let count = report.objects.iter().find(|count| count.section == section);
        count.map(|count| match count.source {
            Some(source) => format!("{source} in the source, {} in the database", count.database),
            None => format!("not in the source, {} in the database", count.database),
        })
    };
    let mut lines = vec![("Source", report.source.clone()), ("Database", database(store))];
    if let Some(services) = objects(Section::Services) {
        lines.push(("Services", services));
    }
    if let Some(rules) = objects(Section::RoutingRules) {
        lines.push(("Rules", rules));
    }
    if let Ok(Some(agent)) = agent_of(store.path()) {
        lines.push(("Agent", agent.to_string()));
    }
    lines.push(("Differences", differences(report)));
    lines.extend(standing(report, decisions));
    let keys = store.keys();
    let key = match (keys.has_key(), stored) {
        (true, None) => keys.origin(),
        (false, None) => "not found".to_owned(),
        (false, Some(StoredKeys { all: 0, .. })) => {
            "none yet; generated when the first API key is stored".to_owned()
        }
        (false, Some(StoredKeys { all, .. })) => {
            format!("NOT FOUND, and needed for {}", output::counted(*all, "stored API key"))
        }
        (true, Some(StoredKeys { all: 0, .. })) => format!("{}; no API key is stored yet", keys.origin()),
        (true, Some(StoredKeys { all, undecryptable: 0 })) => {
            format!("{}; opens {}", keys.origin(), output::counted(*all, "stored API key"))
        }
        (true, Some(StoredKeys { all, undecryptable })) => {
            format!("{}; DOES NOT OPEN {undecryptable} of {all} stored API keys", keys.origin())
        }
    };
    lines.push(("Key", key));
    lines.push((
        "Backups",
        match kept.first() {
            Some(newest) => format!("{}, newest {}", kept.len(), shown_path(&newest.path)),
            None => "none yet; one is taken before every write".to_owned(),
        },
    ));
    lines
}

/// What somebody decided that holds now.
fn standing(report: &SyncReport, decisions: &[Decision]) -> Vec<(&'static str, String)> {
    let over = |it: &&Decision| {
        let forget = |plan: &crate::plan::Plan| {
            plan.forget.iter().any(|(kind, scope)| kind == it.kind.name() && *scope == it.scope_text())
        };
        report.plan.as_deref().is_some_and(forget)
    };
    decisions
        .iter()
        .filter(|it| !over(it))
        .map(|decision| {
            let name = match decision.kind {
                DecisionKind::Accept { .. } => "Accepted",
                DecisionKind::Pause => "Paused",
                DecisionKind::Pin { .. } => "Pinned",
            };
            let scope = decision.scope.as_ref().map(|scope| format!("{scope}: ")).unwrap_or_default();
            let until =
                decision.until.map(|at| format!(" until {}", output::local_time(at))).unwrap_or_default();
            let since = output::local_time(decision.at);
            (name, format!("{scope}{} (by {}, {since}{until})", decision.reason, decision.by))
        })
        .collect()
}

fn database(store: &crate::store::Store) -> String {
    let missing = if store.exists() { "" } else { " (does not exist yet)" };
    format!("{}{missing}", shown_path(store.path()))
}

fn differences(report: &SyncReport) -> String {
    if report.plan.is_none() {
        return "unknown: the two sides could not be compared".into();
    }
    Some(counts(report)).filter(|counts| !counts.is_empty()).unwrap_or_else(|| "none".into())
}

/// Counts differences by class: `1 conflict, 2 drift`.
pub(super) fn counts(report: &SyncReport) -> String {
    let found = Class::ALL.into_iter().map(|class| (report.total(class), class.name()));
    let found = found.filter(|(count, _)| *count > 0).map(|(count, class)| format!("{count} {class}"));
    found.collect::<Vec<_>>().join(", ")
}

fn print(report: &SyncReport, lines: &[(&str, String)]) {
    if report.outcome != Outcome::Invalid {
        output::note(crate::plan::findings_text(&report.findings).trim_end());
    }
    let mut text = match report.outcome {
        Outcome::InSync => "In sync.\n".to_owned(),
        Outcome::Failed | Outcome::SourceUnavailable => format!("FAILED: {}\n", printable(&report.summary)),
        _ => format!("{}\n", printable(&report.summary)),
    };
    for (name, value) in lines {
        text.push_str(&format!("  {name:<12} {}\n", printable(value)));
    }
    let hint = report.failure.as_ref().and_then(|failure| failure.hint.clone());
    let next = match report.outcome {
        Outcome::InSync | Outcome::Applied => None,
        Outcome::Invalid => Some("`oxide-operator plan` shows every finding with its line".to_owned()),
        Outcome::Failed | Outcome::SourceUnavailable => hint,
        _ => Some("`oxide-operator plan` shows each difference and why it stays".to_owned()),
    };
    if let Some(next) = next {
        text.push_str(&format!("  {:<12} {}\n", "Next", printable(&next)));
    }
    output::result(text);
}
