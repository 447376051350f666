//! What goes wrong, as `application/problem+json`. Source: <https://www.rfc-editor.org/rfc/rfc9457>.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::desk::Refused;
use crate::model::Finding;

/// Why a request was not answered as it was meant.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// A name from a fixed set, as `urn:oxide-operator:changed`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// What is wrong, in a few words that are always the same.
    pub(crate) title: &'static str,
    /// The status, again.
    pub(crate) status: u16,
    /// What is wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// Every finding, with its path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<Finding>,
}

/// After how many seconds a client that was turned away may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl Problem {
    pub(crate) fn new(status: StatusCode, name: &str, title: &'static str) -> Self {
        let kind = format!("urn:oxide-operator:{name}");
        Self { kind, title, status: status.as_u16(), detail: None, hint: None, errors: Vec::new() }
    }

    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A request that cannot be understood.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "the request cannot be understood").detail(detail)
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is no such thing").detail(what)
    }

    /// A write that does not say what it expects to find.
    pub(crate) fn precondition_required() -> Self {
        Self::new(
            StatusCode::PRECONDITION_REQUIRED,
            "unconditional",
            "the request does not say what it expects",
        )
        .hint("send If-Match with the ETag that you were shown, or If-Match: * to write whatever is there")
    }

    pub(crate) fn too_many(detail: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "too many requests").detail(detail)
    }

    pub(crate) fn forbidden(name: &str, title: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, name, title)
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let errors = refused.findings().to_vec();
        let problem = match refused {
            Refused::Invalid(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "what was asked for is not valid; nothing was written",
            ),
            Refused::Guarded(finding) => Self::new(
                StatusCode::CONFLICT,
                "guarded",
                "more deletions than may be made without confirming their number",
            )
            .detail(finding.message)
            .hint("send confirmPrune with the exact number"),
            Refused::NotFound(finding) => Self::not_found(finding.message),
            Refused::Exists(finding) => {
                Self::new(StatusCode::CONFLICT, "exists", "there is one already").detail(finding.message)
            }
            Refused::Changed => {
                Self::new(StatusCode::PRECONDITION_FAILED, "changed", "it is no longer what you were shown")
                    .hint("read it again, and decide again; nothing was written")
            }
            Refused::NoSource => Self::new(
                StatusCode::CONFLICT,
                "no-source",
                "the source cannot be read, so nothing can be compared",
            )
            .hint("/api/v1/status says why"),
            Refused::SourceNotWritten { message, hint } => {
                Self::new(StatusCode::CONFLICT, "source-not-written", "the source was not written")
                    .detail(message)
                    .hint(hint)
            }
            Refused::Failed(failure) => {
                let status = if failure.transient {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::INTERNAL_SERVER_ERROR
                };
                let problem =
                    Self::new(status, failure.reason, "the database cannot be used").detail(failure.message);
                match failure.hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                }
            }
        };
        Self { errors, ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
