//! Who may ask, and how much: hosts, origins, rates, and the headers of every answer.

#![expect(clippy::disallowed_methods, reason = "rates are measured by the clock")]

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::login::Caller;
use super::places::Place;
use super::problem::Problem;
use super::site::Site;
use crate::settings;

/// Nothing from elsewhere, no script and no style that is not a file of ours, no frame around us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The header by which a program names who it acts for.
const ACTOR: &str = "oxide-actor";

/// The longest name of a caller, in characters.
pub(crate) const MAX_NAME: usize = 64;

/// Lets so many things through in a while, and more at once after a pause.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    size: f64,
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    pub(crate) fn new(per_second: f64, size: f64) -> Self {
        Self { per_second, size, level: Mutex::new((size, Instant::now())) }
    }

    /// Whether one more may pass now.
    pub(crate) fn take(&self) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let filled = level.0 + now.duration_since(level.1).as_secs_f64() * self.per_second;
        let passes = filled.min(self.size) >= 1.0;
        *level = (filled.min(self.size) - f64::from(u8::from(passes)), now);
        passes
    }
}

/// Stands before every request.
pub(crate) async fn guard(State(site): State<Site>, mut request: Request, next: Next) -> Response {
    let page = !is_api(request.uri()) && request.method() == Method::GET;
    let answer = match admitted(&site, &mut request).await {
        Ok(place) => place.while_held(next.run(request)).await,
        Err(problem) if page && problem.status == 401 => login_page(request.uri()),
        Err(problem) if page => super::pages::problem_page(&problem),
        Err(problem) => problem.into_response(),
    };
    with_headers(answer)
}

/// Lets a request in. Its place is taken only once it is known who asks, among those who are logged in or among strangers.
async fn admitted<'a>(site: &'a Site, request: &mut Request) -> Result<Place<'a>, Problem> {
    check_uri(request.uri())?;
    check_host(request.headers(), &site.hosts)?;
    check_origin(request.method(), request.headers())?;
    let caller = caller(site, request.headers()).await;
    let open = is_open(request.uri().path());
    match caller {
        Ok(Some(caller)) => {
            if caller.by_cookie && unsafe_method(request.method()) && !from_here(request.headers()) {
                return Err(Problem::forbidden("origin", "a browser did not say where this came from"));
            }
            if caller.read_only && unsafe_method(request.method()) && !is_own_affair(request.uri().path()) {
                return Err(Problem::forbidden("rights", "this account may look, and not change anything")
                    .hint("it needs the right to `update` this OxideStore"));
            }
            request.extensions_mut().insert(caller);
            site.requests.known()
        }
        Ok(None) if open => Ok(site.requests.stranger()),
        Ok(None) => Err(unauthorized()),
        Err(_) if open => Ok(site.requests.stranger()),
        Err(problem) => Err(problem),
    }
}

/// What may be seen by somebody who is not logged in: the way in, and what it looks like.
fn is_open(path: &str) -> bool {
    path == "/login" || path.starts_with("/assets/")
}

/// What changes nothing but for whoever asks.
fn is_own_affair(path: &str) -> bool {
    path == "/logout" || path == "/theme" || path == "/login"
}

fn is_api(uri: &Uri) -> bool {
    uri.path().starts_with("/api/")
}

/// Refuses the forms of a request that only proxies are sent: with a name of their own, besides the one in `Host`.
fn check_uri(uri: &Uri) -> Result<(), Problem> {
    match uri.authority() {
        Some(_) => Err(Problem::malformed("this server is no proxy: name the path alone")),
        None => Ok(()),
    }
}

/// Refuses names that somebody else's page could have made to point here (DNS rebinding).
pub(crate) fn check_host(headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Problem::malformed("the request names more than one host"));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host_name(host);
    let known = matches!(name, "localhost" | "127.0.0.1" | "[::1]") || allowed.iter().any(|it| it == name);
    if known {
        return Ok(());
    }
    Err(Problem::forbidden("host", "this server does not answer under that name")
        .hint("name it with --allow-host, when it is a name of yours"))
}

/// An address as browsers name it in `Host`, without a port.
pub(crate) fn host_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The host without its port.
pub(crate) fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Refuses writes that a page of another site sends.
pub(crate) fn check_origin(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let elsewhere = || Problem::forbidden("origin", "another site's page may not write here");
    if !unsafe_method(method) {
        return Ok(());
    }
    if let Some(site) = headers.get("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return Err(elsewhere());
    }
    match headers.get(header::ORIGIN) {
        Some(origin) if !is_own(origin, headers) => Err(elsewhere()),
        _ => Ok(()),
    }
}

/// Whether a browser said that this came from a page of ours.
fn from_here(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin" || site == "none")
        || headers.get(header::ORIGIN).is_some_and(|origin| is_own(origin, headers))
}

fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let origin = origin.to_str().unwrap_or_default();
    [format!("http://{host}"), format!("https://{host}")].iter().any(|own| own == origin)
}

fn unsafe_method(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Who asks: by a bearer token, else by a session.
pub(crate) async fn caller(site: &Site, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        let token = authorization.to_str().ok().and_then(|text| text.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token);
        let known = match token {
            Some(token) => site.login.recognise(token).await.map_err(|why| not_asked(&why))?,
            None => None,
        };
        if let Some(mut caller) = known {
            if caller.name.is_empty() {
                caller.name = actor(headers);
            }
            return Ok(Some(caller));
        }
        return Err(if site.login.failed_too_often() {
            Problem::too_many("too many wrong tokens; wait a minute")
        } else {
            unauthorized()
        });
    }
    Ok(session_cookie(site, headers).and_then(|cookie| site.login.caller(cookie)))
}

/// The cookie that holds a session of ours, by its name.
pub(crate) fn session_cookie<'a>(site: &Site, headers: &'a HeaderMap) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|it| it.trim().split_once('='));
    let own = site.login.cookie();
    cookies.find(|(name, _)| *name == own).map(|(_, value)| value)
}

fn actor(headers: &HeaderMap) -> String {
    let name = headers.get(ACTOR).and_then(|name| name.to_str().ok()).unwrap_or("API");
    clean_name(name)
}

/// A name as the history takes it.
pub(crate) fn clean_name(name: &str) -> String {
    name.trim().chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}

/// Whose a token is could not be found out.
pub(crate) fn not_asked(why: &str) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "review",
        "the API server cannot be asked whose this token is",
    )
    .detail(why)
    .hint("the token of the file lets in without it")
}

fn unauthorized() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "login", "a login is needed")
        .hint("send Authorization: Bearer with the text of the token file, or log in at /login")
}

/// Sends a browser to the login, and back afterwards.
fn login_page(uri: &Uri) -> Response {
    let back = uri.path_and_query().map_or("/", |it| it.as_str());
    let back: String = form_urlencoded::byte_serialize(back.as_bytes()).collect();
    let to = if back == "%2F" { "/login".to_owned() } else { format!("/login?back={back}") };
    axum::response::Redirect::to(&to).into_response()
}

fn with_headers(mut answer: Response) -> Response {
    if answer.status() == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let headers = answer.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(settings::NO_STORE));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().expect("a name"), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_own_names_are_answered() {
        let allowed = ["oxide.example".to_owned()];
        for host in ["127.0.0.1:8460", "localhost", "[::1]:8460", "[::1]", "oxide.example:443"] {
            assert!(check_host(&headers(&[("host", host)]), &allowed).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "",
            "localhost.evil.example:8460",
            "localhost:evil.example",
            "evil.localhost",
            "evil.oxide.example",
            "10.0.0.1",
        ] {
            assert!(check_host(&headers(&[("host", host)]), &allowed).is_err(), "{host}");
        }
    }

    #[test]
    fn an_address_that_is_listened_on_is_a_name_of_ours() {
        for (address, host) in [("fd00::1", "[fd00::1]:8460"), ("10.0.0.1", "10.0.0.1:8460")] {
            let own = host_of(address.parse().expect("an address"));
            assert!(check_host(&headers(&[("host", host)]), &[own]).is_ok(), "{host}");
        }
    }

    #[test]
    fn a_request_has_one_name_for_us() {
        assert!(check_host(&headers(&[("host", "localhost"), ("host", "localhost")]), &[]).is_err());
        assert!(check_uri(&Uri::from_static("http://localhost/")).is_err());
        assert!(check_uri(&Uri::from_static("/")).is_ok());
    }

    #[test]
    fn a_write_from_another_site_is_refused() {
        let post = |pairs: &[(&'static str, &'static str)]| {
            let all: Vec<_> = [("host", "localhost:1")].iter().chain(pairs).copied().collect();
            check_origin(&Method::POST, &headers(&all)).is_ok()
        };
        assert!(post(&[]) && post(&[("origin", "http://localhost:1")]));
        assert!(post(&[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:1")]));
        assert!(!post(&[("origin", "http://localhost:2")]) && !post(&[("origin", "null")]));
        assert!(!post(&[("sec-fetch-site", "cross-site")]) && !post(&[("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let bucket = Bucket::new(0.0, 2.0);
        assert_eq!([bucket.take(), bucket.take(), bucket.take()], [true, true, false]);
        assert!(Bucket::new(1e9, 1.0).take());
        let slow = Bucket::new(0.01, 1.0);
        assert!(slow.take());
        assert!((0..200).all(|_| !slow.take()), "asking does not fill it");
    }
}
