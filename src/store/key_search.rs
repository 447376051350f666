//! Which of the keys that can be reached opens what the present one does not.

use std::path::Path;

use fernet::Fernet;
use rusqlite::Connection;

use super::key::{self, KeyPlace, KeySources};
use super::schema::Present;
use super::{Store, StoreError};

/// A key that is not used, and opens API keys that the used one does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherKey {
    /// Where it was found.
    pub place: KeyPlace,
    /// How many of the stored API keys it opens.
    pub opens: usize,
}

impl Store {
    /// Tries every key that can be reached, see [`KeySources`], and every file beside the key file that is named after
    /// it. Returns the one that opens most API keys of this machine's services, when that are more than the present
    /// key opens. Nothing is written, and no key is used for anything else.
    pub fn other_key(&mut self, sources: &KeySources) -> Result<Option<OtherKey>, StoreError> {
        if !self.is_open() && !self.exists() {
            return Ok(None);
        }
        let folder = self.path().parent().unwrap_or(Path::new(".")).to_owned();
        let (tokens, by_present) = self.in_read_transaction(|conn, present, keys| {
            let tokens = tokens(conn, present)?;
            let by_present = tokens.iter().filter(|token| keys.opens_by_itself(token)).count();
            Ok((tokens, by_present))
        })?;
        let opened = |key: &Fernet| tokens.iter().filter(|token| key::opens(key, token)).count();
        let mut best: Option<OtherKey> = None;
        for (place, key) in key::reachable(sources, &folder) {
            let opens = opened(&key);
            if opens > best.as_ref().map_or(by_present, |best| best.opens) {
                best = Some(OtherKey { place, opens });
            }
        }
        Ok(best)
    }
}

fn tokens(conn: &Connection, present: &Present) -> rusqlite::Result<Vec<String>> {
    if !present.has_column("services", "api_key_encrypted") {
        return Ok(Vec::new());
    }
    let local = if present.has_column("services", "node_id") { "node_id IS NULL" } else { "1" };
    let sql = format!(
        "SELECT api_key_encrypted FROM services WHERE {local} AND typeof(api_key_encrypted) = 'text' AND api_key_encrypted <> ''"
    );
    conn.prepare(&sql)?.query_map([], |row| row.get(0))?.collect()
}
