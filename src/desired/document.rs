//! One document: its sections, entry by entry.

use std::ops::Range;

use super::ResolveSecrets;
use super::decode::{Decoder, Required};
use super::findings::Findings;
use super::mask;
use super::scalar::Implicit;
use super::yaml::{Content, Next, Node, Reader, SyntaxError};
use crate::model::{ConfigPath, Configuration, Finding, Fingerprinter, Object, Section};

/// How many sections that are not managed a document may have; the orchestrator knows four.
const MAX_OTHERS: usize = 1_000;

/// An object of a managed section.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Box<str>,
    /// Where its key stands.
    pub(super) span: Range<usize>,
    pub(super) object: Object,
}

/// A top-level section that is not managed.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) name: String,
    pub(super) key: Range<usize>,
    pub(super) value: serde_json::Value,
}

/// What one document says.
#[derive(Debug, Default)]
pub(super) struct Document {
    services: Option<Vec<Entry>>,
    routing_rules: Option<Vec<Entry>>,
    execution: Option<Vec<Entry>>,
    pub(super) others: Vec<Other>,
    /// Where each top-level key starts, in order; the last entry is the end of the text.
    pub(super) section_starts: Vec<usize>,
    pub(super) plaintext_secrets: usize,
    /// Whether any value has an anchor.
    pub(super) anchored: bool,
    pub(super) findings: Findings,
}

impl Document {
    /// Takes the entries of `section`; `None` when the document does not mention it.
    pub(super) fn take(&mut self, section: Section) -> Option<Vec<Entry>> {
        self.place(section).take()
    }

    fn place(&mut self, section: Section) -> &mut Option<Vec<Entry>> {
        match section {
            Section::Services => &mut self.services,
            Section::RoutingRules => &mut self.routing_rules,
            Section::Execution => &mut self.execution,
        }
    }

    /// Whether it mentions any managed section.
    pub(super) fn declares_a_section(&self) -> bool {
        self.services.is_some() || self.routing_rules.is_some() || self.execution.is_some()
    }

    /// Adds what was read from a later part of the same text.
    pub(super) fn append(&mut self, mut later: Self) {
        for section in Section::ALL {
            if let Some(entries) = later.take(section) {
                self.place(section).get_or_insert_default().extend(entries);
            }
        }
        self.others.append(&mut later.others);
        self.section_starts.append(&mut later.section_starts);
        self.plaintext_secrets += later.plaintext_secrets;
        self.anchored |= later.anchored;
        self.findings.append(later.findings);
    }

    /// Moves all places by `offset` bytes.
    pub(super) fn shift(&mut self, offset: usize) {
        let shift = |span: &mut Range<usize>| *span = span.start + offset..span.end + offset;
        for section in Section::ALL {
            for entry in self.place(section).iter_mut().flatten() {
                shift(&mut entry.span);
            }
        }
        self.others.iter_mut().for_each(|other| shift(&mut other.key));
        self.section_starts.iter_mut().for_each(|start| *start += offset);
        self.findings.shift(offset);
    }
}

/// Reads a whole document.
pub(super) fn read(
    text: &str,
    secrets: &(dyn ResolveSecrets + Sync),
    fingerprinter: &Fingerprinter,
) -> Document {
    DocumentReader::new(text, secrets, fingerprinter).finish(DocumentReader::root)
}

/// Reads a part of a document that holds nothing but entries of `section`.
pub(super) fn read_entries(
    text: &str,
    section: Section,
    secrets: &(dyn ResolveSecrets + Sync),
    fingerprinter: &Fingerprinter,
) -> Document {
    DocumentReader::new(text, secrets, fingerprinter).finish(|reader| {
        reader.yaml.open()?;
        reader.entries(section)?;
        reader.yaml.close()
    })
}

