//! Backups of this store: taken anew, or the last one as long as the database is still just what it holds.

use std::os::raw::c_uint;
use std::time::SystemTime;

use rusqlite::FileControl;

use super::backup::{self, Backup, SourceCopy};
use super::error::Doing as _;
use super::files::FileState;
use super::{Store, StoreError, open, stamp};
use crate::model::{Cause, StoreFingerprint};

/// A backup, and the count of commits at which the database was just that.
pub(super) struct Saved {
    backup: Backup,
    file: FileState,
    rows: StoreFingerprint,
    commits: c_uint,
}

impl Store {
    /// Copies the database as the plan saw it, and the source beside it. `None` when there is nothing to copy.
    ///
    /// # Errors
    /// Any error means that there is no backup, and that nothing may be written.
    pub fn back_up(
        &mut self,
        expected: StoreFingerprint,
        source: SourceCopy<'_>,
        why: &str,
        now: SystemTime,
    ) -> Result<Option<Backup>, StoreError> {
        self.back_up_for(Cause::Automatic, expected, source, why, now)
    }

    pub(super) fn back_up_for(
        &mut self,
        cause: Cause,
        expected: StoreFingerprint,
        source: SourceCopy<'_>,
        why: &str,
        now: SystemTime,
    ) -> Result<Option<Backup>, StoreError> {
        self.saved = None;
        if !self.exists() || self.is_fresh()? {
            return Ok(None);
        }
        self.make_room(now);
        let before = self.commits()?;
        if self.reader.is_none() {
            self.reader = Some(open::connect_reader(&self.path)?);
        }
        let present = self.present()?;
        let Some(reader) = &self.reader else { return Ok(None) };
        let (database, folder) = (&*self.path, self.backup_folder.path());
        let original =
            backup::Original { reader, database, folder, present: &present, rows: expected, why, cause };
        let backup = backup::create(&original, &source, &self.keys, &stamp(now))?;
        let same = self.commits()? == before;
        self.saved = FileState::of(&backup.path).filter(|_| same).map(|file| Saved {
            backup: backup.clone(),
            file,
            rows: expected,
            commits: before,
        });
        Ok(Some(backup))
    }

    /// Returns the last backup that was taken through this store, when nobody committed anything since and nobody wrote to
    /// its file: another one would be the same.
    pub fn saved(&mut self, expected: StoreFingerprint) -> Option<Backup> {
        if self.saved.as_ref()?.rows != expected || self.has_moved() {
            return None;
        }
        let commits = self.commits().ok()?;
        let saved = self.saved.as_ref().filter(|saved| saved.commits == commits)?;
        (FileState::of(&saved.backup.path).as_ref() == Some(&saved.file)).then(|| saved.backup.clone())
    }

    /// SQLite's count of commits, those of this connection included.
    /// Source: <https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html#sqlitefcntldataversion>.
    fn commits(&mut self) -> Result<c_uint, StoreError> {
        // Those of others are counted when a transaction begins to read.
        self.data_version()?;
        let path = self.path.clone();
        let mut commits = 0;
        let conn = self.connection()?;
        conn.file_control(None::<&str>, FileControl::DataVersion(&mut commits)).doing("watch", &path)?;
        Ok(commits)
    }
}
