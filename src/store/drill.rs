//! The restore drill: whether a backup could be restored, found out by doing all of it but the last step.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::backup_record::{self, BackupRecord, Found};
use super::error::Doing as _;
use super::schema::Present;
use super::{KeyRing, Store, StoreError, backup, open, read};
use crate::model::{Section, StoreSnapshot};

/// What the drill found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupCheck {
    /// The backup.
    pub path: PathBuf,
    /// Whether it can be restored.
    pub verdict: Verdict,
    /// What it says of itself; none when it has no record, or none that can be trusted.
    pub record: Option<BackupRecord>,
}

/// Whether a backup can be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "is", content = "why")]
pub enum Verdict {
    /// It can: intact, and every API key in it opens with the present key.
    Good,
    /// It can, because a retired key that opens it is at hand.
    GoodUnderRetiredKey,
    /// So many API keys in it open with no key at hand.
    NeedsKey(usize),
    /// It holds no configuration.
    Empty,
    /// It is not what was written.
    Damaged(String),
}

impl BackupCheck {
    /// Whether nothing is wrong with it: it can be restored, or is of the time before there was anything to restore.
    pub fn is_fine(&self) -> bool {
        self.verdict.is_good() || (self.verdict == Verdict::Empty && self.record.is_some())
    }
}

impl Verdict {
    /// Whether it can be restored with the keys at hand.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good | Self::GoodUnderRetiredKey)
    }
}

/// Opens a backup, checks every byte and every page, decrypts every API key, and compares with what it says of
/// itself. Nothing is written.
pub fn check_backup(path: &Path, keys: &KeyRing) -> BackupCheck {
    let found = backup_record::read(path);
    let record = match &found {
        Ok(Found::Intact(record)) => Some(record.clone()),
        _ => None,
    };
    let verdict = match found {
        Err(error) => Verdict::Damaged(error.to_string()),
        Ok(Found::Changed) => Verdict::Damaged("its bytes are not those that were written".into()),
        Ok(_) => {
            drill(path, keys, record.as_ref()).unwrap_or_else(|error| Verdict::Damaged(error.to_string()))
        }
    };
    BackupCheck { path: path.to_owned(), verdict, record }
}

fn drill(path: &Path, keys: &KeyRing, record: Option<&BackupRecord>) -> Result<Verdict, StoreError> {
    if std::fs::metadata(path).doing("look at the backup", path)?.len() == 0 {
        return Ok(Verdict::Damaged("it is an empty file".into()));
    }
    let copy = backup::open(path)?;
    let sound: String =
        copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).doing("check the backup", path)?;
    if let Some(why) = (sound != "ok").then_some(sound).or_else(|| backup::header_fault(path)) {
        return Ok(Verdict::Damaged(why));
    }
    let snapshot = read_copy(&copy, keys).doing("read the backup", path)?;
    let count = |section| snapshot.live.count(section);
    let held = (count(Section::Services), count(Section::RoutingRules), snapshot.tokens);
    Ok(if !snapshot.missing.tables.is_empty() || !snapshot.has_configuration() {
        Verdict::Empty
    } else if record.is_some_and(|it| (it.services, it.rules, it.tokens) != held) {
        Verdict::Damaged("it does not hold what its record says".into())
    } else if snapshot.undecryptable > 0 {
        Verdict::NeedsKey(snapshot.undecryptable)
    } else if snapshot.under_retired_key > 0 {
        Verdict::GoodUnderRetiredKey
    } else {
        Verdict::Good
    })
}

impl Store {
    /// Asks SQLite whether the database is sound, as a backup of it is asked before a write.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] or [`StoreError::Backup`] with SQLite's words when it is not: no write would be made then.
    pub fn check_soundness(&mut self) -> Result<(), StoreError> {
        let path = self.path().to_owned();
        let said: String = self.in_read_transaction(|conn, _, _| {
            conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        })?;
        if said != "ok" {
            return Err(StoreError::unsound(&path, said));
        }
        open::refuse_unwritable(self.connection()?, &path)
    }
}

/// Reads what a backup holds.
pub fn read_backup(path: &Path, keys: &KeyRing) -> Result<StoreSnapshot, StoreError> {
    read_copy(&backup::open(path)?, keys).doing("read the backup", path)
}

fn read_copy(copy: &Connection, keys: &KeyRing) -> rusqlite::Result<StoreSnapshot> {
    read::snapshot(copy, &Present::read(copy)?, keys)
}
