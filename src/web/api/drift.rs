//! Drift: what differs, what a pass would do, and the answers to it.

use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::Page;
use super::objects::MAX_PAGE;
use super::{ask, carried_out, reason, tagged};
use crate::actions::{ExplainDocument, changed, until, wanted};
use crate::model::{Finding, Section, Selection};
use crate::plan::{Class, explain};
use crate::promotion::PromotedKeys;
use crate::web::asked::Asked;
use crate::web::compared::{Compared, Difference};
use crate::web::desk::{Refused, SyncHow, What};
use crate::web::problem::Problem;
use crate::web::site::now;
use crate::web::tag;

/// Differences on one page when nobody says how many.
const PAGE: usize = 200;

/// Which differences to answer, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Revert {
    /// Objects or fields, as `services.openai.enabled`.
    #[schemars(length(min = 1, max = 1000))]
    paths: Vec<String>,
}

/// Which of the database's values go into the source.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Promote {
    /// Objects or fields, as `services.openai.enabled`.
    #[schemars(length(min = 1, max = 1000))]
    paths: Vec<String>,
    /// Whether API keys go along, encrypted; else they stay where they are.
    #[serde(default)]
    keys_as_tokens: bool,
}

/// Which differences are left as they are.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Accept {
    /// Objects or fields, as `services.openai.enabled`.
    #[schemars(length(min = 1, max = 1000))]
    paths: Vec<String>,
    /// Why; shown wherever the difference is.
    #[schemars(length(min = 1, max = 300))]
    reason: String,
    /// Until when: `2h`, `7d`, `2026-12-31`; for good without it.
    until: Option<String>,
}

/// How a pass is made.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct Sync {
    /// Write although somebody paused it.
    while_paused: bool,
    /// Write what a restore rejected, too.
    release_pin: bool,
    /// The exact number of deletions that is confirmed.
    confirm_prune: Option<u32>,
}

/// The differences.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DriftAnswer {
    #[serde(flatten)]
    page: Page<Difference>,
    /// Whether the two sides could be compared; if not, `status` says why.
    compared: bool,
}

