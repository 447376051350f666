//! `promote`: the database's values into the source's YAML, touching nothing else in it.

use std::path::Path;

use anyhow::Result;

use super::args::{OutputFormat, Promote};
use super::context::{Context, error_with_help, with_hint};
use super::decide::parted;
use super::output::Invalid;
use super::{Exit, output};
use crate::actions::{self, Names, PromoteDocument, diff};
use crate::model::{SourceSnapshot, printable, shown_path};
use crate::plan::{self, findings_text};
use crate::promotion::{PromotedKeys, Promotion, Rewritten, Sides};
use crate::source::{Branch, Repository, replace};
use crate::store::{Access, Store};
use crate::sync::{Mode, Pass, read_source};

pub(super) fn run(context: &Context, args: &Promote) -> Result<Exit> {
    let repository = match args.branch() {
        Some(branch) => Some(Repository::of(context.source_path()?, &branch).map_err(refused)?),
        None => None,
    };
    let source = context.read_source().map_err(with_hint)?;
    let mut store = context.store(if args.dry_run { Access::Read } else { Access::Write })?;
    let promotion = look(context, &source, &mut store, args)?;
    let mut commit = None;
    if !args.dry_run && !promotion.documents.is_empty() {
        let elsewhere = matches!(args.branch(), Some(Branch::Named(_)));
        if !elsewhere {
            write(context, &promotion.documents)?;
        }
        if let Some(repository) = &repository {
            commit = Some(committed(
                repository,
                &promotion,
                &message(&promotion, args, &context.actor()),
                elsewhere,
            )?);
        }
        if !elsewhere {
            agree(context, &mut store, &source, &promotion.documents);
        }
    }
    show(&promotion, commit, repository.as_ref(), args);
    Ok(if promotion.blocked.is_empty() { Exit::Ok } else { Exit::Guarded })
}

fn look(context: &Context, source: &SourceSnapshot, store: &mut Store, args: &Promote) -> Result<Promotion> {
    let secrets = context.secrets();
    let read = |source: &SourceSnapshot, store: &Store| read_source(source, &secrets, store.keys());
    let desired = read(source, store).map_err(Invalid)?;
    let live = store.read()?;
    store.keys().ensure_fits(&live)?;
    let plan = plan::plan(&desired, &live, &context.policy(None)?, &super::context::circumstances());
    let names = Names::of(&live).and(Some(desired.configuration()));
    let (paths, unknown) = parted(args.paths.iter().map(|path| names.selection(path)));
    if !unknown.is_empty() {
        return Err(Invalid(unknown.concat()).into());
    }
    let keys = if args.keys_as_tokens { PromotedKeys::Tokens } else { PromotedKeys::Blocked };
    let sides = Sides { source, desired: &desired, store: &live, plan: &plan };
    Ok(actions::look(&sides, &paths, keys, |after| read(after, store)).map_err(Invalid)?)
}

/// Writes the object, or every file, or nothing.
pub(super) fn write(context: &Context, documents: &[Rewritten]) -> Result<()> {
    actions::write(&context.source, documents).map_err(|error| {
        let hint = error.hint();
        anyhow::Error::new(error).context(super::context::Hint(hint))
    })
}

fn committed(
    repository: &Repository,
    promotion: &Promotion,
    message: &str,
    elsewhere: bool,
) -> Result<String> {
    let files: Vec<(&Path, &[u8])> = promotion
        .documents
        .iter()
        .map(|document| (Path::new(&document.name), document.after.as_slice()))
        .collect();
    if elsewhere {
        output::note("note: hooks of the repository are not run for a commit on another branch");
        return repository.commit(&files, message).map_err(refused);
    }
    let names: Vec<&Path> = files.iter().map(|(name, _)| *name).collect();
    let _held = HeldSignals::hold();
    let made = repository.commit_work_tree(&names, message);
    if made.is_err() {
        for document in &promotion.documents {
            let path = Path::new(&document.name);
            // A hook may have changed the file before it refused.
            let restored = std::fs::read(path).ok().map(|now| replace(path, &now, &document.before));
            if !matches!(restored, Some(Ok(()))) {
                output::note(format!("warning: {} could not be put back as it was", shown_path(path)));
            }
        }
    }
    made.map_err(refused)
}

