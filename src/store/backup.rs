//! Backups: a faithful, durable, private copy of the database before every write, with a copy of the source.
//!
//! Source for the method: <https://www.sqlite.org/backup.html>, in one step, because a copy in several steps
//! starts over at every commit of the other side.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup as SqliteBackup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::error::Doing as _;
use super::key::KeyRing;
use super::{StoreError, crash, files, read};
use crate::model::{SourceSnapshot, StoreFingerprint};

/// The folder beside the database that holds the backups.
const FOLDER: &str = "backups";

const PREFIX: &str = "config-";
const SUFFIX: &str = ".db";

/// How many backups and for how long; the newest is always kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// At most this many.
    pub count: usize,
    /// None older than this.
    pub age: Duration,
}

impl Default for Retention {
    /// Twenty, for 30 days.
    fn default() -> Self {
        Self { count: 20, age: Duration::from_secs(30 * 24 * 3600) }
    }
}

/// The source that goes with a backup.
#[derive(Clone, Copy, Debug)]
pub struct SourceCopy<'a> {
    /// What to copy.
    pub snapshot: &'a SourceSnapshot,
    /// Whether API keys stand in it in plain text: then the copy is encrypted.
    pub holds_plain_secrets: bool,
}

/// A backup that was checked.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The copy of the database.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Returns the folder in which the backups of a database lie.
pub fn folder_of(database: &Path) -> PathBuf {
    database.parent().unwrap_or(Path::new(".")).join(FOLDER)
}

/// Copies the database through `reader`, checks the copy against `expected`, makes it durable, and puts the
/// source beside it.
///
/// # Errors
/// [`StoreError::Stale`] when the database moved since `expected` was read; anything else means there is no
/// backup, and the caller must not write.
pub(super) fn create(
    reader: &Connection,
    database: &Path,
    expected: StoreFingerprint,
    source: &SourceCopy<'_>,
    keys: &KeyRing,
    stamp: &str,
) -> Result<Backup, StoreError> {
    let folder = folder_of(database);
    files::create_folder(&folder)?;
    let path = free_name(&folder, stamp);
    let temporary = folder.join(format!(".tmp-{}-{stamp}", std::process::id()));
    let created = copy(reader, database, &temporary)
        .and_then(|()| check(&temporary, database, expected))
        .and_then(|()| keep(&temporary, &path, source, keys));
    if created.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    created?;
    let bytes = std::fs::metadata(&path).doing("look at the backup", &path)?.len();
    Ok(Backup { path, bytes })
}

fn copy(reader: &Connection, database: &Path, temporary: &Path) -> Result<(), StoreError> {
    let _ = std::fs::remove_file(temporary);
    drop(files::create_private(temporary)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(temporary, flags).doing("create the backup", temporary)?;
    // Made durable once, below, instead of by SQLite at every step.
    target.pragma_update(None, "synchronous", "OFF").doing("create the backup", temporary)?;
    let copied = SqliteBackup::new(reader, &mut target).and_then(|backup| backup.step(-1));
    match copied.doing("back up", database)? {
        StepResult::Done => {}
        other => {
            let why = format!("copying ended with {other:?}");
            return Err(StoreError::Backup { path: database.to_owned(), why });
        }
    }
    crash::point("backup_copied");
    target.close().map_err(|(_, source)| source).doing("close the backup", temporary)
}

/// Opens a backup without leaving `-wal` or `-shm` files behind.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags).doing("open the backup", path)
}

fn check(temporary: &Path, database: &Path, expected: StoreFingerprint) -> Result<(), StoreError> {
    let copy = open(temporary)?;
    let sound: String =
        copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).doing("check the backup", temporary)?;
    if sound != "ok" {
        return Err(StoreError::Backup { path: database.to_owned(), why: sound });
    }
    // An empty file passes every integrity check: the rows must be those the plan was made on.
    if read::fingerprint(&copy).doing("check the backup", temporary)? != expected {
        return Err(StoreError::Stale);
    }
    crash::point("backup_checked");
    Ok(())
}

