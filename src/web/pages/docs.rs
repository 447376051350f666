//! The API for people: every call, from the same table as the routes.

use askama::Template;

use super::frame::Frame;
use super::{Page, shown};
use crate::web::api::{OPERATIONS, Operation, Precondition, ROOT, TAGS};
use crate::web::asked::Asked;

#[derive(Template)]
#[template(path = "docs.html", config = "src/web/askama.toml")]
struct Docs {
    frame: Frame,
    token_file: String,
    groups: Vec<Group>,
}

struct Group {
    name: &'static str,
    about: &'static str,
    calls: Vec<Call>,
}

struct Call {
    id: &'static str,
    method: String,
    path: String,
    summary: &'static str,
    query: Vec<(&'static str, &'static str)>,
    precondition: &'static str,
    has_body: bool,
    answers: Vec<(u16, &'static str)>,
}

pub(super) async fn page(asked: Asked) -> Page {
    let group = |(name, about): (&'static str, &'static str)| {
        let calls = OPERATIONS.iter().filter(|operation| operation.tag == name).map(call).collect();
        Group { name, about, calls }
    };
    let frame = Frame::of(&asked, "API", "docs").await;
    let token_file = asked.site.login.token_file().display().to_string();
    Ok(shown(&Docs { frame, token_file, groups: TAGS.into_iter().map(group).collect() }))
}

fn call(operation: &Operation) -> Call {
    Call {
        id: operation.id,
        method: operation.method.to_uppercase(),
        path: format!("{ROOT}{}", operation.path),
        summary: operation.summary,
        query: operation.query.iter().map(|it| (it.name, it.about)).collect(),
        precondition: match operation.precondition {
            Precondition::None => "",
            Precondition::Match => "If-Match: the ETag that you were shown, or *",
            Precondition::MatchOrNone => "If-Match, or If-None-Match: * for a new one",
        },
        has_body: operation.body.is_some(),
        answers: operation.answers.iter().map(|it| (it.status, it.about)).collect(),
    }
}
