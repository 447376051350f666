//! Columns to values and back, in the orchestrator's own encodings.
//!
//! Source: `add_service` and `_service_row_to_dict` in the orchestrator's `config_storage_sqlite.py`: lists are
//! `json.dumps`, booleans 0 and 1, NULL and `[]` mean the same.

use std::fmt::Write as _;

use rusqlite::types::{ToSqlOutput, ValueRef};

use super::key::KeyRing;
use crate::model::{FieldDefault, FieldSpec, Kind, Secret, Value};

/// What reading tokens found out about the keys.
#[derive(Debug, Default)]
pub(super) struct TokenTally {
    pub(super) tokens: usize,
    pub(super) undecryptable: usize,
    /// Of those, what is no token at all: no key made it.
    pub(super) damaged: usize,
    pub(super) under_retired_key: usize,
}

/// Reads a column. Total: what makes no sense becomes [`Value::Unreadable`].
pub(super) fn decode(spec: &FieldSpec, raw: ValueRef<'_>, keys: &KeyRing, tally: &mut TokenTally) -> Value {
    match (spec.kind, raw) {
        // The orchestrator reads a NULL here as False.
        (Kind::Flag, ValueRef::Null) if spec.default != FieldDefault::Unset => Value::Flag(false),
        (_, ValueRef::Null) => Value::Unset,
        (Kind::Flag, ValueRef::Integer(number)) => Value::Flag(number != 0),
        (Kind::Integer, ValueRef::Integer(number)) => Value::Integer(number),
        (Kind::Text | Kind::Choice(_), ValueRef::Text(text)) => std::str::from_utf8(text)
            .map_or(Value::Unreadable("is not UTF-8"), |text| Value::Text(text.into())),
        (Kind::Set | Kind::List, ValueRef::Text(text)) => list(text),
        (Kind::Secret, ValueRef::Text([])) => Value::Unset,
        (Kind::Secret, ValueRef::Text(token)) => secret(token, keys, tally),
        _ => Value::Unreadable("has a type that the orchestrator does not write"),
    }
}

fn list(text: &[u8]) -> Value {
    match text {
        b"" | b"[]" => Value::Unset,
        text => match serde_json::from_slice::<Vec<Box<str>>>(text) {
            Ok(items) if items.is_empty() => Value::Unset,
            Ok(items) => Value::List(items.into()),
            Err(_) => Value::Unreadable("is not a JSON list of texts"),
        },
    }
}

fn secret(token: &[u8], keys: &KeyRing, tally: &mut TokenTally) -> Value {
    tally.tokens += 1;
    let opened = std::str::from_utf8(token).ok().and_then(|token| Some((token, keys.open(token)?)));
    let Some((token, opened)) = opened else {
        tally.undecryptable += 1;
        tally.damaged += usize::from(!looks_like_a_token(token));
        return Value::Unreadable("is a token that no key at hand decrypts");
    };
    tally.under_retired_key += usize::from(opened.by_retired_key);
    let fingerprint = keys.fingerprinter().fingerprint(opened.plain.expose());
    Value::Secret(Box::new(Secret { fingerprint, plain: None, token: Some(token.into()) }))
}

/// Whether a text is formed as a Fernet token: version 0x80, a time of this century, in URL-safe base64.
fn looks_like_a_token(token: &[u8]) -> bool {
    const LEAST_BYTES: usize = 100;
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
    token.len() >= LEAST_BYTES && token.starts_with(b"gAAAAA") && token.iter().all(is_base64)
}

/// A value ready to be bound to a statement.
#[derive(Debug)]
pub(super) enum Bound<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(std::borrow::Cow<'a, str>),
}

impl Bound<'_> {
    /// As SQLite would give it back.
    pub(super) fn as_value(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }
    }
}

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.as_value()))
    }
}

/// Writes a value that is not a secret.
pub(super) fn encode<'a>(spec: &FieldSpec, value: &'a Value) -> Bound<'a> {
    match value {
        Value::Unset if spec.kind.is_list() => Bound::Text("[]".into()),
        Value::Unset | Value::Secret(_) | Value::Unreadable(_) => Bound::Null,
        Value::Flag(flag) => Bound::Integer(i64::from(*flag)),
        Value::Integer(number) => Bound::Integer(*number),
        Value::Text(text) => Bound::Text((&**text).into()),
        Value::List(items) => Bound::Text(json_dumps(items).into()),
    }
}

/// Returns a list as Python's `json.dumps` writes it: `", "` between items, everything beyond ASCII escaped.
pub(super) fn json_dumps(items: &[Box<str>]) -> String {
    let mut text = String::with_capacity(2 + items.iter().map(|item| item.len() + 4).sum::<usize>());
    text.push('[');
    for (position, item) in items.iter().enumerate() {
        text.push_str(if position == 0 { "\"" } else { ", \"" });
        for char in item.chars() {
            match char {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{8}' => text.push_str("\\b"),
                '\u{c}' => text.push_str("\\f"),
                ' '..='~' => text.push(char),
                other => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        let _ = write!(text, "\\u{unit:04x}");
                    }
                }
            }
        }
        text.push('"');
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_written_as_python_writes_them() {
        let items: Vec<Box<str>> = ["a", "q\"\\", "é😀", "\n\u{7f}"].map(Box::from).into();
        assert_eq!(json_dumps(&items), r#"["a", "q\"\\", "\u00e9\ud83d\ude00", "\n\u007f"]"#);
        assert_eq!(json_dumps(&[]), "[]");
        let read: Vec<Box<str>> = serde_json::from_str(&json_dumps(&items)).expect("valid JSON");
        assert_eq!(read, items);
    }

    #[test]
    fn null_and_the_empty_list_mean_the_same_and_nonsense_is_unreadable() {
        assert_eq!(list(b"[]"), Value::Unset);
        assert_eq!(list(b"[ ]"), Value::Unset);
        assert!(matches!(list(b"[1]"), Value::Unreadable(_)));
        assert!(matches!(list(b"oops"), Value::Unreadable(_)));
    }
}
