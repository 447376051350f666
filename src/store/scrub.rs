//! Plain API keys out of the snapshots that the orchestrator made of itself, and out of what older versions of ours kept.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use rusqlite::Connection;
use serde_json::Value as Json;

use super::error::Doing as _;
use super::key::KeyRing;
use super::schema::Present;
use super::{Store, StoreError, carried, read};
use crate::model::Carried;

/// What a scrub found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Snapshots of the orchestrator's own.
    pub snapshots: usize,
    /// How many of them hold, or held, plain keys.
    pub with_keys: usize,
    /// How many cannot be read, so that nobody can tell.
    pub unreadable: usize,
    /// Records of ours from before carried sections were encrypted that hold, or held, a secret.
    pub carried: usize,
}

impl Scrubbed {
    /// Whether there was anything to take out.
    pub fn found_any(&self) -> bool {
        self.with_keys + self.carried > 0
    }
}

/// What a text shows once everything that may be a secret is replaced by dots.
pub type Mask<'a> = &'a dyn Fn(&str) -> String;

impl Store {
    /// Takes plain API keys out of the orchestrator's own snapshots, and encrypts what older versions of ours kept of carried
    /// sections; with `dry_run` only counts them. Other revisions of ours never hold any.
    ///
    /// # Errors
    /// A database that cannot be written; nothing was then.
    pub fn scrub_history(&mut self, dry_run: bool, mask: Mask<'_>) -> Result<Scrubbed, StoreError> {
        let path = self.path().to_owned();
        let found = self.in_read_transaction(|conn, present, _| find(conn, present, mask))?;
        if dry_run || !found.0.found_any() {
            return Ok(found.0);
        }
        let live = self.read()?;
        self.keys().ensure_fits(&live)?;
        if found.0.carried > 0 {
            self.ensure_key(&live)?;
        }
        self.begin()?;
        let (present, keys) = (self.present()?, std::sync::Arc::clone(self.keys()));
        let done = self.connection().and_then(|conn| {
            // Freed pages would keep the text.
            conn.query_row("PRAGMA secure_delete=ON", [], |_| Ok(())).doing("scrub", &path)?;
            let (done, clean) = find(conn, &present, mask).doing("scrub", &path)?;
            clean.write(conn, &keys, &path)?;
            conn.execute_batch("COMMIT").doing(super::error::COMMIT, &path)?;
            // Neither does it stay in the log.
            let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            Ok(done)
        });
        self.rollback();
        done
    }
}

/// What is written in the place of what was found.
#[derive(Debug, Default)]
struct Clean {
    /// Snapshots by their row.
    snapshots: Vec<(i64, String)>,
    /// Descriptions by their row.
    descriptions: Vec<(i64, String)>,
    /// Carried sections by their revision; those of now have none.
    carried: Vec<(Option<i64>, Carried)>,
}

impl Clean {
    fn write(&self, conn: &Connection, keys: &KeyRing, path: &Path) -> Result<(), StoreError> {
        let put = |sql: &str, (row, text): &(i64, String)| {
            conn.execute(sql, (row, text)).doing("scrub", path).map(drop)
        };
        for it in &self.snapshots {
            put("UPDATE config_history SET config_snapshot = ?2 WHERE id = ?1", it)?;
        }
        for it in &self.descriptions {
            put("UPDATE config_history SET change_description = ?2 WHERE id = ?1", it)?;
        }
        for (revision, carried) in &self.carried {
            let text = carried::to_text(carried, keys)?;
            let done =
                match revision {
                    Some(number) => conn
                        .execute("UPDATE operator_revision SET carried = ?2 WHERE id = ?1", (number, text)),
                    None => conn
                        .execute("UPDATE operator_meta SET value = ?2 WHERE key = ?1", (read::CARRIED, text)),
                };
            done.doing("scrub", path)?;
        }
        Ok(())
    }
}

fn find(conn: &Connection, present: &Present, mask: Mask<'_>) -> rusqlite::Result<(Scrubbed, Clean)> {
    let (mut done, mut clean) = (Scrubbed::default(), Clean::default());
    let ours = present.has_table("operator_revision");
    if present.has_table("config_history") {
        find_snapshots(conn, ours, mask, &mut done, &mut clean)?;
    }
    if ours {
        let mut query = conn.prepare("SELECT id, carried FROM operator_revision")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(1).unwrap_or_default();
            clean.carried.extend(carried::with_secrets(&text, mask).map(|it| (row.get(0).ok(), it)));
        }
    }
    if let Some(text) = read::meta::<String>(conn, read::CARRIED)? {
        clean.carried.extend(carried::with_secrets(&text, mask).map(|it| (None, it)));
    }
    done.carried = clean.carried.len();
    Ok((done, clean))
}

