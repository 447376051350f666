//! A plan as programs read it. The shape is a contract, published in `docs/schemas`: fields are added, never changed.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Class, LeftAlone, Plan, SchemaStep, Step};
use crate::model::{ConfigPath, Finding, Shown, SourceDigest};

/// What a pass would do, or did.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// Whether both sides say the same: nothing to write, no difference left.
    pub in_sync: bool,
    /// One sentence for people.
    pub summary: String,
    /// The digest of the source that was planned for; null for an edit.
    pub source: Option<SourceDigest>,
    /// The fingerprint of the rows that were planned on.
    pub store: String,
    /// Tables and columns to create first.
    pub schema: Vec<SchemaStepDocument>,
    /// What to write, in order.
    pub steps: Vec<StepDocument>,
    /// Every difference that stays, and why.
    pub left_alone: Vec<LeftAlone>,
    /// Why nothing may be written.
    pub refused: Vec<Finding>,
    /// How many declared fields were compared and equal.
    pub values_in_sync: usize,
}

/// A change to the database's structure.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "op")]
pub enum SchemaStepDocument {
    /// Create the orchestrator's tables.
    CreateTables,
    /// Add a column that an older database lacks.
    AddColumn {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
}

/// A change to one object.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "op")]
pub enum StepDocument {
    /// Insert it.
    Create {
        /// The object.
        #[schemars(with = "String")]
        path: ConfigPath,
        /// Why.
        class: Class,
        /// The declared fields; secrets are masked.
        fields: IndexMap<&'static str, Shown>,
    },
    /// Change some of its fields.
    Update {
        /// The object.
        #[schemars(with = "String")]
        path: ConfigPath,
        /// At least one.
        changes: Vec<ChangeDocument>,
    },
    /// Delete it.
    Delete {
        /// The object.
        #[schemars(with = "String")]
        path: ConfigPath,
    },
}

/// One field to write.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeDocument {
    /// The field.
    #[schemars(with = "String")]
    pub path: ConfigPath,
    /// Why.
    pub class: Class,
    /// What the row holds; secrets are masked.
    pub old: Shown,
    /// What it will hold; secrets are masked.
    pub new: Shown,
}

impl Plan {
    /// Returns the plan as programs read it. It holds no secret.
    pub fn document(&self) -> PlanDocument {
        PlanDocument {
            in_sync: self.is_in_sync(),
            summary: self.summary(),
            source: self.source.clone(),
            store: self.store.to_string(),
            schema: self.schema.iter().copied().map(schema_step).collect(),
            steps: self.step_documents(),
            left_alone: self.left_alone.clone(),
            refused: self.refused.clone(),
            values_in_sync: self.in_sync,
        }
    }

    /// Returns the steps as programs read them.
    pub fn step_documents(&self) -> Vec<StepDocument> {
        self.steps.iter().map(step).collect()
    }
}

fn schema_step(step: SchemaStep) -> SchemaStepDocument {
    match step {
        SchemaStep::CreateTables => SchemaStepDocument::CreateTables,
        SchemaStep::AddColumn { section, field } => {
            SchemaStepDocument::AddColumn { table: section.table(), column: section.spec(field).column }
        }
    }
}

fn step(step: &Step) -> StepDocument {
    let (section, id) = step.target();
    let path = ConfigPath::object(section, id);
    match step {
        Step::Create { object, class, .. } => StepDocument::Create {
            path,
            class: *class,
            fields: object.iter().map(|(field, value)| (section.spec(field).name, value.shown())).collect(),
        },
        Step::Update { changes, .. } => {
            let change = |change: &super::Change| ChangeDocument {
                path: ConfigPath::field(section, id, change.field),
                class: change.class,
                old: change.old.shown(),
                new: change.new.shown(),
            };
            StepDocument::Update { path, changes: changes.iter().map(change).collect() }
        }
        Step::Delete { .. } => StepDocument::Delete { path },
    }
}
