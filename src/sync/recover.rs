//! A damaged database: set aside, and the newest good backup in its place.

use std::time::SystemTime;

use super::{Mode, Pass};
use crate::report::SyncReport;
use crate::store::{Examined, Store, StoreError};

/// Whether an error calls for a look at the database: SQLite cannot make sense of it, and the pass may write.
pub(super) fn may_recover(pass: &Pass<'_>, report: &SyncReport, store: &Store, error: &StoreError) -> bool {
    pass.mode == Mode::Apply && report.quarantined.is_none() && error.is_corruption_of(store.path())
}

/// Examines the database, and replaces one that is damaged. A sound one was put there meanwhile: the pass starts over.
///
/// # Errors
/// Why the database cannot be judged, or must not be replaced now.
pub(super) fn recover(
    store: &mut Store,
    now: SystemTime,
    report: &mut SyncReport,
) -> Result<Examined, StoreError> {
    let examined = store.examine()?;
    if examined == Examined::Damaged {
        let done = store.quarantine(now)?;
        let restored = match &done.restored {
            Some(backup) => format!("the backup {} was restored", backup.display()),
            None => "there is no good backup, so it is built again from the source".to_owned(),
        };
        report.quarantined =
            Some(format!("the damaged files are kept in {}; {restored}", done.kept_in.display()));
    }
    Ok(examined)
}
