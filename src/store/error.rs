//! What can go wrong with a store, what it means, and what to do next.

use std::io::ErrorKind;
use std::path::PathBuf;

use rusqlite::ErrorCode;
use thiserror::Error;

use super::presence::InPlace;
use crate::model::AgentHolder;
use crate::verify::Mismatch;

/// Why the store could not be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// SQLite refused. `doing` says what we were about.
    #[error("{doing} {path}: {cause}{}", code(cause), path = path.display())]
    Sqlite {
        /// What was being done: "open", "read", "write".
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// SQLite's own answer. Not a source: its own source says the same again.
        cause: rusqlite::Error,
        /// What the disk says, where SQLite knows only that an operation failed.
        disk: Option<DiskFault>,
    },
    /// A file operation beside the database failed.
    #[error("{doing} {path}", path = path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The database lies where SQLite's locks do not work.
    #[error("{path} {why}", path = path.display())]
    UnsafePlace {
        /// The database.
        path: PathBuf,
        /// What is wrong with the place.
        why: String,
    },
    /// What lies there is no database of the orchestrator's, and nothing of ours says that it was one.
    #[error("{path} is {looks_like}, not a configuration database; it is left as it is", path = path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What it looks like: "YAML", "a folder".
        looks_like: String,
    },
    /// Something stands where SQLite has its log, its journal or its index, and is no file.
    #[error("{path} is no file, and SQLite would wait on it for ever", path = path.display())]
    InTheWay {
        /// What it is called.
        path: PathBuf,
    },
    /// The database is gone, and backups of it exist. Nothing was written.
    #[error(
        "StoreMissing: {path} {}, and backups of it exist, the newest is {backup}; nothing is written",
        in_place.text(), path = path.display()
    )]
    Missing {
        /// The database.
        path: PathBuf,
        /// What was found in its place.
        in_place: InPlace,
        /// The name of the newest backup.
        backup: String,
    },
    /// An agent with another source holds the database. Nothing was written.
    #[error("an agent keeps {path} equal to another source: {holder}; this is {source_here}", path = path.display())]
    OtherAgent {
        /// The database.
        path: PathBuf,
        /// The agent.
        holder: Box<AgentHolder>,
        /// The source of this command.
        source_here: String,
    },
    /// Somebody is writing the database's file, as `cp` does.
    #[error("{path} is being written by another program; it is judged when that is over", path = path.display())]
    BeingReplaced {
        /// The database.
        path: PathBuf,
    },
    /// A check of the database, or of a copy that was just made of it, found damage. Nothing was written.
    #[error("{path} is damaged: {why}", path = path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The database is damaged, and another process has it open.
    #[error("{path} is damaged, and another process has it open: it is not replaced under it", path = path.display())]
    DamagedInUse {
        /// The database.
        path: PathBuf,
    },
    /// Not one token in the store decrypts.
    #[error("none of the {tokens} API keys in the store decrypts with {key}: this is the wrong key")]
    WrongKey {
        /// How many tokens there are.
        tokens: usize,
        /// Where the key came from.
        key: String,
    },
    /// The store holds tokens, or the source holds API keys, and there is no key.
    #[error("no encryption key: OXIDE_ENCRYPTION_KEY is not set and {path} does not exist", path = path.display())]
    NoKey {
        /// Where the key file would be.
        path: PathBuf,
    },
    /// An API key stands under an encryption key that is not available. Nothing was changed.
    #[error("the API key of {id:?} does not open with any available encryption key; nothing was changed")]
    UnreadableToken {
        /// The service.
        id: String,
    },
    /// An API key that was encrypted again did not read back as it was. Nothing was changed.
    #[error("the API key of {id:?} read back differently after it was encrypted again; nothing was changed")]
    TokenReadBack {
        /// The service.
        id: String,
    },
    /// A key is there and is not a Fernet key.
    #[error("{origin} is not a Fernet key: {why}")]
    BadKey {
        /// Where the key came from.
        origin: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key to be replaced is not in a file of ours.
    #[error("the key comes from {origin}, which is not ours to replace")]
    KeyElsewhere {
        /// Where it comes from.
        origin: String,
    },
    /// The key file has another name: replacing it would leave the old key there.
    #[error("{path} has another name (a hard link), which would go on naming the old key", path = path.display())]
    KeyLinked {
        /// The key file.
        path: PathBuf,
    },
    /// The rows changed between planning and writing.
    #[error("the database changed since the plan was made")]
    Stale,
    /// The database file was replaced, renamed or deleted while we had it open.
    #[error("{path} was replaced or deleted while it was open", path = path.display())]
    Moved {
        /// The database.
        path: PathBuf,
    },
    /// Somebody else has the database open.
    #[error("another process has {path} open", path = path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// There is a database where a retired one is to come back.
    #[error("{path} holds a configuration, and would be replaced", path = path.display())]
    Occupied {
        /// The database.
        path: PathBuf,
    },
    /// No database was retired.
    #[error("no retired database{} lies among the backups of {path}", called(name.as_deref()), path = path.display())]
    NothingRetired {
        /// The database.
        path: PathBuf,
        /// The one that was asked for by name.
        name: Option<String>,
    },
    /// Rows read back inside the transaction were not what the plan promised. Nothing was written.
    #[error("{} of the written rows read back differently; nothing was kept ({})", .0.len(), first(.0))]
    Verification(Vec<Mismatch>),
    /// The YAML could not be copied beside itself, as `migrate` does first. Nothing was written.
    #[error("the YAML is not copied to {path}: {why}", path = path.display())]
    SourceCopy {
        /// Where the copy was to be.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The backups that somebody asked for leave no room for another one.
    #[error("no backup was taken: {:.1} MB of backups that somebody asked for lie in {folder}", *bytes as f64 / 1e6, folder = folder.display())]
    BackupsFull {
        /// Where they lie.
        folder: PathBuf,
        /// Their size.
        bytes: u64,
    },
    /// The backup is not a faithful copy. Nothing was written.
    #[error("the backup of {path} cannot be trusted: {why}", path = path.display())]
    Backup {
        /// The database.
        path: PathBuf,
        /// What is wrong with the copy.
        why: String,
    },
}

fn called(name: Option<&str>) -> String {
    name.map(|name| format!(" called {name}")).unwrap_or_default()
}

fn first(mismatches: &[Mismatch]) -> String {
    mismatches.first().map(|mismatch| format!("{} {}", mismatch.path, mismatch.fault)).unwrap_or_default()
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// There is no room on it.
    Full,
    /// It is mounted read-only.
    ReadOnly,
}

/// With less room than this, in bytes, an operation that failed did so for want of it: the largest step of SQLite
/// outside the database is 32 KiB for the `-shm`, and what it had of them is free again by now.
const FULL_BELOW_BYTES: u64 = 256 << 10;

impl DiskFault {
    /// Asks the disk, when SQLite's answer is one that hides the reason.
    fn behind(cause: &rusqlite::Error, path: &std::path::Path) -> Option<Self> {
        if !matches!(cause.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen)) {
            return None;
        }
        let disk = rustix::fs::statvfs(path.parent().filter(|folder| folder.is_dir())?).ok()?;
        if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            return Some(Self::ReadOnly);
        }
        (disk.f_bavail * disk.f_frsize < FULL_BELOW_BYTES).then_some(Self::Full)
    }
}

