//! File operations beside the database: private, durable, atomic.
//!
//! Never used on the database itself, its `-wal` or its `-shm`: closing such a handle would drop `SQLite`'s
//! locks of the whole process. Source: <https://www.sqlite.org/howtocorrupt.html> section 2.2.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::StoreError;
use super::error::Doing as _;

/// Creates a folder that only this user may enter, with its parents; an existing one is left as it is.
pub(crate) fn create_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() || folder.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).doing("create the folder", folder)
}

/// Creates an empty file that only this user may read. Fails when there is one.
pub(crate) fn create_private(path: &Path) -> Result<File, StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path).doing("create", path)
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
    use std::io::Write as _;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".tmp-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    let written = create_private(&temporary).and_then(|mut file| {
        file.write_all(bytes).and_then(|()| file.sync_all()).doing("write", &temporary)?;
        std::fs::rename(&temporary, path).doing("rename", path)?;
        sync_folder(folder)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
