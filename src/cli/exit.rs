//! Exit codes, in one place.

use crate::report::{Outcome, SyncReport};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// In sync, or done.
    Ok = 0,
    /// Something failed.
    Error = 1,
    /// Source and database differ.
    Differences = 2,
    /// Some values could not be compared.
    Incomplete = 3,
    /// The saved plan no longer fits.
    Stale = 4,
    /// A conflict waits for a choice.
    ConflictHeld = 5,
    /// The source, or the result, is not valid.
    Invalid = 6,
    /// A guard refused: too many deletions at once, a pause, a pin, a source that another program rewrote, a database that
    /// is gone.
    Guarded = 7,
    /// The command line makes no sense.
    Usage = 64,
}

impl From<&SyncReport> for Exit {
    fn from(report: &SyncReport) -> Self {
        match report.outcome {
            Outcome::InSync | Outcome::Applied => Self::Ok,
            Outcome::Differences => Self::Differences,
            Outcome::ConflictHeld => Self::ConflictHeld,
            Outcome::Incomplete => Self::Incomplete,
            Outcome::Guarded | Outcome::SourceClobbered | Outcome::StoreMissing => Self::Guarded,
            Outcome::Invalid => Self::Invalid,
            Outcome::Stale => Self::Stale,
            Outcome::SourceUnavailable | Outcome::Failed => Self::Error,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
