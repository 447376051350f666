//! What a backup says of itself: a record behind the last page of the copied database, under one checksum with it.
//!
//! ```text
//! pages of the database | record, as JSON | oxide-operator-backup-1 LENGTH CHECKSUM
//! ```
//!
//! SQLite takes the number of pages from the header and never looks behind the last one, so any SQLite opens a backup
//! as it is, and a copy made through SQLite has no record. A byte that was changed anywhere is noticed, which SQLite's
//! own checks cannot promise: they find broken structure, not broken content. Being in the same file, the record
//! costs no sync of its own.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::StoreError;
use super::error::Doing as _;
use crate::model::Cause;

const MARK: &str = "oxide-operator-backup-1";
/// The mark, a space, 8 digits, a space, 32 digits, a line end.
const FOOTER_BYTES: u64 = MARK.len() as u64 + 1 + 8 + 1 + 32 + 1;

/// What a backup holds. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupRecord {
    /// The identity of the database; none before our first write to it, and in backups of 0.1.0.
    #[serde(default)]
    pub database: Option<String>,
    /// The name of the database's file; none in backups of 0.1.0.
    #[serde(default)]
    pub file: Option<String>,
    /// The newest revision in it; none for a database that was only ever the orchestrator's.
    pub revision: Option<i64>,
    /// Why it was taken.
    pub why: String,
    /// Whether somebody asked for it, so that it is never deleted to make room.
    #[serde(default)]
    pub cause: Cause,
    /// A fingerprint of the encryption key in use, from which the key cannot be told.
    pub key_fingerprint: Option<String>,
    /// The fingerprint of the managed rows.
    pub rows: String,
    /// Services of this machine.
    pub services: usize,
    /// Routing rules.
    pub rules: usize,
    /// Encrypted API keys.
    pub tokens: usize,
    /// The version of SQLite that copied it.
    pub sqlite: String,
    /// The version of this program.
    pub program: String,
}

/// What stands behind the pages of a backup.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Found {
    /// A record, and every byte of the file is as it was written.
    Intact(BackupRecord),
    /// A record whose checksum is not that of the file.
    Changed,
    /// No record: a backup of an older version, or somebody else's copy.
    Nothing,
}

/// Appends the record to a copy that nobody has open. The caller makes it durable.
pub(super) fn append(path: &Path, record: &BackupRecord) -> Result<(), StoreError> {
    let text = serde_json::to_string(record).unwrap_or_default();
    let appended = File::options().read(true).append(true).open(path).and_then(|mut file| {
        let mut hasher = Xxh3::new();
        std::io::copy(&mut file, &mut hasher)?;
        hasher.update(text.as_bytes());
        let footer = format!("{MARK} {:08} {:032x}\n", text.len(), hasher.digest128());
        debug_assert_eq!(footer.len() as u64, FOOTER_BYTES);
        file.write_all((text + &footer).as_bytes())
    });
    appended.doing("write the backup", path)
}

/// Reads the record and compares the checksum. Only the record is ever whole in memory.
pub(super) fn read(path: &Path) -> Result<Found, StoreError> {
    crate::small_file::open_itself(path).and_then(|mut file| find(&mut file)).doing("read the backup", path)
}

/// Reads the record alone, and believes it: for lists, where reading all of every backup would take too long.
pub(super) fn peek(path: &Path) -> Option<BackupRecord> {
    let mut file = crate::small_file::open_itself(path).ok()?;
    let Ok(Footer::Of { start, content, .. }) = footer(&mut file) else { return None };
    let length = usize::try_from(content - start).ok().filter(|length| *length <= MAX_RECORD_BYTES)?;
    serde_json::from_slice(text_at(&mut file, start).ok()?.get(..length)?).ok()
}

/// A longer record is none of ours, in bytes.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// What stands at the end of a file.
enum Footer {
    /// No mark of ours.
    Nothing,
    /// A mark of ours before what makes no sense.
    Senseless,
    /// Where the record starts and ends, and the checksum of everything before the footer.
    Of { start: u64, content: u64, checksum: u128 },
}

fn footer(file: &mut File) -> std::io::Result<Footer> {
    let Some(content) = file.metadata()?.len().checked_sub(FOOTER_BYTES) else { return Ok(Footer::Nothing) };
    let footer = text_at(file, content)?;
    let footer = std::str::from_utf8(&footer).ok().and_then(|text| text.strip_prefix(MARK));
    let Some((length, checksum)) = footer.and_then(|text| text.trim().split_once(' ')) else {
        return Ok(Footer::Nothing);
    };
    let start = length.parse().ok().and_then(|length: u64| content.checked_sub(length));
    Ok(match (start, u128::from_str_radix(checksum, 16)) {
        (Some(start), Ok(checksum)) => Footer::Of { start, content, checksum },
        _ => Footer::Senseless,
    })
}

fn find(file: &mut File) -> std::io::Result<Found> {
    let (start, content, checksum) = match footer(file)? {
        Footer::Nothing => return Ok(Found::Nothing),
        Footer::Senseless => return Ok(Found::Changed),
        Footer::Of { start, content, checksum } => (start, content, checksum),
    };
    let mut hasher = Xxh3::new();
    file.seek(SeekFrom::Start(0))?;
    std::io::copy(&mut file.take(content), &mut hasher)?;
    if hasher.digest128() != checksum {
        return Ok(Found::Changed);
    }
    let record = text_at(file, start)?;
    let record = &record[..record.len() - usize::try_from(FOOTER_BYTES).unwrap_or_default()];
    Ok(serde_json::from_slice(record).map_or(Found::Changed, Found::Intact))
}

/// The bytes from a place to the end of the file.
fn text_at(file: &mut File, start: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the record of a backup, when every byte of it is as it was written.
pub fn backup_record(path: &Path) -> Option<BackupRecord> {
    match read(path) {
        Ok(Found::Intact(record)) => Some(record),
        _ => None,
    }
}
