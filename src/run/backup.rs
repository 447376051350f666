//! Backups between writes: of what somebody else wrote, by the clock; of what we wrote, at once, so that the next edit of
//! the source finds one and need not wait for it.

use std::time::SystemTime;

use super::agent::Agent;
use super::answer::wall_clock;
use crate::model::{SourceSnapshot, StoreFingerprint};
use crate::report::SyncReport;
use crate::store::{Backup, SourceCopy, StoreError};

impl Agent {
    /// Takes a backup when the database holds what no backup has: at once after a write that brought the source's edits in,
    /// which is the next write's backup then; when it has held it for long otherwise, so that edits of the web UI are
    /// safe, too.
    ///
    /// Not at once after a revert: whoever fights us would fill the backups, twice as fast.
    pub(super) fn back_up_between_writes(&mut self, report: &SyncReport) {
        let written = report.written.as_ref().zip(report.plan.as_deref());
        if let Some((_, plan)) = written.filter(|(written, _)| written.backup.is_some()) {
            self.saved_rows = Some(plan.store);
        }
        let Some(rows) = self.compared.filter(|_| self.store.exists()) else { return };
        let now = wall_clock();
        let followed = written.filter(|(_, plan)| plan.follows_the_source());
        let source = self.source.current.clone().filter(|_| self.source.known.is_some());
        if self.saved_rows == Some(rows) {
            self.unsaved_since = None;
        } else if let (Some(revision), Some(source)) =
            (followed.and_then(|(written, _)| written.revision), source)
        {
            self.unsaved_since.get_or_insert(now);
            let may_hold_secrets = crate::desired::may_hold_secrets(&source);
            let source = SourceCopy { snapshot: &source, may_hold_secrets };
            self.back_up(rows, source, &format!("after revision {revision}"));
        } else if now - *self.unsaved_since.get_or_insert(now) >= self.options.backup_every {
            let nothing = SourceSnapshot { origin: "by the clock".to_owned(), documents: Vec::new() };
            let source = SourceCopy { snapshot: &nothing, may_hold_secrets: false };
            if let Some(backup) = self.back_up(rows, source, "by the clock") {
                tracing::info!(backup = %backup.path.display(), "backed up what no backup had");
            }
        }
        self.metrics.unsaved(self.unsaved_since);
    }

    fn back_up(&mut self, rows: StoreFingerprint, source: SourceCopy<'_>, why: &str) -> Option<Backup> {
        match self.store.back_up(rows, source, why, SystemTime::now()) {
            Ok(backup) => {
                self.store.retain_backups(SystemTime::now());
                if let Some(backup) = &backup {
                    self.metrics.backed_up(wall_clock(), backup.bytes);
                }
                self.saved_rows = Some(rows);
                self.unsaved_since = None;
                return backup;
            }
            // Somebody committed meanwhile; the pass that this causes looks again.
            Err(StoreError::Stale) => {}
            Err(error) => tracing::warn!(%error, "the database could not be backed up; tried again"),
        }
        None
    }
}