/// Reads the fields of one object, none of which is required.
pub(super) fn read_partial(
    text: &str,
    section: Section,
    id: &str,
    secrets: &(dyn ResolveSecrets + Sync),
    fingerprinter: &Fingerprinter,
) -> Result<Object, Findings> {
    let text = &*readable(text);
    let mut reader = DocumentReader::new(text, secrets, fingerprinter);
    reader.decoder.required = Required::No;
    let mut object = None;
    let document = reader.finish(|reader| {
        reader.yaml.open()?;
        let node = reader.yaml.node()?;
        object = reader.decoder.object(section, id, &node);
        reader.yaml.close()
    });
    match object {
        Some(object) if !document.findings.has_error() => Ok(object),
        _ => Err(document.findings),
    }
}

/// Returns JSON that is no YAML as JSON that is: tabs between values, halves of characters, controls beyond ASCII.
fn readable(text: &str) -> std::borrow::Cow<'_, str> {
    let odd = text.contains(['\t', '\\']) || super::escape::unreadable_character(text).is_some();
    match serde_json::from_str::<serde_json::Value>(if odd { text } else { "" }) {
        Ok(value) => super::escape::json(&value).into(),
        Err(_) => text.into(),
    }
}

struct DocumentReader<'a> {
    yaml: Reader<'a>,
    decoder: Decoder<'a>,
    document: Document,
    end: usize,
}

impl<'a> DocumentReader<'a> {
    fn new(
        text: &'a str,
        secrets: &'a (dyn ResolveSecrets + Sync),
        fingerprinter: &'a Fingerprinter,
    ) -> Self {
        let decoder = Decoder {
            secrets,
            fingerprinter,
            required: Required::Yes,
            findings: Findings::default(),
            plaintext_secrets: 0,
        };
        Self { yaml: Reader::limited(text), decoder, document: Document::default(), end: text.len() }
    }

    fn finish(mut self, read: impl FnOnce(&mut Self) -> Result<(), SyntaxError>) -> Document {
        if let Err(error) = read(&mut self) {
            self.document.findings.error(&error.span, || Finding {
                suggestion: error.help.map(Into::into),
                ..Finding::error(error.message)
            });
        }
        self.document.anchored = self.yaml.has_anchors();
        self.document.section_starts.push(self.end);
        self.document.plaintext_secrets = self.decoder.plaintext_secrets;
        self.document.findings.append(self.decoder.findings);
        self.document
    }

    fn root(&mut self) -> Result<(), SyntaxError> {
        match self.yaml.open()? {
            Next::End => return Ok(()),
            Next::Mapping => {}
            Next::Other => {
                let node = self.yaml.node()?;
                if !is_null(&node) {
                    let message = "expected the sections of a configuration";
                    self.document.findings.error(&node.span, || Finding::error(message));
                }
                return self.yaml.close();
            }
        }
        self.yaml.enter()?;
        while self.yaml.next_is()? != Next::End {
            let key = self.yaml.key()?;
            match &key.content {
                Content::Scalar { text, plain: true } if text == "<<" => {
                    self.document.findings.error(&key.span, || {
                        Finding::error("merge keys work inside an object, not between sections")
                            .suggest("write the sections out")
                    });
                    self.yaml.node()?;
                }
                _ => self.section(key.text().unwrap_or_default(), key.span.clone())?,
            }
        }
        self.yaml.leave()?;
        self.yaml.close()
    }

    fn section(&mut self, name: &str, key: Range<usize>) -> Result<(), SyntaxError> {
        self.document.section_starts.push(key.start);
        let Some(section) = Section::named(name) else {
            if self.document.others.len() == MAX_OTHERS {
                let message = format!("more than {MAX_OTHERS} sections that are not managed");
                return Err(SyntaxError::new(message, key).help("is this the right file?"));
            }
            let value = json(&self.yaml.node()?);
            self.document.others.push(Other { name: name.to_owned(), key, value });
            return Ok(());
        };
        if self.document.place(section).is_some() {
            self.document.findings.error(&key, || {
                Finding::error("this section stands here twice").at_path(name).suggest("merge the two")
            });
        }
        if section == Section::Execution {
            let node = self.yaml.node()?;
            if is_null(&node) {
                self.refuse_null_section(section, &key);
            } else if let Some(object) = self.decoder.object(section, Configuration::EXECUTION_ID, &node) {
                let entry = Entry { id: Configuration::EXECUTION_ID.into(), span: key, object };
                self.document.place(section).get_or_insert_default().push(entry);
            }
            return Ok(());
        }
        self.document.place(section).get_or_insert_default();
        if self.yaml.next_is()? == Next::Mapping {
            return self.entries(section);
        }
        let node = self.yaml.node()?;
        match &node.content {
            Content::Mapping(entries) => {
                for (key, value) in entries.iter() {
                    self.entry(section, key, value);
                }
            }
            _ if is_null(&node) => self.refuse_null_section(section, &key),
            _ => {
                self.document.findings.error(&node.span, || {
                    let message = format!("expected {} by name", section.name().replace('_', " "));
                    Finding::error(message).at_path(name)
                });
            }
        }
        Ok(())
    }

