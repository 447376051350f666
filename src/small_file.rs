//! A small file, read whole: settings, keys, tokens, plans.
//!
//! What stands in such a file's place may be a pipe, on which reading waits for ever, or a device or a disk image, which
//! has no end. So a file is judged once it is open, and no more of it is read than it may hold.

#![expect(clippy::disallowed_methods, reason = "it reads files")]

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Reads a regular file of at most `limit` bytes, links followed. What was read is wiped when it is dropped.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for what is no regular file, [`ErrorKind::FileTooLarge`] for a larger one.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>> {
    read_open(&open(path)?, limit)
}

/// The same, as text.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for what is not UTF-8, besides those of [`read`].
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<Zeroizing<String>> {
    let mut bytes = read(path, limit)?;
    let text = String::from_utf8(std::mem::take(&mut *bytes));
    text.map(Zeroizing::new).map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        Error::new(ErrorKind::InvalidData, "it is not UTF-8")
    })
}

/// Reads what is open already.
///
/// # Errors
/// See [`read`].
pub(crate) fn read_open(file: &File, limit: u64) -> Result<Zeroizing<Vec<u8>>> {
    let too_large = || Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes"));
    let length = file.metadata()?.len();
    if length > limit {
        return Err(too_large());
    }
    // Room for all of it at once: a buffer that grows leaves copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Opens a regular file for reading, links followed; never a pipe, which could hang, nor a device, which could do anything.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for what is no regular file.
pub(crate) fn open(path: &Path) -> Result<File> {
    open_with(path, OFlags::empty())
}

/// The same, where the last name on the path may not be a link.
///
/// # Errors
/// See [`open`].
pub(crate) fn open_itself(path: &Path) -> Result<File> {
    open_with(path, OFlags::NOFOLLOW)
}

/// Opens a folder, where the last name on the path is no link.
///
/// # Errors
/// It is none.
pub(crate) fn open_folder(path: &Path) -> Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
    File::options().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path)
}

fn open_with(path: &Path, flags: OFlags) -> Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    // Looked at first, since opening alone sets some devices in motion; and again, since the name may lead elsewhere by now.
    ensure_regular(&std::fs::metadata(path)?)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    ensure_regular(&file.metadata()?)?;
    Ok(file)
}

fn ensure_regular(file: &std::fs::Metadata) -> Result<()> {
    if !file.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_small_regular_file_is_refused_and_nothing_waits_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "12345678").expect("written");
        std::os::unix::fs::symlink("file", at("link")).expect("linked");
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).expect("made");
        let kind = |read: Result<Zeroizing<Vec<u8>>>| read.err().map(|error| error.kind());
        assert_eq!(**read(&at("link"), 8).expect("read"), *b"12345678");
        assert_eq!(kind(read(&at("file"), 7)), Some(ErrorKind::FileTooLarge));
        for path in [at("pipe"), folder.path().to_owned(), "/dev/zero".into()] {
            assert_eq!(kind(read(&path, 8)), Some(ErrorKind::InvalidInput), "{}", path.display());
        }
        assert_eq!(kind(read(&at("none"), 8)), Some(ErrorKind::NotFound));
        assert!(open_itself(&at("link")).is_err());
        // A file that says that it is empty, and is not.
        assert_eq!(kind(read(Path::new("/proc/self/mountinfo"), 8)), Some(ErrorKind::FileTooLarge));
    }
}
