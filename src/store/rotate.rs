//! Rotation: every API key under a new encryption key, or none. See `docs/decisions/0009-rotation.md` for the order.
//!
//! ```text
//! key.next written ─▶ tokens rewritten and read back ─▶ COMMIT ─▶ key.next becomes the key
//!        killed: key.next is retired                      killed: the next start finishes it
//! ```
//!
//! A COMMIT that fails decides nothing: its frames may stand in the log, and a recovery of that brings the rows back.
//! What a killed rotation left is decided by the tokens alone: one that only the new key opens can only have been
//! committed. No key is ever deleted; one that is not needed is retired, and retired keys are still read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::Connection;

use super::error::{COMMIT, Doing as _};
use super::key::{self, KeyRing};
use super::key_text::KeyText;
use super::{Backup, SourceCopy, Store, StoreError, carried, crash, files, good_source, stamp};
use crate::model::{
    SecretText, Section, SourceSnapshot, StoreFingerprint, Value, canonical_json, parse_canonical,
};

/// How often a rotation starts over because the rows moved meanwhile.
const MAX_ATTEMPTS: usize = 8;

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// Tokens that were encrypted again.
    pub tokens: usize,
    /// Where the old key is kept: backups and history still need it.
    pub retired: PathBuf,
    /// The backup that was taken before.
    pub backup: Option<Backup>,
}

/// What was done about a rotation that a killed process left unfinished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// Tokens were under the new key already: it is the key now, and every token that opens is under it.
    Finished,
    /// No token was under the new key: the old one stays, and the new one is retired.
    Undone,
    /// What lay in the new key's place is no key, so that no token can be under it: it lies here now.
    NoKey(PathBuf),
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
        let key_file = self.key_file_itself();
        if !self.keys.is_in_file() {
            return Err(StoreError::KeyElsewhere { origin: self.keys.origin() });
        }
        if std::fs::metadata(&key_file).is_ok_and(|it| std::os::unix::fs::MetadataExt::nlink(&it) > 1) {
            return Err(StoreError::KeyLinked { path: key_file });
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
        self.retain_backups(now);
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
        let source = SourceCopy { snapshot: &nothing, may_hold_secrets: false };
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
        let retired = retired_file(key_file, now);
        let old = key::read_key_file(key_file)?;
        key::write_key_file(&retired, &old.ok_or_else(|| StoreError::NoKey { path: key_file.to_owned() })?)?;
        let next_key = next_file(key_file);
        // Never over one that a killed rotation left: tokens may stand under it.
        key::write_key_file(&next_key, new)?;
        // The orchestrator may be another user: whoever could read the key is to read the new one.
        files::like(&next_key, key_file)?;
        crash::point("next_key_written");
        let written = self.rewrite_and_restate(next);
        let tokens = written.inspect_err(|_| forget(key_file, &retired))?;
        // From here on no key is deleted, whatever the answer: a commit that failed may come back from the log.
        self.commit_tokens()?;
        Ok((tokens, retired))
    }

    fn rewrite_and_restate(&mut self, next: &KeyRing) -> Result<usize, StoreError> {
        let (path, old) = (self.path().to_owned(), Arc::clone(&self.keys));
        let conn = self.connection()?;
        let rewritten = rewrite(conn, &path, next)?;
        if let Some(id) = rewritten.unreadable {
            return Err(StoreError::UnreadableToken { id });
        }
        restate_base(conn, &rewritten.plain, &old, next).doing("rotate", &path)?;
        good_source::reseal(conn, &old, next).doing("rotate", &path)?;
        carried::reseal(conn, &path, &old, next)?;
        Ok(rewritten.plain.len())
    }

    fn commit_tokens(&mut self) -> Result<(), StoreError> {
        let path = self.path().to_owned();
        crash::point("rotation_written");
        self.connection()?.execute_batch("COMMIT").doing(COMMIT, &path)?;
        self.note_unlocked();
        Ok(())
    }

    /// The key file, or what it links to: a link stays one, and whoever reads its target reads the new key.
    fn key_file_itself(&self) -> PathBuf {
        let named = self.keys.file();
        std::fs::canonicalize(named).unwrap_or_else(|_| named.to_owned())
    }

    /// Whether a rotation was not finished; what is wrong with its key, where that is none.
    pub fn unfinished_rotation(&self) -> Option<Result<PathBuf, StoreError>> {
        let next = next_file(&self.key_file_itself());
        lies_there(&next).then(|| unfinished_key(&next).map(|_| next))
    }

    /// Finishes or undoes a rotation that a killed process left; `None` when there is none.
    ///
    /// # Errors
    /// The store cannot be written. What is there stays as it is.
    pub fn finish_rotation(&mut self, now: SystemTime) -> Result<Option<Resumed>, StoreError> {
        let key_file = self.key_file_itself();
        if !lies_there(&next_file(&key_file)) || !self.exists() {
            return Ok(None);
        }
        // Under the write lock: a rotation that is under way holds it until its rows are committed.
        self.begin()?;
        let resumed = self.resume(&key_file, now);
        self.rollback();
        if resumed.as_ref().is_ok_and(Option::is_some) {
            self.keys = Arc::new(self.keys.reread()?);
        }
        resumed
    }

    fn resume(&mut self, key_file: &Path, now: SystemTime) -> Result<Option<Resumed>, StoreError> {
        let next = next_file(key_file);
        if !lies_there(&next) {
            return Ok(None);
        }
        let text = match unfinished_key(&next) {
            Err(StoreError::BadKey { .. }) => {
                let aside = key_file.with_file_name(format!("{}.{}.damaged", name_of(key_file), stamp(now)));
                std::fs::rename(&next, &aside).doing("set aside", &next)?;
                files::sync_folder(files::folder_of(key_file))?;
                return Ok(Some(Resumed::NoKey(aside)));
            }
            read => read?,
        };
        let (path, ring) = (self.path().to_owned(), self.keys.under(&text)?);
        let tokens = tokens(self.connection()?).doing("read", &path)?;
        if !tokens.iter().any(|(_, token)| ring.opens_by_itself(token)) {
            std::fs::rename(&next, retired_file(key_file, now)).doing("retire", &next)?;
            files::sync_folder(files::folder_of(key_file))?;
            return Ok(Some(Resumed::Undone));
        }
        // The orchestrator may have written under the old key since. What is agreed was restated by the first commit.
        if !rewrite(self.connection()?, &path, &ring)?.plain.is_empty() {
            self.commit_tokens()?;
        }
        put_in_place(key_file)?;
        Ok(Some(Resumed::Finished))
    }
}

