//! `restore`: the managed values as a revision recorded them.

use anyhow::Result;

use super::args::{Restore, RestoreArgs};
use super::context::{Context, error_with_help};
use super::output::Invalid;
use super::{Exit, edit};
use crate::actions::{self, Names};
use crate::model::{Configuration, Decision, Selection, SourceDigest};
use crate::plan::restore;
use crate::store::{Access, RecordedState, RevisionId, Store};

pub(super) fn run(context: &Context, args: &Restore) -> Result<Exit> {
    let state = recorded(&mut context.existing_store(Access::Read)?, args.revision)?;
    to_state(context, &state.configuration, &format!("revision {}", args.revision), &args.how)
}

/// Brings the managed values back to those of an earlier state, which people call `name`.
pub(super) fn to_state(
    context: &Context,
    state: &Configuration,
    name: &str,
    how: &RestoreArgs,
) -> Result<Exit> {
    let only = how.only.as_deref().map(|only| selected(context, only, state)).transpose()?;
    let what = match &only {
        Some(only) => format!("restore {only} from {name}"),
        None => format!("restore {name}"),
    };
    let reason = how.edit.reason.as_deref().unwrap_or(&what);
    let pin: Vec<Decision> = rejected(context)
        .map(|digest| actions::pin(digest, only.as_ref(), (&context.actor(), reason), super::decide::now()))
        .into_iter()
        .collect();
    edit::run_deciding(context, &how.edit, &what, &pin, |live, _| {
        restore(state, &live.live, only.as_ref(), how.confirm_prune)
    })
}

/// What `--only` names, now or in the state that is restored.
fn selected(context: &Context, only: &str, state: &Configuration) -> Result<Selection> {
    let live = context.store(Access::Read)?.read()?;
    Ok(Names::of(&live).and(Some(state)).selection(only).map_err(Invalid)?)
}

/// The source that a restore rejects: as it is now, else as it was applied last.
fn rejected(context: &Context) -> Option<SourceDigest> {
    let applied = || {
        let revisions = context.store(Access::Read).ok()?.revisions().ok()?;
        let mut digests =
            revisions.into_iter().map(|it| it.source_digest).filter(|digest| !digest.is_empty());
        digests.next().map(SourceDigest)
    };
    context.read_source().ok().map(|source| source.digest()).or_else(applied)
}

/// Returns what a revision recorded, or an error that says which there are.
pub(super) fn recorded(store: &mut Store, revision: RevisionId) -> Result<RecordedState> {
    let found = match revision {
        RevisionId::Ours(number) => store.recorded_state(number)?,
        RevisionId::Orchestrator(_) => {
            let hint = "`oxide-operator show` prints it; put back single values with `set`";
            let message = format!("{revision} is a snapshot of the orchestrator's own, not a revision");
            return Err(error_with_help(message, hint));
        }
    };
    found.ok_or_else(|| {
        let hint = "`oxide-operator history` lists those that are kept";
        error_with_help(format!("there is no revision {revision}"), hint)
    })
}
