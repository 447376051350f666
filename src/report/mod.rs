//! The one thing that metrics, status, history and the command line read: what a pass found and did.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::desired::DesiredConfig;
use crate::model::{AgentHolder, Finding, Section, SourceDigest, StoreFingerprint};
use crate::plan::{Class, Plan, Reason, Step};

/// What one pass found and did. Always made, also on failure. It holds no secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncReport {
    /// The source as the user named it.
    pub source: String,
    /// The database's path.
    pub store: String,
    /// When the pass began, in seconds since the epoch.
    pub started_at: f64,
    /// How long it took.
    pub duration_seconds: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// One sentence for people.
    pub summary: String,
    /// The digest of the source, once it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<SourceDigest>,
    /// Differences by section and class, steps included as long as they are not applied.
    pub differences: Vec<Count>,
    /// How many objects each side has.
    pub objects: Vec<Objects>,
    /// What is wrong with the source or with the state that would result, and what deserves attention.
    pub findings: Vec<Finding>,
    /// What was written, if anything was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
    /// The agent that holds the database, while this one stands by for it and writes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<AgentHolder>,
    /// Why the pass failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// API keys in the source in plain text.
    pub plaintext_secrets: usize,
    /// Differences that somebody accepted: quiet until either side moves.
    pub accepted: usize,
    /// Differences that the policy ignores.
    pub ignored: usize,
    /// Whether somebody paused writes, everywhere or in places.
    pub paused: bool,
    /// Whether a restore keeps this source out.
    pub pinned: bool,
    /// Tokens in the database that no key at hand decrypts.
    pub undecryptable: usize,
    /// Whether a corrupt database was moved aside during this pass, and where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// Where the source was copied to before anything was written, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_copy: Option<PathBuf>,
    /// The plan, for whoever shows it.
    #[serde(skip)]
    pub plan: Option<Arc<Plan>>,
    /// What the rows were at the end of the pass.
    #[serde(skip)]
    pub fingerprint: Option<StoreFingerprint>,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Both sides say the same; nothing was written.
    InSync,
    /// The plan was written and verified, and both sides now say the same.
    Applied,
    /// What could be written was, or only a plan was asked for; differences stay.
    Differences,
    /// A conflict waits for somebody's choice.
    ConflictHeld,
    /// Some values could not be compared.
    Incomplete,
    /// More deletions than a pass may make without confirmation.
    Guarded,
    /// The source, or the state that would result, is not valid. Nothing was written.
    Invalid,
    /// The source is not there or cannot be read. Nothing was written.
    SourceUnavailable,
    /// Another program wrote the source anew and lost what it does not know. Nothing was written.
    SourceClobbered,
    /// The database is gone while backups of it exist. Nothing was written.
    StoreMissing,
    /// The saved plan no longer fits. Nothing was written.
    Stale,
    /// The store could not be read or written. It is as it was.
    Failed,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 12] = [
        Self::InSync,
        Self::Applied,
        Self::Differences,
        Self::ConflictHeld,
        Self::Incomplete,
        Self::Guarded,
        Self::Invalid,
        Self::SourceUnavailable,
        Self::SourceClobbered,
        Self::StoreMissing,
        Self::Stale,
        Self::Failed,
    ];

    /// A word from a fixed set: label of metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InSync => "in_sync",
            Self::Applied => "applied",
            Self::Differences => "differences",
            Self::ConflictHeld => "conflict_held",
            Self::Incomplete => "incomplete",
            Self::Guarded => "guarded",
            Self::Invalid => "invalid",
            Self::SourceUnavailable => "source_unavailable",
            Self::SourceClobbered => "source_clobbered",
            Self::StoreMissing => "store_missing",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }

    /// Whether source and database were compared to the end.
    pub const fn compared(self) -> bool {
        matches!(self, Self::InSync | Self::Applied | Self::Differences | Self::ConflictHeld | Self::Guarded)
    }
}

/// How many differences of one class a section has.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Count {
    /// The section.
    pub section: Section,
    /// The class.
    pub class: Class,
    /// The number.
    pub count: usize,
}

/// How many objects of a section each side has.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Objects {
    /// The section.
    pub section: Section,
    /// In the source; none when the section is out of scope.
    pub source: Option<usize>,
    /// In the database.
    pub database: usize,
}

/// What a pass wrote.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Written {
    /// Rows inserted.
    pub created: usize,
    /// Rows changed.
    pub updated: usize,
    /// Rows deleted.
    pub deleted: usize,
    /// Rows read back and found as promised.
    pub verified: usize,
    /// The revision's number; none when only bookkeeping was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// The backup of what the database held before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// Its size, when it was taken for this write and not there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_bytes: Option<u64>,
}

/// Why a pass failed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Failure {
    /// A word from a fixed set.
    pub reason: &'static str,
    /// What happened, to which thing.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether trying again may succeed by itself.
    pub transient: bool,
}

