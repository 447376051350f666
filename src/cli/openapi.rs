//! `openapi`: the OpenAPI document of the API.

use super::{Exit, output};

pub(super) fn run() -> Exit {
    output::result(serde_json::to_string_pretty(&crate::web::openapi()).unwrap_or_default());
    Exit::Ok
}