/// Makes the copy durable under its name, with the source beside it. The two are synced at the same time: the
/// file system then writes its journal once.
fn keep(temporary: &Path, path: &Path, source: &SourceCopy<'_>, keys: &KeyRing) -> Result<(), StoreError> {
    std::thread::scope(|scope| {
        let source = scope.spawn(|| copy_source(source, path, keys));
        files::sync_file(temporary)?;
        source.join().unwrap_or_else(|_| {
            Err(StoreError::Backup { path: path.to_owned(), why: "copying the source was interrupted".into() })
        })
    })?;
    crash::point("backup_synced");
    std::fs::rename(temporary, path).doing("rename the backup", path)?;
    crash::point("backup_renamed");
    files::sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Copies the source's documents beside a backup. A document that may hold API keys in plain text is
/// encrypted whole, so that no copy of ours shows one.
fn copy_source(source: &SourceCopy<'_>, path: &Path, keys: &KeyRing) -> Result<(), StoreError> {
    use std::io::Write as _;
    for document in &source.snapshot.documents {
        let name = document.name.rsplit('/').next().unwrap_or("source.yaml");
        let stem = path.with_extension("");
        let (bytes, ending) = if keys.has_key() && source.holds_plain_secrets {
            (keys.seal_bytes(&document.bytes)?.into_bytes(), ".fernet")
        } else {
            (document.bytes.clone(), "")
        };
        let copy = PathBuf::from(format!("{}.{name}{ending}", stem.display()));
        let _ = std::fs::remove_file(&copy);
        let mut file = files::create_private(&copy)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).doing("copy the source to", &copy)?;
    }
    crash::point("source_copied");
    Ok(())
}

fn free_name(folder: &Path, stamp: &str) -> PathBuf {
    let name = |number: u32| match number {
        0 => folder.join(format!("{PREFIX}{stamp}{SUFFIX}")),
        number => folder.join(format!("{PREFIX}{stamp}-{number}{SUFFIX}")),
    };
    (0..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

/// Lists the backups of a database, newest first.
pub fn list(database: &Path) -> Vec<Backup> {
    let Ok(entries) = std::fs::read_dir(folder_of(database)) else { return Vec::new() };
    let mut backups: Vec<Backup> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(PREFIX) && name.ends_with(SUFFIX)
        })
        .filter_map(|entry| Some(Backup { bytes: entry.metadata().ok()?.len(), path: entry.path() }))
        .collect();
    backups.sort_by(|one, two| two.path.cmp(&one.path));
    backups
}

/// Deletes what `retention` no longer keeps, and what a killed process left half-made. Never the newest backup.
pub(super) fn retain(database: &Path, retention: Retention, now: std::time::SystemTime) {
    let backups = list(database);
    for (position, backup) in backups.iter().enumerate().skip(1) {
        let modified = std::fs::metadata(&backup.path).and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| now.duration_since(modified).ok()).unwrap_or_default();
        if position >= retention.count || age > retention.age {
            remove_with_source(&backup.path);
        }
    }
    remove_leftovers(database);
    crash::point("retention_done");
}

fn remove_with_source(backup: &Path) {
    let Some(folder) = backup.parent() else { return };
    let stem = format!("{}.", backup.with_extension("").file_name().unwrap_or_default().to_string_lossy());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(&stem) && entry.path() != backup {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    let _ = std::fs::remove_file(backup);
}

/// Removes temporary files of processes that are gone.
fn remove_leftovers(database: &Path) {
    for entry in std::fs::read_dir(folder_of(database)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(".tmp-")) else { continue };
        let alive = rest
            .split('-')
            .next()
            .and_then(|pid| pid.parse().ok())
            .and_then(rustix::process::Pid::from_raw)
            .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
        if !alive {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether a backup can be restored: it opens, is intact, holds the orchestrator's tables, and its tokens open.
pub(super) fn is_good(backup: &Path, keys: &KeyRing) -> bool {
    let Ok(copy) = open(backup) else { return false };
    let sound = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    sound.is_ok_and(|sound| sound == "ok")
        && read::snapshot(&copy, keys)
            .is_ok_and(|snapshot| snapshot.missing.tables.is_empty() && snapshot.undecryptable == 0)
}
