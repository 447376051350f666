//! Files that change without an event: those have to be looked at by the clock.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{SourceSpec, file};
use crate::place::{Mounted, Mounts, Place};
use crate::settings;

/// A file or folder of which no event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// What is named in the settings or in the source.
    pub path: PathBuf,
    /// Where it lies.
    pub place: Place,
}

/// Returns what of a source and of the secret files that it names changes without an event. Each file counts for itself,
/// as links resolve it.
pub fn silent(spec: &SourceSpec, secrets: &BTreeSet<PathBuf>) -> Vec<Silent> {
    let folder = match spec {
        SourceSpec::Folder(path) => Some(path.clone()),
        SourceSpec::File(_) | SourceSpec::Object(_) => None,
    };
    let paths = folder.into_iter().chain(file::files(spec)).chain(secrets.iter().cloned());
    let mounts = Mounts::now();
    paths.filter_map(|path| Silent::at(path, &mounts)).collect()
}

impl Silent {
    fn at(path: PathBuf, mounts: &Mounts) -> Option<Self> {
        let place = mounts.place_of(&path);
        (!place.tells_of_changes()).then_some(Self { path, place })
    }

    /// Between two looks at it.
    pub fn looked_at_every(&self) -> Duration {
        if self.place.times_can_be_trusted() {
            settings::POLL_SOURCE_EVERY
        } else {
            settings::POLL_CONTENT_EVERY
        }
    }

    /// What never shows, or shows no longer, and what helps; none where looking is enough.
    pub fn caution(&self) -> Option<&'static str> {
        match self.place.mounted {
            Mounted::Not => None,
            Mounted::ByItself => Some(
                "A mount of a single file shows edits in place, and never a file that is renamed over the original, as editors, Git and `promote` do: mount its folder instead.",
            ),
            Mounted::ButGone => Some(
                "The original was deleted or replaced since, so that what is read here no longer changes: mount its folder instead, and restart what was mounted into.",
            ),
        }
    }
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.place)
    }
}
