//! Values of managed fields, how they compare, and how they are shown.

use std::fmt;

use serde_json::Value as Json;

use super::{FieldDefault, FieldId, FieldSpec, Fingerprint, Kind, Object, Secret, Section, printable};

/// The value of one field on one side.
///
/// Absent is not a value: a field that a side does not mention is missing from its [`Object`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Explicitly nothing: null in the YAML, NULL or `[]` in the database.
    Unset,
    /// A flag.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A text or a choice.
    Text(Box<str>),
    /// A list or a set, in the order in which it was found. Never empty: that is [`Value::Unset`].
    List(Box<[Box<str>]>),
    /// An API key.
    Secret(Box<Secret>),
    /// A value that is there and cannot be read: a token no key decrypts, a list that is not JSON.
    Unreadable(&'static str),
}

impl Value {
    /// Whether two values of a field of kind `kind` mean the same.
    pub fn same(&self, other: &Self, kind: Kind) -> bool {
        match (self, other) {
            (Self::Unreadable(_), _) | (_, Self::Unreadable(_)) => false,
            (Self::List(one), Self::List(two)) if kind == Kind::Set => {
                one == two || as_set(one) == as_set(two)
            }
            (one, two) => one == two,
        }
    }

    /// Whether this is what the orchestrator assumes where nothing is set.
    pub fn is_default(&self, spec: &FieldSpec) -> bool {
        match (self, spec.default) {
            (Self::Unset, FieldDefault::Unset) => true,
            (Self::Flag(flag), FieldDefault::Flag(default)) => *flag == default,
            (Self::Integer(number), FieldDefault::Integer(default)) => *number == default,
            _ => false,
        }
    }

    /// Returns the value for people and machines to read, with secrets masked.
    pub fn shown(&self) -> Shown {
        match self {
            Self::Unset => Shown(Json::Null),
            Self::Flag(flag) => Shown(Json::Bool(*flag)),
            Self::Integer(number) => Shown(Json::from(*number)),
            Self::Text(text) => Shown(Json::from(&**text)),
            Self::List(items) => Shown(items.iter().map(|item| Json::from(&**item)).collect()),
            Self::Secret(_) => Shown(Json::from("••••")),
            Self::Unreadable(reason) => Shown(Json::from(format!("<{reason}>"))),
        }
    }
}

impl From<FieldDefault> for Value {
    fn from(default: FieldDefault) -> Self {
        match default {
            FieldDefault::Unset => Self::Unset,
            FieldDefault::Flag(flag) => Self::Flag(flag),
            FieldDefault::Integer(number) => Self::Integer(number),
        }
    }
}

/// Returns the items of a set: sorted, each once.
fn as_set(items: &[Box<str>]) -> Vec<&str> {
    let mut items: Vec<&str> = items.iter().map(|item| &**item).collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// A value ready to be shown: JSON in which every secret is masked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Shown(pub Json);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Json::String(text) if text.is_empty() => f.write_str("\"\""),
            Json::String(text) => f.write_str(&printable(text)),
            Json::Null => f.write_str("unset"),
            Json::Array(items) => {
                f.write_str("[")?;
                for (position, item) in items.iter().enumerate() {
                    let separator = if position == 0 { "" } else { ", " };
                    write!(f, "{separator}{}", printable(item.as_str().unwrap_or_default()))?;
                }
                f.write_str("]")
            }
            other => write!(f, "{other}"),
        }
    }
}

/// Returns the one JSON text for `object`: fields in table order, sets sorted and without repeated items, secrets as fingerprints.
///
/// # Guarantees
/// Two objects have the same text if and only if they declare the same fields with the same values.
pub fn canonical_json(section: Section, object: &Object) -> String {
    let mut text = String::with_capacity(256);
    text.push('{');
    for (field, value) in object.iter() {
        let spec = section.spec(field);
        if text.len() > 1 {
            text.push(',');
        }
        push_json_string(&mut text, spec.name);
        text.push(':');
        push_value(&mut text, value, spec.kind);
    }
    text.push('}');
    text
}

