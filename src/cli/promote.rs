//! `promote`: the database's values into the source's YAML, touching nothing else in it.

use std::path::Path;

use anyhow::Result;

use super::args::{OutputFormat, Promote};
use super::context::{Context, error_with_help, with_hint};
use super::{Exit, output};
use crate::actions::{self, PromoteDocument, diff};
use crate::model::{Finding, Selection, SourceSnapshot};
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
    let promotion = match look(context, &source, &mut store, args)? {
        Ok(promotion) => promotion,
        Err(findings) => return Ok(output::invalid(&findings)),
    };
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

fn look(
    context: &Context,
    source: &SourceSnapshot,
    store: &mut Store,
    args: &Promote,
) -> Result<Result<Promotion, Vec<Finding>>> {
    let secrets = context.secrets();
    let read = |source: &SourceSnapshot, store: &Store| read_source(source, &secrets, store.keys());
    let desired = match read(source, store) {
        Ok(desired) => desired,
        Err(findings) => return Ok(Err(findings)),
    };
    let live = store.read()?;
    let plan = plan::plan(&desired, &live, &context.policy(None)?, &super::context::circumstances());
    let paths: &[Selection] = if args.all { &[] } else { &args.paths };
    let keys = if args.keys_as_tokens { PromotedKeys::Tokens } else { PromotedKeys::Blocked };
    let sides = Sides { source, desired: &desired, store: &live, plan: &plan };
    Ok(actions::look(&sides, paths, keys, |after| read(after, store)))
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
    let made = repository.commit(&files, message);
    if !elsewhere {
        let names: Vec<&Path> = files.iter().map(|(name, _)| *name).collect();
        if made.is_ok() {
            repository.refresh(&names).map_err(refused)?;
        } else {
            for document in &promotion.documents {
                let _ = replace(Path::new(&document.name), &document.after, &document.before);
            }
        }
    }
    made.map_err(refused)
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
    error_with_help(
        error.to_string(),
        "nothing was promoted; --git wants a clean work tree on a branch that stays",
    )
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
    let last = match (&commit, repository) {
        _ if !written => "Nothing was written: this was a dry run.".to_owned(),
        (Some(commit), Some(repository)) => {
            format!("Promoted {count} into {}; commit {commit} on {}.", files.join(", "), repository.branch())
        }
        _ => format!("Promoted {count} into {}.", files.join(", ")),
    };
    output::result(format!("{diff}{last}"));
}
