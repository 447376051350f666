//! Rotation: every API key under a new encryption key, or none. See `docs/decisions/0009-rotation.md` for the order.
//!
//! ```text
//! key.next written ─▶ tokens rewritten and read back ─▶ COMMIT ─▶ key.next becomes the key
//!        killed: key.next is removed                      killed: the next start does the last step
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::Connection;

use super::error::Doing as _;
use super::key::{self, KeyRing, KeyText};
use super::{Backup, Retention, SourceCopy, Store, StoreError, crash, files, good_source, stamp};
use crate::model::{
    SecretText, Section, SourceSnapshot, StoreFingerprint, Value, canonical_json, parse_canonical,
};

/// How often a rotation starts over because the rows moved meanwhile.
const MAX_ATTEMPTS: usize = 8;

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// Tokens that were encrypted anew.
    pub tokens: usize,
    /// Where the old key is kept: backups and history still need it.
    pub retired: PathBuf,
    /// The backup that was taken before.
    pub backup: Option<Backup>,
}

/// What was done about a rotation that a killed process left unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// The rows were under the new key already: it is the key now.
    Finished,
    /// Nothing had been written: the new key was removed.
    Undone,
}

impl Store {
    /// Encrypts every API key under a new encryption key, which takes the place of the key file. `origin` says where
    /// the new one comes from.
    ///
    /// # Errors
    /// The key is not in a file, the new one is none, or some token does not open. Nothing is changed then.
    ///
    /// # Guarantees
    /// Of the orchestrator's rows only the tokens change. The old key is kept beside the new one. A process that is
    /// killed at any point leaves what [`finish_rotation`](Self::finish_rotation) finishes or undoes.
    pub fn rotate(&mut self, new: &KeyText, origin: &str, now: SystemTime) -> Result<Rotated, StoreError> {
        let key_file = self.keys.file().to_owned();
        if !self.keys.is_in_file() {
            return Err(StoreError::KeyElsewhere { origin: self.keys.origin() });
        }
        let (_, new) = key::parse(new, origin)?;
        let next = Arc::new(self.keys.under(&new)?);
        let mut attempt = 0;
        let (tokens, retired, backup) = loop {
            attempt += 1;
            let tried = self.attempt_rotation(&key_file, &new, &next, now);
            match tried {
                Err(StoreError::Stale) if attempt < MAX_ATTEMPTS => self.rollback(),
                Err(error) => {
                    self.rollback();
                    return Err(error);
                }
                Ok(done) => break done,
            }
        };
        crash::point("rotation_committed");
        put_in_place(&key_file)?;
        crash::point("key_replaced");
        self.keys = next;
        self.retain_backups(Retention::default(), now);
        Ok(Rotated { tokens, retired, backup })
    }

    fn attempt_rotation(
        &mut self,
        key_file: &Path,
        new: &KeyText,
        next: &KeyRing,
        now: SystemTime,
    ) -> Result<(usize, PathBuf, Option<Backup>), StoreError> {
        let live = self.read()?;
        if live.undecryptable > 0 {
            return Err(StoreError::WrongKey { tokens: live.tokens, key: self.keys.origin() });
        }
        let nothing = SourceSnapshot { origin: "key rotate".into(), documents: Vec::new() };
        let source = SourceCopy { snapshot: &nothing, holds_plain_secrets: false };
        let backup = self.back_up(live.fingerprint, source, "key rotate", now)?;
        let committed = self.commit_rotation(live.fingerprint, key_file, new, next, now);
        let (tokens, retired) = committed.inspect_err(|error| {
            if let (Some(backup), true) = (&backup, error.wrote_nothing()) {
                backup.discard();
            }
        })?;
        Ok((tokens, retired, backup))
    }

    /// Under the write lock: both keys kept as files, every token rewritten, committed.
    fn commit_rotation(
        &mut self,
        expected: StoreFingerprint,
        key_file: &Path,
        new: &KeyText,
        next: &KeyRing,
        now: SystemTime,
    ) -> Result<(usize, PathBuf), StoreError> {
        self.begin()?;
        if self.fingerprint()? != expected {
            return Err(StoreError::Stale);
        }
        let retired = key_file.with_file_name(format!("{}.{}.retired", name_of(key_file), stamp(now)));
        let old = key::read_key_file(key_file)?;
        key::write_key_file(&retired, &old.ok_or_else(|| StoreError::NoKey { path: key_file.to_owned() })?)?;
        let next_key = next_file(key_file);
        files::write_private(&next_key, new.as_bytes())?;
        // The orchestrator may be another user: whoever could read the key is to read the new one.
        files::like(&next_key, key_file)?;
        crash::point("next_key_written");
        let (path, keys) = (self.path().to_owned(), Arc::clone(&self.keys));
        let conn = self.connection()?;
        let written = rewrite(conn, &keys, next).doing("rotate", &path);
        let tokens = written.inspect_err(|_| forget(key_file, &retired))?;
        crash::point("rotation_written");
        conn.execute_batch("COMMIT").doing("commit", &path).inspect_err(|_| forget(key_file, &retired))?;
        self.note_unlocked();
        Ok((tokens, retired))
    }

