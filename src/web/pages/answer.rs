//! The answers to drift: a preview of exactly what will be written, then the writing.

use askama::Template;
use axum::response::Response;

use super::frame::{Frame, Moment};
use super::lines::{Found, Line, found, lines};
use super::{Page, ask, done, expected, reason, shown};
use crate::actions::{Changed, ExplainDocument};
use crate::model::Selection;
use crate::promotion::PromotedKeys;
use crate::sync::Mode;
use crate::web::api;
use crate::web::asked::Asked;
use crate::web::compared::Compared;
use crate::web::desk::{Done, SyncHow, What};
use crate::web::problem::Problem;
use crate::web::tag::{self, Expected};

#[derive(Template)]
#[template(path = "preview.html", config = "src/web/askama.toml")]
#[expect(clippy::struct_excessive_bools, reason = "what a template asks, one by one")]
pub(super) struct Preview {
    pub(super) frame: Frame,
    /// What is about to be done, as a heading.
    pub(super) heading: String,
    /// What that means, in a sentence.
    pub(super) meaning: String,
    /// Who changed it last.
    pub(super) who: Option<String>,
    pub(super) lines: Vec<Line>,
    /// The change of the source.
    pub(super) diff: Vec<DiffLine>,
    pub(super) blocked: Vec<Found>,
    /// Why it cannot be done.
    pub(super) problem: Option<Problem>,
    /// Where the form goes, and what it carries.
    pub(super) action: String,
    pub(super) hidden: Vec<(&'static str, String)>,
    pub(super) button: String,
    pub(super) dangerous: bool,
    pub(super) asks_until: bool,
    pub(super) asks_reason: bool,
    pub(super) needs_reason: bool,
    /// The exact number of deletions to confirm.
    pub(super) confirm: Option<String>,
    pub(super) back: String,
}

/// A line of a unified diff.
pub(super) struct DiffLine {
    pub(super) kind: &'static str,
    pub(super) text: String,
}

impl Preview {
    /// A preview that shows what a dry run found.
    pub(super) fn of(frame: Frame, heading: String, tried: Result<Done, Problem>) -> Self {
        let mut preview = Self {
            frame,
            heading,
            meaning: String::new(),
            who: None,
            lines: Vec::new(),
            diff: Vec::new(),
            blocked: Vec::new(),
            problem: None,
            action: String::new(),
            hidden: Vec::new(),
            button: "Write".into(),
            dangerous: false,
            asks_until: false,
            asks_reason: true,
            needs_reason: false,
            confirm: None,
            back: "/drift".into(),
        };
        match tried {
            Ok(done) => {
                preview.lines = lines(done.plan.as_ref());
                if let Some(promoted) = done.promoted {
                    preview.blocked = found(&promoted.blocked);
                    preview.diff = diff_lines(&promoted.diff);
                }
            }
            Err(problem) => preview.problem = Some(problem),
        }
        preview
    }
}

fn diff_lines(diff: &str) -> Vec<DiffLine> {
    let kind = |line: &str| match line.chars().next() {
        Some('+') if !line.starts_with("+++") => "added",
        Some('-') if !line.starts_with("---") => "removed",
        Some('@') => "place",
        Some(' ') => "same",
        _ => "file",
    };
    diff.lines().map(|line| DiffLine { kind: kind(line), text: line.to_owned() }).collect()
}

/// How a difference is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Revert,
    Keep,
    Promote,
}

impl Kind {
    fn read(text: Option<&str>) -> Result<Self, Problem> {
        match text {
            Some("revert") => Ok(Self::Revert),
            Some("keep") => Ok(Self::Keep),
            Some("promote") => Ok(Self::Promote),
            _ => Err(Problem::malformed("a difference is answered by revert, keep or promote")),
        }
    }

    fn what(self, path: Selection, until: Option<f64>, keys: PromotedKeys) -> What {
        let paths = vec![path];
        match self {
            Self::Revert => What::Revert { paths },
            Self::Keep => What::Accept { paths, until },
            Self::Promote => What::Promote { paths, keys },
        }
    }
}

