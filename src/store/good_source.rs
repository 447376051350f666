//! The source as it was when it was last good: what comes back when another program has written over it.
//!
//! It is kept encrypted wherever there is a key, since it may hold secrets that nobody named so.

use rusqlite::Connection;

use super::key::KeyRing;
use super::schema::Present;
use super::{Store, StoreError};
use crate::model::{GoodSource, SecretText, SourceDigest, SourceDocument, SourceSnapshot};

/// Larger sources are not kept, in bytes: writing them anew with each of their edits would cost more than the edit.
const MAX_KEPT: usize = 1 << 20;

/// A source ready to be kept.
#[derive(Clone, Debug)]
pub struct KeptSource {
    origin: String,
    known: GoodSource,
    /// Names and texts; the texts are tokens where `sealed`.
    documents: Vec<(String, String)>,
    sealed: bool,
}

impl KeptSource {
    /// Prepares a source; none when it is too large, or may hold secrets while there is no key to encrypt it with.
    ///
    /// # Errors
    /// A key that cannot encrypt.
    pub fn of(
        source: &SourceSnapshot,
        known: GoodSource,
        keys: &KeyRing,
        may_hold_secrets: fn(&SourceSnapshot) -> bool,
    ) -> Result<Option<Self>, StoreError> {
        let size: usize = source.documents.iter().map(|document| document.bytes.len()).sum();
        let sealed = keys.has_key();
        let exposes = || known.plaintext_secrets > 0 || may_hold_secrets(source);
        if size > MAX_KEPT || (!sealed && exposes()) {
            return Ok(None);
        }
        let mut documents = Vec::new();
        for document in &source.documents {
            let Ok(text) = std::str::from_utf8(&document.bytes) else { return Ok(None) };
            let kept = if sealed { keys.seal(&SecretText::new(text))? } else { text.to_owned() };
            documents.push((document.name.clone(), kept));
        }
        Ok(Some(Self { origin: source.origin.clone(), known, documents, sealed }))
    }
}

impl Store {
    /// Returns the source as it was when it was last good; none when it is not kept, or no key at hand opens it.
    ///
    /// # Errors
    /// A database that cannot be read.
    pub fn good_source(&mut self) -> Result<Option<SourceSnapshot>, StoreError> {
        if !self.is_open() && !self.exists() {
            return Ok(None);
        }
        self.in_read_transaction(|conn, present, keys| {
            present.has_table("operator_source").then(|| all(conn, keys)).transpose().map(Option::flatten)
        })
    }

    /// Takes a source for good, and writes nothing else.
    ///
    /// # Errors
    /// A database that cannot be written.
    pub fn keep_source(&mut self, kept: &KeptSource) -> Result<(), StoreError> {
        self.record_alone(|conn| write(conn, kept))
    }
}

/// Writes a source into the open transaction, in the place of the one before.
pub(super) fn write(conn: &Connection, kept: &KeptSource) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM operator_source")?.execute([])?;
    let mut put =
        conn.prepare_cached("INSERT INTO operator_source VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for (position, (name, text)) in kept.documents.iter().enumerate() {
        let GoodSource { digest, comments, plaintext_secrets } = &kept.known;
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let plaintext = i64::try_from(*plaintext_secrets).unwrap_or(i64::MAX);
        put.execute((position, &kept.origin, &digest.0, name, text, kept.sealed, comments, plaintext))?;
    }
    Ok(())
}

/// Encrypts the kept source under another key; one that no key at hand opens is forgotten.
pub(super) fn reseal(conn: &Connection, old: &KeyRing, next: &KeyRing) -> rusqlite::Result<()> {
    if !Present::read(conn)?.has_table("operator_source") {
        return Ok(());
    }
    let mut query = conn.prepare("SELECT position, content FROM operator_source WHERE sealed")?;
    let kept: Vec<(i64, String)> =
        query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    for (position, content) in kept {
        let sealed = old.open_token(&content).and_then(|plain| next.seal(&plain).ok());
        if let Some(sealed) = sealed {
            conn.execute("UPDATE operator_source SET content = ?2 WHERE position = ?1", (position, sealed))?;
        } else {
            conn.execute("DELETE FROM operator_source", [])?;
        }
    }
    Ok(())
}

/// Returns what is known of the source that was last good.
pub(super) fn known(conn: &Connection, present: &Present) -> rusqlite::Result<Option<GoodSource>> {
    if !present.has_table("operator_source") {
        return Ok(None);
    }
    let sql = "SELECT digest, comments, plaintext_secrets FROM operator_source LIMIT 1";
    let mut query = conn.prepare_cached(sql)?;
    let mut found = query.query_map([], |row| {
        let plaintext_secrets = usize::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
        Ok(GoodSource { digest: SourceDigest(row.get(0)?), comments: row.get(1)?, plaintext_secrets })
    })?;
    found.next().transpose()
}

fn all(conn: &Connection, keys: &KeyRing) -> rusqlite::Result<Option<SourceSnapshot>> {
    let mut query =
        conn.prepare_cached("SELECT origin, name, content, sealed FROM operator_source ORDER BY position")?;
    let mut rows = query.query([])?;
    let mut source = SourceSnapshot { origin: String::new(), documents: Vec::new() };
    while let Some(row) = rows.next()? {
        source.origin = row.get(0)?;
        let text: String = row.get(2)?;
        let text = if row.get(3)? {
            let Some(plain) = keys.open_token(&text) else { return Ok(None) };
            plain.expose().to_owned()
        } else {
            text
        };
        source.documents.push(SourceDocument { name: row.get(1)?, bytes: text.into_bytes() });
    }
    Ok((!source.documents.is_empty()).then_some(source))
}