    /// Finishes or undoes a rotation that a killed process left; `None` when there is none.
    ///
    /// # Errors
    /// The store cannot be written. What is there stays as it is.
    pub fn finish_rotation(&mut self) -> Result<Option<Resumed>, StoreError> {
        let key_file = self.keys.file().to_owned();
        let next = next_file(&key_file);
        if !next.exists() || !self.exists() {
            return Ok(None);
        }
        // Under the write lock: a rotation that is under way holds it until its rows are committed.
        self.begin()?;
        let resumed = self.resume(&key_file, &next);
        self.rollback();
        if resumed.as_ref().is_ok_and(|resumed| *resumed == Some(Resumed::Finished)) {
            self.keys = Arc::new(self.keys.reread()?);
        }
        resumed
    }

    fn resume(&mut self, key_file: &Path, next: &Path) -> Result<Option<Resumed>, StoreError> {
        let Some(text) = key::read_key_file(next)? else { return Ok(None) };
        let (path, ring) = (self.path().to_owned(), self.keys.under(&text)?);
        let tokens = tokens(self.connection()?).doing("read", &path)?;
        if !tokens.is_empty() && tokens.iter().all(|(_, token)| ring.opens_by_itself(token)) {
            put_in_place(key_file)?;
            return Ok(Some(Resumed::Finished));
        }
        std::fs::remove_file(next).doing("remove", next)?;
        Ok(Some(Resumed::Undone))
    }
}

/// Encrypts every token anew, reads it back, and restates what is agreed: fingerprints are made under the key, too.
fn rewrite(conn: &Connection, old: &KeyRing, next: &KeyRing) -> rusqlite::Result<usize> {
    let plain: HashMap<String, SecretText> = tokens(conn)?
        .into_iter()
        .map(|(id, token)| Some((id, old.open_token(&token)?)))
        .collect::<Option<_>>()
        .ok_or(rusqlite::Error::InvalidQuery)?;
    let mut put = conn.prepare("UPDATE services SET api_key_encrypted = ?2 WHERE id = ?1")?;
    for (id, secret) in &plain {
        let token =
            next.seal(secret).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        put.execute((id, token))?;
    }
    let read_back = tokens(conn)?;
    let faithful = read_back.len() == plain.len()
        && read_back.iter().all(|(id, token)| {
            next.opens_by_itself(token)
                && next.open_token(token).map(|it| it.expose().to_owned()).as_deref()
                    == plain.get(id).map(SecretText::expose)
        });
    if !faithful {
        return Err(rusqlite::Error::InvalidQuery);
    }
    restate_base(conn, &plain, old, next)?;
    good_source::reseal(conn, old, next)?;
    Ok(read_back.len())
}

/// A key that the two sides did not agree on cannot be restated: its text is not known. It gets a fingerprint that
/// nothing has, so that the difference stays one, held until somebody chooses.
fn restate_base(
    conn: &Connection,
    plain: &HashMap<String, SecretText>,
    old: &KeyRing,
    next: &KeyRing,
) -> rusqlite::Result<()> {
    if !super::schema::Present::read(conn)?.has_table("operator_base") {
        return Ok(());
    }
    let section = Section::Services;
    let mut query = conn.prepare("SELECT id, agreed FROM operator_base WHERE section = ?1")?;
    let records: Vec<(String, String)> = query
        .query_map([section.name()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut put = conn.prepare("UPDATE operator_base SET agreed = ?3 WHERE section = ?1 AND id = ?2")?;
    let Some(field) = section.field("api_key") else { return Ok(()) };
    for (id, agreed) in records {
        let Some(mut object) = parse_canonical(section, &agreed) else { continue };
        let Some(Value::Secret(secret)) = object.get(field) else { continue };
        let live = plain.get(&id).map(SecretText::expose);
        let agreed_on = live.filter(|live| old.fingerprinter().fingerprint(live) == secret.fingerprint);
        let text =
            agreed_on.map_or_else(|| format!("rotated away: {}", secret.fingerprint.to_hex()), str::to_owned);
        let mut restated = secret.clone();
        restated.fingerprint = next.fingerprinter().fingerprint(&text);
        object.set(field, Value::Secret(restated));
        put.execute((section.name(), &id, canonical_json(section, &object)))?;
    }
    Ok(())
}

/// Every token, those of other machines' services included.
fn tokens(conn: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let sql = "SELECT id, api_key_encrypted FROM services WHERE coalesce(api_key_encrypted, '') <> ''";
    let mut query = conn.prepare(sql)?;
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn put_in_place(key_file: &Path) -> Result<(), StoreError> {
    let next = next_file(key_file);
    match std::fs::rename(&next, key_file) {
        // Whoever started meanwhile has finished it for us.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        renamed => renamed.doing("put the new key at", key_file)?,
    }
    files::sync_folder(files::folder_of(key_file))
}

/// Nothing was committed: neither the new key nor the copy of the old one is needed.
fn forget(key_file: &Path, retired: &Path) {
    let _ = std::fs::remove_file(next_file(key_file));
    let _ = std::fs::remove_file(retired);
}

fn next_file(key_file: &Path) -> PathBuf {
    key_file.with_file_name(format!("{}.next", name_of(key_file)))
}

fn name_of(key_file: &Path) -> String {
    key_file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
