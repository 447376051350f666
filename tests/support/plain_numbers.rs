//! Numbers as Helm writes them.

use serde_json::{Value as Json, json};

/// Helm writes 0.0 as 0.
pub(crate) fn with_plain_numbers(value: &Json) -> Json {
    match value {
        Json::Number(number) => json!(number.as_f64()),
        Json::Array(all) => all.iter().map(with_plain_numbers).collect(),
        Json::Object(all) => {
            all.iter().map(|(name, value)| (name.clone(), with_plain_numbers(value))).collect()
        }
        other => other.clone(),
    }
}