/// SQLite's extended code, where its words alone say little.
fn code(cause: &rusqlite::Error) -> String {
    match cause.sqlite_error() {
        Some(error) if error.code == ErrorCode::SystemIoFailure => {
            format!(" (SQLite code {})", error.extended_code)
        }
        _ => String::new(),
    }
}

impl StoreError {
    /// The error for a database whose path is that of the source.
    pub fn the_source_itself(path: PathBuf) -> Self {
        Self::NotADatabase { path, looks_like: "the source itself".to_owned() }
    }

    /// The error for a database of which a check says that something is wrong. A value that its own table should have refused is
    /// no damage of the file, and no reason to put an older state in its place unasked; in a table of ours it is, since nobody
    /// else writes those.
    pub(super) fn unsound(database: &std::path::Path, why: String) -> Self {
        let of_a_value = why.contains(" value in ") || why.starts_with("CHECK constraint failed in ");
        let path = database.to_owned();
        if of_a_value && !why.contains(" in operator_") {
            Self::Backup { path, why }
        } else {
            Self::Damaged { path, why }
        }
    }

    /// A word from a fixed set: label of metrics, reason of conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Sqlite { disk: Some(DiskFault::Full), .. } => "disk_full",
            Self::Sqlite { disk: Some(DiskFault::ReadOnly), .. } => "read_only",
            Self::Sqlite { cause, .. } => match cause.sqlite_error_code() {
                Some(
                    ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::FileLockingProtocolFailed,
                ) => "locked",
                Some(ErrorCode::DiskFull) => "disk_full",
                Some(ErrorCode::ReadOnly) => "read_only",
                Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => "cannot_open",
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "corrupt",
                Some(ErrorCode::SystemIoFailure) => "disk_error",
                _ => "sqlite",
            },
            Self::File { source, .. } => match source.kind() {
                ErrorKind::StorageFull => "disk_full",
                ErrorKind::ReadOnlyFilesystem => "read_only",
                ErrorKind::PermissionDenied => "cannot_open",
                _ if source.raw_os_error() == Some(INPUT_OUTPUT) => "disk_error",
                _ => "file",
            },
            Self::UnsafePlace { .. } => "unsafe_place",
            Self::NotADatabase { .. } => "not_a_database",
            Self::InTheWay { .. } => "in_the_way",
            Self::Missing { .. } => "missing",
            Self::OtherAgent { .. } => "other_agent",
            Self::BeingReplaced { .. } => "being_replaced",
            Self::Damaged { .. } => "corrupt",
            Self::DamagedInUse { .. } => "damaged_in_use",
            Self::WrongKey { .. } => "wrong_key",
            Self::NoKey { .. } => "no_key",
            Self::BadKey { .. } => "bad_key",
            Self::UnreadableToken { .. } => "unreadable_token",
            Self::TokenReadBack { .. } => "verification",
            Self::KeyElsewhere { .. } => "key_elsewhere",
            Self::KeyLinked { .. } => "key_linked",
            Self::Stale => "stale",
            Self::Moved { .. } => "moved",
            Self::InUse { .. } => "in_use",
            Self::Occupied { .. } => "occupied",
            Self::NothingRetired { .. } => "nothing_retired",
            Self::Verification(_) => "verification",
            Self::SourceCopy { .. } => "source_copy",
            Self::BackupsFull { .. } => "backups_full",
            Self::Backup { .. } => "backup",
        }
    }

    /// Whether trying again, with nothing changed by a person, may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self.reason(), "locked" | "stale" | "moved" | "disk_full" | "being_replaced")
    }

    /// Whether it is certain that nothing was committed.
    pub fn wrote_nothing(&self) -> bool {
        !self.may_come_back()
            && matches!(self.reason(), "locked" | "stale" | "disk_full" | "read_only" | "verification")
    }

    /// Whether a COMMIT failed whose frames may stand in the log all the same: whoever recovers that, after a power cut
    /// or a kill, brings the rows back. Where a frame found no room, or the lock was not to be had, the last one is
    /// missing, without which none counts.
    fn may_come_back(&self) -> bool {
        let Self::Sqlite { doing, cause, .. } = self else { return false };
        let is_missing = matches!(
            cause.sqlite_error_code(),
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        );
        *doing == COMMIT && !is_missing
    }

    /// Whether SQLite cannot make sense of a file.
    pub fn is_corruption(&self) -> bool {
        self.reason() == "corrupt"
    }

    /// Whether SQLite cannot make sense of this very file: a backup that is damaged says nothing of the database.
    pub fn is_corruption_of(&self, database: &std::path::Path) -> bool {
        let of_it =
            matches!(self, Self::Sqlite { path, .. } | Self::Damaged { path, .. } if path == database);
        of_it && self.is_corruption()
    }
}

/// What is being done when what was written becomes durable.
pub(super) const COMMIT: &str = "commit";

/// EIO on Linux.
const INPUT_OUTPUT: i32 = 5;

/// Attaches what we were doing, and to which database, to SQLite's errors.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, StoreError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, StoreError> {
        self.map_err(|cause| {
            let disk = DiskFault::behind(&cause, path);
            StoreError::Sqlite { doing, path: path.to_owned(), cause, disk }
        })
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::File { doing, path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_backup_says_nothing_of_the_database() {
        let folder = tempfile::tempdir().expect("a folder");
        let (database, backup) = (folder.path().join("config.db"), folder.path().join("backups.db"));
        std::fs::write(&backup, "no database, and long enough to be looked at").expect("written");
        let error = rusqlite::Connection::open(&backup)
            .and_then(|conn| conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))
            .doing("check the backup", &backup)
            .expect_err("damaged");
        assert!(error.is_corruption() && error.is_corruption_of(&backup));
        assert!(!error.is_corruption_of(&database));
    }
}
