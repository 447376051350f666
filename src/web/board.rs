//! What the owner of the store last saw, for everybody who shows it; and what happened since the start.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::watch;

use crate::desired::DesiredConfig;
use crate::model::{Policy, SourceSnapshot, StoreFingerprint};
use crate::report::{Outcome, SyncReport};

/// How many events are kept for the activity page, and for clients that were away.
const KEPT_EVENTS: usize = 500;

/// What the last pass saw.
#[derive(Clone)]
pub(crate) struct Seen {
    /// What it found and did.
    pub(crate) report: Arc<SyncReport>,
    /// The source that it compared with.
    pub(crate) source: Option<Arc<SourceSnapshot>>,
    /// What that reads as, when it is valid.
    pub(crate) desired: Option<Arc<DesiredConfig>>,
    /// The answers to differences.
    pub(crate) policy: Policy,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    /// Counts up from 1 while the program runs.
    pub(crate) number: u64,
    /// When, in seconds since the epoch.
    pub(crate) at: f64,
    /// How the pass ended.
    pub(crate) outcome: Outcome,
    /// One sentence for people.
    pub(crate) summary: String,
    /// The revision that was written, if one was.
    pub(crate) revision: Option<i64>,
    /// Differences between the two sides.
    pub(crate) differences: usize,
    /// How long the pass took, in milliseconds.
    pub(crate) milliseconds: f64,
}

/// Where the owner posts and everybody looks.
pub(crate) struct Board {
    seen: watch::Sender<Option<Arc<Seen>>>,
    number: watch::Sender<u64>,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    events: VecDeque<Event>,
    last: Option<(Outcome, String, Option<StoreFingerprint>, Option<String>)>,
}

impl Default for Board {
    fn default() -> Self {
        Self { seen: watch::Sender::new(None), number: watch::Sender::new(0), log: Mutex::default() }
    }
}

impl Board {
    /// Posts what a pass saw. It becomes an event when it is another thing than the last one saw.
    pub(crate) fn post(&self, seen: Seen) {
        let report = Arc::clone(&seen.report);
        self.seen.send_replace(Some(Arc::new(seen)));
        let revision = report.written.as_ref().and_then(|written| written.revision);
        let digest = report.source_digest.as_ref().map(|digest| digest.0.clone());
        let this = Some((report.outcome, report.summary.clone(), report.fingerprint, digest));
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.last == this && revision.is_none() {
            return;
        }
        log.last = this;
        let number = log.events.back().map_or(0, |event| event.number) + 1;
        log.events.push_back(Event {
            number,
            at: report.started_at,
            outcome: report.outcome,
            summary: report.summary.clone(),
            revision,
            differences: differences(&report),
            milliseconds: report.duration_seconds * 1000.0,
        });
        if log.events.len() > KEPT_EVENTS {
            log.events.pop_front();
        }
        drop(log);
        self.number.send_replace(number);
    }

    /// What the last pass saw; none before the first.
    pub(crate) fn seen(&self) -> Option<Arc<Seen>> {
        self.seen.borrow().clone()
    }

    /// The events after a number, oldest first.
    pub(crate) fn events_after(&self, number: u64) -> Vec<Event> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.events.iter().filter(|event| event.number > number).cloned().collect()
    }

    /// Tells of the newest event's number.
    pub(crate) fn numbers(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }
}

/// How many differences there are that somebody may have to answer.
pub(crate) fn differences(report: &SyncReport) -> usize {
    use crate::plan::Class;
    let counted = |class: &Class| !matches!(class, Class::Extra | Class::Undeclared);
    Class::ALL.into_iter().filter(counted).map(|class| report.total(class)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(summary: &str) -> Seen {
        let mut report = SyncReport::new("file:a", "b", 1.0);
        report.summary = summary.into();
        Seen { report: Arc::new(report), source: None, desired: None, policy: Policy::default() }
    }

    #[test]
    fn a_pass_that_saw_nothing_new_is_no_event() {
        let board = Board::default();
        for summary in ["one", "one", "two", "one"] {
            board.post(seen(summary));
        }
        let summaries: Vec<String> = board.events_after(1).into_iter().map(|event| event.summary).collect();
        assert_eq!(summaries, ["two", "one"]);
    }

    #[test]
    fn old_events_make_room() {
        let board = Board::default();
        for number in 0..KEPT_EVENTS + 7 {
            board.post(seen(&number.to_string()));
        }
        assert_eq!(board.events_after(0).len(), KEPT_EVENTS);
        assert_eq!(board.events_after(0).first().map(|event| event.number), Some(8));
    }
}
