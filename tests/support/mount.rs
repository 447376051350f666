//! File systems of their own, which can be full, read-only or gone. Needs root.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An empty file system, gone with the value.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn new(folder: &Path, size: &str) -> Self {
        run_mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], folder);
        Self(folder.to_owned())
    }

    pub(crate) fn remount(&self, how: &str) {
        run_mount(&["-o", &format!("remount,{how}")], &self.0);
    }

    /// Fills it but for `free` bytes; returns the file to remove.
    pub(crate) fn fill_but(&self, free: usize) -> PathBuf {
        let (filler, spare) = (self.0.join("filler"), self.0.join("spare"));
        fs::write(&spare, vec![0; free]).expect("room");
        let mut file = fs::File::create(&filler).expect("created");
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
        fs::remove_file(spare).expect("removed");
        filler
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
