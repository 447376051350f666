//! Source bytes to a [`DesiredConfig`], or to everything that is wrong with them.
//!
//! ```text
//! documents ─ document ─▶ objects, carried sections ─ merge ─▶ check ─▶ DesiredConfig
//!                 │                                      │        │
//!                 └──────────── findings ────────────────┴────────┴──▶ Vec<Finding>, nothing else
//! ```
//!
//! Only [`read`] makes a [`DesiredConfig`], so whoever holds one holds a configuration that the orchestrator
//! would accept.

mod carried;
mod check;
mod clobbered;
mod decode;
mod document;
mod escape;
mod foreign;
mod locate;
mod mask;
mod scalar;
mod split;
mod suspect;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::model::{
    Carried, ConfigPath, Configuration, Finding, Fingerprinter, Object, SecretReference, SecretText, Section,
    Severity, SourceDigest, SourceSnapshot,
};
use document::Document;

/// The largest source that is read, in bytes over all its files: 100 000 services take 47 MiB.
pub const MAX_SOURCE_BYTES: usize = 64 << 20;

/// At most this many findings are reported; the last one says how many more there are.
const MAX_FINDINGS: usize = 100;

/// Finds the secrets that a source refers to. The shell implements it; tests use a table.
pub trait ResolveSecrets {
    /// Returns the secret, or why it cannot be had: lower case, names the thing, never a value.
    fn resolve(&self, reference: &SecretReference) -> Result<SecretText, String>;
}

impl<F: Fn(&SecretReference) -> Result<SecretText, String>> ResolveSecrets for F {
    fn resolve(&self, reference: &SecretReference) -> Result<SecretText, String> {
        self(reference)
    }
}

/// A valid declared configuration.
#[derive(Clone, Debug)]
pub struct DesiredConfig {
    configuration: Configuration,
    carried: Carried,
    digest: SourceDigest,
    plaintext_secrets: usize,
    incomplete: bool,
    warnings: Vec<Finding>,
}

impl DesiredConfig {
    /// The managed sections. A section that the source does not mention is `None`: out of scope.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The sections without a table.
    pub fn carried(&self) -> &Carried {
        &self.carried
    }

    /// The digest of the bytes this was read from.
    pub fn digest(&self) -> &SourceDigest {
        &self.digest
    }

    /// How many API keys stand in the source in plain text.
    pub fn plaintext_secrets(&self) -> usize {
        self.plaintext_secrets
    }

    /// Whether a file of the source holds nothing, so that what is not declared may only be missing: it is not pruned.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// What deserves attention and stops nothing.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }
}

/// A finding with its place in one document's text.
#[derive(Debug)]
struct Spanned {
    finding: Finding,
    span: Range<usize>,
}

/// Reads a source.
///
/// # Errors
/// Returns every finding, sorted by file and place, when at least one is an error. Nothing is half-read: the
/// caller keeps its last good configuration.
pub fn read(
    source: &SourceSnapshot,
    secrets: &(dyn ResolveSecrets + Sync),
    fingerprinter: &Fingerprinter,
) -> Result<DesiredConfig, Vec<Finding>> {
    let size: usize = source.documents.iter().map(|document| document.bytes.len()).sum();
    if size > MAX_SOURCE_BYTES {
        return Err(vec![too_large(size)]);
    }
    let mut gathered = Gathered::default();
    for document in &source.documents {
        if source.documents.len() > 1 && says_nothing(&document.bytes) {
            gathered.note_incomplete(&document.name);
        }
        gathered.add(&document.name, &document.bytes, secrets, fingerprinter);
    }
    gathered.check(source);
    gathered.finish(source.digest())
}

/// Returns the position of the document that declares an object, or the whole section when no `id` is given.
pub fn owner(source: &SourceSnapshot, section: Section, id: Option<&str>) -> Option<usize> {
    source.documents.iter().position(|document| {
        std::str::from_utf8(&document.bytes).is_ok_and(|text| locate::declares(text, section, id))
    })
}

/// Returns where each key of a text stands, by its path: keys and positions in lists, joined by dots.
pub fn key_places(name: &str, text: &str) -> Vec<(String, crate::model::Location)> {
    locate::key_places(name, text, |_| true)
}

