//! An edit: steps that somebody chose, written as a pass writes its own.
//!
//! The source plays no part in it: what an edit changes is drift afterwards, as an edit in the web UI is.

use std::time::SystemTime;

use thiserror::Error;

use super::write::{self, Order};
use super::{LOCK_EARLY_FROM, MAX_ATTEMPTS, Mode, pause};
use crate::model::{Decision, DecisionKind, SourceDigest, SourceSnapshot, StoreSnapshot};
use crate::plan::{self, Plan, Refusal, Step};
use crate::report::Written;
use crate::store::{Record, SourceCopy, Store, StoreError};

/// How an edit is done and recorded.
#[derive(Clone, Debug)]
pub struct Edit<'a> {
    /// Whether to write.
    pub mode: Mode,
    /// Who is recorded as the author of the revision.
    pub actor: &'a str,
    /// Why, in a few words.
    pub reason: &'a str,
    /// Where the edit came from, as the history names it: `command line`, `revision 3`.
    pub origin: &'a str,
    /// Decisions to record with it.
    pub decide: &'a [Decision],
}

/// What an edit found and did.
#[derive(Clone, Debug)]
pub struct Edited {
    /// What was, or would be, written; empty when everything was so already.
    pub plan: Plan,
    /// What was written; none in [`Mode::Plan`], and where there was nothing to write.
    pub written: Option<Written>,
}

/// Why an edit was not made. Nothing was written.
#[derive(Debug, Error)]
pub enum EditError {
    /// What was asked for may not be done. Every finding is in it.
    #[error("nothing was written:\n{0}")]
    Refused(Refusal),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes the steps that `choose` makes of the store as it is. When the other side commits meanwhile, it is asked
/// again.
///
/// # Errors
/// Every finding of `choose`, or of what its steps would break; whatever keeps the store from being written.
pub fn edit(
    store: &mut Store,
    edit: &Edit<'_>,
    mut choose: impl FnMut(&StoreSnapshot, &Store) -> Result<Vec<Step>, Refusal>,
) -> Result<Edited, EditError> {
    let mut attempt = 0;
    loop {
        let tried = attempt_edit(store, edit, &mut choose, attempt >= LOCK_EARLY_FROM);
        store.rollback();
        attempt += 1;
        match tried {
            Err(EditError::Store(StoreError::Stale)) if attempt < MAX_ATTEMPTS => pause(attempt),
            Err(EditError::Store(StoreError::Moved { .. })) if attempt < MAX_ATTEMPTS => store.close(),
            tried => return tried,
        }
    }
}

fn attempt_edit(
    store: &mut Store,
    edit: &Edit<'_>,
    choose: &mut impl FnMut(&StoreSnapshot, &Store) -> Result<Vec<Step>, Refusal>,
    locked: bool,
) -> Result<Edited, EditError> {
    if locked {
        store.begin()?;
    }
    let live = store.read()?;
    store.keys().ensure_fits(&live)?;
    let steps = choose(&live, store).map_err(EditError::Refused)?;
    let pins = edit.decide.iter().any(|decision| matches!(decision.kind, DecisionKind::Pin { .. }));
    let base = if pins { plan::settled(&steps, &live.base) } else { Vec::new() };
    let plan = plan::check(
        Plan { steps, base, store: live.fingerprint, decide: edit.decide.to_vec(), ..Plan::default() },
        &live,
    );
    if !plan.refused.is_empty() {
        return Err(EditError::Refused(Refusal::Invalid(plan.refused)));
    }
    if edit.mode == Mode::Plan || plan.steps.is_empty() {
        return Ok(Edited { plan, written: None });
    }
    if !store.keys().has_key() && plan.writes_secrets() {
        store.rollback();
        store.ensure_key(&live)?;
        return Err(StoreError::Stale.into()); // fingerprints were made without the key
    }
    let nothing = SourceSnapshot { origin: edit.origin.to_owned(), documents: Vec::new() };
    let record = Record {
        place: None,
        actor: edit.actor.to_owned(),
        reason: edit.reason.to_owned(),
        source: nothing.origin.clone(),
        source_digest: SourceDigest(String::new()),
        carried: live.carried.clone(),
        kept: None,
    };
    let order = Order {
        plan: &plan,
        record: &record,
        source: SourceCopy { snapshot: &nothing, may_hold_secrets: false },
        locked,
        now: SystemTime::now(),
    };
    let (written, _) = write::write(store, &order)?;
    Ok(Edited { plan, written: Some(written) })
}
