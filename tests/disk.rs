//! A disk that is really full, and one that is really read-only: nothing is lost, the message says what it is, and
//! the next apply does what the failed ones could not. Needs root for the mounts.

#![expect(clippy::disallowed_methods, reason = "it mounts and fills a disk")]

#[path = "support/mount.rs"]
mod mount;
#[path = "support/process.rs"]
mod process;

use std::fs;
use std::path::PathBuf;

use mount::Mount;
use process::{Place, Said};

fn failure(said: &Said) -> serde_json::Value {
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    report["failure"].clone()
}

#[test]
fn a_full_disk_loses_nothing_and_is_got_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Mount::new(folder.path(), "1m");
    let template = Place::edited();
    template.copy_into(folder.path());
    let place = Place::at(folder.path());
    let before = place.values();
    let mut reasons = Vec::new();
    // From no room at all, through room for the backup only, to room enough.
    for free in (0..).map(|step| step * 16 * 1024) {
        let filler = disk.fill_but(free);
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
    assert!(run.stderr.contains("mounted read-only: mount it writable"), "{run:#?}");
    mount.remount("rw");
    assert_eq!(place.values(), before);
    place.expect(0, &["apply"]);
    assert_ne!(place.values(), before);
}

/// What cannot be said is not said; what was done stays done.
#[test]
fn a_stderr_that_cannot_be_written_ends_nothing() {
    let place = Place::edited();
    for (arguments, code) in
        [(&["plan"][..], 2), (&["apply"], 0), (&["set", "execution.max_retries", "9"], 0)]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("there");
        let ended = place.command(arguments).stderr(full).output().expect("runs").status;
        assert_eq!(ended.code(), Some(code), "{arguments:?}: {ended}");
    }
}
