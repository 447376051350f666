//! The whole configuration: as one document, read and written at once.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::answers::ObjectAnswer;
use super::{ask, carried_out, json, set_tag, tagged};
use crate::model::{Configuration, Section};
use crate::web::asked::Asked;
use crate::web::desk::{How, What};
use crate::web::problem::Problem;

pub(super) async fn read(asked: Asked) -> Result<Response, Problem> {
    asked.query(&[])?;
    let view = asked.site.view().await?;
    let tag = view.tag();
    if asked.has(&tag) {
        return Ok(tagged(&asked, &tag, &()));
    }
    let shown = asked.site.apart(move || as_json(&view.store.live)).await?;
    let mut answer = json(StatusCode::OK, &shown);
    set_tag(&mut answer, &tag);
    Ok(answer)
}

/// The configuration as its YAML has it, without API keys.
fn as_json(live: &Configuration) -> Json {
    let mut sections = Map::new();
    for section in Section::ALL {
        let objects = live.section(section).into_iter().flatten();
        let fields = |id: &str, object| {
            let answer = ObjectAnswer::of(section, id, object);
            let mut fields: Map<String, Json> =
                answer.fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            if let Some(set) = answer.key_is_set {
                fields.insert("apiKeySet".into(), set.into());
            }
            Json::Object(fields)
        };
        let mut named: Map<String, Json> =
            objects.map(|(id, object)| (id.to_string(), fields(id, object))).collect();
        let value = match section {
            Section::Execution => named.shift_remove(Configuration::EXECUTION_ID).unwrap_or_default(),
            _ => Json::Object(named),
        };
        sections.insert(section.name().to_owned(), value);
    }
    Json::Object(sections)
}

pub(super) async fn replace(asked: Asked) -> Result<Response, Problem> {
    write(asked, How::Replace).await
}

pub(super) async fn change(asked: Asked) -> Result<Response, Problem> {
    write(asked, How::Merge).await
}

async fn write(mut asked: Asked, how: How) -> Result<Response, Problem> {
    let expected = asked.must_expect()?;
    let text = Zeroizing::new(asked.json_text().await?);
    let query = asked.query(&["dryRun", "reason", "confirmPrune"])?;
    let confirm_prune = query.number("confirmPrune", 0..=usize::MAX)?;
    let text = Zeroizing::new(without_answers(&text)?);
    let ask = ask(&asked, &query, What::Configure { text, how, confirm_prune }, expected)?;
    carried_out(&asked.site, ask).await
}

/// Leaves out what only an answer has, so that what was read can be sent back.
fn without_answers(text: &str) -> Result<String, Problem> {
    let place = |error: serde_json::Error| {
        Problem::malformed(format!("the body is no JSON: line {}, column {}", error.line(), error.column()))
    };
    let mut body: Json = serde_json::from_str(text).map_err(place)?;
    let Some(sections) = body.as_object_mut() else {
        return Err(Problem::malformed("the body is no JSON object"));
    };
    for object in sections.values_mut().filter_map(Json::as_object_mut).flat_map(|it| it.values_mut()) {
        if let Some(fields) = object.as_object_mut() {
            fields.shift_remove("apiKeySet");
        }
    }
    Ok(body.to_string())
}
