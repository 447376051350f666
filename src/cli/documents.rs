//! What `-o json` and `-o yaml` print, and the JSON schemas of it. The shapes are a contract: fields are added, never
//! changed.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, json_schema};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::adopt::AdoptDocument;
use super::doctor::Check;
use super::operator_file::OperatorFile;
use crate::actions::{
    DecisionDocument, DiffDocument, EditDocument, ExplainDocument, KeyDocument, Listed, PromoteDocument,
    RevisionDocument, field_schema,
};
use crate::guide::MigrationResult;
use crate::model::{AgentHolder, Finding, Section};
use crate::plan::PlanDocument;
use crate::report::{Objects, SyncReport};
use crate::store::{BackupCheck, Revision};

/// `plan`, `apply`: what a pass found and did, with its plan.
#[derive(Serialize, JsonSchema)]
pub(super) struct ReportDocument<'a> {
    #[serde(flatten)]
    pub(super) report: &'a SyncReport,
    /// The plan; absent when none could be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plan: Option<PlanDocument>,
}

impl<'a> ReportDocument<'a> {
    pub(super) fn of(report: &'a SyncReport) -> Self {
        Self { report, plan: report.plan.as_ref().map(|plan| plan.document()) }
    }
}

/// `verify`: whether every value is equal.
#[derive(Serialize, JsonSchema)]
pub(super) struct VerifyDocument<'a> {
    /// Whether the database holds what the YAML says, and nothing else.
    pub(super) equal: bool,
    /// How many objects each side has.
    pub(super) objects: &'a [Objects],
    /// How many differences there are.
    pub(super) differences: usize,
    /// What is wrong with the source, and what deserves attention.
    pub(super) findings: &'a [Finding],
    /// The differences; null when the two could not be compared.
    pub(super) plan: Option<PlanDocument>,
}

/// `status`: source, store, differences, backups and key.
#[derive(Serialize, JsonSchema)]
pub(super) struct StatusDocument<'a> {
    /// How the two sides compare.
    pub(super) report: &'a SyncReport,
    /// The agent that holds the database; null when none does.
    pub(super) agent: Option<AgentHolder>,
    /// The encryption key.
    pub(super) key: KeyDocument,
    /// The backups, newest first.
    pub(super) backups: Vec<BackupDocument<'a>>,
}

/// `key check`: which key is used, and what it opens.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyCheckDocument {
    /// Where the key comes from; null when there is none.
    pub(super) origin: Option<String>,
    /// A fingerprint of the key, from which it cannot be told.
    pub(super) fingerprint: Option<String>,
    /// Encrypted API keys in the database.
    pub(super) tokens: usize,
    /// How many of them only a retired key opens: the orchestrator cannot read them.
    pub(super) under_retired_key: usize,
    /// How many of them no key at hand opens.
    pub(super) undecryptable: usize,
    /// Retired keys at hand.
    pub(super) retired_keys: usize,
    /// Where a key lies that is not used and opens more of them; null when none is known.
    pub(super) other_key: Option<String>,
}

/// A backup, as `status` names it.
#[derive(Serialize, JsonSchema)]
pub(super) struct BackupDocument<'a> {
    /// The file.
    #[schemars(with = "String")]
    pub(super) path: &'a std::path::Path,
    /// Its size.
    pub(super) bytes: u64,
}

/// `config`: what the orchestrator would load.
#[derive(Serialize, JsonSchema)]
pub(super) struct ConfigDocument<'a> {
    /// Where it comes from.
    pub(super) backend: &'a str,
    /// Why not from the database; null when it does.
    pub(super) because: Option<String>,
    /// The configuration as its YAML has it, API keys masked.
    pub(super) config: Json,
}

/// The name of an output, and what makes its schema.
type Published = (&'static str, fn() -> Schema);

/// The schema of every output.
pub(super) const SCHEMAS: [Published; 19] = [
    ("adopt", of::<AdoptDocument<'_>>),
    ("backup-check", of::<Vec<BackupCheck>>),
    ("backup-list", of::<Vec<Listed>>),
    ("config", of::<ConfigDocument<'_>>),
    ("decisions", of::<Vec<DecisionDocument<'_>>>),
    ("diff", of::<DiffDocument>),
    ("doctor", of::<Vec<Check>>),
    ("edit", of::<EditDocument<'_>>),
    ("explain", of::<Vec<ExplainDocument>>),
    ("get", of_get),
    ("history", of::<Vec<Revision>>),
    ("key-check", of::<KeyCheckDocument>),
    ("migrate", of::<MigrationResult>),
    ("operator", of_settings),
    ("promote", of::<PromoteDocument<'_>>),
    ("report", of::<ReportDocument<'_>>),
    ("show", of::<RevisionDocument<'_>>),
    ("status", of::<StatusDocument<'_>>),
    ("verify", of::<VerifyDocument<'_>>),
];

fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

/// `operator.yaml`.
fn of_settings() -> Schema {
    schemars::schema_for!(OperatorFile)
}

/// `get`: services, rules, an object, or one value.
fn of_get() -> Schema {
    let [service, rule, execution] = Section::ALL.map(object);
    let value = json!({"description": "One value.", "type": ["string", "number", "boolean", "array", "null"], "items": {"type": "string"}});
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Get",
        "description": "`get`: services, rules, an object, or one value.",
        "$defs": {"service": service, "rule": rule, "execution": execution},
        "anyOf": [
            {"type": "array", "items": {"$ref": "#/$defs/service"}},
            {"type": "array", "items": {"$ref": "#/$defs/rule"}},
            {"$ref": "#/$defs/service"},
            {"$ref": "#/$defs/rule"},
            {"$ref": "#/$defs/execution"},
            value,
        ],
    })
}

/// An object as it stands in the YAML, with its id, every field present.
fn object(section: Section) -> Json {
    let id = (section != Section::Execution).then(|| section.id_column());
    let ids = id.iter().map(|id| ((*id).to_owned(), json!({"type": "string"})));
    let fields = section.fields().iter().map(|spec| (spec.name.to_owned(), field_schema(spec)));
    let properties: Map<String, Json> = ids.chain(fields).collect();
    let required: Vec<&String> = properties.keys().collect();
    json!({"type": "object", "required": required, "properties": properties})
}
