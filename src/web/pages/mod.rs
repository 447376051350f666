//! pages
use axum::Router;
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;
use super::site::Site;

pub(crate) fn routes() -> Router<Site> {
    Router::new()
}

pub(crate) fn problem_page(problem: &Problem) -> Response {
    problem.clone().into_response()
}
