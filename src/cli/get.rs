//! `get`: services, rules, settings, or one value of the database.

use anyhow::Result;
use serde_json::Value as Json;

use super::args::{Get, OutputFormat};
use super::context::Context;
use super::output::Invalid;
use super::{Exit, output};
use crate::actions::{Names, not_there};
use crate::export::{ExportOptions, ExportedSecrets, to_yaml};
use crate::guide::object_as_json;
use crate::model::{Carried, Configuration, Finding, Section, Selection, StoreSnapshot, Value};
use crate::store::Access;

pub(super) fn run(context: &Context, args: &Get) -> Result<Exit> {
    let mut store = context.existing_store(Access::Read)?;
    let live = store.read()?;
    let wanted = resolve(&args.what, &live).map_err(Invalid)?;
    match args.format.output {
        OutputFormat::Table => print(&wanted, &live),
        format => output::value(&as_value(&wanted, &live), format),
    }
    Ok(Exit::Ok)
}

fn resolve(what: &str, live: &StoreSnapshot) -> Result<Selection, Vec<Finding>> {
    let selection = Names::of(live).selection(what)?;
    match &selection.id {
        Some(id) if live.live.get(selection.section, id).is_none() => {
            Err(vec![not_there(selection.section, id, live)])
        }
        _ => Ok(selection),
    }
}

fn print(wanted: &Selection, live: &StoreSnapshot) {
    let Selection { section, id, field } = wanted;
    match (id, field) {
        (None, _) => print_section(*section, live),
        (Some(id), Some(field)) => {
            let value = live.live.get(*section, id).and_then(|object| object.get(*field).cloned());
            match value.unwrap_or(Value::Unset) {
                // A script is given the value itself.
                Value::Text(text) if !text.is_empty() => output::data(&text),
                value => output::result(value.shown().to_string()),
            }
        }
        (Some(id), None) => {
            let mut one = Configuration::default();
            let object = live.live.get(*section, id).map(|object| (id.clone(), object.clone()));
            *one.section_mut(*section) = Some(object.into_iter().collect());
            let options = ExportOptions { minimal: false, secrets: ExportedSecrets::Masked };
            output::data(&to_yaml(&one, &Carried::default(), &options));
        }
    }
}

fn print_section(section: Section, live: &StoreSnapshot) {
    let columns: &[(&str, &[&str])] = match section {
        Section::Services => &[
            ("TYPE", &["type"]),
            ("ENABLED", &["enabled"]),
            ("WHERE", &["executable", "base_url"]),
            ("MODEL", &["default_model"]),
            ("KEY", &["api_key"]),
        ],
        _ => &[("PRIMARY", &["primary"]), ("TIMEOUT", &["timeout_seconds"]), ("FALLBACK", &["fallback"])],
    };
    let title = if section == Section::Services { "ID" } else { "TASK" };
    let titles: Vec<&str> = std::iter::once(title).chain(columns.iter().map(|(title, _)| *title)).collect();
    let objects = live.live.section(section).into_iter().flatten();
    let rows = objects.map(|(id, object)| {
        let cells = columns.iter().map(|(_, names)| {
            let values = names.iter().filter_map(|name| object.get(section.field(name)?));
            let shown = values.filter(|value| **value != Value::Unset).map(|value| value.shown().to_string());
            shown.collect::<Vec<_>>().first().cloned().unwrap_or_else(|| "-".into())
        });
        std::iter::once(id.to_string()).chain(cells).collect()
    });
    output::table(&titles, rows);
}

fn as_value(wanted: &Selection, live: &StoreSnapshot) -> Json {
    let Selection { section, id, field } = wanted;
    let objects = live.live.section(*section).into_iter().flatten();
    let Some(id) = id else {
        return objects.map(|(id, object)| object_as_json(*section, id, object)).collect();
    };
    let object = live.live.get(*section, id);
    match field {
        Some(field) => {
            let value = object.and_then(|object| object.get(*field).cloned());
            value.unwrap_or(Value::Unset).shown().0
        }
        None => object.map(|object| object_as_json(*section, id, object)).unwrap_or_default(),
    }
}
