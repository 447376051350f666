//! Plain API keys out of the snapshots that the orchestrator made of itself.

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
            conn.execute_batch("COMMIT").doing("commit", &path)?;
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
        let text: String = row.get(1)?;
        let Ok(mut snapshot) = serde_json::from_str::<Json>(&text) else {
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

/// Takes every plain key out, at any depth; returns whether there was one. Tokens stay: they open only with the key.
fn take_keys(json: &mut Json) -> bool {
    match json {
        Json::Object(entries) => {
            let mut found = false;
            for (name, value) in entries {
                let is_key = name == "api_key" || name == "apiKey";
                let plain = value.as_str().is_some_and(|text| !text.is_empty() && !text.starts_with("gAAAA"));
                if is_key && plain {
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
