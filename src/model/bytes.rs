//! Sizes as people write them.

use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

/// A size: `64MiB`, `2Gi`, `500MB`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// What a unit is worth; a `B` after it means nothing.
const UNITS: &[(&str, u64)] = &[
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("", 1),
];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim().trim_end_matches('B');
        let worth = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, worth)| *worth);
        let bytes =
            number.parse::<u64>().ok().zip(worth).and_then(|(number, worth)| number.checked_mul(worth));
        bytes.map(Self).ok_or_else(|| format!("`{text}` is not a size: write it as 64MiB, 2GiB or 500MB"))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Json::deserialize(deserializer)? {
            Json::String(text) => text,
            other => other.to_string(),
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": ["string", "integer"], "description": "A size: `64MiB`, `2GiB`, or a number of bytes."})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_it_is_written() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("2Gi", 2 << 30), ("500 MB", 500_000_000), ("12", 12), ("3k", 3_000)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GiB", "2 GiBs", "99999999999Gi"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