impl SyncReport {
    /// Begins a report.
    pub fn new(source: impl Into<String>, store: impl Into<String>, started_at: f64) -> Self {
        Self {
            source: source.into(),
            store: store.into(),
            started_at,
            duration_seconds: 0.0,
            outcome: Outcome::Failed,
            summary: String::new(),
            source_digest: None,
            differences: Vec::new(),
            objects: Vec::new(),
            findings: Vec::new(),
            written: None,
            waits_for: None,
            failure: None,
            plaintext_secrets: 0,
            accepted: 0,
            ignored: 0,
            paused: false,
            pinned: false,
            undecryptable: 0,
            quarantined: None,
            source_copy: None,
            plan: None,
            fingerprint: None,
        }
    }

    /// Notes what the source says.
    pub fn declared(&mut self, desired: &DesiredConfig) {
        self.source_digest = Some(desired.digest().clone());
        self.plaintext_secrets = desired.plaintext_secrets();
        self.findings = desired.warnings().to_vec();
    }

    /// Notes a plan, and ends the report as if nothing was to be written.
    pub fn planned(&mut self, plan: Arc<Plan>) {
        self.findings.extend(plan.refused.iter().cloned());
        self.findings.extend(plan.idle_ignores.iter().map(|pattern| {
            let finding =
                Finding::warning(format!("`ignore: {pattern}` fits nothing in the source or the database"));
            finding.suggest("is it spelt right? remove it if what it named is gone")
        }));
        self.accepted = plan.accepted();
        self.ignored = plan.ignored;
        self.paused = plan.standing("pause").is_some();
        self.pinned = plan.standing("pin").is_some();
        self.differences = differences(&plan, &plan.steps);
        self.outcome = outcome(&plan, &plan.steps);
        self.summary = plan.summary();
        self.plan = Some(plan);
    }

    /// Notes that the plan was written: its steps are no longer differences.
    pub fn applied(&mut self, written: Written) {
        if let Some(plan) = &self.plan {
            self.differences = differences(plan, &[]);
            self.outcome = match outcome(plan, &[]) {
                Outcome::InSync if written.revision.is_some() => Outcome::Applied,
                outcome => outcome,
            };
        }
        self.count_written();
        self.written = Some(written);
    }

    /// Counts what the plan created and deleted among the objects of the database.
    fn count_written(&mut self) {
        for step in self.plan.iter().flat_map(|plan| &plan.steps) {
            let (section, _) = step.target();
            let Some(objects) = self.objects.iter_mut().find(|objects| objects.section == section) else {
                continue;
            };
            match step {
                Step::Create { .. } => objects.database += 1,
                Step::Delete { .. } => objects.database = objects.database.saturating_sub(1),
                Step::Update { .. } => {}
            }
        }
    }

    /// Notes why the pass failed.
    pub fn failed(&mut self, outcome: Outcome, failure: Failure) {
        self.outcome = outcome;
        self.summary.clone_from(&failure.message);
        self.failure = Some(failure);
    }

    /// Notes what is wrong with the source.
    pub fn invalid(&mut self, findings: Vec<Finding>) {
        self.outcome = Outcome::Invalid;
        self.summary = match findings.len() {
            1 => "the source is not valid: 1 finding; nothing was written".into(),
            count => format!("the source is not valid: {count} findings; nothing was written"),
        };
        self.findings = findings;
    }

    /// Returns the number of differences of `class` in `section`.
    pub fn count(&self, section: Section, class: Class) -> usize {
        let matching =
            self.differences.iter().filter(|count| count.section == section && count.class == class);
        matching.map(|count| count.count).sum()
    }

    /// Returns the number of differences of `class`.
    pub fn total(&self, class: Class) -> usize {
        Section::ALL.into_iter().map(|section| self.count(section, class)).sum()
    }
}

/// What a plan amounts to while `steps` are still to be done. The gravest of several counts.
fn outcome(plan: &Plan, steps: &[Step]) -> Outcome {
    if !plan.refused.is_empty() {
        Outcome::Invalid
    } else if plan.is_guarded() {
        Outcome::Guarded
    } else if plan.has_held_conflict() {
        Outcome::ConflictHeld
    } else if plan.is_incomplete() {
        Outcome::Incomplete
    } else if !steps.is_empty() || plan.leaves_differences() {
        Outcome::Differences
    } else {
        Outcome::InSync
    }
}

fn differences(plan: &Plan, steps: &[Step]) -> Vec<Count> {
    let mut counts: BTreeMap<(Section, Class), usize> = BTreeMap::new();
    let accepted = |left: &&crate::plan::LeftAlone| matches!(left.reason, Reason::Accepted { .. });
    for left in plan.left_alone.iter().filter(|left| !accepted(left)) {
        *counts.entry((left.path.section, left.class)).or_default() += 1;
    }
    for step in steps {
        let (section, _) = step.target();
        match step {
            Step::Update { changes, .. } => {
                for change in changes {
                    *counts.entry((section, change.class)).or_default() += 1;
                }
            }
            Step::Create { class, .. } => *counts.entry((section, *class)).or_default() += 1,
            Step::Delete { .. } => *counts.entry((section, Class::Pending)).or_default() += 1,
        }
    }
    counts.into_iter().map(|((section, class), count)| Count { section, class, count }).collect()
}
