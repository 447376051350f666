//! Scalars to typed values, by the rules with which the orchestrator's own YAML reader types them.
//!
//! Source: `PyYAML` 6 `resolver.py` (YAML 1.1), pydantic's types in the orchestrator's `loader.py`.

use crate::model::{Kind, Value};

/// What `PyYAML` makes of a plain scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Implicit {
    Null,
    Flag(bool),
    Integer,
    Float,
    Timestamp,
    Text,
}

impl Implicit {
    pub(super) fn of(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Self::Flag(true),
            "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
                return Self::Flag(false);
            }
            ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | ".nan" | ".NaN" | ".NAN" => return Self::Float,
            _ => {}
        }
        let starts_like_a_number = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.'));
        if !starts_like_a_number {
            return Self::Text;
        }
        if is_integer(text) {
            Self::Integer
        } else if is_float(text) {
            Self::Float
        } else if is_timestamp(text) {
            Self::Timestamp
        } else {
            Self::Text
        }
    }

    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag(_) => "true or false",
            Self::Integer => "a whole number",
            Self::Float => "a number with a fraction",
            Self::Timestamp => "a date",
            Self::Text => "text",
        }
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn is_integer(text: &str) -> bool {
    let digits = unsigned(text);
    let all = |text: &str, digit: fn(&u8) -> bool| {
        !text.is_empty() && text.bytes().all(|byte| byte == b'_' || digit(&byte))
    };
    if let Some(hex) = digits.strip_prefix("0x") {
        return all(hex, u8::is_ascii_hexdigit);
    }
    if let Some(binary) = digits.strip_prefix("0b") {
        return all(binary, |byte| matches!(byte, b'0' | b'1'));
    }
    if let Some((first, rest)) = digits.split_once(':') {
        return all(first, u8::is_ascii_digit)
            && !first.starts_with('0')
            && rest.split(':').all(is_sexagesimal);
    }
    digits.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && all(digits, u8::is_ascii_digit)
        && (digits == "0"
            || !digits.starts_with('0')
            || digits.bytes().all(|byte| matches!(byte, b'0'..=b'7' | b'_')))
}

fn is_sexagesimal(part: &str) -> bool {
    matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
}

