//! A file in the making: private, under a name of its own, and gone unless it is given its place.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::StoreError;
use super::error::Doing as _;
use super::files::give_to_owner;
use crate::place::identity;
use crate::small_file;

/// How the names of our half-made files begin. They end in random digits: in containers every process may be number 1.
const PREFIX: &str = ".tmp-oxide-operator-";

/// On a file system without locks, what is older than this belongs to nobody.
const ABANDONED_AFTER: Duration = Duration::from_hours(24);

/// How often a name is chosen again when somebody took it for a leftover before it was locked.
const MAX_ATTEMPTS: u32 = 16;

/// A file in the making. Its process holds a lock on it for as long as it lives, which tells it from a leftover.
///
/// # Guarantees
/// Created exclusively, 0600. Removed when dropped, unless it was renamed.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    /// Creates an empty file in the folder of `path`.
    pub(crate) fn beside(path: &Path) -> Result<Self, StoreError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::create(path).doing("write", path)? {
                Some(made) => return Ok(made),
                None if attempt < MAX_ATTEMPTS => {}
                None => return Err(std::io::Error::from(std::io::ErrorKind::NotFound)).doing("write", path),
            }
        }
    }

    /// Creates and locks a file; none when it was taken for a leftover in between.
    fn create(path: &Path) -> std::io::Result<Option<Self>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        let place = path;
        let path = place.with_file_name(format!("{PREFIX}{name}-{:016x}", u64::from_ne_bytes(random)));
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        give_to_owner(&file, place);
        let made = Self { path, file };
        // Where there are no locks, age alone tells what is left over.
        let _ = made.file.lock();
        let there = std::fs::metadata(&made.path)
            .is_ok_and(|there| made.file.metadata().is_ok_and(|own| identity(&own) == identity(&there)));
        Ok(there.then_some(made))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `bytes` and makes them durable.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        use std::io::Write as _;
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        written.doing("write", &self.path)
    }

    /// Gives it its place, over what is there.
    pub(crate) fn replace(self, to: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.path, to)
    }

    /// Gives it its place where nothing is. Unlike a rename, a hard link never replaces what another process made.
    pub(crate) fn place(self, to: &Path) -> std::io::Result<()> {
        std::fs::hard_link(&self.path, to)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes what killed processes left half-made in a folder. What a living one makes is locked.
pub(crate) fn remove_leftovers(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if ours {
            remove_if_abandoned(&entry.path());
        }
    }
}

/// Removes a file that nobody makes any more, under its lock: whoever just created it waits for that, finds it gone, and
/// makes another.
fn remove_if_abandoned(path: &Path) {
    let Ok(file) = small_file::open_itself(path) else { return };
    let abandoned = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => {
            let age = file.metadata().and_then(|it| it.modified()).ok().and_then(|at| at.elapsed().ok());
            age.is_some_and(|age| age > ABANDONED_AFTER)
        }
    };
    if abandoned {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_making_is_left_alone_and_a_leftover_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.db");
        let (one, two) = (Temporary::beside(&path).expect("made"), Temporary::beside(&path).expect("made"));
        assert_ne!(one.path(), two.path());
        let leftover = folder.path().join(".tmp-oxide-operator-config.db-1");
        std::fs::write(&leftover, "half").expect("written");
        remove_leftovers(folder.path());
        assert!(one.path().exists() && two.path().exists() && !leftover.exists());
        drop(one);
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 1);
        two.place(&path).expect("placed");
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 1);
        let third = Temporary::beside(&path).expect("made");
        assert!(third.place(&path).is_err(), "what is there is not replaced");
    }
}
