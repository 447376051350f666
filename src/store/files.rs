//! File operations beside the database: private, durable, atomic.
//!
//! Never used on the database itself, its `-wal` or its `-shm`: closing such a handle would drop `SQLite`'s
//! locks of the whole process. Source: <https://www.sqlite.org/howtocorrupt.html> section 2.2.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::error::Doing as _;
pub(crate) use super::temporary::{Temporary, remove_leftovers};
use crate::place::identity;
pub(crate) use crate::place::with_suffix;
use crate::small_file;

/// Returns the folder that a file is in; that of a plain name is the working folder.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates a folder that only this user may enter, with its parents, and makes their names durable; an existing one is
/// left as it is.
pub(crate) fn create_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() || folder.as_os_str().is_empty() {
        return Ok(());
    }
    let beside = folder_of(folder);
    create_folder(beside)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        // Another process made it meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        created => created.doing("create the folder", folder)?,
    }
    if let Ok(made) = small_file::open_folder(folder) {
        give_to_owner(&made, folder);
    }
    // What is synced in a folder whose own name is lost is lost with it.
    sync_folder(beside)
}

/// Gives what was just made at `path` to the owner of what it is to replace, or else of its folder. Root repairs what the
/// orchestrator, as another user, goes on with; whoever is not root may give nothing away, and needs not.
pub(crate) fn give_to_owner(made: &File, path: &Path) {
    let Ok(own) = made.metadata() else { return };
    let is_made = |there: &std::fs::Metadata| identity(there) == identity(&own);
    let replaced = std::fs::metadata(path).ok().filter(|there| !is_made(there));
    let model = replaced.or_else(|| std::fs::metadata(folder_of(path)).ok());
    if let Some(model) = model.filter(|model| model.uid() != own.uid()) {
        let _ = std::os::unix::fs::fchown(made, Some(model.uid()), Some(model.gid()));
    }
}

/// Creates an empty file that only this user may read. Fails when there is one.
pub(crate) fn create_private(path: &Path) -> Result<File, StoreError> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path).doing("create", path)?;
    give_to_owner(&file, path);
    Ok(file)
}

/// Gives a file the owner and the rights of another, as far as this user may.
pub(crate) fn like(file: &Path, other: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt as _;
    let model = std::fs::metadata(other).doing("read", other)?;
    let _ = std::os::unix::fs::chown(file, Some(model.uid()), Some(model.gid()));
    std::fs::set_permissions(file, model.permissions()).doing("protect", file)
}

/// Renames a file within its folder, to a name that says when and why; returns the new name.
pub(crate) fn set_aside(path: &Path, why: &str, now: std::time::SystemTime) -> Result<PathBuf, StoreError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!("{name}.{}.{why}", super::stamp(now)));
    std::fs::hard_link(path, &aside).doing("set aside", path)?;
    std::fs::remove_file(path).doing("set aside", path)?;
    sync_folder(folder_of(path))?;
    Ok(aside)
}

/// Makes a file's content durable.
pub(crate) fn sync_file(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).doing("sync", path)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|file| file.sync_all()).doing("sync the folder", folder)
}

/// Replaces or creates `path` with `bytes`, 0600: readers see the old file or the whole new one.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = folder_of(path);
    remove_leftovers(folder);
    let mut temporary = Temporary::beside(path)?;
    temporary.fill(bytes)?;
    temporary.replace(path).doing("rename", path)?;
    sync_folder(folder)
}

/// A file as it was when it was last written, which nobody can set back (`st_ctim`, `inode(7)`).
#[derive(PartialEq, Eq)]
pub(super) struct FileState {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl FileState {
    /// The state of what lies at `path`; none when nothing does.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = std::fs::symlink_metadata(path).ok()?;
        let changed = (file.ctime(), file.ctime_nsec());
        Some(Self { device: file.dev(), inode: file.ino(), bytes: file.len(), changed })
    }
}
