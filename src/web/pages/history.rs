//! The history as a timeline, one revision, and the way back.

use askama::Template;
use serde_json::Value as Json;

use super::backups::{carry_out, preview};
use super::frame::{Frame, Moment};
use super::lines::{Line, of_steps};
use super::{Page, shown};
use crate::export::{ExportOptions, ExportedSecrets, to_yaml};
use crate::model::Selection;
use crate::store::{Revision, RevisionId, Store};
use crate::web::api;
use crate::web::asked::Asked;
use crate::web::desk::{Earlier, What};
use crate::web::problem::Problem;

/// Revisions on one page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "history.html", config = "src/web/askama.toml")]
struct History {
    frame: Frame,
    revisions: Vec<Entry>,
    total: usize,
    next: Option<usize>,
}

#[derive(Template)]
#[template(path = "revision.html", config = "src/web/askama.toml")]
struct One {
    frame: Frame,
    entry: Entry,
    journal: Vec<Line>,
    /// What changed since; none for a snapshot that cannot be compared.
    since: Option<Vec<Line>>,
    configuration: String,
    ours: bool,
    newest: bool,
    /// Whether something older is recorded to go back to.
    can_undo: bool,
}

/// A revision.
struct Entry {
    revision: String,
    at: Moment,
    actor: String,
    reason: String,
    source: String,
    what: String,
    backup: String,
    /// The first paths it touched.
    paths: Vec<String>,
}

impl From<&Revision> for Entry {
    fn from(it: &Revision) -> Self {
        let touched = touched(&it.changes);
        let shown = touched.iter().take(4).cloned();
        let more = touched.len().saturating_sub(4);
        let more = (more > 0).then(|| format!("and {more} more"));
        Self {
            revision: it.revision.to_string(),
            at: Moment::at(it.recorded_at),
            actor: it.actor.clone(),
            reason: it.reason.clone(),
            source: it.source.clone(),
            what: what(&it.changes),
            backup: it
                .backup
                .as_deref()
                .and_then(|path| path.rsplit('/').next())
                .unwrap_or(if it.edit.is_some() { "none: another program made this edit" } else { "none" })
                .to_owned(),
            paths: shown.chain(more).collect(),
        }
    }
}

fn list_of<'a>(changes: &'a Json, name: &str) -> impl Iterator<Item = &'a Json> {
    changes.get(name).and_then(Json::as_array).into_iter().flatten()
}

fn what(changes: &Json) -> String {
    let parts = [("created", "added"), ("updated", "changed"), ("deleted", "removed")];
    let parts = parts.map(|(name, word)| (list_of(changes, name).count(), word));
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    said.join(", ")
}

fn touched(changes: &Json) -> Vec<String> {
    let plain =
        ["created", "deleted"].into_iter().flat_map(|name| list_of(changes, name)).filter_map(Json::as_str);
    let updated = list_of(changes, "updated").filter_map(|change| change.get("path")?.as_str());
    updated.chain(plain).map(str::to_owned).collect()
}

