//! A database that SQLite cannot make sense of: whether it is damaged, whether it is one at all, and whether anybody else
//! has it open.
//!
//! Here alone the file is opened by plain calls. Closing such a handle drops the locks that this process holds on the file
//! through SQLite; on a file that is no database there are none worth keeping.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::backup::BackupFolder;
use super::files::{self, FileState};
use super::{StoreError, open};

/// How long a file must have been left alone before it is judged: a copy over it may be under way.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// How long a file that goes on changing is waited for.
const WAIT_AT_MOST: Duration = Duration::from_secs(5);

/// Where SQLite locks a database, and how many bytes of it. Source: `PENDING_BYTE` in SQLite's `os.h`.
const LOCKED_FROM: u64 = 0x4000_0000;
const LOCKED_BYTES: u64 = 512;

/// What every SQLite database begins with. Source: <https://www.sqlite.org/fileformat.html#magic_header_string>.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// What other programs' files begin with.
const KNOWN: &[(&[u8], &str)] = &[
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\x7fELF", "a program"),
    (b"{", "JSON"),
    (b"---", "YAML"),
];

/// Refuses what is no file that could be a database: looked at, never opened.
pub(super) fn check_kind(path: &Path) -> Result<(), StoreError> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    let kind = metadata.file_type();
    let looks_like = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(StoreError::NotADatabase { path: path.to_owned(), looks_like: looks_like.to_owned() })
}

/// What SQLite's refusal of a file means. One that holds something else and that no record of ours names is not ours.
pub(super) fn explain(path: &Path, backups: &BackupFolder, error: StoreError) -> StoreError {
    // A log or a backup says that a database of ours was there.
    let is_ours = || files::with_suffix(path, "-wal").exists() || !backups.list(None).is_empty();
    if !error.is_corruption() || is_ours() {
        return error;
    }
    match looks_like(path) {
        Some(looks_like) => StoreError::NotADatabase { path: path.to_owned(), looks_like },
        None => error,
    }
}

/// What a file is that is no SQLite database; none for one.
fn looks_like(path: &Path) -> Option<String> {
    let mut head = [0; 512];
    let read = files::open_regular(&std::fs::canonicalize(path).ok()?).and_then(|file| {
        use std::io::Read as _;
        let mut length = 0;
        let mut file = file.take(512);
        while let count @ 1.. = file.read(&mut head[length..])? {
            length += count;
        }
        Ok(length)
    });
    let head = &head[..read.ok()?];
    if head.starts_with(SQLITE) {
        return None;
    }
    let known = KNOWN.iter().find(|(start, _)| head.starts_with(start)).map(|(_, name)| *name);
    let is_text =
        || std::str::from_utf8(head).or_else(|error| std::str::from_utf8(&head[..error.valid_up_to()]));
    let text = || is_text().is_ok_and(|text| text.len() + 4 > head.len() && !text.contains('\0'));
    let yaml = || {
        is_text()
            .is_ok_and(|text| text.lines().any(|line| line.trim_end().ends_with(':') || line.contains(": ")))
    };
    Some(match known {
        Some(known) => known.to_owned(),
        None if head.is_empty() => "an empty file".to_owned(),
        None if text() && yaml() => "YAML".to_owned(),
        None if text() => "text".to_owned(),
        None => "the data of another program".to_owned(),
    })
}

/// What an examination found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    /// SQLite reads it whole: whatever failed, it was not the database.
    Sound,
    /// It is damaged, left alone for a while, and nobody else has it open.
    Damaged,
}

/// Finds out whether a database is damaged: twice, on connections of their own, with time between. The caller has closed
/// its own.
///
/// # Errors
/// [`StoreError::BeingReplaced`] while somebody writes the file, [`StoreError::DamagedInUse`] while another process has it
/// open, [`StoreError::NotADatabase`] for a file that is not ours.
pub(super) fn examine(path: &Path) -> Result<Examined, StoreError> {
    if !is_damaged(path)? {
        return Ok(Examined::Sound);
    }
    settle(path)?;
    if !is_damaged(path)? {
        return Ok(Examined::Sound);
    }
    if is_open_elsewhere(path) {
        return Err(StoreError::DamagedInUse { path: path.to_owned() });
    }
    Ok(Examined::Damaged)
}

fn is_damaged(path: &Path) -> Result<bool, StoreError> {
    let checked = open::connect(path, open::Access::Read).and_then(|conn| check(&conn, path));
    match checked {
        Ok(sound) => Ok(!sound),
        Err(error) if error.is_corruption() => Ok(true),
        Err(error) => Err(error),
    }
}

fn check(conn: &Connection, path: &Path) -> Result<bool, StoreError> {
    use super::error::Doing as _;
    let answer: String =
        conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).doing("check", path)?;
    Ok(answer == "ok")
}

/// Waits until nobody has written to a file for a while.
fn settle(path: &Path) -> Result<(), StoreError> {
    let mut waited = Duration::ZERO;
    loop {
        let before = FileState::of(path);
        let age = std::fs::metadata(path).and_then(|it| it.modified()).ok();
        let age = age.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
        if age >= SETTLED_AFTER {
            return Ok(());
        }
        if waited >= WAIT_AT_MOST {
            return Err(StoreError::BeingReplaced { path: path.to_owned() });
        }
        let rest = SETTLED_AFTER.saturating_sub(age);
        std::thread::sleep(rest);
        waited += rest;
        if FileState::of(path) == before {
            return Ok(());
        }
    }
}

/// Whether another process holds any of SQLite's locks on a file. In WAL mode every connection holds one while it is open.
fn is_open_elsewhere(path: &Path) -> bool {
    let Ok(file) = std::fs::canonicalize(path).and_then(|path| files::open_regular(&path)) else {
        return false;
    };
    let wanted = Flock {
        start: LOCKED_FROM,
        length: LOCKED_BYTES,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    fcntl_getlk(&file, &wanted).is_ok_and(|held| held.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_program_is_called_what_it_looks_like() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        for (bytes, expected) in [
            (&b"\xff\xd8\xff\xe0JFIF"[..], "a JPEG picture"),
            (b"services:\n  a: {type: cli}\n", "YAML"),
            (b"dear diary\n", "text"),
            (b"{\"a\": 1}", "JSON"),
            (b"\x00\x01\x02\xff", "the data of another program"),
        ] {
            std::fs::write(&path, bytes).expect("written");
            assert_eq!(looks_like(&path).as_deref(), Some(expected));
        }
        std::fs::write(&path, b"SQLite format 3\0 and then nonsense").expect("written");
        assert_eq!(looks_like(&path), None);
    }
}
