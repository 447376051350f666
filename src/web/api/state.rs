//! Status, pauses, decisions.

use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::{Page, listed_backups};
use super::drift::moment;
use super::{ask, carried_out, json, reason, set_tag, tagged};
use crate::actions::KeyDocument;
use crate::model::{DecisionKind, PathPattern};
use crate::report::SyncReport;
use crate::web::asked::Asked;
use crate::web::desk::{DecisionMade, What};
use crate::web::problem::Problem;
use crate::web::tag::Expected;

/// What `run` knows of both sides.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusAnswer<'a> {
    /// What the last pass found and did.
    report: &'a SyncReport,
    /// The encryption key and what it opens.
    key: KeyDocument,
    /// How many backups there are.
    backups: usize,
    /// When the newest was taken, in seconds since the epoch; null when there is none.
    newest_backup_at: Option<f64>,
    /// The version of this program.
    version: &'static str,
}

/// What is paused, and why.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Pause {
    /// Paths in which nothing is written, as `services.lm*`; everything without it.
    scope: Option<String>,
    /// Why; shown wherever something waits.
    #[schemars(length(min = 1, max = 300))]
    reason: String,
    /// Until when: `2h`, `7d`, `2026-12-31`; for good without it.
    until: Option<String>,
}

pub(super) async fn status(asked: Asked) -> Result<Response, Problem> {
    asked.query(&[])?;
    let (seen, view) = (asked.site.seen()?, asked.site.view().await?);
    let (tokens, undecryptable) = (view.store.tokens, view.store.undecryptable);
    let read = move |store: &mut crate::store::Store| {
        let key = KeyDocument {
            present: store.keys().has_key(),
            origin: store.keys().origin(),
            tokens: Some(tokens),
            undecryptable: Some(undecryptable),
        };
        Ok((key, listed_backups(store)))
    };
    let (key, backups) = asked.site.store(read).await?;
    let answer = StatusAnswer {
        report: &seen.report,
        key,
        backups: backups.len(),
        newest_backup_at: backups.first().map(|newest| newest.taken_at),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(json(StatusCode::OK, &answer))
}

pub(super) async fn decisions(asked: Asked) -> Result<Response, Problem> {
    let query = asked.query(&["kind"])?;
    let kind = kind(query.text("kind"))?;
    let view = asked.site.view().await?;
    let all = view.store.decisions.iter();
    let items: Vec<DecisionMade> =
        all.filter(|it| kind.is_none_or(|kind| it.kind.name() == kind)).map(DecisionMade::from).collect();
    let total = items.len();
    Ok(tagged(&asked, &view.tag(), &Page { items, total, r#continue: None }))
}

pub(super) async fn pause(mut asked: Asked) -> Result<Response, Problem> {
    let Pause { scope, reason: why, until } = asked.json().await?;
    let query = asked.query(&["dryRun"])?;
    let what = What::Pause { scope: self::scope(scope.as_deref())?, until: moment(until.as_deref())? };
    let mut ask = ask(&asked, &query, what, Expected::Unsaid)?;
    ask.reason = Some(reason(&why)?);
    let done = asked.site.order(ask).await?;
    let status = if done.dry_run { StatusCode::OK } else { StatusCode::CREATED };
    let mut answer = json(status, &done);
    set_tag(&mut answer, &asked.site.view().await?.tag());
    Ok(answer)
}

pub(super) async fn resume(asked: Asked) -> Result<Response, Problem> {
    let expected = asked.must_expect()?;
    let query = asked.query(&["dryRun", "reason", "scope"])?;
    let what = What::Withdraw { kind: Some("pause"), scope: scope(query.text("scope"))? };
    let ask = ask(&asked, &query, what, expected)?;
    carried_out(&asked.site, ask).await
}

pub(super) async fn withdraw(asked: Asked) -> Result<Response, Problem> {
    let expected = asked.must_expect()?;
    let query = asked.query(&["dryRun", "reason", "kind", "scope"])?;
    let (kind, scope) = (kind(query.text("kind"))?, scope(query.text("scope"))?);
    if kind.is_none() && scope.is_none() {
        return Err(Problem::malformed("name the `scope` of the decision, or the `kind`, or both"));
    }
    let ask = ask(&asked, &query, What::Withdraw { kind, scope }, expected)?;
    carried_out(&asked.site, ask).await
}

/// Reads the name of a kind of decision.
pub(crate) fn kind(text: Option<&str>) -> Result<Option<&'static str>, Problem> {
    let known = |text| DecisionKind::NAMES.into_iter().find(|name| *name == text);
    let unknown = || Problem::malformed("`kind` is accept, pause or pin");
    text.map(|text| known(text).ok_or_else(unknown)).transpose()
}

/// Reads a pattern of paths.
pub(crate) fn scope(text: Option<&str>) -> Result<Option<PathPattern>, Problem> {
    text.map(|text| text.parse().map_err(|why: String| Problem::malformed(why))).transpose()
}