pub(super) async fn list(asked: Asked) -> Result<Response, Problem> {
    let query = asked.query(&["limit", "continue", "class", "section"])?;
    let limit = query.number("limit", 1..=MAX_PAGE)?.unwrap_or(PAGE);
    let start = query.number("continue", 0..=usize::MAX)?.unwrap_or(0);
    let class = query.text("class").map(class).transpose()?;
    let section = query.text("section").map(section).transpose()?;
    let compared = asked.site.compared().await?;
    let fits = |it: &&Difference| {
        class.is_none_or(|class| it.class == class)
            && section.is_none_or(|section| it.path.section == section)
    };
    let all: Vec<&Difference> = compared.differences.iter().filter(fits).collect();
    let items: Vec<Difference> = all.iter().skip(start).take(limit).map(|it| (*it).clone()).collect();
    let end = start.saturating_add(items.len());
    let next = (end < all.len()).then(|| end.to_string());
    let page = Page { items, total: all.len(), r#continue: next };
    let answer = DriftAnswer { page, compared: compared.plan.is_some() };
    Ok(tagged(&asked, &compared.tag, &answer))
}

fn class(text: &str) -> Result<Class, Problem> {
    let known = Class::ALL.into_iter().find(|class| class.name() == text);
    known.ok_or_else(|| Problem::malformed(format!("`{text}` is no class of differences")))
}

fn section(text: &str) -> Result<Section, Problem> {
    Section::named(text).ok_or_else(|| Problem::malformed(format!("`{text}` is no section")))
}

pub(super) async fn plan(asked: Asked) -> Result<Response, Problem> {
    asked.query(&[])?;
    let compared = asked.site.compared().await?;
    let plan = compared.plan.as_ref().ok_or(Refused::NoSource)?;
    Ok(tagged(&asked, &compared.sides_tag(), &plan.document()))
}

pub(super) async fn explanation(asked: Asked) -> Result<Response, Problem> {
    asked.query(&[])?;
    let compared = asked.site.compared().await?;
    let path = asked.part("path").to_owned();
    let found = explained(&asked, &compared, &path).await?;
    let tag = tag::of_texts([&path, &compared.sides_tag()]);
    let differing = found.iter().filter(|it| it.explanation.class.is_some());
    let paths: Vec<_> = differing.map(|it| &it.explanation.path).collect();
    let tag = match (&compared.seen.desired, paths.is_empty()) {
        (Some(desired), false) => tag::of_differences(paths.into_iter(), desired, &compared.view.store),
        _ => tag,
    };
    Ok(tagged(&asked, &tag, &found))
}

/// Explains what a path names.
pub(crate) async fn explained(
    asked: &Asked,
    compared: &Compared,
    path: &str,
) -> Result<Vec<ExplainDocument>, Problem> {
    let (Some(desired), Some(plan)) = (&compared.seen.desired, &compared.plan) else {
        return Err(Refused::NoSource.into());
    };
    let store = &compared.view.store;
    let missing = |findings: Vec<Finding>| Problem {
        errors: findings,
        ..Problem::not_found(format!("there is nothing at {path}"))
    };
    let (section, id, field) = wanted(path, desired, store).map_err(missing)?;
    let revisions = asked.site.store(crate::store::Store::revisions).await?;
    let found = explain(desired, store, plan, section, &id, field);
    let with_change =
        |explanation| ExplainDocument { changed: changed(&explanation, &revisions), explanation };
    Ok(found.into_iter().map(with_change).collect())
}

/// Reads paths as the command line reads them.
pub(crate) fn selections(paths: &[String]) -> Result<Vec<Selection>, Problem> {
    if paths.is_empty() || paths.len() > MAX_PAGE {
        return Err(Problem::malformed(format!("`paths` names from 1 to {MAX_PAGE} paths")));
    }
    paths.iter().map(|path| path.parse().map_err(Problem::malformed)).collect()
}

pub(super) async fn revert(mut asked: Asked) -> Result<Response, Problem> {
    let expected = asked.must_expect()?;
    let Revert { paths } = asked.json().await?;
    let query = asked.query(&super::WRITING)?;
    let ask = ask(&asked, &query, What::Revert { paths: selections(&paths)? }, expected)?;
    carried_out(&asked.site, ask).await
}

pub(super) async fn promote(mut asked: Asked) -> Result<Response, Problem> {
    let expected = asked.must_expect()?;
    let Promote { paths, keys_as_tokens } = asked.json().await?;
    let query = asked.query(&super::WRITING)?;
    let keys = if keys_as_tokens { PromotedKeys::Tokens } else { PromotedKeys::Blocked };
    let ask = ask(&asked, &query, What::Promote { paths: selections(&paths)?, keys }, expected)?;
    carried_out(&asked.site, ask).await
}

pub(super) async fn accept(mut asked: Asked) -> Result<Response, Problem> {
    let expected = asked.must_expect()?;
    let Accept { paths, reason: why, until } = asked.json().await?;
    let query = asked.query(&["dryRun"])?;
    let what = What::Accept { paths: selections(&paths)?, until: moment(until.as_deref())? };
    let mut ask = ask(&asked, &query, what, expected)?;
    ask.reason = Some(reason(&why)?);
    carried_out(&asked.site, ask).await
}

/// Reads until when something holds.
pub(crate) fn moment(text: Option<&str>) -> Result<Option<f64>, Problem> {
    let read = |text: &str| {
        until(text, now()).map_err(|why| {
            let problem = Problem::new(
                axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "until when is not understood",
            );
            problem.detail(format!("until {text}{why}"))
        })
    };
    text.map(read).transpose()
}

pub(super) async fn sync(mut asked: Asked) -> Result<Response, Problem> {
    let expected = asked.must_expect()?;
    let Sync { while_paused, release_pin, confirm_prune } = asked.json().await?;
    let query = asked.query(&super::WRITING)?;
    let confirm_prune = confirm_prune.map(|count| count as usize);
    let how = SyncHow { while_paused, release_pin, confirm_prune };
    let ask = ask(&asked, &query, What::Sync(how), expected)?;
    carried_out(&asked.site, ask).await
}
