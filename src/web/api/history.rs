//! History, restores, backups.

use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::answers::{Page, listed_backups};
use super::objects::MAX_PAGE;
use super::{WRITING, ask, carried_out, json, tagged};
use crate::actions::{self, DiffDocument};
use crate::export::{ExportOptions, ExportedSecrets, to_yaml};
use crate::model::{Configuration, Selection};
use crate::plan::{Plan, StepDocument, towards};
use crate::store::{Revision, RevisionId, Store, StoreError, Verdict, check_backup};
use crate::web::asked::Asked;
use crate::web::desk::{Earlier, What};
use crate::web::problem::Problem;
use crate::web::tag;

/// Revisions on one page when nobody says how many.
const PAGE: usize = 50;

/// What to restore.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Restore {
    /// An object or a field; everything without it.
    only: Option<String>,
    /// The exact number of deletions that is confirmed.
    confirm_prune: Option<u32>,
}

/// One revision, with the configuration after it.
#[derive(Serialize, JsonSchema)]
pub(super) struct RevisionAnswer {
    #[serde(flatten)]
    revision: Revision,
    /// The configuration after it, as YAML, API keys masked; null for a snapshot of the orchestrator's own.
    configuration: Option<String>,
    /// The orchestrator's own snapshot, masked; null for a revision of ours.
    snapshot: Option<Json>,
}

/// Whether a backup could be restored.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackupVerdict {
    /// Its name.
    pub(crate) name: String,
    /// What a restore of it would find; nothing is written.
    pub(crate) verdict: Verdict,
}