fn find_snapshots(
    conn: &Connection,
    ours: bool,
    mask: Mask<'_>,
    done: &mut Scrubbed,
    clean: &mut Clean,
) -> rusqlite::Result<()> {
    let not_ours = if ours { "WHERE id NOT IN (SELECT history_id FROM operator_revision)" } else { "" };
    let sql = format!("SELECT id, config_snapshot, change_description FROM config_history {not_ours}");
    let mut query = conn.prepare(&sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        done.snapshots += 1;
        let id: i64 = row.get(0)?;
        let description: String = row.get(2).unwrap_or_default();
        let masked = mask(&description);
        let described = masked != description;
        if described {
            clean.descriptions.push((id, masked));
        }
        // The column takes any type: one row of another kind must not keep the keys of the others.
        let text = row.get_ref(1)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
        let mut held = false;
        match serde_json::from_slice::<Json>(text) {
            Ok(mut snapshot) => {
                held = take_keys(&mut snapshot);
                if held {
                    clean.snapshots.push((id, snapshot.to_string()));
                }
            }
            Err(_) if text.trim_ascii().is_empty() => {}
            Err(_) => done.unreadable += 1,
        }
        done.with_keys += usize::from(held || described);
    }
    Ok(())
}

/// Takes every plain key out, at any depth and of any form; returns whether there was one. Tokens stay: they open only
/// with the key.
fn take_keys(json: &mut Json) -> bool {
    match json {
        Json::Object(entries) => {
            let mut found = false;
            for (name, value) in entries {
                if is_secret(name) && is_plain(value) {
                    *value = Json::Null;
                    found = true;
                } else {
                    found |= take_keys(value);
                }
            }
            found
        }
        Json::Array(items) => items.iter_mut().fold(false, |found, item| take_keys(item) | found),
        // A snapshot within a text.
        Json::String(text) if text.trim_start().starts_with(['{', '[', '"']) => {
            let Ok(mut inner) = serde_json::from_str::<Json>(text) else { return false };
            let found = take_keys(&mut inner);
            if found {
                *text = inner.to_string();
            }
            found
        }
        _ => false,
    }
}

/// Whether a name is that of a secret, however it is written: `api_key`, `API_KEY`, `apiKey`, `openai-api-key`.
fn is_secret(name: &str) -> bool {
    const SECRETS: &[&str] =
        &["password", "passwd", "secret", "token", "accesstoken", "clientsecret", "privatekey"];
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    // `apiKeyFrom` says where a key is found, and not what it is.
    plain.contains("apikey") && !plain.ends_with("from") || SECRETS.contains(&&*plain)
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
        for name in ["api_key", "API_KEY", "apiKey", "openai-api-key", "password", "token"] {
            let mut snapshot =
                json!({"services": {"a": {name: "sk-1", "max_context_tokens": 8, "monkey": "sk-2"}}});
            assert!(take_keys(&mut snapshot), "{name}");
            let left = json!({name: null, "max_context_tokens": 8, "monkey": "sk-2"});
            assert_eq!(snapshot["services"]["a"], left);
        }
        let inner = json!({"services": {"a": {"api_key": "sk-1"}}}).to_string();
        for text in [json!(inner), json!({"config": inner}), json!(json!(inner).to_string())] {
            let mut snapshot = text.clone();
            assert!(take_keys(&mut snapshot) && !snapshot.to_string().contains("sk-1"), "{text}");
            assert!(!take_keys(&mut snapshot), "once");
        }
        let mut elsewhere = json!({"services": {"a": {"apiKeyFrom": {"env": "THE_KEY"}}}});
        assert!(!take_keys(&mut elsewhere), "a reference is none");
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
            "CREATE TABLE config_history (id INTEGER PRIMARY KEY, config_snapshot TEXT NOT NULL, change_description TEXT)",
        )
        .expect("made");
        conn.execute(
            "INSERT INTO config_history VALUES (1, x'ff00', x'ff'), (2, ?1, NULL), (3, 5, '')",
            [clean],
        )
        .expect("filled");
        let present = Present::read(&conn).expect("read");
        let keys =
            KeyRing::find(&crate::store::KeySources::default(), Path::new("/nonexistent")).expect("none");
        let (done, clean) = find(&conn, &present, &str::to_owned).expect("found");
        clean.write(&conn, &keys, Path::new("-")).expect("written");
        assert_eq!((done.snapshots, done.with_keys, done.unreadable), (3, 1, 1));
        let text: String = conn
            .query_row("SELECT config_snapshot FROM config_history WHERE id = 2", [], |row| row.get(0))
            .expect("there");
        assert!(!text.contains("sk-1"), "{text}");
    }
}
