//! A disk that is really full, and one that is really read-only: nothing is lost, the message says what it is, and
//! the next apply does what the failed ones could not. Needs root for the mounts.

#![expect(clippy::disallowed_methods, reason = "it mounts and fills a disk")]

#[path = "support/process.rs"]
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use process::{Place, Said};

/// A file system of its own, gone with the value.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path, size: &str) -> Self {
        run_mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], folder);
        Self(folder.to_owned())
    }

    fn remount(&self, how: &str) {
        run_mount(&["-o", &format!("remount,{how}")], &self.0);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn run_mount(arguments: &[&str], folder: &Path) {
    let output = Command::new("mount").args(arguments).arg(folder).output().expect("mount is missing");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "mount {arguments:?} failed; this test needs root: {said}");
}

fn failure(said: &Said) -> serde_json::Value {
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    report["failure"].clone()
}

#[test]
fn a_full_disk_loses_nothing_and_is_got_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let _mount = Mount::new(folder.path(), "1m");
    let template = Place::edited();
    template.copy_into(folder.path());
    let place = Place::at(folder.path());
    let before = place.values();
    let mut reasons = Vec::new();
    // From no room at all, through room for the backup only, to room enough.
    for free in (0..).map(|step| step * 16 * 1024) {
        let filler = fill_but(place.root(), free);
        let run = place.run(&["apply", "-o", "json"]);
        fs::remove_file(filler).expect("removed");
        if run.code() == Some(0) {
            break;
        }
        assert_eq!(run.code(), Some(1), "{free} bytes free: {run:#?}");
        assert_eq!(failure(&run)["reason"], "disk_full", "{free} bytes free: {run:#?}");
        assert!(run.stderr.contains("help: free some space"), "{free} bytes free: {run:#?}");
        assert_eq!(place.values(), before, "{free} bytes free");
        let backups =
            place.files().into_iter().filter(|file| file.starts_with(place.oxide().join("backups")));
        assert_eq!(backups.count(), 0, "{free} bytes free: backups of failed passes pile up");
        assert_eq!(place.integrity(), "ok", "{free} bytes free");
        reasons.push(free);
    }
    assert!(reasons.len() > 3, "the disk was never full: {reasons:?}");
    assert_ne!(place.values(), before);
    place.expect(0, &["apply"]);
    assert_eq!(place.leftovers(), Vec::<PathBuf>::new());
}

/// Fills the disk but for `free` bytes.
fn fill_but(root: &Path, free: usize) -> PathBuf {
    let (filler, spare) = (root.join("filler"), root.join("spare"));
    fs::write(&spare, vec![0; free]).expect("room");
    let mut file = fs::File::create(&filler).expect("created");
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    fs::remove_file(spare).expect("removed");
    filler
}

#[test]
fn a_read_only_disk_is_named_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = Mount::new(folder.path(), "4m");
    Place::edited().copy_into(folder.path());
    let place = Place::at(folder.path());
    let before = place.values();
    mount.remount("ro");
    let run = place.run(&["apply", "-o", "json"]);
    assert_eq!(run.code(), Some(1), "{run:#?}");
    assert_eq!(failure(&run)["reason"], "read_only", "{run:#?}");
    assert!(run.stderr.contains("help: make the database and its folder writable"), "{run:#?}");
    mount.remount("rw");
    assert_eq!(place.values(), before);
    place.expect(0, &["apply"]);
    assert_ne!(place.values(), before);
}
