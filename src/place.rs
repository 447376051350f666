//! Where a file lies: whether SQLite's locks hold there, and whether the kernel tells of every change.

#![expect(clippy::disallowed_methods, reason = "the kernel is asked about files")]

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// Returns the absolute name of a file or folder, there or not, which stays the same when a link in its place is swapped: the
/// folder around it is resolved, a link of its own name isn't. Those of a mounted `ConfigMap` lead into a folder that kubelet
/// replaces.
pub fn lasting_path(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(|folder| std::fs::canonicalize(folder).ok());
    match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// Where a path leads, links followed to their end, whether or not there is anything.
pub fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new(".")).join(target);
    }
    lasting_path(&path)
}

/// More links are a loop.
const MAX_LINKS: usize = 40;

/// Which file it is, whatever it is called: its device and its inode.
pub fn identity(file: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (file.dev(), file.ino())
}

/// Returns the name of a file that belongs to a database: its `-wal` or its `-shm`.
pub(crate) fn with_suffix(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Returns the files that SQLite keeps beside a database.
pub(crate) fn beside(database: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|suffix| with_suffix(database, suffix))
}

/// Returns a source, as `file:PATH` or `dir:PATH`, by its absolute name, and any other as it is. Links on its way are left as
/// they are: they may be swapped.
pub fn absolute_source(source: &str) -> String {
    match source.split_once(':') {
        Some((kind @ ("file" | "dir"), path)) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
            format!("{kind}:{}", path.display())
        }
        _ => source.to_owned(),
    }
}

/// Whether two sources, each as `file:PATH` or `dir:PATH`, are one: by the same absolute name, whatever links on its way lead
/// to at this moment, or by names that lead to the same place now.
pub fn is_same_source(one: &str, two: &str) -> bool {
    if one == two {
        return true;
    }
    match (one.split_once(':'), two.split_once(':')) {
        (Some((kind @ ("file" | "dir"), one)), Some((other, two))) if kind == other => {
            lasting_path(one.as_ref()) == lasting_path(two.as_ref())
        }
        _ => false,
    }
}

/// A kind of file system that is no local disk of this machine.
#[derive(Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// What `statfs(2)` calls it.
    pub magic: u64,
    /// What people call it.
    pub name: &'static str,
    /// What is special about it.
    pub kind: Kind,
}

/// What is special about a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Other machines write to it over the network.
    Network,
    /// Other machines write to the same disks, or to parts of them.
    Cluster,
    /// A machine that runs this one writes to it, too.
    Host,
    /// A program answers for the kernel, and may get its files from anywhere.
    UserSpace,
    /// Layers of folders, of which the lower ones may change unheard.
    Layers,
}

