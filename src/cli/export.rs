//! `export`: the whole configuration from the database to YAML.

use std::path::Path;

use anyhow::Result;

use super::args::Export;
use super::context::Context;
use super::destination::{self, Overwrite};
use super::{Exit, output};
use crate::export::{ExportOptions, ExportedSecrets, to_yaml};
use crate::model::{Carried, SourceSnapshot, StoreSnapshot, Value, shown_path};
use crate::store::{Access, Store};

pub(super) fn run(context: &Context, args: &Export) -> Result<Exit> {
    let overwrite = Overwrite::if_forced(args.force);
    let incomplete = to_file(context, &args.file, overwrite, args.minimal, args.with_secrets)?;
    if args.file != Path::new("-") {
        output::result(format!("✅ Exported to: {}", shown_path(&args.file)));
    }
    Ok(if incomplete { Exit::Incomplete } else { Exit::Ok })
}

/// Exports; returns whether some value could not be read and is left out.
pub(super) fn to_file(
    context: &Context,
    file: &Path,
    overwrite: Overwrite,
    minimal: bool,
    with_secrets: bool,
) -> Result<bool> {
    if file != Path::new("-") {
        destination::check(context, file, overwrite)?;
    }
    let mut store = context.existing_store(Access::Read)?;
    let live = store.read()?;
    let carried = carried(context, &live);
    let keys = store.keys().clone();
    let open = move |token: &str| keys.open_token(token);
    let secrets = if with_secrets { ExportedSecrets::Plain(&open) } else { ExportedSecrets::Tokens };
    let yaml =
        header(&store, with_secrets) + &to_yaml(&live.live, &carried, &ExportOptions { minimal, secrets });
    if file == Path::new("-") {
        output::data(&yaml);
    } else {
        destination::write(context, file, yaml.as_bytes(), overwrite)?;
    }
    let unreadable = unreadable(&live);
    if unreadable > 0 {
        output::note(format!(
            "warning: {} cannot be read and left out; see the comments in the file",
            output::counted(unreadable, "value")
        ));
    }
    let is_left_out = |masked: &Option<String>| !with_secrets && masked.is_some();
    let left_out = carried.0.iter().filter(|section| is_left_out(&section.masked));
    let left_out: Vec<&str> = left_out.map(|section| &*section.name).collect();
    if !left_out.is_empty() {
        output::note(format!(
            "warning: {} left out, because something in it may be a secret: {}; --with-secrets exports it",
            output::counted(left_out.len(), "section"),
            left_out.join(", ")
        ));
    }
    if live.tokens > 0 && !with_secrets {
        output::note(format!(
            "note: {} exported as a token that only the encryption key opens; --with-secrets writes plain text",
            output::counted(live.tokens, "API key")
        ));
    }
    Ok(unreadable > 0 || !left_out.is_empty())
}

/// The recorded carried sections; for a store that we have not met, those of the source.
fn carried(context: &Context, live: &StoreSnapshot) -> Carried {
    if live.base.met {
        return live.carried.clone();
    }
    let from_source = context.read_source().ok().and_then(|source| carried_of(&source));
    if from_source.is_none() {
        output::note(
            "note: logging, security, storage and cluster are not in the database, and no source has them",
        );
    }
    from_source.unwrap_or_default()
}

fn carried_of(source: &SourceSnapshot) -> Option<Carried> {
    let no_secrets = |_: &crate::model::SecretReference| Ok(crate::model::SecretText::new("-"));
    let fingerprinter = crate::model::Fingerprinter::derived_from(b"unused");
    crate::desired::read(source, &no_secrets, &fingerprinter).ok().map(|desired| desired.carried().clone())
}

fn unreadable(live: &StoreSnapshot) -> usize {
    let objects = crate::model::Section::ALL.into_iter().filter_map(|section| live.live.section(section));
    objects
        .flat_map(|objects| objects.values())
        .flat_map(|object| object.iter())
        .filter(|(_, value)| matches!(value, Value::Unreadable(_)))
        .count()
}

fn header(store: &Store, with_secrets: bool) -> String {
    let secrets = if with_secrets { "\n# It holds API keys in plain text: keep it private." } else { "" };
    let name = store.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("# Exported from {name} by oxide-operator {}.{secrets}\n", env!("CARGO_PKG_VERSION"))
}
