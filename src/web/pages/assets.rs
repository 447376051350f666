//! The style, the script and the icon: files of ours, in the binary, under names that change with their content.

use std::sync::OnceLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::Faulty;
use crate::web::asked::Asked;
use crate::web::problem::Problem;
use crate::web::tag;

const CSS: &str = include_str!("../assets/app.css");
const JS: &str = include_str!("../assets/app.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// A name with a content's hash stays right for ever.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(super) fn css_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| format!("/assets/{}.css", tag::of_texts([CSS])))
}

pub(super) fn js_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| format!("/assets/{}.js", tag::of_texts([JS])))
}

pub(super) async fn serve(asked: Asked) -> Result<Response, Faulty> {
    let path = format!("/assets/{}", asked.part("name"));
    let (kind, body) = match path.as_str() {
        path if path == css_path() => ("text/css; charset=utf-8", CSS),
        path if path == js_path() => ("text/javascript; charset=utf-8", JS),
        "/assets/icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(Problem::not_found("there is no such file").into()),
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_EVER)], body).into_response())
}
