//! What the orchestrator says it runs with, beside what the database holds. The answer holds API keys in plain text:
//! no part of it leaves this file but the paths that differ.

use serde_json::{Map, Value as Json};

use crate::desired;
use crate::model::{
    ConfigPath, Configuration, Fingerprinter, Kind, Object, SecretReference, SecretText, Section,
    SourceDocument, SourceSnapshot, Value,
};

/// Returns the paths where the answer says something else than the database. What only the answer has, services of
/// other machines for example, is no difference.
///
/// # Errors
/// Says why the answer is no configuration, without any of its text.
pub(super) fn differences(
    text: &str,
    live: &Configuration,
    print: &Fingerprinter,
) -> Result<Vec<String>, &'static str> {
    let answer: Json = serde_json::from_str(text).map_err(|_| "it is not JSON")?;
    let answer = answer.as_object().ok_or("it is not an object")?;
    // Some versions wrap it.
    let answer = answer.get("config").and_then(Json::as_object).unwrap_or(answer);
    if !answer.contains_key(Section::Services.name()) {
        return Err("it has no services");
    }
    let declared = read(&known(answer, live), print)?;
    let mut paths = Vec::new();
    for section in Section::ALL {
        for (id, object) in live.section(section).into_iter().flatten() {
            match declared.get(section, id) {
                None => paths.push(ConfigPath::object(section, id).to_string()),
                Some(running) => paths.extend(
                    fields_that_differ(section, object, running)
                        .map(|field| ConfigPath::field(section, id, field).to_string()),
                ),
            }
        }
    }
    Ok(paths)
}

fn fields_that_differ<'a>(
    section: Section,
    live: &'a Object,
    running: &'a Object,
) -> impl Iterator<Item = crate::model::FieldId> + 'a {
    section.field_ids().filter(move |field| {
        let spec = section.spec(*field);
        let held = live.get(*field).unwrap_or(&Value::Unset);
        match running.get(*field) {
            Some(value) => !value.same(held, spec.kind),
            // Not said: a key may be withheld, anything else is what the orchestrator assumes.
            None => spec.kind != Kind::Secret && !held.is_default(spec),
        }
    })
}

/// Keeps what the database could hold: fields that it knows, of objects that it has, where they are set.
fn known(answer: &Map<String, Json>, live: &Configuration) -> Map<String, Json> {
    let fields = |section: Section, object: &Json| -> Json {
        let entries = object.as_object().into_iter().flatten();
        let kept = entries.filter(|(name, value)| section.field(name).is_some() && !value.is_null());
        kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
    };
    let mut kept = Map::new();
    for section in Section::ALL {
        let Some(said) = answer.get(section.name()) else { continue };
        let objects = if section == Section::Execution {
            fields(section, said)
        } else {
            let objects = said.as_object().into_iter().flatten();
            let ours = objects.filter(|(id, _)| live.get(section, id).is_some());
            ours.map(|(id, object)| (id.clone(), fields(section, object))).collect::<Map<_, _>>().into()
        };
        kept.insert(section.name().to_owned(), objects);
    }
    kept
}

/// Reads it as any declared configuration is read: JSON is YAML.
fn read(answer: &Map<String, Json>, print: &Fingerprinter) -> Result<Configuration, &'static str> {
    let bytes = serde_json::to_vec(answer).map_err(|_| "it cannot be read")?;
    let document = SourceDocument { name: "answer".into(), bytes };
    let source = SourceSnapshot { origin: "answer".into(), documents: vec![document] };
    let nothing = |_: &SecretReference| -> Result<SecretText, String> { Err("not here".into()) };
    let read = desired::read(&source, &nothing, print).map_err(|_| "its values are not valid")?;
    Ok(read.configuration().clone())
}
