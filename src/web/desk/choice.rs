//! The steps that a request means, chosen on the database as it is.

use serde_json::{Map, Value as Json};

use super::Refused;
use crate::actions::{create, named_by_rules, not_there};
use crate::desired::{self, partial_object};
use crate::model::{
    ConfigPath, Configuration, Finding, Kind, Object, SecretReference, SecretText, Section, SourceSnapshot,
    StoreSnapshot,
};
use crate::plan::{self, Plan, Step, removal, update};
use crate::store::{KeyRing, Store};
use crate::web::tag::{self, Expected};

/// What is shown where an API key is; it is no key.
const DOTS: &str = "••••";

/// The longest name of an object, in bytes.
const MAX_ID_BYTES: usize = 200;

/// What becomes of what a request does not mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The object must not be there yet.
    Create,
    /// It gets the orchestrator's default; an API key stays.
    Replace,
    /// It stays.
    Merge,
}

/// Gives an object the fields of a JSON text.
pub(super) fn put(
    live: &StoreSnapshot,
    store: &Store,
    (section, id): (Section, &str),
    fields: &str,
    how: How,
    expected: &Expected,
) -> Result<Vec<Step>, Refused> {
    let path = ConfigPath::object(section, id);
    let row = live.live.get(section, id);
    if how == How::Create && row.is_some() {
        let finding = Finding::error("is there already").at_path(path);
        return Err(Refused::Exists(Box::new(finding.suggest("change it, or remove it first"))));
    }
    if how == How::Merge && row.is_none() && section != Section::Execution {
        return Err(Refused::NotFound(Box::new(not_there(section, id, live))));
    }
    let present = row.map(|row| tag::of_object(section, row));
    if !expected.admits(present.as_deref()) {
        return Err(Refused::Changed);
    }
    if row.is_none() {
        check_id(section, id)?;
    }
    let wanted = read(store, section, id, fields)?;
    Ok(steps(section, id, wanted, row.map(|row| &**row), how))
}

/// Takes an object away.
pub(super) fn remove(
    live: &StoreSnapshot,
    (section, id): (Section, &str),
    cascade: bool,
    expected: &Expected,
) -> Result<Vec<Step>, Refused> {
    let Some(row) = live.live.get(section, id) else {
        return Err(Refused::NotFound(Box::new(not_there(section, id, live))));
    };
    if !expected.admits(Some(&tag::of_object(section, row))) {
        return Err(Refused::Changed);
    }
    let hint = "remove it with `cascade`, which takes it out of them, too";
    match named_by_rules(live, id, hint).filter(|_| section == Section::Services && !cascade) {
        Some(finding) => Err(Refused::Invalid(vec![finding])),
        None => Ok(removal(&live.live, section, id, cascade)),
    }
}

/// Gives everything the values of a JSON text: sections with objects by name; a section that is not mentioned stays.
pub(super) fn configure(
    live: &StoreSnapshot,
    store: &Store,
    text: &str,
    how: How,
    confirmed: Option<usize>,
) -> Result<Vec<Step>, Refused> {
    if how == How::Merge {
        return merge(live, store, text);
    }
    let source = SourceSnapshot::of("request", "request", text.as_bytes());
    let keys = store.keys();
    let secrets = |reference: &SecretReference| open(keys, reference);
    let read = desired::read(&source, &secrets, keys.fingerprinter());
    let declared = read.map_err(|findings| Refused::Invalid(without_places(findings)))?;
    let mut target = Configuration::default();
    for section in Section::ALL {
        let Some(objects) = declared.configuration().section(section) else { continue };
        let whole = objects.iter().map(|(id, object)| {
            let row = live.live.get(section, id);
            (id.clone(), replaced(section, Object::clone(object), row.map(|row| &**row)).into())
        });
        *target.section_mut(section) = Some(whole.collect());
    }
    Ok(plan::restore(&target, &live.live, None, confirmed)?)
}

