//! `/api/v1`: one table from which both the routes and the OpenAPI document are made, so that neither says what the
//! other does not.

mod answers;
mod configuration;
mod drift;
mod history;
mod objects;
mod openapi;
mod operations;
mod parameters;
mod state;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;

use super::asked::{Asked, Query};
use super::desk::{Ask, Done, What};
use super::problem::Problem;
use super::site::Site;
use super::tag::Expected;
use crate::model::reason_of;
use crate::sync::Mode;
pub(crate) use answers::{BackupAnswer, listed_backups};
pub(crate) use drift::{explained, moment};
pub(crate) use history::{steps, verdict};
pub(crate) use objects::{page, path_of};
pub(crate) use openapi::document;
pub(crate) use operations::OPERATIONS;
pub(crate) use state::{kind, scope};

/// Below this every call lies.
pub(crate) const ROOT: &str = "/api/v1";

/// The groups of calls, in the order in which they are shown.
pub(crate) const TAGS: [(&str, &str); 6] = [
    ("state", "How the two sides stand, and what happens."),
    ("drift", "What differs between the source and the database, and the answers to it."),
    ("objects", "Services, routing rules and settings in the database."),
    ("configuration", "The whole configuration at once."),
    ("history", "Who changed what, when and why; and the way back."),
    ("backups", "Copies of the database."),
];

/// One call.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    /// Its name in the document and in generated clients.
    pub(crate) id: &'static str,
    pub(crate) method: &'static str,
    /// Below [`ROOT`].
    pub(crate) path: &'static str,
    /// The group that it is shown in.
    pub(crate) tag: &'static str,
    /// What it does, in a few words.
    pub(crate) summary: &'static str,
    pub(crate) query: &'static [Parameter],
    pub(crate) body: Option<Shape>,
    pub(crate) precondition: Precondition,
    pub(crate) answers: &'static [Answer],
    pub(crate) route: fn() -> MethodRouter<Site>,
}

/// What makes a schema.
pub(crate) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// A parameter behind the question mark.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: ParameterKind,
}

/// What a parameter may be.
#[derive(Clone, Copy)]
pub(crate) enum ParameterKind {
    Flag,
    Number(usize, usize),
    Text,
    Choice(&'static [&'static str]),
    /// `7`, or `o7` for a snapshot of the orchestrator's own.
    Revision,
}

/// Whether a call has to say what it expects to find.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// It writes nothing that is there already.
    None,
    /// `If-Match` is needed.
    Match,
    /// `If-Match`, or `If-None-Match: *` for what is not there yet.
    MatchOrNone,
}

/// What a call answers when all goes well. What goes wrong is the same everywhere; see [`openapi`].
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) about: &'static str,
    pub(crate) media: &'static str,
    /// Whether it carries an `ETag`.
    pub(crate) tagged: bool,
    pub(crate) shape: Option<Shape>,
}

/// The routes of every call.
pub(crate) fn routes() -> Router<Site> {
    let mut routes = Router::new();
    for operation in OPERATIONS {
        routes = routes.route(&format!("{ROOT}{}", operation.path), (operation.route)());
    }
    routes
        .route("/api/{*rest}", axum::routing::any(|| async { nothing_there() }))
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "that cannot be done here")
        })
}

fn nothing_there() -> Problem {
    Problem::not_found("there is no such call; /api/v1/openapi.json lists them")
}

/// An answer in JSON.
fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_string(value).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// An answer in JSON with its tag; without its body for a client that has it.
fn tagged(asked: &Asked, tag: &str, value: &impl Serialize) -> Response {
    let mut answer =
        if asked.has(tag) { StatusCode::NOT_MODIFIED.into_response() } else { json(StatusCode::OK, value) };
    set_tag(&mut answer, tag);
    answer
}

fn set_tag(answer: &mut Response, tag: &str) {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
}

/// What every write may be told: whether to write, and why.
const WRITING: [&str; 2] = ["dryRun", "reason"];

/// Puts a request to write together.
fn ask(asked: &Asked, query: &Query<'_>, what: What, expected: Expected) -> Result<Ask, Problem> {
    let reason = query.text("reason").map(reason).transpose()?;
    let mode = if query.flag("dryRun")? { Mode::Plan } else { Mode::Apply };
    Ok(Ask {
        what,
        expected,
        mode,
        actor: crate::model::person_name(&asked.caller.name),
        reason,
        origin: "API",
    })
}

/// Why something is done, as it is recorded.
pub(crate) fn reason(text: &str) -> Result<String, Problem> {
    reason_of(text).map_err(Problem::malformed)
}

/// The answer to a write.
async fn carried_out(site: &Site, ask: Ask) -> Result<Response, Problem> {
    let done: Done = site.order(ask).await?;
    Ok(json(StatusCode::OK, &done))
}
