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
use super::{StoreError, backup, open, programs};
use crate::small_file;

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
        () if kind.is_file() => return check_beginning(path, metadata.len()),
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(StoreError::NotADatabase { path: path.to_owned(), looks_like: looks_like.to_owned() })
}

/// SQLite takes a file of one byte for an empty database, whatever it is. A longer file isn't opened here: closing it again
/// would drop the locks that SQLite holds on it in this process.
fn check_beginning(path: &Path, length: u64) -> Result<(), StoreError> {
    if length != 1 {
        return Ok(());
    }
    let looks_like = looks_like(path).unwrap_or_else(|| "a file of one byte".to_owned());
    Err(StoreError::NotADatabase { path: path.to_owned(), looks_like })
}

/// What SQLite's refusal of a file means. One that holds something else and that no record of ours names is not ours.
pub(super) fn explain(path: &Path, backups: &BackupFolder, error: StoreError) -> StoreError {
    // A log or a backup says that a database of ours was there.
    let is_ours = || files::with_suffix(path, "-wal").exists() || !backups.list(None).is_empty();
    if !error.is_corruption() || is_ours() {
        return error;
    }
    let looks_like = looks_like(path).or_else(|| {
        let is_usual = path.file_name().is_some_and(|name| name == backup::USUAL);
        (!is_usual && !names_a_table_of_ours(path))
            .then(|| "a damaged SQLite database of another program".to_owned())
    });
    match looks_like {
        Some(looks_like) => StoreError::NotADatabase { path: path.to_owned(), looks_like },
        None => error,
    }
}

/// Whether the beginning of a damaged database still names a table of the orchestrator or of ours.
fn names_a_table_of_ours(path: &Path) -> bool {
    const BEGINNING_BYTES: u64 = 1 << 20;
    const NAMES: [&[u8]; 3] = [b"routing_rules", b"execution_settings", b"operator_meta"];
    let mut bytes = Vec::new();
    let file = std::fs::canonicalize(path).and_then(|path| small_file::open_itself(&path));
    let read = file.and_then(|file| {
        std::io::Read::read_to_end(&mut std::io::Read::take(file, BEGINNING_BYTES), &mut bytes)
    });
    read.is_ok() && NAMES.iter().any(|name| bytes.windows(name.len()).any(|window| window == *name))
}

/// What a file is that is no SQLite database; none for one.
fn looks_like(path: &Path) -> Option<String> {
    let mut head = [0; 512];
    let read = small_file::open_itself(&std::fs::canonicalize(path).ok()?).and_then(|file| {
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
    let checked = open::connect(path, open::Access::Read).and_then(|conn| {
        let sound = check(&conn, path)?;
        open::refuse_unwritable(&conn, path).map(|()| sound)
    });
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

/// Whether another process has a file open: by SQLite's locks, of which every connection in WAL mode holds one, and by what
/// the kernel lists, since whoever copies a file over it takes no lock. Processes of other containers are seen by the locks
/// alone.
fn is_open_elsewhere(path: &Path) -> bool {
    holds_a_lock(path) || programs::has_open(path)
}

fn holds_a_lock(path: &Path) -> bool {
    let Ok(file) = std::fs::canonicalize(path).and_then(|path| small_file::open_itself(&path)) else {
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
