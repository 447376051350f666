//! What was read: the source's bytes, and the store's rows with what both sides last agreed on.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Configuration, Decision, FieldId, Object, Section, parse_canonical};

/// The source as it was read: bytes, names, nothing parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSnapshot {
    /// The source as the user named it, as `file:PATH` or `oxideconfig:NAMESPACE/NAME`.
    pub origin: String,
    /// The documents in the order in which they are merged (by name, for a folder).
    pub documents: Vec<SourceDocument>,
}

impl SourceSnapshot {
    /// Returns a source of one document.
    pub fn of(origin: impl Into<String>, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let document = SourceDocument { name: name.into(), bytes: bytes.into() };
        Self { origin: origin.into(), documents: vec![document] }
    }
}

/// One file of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDocument {
    /// The file as the user would name it.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl SourceSnapshot {
    /// Whether it was read from files, rather than from an object of Kubernetes.
    pub fn is_on_disk(&self) -> bool {
        !(self.origin.starts_with("configmap:") || self.origin.starts_with("oxideconfig:"))
    }

    /// Returns the digest of all documents: the same bytes under the same names, the same digest.
    pub fn digest(&self) -> SourceDigest {
        let mut hasher = Sha256::new();
        for document in &self.documents {
            for part in [document.name.rsplit('/').next().unwrap_or_default().as_bytes(), &document.bytes] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        SourceDigest(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The digest of a source's content: 64 hexadecimal digits (SHA-256).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SourceDigest(pub String);

impl fmt::Display for SourceDigest {
    /// The first 12 digits: enough for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// The sections that have no table in the database, kept with each revision and restored by export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried(pub Vec<CarriedSection>);

/// One carried section.
#[derive(Clone, PartialEq, Eq)]
pub struct CarriedSection {
    /// Its top-level key.
    pub name: String,
    /// A YAML text that is a document of its own: `name: …`, comments included. Empty when no key at hand opens it.
    pub yaml: String,
    /// The same with dots in place of what may be a secret; none where nothing may be.
    pub masked: Option<String>,
}

impl std::fmt::Debug for CarriedSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.masked.as_ref().unwrap_or(&self.yaml);
        f.debug_struct("CarriedSection").field("name", &self.name).field("yaml", shown).finish()
    }
}

/// The store as it was in one read transaction.
#[derive(Clone, Debug, Default)]
pub struct StoreSnapshot {
    /// From which source what is agreed on comes, as it resolves on this machine; none before that was recorded.
    pub place: Option<String>,
    /// The orchestrator's own rows. Services in the order in which it lists them. Every section is in scope.
    pub live: Configuration,
    /// Ids of services of other machines (`node_id` is set): never ours.
    pub remote_services: BTreeSet<Box<str>>,
    /// What both sides agreed on when a pass last succeeded.
    pub base: Base,
    /// Tables and columns that this database lacks.
    pub missing: MissingSchema,
    /// The carried sections recorded with the last pass.
    pub carried: Carried,
    /// Tokens seen and tokens that no key decrypts.
    pub tokens: usize,
    /// Of `tokens`, those that no key at hand decrypts.
    pub undecryptable: usize,
    /// Of `undecryptable`, those that are no tokens at all.
    pub damaged_tokens: usize,
    /// Of `tokens`, those that only a retired key decrypts: the orchestrator cannot read them.
    pub under_retired_key: usize,
    /// What somebody decided about this store: accepted values, pauses, pins.
    pub decisions: Vec<Decision>,
    /// The source that was last good, when it is kept.
    pub good_source: Option<GoodSource>,
    /// Changes whenever a managed row or our own bookkeeping changes.
    pub fingerprint: StoreFingerprint,
}

impl StoreSnapshot {
    /// Whether nobody has put anything into this store: no service, no rule, execution at its defaults.
    ///
    /// Source: the orchestrator inserts the execution row with defaults when it creates the schema.
    pub fn is_untouched(&self) -> bool {
        self.live.count(Section::Services) == 0
            && self.live.count(Section::RoutingRules) == 0
            && self.execution_is_default()
    }

    /// Whether there is a configuration, by the orchestrator's rule: services of any machine, or rules.
    pub fn has_configuration(&self) -> bool {
        let own = self.live.count(Section::Services) + self.live.count(Section::RoutingRules);
        own + self.remote_services.len() > 0
    }

    fn execution_is_default(&self) -> bool {
        let Some(row) = self.live.get(Section::Execution, Configuration::EXECUTION_ID) else { return true };
        row.iter().all(|(field, value)| value.is_default(Section::Execution.spec(field)))
    }

    /// Whether not one token decrypts: the sign of a wrong key rather than of damage. With a single one that is formed as a
    /// token the two look alike, and stopping is the safe answer to both.
    pub fn key_is_wrong(&self) -> bool {
        let formed = self.tokens - self.damaged_tokens.min(self.tokens);
        formed > 0 && self.undecryptable == self.tokens
    }
}

/// What is known of the source that was last good, without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodSource {
    /// Its digest.
    pub digest: SourceDigest,
    /// Whether it had comments.
    pub comments: bool,
    /// How many API keys stood in it in plain text.
    pub plaintext_secrets: usize,
}

/// A hash over every managed row of a store and our own bookkeeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFingerprint(pub u128);

impl fmt::Display for StoreFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What both sides agreed on, object by object.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// Whether a pass ever succeeded on this store. Before that, every difference is a conflict.
    pub met: bool,
    /// By section and id.
    pub objects: HashMap<Section, HashMap<Box<str>, BaseObject>>,
}

