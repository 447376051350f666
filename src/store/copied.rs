//! Reading a database where SQLite must not open it: from a private copy, with what its log holds.
//!
//! SQLite would create a `-shm` there, take locks that nobody else sees, and, as the last to close, write the log back and
//! delete it under another process's feet. Plain file calls are harmless here for the reason that makes the copy
//! necessary: this process never has such a database open.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::Doing as _;
use super::files::{self, Temporary};
use super::{StoreError, open};
use crate::small_file;

/// How often a database that changes while it is copied is copied again, and what is waited in between.
const ATTEMPTS: u32 = 20;
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The files that a database consists of, by the ends of their names. Whoever opens it makes the `-shm` again.
const PARTS: [&str; 3] = ["", "-wal", "-journal"];

/// Opens a copy of the database as it was at one moment. The copy is gone with the connection.
///
/// # Errors
/// When it cannot be read, changes at every attempt, or there is no room for it.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let copy = Copy::of(path)?;
    let conn = open::open_as(copy.path(), OpenFlags::SQLITE_OPEN_READ_WRITE).doing("open", path)?;
    // Afterwards the one file holds everything, so that it can be open without a name.
    conn.query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(())).doing("open", path)?;
    drop(conn);
    open::open_immutable(copy.path())
        .and_then(|conn| {
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(conn)
        })
        .doing("open", path)
}

/// Files in the folder for temporary ones, removed when dropped.
struct Copy(Temporary);

impl Copy {
    fn of(original: &Path) -> Result<Self, StoreError> {
        for _ in 0..ATTEMPTS {
            let copy = Self(Temporary::beside(&std::env::temp_dir().join("database"))?);
            for part in PARTS {
                copy.take(original, part).doing("copy", original)?;
            }
            // What is the same before and after was so in between, all of it at once.
            let same = PARTS.iter().map(|part| copy.is_still(original, part).doing("copy", original));
            if same.collect::<Result<Vec<_>, _>>()?.into_iter().all(|same| same) {
                return Ok(copy);
            }
            std::thread::sleep(AGAIN_AFTER);
        }
        let changing = std::io::Error::new(ErrorKind::ResourceBusy, "it changed each time it was copied");
        Err(changing).doing("copy", original)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn part(&self, part: &str) -> PathBuf {
        files::with_suffix(self.path(), part)
    }

    fn take(&self, original: &Path, part: &str) -> std::io::Result<()> {
        let Some(mut from) = opened(original, part)? else { return Ok(()) };
        let mut to = if part.is_empty() {
            File::options().write(true).truncate(true).open(self.path())?
        } else {
            use std::os::unix::fs::OpenOptionsExt as _;
            File::options().write(true).create_new(true).mode(0o600).open(self.part(part))?
        };
        std::io::copy(&mut from, &mut to).map(|_| ())
    }

    /// Whether the original still is what was copied.
    fn is_still(&self, original: &Path, part: &str) -> std::io::Result<bool> {
        let copy = match File::open(self.part(part)) {
            Ok(copy) => Some(copy),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match (opened(original, part)?, copy) {
            (Some(original), Some(copy)) => same_bytes(original, copy),
            (None, None) => Ok(true),
            _ => Ok(false),
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        for part in ["-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(self.part(part));
        }
    }
}

/// Opens a part of a database; the log and the journal need not be there.
fn opened(original: &Path, part: &str) -> std::io::Result<Option<File>> {
    match small_file::open_itself(&files::with_suffix(original, part)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound && !part.is_empty() => Ok(None),
        Err(error) => Err(error),
    }
}

fn same_bytes(one: File, two: File) -> std::io::Result<bool> {
    const CHUNK: u64 = 64 << 10;
    let (mut one, mut two) = (BufReader::new(one), BufReader::new(two));
    loop {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        (&mut one).take(CHUNK).read_to_end(&mut first)?;
        (&mut two).take(CHUNK).read_to_end(&mut second)?;
        if first != second {
            return Ok(false);
        }
        if first.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_what_is_only_in_the_log_and_leaves_the_original_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = folder.path().join("config.db");
        let orchestrator = Connection::open(&db).expect("opens");
        orchestrator
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x); INSERT INTO t VALUES (7)")
            .expect("written");
        let parts = || PARTS.map(|part| std::fs::read(files::with_suffix(&db, part)).ok());
        let before = parts();
        assert!(before[1].as_ref().is_some_and(|log| !log.is_empty()), "the row is in the log alone");
        let conn = connect(&db).expect("copied");
        let read = |conn: &Connection| conn.query_row("SELECT x FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(read(&conn).expect("there"), 7);
        orchestrator.execute("UPDATE t SET x = 8", []).expect("nothing is locked");
        assert_eq!(read(&conn).expect("there"), 7, "as it was at one moment");
        drop(conn);
        let after = parts();
        assert_eq!(before[0], after[0]);
        assert_eq!(read(&connect(&db).expect("copied")).expect("there"), 8);
    }
}
