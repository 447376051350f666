//! The way in and out, and light or dark.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::frame::{Frame, THEME};
use super::{Page, render, shown};
use crate::settings;
use crate::web::asked::Asked;
use crate::web::guard::{clean_name, not_asked, session_cookie};
use crate::web::login::Caller;
use crate::web::problem::Problem;

#[derive(Template)]
#[template(path = "login.html", config = "src/web/askama.toml")]
struct Login {
    frame: Frame,
    token_file: String,
    /// The code of the printed link, when one came with it.
    code: String,
    back: String,
    wrong: bool,
    /// Whether tokens of a cluster's accounts let somebody in, too.
    accounts: bool,
    audience: &'static str,
}

pub(super) async fn page(asked: Asked) -> Page {
    let query = asked.lenient_query();
    let code = query.text("code").unwrap_or_default().to_owned();
    let back = back(query.text("back"));
    Ok(shown(&login(&asked, code, back, false)))
}

fn login(asked: &Asked, code: String, back: String, wrong: bool) -> Login {
    let token_file = asked.site.login.token_file().display().to_string();
    let accounts = asked.site.login.knows_accounts();
    let audience = settings::TOKEN_AUDIENCE;
    Login { frame: Frame::bare("Log in"), token_file, code, back, wrong, accounts, audience }
}

/// A page of ours to go back to; never another site. Browsers drop tabs and line feeds before they read an address, so
/// `/<TAB>/evil.example` would be one. Source: <https://url.spec.whatwg.org/#concept-basic-url-parser>, step 3.
fn back(text: Option<&str>) -> String {
    let plain = |to: &&str| !to.contains(|it: char| it.is_control() || it == '\\');
    let own = text.filter(plain).filter(|to| to.starts_with('/') && !to.starts_with("//"));
    own.unwrap_or("/").to_owned()
}

pub(super) async fn enter(mut asked: Asked) -> Page {
    let form = asked.form().await?;
    let to = back(form.text("back"));
    let by_code = form.filled("code").is_some_and(|code| asked.site.login.redeem(code));
    let by_token = match form.filled("token") {
        Some(token) => asked.site.login.recognise(token).await.map_err(|why| not_asked(&why))?,
        None => None,
    };
    let Some(mut caller) = by_token.or_else(|| by_code.then(Caller::default)) else {
        if asked.site.login.failed_too_often() {
            return Err(Problem::too_many("too many wrong tokens; wait a minute").into());
        }
        return Ok(render(StatusCode::UNAUTHORIZED, &login(&asked, String::new(), to, true)));
    };
    // An account has a name, and may lose its rights: it is asked about again after an hour.
    let lasts = if caller.name.is_empty() { settings::SESSION_FOR } else { settings::ACCOUNT_SESSION_FOR };
    if caller.name.is_empty() {
        caller.name = clean_name(form.text("name").unwrap_or_default());
    }
    let session = asked.site.login.session(&caller, lasts);
    let lasts = lasts.as_secs();
    // Behind a proxy with TLS the cookie never travels without it.
    let secure = asked.headers.get("x-forwarded-proto").is_some_and(|it| it == "https");
    let secure = if secure { "; Secure" } else { "" };
    Ok(with_cookie(
        Redirect::to(&to).into_response(),
        &format!(
            "{}={session}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Strict{secure}",
            asked.site.login.cookie()
        ),
    ))
}

pub(super) async fn leave(asked: Asked) -> Page {
    if let Some(cookie) = session_cookie(&asked.site, &asked.headers) {
        asked.site.login.end(cookie);
    }
    let gone = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict", asked.site.login.cookie());
    Ok(with_cookie(Redirect::to("/login").into_response(), &gone))
}

pub(super) async fn theme(mut asked: Asked) -> Page {
    let form = asked.form().await?;
    let theme = match form.text("theme") {
        Some("dark") => "dark",
        Some("light") => "light",
        _ => "auto",
    };
    let to = back(form.text("back"));
    let cookie = format!("{THEME}={theme}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict");
    Ok(with_cookie(Redirect::to(&to).into_response(), &cookie))
}

fn with_cookie(mut answer: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::back;

    #[test]
    fn a_login_never_leads_to_another_site() {
        assert_eq!(back(Some("/drift?class=drift")), "/drift?class=drift");
        for elsewhere in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            "/drift\r\nSet-Cookie: a=b",
            "/\0",
            "evil",
            "",
        ] {
            assert_eq!(back(Some(elsewhere)), "/", "{elsewhere}");
        }
    }
}
