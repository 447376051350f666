//! The sample, in a source and in a database, in a folder that is gone with it; and the time that reading takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oxide_operator::model::{Finding, Policy, SourceSnapshot};
use oxide_operator::report::SyncReport;
use oxide_operator::source::Secrets;
use oxide_operator::store::{Access, KeySources, Store};
use oxide_operator::sync::{Input, Pass, sync_once};

/// The sample that comes with the project: six services, nine rules.
pub(crate) const SAMPLE: &str = include_str!("../../config/default.yaml");

pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// The sample as a source; no database yet.
    pub(crate) fn of_sample() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let world = Self { folder: folder.expect("a folder") };
        fs::write(world.file("default.yaml"), SAMPLE).expect("it is written");
        world
    }

    /// The sample, in the source and in the database.
    pub(crate) fn migrated() -> Self {
        let world = Self::of_sample();
        let report = world.pass(&Pass::apply(&Policy::default(), "fuzz", "fuzz"));
        assert!(report.failure.is_none() && report.written.is_some(), "{}", report.summary);
        world
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn store(&self, access: Access) -> Store {
        Store::at(&self.file("config.db"), access, &KeySources::default()).expect("a store")
    }

    /// One pass of the sample over whatever the database is now.
    pub(crate) fn pass(&self, pass: &Pass<'_>) -> SyncReport {
        let source = SourceSnapshot::of("file:default.yaml", "default.yaml", SAMPLE);
        let secrets = Secrets::new(self.folder());
        let input = Input { source: &source, known: None, secrets: &secrets };
        sync_once(&input, &mut self.store(Access::Write), pass).report
    }
}

/// How long this thread has been at work: waiting for other programs does not count.
pub(crate) fn at_work() -> Duration {
    let counted = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = counted.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// Does something with an input of so many bytes, and panics when that takes time out of proportion.
pub(crate) fn in_proportion<T>(bytes: usize, what: &str, work: impl FnOnce() -> T) -> T {
    /// Of builds without optimisation; a release is some twenty times as fast.
    const A_BYTE: Duration = Duration::from_micros(20);
    const AT_LEAST: Duration = Duration::from_millis(500);
    let before = at_work();
    let done = work();
    let took = at_work().saturating_sub(before);
    let limit = AT_LEAST + A_BYTE * u32::try_from(bytes).unwrap_or(u32::MAX);
    assert!(took < limit, "{what}: {bytes} bytes took {took:?}");
    done
}

/// A finding is shown whole, and points into the text that it is about.
pub(crate) fn check_finding(finding: &Finding, text: &str) {
    let shown = finding.to_string();
    assert!(!shown.contains(|char: char| char.is_control() && char != '\n'), "{shown:?}");
    let Some(at) = &finding.location else { return };
    let line = at.line.checked_sub(1).and_then(|line| text.split('\n').nth(line));
    let line = line.unwrap_or_else(|| panic!("there is no such line: {finding:?}"));
    assert!((1..=line.chars().count() + 1).contains(&at.column), "there is no such column: {finding:?}");
    assert!((1..=at.column).contains(&at.shown_from), "{finding:?}");
    assert!(at.text.chars().count() <= 400, "a snippet is short: {finding:?}");
}