/// Sources: `include/uapi/linux/magic.h` of Linux; for what is not part of it `src/stat.c` of GNU coreutils, which has the
/// numbers that each of them uses.
const SPECIAL: [FileSystem; 27] = [
    FileSystem { magic: 0x6969, name: "NFS", kind: Kind::Network },
    FileSystem { magic: 0x517b, name: "SMB", kind: Kind::Network },
    FileSystem { magic: 0xfe53_4d42, name: "SMB", kind: Kind::Network },
    FileSystem { magic: 0xff53_4d42, name: "SMB (CIFS)", kind: Kind::Network },
    FileSystem { magic: 0x564c, name: "NCP", kind: Kind::Network },
    FileSystem { magic: 0x5346_414f, name: "AFS", kind: Kind::Network },
    FileSystem { magic: 0x6b41_4653, name: "AFS", kind: Kind::Network },
    FileSystem { magic: 0x7375_7245, name: "Coda", kind: Kind::Network },
    FileSystem { magic: 0x00c3_6400, name: "CephFS", kind: Kind::Cluster },
    FileSystem { magic: 0x0bd0_0bd0, name: "Lustre", kind: Kind::Cluster },
    FileSystem { magic: 0x4750_4653, name: "GPFS", kind: Kind::Cluster },
    FileSystem { magic: 0x1983_0326, name: "BeeGFS", kind: Kind::Cluster },
    FileSystem { magic: 0x7461_636f, name: "OCFS2", kind: Kind::Cluster },
    FileSystem { magic: 0x0116_1970, name: "GFS2", kind: Kind::Cluster },
    FileSystem { magic: 0x6163_6673, name: "ACFS", kind: Kind::Cluster },
    FileSystem { magic: 0x2003_0528, name: "OrangeFS", kind: Kind::Cluster },
    FileSystem { magic: 0xaad7_aaea, name: "PanFS", kind: Kind::Cluster },
    FileSystem { magic: 0x0131_11a8, name: "IBRIX", kind: Kind::Cluster },
    FileSystem { magic: 0xbeef_dead, name: "StorNext", kind: Kind::Cluster },
    FileSystem { magic: 0x1803_1977, name: "WekaFS", kind: Kind::Cluster },
    FileSystem { magic: 0x0102_1997, name: "9p", kind: Kind::Host },
    FileSystem { magic: 0x786f_4256, name: "vboxsf", kind: Kind::Host },
    FileSystem { magic: 0x7c7c_6673, name: "prl_fs", kind: Kind::Host },
    FileSystem { magic: 0xbacb_acbc, name: "vmhgfs", kind: Kind::Host },
    // virtiofs, GlusterFS, sshfs, s3fs, bindfs and the shares of Docker Desktop all say this.
    FileSystem { magic: 0x6573_5546, name: "FUSE", kind: Kind::UserSpace },
    FileSystem { magic: 0x794c_7630, name: "overlayfs", kind: Kind::Layers },
    FileSystem { magic: 0x6175_6673, name: "aufs", kind: Kind::Layers },
];

impl FileSystem {
    /// The file system that `statfs(2)` calls `magic`, when there is something special about it.
    pub(crate) fn of_magic(magic: u64) -> Option<&'static Self> {
        SPECIAL.iter().find(|it| it.magic == magic)
    }

    /// The one that a file, or the folder where it will be, lies on.
    fn of(path: &Path) -> Option<&'static Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let asked = rustix::fs::statfs(path).or_else(|_| rustix::fs::statfs(folder)).ok()?;
        Self::of_magic(u64::try_from(asked.f_type).ok()?)
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Network => "a network file system",
            Kind::Cluster => "a file system shared by several machines",
            Kind::Host => "a folder of the machine that runs this one",
            Kind::UserSpace => "a user-space file system, as virtiofs, GlusterFS and sshfs are",
            Kind::Layers => "layers of folders",
        };
        write!(f, "{}, {what}", self.name)
    }
}

/// Whether something is mounted on a file itself, as `subPath` and `-v c.yaml:…` do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounted {
    /// No: the file is an entry of its folder.
    Not,
    /// Yes, and the original still lies where it was mounted from.
    ByItself,
    /// Yes, and the original was deleted or replaced since: the mount shows a file that is gone.
    ButGone,
}

/// Where a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file system, when it is no local disk.
    pub file_system: Option<&'static FileSystem>,
    /// Whether the file is a mount of its own.
    pub mounted: Mounted,
}

/// What is mounted for this process, as `proc_pid_mountinfo(5)` has it.
pub struct Mounts(Vec<u8>);

impl Mounts {
    /// Asks the kernel.
    pub fn now() -> Self {
        Self(std::fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    /// Returns where a file lies as links resolve it, or where it will lie.
    pub fn place_of(&self, path: &Path) -> Place {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Place { file_system: FileSystem::of(&path), mounted: mounted(&self.0, &path) }
    }
}

impl Place {
    /// Returns where a file lies as links resolve it, or where it will lie.
    pub fn of(path: &Path) -> Self {
        Mounts::now().place_of(path)
    }

    /// Whether everybody who may have a database at this place open sees the same locks and the same `-wal`.
    pub fn suits_a_database(&self) -> bool {
        let shared = self.file_system.is_some_and(|it| it.kind != Kind::Layers);
        self.mounted == Mounted::Not && !shared
    }

    /// Whether an event tells of every change to the file, whoever makes it.
    pub fn tells_of_changes(&self) -> bool {
        self.mounted == Mounted::Not && self.file_system.is_none()
    }

    /// Whether the times of a file say that it changed. Elsewhere they may be cached, or be another machine's.
    pub fn times_can_be_trusted(&self) -> bool {
        self.file_system.is_none_or(|it| it.kind == Kind::Layers)
    }
}

/// Completes a sentence that begins with the file's name.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.mounted, self.file_system) {
            (Mounted::Not, None) => write!(f, "lies on a local disk"),
            (Mounted::Not, Some(system)) => write!(f, "lies on {system}"),
            (Mounted::ByItself | Mounted::ButGone, None) => write!(f, "is a mount of a single file"),
            (Mounted::ByItself | Mounted::ButGone, Some(system)) => {
                write!(f, "is a mount of a single file, on {system}")
            }
        }
    }
}

