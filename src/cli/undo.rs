//! `undo`: back to before the last write, without losing an edit that came after it.

use std::path::Path;

use anyhow::Result;
use serde_json::Value as Json;

use super::args::{OutputFormat, Undo};
use super::context::{Context, error_with_help};
use super::{Exit, edit, output};
use crate::actions;
use crate::model::{ConfigPath, Configuration, Decision, SourceDigest, printable};
use crate::plan::{self, Step};
use crate::store::{Access, Revision, RevisionId, Store, check_backup, read_backup};

pub(super) fn run(context: &Context, args: &Undo) -> Result<Exit> {
    let mut store = context.existing_store(Access::Read)?;
    let revisions = store.revisions()?;
    // Edits of other programs are in the history, too: what is undone is the last write of ours.
    let mut ours = revisions.iter().filter(|it| it.edit.is_none()).filter_map(|it| match it.revision {
        RevisionId::Ours(number) => Some((number, it)),
        RevisionId::Orchestrator(_) => None,
    });
    let Some((number, last)) = ours.next() else {
        let hint = "`oxide-operator history` lists what is recorded";
        return Err(error_with_help("nothing was written yet, so there is nothing to undo", hint));
    };
    let after = super::restore::recorded(&mut store, RevisionId::Ours(number))?.configuration;
    let Some(before) = before(&mut store, last, &revisions, &after)? else {
        let message =
            format!("revision {number} filled the database, or what was before it is no longer known");
        let hint = "`oxide-operator restore REV` brings back one that `history` lists; `rollback --to-yaml` goes back to the YAML alone";
        return Err(error_with_help(message, hint));
    };
    let what = format!("undo revision {number}: {}", last.reason);
    let pin: Vec<Decision> = rejected(last)
        .map(|digest| {
            let reason = args.edit.reason.as_deref().unwrap_or(&what);
            actions::pin(digest, None, (&context.actor(), reason), super::decide::now())
        })
        .into_iter()
        .collect();
    drop(store);
    if args.edit.format.output == OutputFormat::Table {
        let (actor, reason) = (printable(&last.actor), printable(&last.reason));
        output::note(format!("Revision {number} (by {actor}: {reason}) is taken back:"));
    }
    edit::run_deciding(context, &args.edit, &what, &pin, |live, _| plan::undo(&before, &after, &live.live))
}

/// The state before a revision: from the backup that was taken for it, else from the revision before.
fn before(
    store: &mut Store,
    last: &Revision,
    revisions: &[Revision],
    after: &Configuration,
) -> Result<Option<Configuration>> {
    if let Some(backup) = last.backup.as_deref().map(Path::new)
        && backup.exists()
        && check_backup(backup, store.keys()).verdict.is_good()
    {
        return Ok(Some(read_backup(backup, store.keys())?.live));
    }
    let mut older = revisions.iter().skip_while(|it| it.revision != last.revision).skip(1);
    let earlier = older.find_map(|it| match it.revision {
        RevisionId::Ours(number) => Some(number),
        RevisionId::Orchestrator(_) => None,
    });
    let Some(number) = earlier else { return Ok(None) };
    let Some(earlier) = store.recorded_state(number)?.map(|state| state.configuration) else {
        return Ok(None);
    };
    // An edit between the two, which the history does not have, would be undone with it.
    let recorded = plan::towards(after, &earlier, None).iter().all(|step| is_in(step, &last.changes));
    Ok(recorded.then_some(earlier))
}

/// Whether a revision records that it made a step, from the same old values.
fn is_in(step: &Step, changes: &Json) -> bool {
    let list = |name: &str| changes.get(name).and_then(Json::as_array).into_iter().flatten();
    let (section, id) = step.target();
    let object = ConfigPath::object(section, id).to_string();
    match step {
        Step::Create { .. } => list("created").any(|path| *path == *object),
        Step::Delete { .. } => list("deleted").any(|path| *path == *object),
        Step::Update { changes, .. } => changes.iter().all(|change| {
            let path = ConfigPath::field(section, id, change.field).to_string();
            let old = serde_json::to_value(change.old.shown()).unwrap_or_default();
            list("updated")
                .any(|it| it.get("path").is_some_and(|at| *at == *path) && it.get("old") == Some(&old))
        }),
    }
}

/// The source that an undone pass applied: it is not to be applied again.
fn rejected(last: &Revision) -> Option<SourceDigest> {
    Some(last.source_digest.clone()).filter(|digest| !digest.is_empty()).map(SourceDigest)
}
