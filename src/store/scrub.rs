//! Plain API keys out of the snapshots that the orchestrator made of itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use rusqlite::Connection;
use serde_json::Value as Json;

use super::error::Doing as _;
use super::{Store, StoreError};

/// What a scrub found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Snapshots of the orchestrator's own.
    pub snapshots: usize,
    /// How many of them hold, or held, plain keys.
    pub with_keys: usize,
    /// How many cannot be read, so that nobody can tell.
    pub unreadable: usize,
}

impl Store {
    /// Takes plain API keys out of the orchestrator's own snapshots; with `dry_run` only counts them. Revisions of ours
    /// never hold any.
    ///
    /// # Errors
    /// A database that cannot be written; nothing was then.
    pub fn scrub_history(&mut self, dry_run: bool) -> Result<Scrubbed, StoreError> {
        let path = self.path().to_owned();
        if dry_run {
            return self.in_read_transaction(|conn, present, _| {
                let known = present.has_table("config_history");
                if known {
                    scrub(conn, present.has_table("operator_revision"), false)
                } else {
                    Ok(Scrubbed::default())
                }
            });
        }
        self.begin()?;
        let present = self.present()?;
        let ours = present.has_table("operator_revision");
        let done = self.connection().and_then(|conn| {
            if !present.has_table("config_history") {
                return Ok(Scrubbed::default());
            }
            // Freed pages would keep the text.
            conn.query_row("PRAGMA secure_delete=ON", [], |_| Ok(())).doing("scrub", &path)?;
            let done = scrub(conn, ours, true).doing("scrub", &path)?;
            conn.execute_batch("COMMIT").doing(super::error::COMMIT, &path)?;
            // Neither does it stay in the log.
            let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            Ok(done)
        });
        self.rollback();
        done
    }
}

fn scrub(conn: &Connection, ours: bool, write: bool) -> rusqlite::Result<Scrubbed> {
    let not_ours = if ours { "WHERE id NOT IN (SELECT history_id FROM operator_revision)" } else { "" };
    let mut done = Scrubbed::default();
    let mut clean: Vec<(i64, String)> = Vec::new();
    let mut query = conn.prepare(&format!("SELECT id, config_snapshot FROM config_history {not_ours}"))?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        done.snapshots += 1;
        // The column takes any type: one row of another kind must not keep the keys of the others.
        let text = row.get_ref(1)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
        let Ok(mut snapshot) = serde_json::from_slice::<Json>(text) else {
            done.unreadable += 1;
            continue;
        };
        if take_keys(&mut snapshot) {
            done.with_keys += 1;
            clean.push((row.get(0)?, snapshot.to_string()));
        }
    }
    for (id, text) in clean.iter().filter(|_| write) {
        conn.execute("UPDATE config_history SET config_snapshot = ?2 WHERE id = ?1", (id, text))?;
    }
    Ok(done)
}

/// Takes every plain key out, at any depth and of any form; returns whether there was one. Tokens stay: they open only
/// with the key.
fn take_keys(json: &mut Json) -> bool {
    match json {
        Json::Object(entries) => {
            let mut found = false;
            for (name, value) in entries {
                let is_key = name == "api_key" || name == "apiKey";
                if is_key && is_plain(value) {
                    *value = Json::Null;
                    found = true;
                } else {
                    found |= take_keys(value);
                }
            }
            found
        }
        Json::Array(items) => items.iter_mut().fold(false, |found, item| take_keys(item) | found),
        _ => false,
    }
}

/// Whether a value may hold a key that anybody can read.
fn is_plain(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::String(text) => !text.is_empty() && !is_token(text),
        _ => true,
    }
}

/// Whether a text has the form of a Fernet token: a version byte, a time, an IV and a MAC around whole blocks.
/// Source: <https://github.com/fernet/spec/blob/master/Spec.md>.
fn is_token(text: &str) -> bool {
    const AROUND_BLOCKS: usize = 1 + 8 + 16 + 32;
    let bytes = URL_SAFE.decode(text).unwrap_or_default();
    bytes.first() == Some(&0x80)
        && bytes.len() > AROUND_BLOCKS
        && (bytes.len() - AROUND_BLOCKS).is_multiple_of(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    #[test]
    fn every_form_of_a_plain_key_is_taken_and_a_token_stays() {
        for plain in
            [json!("sk-1"), json!("gAAAA-but-no-token"), json!(["sk-1"]), json!({"key": "sk-1"}), json!(12)]
        {
            let mut snapshot = json!({"services": {"a": {"api_key": plain}}});
            assert!(take_keys(&mut snapshot), "{plain}");
            assert_eq!(snapshot["services"]["a"]["api_key"], Json::Null);
        }
        for harmless in [json!(null), json!(""), json!(TOKEN)] {
            let mut snapshot = json!({"services": {"a": {"api_key": harmless}}});
            assert!(!take_keys(&mut snapshot), "{harmless}");
        }
    }

    #[test]
    fn a_row_of_another_type_keeps_no_other_row_from_being_cleaned() {
        let conn = Connection::open_in_memory().expect("opens");
        let clean = r#"{"services": {"a": {"api_key": "sk-1"}}}"#;
        conn.execute_batch(
            "CREATE TABLE config_history (id INTEGER PRIMARY KEY, config_snapshot TEXT NOT NULL)",
        )
        .expect("made");
        conn.execute("INSERT INTO config_history VALUES (1, x'ff00'), (2, ?1), (3, 5)", [clean])
            .expect("filled");
        let done = scrub(&conn, false, true).expect("scrubbed");
        assert_eq!((done.snapshots, done.with_keys, done.unreadable), (3, 1, 1));
        let text: String = conn
            .query_row("SELECT config_snapshot FROM config_history WHERE id = 2", [], |row| row.get(0))
            .expect("there");
        assert!(!text.contains("sk-1"), "{text}");
    }
}