/// Returns where some keys of a text stand, by their paths.
pub fn places_of(name: &str, text: &str, wanted: &[String]) -> Vec<(String, crate::model::Location)> {
    locate::key_places(name, text, |path| wanted.iter().any(|it| it == path))
}

pub use clobbered::{clobbered, known, may_be_clobbered};
pub use scalar::closest;

/// Returns a line of a text with everything that may be a secret replaced by dots. `line` is its range, without its end.
pub fn masked_line(text: &str, line: Range<usize>) -> String {
    mask::masked(text, line)
}

/// Returns what a YAML text says as plain data, typed as the orchestrator's own reader types it.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn value_of(text: &str) -> Result<serde_json::Value, String> {
    let mut reader = yaml::Reader::new(text);
    let value = |reader: &mut yaml::Reader<'_>| {
        let value = match reader.open()? {
            yaml::Next::End => serde_json::Value::Null,
            _ => document::json(&reader.node()?),
        };
        reader.close().map(|()| value)
    };
    match value(&mut reader) {
        Ok(value) => Ok(value),
        Err(error) => {
            let line = text[..error.span.start].matches('\n').count() + 1;
            Err(format!("line {line}: {}", error.message))
        }
    }
}

/// Returns the Kubernetes Secrets that a source refers to, so that they can be had before it is read.
pub fn secrets_named(source: &SourceSnapshot) -> BTreeSet<String> {
    references(source, "secretKeyRef", "/apiKeyFrom/secretKeyRef/name")
}

/// Returns the files that a source takes API keys from, as it names them, so that they can be watched.
pub fn secret_files_named(source: &SourceSnapshot) -> BTreeSet<String> {
    references(source, "apiKeyFrom", "/apiKeyFrom/file")
}

/// Returns the texts at `pointer` in the services of every document in which `word` occurs.
fn references(source: &SourceSnapshot, word: &str, pointer: &str) -> BTreeSet<String> {
    let mentions = |bytes: &[u8]| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    let texts = source.documents.iter().filter(|document| mentions(&document.bytes));
    let values = texts.filter_map(|document| value_of(std::str::from_utf8(&document.bytes).ok()?).ok());
    let text = |service: &serde_json::Value| Some(service.pointer(pointer)?.as_str()?.to_owned());
    values
        .flat_map(|value| {
            let services = value.get("services").and_then(serde_json::Value::as_object);
            services.into_iter().flatten().filter_map(|(_, service)| text(service)).collect::<Vec<_>>()
        })
        .collect()
}

/// Reads one object by itself, as an edit gives it: JSON or a YAML flow mapping. Fields that an edit leaves out are
/// not missing, and what it refers to is judged with the state that would result.
///
/// # Errors
/// Returns every finding.
pub fn partial_object(
    section: Section,
    id: &str,
    text: &str,
    secrets: &(dyn ResolveSecrets + Sync),
    fingerprinter: &Fingerprinter,
) -> Result<Object, Vec<Finding>> {
    document::read_partial(text, section, id, secrets, fingerprinter)
        .map_err(|findings| locate::all("input", text, findings))
}

/// Returns the finding for a source of `size` bytes, which is more than [`MAX_SOURCE_BYTES`].
pub fn too_large(size: usize) -> Finding {
    let (size, limit) = (size / 1_000_000, MAX_SOURCE_BYTES / 1_000_000);
    Finding::error(format!("the source is {size} MB; at most {limit} MB are read"))
        .suggest("is this the right file?")
}

/// Whether a file of a folder holds nothing: truncated, not written yet, or a link that leads nowhere.
fn says_nothing(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    text.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .all(|line| line.is_empty() || line.starts_with(b"#") || line == b"---" || line == b"...")
}

/// What was read so far, over all documents.
#[derive(Default)]
struct Gathered {
    configuration: Configuration,
    carried: Carried,
    carried_names: BTreeSet<String>,
    plaintext_secrets: usize,
    findings: Vec<Finding>,
    incomplete: bool,
    /// How many objects each section had when a document was read, by the document's name: which document declares an
    /// object is seen from its position.
    ends: BTreeMap<Section, Vec<(usize, String)>>,
}

