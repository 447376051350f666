//! Pauses, and the end of whatever was decided.

use super::{Page, ask, done, reason};
use crate::sync::Mode;
use crate::web::api;
use crate::web::asked::Asked;
use crate::web::desk::What;
use crate::web::problem::Problem;
use crate::web::tag::Expected;

pub(super) async fn pause(mut asked: Asked) -> Page {
    let form = asked.form().await?;
    let reason = reason(&form)?.ok_or_else(|| Problem::malformed("say why it is paused"))?;
    let what =
        What::Pause { scope: api::scope(form.filled("scope"))?, until: api::moment(form.filled("until"))? };
    asked.site.order(ask(&asked, what, Mode::Apply, Expected::Unsaid, Some(reason))).await?;
    Ok(done("/", "paused"))
}

pub(super) async fn resume(mut asked: Asked) -> Page {
    let form = asked.form().await?;
    let what = What::Withdraw { kind: Some("pause"), scope: api::scope(form.filled("scope"))? };
    asked.site.order(ask(&asked, what, Mode::Apply, Expected::Anything, None)).await?;
    Ok(done("/", "resumed"))
}

pub(super) async fn withdraw(mut asked: Asked) -> Page {
    let form = asked.form().await?;
    let kind = api::kind(Some(form.filled("kind").unwrap_or_default()))?;
    let what = What::Withdraw { kind, scope: api::scope(form.filled("scope"))? };
    asked.site.order(ask(&asked, what, Mode::Apply, Expected::Anything, None)).await?;
    Ok(done(if kind == Some("accept") { "/drift" } else { "/" }, "withdrawn"))
}
