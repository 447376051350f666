//! Why a value is as it is and who changed it last; and the way back to what the source says.

use schemars::JsonSchema;
use serde::Serialize;

use super::named::Names;
use crate::desired::DesiredConfig;
use crate::model::{ConfigPath, FieldId, Finding, Section, Selection, StoreSnapshot};
use crate::plan::{Explanation, Refusal, Step, towards};
use crate::store::Revision;

/// `explain`: a value, and who changed it last.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExplainDocument {
    #[serde(flatten)]
    pub(crate) explanation: Explanation,
    /// The newest recorded change of it; null when none is recorded.
    pub(crate) changed: Option<Changed>,
}

/// Who changed a value last, as far as the history tells.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changed {
    /// The revision.
    pub(crate) revision: String,
    /// When, in seconds since the epoch.
    pub(crate) recorded_at: f64,
    /// Who.
    pub(crate) actor: String,
    /// Why.
    pub(crate) reason: String,
    /// Whether the database still holds what was written then; if not, somebody else changed it since.
    pub(crate) still: bool,
}

/// Returns the steps that write the source's values back at some paths.
pub(crate) fn revert_steps(
    paths: &[Selection],
    desired: &DesiredConfig,
    live: &StoreSnapshot,
) -> Result<Vec<Step>, Refusal> {
    let mut steps = Vec::new();
    let mut findings = Vec::new();
    for path in paths {
        match undeclared(path, desired) {
            Some(finding) => findings.push(finding),
            None => steps.extend(towards(desired.configuration(), &live.live, Some(path))),
        }
    }
    if findings.is_empty() { Ok(steps) } else { Err(Refusal::Invalid(findings)) }
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

/// Returns what a path names, on either side or in what both agreed on; a whole section is refused.
pub(crate) fn wanted(
    path: &str,
    desired: &DesiredConfig,
    live: &StoreSnapshot,
) -> Result<(Section, Box<str>, Option<FieldId>), Vec<Finding>> {
    let Selection { section, id, field } =
        Names::of(live).and(Some(desired.configuration())).selection(path)?;
    let Some(id) = id else {
        let finding = Finding::error("names a whole section").at_path(path);
        return Err(vec![finding.suggest("name one object, or one field; `plan` shows all that differs")]);
    };
    Ok((section, id, field))
}

/// Finds the newest revision that changed a value.
pub(crate) fn changed(explanation: &Explanation, revisions: &[Revision]) -> Option<Changed> {
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