/// Looks for a mount on `path` itself. The device tells nothing: a bind mount has that of its original.
/// The format is that of `proc_pid_mountinfo(5)`: the fourth word is the original, the fifth the mount point.
fn mounted(mounts: &[u8], path: &Path) -> Mounted {
    // The folder of a file system's root is a mount, too; only a file that is one is mounted by itself.
    if path.is_dir() {
        return Mounted::Not;
    }
    let newest = mounts.split(|byte| *byte == b'\n').rev().find_map(|line| {
        let mut words = line.split(|byte| *byte == b' ').skip(3);
        let (original, point) = (words.next()?, words.next()?);
        (unescaped(point).as_os_str() == path.as_os_str()).then_some(original)
    });
    match newest {
        None => Mounted::Not,
        Some(original) if original.ends_with(b"//deleted") => Mounted::ButGone,
        Some(_) => Mounted::ByItself,
    }
}

/// The kernel writes a blank, tab, line feed, backslash or hash in a path as three octal digits.
fn unescaped(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(magic: u64) -> Place {
        Place { file_system: FileSystem::of_magic(magic), mounted: Mounted::Not }
    }

    #[test]
    fn shared_file_systems_are_no_place_for_a_database_and_tell_of_no_change() {
        let shared = [
            (0x00c3_6400, "CephFS"),
            (0x0bd0_0bd0, "Lustre"),
            (0x4750_4653, "GPFS"),
            (0x6573_5546, "FUSE"),
            (0x1983_0326, "BeeGFS"),
            (0x7461_636f, "OCFS2"),
            (0x0116_1970, "GFS2"),
            (0x5346_414f, "AFS"),
            (0x0102_1997, "9p"),
            (0x6969, "NFS"),
            (0xff53_4d42, "SMB (CIFS)"),
        ];
        for (magic, name) in shared {
            let place = on(magic);
            assert!(place.to_string().contains(name), "{place}");
            assert!(!place.suits_a_database(), "{place}");
            assert!(!place.tells_of_changes(), "{place}");
            assert!(!place.times_can_be_trusted(), "{place}");
        }
    }

    #[test]
    fn layers_hold_a_database_and_a_local_disk_everything() {
        let overlay = on(0x794c_7630);
        assert!(overlay.suits_a_database() && !overlay.tells_of_changes());
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994] {
            let place = on(local);
            assert!(place.suits_a_database() && place.tells_of_changes(), "{place}");
        }
    }

    #[test]
    fn every_file_system_has_a_number_of_its_own() {
        for (position, system) in SPECIAL.iter().enumerate() {
            assert!(SPECIAL[position + 1..].iter().all(|other| other.magic != system.magic), "{system}");
        }
    }

    #[test]
    fn a_mount_of_a_file_is_found_whatever_it_is_called() {
        let mounts = b"36 35 98:0 / / rw - ext4 /dev/a rw\n\
            37 36 98:0 /h/real.yaml /app/my\\040conf\\134x.yaml rw - ext4 /dev/a rw\n\
            38 36 98:0 /h/old.yaml//deleted /app/gone.yaml rw - ext4 /dev/a rw\n";
        assert_eq!(mounted(mounts, Path::new("/app/my conf\\x.yaml")), Mounted::ByItself);
        assert_eq!(mounted(mounts, Path::new("/app/gone.yaml")), Mounted::ButGone);
        assert_eq!(mounted(mounts, Path::new("/app/other.yaml")), Mounted::Not);
        assert_eq!(mounted(mounts, Path::new("/")), Mounted::Not);
    }
}