fn push_value(text: &mut String, value: &Value, kind: Kind) {
    use std::fmt::Write as _;
    match value {
        Value::Unset => text.push_str("null"),
        Value::Flag(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Integer(number) => {
            let _ = write!(text, "{number}");
        }
        Value::Text(value) => push_json_string(text, value),
        Value::List(items) => {
            text.push('[');
            let ordered =
                if kind == Kind::Set { as_set(items) } else { items.iter().map(|item| &**item).collect() };
            for (position, item) in ordered.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                push_json_string(text, item);
            }
            text.push(']');
        }
        Value::Secret(secret) => push_json_string(text, &secret.fingerprint.to_hex()),
        Value::Unreadable(_) => text.push_str("\"<unreadable>\""),
    }
}

/// Appends a text as a JSON string.
pub fn push_json_string(text: &mut String, value: &str) {
    if value.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&Json::from(value).to_string());
    }
}

/// Reads what [`canonical_json`] wrote. Fields that this version does not know are dropped.
///
/// Returns `None` when `text` is not such a text.
pub fn parse_canonical(section: Section, text: &str) -> Option<Object> {
    let Json::Object(entries) = serde_json::from_str(text).ok()? else { return None };
    let mut object = Object::default();
    for (name, json) in entries {
        if let Some(field) = section.field(&name) {
            object.set(field, value_from_json(section, field, json)?);
        }
    }
    Some(object)
}

fn value_from_json(section: Section, field: FieldId, json: Json) -> Option<Value> {
    Some(match (json, section.spec(field).kind) {
        (Json::Null, _) => Value::Unset,
        (Json::Bool(flag), _) => Value::Flag(flag),
        (Json::Number(number), _) => Value::Integer(number.as_i64()?),
        (Json::String(hex), Kind::Secret) => Value::Secret(Box::new(Secret {
            fingerprint: Fingerprint::from_hex(&hex)?,
            plain: None,
            token: None,
        })),
        (Json::String(text), _) => Value::Text(text.into()),
        (Json::Array(items), _) => {
            Value::List(items.iter().map(|item| item.as_str().map(Box::from)).collect::<Option<_>>()?)
        }
        (Json::Object(_), _) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> Value {
        Value::List(items.iter().map(|item| Box::from(*item)).collect())
    }

    #[test]
    fn sets_compare_without_order_and_lists_with_it() {
        assert!(list(&["a", "b"]).same(&list(&["b", "a"]), Kind::Set));
        assert!(!list(&["a", "b"]).same(&list(&["b", "a"]), Kind::List));
        assert!(!list(&["a", "a"]).same(&list(&["a", "b"]), Kind::Set));
    }

    #[test]
    fn an_item_that_a_set_repeats_makes_no_difference() {
        let (one, two) = (list(&["b", "a", "a"]), list(&["a", "b"]));
        assert!(one.same(&two, Kind::Set) && !one.same(&two, Kind::List));
        let text = |value| {
            let mut object = Object::default();
            object.set(Section::Services.field("models").expect("known"), value);
            canonical_json(Section::Services, &object)
        };
        assert_eq!(text(one), text(two));
    }

    #[test]
    fn an_unreadable_value_is_the_same_as_nothing_not_even_itself() {
        let broken = Value::Unreadable("token does not decrypt");
        assert!(!broken.same(&broken, Kind::Secret));
    }

    #[test]
    fn canonical_text_is_read_back_to_the_same_object() {
        let mut object = Object::default();
        object.set(Section::Services.field("type").expect("known"), Value::Text("http".into()));
        object.set(Section::Services.field("models").expect("known"), list(&["z \"q\"", "a\n"]));
        object.set(Section::Services.field("max_retries").expect("known"), Value::Integer(3));
        object.set(Section::Services.field("site_url").expect("known"), Value::Unset);
        let text = canonical_json(Section::Services, &object);
        let read = parse_canonical(Section::Services, &text).expect("our own text");
        assert_eq!(canonical_json(Section::Services, &read), text);
    }
}
