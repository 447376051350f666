//! Edits that another program made in the database: each one that is seen gets an entry of its own in the history.

use std::time::{Duration, Instant, SystemTime};

use super::agent::Agent;
use crate::model::{Configuration, StoreFingerprint};
use crate::settings;

/// Which rows the history is known to have, and how many entries may be written now.
pub(super) struct Entries {
    /// The rows that were last looked at for an edit.
    looked_at: Option<StoreFingerprint>,
    /// What the last pass saw that no entry has.
    pub(super) seen: Option<(StoreFingerprint, Configuration)>,
    pace: Pace,
}

impl Entries {
    pub(super) fn new(now: Instant) -> Self {
        Self { looked_at: None, seen: None, pace: Pace { left: settings::EDIT_ENTRIES_AT_ONCE, since: now } }
    }
}

/// A few at once, and one in every interval after that: a program that edits without a pause must not fill the history.
/// What it did meanwhile is one entry.
struct Pace {
    left: u32,
    since: Instant,
}

impl Pace {
    /// Takes one; else says when there will be one.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let interval = settings::EDIT_ENTRIES_EVERY;
        while self.left < settings::EDIT_ENTRIES_AT_ONCE && now >= self.since + interval {
            self.left += 1;
            self.since += interval;
        }
        if self.left == 0 {
            return Err(self.since + interval);
        }
        if self.left == settings::EDIT_ENTRIES_AT_ONCE {
            self.since = now;
        }
        self.left -= 1;
        Ok(())
    }
}

impl Agent {
    /// Records an edit that a pass saw and no entry has. Edits that came and went between two looks are one.
    ///
    /// The pass is over by then: no answer to an edit waits for its entry. A pass that wrote has recorded it already.
    pub(super) fn record_edits(&mut self) {
        let Some(rows) = self.compared.filter(|rows| self.entries.looked_at != Some(*rows)) else { return };
        if self.is_suspended() {
            return;
        }
        if let Err(at) = self.entries.pace.take(Instant::now()) {
            self.schedule.look_again(at);
            return;
        }
        let seen = self.entries.seen.as_ref().filter(|(read, _)| *read == rows).map(|(_, seen)| seen);
        match self.store.record_edits(rows, seen, &self.options.actor, SystemTime::now()) {
            Ok(entry) => {
                self.entries.looked_at = Some(rows);
                self.entries.seen = None;
                match entry {
                    Some(revision) => tracing::info!(revision, "recorded what another program edited"),
                    // Nothing was to be recorded: nothing was spent.
                    None => self.entries.pace.left += 1,
                }
            }
            Err(error) => {
                tracing::debug!(%error, "an edit is not recorded yet");
                self.schedule.look_again(Instant::now() + Duration::from_millis(200));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_edits_without_a_pause_gets_one_entry_a_second() {
        let start = Instant::now();
        let mut pace = Entries::new(start).pace;
        let taken = |pace: &mut Pace, from: u64, to: u64| {
            (from..to).filter(|at| pace.take(start + Duration::from_millis(*at)).is_ok()).count()
        };
        let at_once = settings::EDIT_ENTRIES_AT_ONCE as usize;
        assert_eq!(taken(&mut pace, 0, 1_000), at_once);
        assert_eq!(taken(&mut pace, 1_000, 11_000), 10);
        // After a pause there are as many at once as at first, and no more.
        assert_eq!(taken(&mut pace, 60_000, 60_500), at_once);
    }
}
