//! Scalars to typed values, by the rules with which the orchestrator's own YAML reader types them.
//!
//! Source: `PyYAML` 6 `resolver.py` (YAML 1.1), pydantic's types in the orchestrator's `loader.py`.

use super::mask;
use crate::model::{Finding, Kind, Value};

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
            ".nan" | ".NaN" | ".NAN" => return Self::Float,
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
    let number = unsigned(text);
    if matches!(number, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let begins_with_digit = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let Some((whole, rest)) = number.split_once('.') else { return false };
    if let Some((first, sixties)) = whole.split_once(':') {
        let sixtieths = begins_with_digit(first) && digits(first) && sixties.split(':').all(is_sexagesimal);
        return sixtieths && digits(rest);
    }
    let (fraction, exponent) = match rest.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (rest, None),
    };
    let exponent_is_valid = exponent.is_none_or(|exponent| {
        exponent.starts_with(['+', '-'])
            && exponent.len() > 1
            && exponent[1..].bytes().all(|byte| byte.is_ascii_digit())
    });
    let has_digit_first = match whole {
        // `+.5` is text.
        "" => number == text && begins_with_digit(fraction),
        whole => begins_with_digit(whole) && digits(whole),
    };
    has_digit_first && digits(fraction) && exponent_is_valid
}

fn is_timestamp(text: &str) -> bool {
    date_and_time(text).is_some()
}

/// Takes a date apart as `PyYAML` does: year, month, day; hour, minute, second and offset in hours where there is a
/// time. `None` for text that only begins like one.
fn date_and_time(text: &str) -> Option<([u32; 3], Option<[u32; 4]>)> {
    let (year, rest) = number(text, 4..=4)?;
    let (month, rest) = number(rest.strip_prefix('-')?, 1..=2)?;
    let (day, rest) = number(rest.strip_prefix('-')?, 1..=2)?;
    if rest.is_empty() {
        return (text.len() == 10).then_some(([year, month, day], None));
    }
    let clock = rest.strip_prefix(['T', 't']).or_else(|| {
        let clock = rest.trim_start_matches([' ', '\t']);
        (clock.len() < rest.len()).then_some(clock)
    })?;
    let (hour, rest) = number(clock, 1..=2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 2..=2)?;
    let (second, rest) = number(rest.strip_prefix(':')?, 2..=2)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => rest,
    };
    let zone = rest.trim_start_matches([' ', '\t']);
    let offset = match zone.strip_prefix(['+', '-']) {
        _ if rest.is_empty() || zone == "Z" => 0,
        None => return None,
        Some(offset) => {
            let (hours, rest) = number(offset, 1..=2)?;
            match rest.strip_prefix(':') {
                None if rest.is_empty() => hours,
                minutes => {
                    let (minutes, rest) = number(minutes?, 2..=2)?;
                    if !rest.is_empty() {
                        return None;
                    }
                    hours + minutes / 60
                }
            }
        }
    };
    Some(([year, month, day], Some([hour, minute, second, offset])))
}

/// Takes a number of so many digits off the front of a text, as many as there are.
fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<(u32, &str)> {
    let length = text.bytes().take(*digits.end()).take_while(u8::is_ascii_digit).count();
    digits.contains(&length).then_some(())?;
    Some((text[..length].parse().ok()?, &text[length..]))
}

/// Returns why `PyYAML` takes a plain scalar for a number or a date and then cannot make one of it.
pub(super) fn cannot_be_made(text: &str) -> Option<String> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-')) {
        return None;
    }
    let digits = unsigned(text);
    if is_integer(text) && (digits.starts_with("0b") || digits.starts_with("0x")) {
        let empty = digits[2..].bytes().all(|byte| byte == b'_');
        return empty.then(|| format!("`{}` begins like a number and has no digit", mask::word(text)));
    }
    let (date, time) = date_and_time(text)?;
    let [year, month, day] = date;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let exists = year > 0
        && (1..=12).contains(&month)
        && (1..=days).contains(&day)
        && time.is_none_or(|[hour, minute, second, offset]| {
            hour < 24 && minute < 60 && second < 60 && offset < 24
        });
    (!exists).then(|| format!("`{text}` is a date that does not exist"))
}

/// Returns the number that `PyYAML` makes of a plain scalar; `None` where JSON has none for it.
pub(super) fn json_number(text: &str) -> Option<serde_json::Number> {
    let digits = unsigned(text).replace('_', "");
    let sign = if text.starts_with('-') { -1 } else { 1 };
    if is_float(text) {
        let mut parts = digits.rsplit(':').zip(std::iter::successors(Some(1.0), |base| Some(base * 60.0)));
        let value = parts.try_fold(0.0, |sum, (part, base)| Some(sum + part.parse::<f64>().ok()? * base))?;
        return serde_json::Number::from_f64(f64::from(sign) * value);
    }
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()?
    } else if let Some(binary) = digits.strip_prefix("0b") {
        i64::from_str_radix(binary, 2).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(&digits, 8).ok()?
    } else {
        digits.split(':').try_fold(0_i64, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))?
    };
    Some((i64::from(sign) * value).into())
}

/// What is wrong with a scalar, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongType {
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

impl WrongType {
    pub(super) fn finding(self) -> Finding {
        Finding { suggestion: self.suggestion, ..Finding::error(self.message) }
    }
}

pub(super) fn wrong(message: impl Into<String>, suggestion: impl Into<Option<String>>) -> WrongType {
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
            let message = format!("expected one of {}, found `{}`", words.join(", "), mask::word(text));
            Err(wrong(message, closest(text, words)))
        }
        (_, Implicit::Text) => Ok(Value::Text(text.into())),
        (_, found) => Err(wrong(
            format!("expected text, found {}", found.noun()),
            Some(format!("quote it: \"{}\"", mask::word(text))),
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
            format!("`{}` is read differently by different programs", mask::word(text)),
            Some("write a plain decimal number".into()),
        ));
    } else {
        digits.parse().ok()
    };
    parsed.ok_or_else(|| {
        wrong(
            format!("`{}` is too large", mask::word(text)),
            Some(format!("the largest number is {}", i64::MAX)),
        )
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
            ("2024-1-1 1:30:00.5 +01:30", Implicit::Timestamp),
            ("2024-1-1", Implicit::Text),
            ("2024-01-01True", Implicit::Text),
            ("2024-01-01 x", Implicit::Text),
            ("2024-01-01T", Implicit::Text),
            ("+.5", Implicit::Text),
            ("1:30.5", Implicit::Float),
            ("-.INF", Implicit::Float),
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
