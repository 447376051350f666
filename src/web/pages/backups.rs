//! Backups: what there is, whether it could be restored, and the way back.

use askama::Template;

use super::answer::{Preview, written};
use super::frame::{Frame, Moment};
use super::{Page, ask, done, encoded, expected, reason, shown};
use crate::store::{Store, Verdict};
use crate::sync::Mode;
use crate::web::api::{self, listed_backups};
use crate::web::asked::Asked;
use crate::web::desk::{Earlier, What};
use crate::web::problem::Problem;
use crate::web::tag::Expected;

#[derive(Template)]
#[template(path = "backups.html", config = "src/web/askama.toml")]
struct Backups {
    frame: Frame,
    kept: Vec<Row>,
    checked: Option<Checked>,
}

struct Row {
    name: String,
    link: String,
    at: Moment,
    size: String,
    holds: String,
    revision: String,
    key: &'static str,
    why: String,
}

/// What a check found.
struct Checked {
    name: String,
    good: bool,
    text: String,
}

pub(super) async fn list(asked: Asked) -> Page {
    let frame = Frame::of(&asked, "Backups", "backups").await;
    let wanted = asked.lenient_query().text("check").map(str::to_owned);
    let read = move |store: &mut Store| {
        let checked = wanted.and_then(|name| api::verdict(store, name));
        Ok((listed_backups(store), checked))
    };
    let (listed, checked) = asked.site.store(read).await?;
    let row = |backup: api::BackupAnswer| Row {
        link: encoded(&backup.name),
        at: Moment::at(backup.taken_at),
        size: format!("{:.1} MB", backup.bytes as f64 / 1e6),
        holds: match (backup.services, backup.rules) {
            (Some(services), Some(rules)) => format!("{services} services, {rules} rules"),
            _ => "not recorded".into(),
        },
        revision: backup.revision.map_or_else(|| "–".into(), |number| number.to_string()),
        key: backup.key.unwrap_or("unknown"),
        why: backup.why.unwrap_or_default(),
        name: backup.name,
    };
    let checked = checked.map(|it| Checked {
        good: it.verdict.is_good(),
        text: match &it.verdict {
            Verdict::Good => "can be restored: every page, every value and every API key was read".into(),
            Verdict::GoodUnderRetiredKey => "can be restored: a retired key that opens it is at hand".into(),
            Verdict::NeedsKey(count) => {
                format!("needs another key: {count} API keys in it open with none at hand")
            }
            Verdict::Empty => "holds no configuration".into(),
            Verdict::Damaged(why) => format!("is damaged: {why}"),
        },
        name: it.name,
    });
    Ok(shown(&Backups { frame, kept: listed.into_iter().map(row).collect(), checked }))
}

pub(super) async fn take(mut asked: Asked) -> Page {
    let form = asked.form().await?;
    let order = ask(&asked, What::BackUp, Mode::Apply, Expected::Unsaid, reason(&form)?);
    asked.site.order(order).await?;
    Ok(done("/backups", "backup"))
}

pub(super) async fn ask_restore(asked: Asked) -> Page {
    let name = asked.part("name").to_owned();
    let what =
        What::Restore { from: Earlier::Backup(name.clone()), only: None, confirm_prune: None, pin: true };
    preview(&asked, what, format!("Restore the backup {name}"), "backups", "/backups").await
}

/// Shows what a restore would write.
pub(super) async fn preview(
    asked: &Asked,
    what: What,
    heading: String,
    at: &'static str,
    back: &str,
) -> Page {
    let tag = asked.site.view().await?.tag();
    let pins = matches!(what, What::Restore { pin: true, .. });
    let meaning = if pins {
        "The values below are written into the database, with a backup before. The source as it is now is kept out until it changes."
    } else {
        "The values below are written into the database, with a backup before."
    };
    let tried = asked.site.order(ask(asked, what.clone(), Mode::Plan, Expected::Unsaid, None)).await;
    let mut confirm = None;
    // More deletions than usual: the preview shows them all, and asks for their number.
    let tried = match (tried, what) {
        (Err(problem), What::Restore { from, only, pin, .. }) if problem.kind.ends_with(":guarded") => {
            confirm = problem.detail.as_deref().and_then(|text| text.split(' ').next()).map(str::to_owned);
            let confirm_prune = confirm.as_deref().and_then(|text| text.parse().ok());
            let what = What::Restore { from, only, confirm_prune, pin };
            asked.site.order(ask(asked, what, Mode::Plan, Expected::Unsaid, None)).await
        }
        (tried, _) => tried,
    };
    let frame = Frame::of(asked, "Restore", at).await;
    Ok(shown(&Preview {
        meaning: meaning.to_owned(),
        hidden: vec![("etag", tag)],
        button: if pins { "Restore".into() } else { "Undo".into() },
        dangerous: pins,
        confirm,
        back: back.to_owned(),
        ..Preview::of(frame, heading, tried)
    }))
}

pub(super) async fn restore(asked: Asked) -> Page {
    let from = Earlier::Backup(asked.part("name").to_owned());
    carry_out(asked, |confirm_prune| What::Restore { from, only: None, confirm_prune, pin: true }).await
}

/// Restores what a form confirmed.
pub(super) async fn carry_out(mut asked: Asked, what: impl FnOnce(Option<usize>) -> What) -> Page {
    let form = asked.form().await?;
    let number =
        |text: &str| text.parse().map_err(|_| Problem::malformed("the number of deletions is a number"));
    let confirmed = form.filled("confirm").map(number).transpose()?;
    let order = ask(&asked, what(confirmed), Mode::Apply, expected(form.text("etag")), reason(&form)?);
    let answer = asked.site.order(order).await?;
    Ok(written("/history", &answer))
}
