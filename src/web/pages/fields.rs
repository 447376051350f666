//! An object as a form: what each field is called, what it takes, and back into the JSON that the API takes.

use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use crate::model::{FieldDefault, FieldSpec, Finding, Kind, Object, Section, Value};
use crate::web::asked::Form;

/// A field of a form.
#[expect(clippy::struct_excessive_bools, reason = "what a template asks, one by one")]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: String,
    pub(super) help: &'static str,
    pub(super) input: Input,
    /// What the form holds.
    pub(super) value: String,
    /// Whether a key is stored.
    pub(super) key_is_set: bool,
    pub(super) required: bool,
    /// Which services a rule may name.
    pub(super) suggests_services: bool,
    /// What is wrong with it.
    pub(super) faults: Vec<String>,
    /// Whether it is shown at once; the others are behind "more".
    pub(super) common: bool,
}

/// How a field is filled in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Line,
    Number,
    /// One of these words; the first may be empty for unset.
    Choice(&'static [&'static str]),
    /// A value a line.
    Lines,
    Key,
}

const FLAGS: &[&str] = &["true", "false"];

/// Returns the fields of a form, filled with what `value` says.
fn fields(
    section: Section,
    value: impl Fn(&FieldSpec) -> (String, bool),
    findings: &[Finding],
) -> Vec<Field> {
    let field = |spec: &'static FieldSpec| {
        let (value, key_is_set) = value(spec);
        let input = match spec.kind {
            Kind::Text => Input::Line,
            Kind::Choice(words) => Input::Choice(words),
            Kind::Flag => Input::Choice(FLAGS),
            Kind::Integer => Input::Number,
            Kind::Set | Kind::List => Input::Lines,
            Kind::Secret => Input::Key,
        };
        let ending = format!(".{}", spec.name);
        let quoted = format!("`{}`", spec.name);
        let about = |finding: &&Finding| {
            let at_it = finding.path.as_deref().is_some_and(|path| path.ends_with(&ending));
            at_it || finding.message.contains(&quoted)
        };
        let said = |finding: &Finding| match &finding.suggestion {
            Some(suggestion) => format!("{}; {suggestion}", finding.message),
            None => finding.message.clone(),
        };
        Field {
            name: spec.name,
            label: label(spec.name),
            help: help(spec.name),
            input,
            required: spec.required,
            suggests_services: section == Section::RoutingRules
                && matches!(spec.name, "primary" | "fallback"),
            common: section != Section::Services || COMMON.contains(&spec.name) || !value.is_empty(),
            faults: findings.iter().filter(about).map(said).collect(),
            value,
            key_is_set,
        }
    };
    section.fields().iter().map(field).collect()
}

/// What most services have.
const COMMON: [&str; 7] =
    ["type", "enabled", "executable", "base_url", "api_type", "api_key", "default_model"];

/// The fields of an object that is there; without one, of a new object.
pub(super) fn of_object(section: Section, object: Option<&Object>) -> Vec<Field> {
    let value = |spec: &FieldSpec| {
        let held = section.field(spec.name).and_then(|field| object?.get(field));
        match (held, spec.default) {
            (Some(Value::Secret(_) | Value::Unreadable(_)), _) if spec.kind == Kind::Secret => {
                (String::new(), true)
            }
            (Some(Value::List(items)), _) => (items.join("\n"), false),
            (Some(Value::Unset), _) => (String::new(), false),
            (Some(value), _) => (value.shown().to_string(), false),
            (None, FieldDefault::Flag(flag)) if object.is_none() => (flag.to_string(), false),
            (None, _) => (String::new(), false),
        }
    };
    fields(section, value, &[])
}

/// The fields as somebody filled them in, with what is wrong with each. A key is not sent back.
pub(super) fn of_form(section: Section, form: &Form, key_is_set: bool, findings: &[Finding]) -> Vec<Field> {
    let value = |spec: &FieldSpec| match spec.kind {
        Kind::Secret => (String::new(), key_is_set),
        _ => (form.text(spec.name).unwrap_or_default().to_owned(), false),
    };
    fields(section, value, findings)
}

/// The form as the JSON that the API takes. In a form for a new object, what is empty is not mentioned.
pub(super) fn json(section: Section, form: &Form, is_new: bool) -> Zeroizing<String> {
    let mut fields = Map::new();
    for spec in section.fields() {
        let Some(text) = form.text(spec.name) else { continue };
        let text = text.trim();
        if spec.kind == Kind::Secret {
            if !text.is_empty() {
                fields.insert(spec.name.into(), text.into());
            } else if form.text("remove_key").is_some() {
                fields.insert(spec.name.into(), Json::Null);
            }
            continue;
        }
        let value = match spec.kind {
            Kind::Set | Kind::List => {
                text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Json::from).collect()
            }
            _ if text.is_empty() => Json::Null,
            Kind::Flag | Kind::Integer => {
                let read: Option<Json> = serde_json::from_str(text).ok();
                read.filter(|it| it.is_boolean() || it.is_number()).unwrap_or_else(|| text.into())
            }
            Kind::Text | Kind::Choice(_) | Kind::Secret => text.into(),
        };
        let says_nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !(is_new && says_nothing) {
            fields.insert(spec.name.into(), value);
        }
    }
    Zeroizing::new(Json::Object(fields).to_string())
}

/// A field's name for people: `base_url` as `Base URL`.
fn label(name: &str) -> String {
    let words = name.split('_').enumerate().map(|(position, word)| match (position, word) {
        (_, "url") => "URL".to_owned(),
        (_, "api") => "API".to_owned(),
        (0, word) => word[..1].to_uppercase() + &word[1..],
        (_, word) => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What a field is for, where its name does not say it.
fn help(name: &str) -> &'static str {
    match name {
        "type" => "cli runs a program, http calls a server",
        "executable" => "the program, for a cli service",
        "base_url" => "the server, for an http service",
        "api_type" => "what an http service speaks",
        "capabilities" | "models" => "one a line; the order does not matter",
        "preferred_models" | "fallback_models" => "one a line, the first is tried first",
        "fallback" => "services to try next, one a line, the first is tried first",
        "primary" => "the service that gets the work",
        "parallel_threshold_files" => "from so many files on the work is split",
        "timeout_seconds" => "in seconds",
        "retry_delay" => "in seconds",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Form {
        Form(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_form_says_what_its_fields_are_and_leaves_the_key_alone() {
        let filled = form(&[
            ("type", "http"),
            ("enabled", "false"),
            ("max_retries", "x"),
            ("api_key", " "),
            ("models", "a\n\nb"),
        ]);
        let text = json(Section::Services, &filled, true);
        assert_eq!(*text, r#"{"type":"http","enabled":false,"models":["a","b"],"max_retries":"x"}"#);
    }

    #[test]
    fn an_emptied_field_is_unset_and_an_empty_one_of_a_new_object_is_not_mentioned() {
        let filled = form(&[("base_url", "")]);
        assert_eq!(*json(Section::Services, &filled, false), r#"{"base_url":null}"#);
        assert_eq!(*json(Section::Services, &filled, true), "{}");
    }

    #[test]
    fn a_key_that_was_typed_is_not_sent_back() {
        let fields = of_form(Section::Services, &form(&[("api_key", "sk-canary")]), false, &[]);
        assert!(fields.iter().all(|field| !field.value.contains("canary")));
    }
}
