//! Which other programs have the database open, from what the kernel says. The database itself is not opened.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::files;
use crate::place::identity;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// The name of the program that it runs.
    pub name: String,
    /// Its number.
    pub pid: u32,
}

/// Returns the programs that have the database open, in the order of their numbers: not this process, nor another
/// command of this program, whose writes are recorded as what they are.
///
/// Every connection to a database with a write-ahead log holds a lock on its `-shm` for as long as it is open, so one
/// short file says it all. Processes of another container are not in it.
/// Source: `UNIX_SHM_DMS` in SQLite's `os_unix.c`.
pub(super) fn with_open(database: &Path) -> Vec<Program> {
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else { return Vec::new() };
    let inode = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.ino());
    let files = [inode(&files::with_suffix(database, "-shm")), inode(database)];
    let mut pids = holders(&locks, &files.into_iter().flatten().collect::<Vec<_>>());
    pids.retain(|pid| *pid != std::process::id());
    let ours = name_of("self");
    let named = pids.into_iter().filter_map(|pid| Some(Program { name: name_of(&pid.to_string())?, pid }));
    named.filter(|program| Some(&program.name) != ours.as_ref()).collect()
}

/// Whether another process that can be seen from here has a file open, in whatever way.
pub(super) fn has_open(file: &Path) -> bool {
    let Ok(wanted) = std::fs::metadata(file).map(|it| identity(&it)) else { return false };
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let others = entries(Path::new("/proc")).filter(|process| {
        let pid: Option<u32> = process.file_name().to_str().and_then(|name| name.parse().ok());
        pid.is_some_and(|pid| pid != std::process::id())
    });
    let mut descriptors = others.flat_map(|process| entries(&process.path().join("fd")).collect::<Vec<_>>());
    // What the descriptor leads to, not the link itself.
    descriptors.any(|open| std::fs::metadata(open.path()).is_ok_and(|it| identity(&it) == wanted))
}

fn name_of(process: &str) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    (!name.is_empty()).then_some(name)
}

/// Lines read `3: POSIX  ADVISORY  READ 4242 fe:00:131077 128 128`.
fn holders(locks: &str, inodes: &[u64]) -> Vec<u32> {
    let holder = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "POSIX", _, _, pid, file, _, _] = words[..] else { return None };
        let inode: u64 = file.rsplit(':').next()?.parse().ok()?;
        let pid = pid.parse().ok().filter(|pid| *pid > 0)?;
        inodes.contains(&inode).then_some(pid)
    };
    let mut pids: Vec<u32> = locks.lines().filter_map(holder).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_any_lock_of_the_database_has_it_open() {
        let locks = "1: POSIX  ADVISORY  READ 12 fe:00:5 128 128\n\
                     2: POSIX  ADVISORY  READ 10 fe:00:5 128 128\n\
                     3: POSIX  ADVISORY  WRITE 10 fe:00:5 120 120\n\
                     4: OFDLCK ADVISORY  WRITE -1 fe:00:5 0 0\n\
                     5: POSIX  ADVISORY  READ 0 fe:00:5 128 128\n\
                     6: POSIX  ADVISORY  READ 11 fe:00:6 128 128\n\
                     1: -> POSIX  ADVISORY  WRITE 14 fe:00:5 120 120\n";
        assert_eq!(holders(locks, &[5]), [10, 12]);
        assert!(holders(locks, &[7]).is_empty());
    }
}