fn is_float(text: &str) -> bool {
    let digits = unsigned(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let Some((whole, fraction)) = mantissa.split_once('.') else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let exponent_is_valid = exponent.is_none_or(|exponent| {
        exponent.starts_with(['+', '-'])
            && exponent.len() > 1
            && exponent[1..].bytes().all(|byte| byte.is_ascii_digit())
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_is_valid
}

fn is_timestamp(text: &str) -> bool {
    let digits = |range: std::ops::Range<usize>| text.as_bytes()[range].iter().all(u8::is_ascii_digit);
    text.len() >= 10
        && text.is_ascii()
        && digits(0..4)
        && digits(5..7)
        && digits(8..10)
        && text.as_bytes()[4] == b'-'
        && text.as_bytes()[7] == b'-'
        && (text.len() == 10 || matches!(text.as_bytes()[10], b'T' | b't' | b' '))
}

/// What is wrong with a scalar, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongType {
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

fn wrong(message: impl Into<String>, suggestion: impl Into<Option<String>>) -> WrongType {
    WrongType { message: message.into(), suggestion: suggestion.into() }
}

/// Types a scalar for a field of kind `kind`, which is neither a list nor a secret.
pub(super) fn typed(text: &str, plain: bool, kind: Kind) -> Result<Value, WrongType> {
    let implicit = if plain { Implicit::of(text) } else { Implicit::Text };
    match (kind, implicit) {
        (_, Implicit::Null) => Ok(Value::Unset),
        (Kind::Flag, Implicit::Flag(flag)) => Ok(Value::Flag(flag)),
        (Kind::Flag, found) => Err(wrong(
            format!("expected true or false, found {}", found.noun()),
            matches!(text, "true" | "false").then(|| format!("remove the quotes: {text}")),
        )),
        (Kind::Integer, Implicit::Integer) => integer(text).map(Value::Integer),
        (Kind::Integer, found) => Err(wrong(
            format!("expected a whole number, found {}", found.noun()),
            (!plain && Implicit::of(text) == Implicit::Integer).then(|| format!("remove the quotes: {text}")),
        )),
        (Kind::Choice(words), Implicit::Text) if words.contains(&text) => Ok(Value::Text(text.into())),
        (Kind::Choice(words), _) => {
            Err(wrong(format!("expected one of {}, found `{text}`", words.join(", ")), closest(text, words)))
        }
        (_, Implicit::Text) => Ok(Value::Text(text.into())),
        (_, found) => Err(wrong(
            format!("expected text, found {}", found.noun()),
            Some(format!("quote it: \"{text}\"")),
        )),
    }
}

fn integer(text: &str) -> Result<i64, WrongType> {
    let digits: String = unsigned(text).chars().filter(|digit| *digit != '_').collect();
    if text.starts_with('-') && digits != "0" {
        return Err(wrong("must not be negative", None));
    }
    let parsed = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()
    } else if digits.contains(':')
        || digits.starts_with("0b")
        || (digits.starts_with('0') && digits.len() > 1)
    {
        return Err(wrong(
            format!("`{text}` is read differently by different programs"),
            Some("write a plain decimal number".into()),
        ));
    } else {
        digits.parse().ok()
    };
    parsed.ok_or_else(|| {
        wrong(format!("`{text}` is too large"), Some(format!("the largest number is {}", i64::MAX)))
    })
}

/// No name that somebody misspells is longer, in bytes.
const MAX_COMPARED: usize = 200;

/// Returns "did you mean …?" when one of `words` is close to `word`.
pub fn closest(word: &str, words: &[&str]) -> Option<String> {
    words
        .iter()
        // Two texts differ in at least as many places as their lengths do; comparing long ones takes long.
        .filter(|candidate| {
            candidate.len().abs_diff(word.len()) <= 1 + candidate.len().min(word.len()) / 4
                && word.len() <= MAX_COMPARED
        })
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 4)
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_typed_as_python_types_them() {
        let cases = [
            ("yes", Implicit::Flag(true)),
            ("Off", Implicit::Flag(false)),
            ("y", Implicit::Text),
            ("~", Implicit::Null),
            ("1_000", Implicit::Integer),
            ("017", Implicit::Integer),
            ("09", Implicit::Text),
            ("12:30", Implicit::Integer),
            ("1e3", Implicit::Text),
            ("1.5", Implicit::Float),
            ("1.5e+3", Implicit::Float),
            ("2024-01-01", Implicit::Timestamp),
            ("qwen2.5-coder:7b", Implicit::Text),
            ("3.2-3b", Implicit::Text),
            (".", Implicit::Text),
            ("-", Implicit::Text),
        ];
        for (text, expected) in cases {
            assert_eq!(Implicit::of(text), expected, "{text}");
        }
    }

    #[test]
    fn text_that_python_would_type_otherwise_must_be_quoted() {
        let error = typed("2024-01-01", true, Kind::Text).expect_err("a date");
        assert_eq!(error.suggestion.as_deref(), Some("quote it: \"2024-01-01\""));
        assert_eq!(typed("2024-01-01", false, Kind::Text), Ok(Value::Text("2024-01-01".into())));
    }

    #[test]
    fn numbers_that_programs_read_differently_are_refused() {
        assert_eq!(typed("1_000", true, Kind::Integer), Ok(Value::Integer(1000)));
        assert_eq!(typed("0x1F", true, Kind::Integer), Ok(Value::Integer(31)));
        for text in ["017", "12:30", "-1", "99999999999999999999", "1.0"] {
            assert!(typed(text, true, Kind::Integer).is_err(), "{text}");
        }
    }

    #[test]
    fn a_near_miss_is_suggested_and_a_stranger_is_not() {
        assert_eq!(closest("base_ulr", &["base_url", "type"]).as_deref(), Some("did you mean `base_url`?"));
        assert_eq!(closest("colour", &["base_url", "type"]), None);
    }
}
