//! Files that are looked at instead of waited for: those of which no event tells, and secret files of which one did.
//!
//! A file counts as changed once two looks in a row found the same, and something else than before: a writer is not
//! caught half-way.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::hash::BuildHasher as _;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::agent::Agent;
use crate::model::SourceSnapshot;
use crate::place::Place;
use crate::settings;
use crate::small_file;
use crate::source::{self, Silent, SourceSpec};

/// At most so much of a file is read to tell whether it changed, in bytes: what a source may hold.
const MAX_BYTES: u64 = crate::desired::MAX_SOURCE_BYTES as u64;

/// What is looked at, and what was found there.
pub(super) struct Polled {
    spec: SourceSpec,
    secrets: BTreeSet<PathBuf>,
    /// Of which no event tells.
    silent: Vec<Silent>,
    source: Marks,
    secret: Marks,
    hasher: RandomState,
}

/// What two looks in a row have to agree on.
#[derive(Default)]
struct Marks {
    /// What the last look found.
    seen: Found,
    /// What was last passed on as a change.
    told: Option<Found>,
}

type Found = BTreeMap<PathBuf, Option<Mark>>;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// Its device, inode, size, and times: nobody can set `ctime` back.
    State(u64, u64, u64, (i64, i64), (i64, i64)),
    /// A number made from its content, where times cannot be trusted.
    Content(u64),
}

/// Whose files they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Secrets,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing changed since the last change was passed on.
    Same,
    /// Something is changing: look again soon.
    Changing,
    /// Something changed, and is quiet now.
    Changed,
}

impl Polled {
    pub(super) fn new(spec: &SourceSpec) -> Self {
        Self {
            spec: spec.clone(),
            secrets: BTreeSet::new(),
            silent: Vec::new(),
            source: Marks::default(),
            // Nothing was named yet, and nothing found.
            secret: Marks { told: Some(Found::new()), ..Marks::default() },
            hasher: RandomState::new(),
        }
    }

    /// Finds out which files tell nothing. Returns them when they are others than before.
    pub(super) fn choose(&mut self) -> Option<&[Silent]> {
        let silent = source::silent(&self.spec, &self.secrets);
        if silent == self.silent {
            return None;
        }
        self.silent = silent;
        Some(&self.silent)
    }

    /// Takes note of the secret files that the source names. Returns whether they are others than before.
    pub(super) fn name_secrets(&mut self, secrets: BTreeSet<PathBuf>) -> bool {
        let news = secrets != self.secrets;
        if news {
            self.secrets = secrets;
            self.secret.told = Some(self.found_secrets());
            self.secret.seen = self.secret.told.clone().unwrap_or_default();
        }
        news
    }

    /// Whether part of the source tells nothing.
    pub(super) fn has_source(&self) -> bool {
        self.count(Side::Source) > 0
    }

    /// How many files of a side tell nothing.
    fn count(&self, side: Side) -> usize {
        let wanted = |it: &&Silent| self.secrets.contains(&it.path) == (side == Side::Secrets);
        self.silent.iter().filter(wanted).count()
    }

    /// Between two looks; none where events tell of everything.
    fn every(&self, sees_secrets: bool) -> Option<Duration> {
        let slowest = self.silent.iter().map(Silent::looked_at_every).max();
        slowest.or((!sees_secrets).then_some(settings::POLL_SOURCE_EVERY))
    }

    /// Looks at the source's files.
    pub(super) fn look_at_source(&mut self) -> Look {
        let folder = self.spec.path().map(Path::to_owned);
        let files = source::files(&self.spec);
        let found = folder.into_iter().chain(files).map(|path| self.found(path)).collect();
        self.source.look(found)
    }

    /// Looks at the secret files.
    pub(super) fn look_at_secrets(&mut self) -> Look {
        let found = self.found_secrets();
        self.secret.look(found)
    }

    fn found_secrets(&self) -> Found {
        self.secrets.iter().map(|path| self.found(path.clone())).collect()
    }

    fn found(&self, path: PathBuf) -> (PathBuf, Option<Mark>) {
        let place = self.silent.iter().find(|it| it.path == path).map(|it| it.place);
        let mark = self.mark(&path, place);
        (path, mark)
    }

    fn mark(&self, path: &Path, place: Option<Place>) -> Option<Mark> {
        let state = std::fs::metadata(path).ok()?;
        if state.is_file() && place.is_some_and(|place| !place.times_can_be_trusted()) {
            // NFS asks the server for what is new only when a file is opened.
            let mut bytes = Vec::new();
            small_file::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
            return Some(Mark::Content(self.hasher.hash_one(&bytes)));
        }
        Some(Mark::of(&state))
    }
}

