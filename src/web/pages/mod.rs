//! The pages: rendered here, complete without script. The script makes them live and asks before it leaves a page.

mod activity;
mod answer;
mod assets;
mod backups;
mod differences;
mod docs;
mod fields;
mod frame;
mod history;
mod lines;
mod login;
mod objects;
mod overview;
mod pause;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};

use super::asked::{Asked, Form};
use super::desk::{Ask, What};
use super::problem::Problem;
use super::site::Site;
use super::tag::Expected;
use crate::model::Section;
use crate::sync::Mode;
use frame::Frame;

pub(super) type Page = Result<Response, Faulty>;

/// The routes of every page.
pub(crate) fn routes() -> Router<Site> {
    let (services, rules, settings) = (Section::Services, Section::RoutingRules, Section::Execution);
    Router::new()
        .route("/", get(overview::page))
        .route("/drift", get(differences::page))
        .route("/drift/answer", get(answer::preview).post(answer::give))
        .route("/sync", get(answer::preview_sync).post(answer::sync))
        .route("/services", get(move |asked| objects::list(asked, services)))
        .route("/rules", get(move |asked| objects::list(asked, rules)))
        .route(
            "/services/new",
            get(move |asked| objects::new(asked, services)).post(move |asked| objects::add(asked, services)),
        )
        .route(
            "/rules/new",
            get(move |asked| objects::new(asked, rules)).post(move |asked| objects::add(asked, rules)),
        )
        .route("/services/check", post(move |asked| objects::check(asked, services)))
        .route("/rules/check", post(move |asked| objects::check(asked, rules)))
        .route("/settings/check", post(move |asked| objects::check(asked, settings)))
        .route(
            "/services/of/{id}",
            get(move |asked| objects::edit(asked, services))
                .post(move |asked| objects::save(asked, services)),
        )
        .route(
            "/rules/of/{id}",
            get(move |asked| objects::edit(asked, rules)).post(move |asked| objects::save(asked, rules)),
        )
        .route(
            "/settings",
            get(move |asked| objects::edit(asked, settings))
                .post(move |asked| objects::save(asked, settings)),
        )
        .route(
            "/services/of/{id}/remove",
            get(move |asked| objects::ask_remove(asked, services))
                .post(move |asked| objects::remove(asked, services)),
        )
        .route(
            "/rules/of/{id}/remove",
            get(move |asked| objects::ask_remove(asked, rules))
                .post(move |asked| objects::remove(asked, rules)),
        )
        .route("/history", get(history::list))
        .route("/history/{revision}", get(history::show))
        .route("/history/{revision}/restore", get(history::ask_restore).post(history::restore))
        .route("/history/{revision}/undo", get(history::ask_undo).post(history::undo))
        .route("/backups", get(backups::list).post(backups::take))
        .route("/backups/{name}/restore", get(backups::ask_restore).post(backups::restore))
        .route("/activity", get(activity::page))
        .route("/pause", post(pause::pause))
        .route("/resume", post(pause::resume))
        .route("/withdraw", post(pause::withdraw))
        .route("/docs", get(docs::page))
        .route("/login", get(login::page).post(login::enter))
        .route("/logout", post(login::leave))
        .route("/theme", post(login::theme))
        .route("/assets/{name}", get(assets::serve))
        .fallback(|request: Request| async move { nothing_here(request.uri().path()) })
}

fn nothing_here(path: &str) -> Response {
    problem_page(&Problem::not_found(format!("there is no page at {path}")))
}

/// A problem as a page.
pub(crate) struct Faulty(Problem);

impl From<Problem> for Faulty {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<super::desk::Refused> for Faulty {
    fn from(refused: super::desk::Refused) -> Self {
        Self(refused.into())
    }
}

impl axum::response::IntoResponse for Faulty {
    fn into_response(self) -> Response {
        problem_page(&self.0)
    }
}

/// A page that says what went wrong, for somebody in a browser.
pub(crate) fn problem_page(problem: &Problem) -> Response {
    #[derive(askama::Template)]
    #[template(path = "problem.html", config = "src/web/askama.toml")]
    struct Shown<'a> {
        frame: Frame,
        problem: &'a Problem,
        changed: bool,
    }
    let changed = problem.status == 412;
    render(problem.status(), &Shown { frame: Frame::bare("Not done"), problem, changed })
}

/// Fills a template in.
fn render(status: StatusCode, page: &impl askama::Template) -> Response {
    match page.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn shown(page: &impl askama::Template) -> Response {
    render(StatusCode::OK, page)
}

/// Sends a browser on after a write: reloading the page does not write again.
fn done(to: &str, said: &str) -> Response {
    let separator = if to.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{to}{separator}done={said}")).into_response()
}

/// What a page asks of the owner.
fn ask(asked: &Asked, what: What, mode: Mode, expected: Expected, reason: Option<String>) -> Ask {
    let name = &asked.caller.name;
    let actor = if name.is_empty() { "web page".to_owned() } else { crate::model::person_name(name) };
    Ask { what, expected, mode, actor, reason, origin: "web page" }
}

/// Why somebody does what a form asks for, if it says so.
fn reason(form: &Form) -> Result<Option<String>, Problem> {
    form.filled("reason").map(super::api::reason).transpose()
}

/// A tag that a form carries.
fn expected(tag: Option<&str>) -> Expected {
    match tag {
        Some(tag) if !tag.is_empty() => Expected::Tags(vec![tag.to_owned()]),
        // A form of ours always carries one: without it nothing fits.
        _ => Expected::Tags(Vec::new()),
    }
}

/// A part of a path or a query, as it stands in a link.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
