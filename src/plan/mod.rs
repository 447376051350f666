//! The decisions: what one pass would write, and what it leaves alone and why.
//!
//! A pure function of the declared configuration, the store's rows, the base and the policy. Execution
//! (`store::apply`) decides nothing; what is not in a [`Plan`] does not happen.

mod chosen;
mod display;
mod document;
mod explain;
mod judge;
mod object;
mod patience;
mod reason;
mod result;
mod three_way;
mod undo;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{
    BaseObject, Carried, ConfigPath, Decision, FieldId, Finding, Object, PathPattern, Section, Shown,
    SourceDigest, StoreFingerprint, Value,
};
pub use chosen::{Refusal, removal, restore, rules_naming, settled, towards, update};
pub use display::{Colour, findings_text};
pub use document::{ChangeDocument, PlanDocument, SchemaStepDocument, StepDocument};
pub use explain::{Answer, Explanation, explain};
pub use judge::Circumstances;
pub use patience::{Fights, Patience};
pub use reason::Reason;
pub use result::{check, faults};
pub use three_way::plan;
pub use undo::undo;

/// What one pass would do. Empty means in sync: nothing to write and nothing left alone.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Tables and columns to create first.
    pub schema: Vec<SchemaStep>,
    /// What to write, in order: services before the rules that name them, deletions the other way round.
    pub steps: Vec<Step>,
    /// Every difference that stays, and why.
    pub left_alone: Vec<LeftAlone>,
    /// What to record as agreed, once the steps are done. Never a reason to back up or to write history.
    pub base: Vec<BaseUpdate>,
    /// The carried sections to record, when they differ from the recorded ones.
    pub carried: Option<Carried>,
    /// Why nothing may be written: the state that would result is not one the orchestrator accepts.
    pub refused: Vec<Finding>,
    /// How many declared fields were compared and equal.
    pub in_sync: usize,
    /// Whether this is the first time we meet this store.
    pub first_meeting: bool,
    /// The source that was planned for.
    pub source: Option<SourceDigest>,
    /// The rows that were planned on.
    pub store: StoreFingerprint,
    /// Differences that are left out because the policy ignores their paths.
    pub ignored: usize,
    /// Patterns to ignore that fit nothing on either side.
    pub idle_ignores: Vec<String>,
    /// Pauses and pins that hold now.
    pub standing: Vec<Decision>,
    /// Whether the source is to be kept as good.
    pub keeps_source: bool,
    /// When the first decision is over, in seconds since the epoch.
    pub deadline: Option<f64>,
    /// Decisions to record.
    pub decide: Vec<Decision>,
    /// Decisions that no longer hold, to forget: kind and scope.
    pub forget: Vec<(String, String)>,
}

impl Plan {
    /// Returns what is left of the plan when nothing may be written but what both sides agree on already. On a store
    /// that was never met that is nothing.
    #[must_use]
    pub fn agreements(mut self) -> Self {
        let steps = std::mem::take(&mut self.steps);
        let touched =
            |update: &BaseUpdate| steps.iter().any(|step| step.target() == (update.section, &*update.id));
        self.base.retain(|update| !touched(update));
        self.schema.clear();
        self.refused.clear();
        self.carried = None;
        if std::mem::take(&mut self.first_meeting) {
            self.base.clear();
        }
        self
    }

    /// Whether a pass would write nothing at all, not even its own bookkeeping.
    pub fn is_noop(&self) -> bool {
        !self.changes_store()
            && self.base.is_empty()
            && self.carried.is_none()
            && !self.first_meeting
            && !self.keeps_source
            && self.decide.is_empty()
            && self.forget.is_empty()
    }

    /// Whether a pass would write something encrypted, so that it needs a key.
    pub fn writes_secrets(&self) -> bool {
        let is_secret = |value: &Value| matches!(value, Value::Secret(_));
        let mut carried = self.carried.iter().flat_map(|carried| &carried.0);
        carried.any(|section| section.masked.is_some())
            || self.steps.iter().any(|step| match step {
                Step::Create { object, .. } => object.iter().any(|(_, value)| is_secret(value)),
                Step::Update { changes, .. } => changes.iter().any(|change| is_secret(&change.new)),
                Step::Delete { .. } => false,
            })
    }

    /// Whether a pass would change the orchestrator's rows or tables.
    pub fn changes_store(&self) -> bool {
        !self.steps.is_empty() || !self.schema.is_empty()
    }

    /// Whether every step brings in what the source says anew, and none undoes what somebody did to the database.
    pub fn follows_the_source(&self) -> bool {
        self.steps.iter().all(|step| match step {
            Step::Create { class, .. } => *class == Class::Pending,
            Step::Update { changes, .. } => changes.iter().all(|change| change.class == Class::Pending),
            Step::Delete { .. } => true,
        })
    }

    /// Whether both sides say the same: nothing to write, no difference left.
    pub fn is_in_sync(&self) -> bool {
        self.steps.is_empty() && self.refused.is_empty() && !self.leaves_differences()
    }

    /// Whether differences stay even when every step is done.
    pub fn leaves_differences(&self) -> bool {
        self.left_alone.iter().any(LeftAlone::is_difference)
    }

