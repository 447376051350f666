//! What may be asked of the owner of the store, and what it answers.

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::{How, Refused};
use crate::model::{Decision, Finding, PathPattern, Section, Selection};
use crate::plan::PlanDocument;
use crate::promotion::PromotedKeys;
use crate::report::Written;
use crate::sync::Mode;
use crate::web::tag::Expected;

/// Something to do, and where to say how it went.
pub(crate) struct Order {
    /// What to do.
    pub(crate) ask: Ask,
    /// Where the answer goes; nobody may be waiting any more.
    pub(crate) reply: oneshot::Sender<Result<Done, Refused>>,
}

/// What to do, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) what: What,
    /// What the client expects to find.
    pub(crate) expected: Expected,
    /// Whether to write, or to say what would be written.
    pub(crate) mode: Mode,
    /// Who asks, for the history.
    pub(crate) actor: String,
    /// Why, for the history.
    pub(crate) reason: Option<String>,
    /// `web page` or `API`.
    pub(crate) origin: &'static str,
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Give an object fields, as a JSON text has them. The text may hold an API key, so it is wiped.
    Put { section: Section, id: String, fields: Zeroizing<String>, how: How },
    /// Take an object away.
    Remove { section: Section, id: String, cascade: bool },
    /// Give everything the values of a JSON text.
    Configure { text: Zeroizing<String>, how: How, confirm_prune: Option<usize> },
    /// Write the source's values back.
    Revert { paths: Vec<Selection> },
    /// Write the database's values into the source.
    Promote { paths: Vec<Selection>, keys: PromotedKeys },
    /// Leave differences as they are.
    Accept { paths: Vec<Selection>, until: Option<f64> },
    /// One pass, now.
    Sync(SyncHow),
    /// Write nothing for a while.
    Pause { scope: Option<PathPattern>, until: Option<f64> },
    /// End decisions: those of one kind, those of one scope, or both.
    Withdraw { kind: Option<&'static str>, scope: Option<PathPattern> },
    /// The values of an earlier state.
    Restore { from: Earlier, only: Option<Selection>, confirm_prune: Option<usize>, pin: bool },
    /// A backup, now.
    BackUp,
}

/// What a pass that somebody asks for may do that others may not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SyncHow {
    /// Write although somebody paused it.
    pub(crate) while_paused: bool,
    /// Write what a restore rejected.
    pub(crate) release_pin: bool,
    /// The exact number of deletions that is confirmed.
    pub(crate) confirm_prune: Option<usize>,
}

/// An earlier state.
#[derive(Clone, Debug)]
pub(crate) enum Earlier {
    /// A revision of ours.
    Revision(i64),
    /// A backup, by its name.
    Backup(String),
}

/// What was, or would be, done.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Done {
    /// Whether this only says what would be done.
    pub(crate) dry_run: bool,
    /// What is to be changed in the database; null when the database is not what changes.
    pub(crate) plan: Option<PlanDocument>,
    /// What was written into the database; null in a dry run, and where there was nothing to write.
    pub(crate) written: Option<Written>,
    /// What of the source changes; null when it is not what changes.
    pub(crate) promoted: Option<Promoted>,
    /// What was decided, or what ended.
    pub(crate) decisions: Vec<DecisionMade>,
    /// The backup that was taken, by its name.
    pub(crate) backup: Option<String>,
}

/// What a promotion changes in the source.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Promoted {
    /// What the source says as the database does.
    pub(crate) paths: Vec<String>,
    /// What it does not, and why.
    pub(crate) blocked: Vec<Finding>,
    /// The files that change.
    pub(crate) files: Vec<String>,
    /// The change as a unified diff; what may be a secret is masked.
    pub(crate) diff: String,
}

/// A decision: an acceptance, a pause, a pin.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DecisionMade {
    /// `accept`, `pause` or `pin`.
    pub(crate) kind: String,
    /// Where it holds; null for the whole store.
    pub(crate) scope: Option<String>,
    /// Who decided.
    pub(crate) by: String,
    /// Why.
    pub(crate) reason: String,
    /// When, in seconds since the epoch.
    pub(crate) at: f64,
    /// Until when, in seconds since the epoch; null for good.
    pub(crate) until: Option<f64>,
}

impl From<&Decision> for DecisionMade {
    fn from(decision: &Decision) -> Self {
        let Decision { kind, scope, by, reason, at, until } = decision;
        Self {
            kind: kind.name().to_owned(),
            scope: scope.as_ref().map(ToString::to_string),
            by: by.clone(),
            reason: reason.clone(),
            at: *at,
            until: *until,
        }
    }
}
