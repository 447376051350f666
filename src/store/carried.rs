//! Carried sections as they lie in the database: those that hold a secret are encrypted.

use serde::{Deserialize, Serialize};

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;
use super::error::Doing as _;
use super::key::KeyRing;
use super::read::{self, CARRIED};
use crate::model::{Carried, CarriedSection, SecretText};

/// A section in the database: `yaml`, or `sealed` and `masked`.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    yaml: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    masked: Option<String>,
}

/// Returns the text that is kept.
///
/// # Errors
/// [`StoreError::NoKey`] when a section holds a secret and there is no key.
pub(super) fn to_text(carried: &Carried, keys: &KeyRing) -> Result<String, StoreError> {
    let stored = carried.0.iter().map(|section| {
        let CarriedSection { name, yaml, masked } = section.clone();
        Ok(match masked {
            None => Stored { name, yaml: Some(yaml), sealed: None, masked: None },
            Some(masked) => {
                let sealed = keys.seal(&SecretText::new(yaml))?;
                Stored { name, yaml: None, sealed: Some(sealed), masked: Some(masked) }
            }
        })
    });
    let stored: Vec<Stored> = stored.collect::<Result<_, StoreError>>()?;
    Ok(serde_json::to_string(&stored).unwrap_or_default())
}

/// Reads what is kept. Of a section that no key at hand opens only the masked text is known.
pub(super) fn from_text(text: &str, keys: &KeyRing) -> Carried {
    let stored: Vec<Stored> = serde_json::from_str(text).unwrap_or_default();
    let section = |it: Stored| {
        let opened = it.sealed.and_then(|token| keys.open_token(&token));
        let yaml = it.yaml.or_else(|| opened.map(|text| text.expose().to_owned())).unwrap_or_default();
        CarriedSection { name: it.name, yaml, masked: it.masked }
    };
    Carried(stored.into_iter().map(section).collect())
}

/// What an older version kept in the clear, with what is to be shown of it, when a section of it holds a secret.
pub(super) fn with_secrets(text: &str, mask: super::scrub::Mask<'_>) -> Option<Carried> {
    let stored: Vec<Stored> = serde_json::from_str(text).unwrap_or_default();
    // What is sealed is of a version that seals every section that needs it.
    if stored.iter().any(|section| section.sealed.is_some()) {
        return None;
    }
    let section = |it: Stored| {
        let yaml = it.yaml.unwrap_or_default();
        let masked = Some(mask(&yaml)).filter(|masked| *masked != yaml);
        CarriedSection { name: it.name, yaml, masked }
    };
    let sections: Vec<CarriedSection> = stored.into_iter().map(section).collect();
    sections.iter().any(|section| section.masked.is_some()).then_some(Carried(sections))
}

/// Encrypts the sections under another key. Those of earlier revisions stay under the key of their time, which is kept.
pub(super) fn reseal(
    conn: &Connection,
    path: &Path,
    old: &KeyRing,
    next: &KeyRing,
) -> Result<(), StoreError> {
    let Some(text) = read::meta::<String>(conn, CARRIED).doing("rotate", path)? else { return Ok(()) };
    let mut stored: Vec<Stored> = serde_json::from_str(&text).unwrap_or_default();
    for section in &mut stored {
        if let Some(plain) = section.sealed.as_ref().and_then(|token| old.open_token(token)) {
            section.sealed = Some(next.seal(&plain)?);
        }
    }
    let text = serde_json::to_string(&stored).unwrap_or_default();
    let sql = "UPDATE operator_meta SET value = ?2 WHERE key = ?1";
    conn.execute(sql, (CARRIED, text)).doing("rotate", path).map(drop)
}
