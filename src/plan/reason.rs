//! Why a difference stays, in the words that plan, log and page use.

use serde::{Serialize, Serializer};

/// Why a difference stays.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// Edited in the database; policy `onDrift: keep`.
    DriftKept,
    /// Deleted in the database; policy `onDrift: keep`.
    DeletionKept,
    /// Both sides moved; policy `onConflict: hold`.
    ConflictHeld,
    /// Differed when we met; policy `onConflict: hold`.
    AdoptionHeld,
    /// Both sides moved; policy `onConflict: database`.
    DatabaseWins,
    /// The source no longer declares it; policy `prune: never`.
    PruneNever,
    /// It is no longer in the source, of which a file holds nothing: it may only be missing.
    SourceIncomplete,
    /// The source no longer declares it, and somebody edited it.
    RemovedButEdited,
    /// More deletions than a pass may make without confirmation.
    PruneGuard {
        /// How many objects the source no longer declares.
        wanted: usize,
        /// How many a pass may delete.
        allowed: usize,
    },
    /// A rule that stays still names it.
    StillNamed(Box<str>),
    /// The source does not mention the field.
    NotDeclared,
    /// The source never declared the object.
    NotOurs,
    /// A side cannot be read, and why.
    Unreadable(&'static str),
    /// Somebody accepted the database's value.
    Accepted {
        /// Who.
        by: String,
        /// Why.
        why: String,
        /// Until when, in seconds since the epoch.
        until: Option<f64>,
    },
    /// Somebody paused writes.
    Paused {
        /// Who.
        by: String,
        /// Why.
        why: String,
        /// Until when, in seconds since the epoch.
        until: Option<f64>,
    },
    /// A restore rejected what the source says; the argument names it.
    Pinned(String),
    /// It is answered once it is quiet for so long.
    Grace {
        /// How long, in seconds.
        seconds: f64,
    },
    /// It was reverted too often; the next time waits.
    BackOff {
        /// How long, in seconds.
        seconds: f64,
    },
    /// It was reverted again and again, and is held now.
    Fighting,
    /// It goes into the source; policy `onDrift: promote`.
    ToPromote,
}

/// A time as people read it, in UTC: the plan is the same wherever it is shown.
fn time(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch")]
    let at = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn until(until: Option<f64>) -> String {
    until.map(|at| format!(" until {}", time(at))).unwrap_or_default()
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DriftKept => f.write_str("edited in the database; kept (onDrift: keep)"),
            Self::DeletionKept => f.write_str("deleted in the database; stays deleted (onDrift: keep)"),
            Self::ConflictHeld => {
                f.write_str("edited on both sides; held until you choose (onConflict: hold)")
            }
            Self::AdoptionHeld => {
                f.write_str("differed when this store was first met; held until you choose")
            }
            Self::DatabaseWins => {
                f.write_str("edited on both sides; the database wins (onConflict: database)")
            }
            Self::SourceIncomplete => f.write_str(
                "not in the source, of which a file holds nothing: it may only be missing, and stays",
            ),
            Self::PruneNever => f.write_str("no longer in the source; stays (prune: never)"),
            Self::RemovedButEdited => {
                f.write_str("no longer in the source, but edited in the database; held")
            }
            Self::PruneGuard { wanted, allowed } => write!(
                f,
                "{wanted} deletions are more than the {allowed} allowed at once; confirm with --confirm-prune {wanted}"
            ),
            Self::StillNamed(rule) => write!(f, "still named by routing rule {rule}"),
            Self::NotDeclared => f.write_str("set in the database, not mentioned in the source"),
            Self::NotOurs => f.write_str("added in the database; never declared by the source"),
            Self::Unreadable(why) => f.write_str(why),
            Self::Accepted { by, why, until: at } => write!(f, "accepted by {by}{}: {why}", until(*at)),
            Self::Paused { by, why, until: at } => write!(f, "waits: paused by {by}{}: {why}", until(*at)),
            Self::Pinned(what) => write!(f, "stays out until the source changes, since: {what}"),
            Self::Grace { seconds } => {
                write!(f, "edited in the database; answered once it is quiet for {seconds} s")
            }
            Self::BackOff { seconds } => {
                write!(f, "edited again after each revert; the next revert waits {seconds} s")
            }
            Self::Fighting => f.write_str("Fighting: edited again after every revert; held until it rests"),
            Self::ToPromote => f.write_str("edited in the database; goes into the source (onDrift: promote)"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
