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
mod findings;
mod foreign;
mod locate;
mod mask;
mod scalar;
mod split;
mod suspect;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{
    Carried, ConfigPath, Configuration, Finding, Fingerprinter, Object, SecretReference, SecretText, Section,
    SourceDigest, SourceSnapshot,
};
use document::Document;
use findings::{Findings, Located};
use yaml::Node;

/// The largest source that is read, in bytes over all its files: 100 000 services take 47 MiB.
pub const MAX_SOURCE_BYTES: usize = 64 << 20;

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

/// Returns where the keys of a text stand that are wanted: by path, which is keys and positions in lists, joined by
/// dots.
pub fn places_of(
    name: &str,
    text: &str,
    wanted: &BTreeSet<String>,
) -> BTreeMap<String, crate::model::Location> {
    locate::places_of(name, text, wanted)
}

pub use clobbered::{clobbered, known, may_be_clobbered};
pub use mask::Masker;
pub use scalar::closest;

/// Returns a text with everything that may be a secret replaced by dots.
pub fn masked(text: &str) -> String {
    mask::text(text, std::iter::empty())
}

/// Whether anything in a source may be a secret, comments and sections that are not managed included.
pub fn may_hold_secrets(source: &SourceSnapshot) -> bool {
    let hides = |bytes: &[u8]| std::str::from_utf8(bytes).map_or(true, mask::hides);
    source.documents.iter().any(|document| hides(&document.bytes))
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
    key_references(source, |reference| reference.get("secretKeyRef")?.get("name")?.text())
}

/// Returns the files that a source takes API keys from, as it names them, so that they can be watched.
pub fn secret_files_named(source: &SourceSnapshot) -> BTreeSet<String> {
    key_references(source, |reference| reference.get("file")?.text())
}

/// Returns what `named` finds in the services' references to API keys.
fn key_references(
    source: &SourceSnapshot,
    named: for<'n> fn(&'n Node<'_>) -> Option<&'n str>,
) -> BTreeSet<String> {
    let word = decode::KEY_REFERENCE.as_bytes();
    let mut found = BTreeSet::new();
    for document in &source.documents {
        // Most files have none, and need not be read for it.
        if !document.bytes.windows(word.len()).any(|window| window == word) {
            continue;
        }
        let Ok(text) = std::str::from_utf8(&document.bytes) else { continue };
        locate::find_entries(text, |section, _, object| {
            let reference = object.get(decode::KEY_REFERENCE).filter(|_| section == Section::Services);
            found.extend(reference.and_then(named).map(str::to_owned));
            false
        });
    }
    found
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
        .map_err(|findings| findings.located("input", text).shown())
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
    findings: Located,
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
            document.findings = Findings::default();
            document.findings.error(&(0..0), || foreign);
            return self.findings.append(document.findings.located(name, text));
        }
        self.merge_sections(name, &mut document);
        self.merge_carried(text, &mut document);
        self.plaintext_secrets += document.plaintext_secrets;
        self.findings.append(document.findings.located(name, text));
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
                    document.findings.error(&entry.span, || {
                        let message = match ends.get(first) {
                            Some((_, first)) => format!("already declared in {first}"),
                            None => "declared twice in this file".to_owned(),
                        };
                        Finding::error(message)
                            .at_path(ConfigPath::object(section, &entry.id))
                            .suggest("keep one of them: an object stands in one place")
                    });
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
            let name = &section.name;
            let findings = &mut document.findings;
            if !self.carried_names.insert(name.clone()) {
                findings.error(&span, || {
                    Finding::error("this section stands in two places")
                        .at_path(name)
                        .suggest("keep one of them")
                });
            } else if let Some(suggestion) = carried::near_miss(name) {
                findings.error(&span, || {
                    Finding::error("unknown section, close to one that is known")
                        .at_path(name)
                        .suggest(suggestion)
                });
            } else if !carried::is_known(name) {
                findings.warning(&span, || {
                    Finding::warning("unknown section: it is kept, and has no effect")
                        .at_path(name)
                        .suggest("remove it, or begin its name with `x-` if other sections refer to it")
                });
            } else if section.masked.is_some() {
                findings.warning(&span, || {
                    Finding::warning("something in this section is named like a secret: it is kept encrypted")
                        .at_path(name)
                        .suggest("keep secrets out of sections other than services")
                });
            }
            self.carried.0.push(section);
        }
    }

    /// Checks what needs all documents; only once each of them is sound by itself.
    fn check(&mut self, source: &SourceSnapshot) {
        if self.findings.are_warnings() {
            if self.configuration.is_out_of_scope() {
                let message = "the source declares none of services, routing_rules and execution";
                self.findings.push(Finding::error(message).suggest("an empty source changes nothing"));
            }
            let (broken, more) = check::references(&self.configuration);
            for finding in locate::references(source, broken) {
                self.findings.push(finding);
            }
            self.findings.and_more(more);
        }
    }

    fn finish(self, digest: SourceDigest) -> Result<DesiredConfig, Vec<Finding>> {
        if !self.findings.are_warnings() {
            return Err(self.findings.shown());
        }
        Ok(DesiredConfig {
            configuration: self.configuration,
            carried: self.carried,
            digest,
            plaintext_secrets: self.plaintext_secrets,
            incomplete: self.incomplete,
            warnings: self.findings.shown(),
        })
    }
}

#[cfg(test)]
mod tests;
