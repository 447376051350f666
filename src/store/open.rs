//! Opening the database: only where SQLite's locks work, never in a way that drops them.
//!
//! Nothing here or elsewhere in the process opens the database, its `-wal` or its `-shm` with plain file calls
//! once SQLite has it open. Looking at metadata is harmless.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::Doing as _;
use super::{StoreError, copied, crash, files};
use crate::place::{Mounted, Place, beside, followed};

/// How often a busy database is asked again, and how long in all: 3 s. The orchestrator waits 5 s.
const BUSY_STEP: Duration = Duration::from_micros(500);
const BUSY_STEPS: i32 = 6_000;

/// SQLite before 3.51.3 can lose commits when a checkpoint races one.
/// Source: <https://www.sqlite.org/wal.html#walresetbug>.
const OLDEST_SAFE_SQLITE: i32 = 3_051_003;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only: nothing is written anywhere.
    Read,
    /// Reading and writing.
    Write,
}

/// Refuses places where two processes could both believe they hold the lock. Reading is no such matter: it is done from a
/// copy there.
pub(super) fn check_place(path: &Path, access: Access) -> Result<(), StoreError> {
    super::suspect::check_kind(path)?;
    check_beside(path)?;
    let refuse = |why| Err(StoreError::UnsafePlace { path: path.to_owned(), why });
    if rusqlite::version_number() < OLDEST_SAFE_SQLITE {
        return refuse("would be opened with an SQLite that can lose commits (before 3.51.3)".to_owned());
    }
    if access == Access::Read {
        return Ok(());
    }
    if let Ok(there) = std::fs::metadata(path)
        && there.nlink() > 1 + super::quarantine::links_here(path, &there)
    {
        return refuse(
            "has another name (a hard link), and each name would have a log of its own; remove one of them"
                .to_owned(),
        );
    }
    let place = Place::of(path);
    if place.suits_a_database() {
        return Ok(());
    }
    match place.mounted {
        Mounted::Not => refuse(format!("{place}, where SQLite's locks do not work; it is not written")),
        Mounted::ByItself | Mounted::ButGone => {
            refuse(format!("{place}: its -wal and -shm would be somebody else's; it is not written"))
        }
    }
}

/// Refuses what has the name of a file that SQLite keeps beside a database, and is no file: it would wait on a pipe for ever.
/// Looked at, never opened.
fn check_beside(path: &Path) -> Result<(), StoreError> {
    for beside in beside(path) {
        if std::fs::metadata(&beside).is_ok_and(|there| !there.is_file()) {
            return Err(StoreError::InTheWay { path: beside });
        }
    }
    Ok(())
}

/// What to know about values that are read from a database at such a place; none where it is opened like everywhere.
pub fn caution(database: &Path) -> Option<String> {
    let place = Place::of(database);
    if place.suits_a_database() || !database.exists() {
        return None;
    }
    let name = database.display();
    Some(match place.mounted {
        Mounted::Not => format!(
            "{name} {place}, where SQLite's locks do not work: what is shown was read from a copy, without a lock"
        ),
        Mounted::ByItself => format!(
            "{name} {place}: what is only in the -wal beside the original is not seen here, so that the orchestrator may have newer values than are shown"
        ),
        Mounted::ButGone => format!(
            "{name} {place}, and the original was deleted or replaced since: the orchestrator has another database than is shown"
        ),
    })
}

/// Returns the size of the write-ahead log: metadata only, the file is not opened.
pub(super) fn wal_bytes(path: &Path) -> u64 {
    std::fs::metadata(files::with_suffix(path, "-wal")).map_or(0, |metadata| metadata.len())
}

/// Returns the path with its links resolved, there or not: so that a link changes nothing.
pub(super) fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| followed(path))
}

/// Creates an empty file for a database that does not exist, 0600. SQLite has not opened it yet, so a plain
/// file call is harmless here; if another process creates it first, theirs is used.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    if let Some(folder) = path.parent() {
        files::create_folder(folder)?;
    }
    match files::create_private(path) {
        Ok(file) => drop(file),
        Err(StoreError::File { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    crash::point("store_created");
    Ok(())
}

/// Opens an existing database.
pub(super) fn connect(path: &Path, access: Access) -> Result<Connection, StoreError> {
    check_place(path, access)?;
    if access == Access::Read && !Place::of(path).suits_a_database() {
        let conn = copied::connect(path)?;
        configure(&conn, access).doing("open", path)?;
        return Ok(conn);
    }
    let opened = match open_as(path, OpenFlags::SQLITE_OPEN_READ_WRITE) {
        // A reader needs to write only the -shm; where it may not, it can still read.
        Err(_) if access == Access::Read => {
            open_as(path, OpenFlags::SQLITE_OPEN_READ_ONLY).or_else(|error| {
                // On a read-only disk not even a -shm can be made. Without a log the file alone is everything.
                let unwritable = [Some(ErrorCode::ReadOnly), Some(ErrorCode::CannotOpen)];
                let alone = unwritable.contains(&error.sqlite_error_code()) && wal_bytes(path) == 0;
                if alone { open_immutable(path) } else { Err(error) }
            })
        }
        opened => opened,
    };
    let conn = opened.doing("open", path)?;
    configure(&conn, access).doing("open", path)?;
    Ok(conn)
}

/// Opens a second connection that can only read, for backups: it sees exactly what is committed.
pub(super) fn connect_reader(path: &Path) -> Result<Connection, StoreError> {
    check_beside(path)?;
    open_as(path, OpenFlags::SQLITE_OPEN_READ_ONLY).doing("open", path)
}

/// Opens a file that surely nobody is writing, without leaving `-wal` or `-shm` files behind.
pub(super) fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

pub(super) fn open_as(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let mut conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Opening is lazy: only a read tells whether the file can be used.
    conn.busy_handler(Some(wait_a_little))?;
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(conn)
}

/// Refuses a database that SQLite will not write although we may: so it does when the header asks for a version of the file
/// format that there is not. It says so only at the first write, and takes BEGIN IMMEDIATE for BEGIN until then.
pub(super) fn refuse_unwritable(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    use rustix::fs::{Access as May, access};
    if !conn.is_readonly(rusqlite::MAIN_DB).doing("open", path)? {
        return Ok(());
    }
    let ours = [path, files::folder_of(path)].iter().all(|it| access(*it, May::WRITE_OK).is_ok());
    if !ours || !Place::of(path).suits_a_database() {
        return Ok(());
    }
    let why = "its header asks for a version of the file format that SQLite does not write".to_owned();
    Err(StoreError::Damaged { path: path.to_owned(), why })
}

fn configure(conn: &Connection, access: Access) -> rusqlite::Result<()> {
    // As the orchestrator's connections have it; see docs/decisions/0005-foreign-keys-off.md.
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.set_prepared_statement_cache_capacity(64);
    match access {
        Access::Read => conn.pragma_update(None, "query_only", true),
        Access::Write => {
            conn.pragma_update(None, "synchronous", "FULL")?;
            // The orchestrator's SQLite may be one that a checkpoint of ours could harm; it checkpoints itself.
            conn.pragma_update(None, "wal_autocheckpoint", 0)?;
            // A log that was written back shrinks when it is next begun, so that its size says how much is new.
            conn.query_row("PRAGMA journal_size_limit=1048576", [], |_| Ok(()))
        }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "the signature is SQLite's")]
pub(super) fn wait_a_little(asked: i32) -> bool {
    if asked >= BUSY_STEPS {
        return false;
    }
    std::thread::sleep(BUSY_STEP);
    true
}
