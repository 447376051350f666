//! A request as the handlers read it: parameters that are checked, preconditions, a body of limited size.

use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts as _, RawPathParams, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::login::Caller;
use super::problem::Problem;
use super::site::Site;
use super::tag::Expected;
use crate::settings;

/// A request.
pub(crate) struct Asked {
    pub(crate) site: Site,
    pub(crate) caller: Caller,
    pub(crate) headers: HeaderMap,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    /// Behind a lock only because a body may not be looked at from two threads.
    body: Mutex<Body>,
}

impl FromRequest<Site> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let path = RawPathParams::from_request_parts(&mut parts, site)
            .await
            .map_err(|error| Problem::malformed(error.to_string()))?;
        let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let query = query.into_owned().collect();
        let caller = parts.extensions.remove::<Caller>().unwrap_or_default();
        Ok(Self { site: site.clone(), caller, headers: parts.headers, path, query, body: Mutex::new(body) })
    }
}

impl Asked {
    /// A part of the path.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The query, in which nothing but `known` may stand: a misspelt `dryRun` would write.
    pub(crate) fn query(&self, known: &[&str]) -> Result<Query<'_>, Problem> {
        for (position, (name, _)) in self.query.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let there_are = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::malformed(format!(
                    "`{name}` is no parameter of this call: there are {there_are}"
                )));
            }
            if self.query[..position].iter().any(|(other, _)| other == name) {
                return Err(Problem::malformed(format!("`{name}` is given twice")));
            }
        }
        Ok(Query(&self.query))
    }

    /// The query as it is, for pages: a link with a parameter too many still shows the page.
    pub(crate) fn lenient_query(&self) -> Query<'_> {
        Query(&self.query)
    }

    /// What the request expects to find.
    pub(crate) fn expected(&self) -> Result<Expected, Problem> {
        let text = |name| match self.headers.get(name) {
            None => Ok(None),
            Some(value) => match value.to_str() {
                Ok(text) => Ok(Some(text.trim())),
                Err(_) => Err(Problem::malformed("a precondition is no text")),
            },
        };
        match (text(header::IF_MATCH)?, text(header::IF_NONE_MATCH)?) {
            (Some(_), Some(_)) => Err(Problem::malformed("If-Match and If-None-Match exclude each other")),
            (Some("*"), None) => Ok(Expected::Anything),
            (Some(tags), None) => Ok(Expected::Tags(self::tags(tags))),
            (None, Some("*")) => Ok(Expected::Nothing),
            (None, _) => Ok(Expected::Unsaid),
        }
    }

    /// What the request expects to find; it has to say so.
    pub(crate) fn must_expect(&self) -> Result<Expected, Problem> {
        match self.expected()? {
            Expected::Unsaid => Err(Problem::precondition_required()),
            said => Ok(said),
        }
    }

    /// Whether the client has what carries this tag already.
    pub(crate) fn has(&self, tag: &str) -> bool {
        let said = self.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        said.is_some_and(|said| said.trim() == "*" || tags(said).iter().any(|known| known == tag))
    }

    /// The body as text, which must be JSON by its type.
    pub(crate) async fn json_text(&mut self) -> Result<String, Problem> {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind =
            kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
        if kind != "application/json" && kind != "application/merge-patch+json" {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "the body must be application/json",
            ));
        }
        let bytes = self.bytes(settings::MAX_BODY_BYTES).await?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Problem::malformed("the body is not UTF-8"))
    }

    /// The body as JSON of a shape.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        let text = self.json_text().await?;
        // The error names fields and places, and may quote what was sent: never a key, since no such body holds one.
        serde_json::from_str(&text).map_err(|error| Problem::malformed(error.to_string()))
    }

    /// The body as a form has it.
    pub(crate) async fn form(&mut self) -> Result<Form, Problem> {
        let bytes = self.bytes(settings::MAX_FORM_BYTES).await?;
        Ok(Form(form_urlencoded::parse(&bytes).into_owned().collect()))
    }

    async fn bytes(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let body = std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner));
        match tokio::time::timeout(settings::BODY_TIMEOUT, to_bytes(body, limit)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_)) => {
                Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the body is too large")
                    .detail(format!("at most {limit} bytes are read")))
            }
            Err(_) => {
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the body did not arrive in time"))
            }
        }
    }
}

/// Entity tags as a header lists them; weak ones count as strong, because ours are.
fn tags(text: &str) -> Vec<String> {
    let tags = text.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned());
    tags.filter(|tag| !tag.is_empty()).collect()
}

/// The parameters behind the question mark.
pub(crate) struct Query<'a>(&'a [(String, String)]);

impl<'a> Query<'a> {
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::malformed(format!("`{name}` is true or false"))),
        }
    }

    pub(crate) fn number(&self, name: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let read = text.parse().ok().filter(|number| range.contains(number));
        let why =
            || Problem::malformed(format!("`{name}` is a number from {} to {}", range.start(), range.end()));
        read.map(Some).ok_or_else(why)
    }
}

/// The fields of a form.
pub(crate) struct Form(pub(crate) Vec<(String, String)>);

impl Form {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A field that was filled in.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.text(name).map(str::trim).filter(|value| !value.is_empty())
    }
}

impl Drop for Form {
    /// A form may hold a key or the token.
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        for (_, value) in &mut self.0 {
            value.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tags;

    #[test]
    fn entity_tags_are_read_as_a_list() {
        assert_eq!(tags(r#""a", W/"b" ,"c""#), ["a", "b", "c"]);
        assert!(tags("").is_empty());
    }
}