    /// Whether some value could not be compared.
    pub fn is_incomplete(&self) -> bool {
        self.left_alone.iter().any(|left| left.class == Class::Unknown)
    }

    /// Whether a conflict waits for somebody's choice.
    pub fn has_held_conflict(&self) -> bool {
        self.left_alone.iter().any(|left| {
            matches!(left.reason, Reason::ConflictHeld | Reason::AdoptionHeld | Reason::RemovedButEdited)
        })
    }

    /// Whether a guard keeps something from being written: too many deletions, a pause, a pin.
    pub fn is_guarded(&self) -> bool {
        let guarded = |reason: &Reason| {
            matches!(reason, Reason::PruneGuard { .. } | Reason::Paused { .. } | Reason::Pinned(_))
        };
        self.left_alone.iter().any(|left| guarded(&left.reason))
    }

    /// How many differences somebody accepted.
    pub fn accepted(&self) -> usize {
        self.left_alone.iter().filter(|left| matches!(left.reason, Reason::Accepted { .. })).count()
    }

    /// Returns the decision of a kind that holds now, of the widest scope.
    pub fn standing(&self, kind: &str) -> Option<&Decision> {
        let of_kind = self.standing.iter().filter(|decision| decision.kind.name() == kind);
        of_kind.min_by_key(|decision| decision.scope.as_ref().map(PathPattern::specificity))
    }
}

/// A change to the database's structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "op")]
pub enum SchemaStep {
    /// Create whatever the orchestrator's schema has and this database lacks.
    CreateTables,
    /// Add a column that this older database lacks and a step needs.
    AddColumn {
        /// The table's section.
        section: Section,
        /// The field that the column holds.
        #[serde(skip)]
        field: FieldId,
    },
}

/// A change to one row.
#[derive(Clone, Debug)]
pub enum Step {
    /// Insert an object that the source declares and the store lacks.
    Create {
        /// The object's section.
        section: Section,
        /// The object's id.
        id: Box<str>,
        /// The declared fields; what is absent takes the orchestrator's default.
        object: Arc<Object>,
        /// Why.
        class: Class,
    },
    /// Change fields of a row that is there.
    Update {
        /// The object's section.
        section: Section,
        /// The object's id.
        id: Box<str>,
        /// At least one, in table order.
        changes: Vec<Change>,
    },
    /// Delete a row.
    Delete {
        /// The object's section.
        section: Section,
        /// The object's id.
        id: Box<str>,
    },
}

impl Step {
    /// The object's section and id.
    pub fn target(&self) -> (Section, &str) {
        match self {
            Self::Create { section, id, .. }
            | Self::Update { section, id, .. }
            | Self::Delete { section, id } => (*section, id),
        }
    }

    /// `create`, `update` or `delete`.
    pub fn op(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Delete { .. } => "delete",
        }
    }
}

/// One field to write.
#[derive(Clone, Debug)]
pub struct Change {
    /// The field.
    pub field: FieldId,
    /// What the row holds.
    pub old: Value,
    /// What it will hold.
    pub new: Value,
    /// Why: the source moved, or the policy answers drift or conflict with the source's value.
    pub class: Class,
}

/// How the three sides of a value stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The source moved.
    Pending,
    /// The database moved.
    Drift,
    /// Both moved apart, or differed when we met.
    Conflict,
    /// Set in the database, not mentioned by the source.
    Undeclared,
    /// An object in the database that we do not own.
    Extra,
    /// One side cannot be read. Never counted as in sync.
    Unknown,
}

impl Class {
    /// All classes, in the order of their urgency for a reader.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Conflict, Self::Drift, Self::Pending, Self::Extra, Self::Undeclared];

    /// The word used everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Drift => "drift",
            Self::Conflict => "conflict",
            Self::Undeclared => "undeclared",
            Self::Extra => "extra",
            Self::Unknown => "unknown",
        }
    }
}

/// A difference that stays, with all three sides.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LeftAlone {
    /// Where.
    #[schemars(with = "String")]
    pub path: ConfigPath,
    /// What it is.
    pub class: Class,
    /// Why it stays.
    #[schemars(with = "String")]
    pub reason: Reason,
    /// What both sides last agreed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Shown>,
    /// What the source says.
    #[serde(rename = "source", skip_serializing_if = "Option::is_none")]
    pub desired: Option<Shown>,
    /// What the database holds.
    #[serde(rename = "database", skip_serializing_if = "Option::is_none")]
    pub live: Option<Shown>,
}

impl LeftAlone {
    /// Whether source and database say different things here. What only one side mentions is no difference, nor is
    /// what somebody accepted.
    pub fn is_difference(&self) -> bool {
        !matches!(self.class, Class::Undeclared | Class::Extra)
            && !matches!(self.reason, Reason::Accepted { .. })
    }
}

/// What to record for one object; `None` forgets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUpdate {
    /// The object's section.
    pub section: Section,
    /// The object's id.
    pub id: Box<str>,
    /// The new record.
    pub record: Option<NewRecord>,
}

/// What both sides will agree on, once the steps are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewRecord {
    /// Every declared field of this object. Written out only when it is stored: a migration records thousands.
    Whole(Arc<Object>),
    /// This.
    Record(BaseObject),
}
