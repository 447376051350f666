//! `explain`: why a value is as it is, and what to do about it. `revert`: the source's value back into the database.

use anyhow::Result;
use serde::Serialize;

use super::args::{Explain, OutputFormat, Revert};
use super::context::{Context, with_hint};
use super::edit::{find, not_there};
use super::{Exit, edit, output};
use crate::desired::DesiredConfig;
use crate::model::{ConfigPath, FieldId, Finding, Section, Selection, StoreSnapshot};
use crate::plan::{self, Explanation, Refusal, towards};
use crate::store::{Access, Revision, Store};
use crate::sync::read_source;

/// `explain`: a value, and who changed it last.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExplainDocument {
    #[serde(flatten)]
    explanation: Explanation,
    /// The newest recorded change of it; null when none is recorded.
    changed: Option<Changed>,
}

/// Who changed a value last, as far as the history tells.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Changed {
    /// The revision.
    revision: String,
    /// When, in seconds since the epoch.
    recorded_at: f64,
    /// Who.
    actor: String,
    /// Why.
    reason: String,
    /// Whether the database still holds what was written then; if not, somebody else changed it since.
    still: bool,
}

pub(super) fn run(context: &Context, args: &Explain) -> Result<Exit> {
    let mut store = context.store(Access::Read)?;
    let desired = match declared(context, &store)? {
        Ok(desired) => desired,
        Err(findings) => return Ok(output::invalid(&findings)),
    };
    let live = store.read()?;
    let (section, id, field) = match wanted(&args.path, &desired, &live) {
        Ok(wanted) => wanted,
        Err(findings) => return Ok(output::invalid(&findings)),
    };
    let plan =
        plan::plan(&desired, &live, &context.policy(Some(&args.policy))?, &super::context::circumstances());
    let revisions = store.revisions()?;
    let documents: Vec<ExplainDocument> = plan::explain(&desired, &live, &plan, section, &id, field)
        .into_iter()
        .map(|explanation| ExplainDocument { changed: changed(&explanation, &revisions), explanation })
        .collect();
    match args.format.output {
        OutputFormat::Table => output::result(documents.iter().map(text).collect::<Vec<_>>().join("\n")),
        format => output::value(&documents, format),
    }
    let differs = documents.iter().any(|document| document.explanation.class.is_some());
    Ok(if differs { Exit::Differences } else { Exit::Ok })
}

pub(super) fn revert(context: &Context, args: &Revert) -> Result<Exit> {
    let desired = match declared(context, &context.store(Access::Read)?)? {
        Ok(desired) => desired,
        Err(findings) => return Ok(output::invalid(&findings)),
    };
    let names: Vec<String> = args.paths.iter().map(ToString::to_string).collect();
    edit::run(context, &args.edit, &format!("revert {}", names.join(", ")), |live, _| {
        let mut steps = Vec::new();
        let mut findings = Vec::new();
        for path in &args.paths {
            match undeclared(path, &desired) {
                Some(finding) => findings.push(finding),
                None => steps.extend(towards(desired.configuration(), &live.live, Some(path))),
            }
        }
        if findings.is_empty() { Ok(steps) } else { Err(Refusal::Invalid(findings)) }
    })
}

/// The finding for a path that the source says nothing about: there is nothing to go back to.
fn undeclared(path: &Selection, desired: &DesiredConfig) -> Option<Finding> {
    let finding =
        |message: &str, hint: &str| Some(Finding::error(message).at_path(path.to_string()).suggest(hint));
    let Some(id) = &path.id else {
        return finding("names a whole section", "name one object, or one field: services.ID.FIELD");
    };
    let hint = "`oxide-operator explain` says what can be done about it";
    match (desired.configuration().get(path.section, id), path.field) {
        (None, _) => finding("is not in the source", hint),
        (Some(object), Some(field)) if object.get(field).is_none() => finding("is not in the source", hint),
        _ => None,
    }
}

