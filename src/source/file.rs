//! Reading a file or a folder, whole or not at all.

use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{SourceError, SourceSpec};
use crate::desired::MAX_SOURCE_BYTES;
use crate::model::{SourceDocument, SourceSnapshot};
use crate::small_file;

/// How often a file that changes while it is read is read again at once.
const ATTEMPTS: usize = 5;

/// Reads a source.
///
/// # Guarantees
/// No file changed while it was being read. A writer that pauses between two writes can still be caught
/// half-way; `run` waits until the file is closed and quiet.
pub fn read(spec: &SourceSpec) -> Result<SourceSnapshot, SourceError> {
    let documents = match spec {
        SourceSpec::File(path) => vec![document(path, MAX_SOURCE_BYTES as u64)?],
        SourceSpec::Folder(path) => folder(path)?,
        SourceSpec::Object(_) => {
            return Err(SourceError::WrongKind {
                path: spec.to_string().into(),
                found: "an object of Kubernetes, which is not read as a file",
            });
        }
    };
    Ok(SourceSnapshot { origin: spec.to_string(), documents })
}

/// Returns when one of the source's files last changed, by the file system's clock; none when that cannot be had.
pub fn changed(spec: &SourceSpec) -> Option<SystemTime> {
    let files = files(spec);
    files.iter().filter_map(|file| std::fs::metadata(file).and_then(|it| it.modified()).ok()).max()
}

/// Returns the files that a source consists of now, by name; none when the folder cannot be read.
pub fn files(spec: &SourceSpec) -> Vec<PathBuf> {
    match spec {
        SourceSpec::File(path) => vec![path.clone()],
        SourceSpec::Folder(path) => files_of(path).unwrap_or_default(),
        SourceSpec::Object(_) => Vec::new(),
    }
}

/// The files of a folder that belong to the source, by name.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_owned(), source };
    if !metadata(path)?.is_dir() {
        return Err(SourceError::WrongKind { path: path.to_owned(), found: "not a folder" });
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if is_yaml(&file) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn folder(path: &Path) -> Result<Vec<SourceDocument>, SourceError> {
    let files = files_of(path)?;
    if files.is_empty() {
        return Err(SourceError::Empty { path: path.to_owned() });
    }
    let mut left = MAX_SOURCE_BYTES as u64;
    let mut documents = Vec::with_capacity(files.len());
    for file in files {
        if stands_for_no_file(&file) {
            documents.push(SourceDocument { name: file.display().to_string(), bytes: Vec::new() });
            continue;
        }
        let document = document(&file, left)?;
        left -= document.bytes.len() as u64;
        documents.push(document);
    }
    Ok(documents)
}

/// Whether a name stands where a file is missing: a link that leads nowhere, or the folder that a container runtime makes
/// in place of a file that it was to mount.
fn stands_for_no_file(file: &Path) -> bool {
    match std::fs::metadata(file) {
        Ok(there) => !there.is_file(),
        Err(_) => file.is_symlink(),
    }
}

/// Whether a file of a folder source belongs to it: YAML by its name, and not an editor's or kubelet's own.
pub fn is_yaml(file: &Path) -> bool {
    let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn document(path: &Path, limit: u64) -> Result<SourceDocument, SourceError> {
    for _ in 0..ATTEMPTS {
        if let Some(bytes) = read_once(path, limit)? {
            return Ok(SourceDocument { name: path.display().to_string(), bytes });
        }
    }
    Err(SourceError::Unstable { path: path.to_owned() })
}

/// Reads a file; `None` when it changed meanwhile.
fn read_once(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_owned(), source };
    let before = metadata(path)?;
    if !before.is_file() {
        let found = if before.is_dir() { "a folder" } else { "not a regular file" };
        return Err(SourceError::WrongKind { path: path.to_owned(), found });
    }
    if before.len() > limit {
        let size = before.len() / 1_000_000;
        return Err(SourceError::TooLarge {
            path: path.to_owned(),
            size,
            limit: MAX_SOURCE_BYTES / 1_000_000,
        });
    }
    let file = small_file::open(path).map_err(unreadable)?;
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default() + 1);
    // One byte more than allowed, to notice a file that grows without end.
    (&file).take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let after = file.metadata().map_err(unreadable)?;
    let same = |one: &Metadata, two: &Metadata| {
        (one.ino(), one.len(), one.mtime(), one.mtime_nsec())
            == (two.ino(), two.len(), two.mtime(), two.mtime_nsec())
    };
    Ok((same(&before, &after) && bytes.len() as u64 == after.len()).then_some(bytes))
}

fn metadata(path: &Path) -> Result<Metadata, SourceError> {
    std::fs::metadata(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => SourceError::Missing { path: path.to_owned() },
        _ => SourceError::Unreadable { path: path.to_owned(), source },
    })
}
