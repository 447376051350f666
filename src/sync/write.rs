//! The protocol of every write: sealed, backed up, locked, written, read back, committed.

use std::time::SystemTime;

use crate::model::StoreFingerprint;
use crate::plan::Plan;
use crate::report::Written;
use crate::store::{Backup, Record, SourceCopy, Store, StoreError};

/// What to write, and with what to record it.
pub(super) struct Order<'a> {
    pub(super) plan: &'a Plan,
    pub(super) record: &'a Record,
    /// Goes with the backup.
    pub(super) source: SourceCopy<'a>,
    /// Whether the caller holds the write lock already.
    pub(super) locked: bool,
    pub(super) now: SystemTime,
}

/// Writes a plan; returns what was written, and what the rows are now.
///
/// # Guarantees
/// No write without a checked backup, unless the store holds nothing. On any error the caller rolls back, and the
/// store is as it was.
pub(super) fn write(store: &mut Store, order: &Order<'_>) -> Result<(Written, StoreFingerprint), StoreError> {
    let Order { plan, record, source, locked, now } = *order;
    let sealed = store.seal(plan)?;
    let changes = plan.changes_store();
    let saved = if changes { store.saved(plan.store) } else { None };
    let taken = if changes && saved.is_none() {
        store.back_up(plan.store, source, &record.reason, now)?
    } else {
        None
    };
    let backup = saved.as_ref().or(taken.as_ref());
    let mut commit = || {
        if !locked {
            store.begin()?;
        }
        let applied = store.apply(plan, &sealed, record, backup, now)?; // verified before it returns
        let verified = store.commit(&applied)?;
        Ok((applied, verified))
    };
    let (applied, verified) = commit().inspect_err(|error: &StoreError| {
        if let (Some(taken), true) = (&taken, error.wrote_nothing()) {
            taken.discard();
        }
    })?;
    // With a backup that was there already, whoever took it saw to the others.
    if changes && saved.is_none() {
        store.retain_backups(now);
    }
    Ok((written(plan, verified, applied.revision, backup, taken.as_ref()), applied.rows))
}

fn written(
    plan: &Plan,
    verified: usize,
    revision: Option<i64>,
    backup: Option<&Backup>,
    taken: Option<&Backup>,
) -> Written {
    let count = |op: &str| plan.steps.iter().filter(|step| step.op() == op).count();
    Written {
        created: count("create"),
        updated: count("update"),
        deleted: count("delete"),
        verified,
        revision,
        backup: backup.map(|backup| backup.path.display().to_string()),
        backup_bytes: taken.map(|backup| backup.bytes),
    }
}