/// What was put under the present key of a ring.
struct Rewritten {
    /// The API keys, by the service's id.
    plain: BTreeMap<String, SecretText>,
    /// The service of the first token that no available key opens; it is as it was.
    unreadable: Option<String>,
}

/// Encrypts every token that is not under the ring's present key again, and reads it back.
fn rewrite(conn: &Connection, path: &Path, ring: &KeyRing) -> Result<Rewritten, StoreError> {
    let mut rewritten = Rewritten { plain: BTreeMap::new(), unreadable: None };
    for (id, token) in tokens(conn).doing("read", path)? {
        match ring.open_token(&token) {
            Some(_) if ring.opens_by_itself(&token) => {}
            Some(secret) => drop(rewritten.plain.insert(id, secret)),
            None => drop(rewritten.unreadable.get_or_insert(id)),
        }
    }
    let sql = "UPDATE services SET api_key_encrypted = ?2 WHERE id = ?1";
    let mut put = conn.prepare(sql).doing("rotate", path)?;
    for (id, secret) in &rewritten.plain {
        put.execute((id, ring.seal(secret)?)).doing("rotate", path)?;
    }
    let read_back: BTreeMap<String, String> = tokens(conn).doing("read back", path)?.into_iter().collect();
    for (id, secret) in &rewritten.plain {
        let token = read_back.get(id).filter(|token| ring.opens_by_itself(token));
        let opened = token.and_then(|token| ring.open_token(token));
        if opened.is_none_or(|opened| opened.expose() != secret.expose()) {
            return Err(StoreError::TokenReadBack { id: id.clone() });
        }
    }
    Ok(rewritten)
}

/// A key that the two sides did not agree on cannot be restated: its text is not known. It gets a fingerprint that
/// nothing has, so that the difference stays one, held until somebody chooses.
fn restate_base(
    conn: &Connection,
    plain: &BTreeMap<String, SecretText>,
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

/// No commit was tried by this process, which holds the lock: neither the new key nor the copy of the old one is needed.
fn forget(key_file: &Path, retired: &Path) {
    let _ = std::fs::remove_file(next_file(key_file));
    let _ = std::fs::remove_file(retired);
}

/// The key of a rotation that was not finished.
///
/// # Errors
/// [`StoreError::BadKey`] for what is no key.
fn unfinished_key(next: &Path) -> Result<KeyText, StoreError> {
    let origin = next.display().to_string();
    // A link that leads nowhere is not there, and lies in the way all the same.
    let text = key::read_key_file(next)?
        .ok_or_else(|| StoreError::BadKey { origin: origin.clone(), why: "it leads nowhere" })?;
    key::parse(&text, &origin)?;
    Ok(text)
}

/// Whether anything has this name, be it a link that leads nowhere.
fn lies_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

fn next_file(key_file: &Path) -> PathBuf {
    key_file.with_file_name(format!("{}.next", name_of(key_file)))
}

/// Where a key goes that is only for reading from now on.
fn retired_file(key_file: &Path, now: SystemTime) -> PathBuf {
    key_file.with_file_name(format!("{}.{}.retired", name_of(key_file), stamp(now)))
}

fn name_of(key_file: &Path) -> String {
    key_file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
