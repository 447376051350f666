//! Which backups are kept, and whether there is room for another one.

use std::path::Path;
use std::time::SystemTime;

use super::backup::{Backup, BackupOptions, Listed, PREFIX, SourceCopy};
use super::backup_record::{self, Found};
use super::{Store, StoreError, crash, files, seconds};
use crate::model::{Cause, Keepable, Retention, StoreFingerprint, keep};

impl Store {
    /// Says where the backups lie, how many are kept, and for how long.
    pub fn set_backups(&mut self, options: &BackupOptions) {
        self.backup_folder = options.folder_of(&self.path);
        self.retention = options.retention;
    }

    /// Where the backups lie.
    pub fn backup_folder(&self) -> &Path {
        self.backup_folder.path()
    }

    /// Deletes the backups that are no longer kept, and what a killed process left half-made. Never the newest backup, nor
    /// the newest one that is intact, nor one that somebody asked for.
    pub fn retain_backups(&mut self, now: SystemTime) {
        let backups = self.backups();
        thin_out(&backups, &self.limited(&backups, 0), now);
        files::remove_leftovers(self.backup_folder());
        files::remove_leftovers(self.path.parent().unwrap_or(Path::new(".")));
        crash::point("retention_done");
    }

    /// Lets go of backups where the next one would not find room beside them.
    pub(super) fn make_room(&mut self, now: SystemTime) {
        let size = self.size();
        let tight = free_bytes(self.backup_folder()).is_some_and(|free| free < size.saturating_mul(2));
        if tight {
            let backups = self.backups();
            thin_out(&backups, &self.limited(&backups, size), now);
        }
    }

    /// Takes a backup because somebody asked for it: no other one takes its place. Where nothing changed since the last
    /// one that somebody asked for, that is it.
    ///
    /// # Errors
    /// [`StoreError::BackupsFull`] where those that somebody asked for leave no room for another; otherwise as
    /// [`back_up`](Self::back_up).
    pub fn back_up_on_request(
        &mut self,
        expected: StoreFingerprint,
        source: SourceCopy<'_>,
        why: &str,
        now: SystemTime,
    ) -> Result<Option<Backup>, StoreError> {
        let backups = self.backups();
        let newest = backups.iter().find(|listed| cause(listed) == Cause::Requested);
        if let Some(newest) = newest
            && let Ok(Found::Intact(record)) = backup_record::read(&newest.backup.path)
            && record.rows == expected.to_string()
        {
            return Ok(Some(newest.backup.clone()));
        }
        if let Some(bytes) = self.filled_on_request(&backups) {
            return Err(StoreError::BackupsFull { folder: self.backup_folder().to_owned(), bytes });
        }
        let backup = self.back_up_for(Cause::Requested, expected, source, why, now)?;
        self.retain_backups(now);
        Ok(backup)
    }

    /// The bytes of the backups that somebody asked for, where they leave no room for another; none where there is room.
    pub fn backups_on_request_fill(&mut self) -> Option<u64> {
        let backups = self.backups();
        self.filled_on_request(&backups)
    }

    fn filled_on_request(&self, backups: &[Listed]) -> Option<u64> {
        let requested = backups.iter().filter(|listed| cause(listed) == Cause::Requested);
        let bytes: u64 = requested.map(|listed| listed.backup.bytes).sum();
        let full = bytes > 0 && bytes.saturating_add(self.size()) > self.limited(backups, 0).bytes;
        full.then_some(bytes)
    }

    /// What is kept of these backups: in all no more bytes than half of what they and the free space are, less `spare`.
    fn limited(&self, backups: &[Listed], spare: u64) -> Retention {
        let own: u64 = backups.iter().map(|listed| listed.backup.bytes).sum();
        let free = free_bytes(self.backup_folder());
        let half = free.map_or(u64::MAX, |free| own.saturating_add(free) / 2);
        Retention { bytes: self.retention.bytes.min(half).saturating_sub(spare), ..self.retention }
    }

    /// The size of the database with its log, in bytes: metadata only.
    fn size(&self) -> u64 {
        let file = std::fs::metadata(&self.path).map_or(0, |database| database.len());
        file.saturating_add(super::open::wal_bytes(&self.path))
    }
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn thin_out(backups: &[Listed], retention: &Retention, now: SystemTime) {
    let item = |listed: &Listed| Keepable {
        at: taken_at(&listed.backup),
        bytes: listed.backup.bytes,
        cause: cause(listed),
    };
    let items: Vec<Keepable> = backups.iter().map(item).collect();
    let kept = keep(&items, seconds(now), retention);
    if kept.iter().all(|kept| *kept) {
        return;
    }
    // Looked for only when something is to go: reading a backup takes as long as reading its bytes.
    let intact = |listed: &Listed| matches!(backup_record::read(&listed.backup.path), Ok(Found::Intact(_)));
    let spared = backups.iter().position(intact);
    for (index, listed) in backups.iter().enumerate() {
        if !kept[index] && index > 0 && spared != Some(index) {
            listed.backup.discard();
        }
    }
}

fn cause(listed: &Listed) -> Cause {
    listed.record.as_ref().map(|record| record.cause).unwrap_or_default()
}

/// When a backup was taken, by its name: the time of a file changes when it is copied.
fn taken_at(backup: &Backup) -> f64 {
    let name = backup.name();
    let stamp = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).unwrap_or_default();
    let named = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S%fZ", stamp)
        .and_then(|time| jiff::tz::Offset::UTC.to_timestamp(time))
        .map(|time| time.as_duration().as_secs_f64());
    let modified = || std::fs::metadata(&backup.path).and_then(|metadata| metadata.modified()).ok();
    named.ok().or_else(|| modified().map(seconds)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_when_a_backup_was_taken() {
        for name in ["config-20260108T193943123Z.db", "config-20260108T193943123Z-2.db"] {
            let at = taken_at(&Backup { path: name.into(), bytes: 0 });
            assert!((at - 1_767_901_183.123).abs() < 0.000_5, "{name}: {at}");
        }
    }
}
