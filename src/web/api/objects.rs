//! Services, routing rules, and the settings of execution: read, create, replace, change, delete.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use zeroize::Zeroizing;

use super::answers::{ObjectAnswer, Page};
use super::{WRITING, ask, carried_out, json, set_tag, tagged};
use crate::model::{Configuration, Section};
use crate::web::asked::Asked;
use crate::web::desk::{How, What};
use crate::web::problem::Problem;
use crate::web::tag;
use crate::web::view::View;

/// Objects on one page when nobody says how many.
const PAGE: usize = 100;

/// Objects on one page at most.
pub(super) const MAX_PAGE: usize = 1_000;

pub(super) async fn list(asked: Asked, section: Section) -> Result<Response, Problem> {
    let query = asked.query(&["limit", "continue", "q"])?;
    let limit = query.number("limit", 1..=MAX_PAGE)?.unwrap_or(PAGE);
    let search = query.text("q").unwrap_or_default().to_lowercase();
    let after = query.text("continue").unwrap_or_default();
    let view = asked.site.view().await?;
    let (ids, total, next) = page(&view, section, &search, after, limit);
    let items: Vec<ObjectAnswer> = ids.into_iter().filter_map(|id| answer(&view, section, id)).collect();
    let tag = tag::of_texts([view.tag(), limit.to_string(), search, after.to_owned()]);
    Ok(tagged(&asked, &tag, &Page { items, total, r#continue: next }))
}

/// Returns the ids of one page behind `after`, how many there are on all pages, and where the next page begins.
pub(crate) fn page<'a>(
    view: &'a View,
    section: Section,
    search: &str,
    after: &str,
    limit: usize,
) -> (Vec<&'a str>, usize, Option<String>) {
    let ids = view.ids(section);
    let fits = |id: &str| search.is_empty() || id.to_lowercase().contains(search);
    let total = if search.is_empty() { ids.len() } else { ids.iter().filter(|id| fits(id)).count() };
    let start = if after.is_empty() { 0 } else { ids.partition_point(|id| **id <= *after) };
    let mut page: Vec<&str> =
        ids[start..].iter().map(|id| &**id).filter(|id| fits(id)).take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|last| (*last).to_owned());
    (page, total, next)
}

fn answer(view: &View, section: Section, id: &str) -> Option<ObjectAnswer> {
    view.store.live.get(section, id).map(|object| ObjectAnswer::of(section, id, object))
}

/// The id that a request names; execution has none.
fn id(asked: &Asked, section: Section) -> String {
    match section {
        Section::Execution => Configuration::EXECUTION_ID.to_owned(),
        _ => asked.part("id").to_owned(),
    }
}

pub(super) async fn read(asked: Asked, section: Section) -> Result<Response, Problem> {
    asked.query(&[])?;
    let view = asked.site.view().await?;
    let id = id(&asked, section);
    let object = answer(&view, section, &id)
        .ok_or_else(|| Problem::not_found(format!("there is no {} `{id}`", section.noun())))?;
    let etag = object.etag.clone();
    Ok(tagged(&asked, &etag, &object))
}

pub(super) async fn create(mut asked: Asked, section: Section) -> Result<Response, Problem> {
    let text = Zeroizing::new(asked.json_text().await?);
    let mut fields = object_of(&text)?;
    let named = fields.shift_remove(section.id_column());
    let Some(id) = named.as_ref().and_then(|id| id.as_str()).map(str::to_owned) else {
        return Err(Problem::malformed(format!("`{}` names the new one", section.id_column())));
    };
    let fields = Zeroizing::new(serde_json::Value::Object(fields).to_string());
    write(&asked, section, id, fields, How::Create).await
}

pub(super) async fn replace(mut asked: Asked, section: Section) -> Result<Response, Problem> {
    asked.must_expect()?;
    let (id, fields) = named(&mut asked, section).await?;
    write(&asked, section, id, fields, How::Replace).await
}

pub(super) async fn change(mut asked: Asked, section: Section) -> Result<Response, Problem> {
    asked.must_expect()?;
    let (id, fields) = named(&mut asked, section).await?;
    write(&asked, section, id, fields, How::Merge).await
}

pub(super) async fn delete(asked: Asked, section: Section) -> Result<Response, Problem> {
    let expected = asked.must_expect()?;
    let query = asked.query(&["dryRun", "reason", "cascade"])?;
    let what = What::Remove { section, id: id(&asked, section), cascade: query.flag("cascade")? };
    let ask = ask(&asked, &query, what, expected)?;
    carried_out(&asked.site, ask).await
}

/// The id in the path and the fields in the body, which may repeat the id, as what was read does.
async fn named(asked: &mut Asked, section: Section) -> Result<(String, Zeroizing<String>), Problem> {
    let text = Zeroizing::new(asked.json_text().await?);
    let mut fields = object_of(&text)?;
    let id = id(asked, section);
    let repeated =
        (section != Section::Execution).then(|| fields.shift_remove(section.id_column())).flatten();
    if repeated.is_some_and(|repeated| repeated != *id) {
        return Err(
            Problem::malformed("the body names another one than the path").hint("a name cannot be changed")
        );
    }
    Ok((id, Zeroizing::new(serde_json::Value::Object(fields).to_string())))
}

/// Reads an object, leaving out what only an answer has.
fn object_of(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Problem> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(mut fields)) => {
            fields.shift_remove("etag");
            fields.shift_remove("apiKeySet");
            Ok(fields)
        }
        Ok(_) => Err(Problem::malformed("the body is no JSON object")),
        // Where it is broken, but nothing of it: it may hold a key.
        Err(error) => Err(Problem::malformed(format!(
            "the body is no JSON: line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}

async fn write(
    asked: &Asked,
    section: Section,
    id: String,
    fields: Zeroizing<String>,
    how: How,
) -> Result<Response, Problem> {
    let query = asked.query(&WRITING)?;
    let expected = asked.expected()?;
    let ask = ask(asked, &query, What::Put { section, id: id.clone(), fields, how }, expected)?;
    let done = asked.site.order(ask).await?;
    let created = how == How::Create && !done.dry_run;
    let mut answer = json(if created { StatusCode::CREATED } else { StatusCode::OK }, &done);
    if created {
        let name: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let place = format!("{}/{}/{}", super::ROOT, path_of(section), name.replace('+', "%20"));
        if let Ok(place) = HeaderValue::from_str(&place) {
            answer.headers_mut().insert(header::LOCATION, place);
        }
    }
    if !done.dry_run
        && let Some(object) = asked.site.view().await?.store.live.get(section, &id)
    {
        set_tag(&mut answer, &tag::of_object(section, object));
    }
    Ok(answer)
}

/// The section's name in paths.
pub(crate) const fn path_of(section: Section) -> &'static str {
    match section {
        Section::Services => "services",
        Section::RoutingRules => "rules",
        Section::Execution => "settings",
    }
}
