//! `restore`: the managed values as a revision recorded them.

use anyhow::Result;

use super::args::{Restore, RestoreArgs};
use super::context::{Context, error_with_help};
use super::{Exit, edit};
use crate::model::Configuration;
use crate::plan::restore;
use crate::store::{Access, RecordedState, RevisionId, Store};

pub(super) fn run(context: &Context, args: &Restore) -> Result<Exit> {
    let state = recorded(&mut context.store(Access::Read)?, args.revision)?;
    to_state(context, &state.configuration, &format!("revision {}", args.revision), &args.how)
}

/// Brings the managed values back to those of an earlier state, which people call `name`.
pub(super) fn to_state(
    context: &Context,
    state: &Configuration,
    name: &str,
    how: &RestoreArgs,
) -> Result<Exit> {
    let what = match &how.only {
        Some(only) => format!("restore {only} from {name}"),
        None => format!("restore {name}"),
    };
    edit::run(context, &how.edit, &what, |live, _| {
        restore(state, &live.live, how.only.as_ref(), how.confirm_prune)
    })
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
