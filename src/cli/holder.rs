//! Who holds the database's write lock, or has it open, from what the kernel says. The database itself is not opened.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::model::printable;
use crate::store::files;

/// A process that holds a lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) program: String,
    /// How long the process has been running, in seconds.
    pub(super) running_seconds: u64,
}

/// The byte of the `-shm` that a writer locks. Source: <https://www.sqlite.org/walformat.html>, "WAL locks".
const WRITE_BYTE: u64 = 120;

/// Where a rollback-journal database is locked. Source: `PENDING_BYTE` in SQLite's `os.h`.
const PENDING_BYTE: u64 = 0x4000_0000;

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A program names itself as it likes.
        let program = printable(&self.program);
        write!(f, "{program} (process {}, running for {} s)", self.pid, self.running_seconds)
    }
}

/// The process that holds the write lock.
pub(super) fn of(database: &Path) -> Option<Holder> {
    find(database, holder_in)
}

/// Another process that has the database open, as far as its locks show it.
pub(super) fn user_of(database: &Path) -> Option<Holder> {
    find(database, user_in)
}

fn find(database: &Path, among: impl Fn(&str, Option<u64>, Option<u64>) -> Option<u32>) -> Option<Holder> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let inode = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.ino());
    let pid = among(&locks, inode(&files::with_suffix(database, "-shm")), inode(database))?;
    let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    Some(Holder { pid, program, running_seconds: running(pid).unwrap_or_default() })
}

/// Lines read `3: POSIX  ADVISORY  WRITE 4242 fe:00:131077 120 120`.
fn holder_in(locks: &str, shm: Option<u64>, database: Option<u64>) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, "WRITE", pid, file, first, last] = words[..] else { return None };
        let inode: u64 = file.rsplit(':').next()?.parse().ok()?;
        let first: u64 = first.parse().ok()?;
        let last = last.parse().unwrap_or(u64::MAX);
        let writes = Some(inode) == shm && (first..=last).contains(&WRITE_BYTE);
        let journal = Some(inode) == database && last >= PENDING_BYTE;
        if writes || journal { pid.parse().ok() } else { None }
    })
}

/// Whoever has any lock on either file, besides this process.
fn user_in(locks: &str, shm: Option<u64>, database: Option<u64>) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, _, pid, file, ..] = words[..] else { return None };
        let inode: Option<u64> = file.rsplit(':').next()?.parse().ok();
        let pid: u32 = pid.parse().ok()?;
        (inode.is_some() && [shm, database].contains(&inode) && pid != std::process::id()).then_some(pid)
    })
}

fn running(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; the start time is the 20th word after it.
    let started: u64 = stat.rsplit(") ").next()?.split(' ').nth(19)?.parse().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an uptime in seconds fits")]
    let uptime = uptime as u64;
    Some(uptime.saturating_sub(started / rustix::param::clock_ticks_per_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_is_told_from_readers_and_from_other_files() {
        let locks = "1: POSIX  ADVISORY  READ 10 fe:00:5 123 123\n\
                     2: POSIX  ADVISORY  WRITE 11 fe:00:6 120 120\n\
                     3: POSIX  ADVISORY  WRITE 12 fe:00:5 120 120\n\
                     4: POSIX  ADVISORY  WRITE 13 fe:00:7 1073741824 1073742335\n";
        assert_eq!(holder_in(locks, Some(5), None), Some(12));
        assert_eq!(holder_in(locks, None, Some(7)), Some(13));
        assert_eq!(holder_in(locks, Some(8), Some(9)), None);
        assert_eq!(user_in(locks, Some(5), None), Some(10), "a reader has it open, too");
        assert_eq!(user_in(locks, None, None), None);
    }
}
