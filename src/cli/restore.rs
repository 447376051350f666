//! `restore`: the managed values as a revision recorded them.

use anyhow::{Result, anyhow};

use super::args::Restore;
use super::context::{Context, Hint};
use super::{Exit, edit};
use crate::plan::restore;
use crate::store::{Access, RecordedState, RevisionId, Store};

pub(super) fn run(context: &Context, args: &Restore) -> Result<Exit> {
    let state = recorded(&mut context.store(Access::Read)?, args.revision)?;
    let only = args.only.as_ref();
    let what = match only {
        Some(only) => format!("restore {only} from revision {}", args.revision),
        None => format!("restore revision {}", args.revision),
    };
    edit::run(context, &args.edit, &what, |live, _| {
        restore(&state.configuration, &live.live, only, args.confirm_prune)
    })
}

/// Returns what a revision recorded, or an error that says which there are.
pub(super) fn recorded(store: &mut Store, revision: RevisionId) -> Result<RecordedState> {
    let found = match revision {
        RevisionId::Ours(number) => store.recorded_state(number)?,
        RevisionId::Orchestrator(_) => {
            let hint = "`oxide-operator show` prints it; put back single values with `set`";
            let message = format!("{revision} is a snapshot of the orchestrator's own, not a revision");
            return Err(anyhow!(message).context(Hint(hint.into())));
        }
    };
    found.ok_or_else(|| {
        let hint = "`oxide-operator history` lists those that are kept";
        anyhow!("there is no revision {revision}").context(Hint(hint.into()))
    })
}
