//! A source's file with other bytes: whole or not at all, and never over somebody else's edit.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::small_file;

/// Why a file was left as it is.
#[derive(Debug, Error)]
pub enum ReplaceError {
    /// It holds something else than what the edit was made for.
    #[error("{path} changed meanwhile; it was left alone", path = .0.display())]
    Moved(PathBuf),
    /// It cannot be written.
    #[error("write {path}", path = path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl ReplaceError {
    /// What the user can do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Moved(_) => "run the command again: it starts from what the file says now",
            Self::Unwritable { .. } => {
                "promote where the file is written, in its Git repository: a mounted ConfigMap is read-only"
            }
        }
    }
}

/// Gives a file other bytes, if it still holds `before`.
///
/// # Guarantees
/// Written beside it, made durable and renamed over it; mode and owner stay, a symbolic link stays one.
pub fn replace(path: &Path, before: &[u8], after: &[u8]) -> Result<(), ReplaceError> {
    let unwritable = |source| ReplaceError::Unwritable { path: path.to_owned(), source };
    let target = std::fs::canonicalize(path).map_err(unwritable)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| unwritable(error.into()))?;
    // In containers every process may be number 1.
    let beside = folder.join(format!(".{name}.oxide-operator-{:016x}", u64::from_ne_bytes(random)));
    let written = write_beside(&target, &beside, before, after);
    // Only what is ours: after a swap that could not be undone, somebody's edit lies there.
    if !matches!(written, Ok(true)) && holds(&beside, after).unwrap_or(false) {
        let _ = std::fs::remove_file(&beside);
    }
    if written.map_err(unwritable)? {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable)
    } else {
        Err(ReplaceError::Moved(path.to_owned()))
    }
}

/// Writes and renames; false when the file holds something else than `before`.
fn write_beside(target: &Path, beside: &Path, before: &[u8], after: &[u8]) -> std::io::Result<bool> {
    let metadata = std::fs::metadata(target)?;
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create_new(true).open(beside)?;
    file.write_all(after)?;
    if metadata.uid() != rustix::process::geteuid().as_raw()
        || metadata.gid() != rustix::process::getegid().as_raw()
    {
        std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    file.set_permissions(std::fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    file.sync_all()?;
    if !holds(target, before)? {
        return Ok(false);
    }
    swap_in(target, beside, before)
}

/// Whether a file holds just these bytes.
fn holds(path: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    match small_file::read(path, bytes.len() as u64) {
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Ok(false),
        read => read.map(|read| *read == bytes),
    }
}

/// Puts the new file in place of the old one; false, and everything as it was, when the old one turns out to hold something
/// else than `before`: an edit that was made after it was last looked at.
fn swap_in(target: &Path, beside: &Path, before: &[u8]) -> std::io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, beside, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        // A file system that cannot exchange two files: what was looked at a moment ago has to do.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            return std::fs::rename(beside, target).map(|()| true);
        }
        Err(error) => return Err(error.into()),
    }
    if holds(beside, before)? {
        std::fs::remove_file(beside)?;
        return Ok(true);
    }
    renameat_with(CWD, beside, CWD, target, RenameFlags::EXCHANGE)?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_in_the_last_moment_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, beside) = (folder.path().join("a.yaml"), folder.path().join(".new"));
        std::fs::write(&target, "somebody's edit").expect("written");
        std::fs::write(&beside, "ours").expect("written");
        assert!(!swap_in(&target, &beside, b"as it was read").expect("swapped back"));
        assert_eq!(std::fs::read_to_string(&target).expect("there"), "somebody's edit");
        std::fs::write(&beside, "ours").expect("written");
        assert!(swap_in(&target, &beside, b"somebody's edit").expect("swapped in"));
        assert_eq!(std::fs::read_to_string(&target).expect("there"), "ours");
        assert!(!beside.exists());
    }
}
