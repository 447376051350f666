//! When to look next: a pure account of deadlines. The clock is passed in.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::watch::Hint;
use crate::settings;

/// Everything that is due at some moment.
#[derive(Debug)]
pub(super) struct Schedule {
    /// When the next full comparison is due.
    full: Instant,
    /// When the source is to be read again.
    source: Option<Instant>,
    /// Files that are being written, and until when we wait for them to be closed.
    writing: HashMap<PathBuf, Instant>,
    /// When the last event about the database came, and the next rung to climb.
    ladder: Option<(Instant, usize)>,
    /// When a failed pass is tried again, and how long the wait was.
    retry: Option<(Instant, Duration)>,
    /// When something that waits is to be looked at again.
    again: Option<Instant>,
    /// When to look without being told, because events cannot be had.
    poll: Option<Instant>,
    /// When to look at files of which no event tells, or of which one did that may not be the last.
    files: Option<Instant>,
}

/// What is due now.
#[expect(clippy::struct_excessive_bools, reason = "independent of each other: any of them may be due")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) full: bool,
    pub(super) source: bool,
    pub(super) store: bool,
    pub(super) retry: bool,
    pub(super) poll: bool,
    pub(super) files: bool,
}

impl Schedule {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            full: now,
            source: Some(now),
            writing: HashMap::new(),
            ladder: None,
            retry: None,
            again: None,
            poll: None,
            files: None,
        }
    }

    /// Returns when to look next.
    pub(super) fn next(&self) -> Instant {
        let rung = self.ladder.and_then(|(start, rung)| Some(start + *settings::LADDER.get(rung)?));
        let retry = self.retry.map(|(at, _)| at);
        [rung, retry, self.again, self.poll, self.files, self.source_due()]
            .into_iter()
            .flatten()
            .fold(self.full, Instant::min)
    }

    /// Takes what is due at `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Due {
        let mut due = Due { full: self.full <= now, ..Due::default() };
        if self.source_due().is_some_and(|at| at <= now) {
            due.source = true;
            self.source = None;
            self.writing.clear();
        }
        if let Some((start, rung)) = &mut self.ladder {
            while let Some(offset) = settings::LADDER.get(*rung)
                && *start + *offset <= now
            {
                due.store = true;
                *rung += 1;
            }
            if *rung == settings::LADDER.len() {
                self.ladder = None;
            }
        }
        due.retry = self.retry.is_some_and(|(at, _)| at <= now);
        if self.again.is_some_and(|at| at <= now) {
            due.retry = true;
            self.again = None;
        }
        if self.poll.is_some_and(|at| at <= now) {
            due.poll = true;
            self.poll = None;
        }
        if self.files.is_some_and(|at| at <= now) {
            due.files = true;
            self.files = None;
        }
        due
    }

    /// The source is read when it is due and nobody is in the middle of writing it.
    fn source_due(&self) -> Option<Instant> {
        self.source.map(|at| self.writing.values().copied().fold(at, Instant::max))
    }

    /// Notes what was heard of the source.
    pub(super) fn source_hint(&mut self, hint: Hint, now: Instant) {
        match hint {
            Hint::Replaced => {
                self.writing.clear();
                self.source = Some(now);
            }
            Hint::Closed(path) => {
                self.writing.remove(&path);
                self.source = Some(now + settings::SETTLE_AFTER_CLOSE);
            }
            Hint::Writing(path) => {
                self.writing.insert(path, now + settings::SETTLE_WITHOUT_CLOSE);
                self.source = Some(now + settings::SETTLE_AFTER_CLOSE);
            }
        }
    }

    /// Reads the source at `at`, or before when that is due anyway.
    pub(super) fn source_at(&mut self, at: Instant) {
        self.source = Some(self.source.map_or(at, |source| source.min(at)));
    }

    /// Whether the source may be read now: nobody is in the middle of writing it.
    pub(super) fn source_is_quiet(&self) -> bool {
        self.writing.is_empty()
    }

    /// Notes that the database may have changed: the ladder is climbed from its foot.
    pub(super) fn store_hint(&mut self, now: Instant) {
        self.ladder = Some((now, 0));
    }

    /// Asks for a full comparison at once.
    pub(super) fn force(&mut self, now: Instant) {
        self.full = now;
    }

    /// Notes that a full comparison was done; `spread` is a number from -1 to 1.
    pub(super) fn full_done(&mut self, now: Instant, spread: f64) {
        self.full =
            now + settings::FULL_COMPARISON_EVERY.mul_f64(1.0 + spread * settings::FULL_COMPARISON_JITTER);
    }

    /// Notes that a pass failed in a way that may pass: it is tried again, later each time.
    pub(super) fn failed(&mut self, now: Instant) {
        let wait =
            self.retry.map_or(settings::RETRY_FIRST, |(_, wait)| (wait * 2).min(settings::RETRY_LIMIT));
        self.retry = Some((now + wait, wait));
    }

    /// Notes that a pass did not fail.
    pub(super) fn succeeded(&mut self) {
        self.retry = None;
    }

    /// Asks for a pass at `at`: something that waits may be due then.
    pub(super) fn look_again(&mut self, at: Instant) {
        self.again = Some(at);
    }

    /// Looks at files at `at`, or before when that is due anyway.
    pub(super) fn files_at(&mut self, at: Instant) {
        self.files = Some(self.files.map_or(at, |files| files.min(at)));
    }

    /// Looks again after `wait` without being told.
    pub(super) fn poll_after(&mut self, now: Instant, wait: Duration) {
        let at = now + wait;
        self.poll = Some(self.poll.map_or(at, |poll| poll.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(now: Instant) -> Schedule {
        let mut schedule = Schedule::new(now);
        schedule.take_due(now);
        schedule.full_done(now, 0.0);
        schedule
    }

    #[test]
    fn a_replaced_source_is_read_at_once() {
        let now = Instant::now();
        let mut schedule = quiet(now);
        schedule.source_hint(Hint::Replaced, now);
        assert!(schedule.take_due(now).source);
    }

    #[test]
    fn a_file_that_is_being_written_is_read_only_once_it_is_closed_and_quiet() {
        let now = Instant::now();
        let mut schedule = quiet(now);
        schedule.source_hint(Hint::Writing("c.yaml".into()), now);
        assert!(!schedule.take_due(now + Duration::from_secs(1)).source);
        let closed = now + Duration::from_secs(1);
        schedule.source_hint(Hint::Closed("c.yaml".into()), closed);
        assert!(!schedule.take_due(closed).source);
        assert!(schedule.take_due(closed + settings::SETTLE_AFTER_CLOSE).source);
    }

    #[test]
    fn a_file_that_is_never_closed_is_read_in_the_end() {
        let now = Instant::now();
        let mut schedule = quiet(now);
        schedule.source_hint(Hint::Writing("c.yaml".into()), now);
        assert!(schedule.take_due(now + settings::SETTLE_WITHOUT_CLOSE).source);
    }

    #[test]
    fn the_ladder_is_climbed_to_its_end_after_every_event() {
        let now = Instant::now();
        let mut schedule = quiet(now);
        schedule.store_hint(now);
        let mut rungs = 0;
        let mut at = now;
        while schedule.ladder.is_some() {
            at = schedule.next().max(at);
            rungs += usize::from(schedule.take_due(at).store);
        }
        assert_eq!(rungs, settings::LADDER.len());
        assert_eq!(at, now + *settings::LADDER.last().expect("a ladder has rungs"));
    }

    #[test]
    fn retries_come_later_each_time_up_to_a_limit() {
        let now = Instant::now();
        let mut schedule = quiet(now);
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            schedule.failed(now);
            last = schedule.next() - now;
        }
        assert_eq!(last, settings::RETRY_LIMIT);
        schedule.succeeded();
        assert!(schedule.next() - now > settings::RETRY_LIMIT);
    }
}
