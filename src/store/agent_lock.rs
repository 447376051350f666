//! One agent for one database: a lock that the kernel drops when its holder dies.
//!
//! The lock is on a file of its own beside the database: a plain handle on the database itself would drop SQLite's locks
//! when it is closed. The file stays; only the lock on it says whether anybody holds it, its text says who.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::Doing as _;
use super::{StoreError, files};
use crate::model::AgentHolder;
use crate::place::identity;
use crate::small_file;

/// What the lock's file is called, behind the name of the database.
const SUFFIX: &str = ".agent";

/// A longer text is none of ours, in bytes.
const MAX_TEXT_BYTES: u64 = 16 << 10;

/// The lock, held for as long as this value lives.
#[derive(Debug)]
pub struct AgentLock {
    file: File,
    path: PathBuf,
}

/// What came of trying to take the lock.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Lock(AgentLock),
    /// Another agent has it.
    By(AgentHolder),
}

impl AgentLock {
    /// Takes the lock, unless another agent holds it.
    ///
    /// # Errors
    /// The file cannot be made, or lies where there are no locks.
    pub fn try_take(database: &Path, me: &AgentHolder) -> Result<Taken, StoreError> {
        let path = path_of(database);
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Taken::Lock(Self::sign(file, path, me))),
            Err(TryLockError::WouldBlock) => Ok(Taken::By(text_of(&mut file))),
            Err(TryLockError::Error(source)) => Err(source).doing("lock", &path),
        }
    }

    /// Waits until the lock is free, and takes it.
    ///
    /// # Errors
    /// As for [`try_take`](Self::try_take).
    pub fn wait(database: &Path, me: &AgentHolder) -> Result<Self, StoreError> {
        let path = path_of(database);
        let file = open(&path)?;
        file.lock().doing("lock", &path)?;
        Ok(Self::sign(file, path, me))
    }

    /// Writes who holds the lock into its file, if there is room: it is the lock that counts.
    fn sign(mut file: File, path: PathBuf, me: &AgentHolder) -> Self {
        let text = serde_json::to_string(me).unwrap_or_default() + "\n";
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        Self { file, path }
    }

    /// Whether the file that is locked is still the one beside the database: others look there for the lock.
    pub fn is_in_place(&self) -> bool {
        let there = std::fs::symlink_metadata(&self.path);
        there.is_ok_and(|there| self.file.metadata().is_ok_and(|own| identity(&own) == identity(&there)))
    }
}

/// Who holds a database; none when nobody does. Never waits.
///
/// # Errors
/// The file of the lock is there and cannot be looked at, so that nobody can tell.
pub fn agent_of(database: &Path) -> Result<Option<AgentHolder>, StoreError> {
    let path = path_of(database);
    let mut file = match small_file::open_itself(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.doing("look for an agent in", &path)?,
    };
    // Shared, so that two who ask do not take each other for an agent.
    Ok(match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(text_of(&mut file)),
        _ => None,
    })
}

fn path_of(database: &Path) -> PathBuf {
    files::with_suffix(database, SUFFIX)
}

fn open(path: &Path) -> Result<File, StoreError> {
    files::create_folder(files::folder_of(path))?;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let mut options = File::options();
    // Readable for all who share the volume: whoever cannot read it takes the agent for absent. It holds no secret.
    options.read(true).write(true).create(true).truncate(false).mode(0o644).custom_flags(flags);
    let file = options.open(path).doing("open", path)?;
    files::give_to_owner(&file, path);
    Ok(file)
}

/// Who the file says it is; between the lock and its text nobody has signed yet.
fn text_of(file: &mut File) -> AgentHolder {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(MAX_TEXT_BYTES).read_to_string(&mut text));
    let signed = read.ok().and_then(|_| serde_json::from_str(&text).ok());
    signed.unwrap_or_else(|| AgentHolder {
        host: "unknown".into(),
        pid: 0,
        source: "unknown".into(),
        since: "unknown".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32) -> AgentHolder {
        AgentHolder {
            host: "here".into(),
            pid,
            source: "file:/a.yaml".into(),
            since: "2026-01-01T00:00:00Z".into(),
        }
    }

    #[test]
    fn one_holds_it_the_others_hear_who_and_the_next_gets_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("config.db");
        assert_eq!(agent_of(&database).expect("looked at"), None);
        let Ok(Taken::Lock(first)) = AgentLock::try_take(&database, &holder(1)) else { panic!("free") };
        assert_eq!(agent_of(&database).expect("looked at"), Some(holder(1)));
        let Ok(Taken::By(other)) = AgentLock::try_take(&database, &holder(2)) else { panic!("taken") };
        assert_eq!(other, holder(1));
        let waiting = std::thread::spawn({
            let database = database.clone();
            move || AgentLock::wait(&database, &holder(2))
        });
        drop(first);
        let second = waiting.join().expect("no panic").expect("taken");
        assert_eq!(agent_of(&database).expect("looked at"), Some(holder(2)));
        drop(second);
        assert_eq!(agent_of(&database).expect("looked at"), None);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(folder.path().join("config.db.agent")).expect("there").permissions(),
        );
        assert_eq!(mode & 0o777, 0o644);
        let lock = AgentLock::wait(&database, &holder(3)).expect("taken");
        assert!(lock.is_in_place());
        std::fs::remove_file(path_of(&database)).expect("removed");
        assert!(!lock.is_in_place(), "nobody finds it any more");
    }
}
