//! What the command line and the API both print. The shapes are a contract: fields are added, never changed.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::model::{ConfigPath, Decision, FieldDefault, FieldSpec, Finding, Kind};
use crate::plan::{PlanDocument, StepDocument};
use crate::report::Written;
use crate::store::{Revision, RevisionId};

/// `set`, `add`, `remove`, `restore`: what was, or would be, written.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EditDocument<'a> {
    /// What is to be changed.
    pub(crate) plan: PlanDocument,
    /// What was written; null in a dry run, and where there was nothing to write.
    pub(crate) written: Option<&'a Written>,
}

/// `show`: one revision.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RevisionDocument<'a> {
    #[serde(flatten)]
    pub(crate) revision: &'a Revision,
    /// The configuration after it, as YAML, API keys masked.
    pub(crate) configuration: String,
}

/// `diff REV`: what changed since.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DiffDocument {
    /// The revision compared with.
    #[schemars(with = "String")]
    pub(crate) from: RevisionId,
    /// What changed.
    pub(crate) steps: Vec<StepDocument>,
}

/// The encryption key and what it opens.
#[derive(Serialize, JsonSchema)]
pub(crate) struct KeyDocument {
    /// Whether there is one.
    pub(crate) present: bool,
    /// Where it comes from.
    pub(crate) origin: String,
    /// Encrypted API keys in the database; null when that cannot be read.
    pub(crate) tokens: Option<usize>,
    /// How many of them no key at hand opens.
    pub(crate) undecryptable: Option<usize>,
}

/// `promote`: what was, or would be, written into the source.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromoteDocument<'a> {
    /// What the source says now as the database does.
    #[schemars(with = "Vec<String>")]
    pub(crate) promoted: &'a [ConfigPath],
    /// What it does not, and why.
    pub(crate) blocked: &'a [Finding],
    /// The files that changed.
    pub(crate) files: Vec<&'a str>,
    /// The change as a unified diff; what may be a secret is masked.
    pub(crate) diff: String,
    /// The commit; null without `--git`.
    pub(crate) commit: Option<String>,
    /// Whether anything was written.
    pub(crate) written: bool,
}

/// `accept`, `pause`, `resume`: what was decided, or what ended.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DecisionDocument<'a> {
    /// `accept` or `pause`.
    pub(crate) kind: &'static str,
    /// Where it holds; null for the whole store.
    pub(crate) scope: Option<String>,
    /// Who decided.
    pub(crate) by: &'a str,
    /// Why.
    pub(crate) reason: &'a str,
    /// When, in seconds since the epoch.
    pub(crate) at: f64,
    /// Until when, in seconds since the epoch; null for good.
    pub(crate) until: Option<f64>,
}

impl<'a> DecisionDocument<'a> {
    pub(crate) fn of(decision: &'a Decision) -> Self {
        let Decision { kind, scope, by, reason, at, until } = decision;
        let scope = scope.as_ref().map(ToString::to_string);
        Self { kind: kind.name(), scope, by, reason, at: *at, until: *until }
    }
}

/// The JSON schema of one field as it stands in the YAML.
pub(crate) fn field_schema(spec: &FieldSpec) -> Json {
    let type_ = match spec.kind {
        Kind::Set | Kind::List => return json!({"type": "array", "items": {"type": "string"}}),
        Kind::Text | Kind::Secret | Kind::Choice(_) => "string",
        Kind::Flag => "boolean",
        Kind::Integer => "integer",
    };
    if spec.required || spec.default != FieldDefault::Unset {
        json!({"type": type_})
    } else {
        json!({"type": [type_, "null"]})
    }
}
