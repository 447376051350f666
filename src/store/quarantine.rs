//! A database that SQLite cannot open: moved aside with everything that belongs to it, and the newest good
//! backup put in its place.

use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup as SqliteBackup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::error::Doing as _;
use super::key::KeyRing;
use super::{StoreError, backup, files};

/// What was done about a corrupt database.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// The folder that now holds the corrupt files.
    pub kept_in: PathBuf,
    /// The backup that was restored; without one the store is built anew from the source.
    pub restored: Option<PathBuf>,
}

/// Moves the database, its `-wal` and its `-shm` aside and restores the newest good backup.
///
/// The caller has closed its connections. The files are moved, never opened.
pub(super) fn quarantine(database: &Path, keys: &KeyRing, stamp: &str) -> Result<Quarantined, StoreError> {
    let folder = database.parent().unwrap_or(Path::new("."));
    let kept_in = folder.join("quarantine").join(stamp);
    files::create_folder(&kept_in)?;
    for suffix in ["-wal", "-shm", ""] {
        let file = with_suffix(database, suffix);
        let target = kept_in.join(file.file_name().unwrap_or_default());
        match std::fs::rename(&file, &target) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            moved => moved.doing("move the corrupt file aside to", &target)?,
        }
    }
    files::sync_folder(&kept_in)?;
    let good =
        backup::list(database).into_iter().map(|backup| backup.path).find(|path| backup::is_good(path, keys));
    if let Some(good) = &good {
        restore(good, database)?;
    }
    files::sync_folder(folder)?;
    Ok(Quarantined { kept_in, restored: good })
}

/// Puts a copy of a backup where no database is.
fn restore(backup: &Path, database: &Path) -> Result<(), StoreError> {
    let temporary = with_suffix(database, &format!(".restore-{}", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    drop(files::create_private(&temporary)?);
    let source = backup::open(backup)?;
    let mut target = Connection::open_with_flags(&temporary, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .doing("restore into", &temporary)?;
    let copied = SqliteBackup::new(&source, &mut target).and_then(|copy| copy.step(-1));
    if copied.doing("restore into", &temporary)? != StepResult::Done {
        let why = "copying it back did not finish".to_owned();
        return Err(StoreError::Backup { path: backup.to_owned(), why });
    }
    target.close().map_err(|(_, source)| source).doing("restore into", &temporary)?;
    files::sync_file(&temporary)?;
    // A link never replaces a database that the orchestrator has made meanwhile.
    let placed = std::fs::hard_link(&temporary, database);
    let _ = std::fs::remove_file(&temporary);
    match placed {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        placed => placed.doing("restore to", database),
    }
}

pub(super) fn with_suffix(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
