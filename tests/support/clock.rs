//! A wall clock that jumps, for one process.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The clock of whatever is started with it.
pub(crate) struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// Builds it into `folder`, which is to outlive it. Needs a C compiler, as the build itself does.
    pub(crate) fn new(folder: &Path) -> Self {
        let library = folder.join("clock.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clock.c");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        assert!(built.expect("cc runs").success(), "{source} does not build");
        let clock = Self { library, offset: folder.join("clock-offset") };
        clock.jump_to(0);
        clock
    }

    /// Puts it so many seconds before or after the true time.
    pub(crate) fn jump_to(&self, seconds: i64) {
        let next = self.offset.with_extension("next");
        std::fs::write(&next, seconds.to_string()).expect("written");
        std::fs::rename(next, &self.offset).expect("renamed");
    }

    /// Lets a program that is not started yet read it.
    pub(crate) fn of(&self, program: &mut Command) {
        program.env("LD_PRELOAD", &self.library).env("CLOCK_OFFSET", &self.offset);
    }
}