impl Base {
    /// Returns what is recorded of one object.
    pub fn get(&self, section: Section, id: &str) -> Option<&BaseObject> {
        self.objects.get(&section)?.get(id)
    }
}

/// What is recorded of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseObject {
    /// The fields that both sides agreed on, as [`canonical_json`](super::canonical_json) writes them.
    pub agreed: Box<str>,
    /// What differed when we met and nobody has chosen yet.
    pub held: Held,
}

/// Differences found when a store was met, waiting for somebody's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Held {
    /// None.
    #[default]
    Nothing,
    /// These fields.
    Fields(BTreeSet<FieldId>),
    /// The whole object: declared by the source, absent from the store.
    Absent,
}

impl BaseObject {
    /// Returns the agreed fields.
    pub fn fields(&self, section: Section) -> Object {
        parse_canonical(section, &self.agreed).unwrap_or_default()
    }

    /// Whether both sides ever agreed on this object, so that it is ours to delete.
    pub fn is_owned(&self) -> bool {
        self.held != Held::Absent
    }
}

impl Held {
    /// Whether `field` waits for a choice.
    pub fn holds(&self, field: FieldId) -> bool {
        match self {
            Self::Nothing => false,
            Self::Fields(fields) => fields.contains(&field),
            Self::Absent => true,
        }
    }

    /// Returns the form that the database keeps: nothing, `*`, or names with commas.
    pub fn to_text(&self, section: Section) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Absent => Some("*".into()),
            Self::Fields(fields) => {
                let names: Vec<&str> = fields.iter().map(|field| section.spec(*field).name).collect();
                Some(names.join(","))
            }
        }
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    pub fn from_text(section: Section, text: Option<&str>) -> Self {
        match text {
            None | Some("") => Self::Nothing,
            Some("*") => Self::Absent,
            Some(names) => Self::Fields(names.split(',').filter_map(|name| section.field(name)).collect()),
        }
    }
}

/// Tables and columns of the orchestrator that a database lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingSchema {
    /// Sections whose table does not exist.
    pub tables: BTreeSet<Section>,
    /// Columns that an older version's table does not have.
    pub columns: BTreeSet<(Section, FieldId)>,
    /// Whether other tables of the orchestrator (nodes, history) do not exist.
    pub others: bool,
}