impl Gathered {
    fn add(
        &mut self,
        name: &str,
        bytes: &[u8],
        secrets: &(dyn ResolveSecrets + Sync),
        fingerprinter: &Fingerprinter,
    ) {
        let text = match locate::utf8(name, bytes) {
            Ok(text) => text,
            Err(finding) => return self.findings.push(*finding),
        };
        let mut document = split::read(text, secrets, fingerprinter);
        if let Some(foreign) = foreign::recognise(text, &document) {
            // What is wrong with it as a configuration helps nobody.
            self.findings.extend(locate::all(name, text, vec![foreign]));
            return;
        }
        self.merge_sections(name, &mut document);
        self.merge_carried(text, &mut document);
        self.plaintext_secrets += document.plaintext_secrets;
        self.findings.extend(locate::all(name, text, document.findings));
    }

    fn merge_sections(&mut self, name: &str, document: &mut Document) {
        for section in Section::ALL {
            let Some(entries) = document.take(section) else { continue };
            let ends = self.ends.entry(section).or_default();
            let objects = self.configuration.section_mut(section).get_or_insert_default();
            objects.reserve(entries.len());
            for entry in entries {
                if let Some(position) = objects.get_index_of(&entry.id) {
                    let first = ends.partition_point(|(end, _)| *end <= position);
                    let message = match ends.get(first) {
                        Some((_, first)) => format!("already declared in {first}"),
                        None => "declared twice in this file".to_owned(),
                    };
                    let finding = Finding::error(message)
                        .at_path(ConfigPath::object(section, &entry.id))
                        .suggest("keep one of them: an object stands in one place");
                    document.findings.push(Spanned { finding, span: entry.span });
                } else {
                    objects.insert(entry.id, Arc::new(entry.object));
                }
            }
            ends.push((objects.len(), name.to_owned()));
        }
    }

    fn note_incomplete(&mut self, name: &str) {
        self.incomplete = true;
        let finding = Finding::warning(format!("{name} holds nothing: the source may be incomplete"));
        self.findings
            .push(finding.suggest("nothing is pruned until it is written, or removed from the folder"));
    }

    fn merge_carried(&mut self, text: &str, document: &mut Document) {
        for (section, span) in carried::sections(text, document) {
            let finding = if !self.carried_names.insert(section.name.clone()) {
                Finding::error("this section stands in two places").suggest("keep one of them")
            } else if let Some(suggestion) = carried::near_miss(&section.name) {
                Finding::error("unknown section, close to one that is known").suggest(suggestion)
            } else if !carried::is_known(&section.name) {
                Finding::warning("unknown section: it is kept, and has no effect")
                    .suggest("remove it, or begin its name with `x-` if other sections refer to it")
            } else if section.masked.is_some() {
                Finding::warning("something in this section is named like a secret: it is kept encrypted")
                    .suggest("keep secrets out of sections other than services")
            } else {
                self.carried.0.push(section);
                continue;
            };
            document.findings.push(Spanned { finding: finding.at_path(&section.name), span });
            self.carried.0.push(section);
        }
    }

    /// Checks what needs all documents; only once each of them is sound by itself.
    fn check(&mut self, source: &SourceSnapshot) {
        if self.is_sound() {
            if self.configuration.is_out_of_scope() {
                let message = "the source declares none of services, routing_rules and execution";
                self.findings.push(Finding::error(message).suggest("an empty source changes nothing"));
            }
            let broken = check::references(&self.configuration);
            self.findings.extend(locate::references(source, broken));
        }
    }

    fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Warning)
    }

    fn finish(mut self, digest: SourceDigest) -> Result<DesiredConfig, Vec<Finding>> {
        let sound = self.is_sound();
        let more = self.findings.len().saturating_sub(MAX_FINDINGS);
        if more > 0 {
            // No error is left out for a warning.
            self.findings.sort_by_key(|finding| finding.severity);
            self.findings.truncate(MAX_FINDINGS);
            let more = format!("and {more} more findings");
            self.findings.push(if sound { Finding::warning(more) } else { Finding::error(more) });
        }
        if sound {
            return Ok(DesiredConfig {
                configuration: self.configuration,
                carried: self.carried,
                digest,
                plaintext_secrets: self.plaintext_secrets,
                incomplete: self.incomplete,
                warnings: self.findings,
            });
        }
        Err(self.findings)
    }
}

#[cfg(test)]
mod tests;
