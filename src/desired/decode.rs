//! Nodes to objects: every field typed by the section's table, every fault noted with its place.

use std::ops::Range;

use super::ResolveSecrets;
use super::findings::Findings;
use super::mask;
use super::scalar::{Implicit, closest, typed, wrong};
use super::suspect;
use super::yaml::{Content, Node};
use crate::model::{
    ConfigPath, FieldId, Finding, Fingerprinter, Kind, Object, Secret, SecretReference, SecretText, Section,
    Value,
};

/// The key under which a source names where an API key is to be found.
pub(super) const KEY_REFERENCE: &str = "apiKeyFrom";

/// Whether an object must have the fields that its kind cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Required {
    /// A declaration must.
    Yes,
    /// An edit of some fields need not.
    No,
}

/// Decodes objects and gathers what is wrong with them.
pub(super) struct Decoder<'a> {
    pub(super) secrets: &'a (dyn ResolveSecrets + Sync),
    pub(super) fingerprinter: &'a Fingerprinter,
    pub(super) required: Required,
    pub(super) findings: Findings,
    /// How many API keys stand in the source in plain text.
    pub(super) plaintext_secrets: usize,
}

impl Decoder<'_> {
    /// Decodes one object; `None` when it is not one at all.
    pub(super) fn object(&mut self, section: Section, id: &str, node: &Node<'_>) -> Option<Object> {
        let Content::Mapping(entries) = &node.content else {
            self.findings.error(&node.span, || {
                Finding::error(format!("expected the fields of a {}", section.noun()))
                    .at_path(ConfigPath::object(section, id))
            });
            return None;
        };
        let mut object = Object::default();
        let mut reference_seen = false;
        for (key, value) in entries.iter() {
            let Some(name) = key.text() else {
                self.findings.error(&key.span, || Finding::error("a field's name must be text"));
                continue;
            };
            if name == KEY_REFERENCE && section == Section::Services {
                reference_seen = true;
                self.key_reference(&mut object, id, value);
                continue;
            }
            let Some(field) = section.field(name) else {
                self.unknown_field(section, id, name, &key.span);
                continue;
            };
            if object.get(field).is_some() {
                self.findings.error(&key.span, || {
                    Finding::error(format!("`{name}` stands here twice"))
                        .at_path(ConfigPath::field(section, id, field))
                        .suggest("keep one of them")
                });
                continue;
            }
            let path = ConfigPath::field(section, id, field);
            if let Some(value) = self.value(&path, field, key, value) {
                object.set(field, value);
            }
        }
        if reference_seen && entries.iter().any(|(key, _)| key.text() == Some("api_key")) {
            self.findings.error(&node.span, || {
                Finding::error(format!("both `api_key` and `{KEY_REFERENCE}` are given"))
                    .at_path(ConfigPath::object(section, id))
                    .suggest("keep one of them")
            });
        }
        if self.required == Required::Yes {
            self.check_required(section, id, &object, entries, &node.span);
        }
        object.shrink();
        Some(object)
    }

    fn value(&mut self, path: &ConfigPath, field: FieldId, key: &Node<'_>, node: &Node<'_>) -> Option<Value> {
        let spec = path.section.spec(field);
        if let Some(finding) = node.text().and_then(suspect::sealed) {
            self.findings.error(&node.span, || finding.at_path(path));
            return None;
        }
        let value = match (spec.kind, &node.content) {
            (Kind::Secret, Content::Scalar { text, plain }) => {
                return self.secret(path, key, node, text, *plain);
            }
            (Kind::Set | Kind::List, Content::Sequence(items)) => self.list(path, items)?,
            (Kind::Set | Kind::List, Content::Scalar { text, plain: true })
                if Implicit::of(text) == Implicit::Null =>
            {
                Value::Unset
            }
            (Kind::Set | Kind::List, _) => {
                self.findings.error(&node.span, || {
                    Finding::error("expected a list")
                        .at_path(path)
                        .suggest("write one item per line after `- `")
                });
                return None;
            }
            (kind, Content::Scalar { text, plain }) => match typed(text, *plain, kind) {
                Ok(value) => value,
                Err(wrong) => {
                    self.findings.error(&node.span, || wrong.finding().at_path(path));
                    return None;
                }
            },
            (_, found) => {
                let found = if matches!(found, Content::Sequence(_)) { "a list" } else { "a mapping" };
                let place = if spec.kind == Kind::Secret { &key.span } else { &node.span };
                self.findings.error(place, || {
                    Finding::error(format!("expected one value, found {found}")).at_path(path)
                });
                return None;
            }
        };
        if let (Kind::Text, Value::Text(text)) = (spec.kind, &value)
            && let Some(warning) = suspect::text(spec.name, text)
        {
            self.findings.warning(&node.span, || warning.at_path(path));
        }
        if value == Value::Unset && spec.required {
            self.findings.error(&key.span, || {
                Finding::error("null is not a value the orchestrator can read back here")
                    .at_path(path)
                    .suggest("give a value, or remove the line to leave the field alone")
            });
            return None;
        }
        Some(value)
    }

    fn list(&mut self, path: &ConfigPath, items: &[Node<'_>]) -> Option<Value> {
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            if let Some(finding) = item.text().and_then(suspect::sealed) {
                self.findings.error(&item.span, || finding.at_path(path));
                continue;
            }
            let refused = match &item.content {
                Content::Scalar { text, plain } => match typed(text, *plain, Kind::Text) {
                    Ok(Value::Text(text)) => {
                        texts.push(text);
                        continue;
                    }
                    Ok(_) => wrong("expected text, found null", None),
                    Err(refused) => refused,
                },
                _ => wrong("expected text in this list", None),
            };
            self.findings.error(&item.span, || refused.finding().at_path(path));
        }
        if texts.len() != items.len() {
            return None;
        }
        Some(if texts.is_empty() { Value::Unset } else { Value::List(texts.into()) })
    }

    fn secret(
        &mut self,
        path: &ConfigPath,
        key: &Node<'_>,
        node: &Node<'_>,
        text: &str,
        plain: bool,
    ) -> Option<Value> {
        if text.trim().is_empty() {
            self.empty_secret(path, &key.span);
            return None;
        }
        if plain && Implicit::of(text) == Implicit::Null {
            return Some(Value::Unset);
        }
        if plain && Implicit::of(text) != Implicit::Text {
            self.findings.error(&key.span, || {
                Finding::error(format!("expected text, found {}", Implicit::of(text).noun()))
                    .at_path(path)
                    .suggest("quote it")
            });
            return None;
        }
        if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            if is_variable_name(name) {
                return self.resolved(path, &SecretReference::Env(name.into()), &node.span);
            }
            self.findings.error(&key.span, || {
                Finding::error("`${…}` takes the name of one environment variable").at_path(path)
            });
            return None;
        }
        if let Some(warning) = suspect::api_key(text) {
            self.findings.warning(&node.span, || warning.at_path(path));
        }
        self.plaintext_secrets += 1;
        Some(self.known(SecretText::new(text)))
    }

    /// A template that was filled in with nothing looks the same as a key that is to go, so an empty one says nothing.
    fn empty_secret(&mut self, path: &ConfigPath, place: &Range<usize>) {
        let finding = |finding: Finding| finding.at_path(path).suggest("write null to have no API key");
        match self.required {
            Required::Yes => self.findings.warning(place, || {
                finding(Finding::warning("is empty: it leaves the API key of the database as it is"))
            }),
            Required::No => {
                self.findings.error(place, || finding(Finding::error("is empty: no API key was given")))
            }
        }
    }

    fn key_reference(&mut self, object: &mut Object, id: &str, node: &Node<'_>) {
        let field = Section::Services.field("api_key").expect("services have API keys");
        let path = ConfigPath::field(Section::Services, id, field);
        let entry = match &node.content {
            Content::Mapping(entries) if entries.len() == 1 => {
                if entries[0].0.text() == Some("secretKeyRef") {
                    return self.secret_key(object, &path, &entries[0].1);
                }
                entries[0].0.text().zip(entries[0].1.text()).map(|(kind, text)| (kind, text.to_owned()))
            }
            _ => None,
        };
        let reference = match entry {
            Some(("env", name)) if is_variable_name(&name) => SecretReference::Env(name),
            Some(("file", file)) if !file.is_empty() => SecretReference::File(file),
            Some(("token", token)) if !token.is_empty() => SecretReference::Token(token),
            _ => {
                return self.findings.error(&node.span, || {
                    Finding::error(format!(
                        "`{KEY_REFERENCE}` takes one of `env: NAME`, `file: PATH`, `secretKeyRef: {{name: NAME, key: KEY}}`, `token: TOKEN`"
                    ))
                    .at_path(path)
                });
            }
        };
        if let Some(value) = self.resolved(&path, &reference, &node.span) {
            object.set(field, value);
        }
    }

    fn secret_key(&mut self, object: &mut Object, path: &ConfigPath, node: &Node<'_>) {
        let entry = |wanted: &str| match &node.content {
            Content::Mapping(entries) if entries.len() == 2 => entries
                .iter()
                .find(|(key, _)| key.text() == Some(wanted))
                .and_then(|(_, value)| value.text())
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            _ => None,
        };
        let (Some(name), Some(key)) = (entry("name"), entry("key")) else {
            return self.findings.error(&node.span, || {
                Finding::error("`secretKeyRef` takes `name: NAME` and `key: KEY`, and nothing else")
                    .at_path(path)
            });
        };
        let reference = SecretReference::SecretKey { name, key };
        if let (Some(value), Some(field)) = (self.resolved(path, &reference, &node.span), path.field) {
            object.set(field, value);
        }
    }

    fn resolved(
        &mut self,
        path: &ConfigPath,
        reference: &SecretReference,
        span: &Range<usize>,
    ) -> Option<Value> {
        match self.secrets.resolve(reference) {
            Ok(text) if text.expose().is_empty() => Some(Value::Unset),
            Ok(text) => Some(self.known(text)),
            Err(reason) => {
                // What stands where a name belongs may be the key itself.
                self.findings.error(span, || {
                    let names = reference.names().into_iter();
                    let reason = names.fold(reason, |reason, name| mask::without(&reason, name));
                    Finding::error(reason).at_path(path)
                });
                None
            }
        }
    }

    fn known(&self, text: SecretText) -> Value {
        let fingerprint = self.fingerprinter.fingerprint(text.expose());
        Value::Secret(Box::new(Secret { fingerprint, plain: Some(text), token: None }))
    }

    fn unknown_field(&mut self, section: Section, id: &str, name: &str, span: &Range<usize>) {
        self.findings.error(span, || {
            let known: Vec<&str> = section
                .fields()
                .iter()
                .map(|spec| spec.name)
                .chain((section == Section::Services).then_some(KEY_REFERENCE))
                .collect();
            let suggestion =
                closest(name, &known).unwrap_or_else(|| format!("known fields are {}", known.join(", ")));
            Finding::error(format!("unknown field `{}`", mask::word(name)))
                .at_path(ConfigPath::object(section, id))
                .suggest(suggestion)
        });
    }

    fn check_required(
        &mut self,
        section: Section,
        id: &str,
        object: &Object,
        entries: &[(Node<'_>, Node<'_>)],
        span: &Range<usize>,
    ) {
        let mentioned = |name: &str| entries.iter().any(|(key, _)| key.text() == Some(name));
        let text = |name: &str| match object.get(section.field(name)?)? {
            Value::Text(text) if !text.is_empty() => Some(&**text),
            _ => None,
        };
        let mut missing = |name: &str, why: &str| {
            let is_set = section.field(name).is_some_and(|field| object.get(field).is_some());
            if mentioned(name) && !is_set {
                // What stands there was refused, which is said.
                return;
            }
            self.findings.error(span, || {
                Finding::error(format!("{why} `{name}`"))
                    .at_path(ConfigPath::object(section, id))
                    .suggest(format!("add a line `{name}: …`"))
            });
        };
        match section {
            Section::Services => match text("type") {
                None if !mentioned("type") => missing("type", "a service needs a"),
                Some("cli") if text("executable").is_none() => {
                    missing("executable", "a service of type cli needs an")
                }
                Some("http") if text("base_url").is_none() => {
                    missing("base_url", "a service of type http needs a")
                }
                _ => {}
            },
            Section::RoutingRules if text("primary").is_none() && !mentioned("primary") => {
                missing("primary", "a routing rule needs a");
            }
            _ => {}
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
