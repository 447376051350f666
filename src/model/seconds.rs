//! Spans of time as people write them.

use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

/// A span of time: `30s`, `5m`, `1h 30m`, or a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(pub f64);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.parse::<f64>().ok();
        let span = || text.parse::<jiff::SignedDuration>().ok().map(|span| span.as_secs_f64());
        let seconds = plain.or_else(span).filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        seconds.map(Self).ok_or_else(|| format!("`{text}` is not a span of time: write it as 30s, 5m or 1h"))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", self.0))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Json::deserialize(deserializer)? {
            Json::String(text) => text,
            other => other.to_string(),
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Seconds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Seconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": ["string", "number"], "description": "A span of time: `30s`, `5m`, or a number of seconds."})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_as_it_is_written() {
        for (text, seconds) in [("30s", 30.0), ("5m", 300.0), ("1h 30m", 5400.0), ("2", 2.0), ("1.5", 1.5)] {
            assert_eq!(text.parse(), Ok(Seconds(seconds)), "{text}");
        }
        assert!("soon".parse::<Seconds>().is_err() && "-1s".parse::<Seconds>().is_err());
        assert_eq!(serde_json::to_string(&Seconds(30.0)).ok().as_deref(), Some("\"30s\""));
    }
}
