//! What is written and what waits: the policy's answer, and whatever stands in its way for now.

use super::patience::Patience;
use super::{Class, Reason};
use crate::model::{
    ConfigPath, Decision, DecisionKind, Object, OnConflict, OnDrift, Policy, Prune, SourceDigest, mark,
};

/// What a plan depends on besides the three sides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// The time, in seconds since the epoch. At 0 nothing is over.
    pub now: f64,
    /// Whether to write although somebody paused it.
    pub while_paused: bool,
    /// Whether to write what a restore rejected.
    pub release_pin: bool,
    /// What waits for quiet; none where somebody asked for the pass.
    pub patience: Option<&'a Patience>,
}

/// Whether a difference is written.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Write,
    Leave(Reason),
}

/// Decides about differences.
pub(super) struct Judge<'a> {
    pub(super) policy: &'a Policy,
    pub(super) decisions: &'a [Decision],
    pub(super) digest: &'a SourceDigest,
    pub(super) circumstances: Circumstances<'a>,
}

/// A difference and both its sides.
#[derive(Clone, Copy)]
pub(super) struct Difference<'a> {
    pub(super) path: &'a ConfigPath,
    pub(super) desired: Option<&'a Object>,
    pub(super) live: Option<&'a Object>,
}

impl Judge<'_> {
    pub(super) fn drift(&self, it: Difference<'_>, kept: Reason) -> Verdict {
        if let Some(accepted) = self.accepted(it) {
            return Verdict::Leave(accepted);
        }
        let waits = || {
            let patience = self.circumstances.patience?;
            patience.waits(it.path, &mark(it.path, it.live), self.policy.grace)
        };
        match self.policy.on_drift(it.path) {
            OnDrift::Keep => Verdict::Leave(kept),
            OnDrift::Revert => match waits() {
                Some(reason) => Verdict::Leave(reason),
                None => self.unless_stopped(it.path),
            },
            // Into the source nothing is written either, while somebody paused writes or a restore keeps the source out.
            OnDrift::Promote => match (waits(), self.unless_stopped(it.path)) {
                (Some(reason), _) | (None, Verdict::Leave(reason)) => Verdict::Leave(reason),
                (None, Verdict::Write) => Verdict::Leave(Reason::ToPromote),
            },
        }
    }

    pub(super) fn conflict(&self, it: Difference<'_>, held: Reason) -> Verdict {
        if let Some(accepted) = self.accepted(it) {
            return Verdict::Leave(accepted);
        }
        match self.policy.on_conflict(it.path) {
            OnConflict::Source => self.unless_stopped(it.path),
            OnConflict::Database => Verdict::Leave(Reason::DatabaseWins),
            OnConflict::Hold => Verdict::Leave(held),
        }
    }

    pub(super) fn pending(&self, path: &ConfigPath) -> Verdict {
        match self.circumstances.patience.and_then(|patience| patience.fights(path)) {
            Some(reason) => Verdict::Leave(reason),
            None => self.unless_stopped(path),
        }
    }

    /// What becomes of an object of ours that the source no longer declares.
    pub(super) fn removed(&self, it: Difference<'_>, unchanged: bool) -> (Class, Verdict) {
        if let Some(accepted) = self.accepted(it) {
            return (Class::Pending, Verdict::Leave(accepted));
        }
        match (self.policy.prune(it.path), unchanged) {
            (Prune::Never, _) => (Class::Pending, Verdict::Leave(Reason::PruneNever)),
            (Prune::Owned, true) => (Class::Pending, self.unless_stopped(it.path)),
            (Prune::Owned, false) => (Class::Conflict, Verdict::Leave(Reason::RemovedButEdited)),
        }
    }

    /// A write that somebody paused, or that would undo a restore, waits.
    fn unless_stopped(&self, path: &ConfigPath) -> Verdict {
        let found = self.decisions.iter().find(|decision| {
            !decision.is_over(self.circumstances.now)
                && decision.covers(path)
                && match &decision.kind {
                    DecisionKind::Accept { .. } => false,
                    DecisionKind::Pause => !self.circumstances.while_paused,
                    DecisionKind::Pin { digest } => !self.circumstances.release_pin && digest == self.digest,
                }
        });
        match found {
            None => Verdict::Write,
            Some(Decision { kind: DecisionKind::Pause, by, reason, until, .. }) => {
                Verdict::Leave(Reason::Paused { by: by.clone(), why: reason.clone(), until: *until })
            }
            Some(decision) => Verdict::Leave(Reason::Pinned(decision.reason.clone())),
        }
    }

    /// The acceptance that keeps a difference quiet: neither side moved since.
    pub(super) fn accepted(&self, it: Difference<'_>) -> Option<Reason> {
        let accepted = self.decisions.iter().find(|decision| {
            matches!(decision.kind, DecisionKind::Accept { .. })
                && !decision.is_over(self.circumstances.now)
                && decision.scope_text() == it.path.to_string()
        })?;
        let DecisionKind::Accept { live, desired } = &accepted.kind else { return None };
        let same = *live == mark(it.path, it.live) && *desired == mark(it.path, it.desired);
        let Decision { by, reason, until, .. } = accepted;
        same.then(|| Reason::Accepted { by: by.clone(), why: reason.clone(), until: *until })
    }

    /// Whether nothing at all may be written, not even records of our own.
    pub(super) fn is_paused_whole(&self) -> bool {
        !self.circumstances.while_paused
            && self.decisions.iter().any(|decision| {
                decision.kind == DecisionKind::Pause
                    && decision.scope.is_none()
                    && !decision.is_over(self.circumstances.now)
            })
    }
}