/// Keeps an interrupt from ending this process, so that it can put the files back: git hears it, too, and ends.
struct HeldSignals {
    _runtime: Option<tokio::runtime::Runtime>,
}

impl HeldSignals {
    fn hold() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
        if let Some(runtime) = &runtime {
            let _entered = runtime.enter();
            // Once one is asked for, the signal no longer ends the process.
            for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
                let _ = signal(kind);
            }
        }
        Self { _runtime: runtime }
    }
}
/// Who, what and why.
fn message(promotion: &Promotion, args: &Promote, actor: &str) -> String {
    let title = match promotion.promoted.as_slice() {
        [one] => format!("Promote {one} from the database"),
        all => format!("Promote {} from the database", output::counted(all.len(), "value")),
    };
    let paths: String = promotion.promoted.iter().map(|path| format!("{path}\n")).collect();
    let why = args.reason.as_deref().unwrap_or("the edit in the database is right");
    format!("{title}\n\n{paths}\nBy {actor}: {why}\n")
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: crate::source::GitError) -> anyhow::Error {
    let said = error.to_string();
    let help = if said.contains("user.email") || said.contains("user.name") {
        "nothing was promoted; tell git who you are: git config user.name NAME; git config user.email ADDRESS"
    } else if said.contains("index.lock") {
        "nothing was promoted; wait for the other git process, or remove the file when there is none"
    } else if matches!(error, crate::source::GitError::Failed { .. }) {
        "nothing was promoted, and the file is as it was; what git said is above"
    } else {
        "nothing was promoted; --git wants a clean work tree on a branch that stays"
    };
    error_with_help(said, help)
}

/// Records that both sides agree now, and writes nothing else. What goes wrong here is mended by the next pass.
fn agree(context: &Context, store: &mut Store, source: &SourceSnapshot, written: &[Rewritten]) {
    let Ok(policy) = context.policy(None) else { return };
    let mut source = source.clone();
    for document in written {
        source.documents[document.document].bytes.clone_from(&document.after);
    }
    let actor = context.actor();
    let pass = Pass { mode: Mode::Agree, ..Pass::apply(&policy, &actor, "promote") };
    let _ = context.pass_over(&source, store, &pass);
}

fn show(promotion: &Promotion, commit: Option<String>, repository: Option<&Repository>, args: &Promote) {
    let diff: String = promotion.documents.iter().map(diff).collect();
    let written = !args.dry_run && !promotion.documents.is_empty();
    let files: Vec<&str> = promotion.documents.iter().map(|document| document.name.as_str()).collect();
    if args.format.output != OutputFormat::Table {
        let Promotion { promoted, blocked, .. } = promotion;
        let document = PromoteDocument { promoted, blocked, files, diff, commit, written };
        return output::value(&document, args.format.output);
    }
    if !promotion.blocked.is_empty() {
        output::note(findings_text(&promotion.blocked).trim_end());
    }
    if promotion.promoted.is_empty() {
        return output::result("Nothing was promoted: no file was touched.");
    }
    let count = output::counted(promotion.promoted.len(), "value");
    let files = printable(&files.join(", ")).into_owned();
    let last = match (&commit, repository) {
        _ if !written => "Nothing was written: this was a dry run.".to_owned(),
        (Some(commit), Some(repository)) => {
            format!("Promoted {count} into {files}; commit {commit} on {}.", printable(repository.branch()))
        }
        _ => format!("Promoted {count} into {files}."),
    };
    output::result(format!("{diff}{last}"));
}
