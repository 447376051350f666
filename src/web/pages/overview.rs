//! The first page: in sync or not, in one glance, and what to do if not.

use askama::Template;

use super::frame::{Fault, Frame, Moment, Mood, Verdict, counted, verdict};
use super::lines::{Found, found};
use super::{Page, shown};
use crate::model::{DecisionKind, Section};
use crate::plan::Class;
use crate::store::Store;
use crate::web::api::listed_backups;
use crate::web::asked::Asked;
use crate::web::board::Event;

/// Events and revisions that are shown.
const RECENT: usize = 6;

#[derive(Template)]
#[template(path = "overview.html", config = "src/web/askama.toml")]
struct Overview {
    frame: Frame,
    verdict: Verdict,
    summary: String,
    /// How the database stands to the last good source, while the present one is no use.
    last_good: Option<String>,
    fault: Option<Fault>,
    findings: Vec<Found>,
    source: String,
    database: String,
    sides: Vec<Side>,
    classes: Vec<(&'static str, usize)>,
    to_write: usize,
    accepted: usize,
    key: String,
    key_is_bad: bool,
    backups: usize,
    newest_backup: Option<Moment>,
    pauses: Vec<Pause>,
    pins: Vec<Pause>,
    events: Vec<Happened>,
    plain_keys: usize,
}

/// What each side has of a section.
struct Side {
    name: &'static str,
    link: &'static str,
    source: String,
    database: usize,
}

/// A pause or a pin.
struct Pause {
    scope: String,
    reason: String,
    by: String,
    until: Option<Moment>,
}

/// Something that happened.
pub(super) struct Happened {
    pub(super) at: Moment,
    pub(super) outcome: &'static str,
    pub(super) mood: &'static str,
    pub(super) summary: String,
    pub(super) revision: Option<i64>,
    pub(super) milliseconds: String,
}

impl From<&Event> for Happened {
    fn from(event: &Event) -> Self {
        use crate::report::Outcome;
        let mood = match event.outcome {
            Outcome::InSync | Outcome::Applied => "good",
            Outcome::Differences | Outcome::ConflictHeld | Outcome::Incomplete | Outcome::Guarded => {
                "attention"
            }
            _ => "bad",
        };
        Self {
            at: Moment::at(event.at),
            outcome: match event.outcome {
                Outcome::InSync => "in sync",
                Outcome::Applied => "written",
                Outcome::Differences => "differences",
                Outcome::ConflictHeld => "conflict held",
                Outcome::Incomplete => "incomplete",
                Outcome::Guarded => "guarded",
                Outcome::Invalid => "invalid",
                Outcome::SourceUnavailable => "no source",
                Outcome::SourceClobbered => "source rewritten",
                Outcome::StoreMissing => "database missing",
                Outcome::Stale => "stale",
                Outcome::Failed => "failed",
            },
            mood,
            summary: event.summary.clone(),
            revision: event.revision,
            milliseconds: format!("{:.1} ms", event.milliseconds),
        }
    }
}

pub(super) async fn page(asked: Asked) -> Page {
    let frame = Frame::of(&asked, "Overview", "overview").await;
    let compared = asked.site.compared().await?;
    let report = &compared.seen.report;
    let (tokens, unread) = (compared.view.store.tokens, compared.view.store.undecryptable);
    let read = move |store: &mut Store| Ok((listed_backups(store), key(store, tokens, unread)));
    let (backups, key) = asked.site.store(read).await?;
    let sides =
        Section::ALL.iter().zip([("Services", "/services"), ("Rules", "/rules"), ("Settings", "/settings")]);
    let sides = sides.map(|(section, (name, link))| {
        let of_source = report.objects.iter().find(|it| it.section == *section).and_then(|it| it.source);
        let database = compared.view.store.live.count(*section);
        let source = of_source.map_or_else(|| "not declared".to_owned(), |count| count.to_string());
        Side { name, link, source, database }
    });
    let open =
        |class: &Class| compared.differences.iter().filter(|it| it.class == *class && !it.accepted).count();
    let classes = Class::ALL.iter().map(|class| (class.name(), open(class))).filter(|(_, count)| *count > 0);
    let decided = |wanted: fn(&DecisionKind) -> bool| {
        let standing =
            compared.plan.iter().flat_map(|plan| &plan.standing).filter(move |it| wanted(&it.kind));
        standing.map(|it| Pause {
            scope: it.scope_text(),
            reason: it.reason.clone(),
            by: it.by.clone(),
            until: it.until.map(Moment::at),
        })
    };
    let events = asked.site.board.events_after(0);
    let is_bad = verdict(&compared).mood == Mood::Bad;
    Ok(shown(&Overview {
        verdict: verdict(&compared),
        summary: match &compared.plan {
            Some(plan) if !is_bad => plan.summary(),
            _ => report.summary.clone(),
        },
        last_good: compared.plan.as_ref().filter(|_| is_bad).map(crate::plan::Plan::summary),
        fault: Fault::of(&compared.seen),
        findings: found(&report.findings),
        source: report.source.clone(),
        database: asked.site.database.display().to_string(),
        sides: sides.collect(),
        classes: classes.collect(),
        to_write: compared.differences.iter().filter(|it| it.written_next).count(),
        accepted: compared.differences.iter().filter(|it| it.accepted).count(),
        key,
        key_is_bad: unread > 0,
        newest_backup: backups.first().map(|newest| Moment::at(newest.taken_at)),
        backups: backups.len(),
        pauses: decided(|kind| *kind == DecisionKind::Pause).collect(),
        pins: decided(|kind| matches!(kind, DecisionKind::Pin { .. })).collect(),
        events: events.iter().rev().take(RECENT).map(Happened::from).collect(),
        plain_keys: report.plaintext_secrets,
        frame,
    }))
}

fn key(store: &Store, tokens: usize, unread: usize) -> String {
    match (store.keys().has_key(), tokens, unread) {
        (true, 0, _) => "at hand; no API key is stored yet".to_owned(),
        (true, tokens, 0) => format!("opens {}", counted(tokens, "stored API key")),
        (true, tokens, unread) => format!("does not open {unread} of {}", counted(tokens, "stored API key")),
        (false, 0, _) => "none yet; made with the first API key".to_owned(),
        (false, tokens, _) => format!("missing, and needed for {}", counted(tokens, "stored API key")),
    }
}
