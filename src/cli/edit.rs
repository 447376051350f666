//! `set`, `add`, `remove`: edits of the database, planned, backed up and verified like any pass.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::args::{Add, EditArgs, OutputFormat, Remove, Set};
use super::context::Context;
use super::context::error_with_help;
use super::output::Invalid;
use super::{Exit, output};
use crate::actions::{EditDocument, Names, create, named_by_rules, no_such_field, not_there};
use crate::desired::partial_object;
use crate::model::{
    ConfigPath, Decision, FieldId, Finding, Kind, Object, Section, Selection, StoreSnapshot, shown_path,
};
use crate::plan::{Refusal, Step, removal, update};
use crate::source::{Secrets, SourceSpec};
use crate::store::{Access, Store};
use crate::sync::{Edit, EditError, Edited, Mode, edit, with_tokens};

/// A value's text. It may be an API key, so it is wiped.
type Text = Zeroizing<String>;

/// The largest value that is read from a file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

pub(super) fn set(context: &Context, args: &Set) -> Result<Exit> {
    let path = named(context, &args.path)?;
    let Selection { section, id: Some(id), field: Some(field) } = &path else {
        return Ok(no_single_value(&path, args.value.is_none()));
    };
    let spec = section.spec(*field);
    let is_secret = spec.kind == Kind::Secret;
    let value: Text = match (&args.value, &args.file) {
        (Some(value), _) if is_secret && value != "null" => {
            let message = "an API key is not taken from the command line: other users could read it there";
            let help = "leave it out to be asked for it, or name a file with --file (- is stdin)";
            return Ok(misused(message, help));
        }
        (Some(value), _) => Zeroizing::new(value.clone()),
        (None, _) if args.unset => Zeroizing::new("null".to_owned()),
        (None, Some(file)) if is_secret => read_key(file)?,
        (None, Some(file)) => read_text(file)?,
        (None, None) if is_secret => ask_for_key(id)?,
        (None, None) => {
            let help = "put it behind the path; --unset takes the value away";
            return Ok(misused(format!("no value for {path}"), help));
        }
    };
    let text = fields_text(*section, &[(*field, value)]);
    let reason = format!("set {path}");
    run(context, &args.edit, &reason, |live, store| {
        let wanted = read_object(context, *section, id, &text, store, From::CommandLine)?;
        match live.live.get(*section, id) {
            Some(row) => Ok(update(*section, id, &wanted, row).into_iter().collect()),
            None if *section == Section::Execution => Ok(vec![create(*section, id, wanted)]),
            None => Err(vec![not_there(*section, id, live)].into()),
        }
    })
}

pub(super) fn add(context: &Context, add: &Add) -> Result<Exit> {
    let (section, id, file, values, api_key_file, args) = match add {
        Add::Service(args) => {
            let fields = &args.fields;
            let key = fields.api_key_file.as_deref();
            (Section::Services, &args.id, &args.file, &fields.values, key, &args.edit)
        }
        Add::Rule(args) => {
            (Section::RoutingRules, &args.id, &args.file, &args.fields.values, None, &args.edit)
        }
    };
    if id.is_empty() {
        return Ok(misused("the name is empty", "give the service or rule a name: add service NAME"));
    }
    let snippet = file.as_deref().map(read_text).transpose()?;
    let mut given: Vec<(FieldId, Text)> =
        values.iter().map(|(field, text)| (*field, Zeroizing::new(text.clone()))).collect();
    if let (Some(path), Some(field)) = (api_key_file, section.field("api_key")) {
        given.push((field, read_key(path)?));
    }
    if snippet.is_none() && given.is_empty() {
        let help = "give its fields as flags, or a YAML snippet with -f FILE (- is stdin)";
        return Ok(misused(format!("nothing is said about {id}"), help));
    }
    let flags = fields_text(section, &given);
    let path = ConfigPath::object(section, id);
    run(context, args, &format!("add {path}"), |live, store| {
        if live.live.get(section, id).is_some() {
            let finding = Finding::error("is there already").at_path(path.to_string());
            return Err(vec![finding.suggest("change it with `set`, or remove it first")].into());
        }
        let mut object = match &snippet {
            Some(snippet) => read_object(context, section, id, snippet, store, From::Snippet)?,
            None => Object::default(),
        };
        for (field, value) in read_object(context, section, id, &flags, store, From::CommandLine)?.iter() {
            object.set(field, value.clone());
        }
        Ok(vec![create(section, id, object)])
    })
}