impl Agent {
    /// Takes note of the secret files that a source names, before they are read.
    pub(super) fn name_secrets(&mut self, source: &SourceSnapshot) {
        let files = self.options.source.secret_files(source);
        if self.polled.name_secrets(files.clone()) {
            self.watcher.name_secrets(files);
            self.arm_after_pass = true;
        }
    }

    /// Watches everything again, and finds out again what has to be looked at instead.
    pub(super) fn rearm(&mut self) {
        self.watcher.rearm();
        self.choose_polled();
    }

    /// Finds out which files no event tells of, and says so when they are others than before.
    pub(super) fn choose_polled(&mut self) {
        if let Some(silent) = self.polled.choose() {
            for it in silent {
                let seconds = it.looked_at_every().as_secs();
                tracing::info!("{it}: no event tells of its changes, so it is looked at every {seconds} s");
                if let Some(caution) = it.caution() {
                    tracing::warn!(path = %it.path.display(), "{caution}");
                }
            }
        }
        self.metrics.polled(self.polled.count(Side::Source), self.polled.count(Side::Secrets));
        // What changed before it was watched told nobody.
        self.schedule.files_at(Instant::now());
    }

    /// Looks at the files of which no event tells, and at secret files of which one did. Returns whether a pass is due.
    pub(super) fn look_at_files(&mut self) -> bool {
        let source = if self.polled.has_source() { self.polled.look_at_source() } else { Look::Same };
        let secrets = self.polled.look_at_secrets();
        let mut pass = source == Look::Changed && self.read_source(false);
        if secrets == Look::Changed && self.source.current.is_some() {
            self.source.known = None;
            // A link may lead elsewhere now, or a folder be there that was not.
            self.arm_after_pass = true;
            pass = true;
        }
        let soon = [source, secrets].contains(&Look::Changing).then_some(settings::SETTLE_UNHEARD);
        if let Some(wait) = soon.or(self.polled.every(self.watcher.sees_secrets())) {
            self.schedule.files_at(Instant::now() + wait);
        }
        pass
    }
}

impl Mark {
    fn of(state: &Metadata) -> Self {
        let (modified, changed) = ((state.mtime(), state.mtime_nsec()), (state.ctime(), state.ctime_nsec()));
        Self::State(state.dev(), state.ino(), state.len(), modified, changed)
    }
}

impl Marks {
    fn look(&mut self, found: Found) -> Look {
        let quiet = found == self.seen;
        self.seen = found;
        if !quiet {
            return Look::Changing;
        }
        if self.told.as_ref() == Some(&self.seen) {
            return Look::Same;
        }
        self.told = Some(self.seen.clone());
        Look::Changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polled(folder: &Path) -> Polled {
        let mut polled = Polled::new(&SourceSpec::File(folder.join("c.yaml")));
        polled.name_secrets(BTreeSet::from([folder.join("key")]));
        polled
    }

    #[test]
    fn a_secret_file_that_appears_changes_or_is_replaced_is_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut polled = polled(folder.path());
        assert_eq!(polled.look_at_secrets(), Look::Same, "it is not there, and was not");
        let (key, other) = (folder.path().join("key"), folder.path().join("other"));
        let appears = || std::fs::write(&key, "one");
        let changes = || std::fs::write(&key, "three");
        let is_replaced = || std::fs::write(&other, "two").and_then(|()| std::fs::rename(&other, &key));
        let is_removed = || std::fs::remove_file(&key);
        let steps: [&dyn Fn() -> std::io::Result<()>; 4] = [&appears, &changes, &is_replaced, &is_removed];
        for step in steps {
            step().expect("done");
            assert_eq!(polled.look_at_secrets(), Look::Changing);
            assert_eq!(polled.look_at_secrets(), Look::Changed);
            assert_eq!(polled.look_at_secrets(), Look::Same);
        }
    }

    #[test]
    fn without_a_secret_file_there_is_nothing_to_tell() {
        let mut polled = Polled::new(&SourceSpec::File("c.yaml".into()));
        assert_eq!(polled.look_at_secrets(), Look::Same);
    }

    #[test]
    fn where_times_say_nothing_the_content_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let polled = polled(folder.path());
        let key = folder.path().join("key");
        let untrusted =
            Place { file_system: crate::place::FileSystem::of_magic(0x6969), ..Place::of(folder.path()) };
        let mark = |text: &str| {
            std::fs::write(&key, text).expect("written");
            let old = std::time::SystemTime::UNIX_EPOCH;
            std::fs::File::options()
                .write(true)
                .open(&key)
                .and_then(|file| file.set_modified(old))
                .expect("set");
            polled.mark(&key, Some(untrusted)).expect("there")
        };
        assert!(matches!(mark("sk-1"), Mark::Content(_)));
        assert_eq!(mark("sk-1"), mark("sk-1"));
        assert_ne!(mark("sk-1"), mark("sk-2"));
    }
}
