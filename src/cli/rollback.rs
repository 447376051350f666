//! `rollback`: back to YAML only, in a way that loses nothing, and the way back.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, bail};

use super::args::Rollback;
use super::context::{Context, error_with_help};
use super::destination::Overwrite;
use super::doctor::{quoted, quoted_text};
use super::{Exit, export, output, verify};
use crate::model::{Policy, SourceSnapshot, StoreSnapshot, shown_path};
use crate::plan::plan;
use crate::source::{SourceSpec, read};
use crate::store::{Access, RevisionId, Store};
use crate::sync::read_source;

pub(super) fn run(context: &Context, args: &Rollback) -> Result<Exit> {
    if args.undo.is_none() && !args.to_yaml {
        return Ok(say_what_is_meant(args));
    }
    let mut store = context.store(if args.dry_run { Access::Read } else { Access::Write })?;
    if let Some(name) = &args.undo {
        return undo(&mut store, name.as_deref(), args.dry_run);
    }
    if !store.exists() {
        bail!("{} does not exist: the orchestrator uses its YAML already", shown_path(store.path()));
    }
    let live = store.read()?;
    if live.undecryptable > 0 {
        let message =
            format!("{} stored API keys cannot be read, so no export would be whole", live.undecryptable);
        let hint = "name the key that opens them with --old-key-file; `oxide-operator doctor` says more";
        return Err(error_with_help(message, hint));
    }
    let yaml = context.source_path()?.to_owned();
    let as_it_is =
        context.read_source().ok().is_some_and(|source| says_the_same(context, &source, &live, &store));
    let exported = if as_it_is && args.file.is_none() { None } else { Some(export_file(context, args)?) };
    if args.dry_run {
        match &exported {
            Some(file) => output::result(format!("Would export to {}.", shown_path(file))),
            None => {
                output::result(format!("{} says the same already: nothing to export.", shown_path(&yaml)))
            }
        }
        output::result(format!("Would set {} aside among its backups.", shown_path(store.path())));
        return Ok(Exit::Ok);
    }
    if let Some(file) = &exported {
        export::to_file(context, file, Overwrite::No, false, args.with_secrets)?;
        let source = read(&SourceSpec::File(file.clone()))?;
        if !says_the_same(context, &source, &live, &store) {
            let message = format!("{} is not equal to the database, so that stays in use", shown_path(file));
            let hint = "if the orchestrator wrote meanwhile, stop it and run this again with another FILE";
            return Err(error_with_help(message, hint));
        }
    }
    let retired = store.retire(live.fingerprint, SystemTime::now()).inspect_err(|_| {
        if let Some(file) = &exported {
            let _ = std::fs::remove_file(file); // it would be in the way of the next try
        }
    })?;
    print_done(&yaml, exported.as_deref(), &retired, live.tokens > 0 && !args.with_secrets);
    Ok(Exit::Ok)
}

/// Elsewhere `rollback` takes the last change back, and a number names a revision. Here it sets the database aside, so
/// nothing is done until that is said.
fn say_what_is_meant(args: &Rollback) -> Exit {
    let named = args.file.as_deref().and_then(Path::to_str);
    let revision = named.filter(|text| text.parse::<RevisionId>().is_ok()).unwrap_or("REV");
    output::error("`rollback` by itself does nothing: it could mean several things", None);
    output::note(format!(
        "  oxide-operator undo                take the last write back\n  oxide-operator restore {revision:<11} bring back a revision that `history` lists\n  oxide-operator rollback --to-yaml  back to YAML only: export the database, and set it aside"
    ));
    Exit::Usage
}

fn undo(store: &mut Store, name: Option<&str>, dry_run: bool) -> Result<Exit> {
    if dry_run {
        let which = name.unwrap_or("the database that was set aside last");
        output::result(format!("Would put {which} back to {}.", shown_path(store.path())));
        if store.exists() {
            output::result("Would set the present one aside among its backups.");
        }
        return Ok(Exit::Ok);
    }
    let back = store.bring_back(name, SystemTime::now())?;
    output::result(format!("✅ {} is back, from {}", shown_path(store.path()), shown_path(&back.from)));
    if let Some(aside) = &back.set_aside {
        let again = aside.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        output::result(format!("✅ The database that was there is kept: {}", shown_path(aside)));
        output::note(format!("The way back to it: oxide-operator rollback --undo {}", quoted_text(&again)));
    }
    output::note("Restart the orchestrator, so that it reads the database again.");
    Ok(Exit::Ok)
}

/// Returns the file to export to, which must not be there: nothing is overwritten on the way back.
fn export_file(context: &Context, args: &Rollback) -> Result<PathBuf> {
    let file = args.file.clone().unwrap_or_else(|| match context.source.path().and_then(Path::parent) {
        Some(folder) => folder.join("current.yaml"),
        None => "current.yaml".into(),
    });
    if file.exists() {
        let message = format!("{} exists, and is not overwritten", shown_path(&file));
        return Err(error_with_help(message, "name another file: oxide-operator rollback --to-yaml FILE"));
    }
    Ok(file)
}

/// Whether a YAML says what the database holds: every value of every object, and nothing else.
fn says_the_same(context: &Context, source: &SourceSnapshot, live: &StoreSnapshot, store: &Store) -> bool {
    let secrets = context.secrets();
    read_source(source, &secrets, store.keys()).is_ok_and(|desired| {
        verify::is_equal(&plan(&desired, live, &Policy::default(), &super::context::circumstances()))
    })
}

fn print_done(yaml: &Path, exported: Option<&Path>, retired: &Path, tokens: bool) {
    match exported {
        Some(file) => output::result(format!(
            "✅ Exported to: {} (compared with the database: equal)",
            shown_path(file)
        )),
        None => output::result(format!("✅ {} says the same already: nothing to export", shown_path(yaml))),
    }
    output::result(format!("✅ Database set aside: {}", shown_path(retired)));
    match exported {
        Some(file) => output::result(format!(
            "\nNext, before the orchestrator starts:\n  cp {} {}\nIt finds no database and reads the YAML. Do not start `oxide-operator run`: it would make the database again.",
            quoted(file),
            quoted(yaml)
        )),
        None => output::result(
            "\nNext: start the orchestrator. It finds no database and reads the YAML. Do not start `oxide-operator run`: it would make the database again.",
        ),
    }
    if exported.is_some() && tokens {
        output::note(
            "warning: API keys stand in the export as tokens, which the orchestrator cannot read from a YAML; put them in, or go back with --undo and use --with-secrets",
        );
    }
    output::result("The way back: oxide-operator rollback --undo");
}