pub(super) fn remove(context: &Context, args: &Remove) -> Result<Exit> {
    let reason = format!("remove {}", args.what);
    run(context, &args.edit, &reason, |live, _| {
        let (section, id) = Names::of(live).object(&args.what)?;
        if section == Section::Services && !args.cascade {
            let hint = "--cascade takes it out of them, too; look first with --dry-run";
            if let Some(finding) = named_by_rules(live, &id, hint) {
                return Err(vec![finding].into());
            }
        }
        Ok(removal(&live.live, section, &id, args.cascade))
    })
}

/// What a path names; one that begins with a section is taken as it is, so that what is wrong with it is said for it.
fn named(context: &Context, path: &str) -> Result<Selection> {
    if let Ok(path) = path.parse() {
        return Ok(path);
    }
    let live = context.store(Access::Read)?.read()?;
    Ok(Names::of(&live).selection(path).map_err(Invalid)?)
}

/// Says why a path names no value, and what was perhaps meant.
fn no_single_value(path: &Selection, without_value: bool) -> Exit {
    let id = path.id.as_deref().unwrap_or_default();
    let help = match (id.split_once('='), id.rsplit_once('.')) {
        (Some((name, value)), _) if without_value => {
            format!("write the value as a word of its own: set {}.{name} {value}", path.section.name())
        }
        (_, Some((object, field))) => {
            no_such_field(path.section, object, field).suggestion.unwrap_or_default()
        }
        _ => "add the field, as in services.ID.enabled or execution.timeout_seconds".to_owned(),
    };
    misused(format!("{path} names no single value"), &help)
}

/// Says why a command line makes no sense.
fn misused(message: impl AsRef<str>, help: &str) -> Exit {
    output::error(message, Some(help));
    Exit::Usage
}

/// Makes an edit and shows it.
pub(super) fn run(
    context: &Context,
    args: &EditArgs,
    what: &str,
    choose: impl FnMut(&StoreSnapshot, &Store) -> Result<Vec<Step>, Refusal>,
) -> Result<Exit> {
    run_deciding(context, args, what, &[], choose)
}

/// Makes an edit, records decisions with it, and shows it.
pub(super) fn run_deciding(
    context: &Context,
    args: &EditArgs,
    what: &str,
    decide: &[Decision],
    choose: impl FnMut(&StoreSnapshot, &Store) -> Result<Vec<Step>, Refusal>,
) -> Result<Exit> {
    let mut store = context.existing_store(if args.dry_run { Access::Read } else { Access::Write })?;
    let actor = context.actor();
    let how = Edit {
        mode: if args.dry_run { Mode::Plan } else { Mode::Apply },
        actor: &actor,
        reason: args.reason.as_deref().unwrap_or(what),
        origin: "command line",
        decide,
    };
    match edit(&mut store, &how, choose) {
        Ok(edited) => {
            show(&edited, args);
            if edited.written.is_some() {
                super::reload::after_write(context);
            }
            Ok(Exit::Ok)
        }
        Err(EditError::Refused(refusal)) => {
            output::note(format!("{refusal}Nothing was written."));
            Ok(match refusal {
                Refusal::Invalid(_) => Exit::Invalid,
                Refusal::Guarded(_) => Exit::Guarded,
            })
        }
        Err(EditError::Store(error)) => Err(error.into()),
    }
}