fn journal(changes: &Json) -> Vec<Line> {
    let text = |json: Option<&Json>| match json {
        None | Some(Json::Null) => "unset".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let line = |sign, said, path: &Json| Line {
        sign,
        said,
        path: path.as_str().unwrap_or_default().to_owned(),
        old: None,
        new: None,
    };
    let created = list_of(changes, "created").map(|path| line("+", "added", path));
    let updated = list_of(changes, "updated").map(|change| Line {
        old: Some(text(change.get("old"))),
        new: Some(text(change.get("new"))),
        ..line("~", "changed", change.get("path").unwrap_or(&Json::Null))
    });
    let deleted = list_of(changes, "deleted").map(|path| line("−", "removed", path));
    created.chain(updated).chain(deleted).collect()
}

pub(super) async fn list(asked: Asked) -> Page {
    let start = asked.lenient_query().text("from").and_then(|text| text.parse().ok()).unwrap_or(0_usize);
    let frame = Frame::of(&asked, "History", "history").await;
    let revisions = asked.site.store(Store::revisions).await?;
    let total = revisions.len();
    let next = (start + PAGE < total).then_some(start + PAGE);
    let revisions = revisions.iter().skip(start).take(PAGE).map(Entry::from).collect();
    Ok(shown(&History { frame, revisions, total, next }))
}

fn wanted(asked: &Asked) -> Result<RevisionId, Problem> {
    asked.part("revision").parse().map_err(Problem::malformed)
}

pub(super) async fn show(asked: Asked) -> Page {
    let wanted = wanted(&asked)?;
    let frame = Frame::of(&asked, &format!("Revision {wanted}"), "history").await;
    let read = move |store: &mut Store| {
        let revisions = store.revisions()?;
        let newest = revisions.first().is_some_and(|it| it.revision == wanted);
        let older = |it: &Revision| match (it.revision, wanted) {
            (RevisionId::Ours(one), RevisionId::Ours(this)) => one < this,
            _ => false,
        };
        let can_undo = revisions.iter().any(older);
        let found = revisions.into_iter().find(|it| it.revision == wanted);
        let (yaml, since) = match wanted {
            RevisionId::Ours(number) => {
                let options = ExportOptions { minimal: false, secrets: ExportedSecrets::Masked };
                let state = store.recorded_state(number)?;
                let yaml = state.map(|it| to_yaml(&it.configuration, &it.carried, &options));
                (yaml, api::steps(store, wanted, None)?.ok())
            }
            RevisionId::Orchestrator(row) => {
                let snapshot = store.orchestrators_snapshot(row)?;
                (snapshot.map(|it| serde_json::to_string_pretty(&it).unwrap_or_default()), None)
            }
        };
        Ok((found, yaml, since, newest, can_undo))
    };
    let (found, yaml, since, newest, can_undo) = asked.site.store(read).await?;
    let (Some(found), Some(configuration)) = (found, yaml) else {
        return Err(Problem::not_found(format!("there is no revision {wanted}")).into());
    };
    Ok(shown(&One {
        frame,
        entry: Entry::from(&found),
        journal: journal(&found.changes),
        since: since.as_deref().map(of_steps),
        configuration,
        ours: matches!(wanted, RevisionId::Ours(_)),
        newest,
        can_undo,
    }))
}

fn ours(asked: &Asked) -> Result<i64, Problem> {
    match wanted(asked)? {
        RevisionId::Ours(number) => Ok(number),
        RevisionId::Orchestrator(_) => {
            Err(Problem::not_found("a snapshot of the orchestrator's own cannot be restored"))
        }
    }
}

pub(super) async fn ask_restore(asked: Asked) -> Page {
    let number = ours(&asked)?;
    let what = whole(number, None);
    preview(&asked, what, format!("Restore revision {number}"), "history", &format!("/history/{number}"))
        .await
}

fn whole(number: i64, confirm_prune: Option<usize>) -> What {
    What::Restore { from: Earlier::Revision(number), only: None, confirm_prune, pin: true }
}

pub(super) async fn restore(asked: Asked) -> Page {
    let number = ours(&asked)?;
    carry_out(asked, |confirmed| whole(number, confirmed)).await
}

/// What takes a revision back: the one object that it touched, else everything, as the revision before had it.
async fn taking_back(asked: &Asked, number: i64) -> Result<(i64, Option<Selection>), Problem> {
    let revisions = asked.site.store(Store::revisions).await?;
    let mut older = revisions.iter().filter_map(|it| match it.revision {
        RevisionId::Ours(older) if older < number => Some(older),
        _ => None,
    });
    let this = revisions.iter().find(|it| it.revision == RevisionId::Ours(number));
    let before = older.next().filter(|_| this.is_some());
    let before = before.ok_or_else(|| Problem::not_found("there is nothing recorded before that"))?;
    let paths: Vec<Selection> = this
        .map(|it| touched(&it.changes))
        .unwrap_or_default()
        .iter()
        .filter_map(|path| path.parse().ok())
        .collect();
    let object = |path: &Selection| Selection { field: None, ..path.clone() };
    let one = match paths.as_slice() {
        [only] => Some(only.clone()),
        [first, rest @ ..] if rest.iter().all(|path| object(path) == object(first)) => Some(object(first)),
        _ => None,
    };
    Ok((before, one))
}

pub(super) async fn ask_undo(asked: Asked) -> Page {
    let number = ours(&asked)?;
    let (before, only) = taking_back(&asked, number).await?;
    let what = What::Restore { from: Earlier::Revision(before), only, confirm_prune: None, pin: false };
    preview(&asked, what, format!("Undo revision {number}"), "history", &format!("/history/{number}")).await
}

pub(super) async fn undo(asked: Asked) -> Page {
    let (before, only) = taking_back(&asked, ours(&asked)?).await?;
    let from = Earlier::Revision(before);
    carry_out(asked, |confirm_prune| What::Restore { from, only, confirm_prune, pin: false }).await
}