fn declared(context: &Context, store: &Store) -> Result<Result<DesiredConfig, Vec<Finding>>> {
    let source = context.read_source().map_err(with_hint)?;
    Ok(read_source(&source, &context.secrets(), store.keys()))
}

fn wanted(
    path: &str,
    desired: &DesiredConfig,
    live: &StoreSnapshot,
) -> Result<(Section, Box<str>, Option<FieldId>), Vec<Finding>> {
    let Ok(Selection { section, id, field }) = path.parse::<Selection>() else {
        let (section, id) = find(path, live)?;
        return Ok((section, id, None));
    };
    let Some(id) = id else {
        let finding = Finding::error("names a whole section").at_path(path);
        return Err(vec![finding.suggest("name one object, or one field; `plan` shows all that differs")]);
    };
    let known = live.live.get(section, &id).is_some()
        || desired.configuration().get(section, &id).is_some()
        || live.base.get(section, &id).is_some();
    if known { Ok((section, id, field)) } else { Err(vec![not_there(section, &id, live)]) }
}

/// Finds the newest revision that changed a value.
fn changed(explanation: &Explanation, revisions: &[Revision]) -> Option<Changed> {
    let path = explanation.path.to_string();
    let object = ConfigPath { field: None, ..explanation.path.clone() }.to_string();
    revisions.iter().find_map(|revision| {
        let list = |name: &str| revision.changes.get(name).and_then(|it| it.as_array()).into_iter().flatten();
        let update = list("updated").find(|change| change.get("path").is_some_and(|at| *at == *path));
        let created = list("created").any(|it| *it == *object);
        let deleted = list("deleted").any(|it| *it == *object);
        if update.is_none() && !created && !deleted {
            return None;
        }
        let held = explanation.database.as_ref().map(|shown| shown.0.clone()).unwrap_or_default();
        let still = match update {
            Some(change) => change.get("new").cloned().unwrap_or_default() == held,
            None if explanation.path.field.is_none() => true,
            // What an object was created with is in the snapshot; agreeing with the record is enough to tell.
            None => explanation.agreed.as_ref().is_some_and(|agreed| agreed.0 == held),
        };
        Some(Changed {
            revision: revision.revision.to_string(),
            recorded_at: revision.recorded_at,
            actor: revision.actor.clone(),
            reason: revision.reason.clone(),
            still,
        })
    })
}

fn text(document: &ExplainDocument) -> String {
    let it = &document.explanation;
    let side = |shown: &Option<crate::model::Shown>, none: &str| {
        shown.as_ref().map_or_else(|| none.to_owned(), ToString::to_string)
    };
    let mut text = format!("{}\n", it.path);
    if it.path.field.is_some() {
        text.push_str(&format!("  Source    {}\n", side(&it.source, "does not mention it")));
        text.push_str(&format!("  Agreed    {}\n", side(&it.agreed, "never")));
        text.push_str(&format!("  Database  {}\n", side(&it.database, "unset")));
    }
    let class = it.class.map_or_else(|| "in sync".to_owned(), |class| class.name().to_owned());
    text.push_str(&format!("  Class     {class}: {}\n", it.meaning));
    text.push_str(&format!("  Changed   {}\n", who(document)));
    text.push_str(&format!("  Next      {}\n", it.next));
    for (position, answer) in it.answers.iter().enumerate() {
        let label = if position == 0 { "You can" } else { "or" };
        let command =
            if answer.command.is_empty() { String::new() } else { format!("{}  # ", answer.command) };
        text.push_str(&format!("  {label:<8}  {command}{}\n", answer.effect));
    }
    text
}

fn who(document: &ExplainDocument) -> String {
    let Some(changed) = &document.changed else {
        return "not through oxide-operator, as far as is recorded".into();
    };
    let Changed { revision, recorded_at, actor, reason, still } = changed;
    let when = output::local_time(*recorded_at);
    if *still {
        format!("{when} by {actor}, revision {revision}: {reason}")
    } else {
        format!("by somebody else, in the web UI for example, after revision {revision} ({when})")
    }
}