fn show(edited: &Edited, args: &EditArgs) {
    if args.format.output != OutputFormat::Table {
        let document = EditDocument { plan: edited.plan.document(), written: edited.written.as_ref() };
        return output::value(&document, args.format.output);
    }
    if edited.plan.steps.is_empty() {
        return output::result("Nothing to change: it is so already.");
    }
    let mut text = edited.plan.changes_text(output::colour());
    match &edited.written {
        Some(written) => text.push_str(&super::apply::written_text(written)),
        None => text.push_str("Nothing was written: this was a dry run."),
    }
    output::coloured(&text);
    if edited.written.is_some() {
        output::note("The YAML is as it was: where it says otherwise, `oxide-operator plan` shows drift.");
    }
}

/// Where the text of an object came from: places in a text of our own making mean nothing to the user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    CommandLine,
    Snippet,
}

fn read_object(
    context: &Context,
    section: Section,
    id: &str,
    text: &str,
    store: &Store,
    from: From,
) -> Result<Object, Vec<Finding>> {
    let secrets = Secrets::of(&SourceSpec::Folder(".".into()), &context.reach);
    let keys = store.keys();
    partial_object(section, id, text, &with_tokens(&secrets, keys), keys.fingerprinter()).map_err(
        |mut findings| {
            if from == From::CommandLine {
                for finding in &mut findings {
                    finding.location = None;
                }
            }
            findings
        },
    )
}

/// Returns fields as a JSON text, each value as the kind of its field takes it.
fn fields_text(section: Section, fields: &[(FieldId, Text)]) -> Text {
    let mut entries = Map::new();
    for (field, text) in fields {
        let spec = section.spec(*field);
        entries.insert(spec.name.to_owned(), value_of(spec.kind, text.trim_end_matches(['\n', '\r'])));
    }
    Zeroizing::new(Json::Object(entries).to_string())
}

fn value_of(kind: Kind, text: &str) -> Json {
    match kind {
        _ if text == "null" => Json::Null,
        Kind::Flag | Kind::Integer => {
            let read = serde_json::from_str(text).ok();
            read.filter(|value: &Json| value.is_boolean() || value.is_number()).unwrap_or_else(|| text.into())
        }
        Kind::Set | Kind::List if json_list(text).is_some() => json_list(text).into(),
        Kind::Set | Kind::List => {
            let inner = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            let items = inner.split(',').map(|item| item.trim().trim_matches(['"', '\'']));
            items.filter(|item| !item.is_empty()).collect()
        }
        Kind::Text | Kind::Choice(_) | Kind::Secret => text.into(),
    }
}

/// A list of texts as JSON writes it: the one form in which an item may hold a comma.
fn json_list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

fn read_text(path: &Path) -> Result<Text> {
    let mut text = Zeroizing::new(String::new());
    if path == Path::new("-") {
        std::io::stdin().take(MAX_FILE_BYTES).read_to_string(&mut text).context("read stdin")?;
    } else {
        let path = &crate::source::at_home(path);
        let file = std::fs::File::open(path).with_context(|| format!("read {}", shown_path(path)))?;
        let read = file.take(MAX_FILE_BYTES).read_to_string(&mut text);
        read.with_context(|| format!("read {}", shown_path(path)))?;
    }
    Ok(text)
}

fn ask_for_key(id: &str) -> Result<Text> {
    if !std::io::stdin().is_terminal() {
        return read_key(Path::new("-"));
    }
    let key = rpassword::prompt_password(format!("API key for {id}: ")).context("ask for the key")?;
    not_empty(Zeroizing::new(key), "what was typed")
}

fn read_key(path: &Path) -> Result<Text> {
    let from = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    not_empty(read_text(path)?, &from)
}

/// Refuses an empty key: a pipe that failed and a file that was emptied look the same as nothing, and `jq -r` says `null`
/// of what is not there.
fn not_empty(key: Text, from: &str) -> Result<Text> {
    if key.trim().is_empty() || key.trim() == "null" {
        let message = format!("{from} is empty: no API key was given, and nothing was written");
        return Err(error_with_help(message, "to take an API key away, use --unset"));
    }
    Ok(key)
}
