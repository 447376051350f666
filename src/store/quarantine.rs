//! A database that SQLite cannot open: moved aside with everything that belongs to it, and the newest good
//! backup put in its place.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::backup::{Backup as SqliteBackup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::backup::BackupFolder;
use super::drill::{self, Verdict};
use super::error::Doing as _;
use super::files::{self, Temporary};
use super::key::KeyRing;
use super::suspect::{self, Examined};
use super::{Store, StoreError, backup, crash, stamp};
use crate::place::{beside, identity};

/// What was done about a corrupt database.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// The folder that now holds the corrupt files.
    pub kept_in: PathBuf,
    /// The backup that was restored; without one the store is built anew from the source.
    pub restored: Option<PathBuf>,
}

impl Store {
    /// Finds out whether the database is damaged; see [`Examined`].
    ///
    /// # Errors
    /// Why it cannot be judged, or must not be moved aside.
    pub fn examine(&mut self) -> Result<Examined, StoreError> {
        self.close();
        suspect::examine(self.path())
    }

    /// Moves a damaged database aside and restores the newest good backup.
    ///
    /// # Errors
    /// A file that cannot be moved or copied.
    pub fn quarantine(&mut self, now: SystemTime) -> Result<Quarantined, StoreError> {
        self.close();
        let done = quarantine(self.path(), &self.backup_folder, &self.keys, &stamp(now))?;
        // Without a good backup the store is built again from the source: that it is gone now is our own doing.
        self.present_checked = true;
        Ok(done)
    }
}

impl Store {
    /// Moves a damaged database aside and puts a backup of the caller's choice in its place, as it is.
    ///
    /// # Errors
    /// A file that cannot be moved or copied.
    pub fn replace_damaged(&mut self, backup: &Path, now: SystemTime) -> Result<Quarantined, StoreError> {
        self.close();
        let kept_in = folder(self.path(), &stamp(now));
        replace(self.path(), Some(backup), &kept_in)?;
        Ok(Quarantined { kept_in, restored: Some(backup.to_owned()) })
    }
}

/// Moves the database, its `-wal` and its `-shm` aside and restores the newest good backup.
///
/// The caller has closed its connections. The files are moved, never opened.
///
/// # Guarantees
/// With a good backup there is a database at every moment, the corrupt one until the restored one takes its place: a
/// process that is killed in between leaves no gap that the next one would take for a store to be built anew.
fn quarantine(
    database: &Path,
    backups: &BackupFolder,
    keys: &KeyRing,
    stamp: &str,
) -> Result<Quarantined, StoreError> {
    let folder = database.parent().unwrap_or(Path::new("."));
    let good = backups
        .list(None)
        .into_iter()
        .map(|listed| listed.backup.path)
        .find(|path| drill::check_backup(path, keys).verdict == Verdict::Good);
    let kept_in = self::folder(database, stamp);
    let done = replace(database, good.as_deref(), &kept_in);
    files::remove_leftovers(folder);
    done?;
    Ok(Quarantined { kept_in, restored: good })
}

fn replace(database: &Path, good: Option<&Path>, kept_in: &Path) -> Result<(), StoreError> {
    let restored = good.map(|good| copy_beside(good, database)).transpose()?;
    crash::point("backup_unpacked");
    files::create_folder(kept_in)?;
    let kept = |file: &Path| kept_in.join(file.file_name().unwrap_or_default());
    if restored.is_some() {
        unless_missing(std::fs::hard_link(database, kept(database)))
            .doing("keep the corrupt file", database)?;
        crash::point("corrupt_kept");
    }
    set_logs_aside(database, kept_in)?;
    crash::point("log_moved");
    match restored {
        Some(restored) => {
            // Whoever could write the database is to write this one.
            if database.exists() {
                files::like(restored.path(), database)?;
            }
            restored.replace(database).doing("restore to", database)?;
        }
        None => unless_missing(std::fs::rename(database, kept(database))).doing("move aside", database)?,
    }
    crash::point("corrupt_replaced");
    files::sync_folder(kept_in)?;
    files::sync_folder(database.parent().unwrap_or(Path::new(".")))
}

/// The folder in which damaged files are kept.
pub(super) fn folder(database: &Path, stamp: &str) -> PathBuf {
    files::folder_of(database).join(FOLDER).join(stamp)
}

/// Moves what SQLite keeps beside a database into a folder, which is made when there is anything.
pub(super) fn set_logs_aside(database: &Path, kept_in: &Path) -> Result<(), StoreError> {
    for log in beside(database) {
        if log.exists() {
            files::create_folder(kept_in)?;
            let kept = kept_in.join(log.file_name().unwrap_or_default());
            unless_missing(std::fs::rename(&log, kept)).doing("move the log aside", &log)?;
        }
    }
    Ok(())
}

/// How many of the files that are kept here are the same file as one of `metadata`.
pub(super) fn links_here(database: &Path, metadata: &std::fs::Metadata) -> u64 {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let kept = entries(&files::folder_of(database).join(FOLDER));
    let files = kept.flat_map(|folder| entries(&folder.path()).collect::<Vec<_>>());
    let same = |file: &std::fs::DirEntry| file.metadata().is_ok_and(|it| identity(&it) == identity(metadata));
    files.filter(same).count() as u64
}

/// What the folder is called that holds the damaged files, by the time they were found.
const FOLDER: &str = "quarantine";

fn unless_missing(done: std::io::Result<()>) -> std::io::Result<()> {
    done.or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Makes a durable copy of a backup beside the database; returns where.
pub(super) fn copy_beside(backup: &Path, database: &Path) -> Result<Temporary, StoreError> {
    let made = Temporary::beside(database)?;
    let copy = made.path();
    let source = backup::open(backup)?;
    let mut target =
        Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE).doing("restore into", copy)?;
    let copied = SqliteBackup::new(&source, &mut target).and_then(|copy| copy.step(-1));
    if copied.doing("restore into", copy)? != StepResult::Done {
        let why = "copying it back did not finish".to_owned();
        return Err(StoreError::Backup { path: backup.to_owned(), why });
    }
    target.close().map_err(|(_, source)| source).doing("restore into", copy)?;
    files::sync_file(copy)?;
    Ok(made)
}