fn merge(live: &StoreSnapshot, store: &Store, text: &str) -> Result<Vec<Step>, Refused> {
    let mut sections: Map<String, Json> = serde_json::from_str(text)
        .map_err(|error| Refused::Invalid(vec![Finding::error(format!("is no JSON object: {error}"))]))?;
    let (mut steps, mut deletions, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    for section in Section::ALL {
        let objects = match (section, sections.remove(section.name())) {
            (_, None) => continue,
            (Section::Execution, Some(fields)) => Map::from_iter([(String::new(), fields)]),
            (_, Some(Json::Object(objects))) => objects,
            (_, Some(_)) => {
                findings.push(Finding::error("is no object of objects").at_path(section.name()));
                continue;
            }
        };
        for (id, fields) in objects {
            let row = live.live.get(section, &id).map(|row| &**row);
            let one = match (fields, row) {
                (Json::Null, Some(_)) => {
                    deletions.extend(removal(&live.live, section, &id, false));
                    continue;
                }
                (Json::Null, None) => Err(Refused::Invalid(vec![not_there(section, &id, live)])),
                (fields, _) => check_id(section, &id)
                    .and_then(|()| read(store, section, &id, &fields.to_string()))
                    .map(|wanted| self::steps(section, &id, wanted, row, How::Merge)),
            };
            match one {
                Ok(some) => steps.extend(some),
                Err(why) => findings.extend(why.findings().iter().cloned()),
            }
        }
    }
    findings.extend(sections.keys().map(|name| {
        Finding::error("is no section of the database")
            .at_path(name)
            .suggest("services, routing_rules, execution")
    }));
    deletions.reverse();
    steps.extend(deletions);
    if findings.is_empty() { Ok(steps) } else { Err(Refused::Invalid(findings)) }
}

fn steps(section: Section, id: &str, wanted: Object, row: Option<&Object>, how: How) -> Vec<Step> {
    match row {
        None => vec![create(section, id, wanted)],
        Some(row) if how == How::Replace => {
            update(section, id, &replaced(section, wanted, Some(row)), row).into_iter().collect()
        }
        Some(row) => update(section, id, &wanted, row).into_iter().collect(),
    }
}

/// Sets what is not mentioned to the orchestrator's default. A key is not shown, so leaving it out means to keep it.
fn replaced(section: Section, mut wanted: Object, row: Option<&Object>) -> Object {
    for field in section.field_ids() {
        let spec = section.spec(field);
        let kept = row.and_then(|row| row.get(field)).filter(|_| spec.kind == Kind::Secret);
        if wanted.get(field).is_none() && row.is_some() {
            wanted.set(field, kept.cloned().unwrap_or_else(|| spec.default.into()));
        }
    }
    wanted
}

fn read(store: &Store, section: Section, id: &str, fields: &str) -> Result<Object, Refused> {
    if fields.contains(DOTS) {
        let finding = Finding::error(format!("{DOTS} stands for a key that is not shown"));
        let finding = finding.at_path(format!("{}.api_key", ConfigPath::object(section, id)));
        return Err(Refused::Invalid(vec![finding.suggest("leave the key out to keep it")]));
    }
    let keys = store.keys();
    let secrets = |reference: &SecretReference| open(keys, reference);
    partial_object(section, id, fields, &secrets, keys.fingerprinter())
        .map_err(|findings| Refused::Invalid(without_places(findings)))
}

/// A request must not make this process read its files or its environment.
fn open(keys: &KeyRing, reference: &SecretReference) -> Result<SecretText, String> {
    match reference {
        SecretReference::Token(token) => {
            keys.open_token(token).ok_or_else(|| "no key at hand decrypts this token".to_owned())
        }
        SecretReference::Env(_) | SecretReference::File(_) | SecretReference::SecretKey { .. } => {
            Err("a request gives the key itself: it cannot point to where one is kept".to_owned())
        }
    }
}

/// Places in a request's text mean nothing to whoever filled in a form.
fn without_places(mut findings: Vec<Finding>) -> Vec<Finding> {
    for finding in &mut findings {
        finding.location = None;
    }
    findings
}

fn check_id(section: Section, id: &str) -> Result<(), Refused> {
    let why = match id {
        _ if section == Section::Execution => return Ok(()),
        "" => "the name is empty",
        id if id.len() > MAX_ID_BYTES => "the name is longer than 200 bytes",
        id if id.chars().any(char::is_control) => "the name holds a control character",
        id if id.trim() != id => "the name begins or ends with a space",
        _ => return Ok(()),
    };
    Err(Refused::Invalid(vec![Finding::error(why).at_path(section.name())]))
}

/// Every path at which the two sides say different things, in order.
pub(crate) fn differing(plan: &Plan) -> Vec<ConfigPath> {
    let steps = plan.steps.iter().flat_map(|step| match step {
        Step::Update { section, id, changes } => {
            changes.iter().map(|change| ConfigPath::field(*section, id, change.field)).collect()
        }
        other => vec![ConfigPath::object(other.target().0, other.target().1)],
    });
    let left = plan.left_alone.iter().map(|left| left.path.clone());
    let mut paths: Vec<ConfigPath> = left.chain(steps).collect();
    paths.sort();
    paths.dedup();
    paths
}