pub(super) async fn list(asked: Asked) -> Result<Response, Problem> {
    let query = asked.query(&["limit", "continue"])?;
    let limit = query.number("limit", 1..=MAX_PAGE)?.unwrap_or(PAGE);
    let before = query.text("continue").map(revision_id).transpose()?;
    let revisions = asked.site.store(Store::revisions).await?;
    let total = revisions.len();
    let start = match before {
        None => 0,
        Some(last) => revisions.iter().position(|it| it.revision == last).map_or(total, |at| at + 1),
    };
    let items: Vec<Revision> = revisions.into_iter().skip(start).take(limit).collect();
    let more = start + items.len() < total;
    let next = items.last().filter(|_| more).map(|last| last.revision.to_string());
    let newest = items.first().map(|it| it.revision.to_string()).unwrap_or_default();
    let tag = tag::of_texts([newest, total.to_string(), start.to_string(), limit.to_string()]);
    Ok(tagged(&asked, &tag, &Page { items, total, r#continue: next }))
}

fn revision_id(text: &str) -> Result<RevisionId, Problem> {
    text.parse().map_err(Problem::malformed)
}

fn named(asked: &Asked) -> Result<RevisionId, Problem> {
    revision_id(asked.part("revision"))
}

fn no_revision(revision: RevisionId) -> Problem {
    Problem::not_found(format!("there is no revision {revision}"))
        .hint("the history lists those that are kept")
}

pub(super) async fn read(asked: Asked) -> Result<Response, Problem> {
    asked.query(&[])?;
    let wanted = named(&asked)?;
    let found = asked.site.store(move |store| found(store, wanted)).await?;
    Ok(json(StatusCode::OK, &found.ok_or_else(|| no_revision(wanted))?))
}

fn found(store: &mut Store, wanted: RevisionId) -> Result<Option<RevisionAnswer>, StoreError> {
    match wanted {
        RevisionId::Ours(number) => Ok(store.recorded_state(number)?.map(|state| {
            let options = ExportOptions { minimal: false, secrets: ExportedSecrets::Masked };
            let yaml = to_yaml(&state.configuration, &state.carried, &options);
            RevisionAnswer { revision: state.revision, configuration: Some(yaml), snapshot: None }
        })),
        RevisionId::Orchestrator(row) => {
            let Some(snapshot) = store.orchestrators_snapshot(row)? else { return Ok(None) };
            let revision = store.revisions()?.into_iter().find(|it| it.revision == wanted);
            let answer =
                |revision| RevisionAnswer { revision, configuration: None, snapshot: Some(snapshot) };
            Ok(revision.map(answer))
        }
    }
}

pub(super) async fn diff(asked: Asked) -> Result<Response, Problem> {
    let query = asked.query(&["to"])?;
    let (from, to) = (named(&asked)?, query.text("to").map(revision_id).transpose()?);
    let steps = asked.site.store(move |store| steps(store, from, to)).await?;
    match steps {
        Ok(steps) => Ok(json(StatusCode::OK, &DiffDocument { from, steps })),
        Err(missing) => Err(no_revision(missing)),
    }
}

/// What changed from a revision to another, or to the database as it is; the revision that is missing, if one is.
pub(crate) fn steps(
    store: &mut Store,
    from: RevisionId,
    to: Option<RevisionId>,
) -> Result<Result<Vec<StepDocument>, RevisionId>, StoreError> {
    let Some(old) = configuration(store, from)? else { return Ok(Err(from)) };
    let new = match to {
        None => store.read()?.live,
        Some(to) => match configuration(store, to)? {
            Some(new) => new,
            None => return Ok(Err(to)),
        },
    };
    Ok(Ok(Plan { steps: towards(&new, &old, None), ..Plan::default() }.step_documents()))
}

fn configuration(store: &mut Store, revision: RevisionId) -> Result<Option<Configuration>, StoreError> {
    match revision {
        RevisionId::Ours(number) => Ok(store.recorded_state(number)?.map(|state| state.configuration)),
        RevisionId::Orchestrator(_) => Ok(None),
    }
}

pub(super) async fn restore(asked: Asked) -> Result<Response, Problem> {
    let RevisionId::Ours(number) = named(&asked)? else {
        return Err(Problem::not_found("a snapshot of the orchestrator's own cannot be restored")
            .hint("read it, and change single values"));
    };
    restore_from(asked, Earlier::Revision(number)).await
}

pub(super) async fn restore_backup(asked: Asked) -> Result<Response, Problem> {
    let name = asked.part("name").to_owned();
    restore_from(asked, Earlier::Backup(name)).await
}

async fn restore_from(mut asked: Asked, from: Earlier) -> Result<Response, Problem> {
    let expected = asked.must_expect()?;
    let Restore { only, confirm_prune } = asked.json().await?;
    let only = only.map(|only| only.parse::<Selection>().map_err(Problem::malformed)).transpose()?;
    let query = asked.query(&WRITING)?;
    let confirm_prune = confirm_prune.map(|count| count as usize);
    let ask = ask(&asked, &query, What::Restore { from, only, confirm_prune, pin: true }, expected)?;
    carried_out(&asked.site, ask).await
}

pub(super) async fn backups(asked: Asked) -> Result<Response, Problem> {
    asked.query(&[])?;
    let items = asked.site.store(|store| Ok(listed_backups(store))).await?;
    let total = items.len();
    Ok(json(StatusCode::OK, &Page { items, total, r#continue: None }))
}

pub(super) async fn back_up(asked: Asked) -> Result<Response, Problem> {
    let query = asked.query(&WRITING)?;
    let ask = ask(&asked, &query, What::BackUp, asked.expected()?)?;
    carried_out(&asked.site, ask).await
}

pub(super) async fn check(asked: Asked) -> Result<Response, Problem> {
    asked.query(&[])?;
    let name = asked.part("name").to_owned();
    let checked = asked.site.store(move |store| Ok(verdict(store, name))).await?;
    match checked {
        Some(verdict) => Ok(json(StatusCode::OK, &verdict)),
        None => Err(Problem::not_found("there is no backup of that name")),
    }
}

/// Whether a backup could be restored; none when there is no such backup.
pub(crate) fn verdict(store: &mut Store, name: String) -> Option<BackupVerdict> {
    let backup = actions::backup_called(store, &name)?;
    let verdict = check_backup(&backup.path, store.keys()).verdict;
    Some(BackupVerdict { name, verdict })
}