    fn entries(&mut self, section: Section) -> Result<(), SyntaxError> {
        self.yaml.enter()?;
        while self.yaml.next_is()? != Next::End {
            let key = self.yaml.key()?;
            let value = self.yaml.node()?;
            self.entry(section, &key, &value);
        }
        self.yaml.leave()
    }

    fn entry(&mut self, section: Section, key: &Node<'_>, value: &Node<'_>) {
        let findings = &mut self.document.findings;
        let (id, plain) = if let Content::Scalar { text, plain } = &key.content {
            (text, *plain)
        } else {
            return findings
                .error(&key.span, || Finding::error("a name must be text").at_path(section.name()));
        };
        if plain && id == "<<" {
            return findings.error(&key.span, || {
                Finding::error("merge keys work inside an object, not between objects")
                    .at_path(section.name())
                    .suggest("write `<<` inside the object that takes the values over")
            });
        }
        if id.is_empty() {
            return findings.error(&key.span, || {
                Finding::error("a name must not be empty").at_path(section.name()).suggest("give it a name")
            });
        }
        let implicit = if plain { Implicit::of(id) } else { Implicit::Text };
        if implicit != Implicit::Text {
            return findings.error(&key.span, || {
                Finding::error(format!("a name must be text, found {}", implicit.noun()))
                    .at_path(section.name())
                    .suggest(format!("quote it: \"{}\"", mask::word(id)))
            });
        }
        if is_null(value) {
            return findings.error(&key.span, || {
                Finding::error("nothing is declared here")
                    .at_path(ConfigPath::object(section, id))
                    .suggest("declare its fields, or remove the line")
            });
        }
        if let Some(object) = self.decoder.object(section, id, value) {
            let entry = Entry { id: Box::from(&**id), span: key.span.clone(), object };
            self.document.place(section).get_or_insert_default().push(entry);
        }
    }

    fn refuse_null_section(&mut self, section: Section, key: &Range<usize>) {
        self.document.findings.error(key, || {
            Finding::error("null says neither `none` nor `leave alone`").at_path(section.name()).suggest(
                format!(
                    "write `{0}: {{}}` for none, or remove the line to leave the section alone",
                    section.name()
                ),
            )
        });
    }
}

fn is_null(node: &Node<'_>) -> bool {
    matches!(&node.content, Content::Scalar { text, plain: true } if Implicit::of(text) == Implicit::Null)
}

/// Returns a carried value as JSON, typed as the orchestrator's YAML reader types it.
pub(super) fn json(node: &Node<'_>) -> serde_json::Value {
    match &node.content {
        Content::Scalar { text, plain } => match if *plain { Implicit::of(text) } else { Implicit::Text } {
            Implicit::Null => serde_json::Value::Null,
            Implicit::Flag(flag) => flag.into(),
            Implicit::Integer | Implicit::Float => {
                super::scalar::json_number(text).map_or_else(|| text.clone().into(), Into::into)
            }
            Implicit::Timestamp | Implicit::Text => text.clone().into(),
        },
        Content::Sequence(items) => items.iter().map(json).collect(),
        Content::Mapping(entries) => entries
            .iter()
            .map(|(key, value)| {
                (key.text().map_or_else(|| json(key).to_string(), str::to_owned), json(value))
            })
            .collect(),
    }
}