pub(super) async fn preview(asked: Asked) -> Page {
    let query = asked.lenient_query();
    let (kind, name) = (Kind::read(query.text("as"))?, query.text("path").unwrap_or_default().to_owned());
    let path: Selection = name.parse().map_err(Problem::malformed)?;
    let compared = asked.site.compared().await?;
    let tag = tag_of(&compared, &path);
    let dry = ask(&asked, kind.what(path, None, PromotedKeys::Blocked), Mode::Plan, Expected::Unsaid, None);
    let tried = asked.site.order(dry).await;
    let (heading, meaning, button) = match kind {
        Kind::Revert => (
            "Revert",
            "The source's value is written into the database. A backup is taken before, and every value is read back after.",
            "Write into the database",
        ),
        Kind::Keep => (
            "Keep",
            "Nothing is written to either side. The difference is recorded as accepted, and is quiet until one side moves again.",
            "Keep it so",
        ),
        Kind::Promote => (
            "Promote",
            "The database's value is written into the source: only the lines below change, every other byte stays.",
            "Write into the source",
        ),
    };
    let who = api::explained(&asked, &compared, &name).await.ok().and_then(|found| who(found.first()?));
    let as_text = query.text("as").unwrap_or_default().to_owned();
    let frame = Frame::of(&asked, heading, "drift").await;
    let shown_page = Preview {
        meaning: meaning.to_owned(),
        who,
        action: "/drift/answer".into(),
        hidden: vec![("as", as_text), ("path", name.clone()), ("etag", tag)],
        button: button.to_owned(),
        asks_until: kind == Kind::Keep,
        asks_reason: kind != Kind::Promote,
        needs_reason: kind == Kind::Keep,
        ..Preview::of(frame, format!("{heading} {name}"), tried)
    };
    Ok(shown(&shown_page))
}

/// Who changed a value last, as far as the history tells.
fn who(explained: &ExplainDocument) -> Option<String> {
    let Changed { revision, recorded_at, actor, reason, still } = explained.changed.as_ref()?;
    let when = Moment::at(*recorded_at).text;
    Some(if *still {
        format!("Last changed {when} by {actor}, revision {revision}: {reason}.")
    } else {
        format!("Changed by somebody else, in the web UI for example, after revision {revision} ({when}).")
    })
}

/// The tag of the differences that lie in a path.
fn tag_of(compared: &Compared, path: &Selection) -> String {
    let Some(desired) = &compared.seen.desired else { return String::new() };
    let mut paths: Vec<_> =
        compared.differences.iter().map(|it| &it.path).filter(|it| path.covers(it)).collect();
    paths.sort();
    tag::of_differences(paths.into_iter(), desired, &compared.view.store)
}

pub(super) async fn give(mut asked: Asked) -> Page {
    let form = asked.form().await?;
    let kind = Kind::read(form.text("as"))?;
    let path: Selection = form.text("path").unwrap_or_default().parse().map_err(Problem::malformed)?;
    let until = api::moment(form.filled("until"))?;
    let reason = reason(&form)?;
    if kind == Kind::Keep && reason.is_none() {
        return Err(Problem::malformed("say why it is kept: whoever meets the difference reads it").into());
    }
    let what = kind.what(path, until, PromotedKeys::Blocked);
    let answer =
        asked.site.order(ask(&asked, what, Mode::Apply, expected(form.text("etag")), reason)).await?;
    Ok(match kind {
        Kind::Revert => written("/drift", &answer),
        Kind::Keep => done("/drift", "accepted"),
        Kind::Promote => done("/drift", "promoted"),
    })
}

/// Sends on after a write into the database.
pub(super) fn written(to: &str, answer: &Done) -> Response {
    match answer.written.as_ref().and_then(|written| written.revision) {
        Some(revision) => done(to, &format!("revision-{revision}")),
        None => done(to, "nothing"),
    }
}

pub(super) async fn preview_sync(asked: Asked) -> Page {
    let compared = asked.site.compared().await?;
    let how = SyncHow { while_paused: true, ..SyncHow::default() };
    let tried = asked.site.order(ask(&asked, What::Sync(how), Mode::Plan, Expected::Unsaid, None)).await;
    let frame = Frame::of(&asked, "Write now", "drift").await;
    let tag = compared.sides_tag();
    Ok(shown(&Preview {
        meaning: "What the source says is written into the database now, also where writing is paused. Differences that a policy keeps stay.".into(),
        action: "/sync".into(),
        hidden: vec![("etag", tag)],
        button: "Write into the database".into(),
        ..Preview::of(frame, "Write what is pending".into(), tried)
    }))
}

pub(super) async fn sync(mut asked: Asked) -> Page {
    let form = asked.form().await?;
    let how = SyncHow { while_paused: true, ..SyncHow::default() };
    let order = ask(&asked, What::Sync(how), Mode::Apply, expected(form.text("etag")), reason(&form)?);
    let answer = asked.site.order(order).await?;
    Ok(written("/drift", &answer))
}
