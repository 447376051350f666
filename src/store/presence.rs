//! Whether the database at a path is the one that was there: one that is gone is not an empty one.

use rusqlite::Connection;

use super::error::Doing as _;
use super::schema::Present;
use super::{BackupRecord, Store, StoreError, backup, read};
use crate::model::Section;

/// What to do when the database is gone while backups of it exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenMissing {
    /// Write nothing: somebody may want it back.
    #[default]
    Hold,
    /// Begin a new one; the backups of the old one stay.
    StartFresh,
}

/// What was found in place of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPlace {
    /// No file.
    Nothing,
    /// A file that holds nothing, or nothing but what the orchestrator puts into a new one.
    Empty,
    /// Another database.
    Another,
}

impl InPlace {
    /// In words, behind the path.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Nothing => "is gone",
            Self::Empty => "is empty",
            Self::Another => "is another database than the one that was there",
        }
    }
}

/// What a database says of itself.
enum Found {
    /// It holds records of ours, under this identity; none in one of 0.1.0.
    Ours(Option<String>),
    /// It holds rows of the orchestrator, and nothing of ours.
    Unmanaged,
    /// It holds no configuration.
    Empty,
}

impl Store {
    /// Says what to do when the database is gone while backups of it exist.
    pub fn when_missing(&mut self, then: WhenMissing) {
        self.when_missing = then;
    }

    /// Refuses to go on where the database is gone and backups of it exist.
    ///
    /// # Errors
    /// [`StoreError::Missing`], which names the newest of them.
    pub fn ensure_present(&mut self) -> Result<(), StoreError> {
        if self.present_checked {
            return Ok(());
        }
        let missing = self.missing()?;
        match (self.when_missing, missing) {
            (WhenMissing::Hold, Some(missing)) => Err(missing),
            (_, missing) => {
                // What was never there is looked for again: a backup of it may be made meanwhile.
                self.present_checked = missing.is_none() && self.exists();
                Ok(())
            }
        }
    }

    /// The error that says what is in place of the database; none when it is there, or never was.
    fn missing(&mut self) -> Result<Option<StoreError>, StoreError> {
        let (in_place, identity) = match self.found()? {
            None => (InPlace::Nothing, None),
            Some(Found::Empty) => (InPlace::Empty, None),
            Some(Found::Unmanaged) => (InPlace::Another, None),
            // Made before databases had an identity.
            Some(Found::Ours(None)) => return Ok(None),
            Some(Found::Ours(Some(identity))) => (InPlace::Another, Some(identity)),
        };
        self.backup_folder.ensure_readable()?;
        let backups = self.backup_folder.list(None);
        let is_of_it = |backup: &backup::Listed| match (in_place, &backup.record) {
            // A backup that was taken before our first write is one of what is there.
            (InPlace::Another, Some(record)) => record.database.is_some() && record.database != identity,
            (InPlace::Another, None) => false,
            (_, Some(record)) => record.revision.is_some() || record.services > 0 || record.rules > 0,
            (_, None) => true,
        };
        let known = |backup: &backup::Listed| {
            identity.is_some() && backup.record.as_ref().is_some_and(|it| it.database == identity)
        };
        if backups.iter().any(known) {
            return Ok(None);
        }
        let newest = backups.iter().find(|backup| is_of_it(backup));
        Ok(newest.map(|newest| StoreError::Missing {
            path: self.path.clone(),
            in_place,
            backup: newest.backup.name(),
        }))
    }

    fn found(&mut self) -> Result<Option<Found>, StoreError> {
        if !self.is_open() && !self.exists() {
            return Ok(None);
        }
        let path = self.path.clone();
        let present = self.present()?;
        found(self.connection()?, &present).doing("read", &path).map(Some)
    }

    /// The database's identity; none before our first write, and where it cannot be read.
    pub fn identity(&mut self) -> Option<String> {
        match self.found() {
            Ok(Some(Found::Ours(identity))) => identity,
            _ => None,
        }
    }

    /// Refuses to take backups that cannot be read for none.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub fn ensure_backups_readable(&self) -> Result<(), StoreError> {
        self.backup_folder.ensure_readable()
    }

    /// The backups of this database, newest first.
    pub fn backups(&mut self) -> Vec<backup::Listed> {
        let identity = self.identity();
        self.backup_folder.list(identity.as_deref())
    }

    /// Whether a backup with such a record is one of this database.
    pub fn owns(&mut self, record: Option<&BackupRecord>) -> bool {
        let identity = self.identity();
        self.backup_folder.holds_as_own(record, identity.as_deref())
    }

    /// Whether the database's file is there and holds no byte: metadata only.
    pub fn is_empty_file(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|file| file.is_file() && file.len() == 0)
    }

    /// The identity that a database made here takes on: that of the one whose backups lie here, so that they stay its own.
    pub(super) fn inherited_identity(&self) -> Option<String> {
        self.backup_folder.list(None).into_iter().find_map(|it| it.record?.database)
    }
}

fn found(conn: &Connection, present: &Present) -> rusqlite::Result<Found> {
    if read::generation(conn)? > 0 {
        return read::identity(conn).map(Found::Ours);
    }
    // What says who it is was dropped or written over, and what it was told was not: it is the one that was there.
    if present.has_table("operator_revision") {
        let sql = "SELECT EXISTS (SELECT 1 FROM operator_revision)";
        if conn.query_row(sql, [], |row| row.get(0))? {
            return read::identity(conn).map(Found::Ours);
        }
    }
    for section in [Section::Services, Section::RoutingRules] {
        if present.has_table(section.table()) {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", section.table());
            if conn.query_row(&sql, [], |row| row.get(0))? {
                return Ok(Found::Unmanaged);
            }
        }
    }
    Ok(Found::Empty)
}
