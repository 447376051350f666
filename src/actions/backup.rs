//! Backups as they are listed and named.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::SourceSnapshot;
use crate::store::{self, Backup, BackupRecord, SourceCopy, Store, StoreError};

/// How often a backup is begun anew because the rows moved meanwhile.
const MAX_ATTEMPTS: u32 = 5;

/// A backup as it is listed.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) taken_at: f64,
    pub(crate) bytes: u64,
    pub(crate) record: Option<BackupRecord>,
}

/// Returns a backup with what it says of itself.
pub(crate) fn listed(found: store::Listed) -> Listed {
    let store::Listed { backup, record } = found;
    let modified = std::fs::metadata(&backup.path).and_then(|metadata| metadata.modified()).ok();
    let taken_at = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Listed {
        name: name_of(&backup.path),
        record,
        taken_at: taken_at.as_secs_f64(),
        bytes: backup.bytes,
        path: backup.path,
    }
}

/// The name of a backup: its file's, without the ending.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether the key at hand opens what a backup holds, in words.
pub(crate) fn which_key(record: &BackupRecord, present: Option<&str>) -> &'static str {
    match &record.key_fingerprint {
        _ if record.tokens == 0 => "not needed",
        None => "unknown",
        Some(key) if Some(key.as_str()) == present => "present",
        Some(_) => "another",
    }
}

/// Finds a backup among those that are listed. A name is compared, never made a path of.
pub(crate) fn backup_called(store: &mut Store, name: &str) -> Option<Backup> {
    store.backups().into_iter().map(|listed| listed.backup).find(|backup| backup.name() == name)
}

/// Takes a backup now, with the source beside it; none when there is nothing to back up.
///
/// # Errors
/// [`StoreError::Stale`] when the database changed during each try, and whatever else keeps it from being copied.
pub(crate) fn back_up(
    store: &mut Store,
    source: Option<&SourceSnapshot>,
    reason: &str,
    now: SystemTime,
) -> Result<Option<Backup>, StoreError> {
    let nothing = SourceSnapshot { origin: "none".into(), documents: Vec::new() };
    for _ in 0..MAX_ATTEMPTS {
        let rows = store.fingerprint()?;
        // Whether plain keys stand in the source is not known without reading it; so its copy is encrypted if it can be.
        let copied = source.filter(|_| store.keys().has_key());
        let copy = SourceCopy { snapshot: copied.unwrap_or(&nothing), may_hold_secrets: true };
        match store.back_up_on_request(rows, copy, reason, now) {
            Err(StoreError::Stale) => {}
            taken => return taken,
        }
    }
    Err(StoreError::Stale)
}
