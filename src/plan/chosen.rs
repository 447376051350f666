//! Steps that somebody chose, instead of those that follow from a source: an edit, or the way back to an earlier
//! state.

use std::sync::Arc;

use super::{BaseUpdate, Change, Class, NewRecord, Step};
use crate::model::{
    Base, BaseObject, ConfigPath, Configuration, FieldId, Finding, Object, Section, Selection, Value,
    canonical_json,
};

/// Why chosen steps are not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What was asked for is not valid, or the state that would result is not. Every finding is in it.
    Invalid(Vec<Finding>),
    /// More deletions than may be made without confirming their number.
    Guarded(Box<Finding>),
}

impl Refusal {
    /// What is wrong.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Invalid(findings) => findings,
            Self::Guarded(finding) => std::slice::from_ref(finding),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::findings_text(self.findings()))
    }
}

impl From<Vec<Finding>> for Refusal {
    fn from(findings: Vec<Finding>) -> Self {
        Self::Invalid(findings)
    }
}

/// Returns the step that gives `row` the fields of `wanted`; none when it has them.
pub fn update(section: Section, id: &str, wanted: &Object, row: &Object) -> Option<Step> {
    let changes: Vec<Change> = wanted
        .iter()
        .filter_map(|(field, new)| {
            let old = row.get(field).unwrap_or(&Value::Unset);
            let differs = !new.same(old, section.spec(field).kind);
            differs.then(|| Change { field, old: old.clone(), new: new.clone(), class: Class::Pending })
        })
        .collect();
    (!changes.is_empty()).then(|| Step::Update { section, id: id.into(), changes })
}

/// Returns the steps that make the managed values of `live`, or of what `only` selects of them, those of `target`.
/// A section that `target` does not have is left alone.
///
/// # Guarantees
/// No steps if and only if all those values are the same. Objects are created before the rules that name them and
/// deleted after.
pub fn towards(target: &Configuration, live: &Configuration, only: Option<&Selection>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut deletions = Vec::new();
    let selected = |section, id: &str| only.is_none_or(|only| only.covers_object(section, id));
    for section in Section::ALL {
        let Some(wanted) = target.section(section) else { continue };
        for (id, object) in wanted.iter().filter(|(id, _)| selected(section, id)) {
            match live.get(section, id) {
                Some(row) => steps.extend(match only.and_then(|only| only.field) {
                    Some(field) => update(section, id, &single(object, field), row),
                    None => update(section, id, object, row),
                }),
                // A single field of an object that is gone cannot come back without the rest of it.
                None => steps.push(Step::Create {
                    section,
                    id: id.clone(),
                    object: Arc::clone(object),
                    class: Class::Pending,
                }),
            }
        }
        let gone = live.section(section).into_iter().flatten().map(|(id, _)| id);
        let gone = gone.filter(|id| selected(section, id) && !wanted.contains_key(*id));
        let whole_object = only.is_none_or(|only| only.field.is_none());
        if whole_object && section != Section::Execution {
            deletions.extend(gone.map(|id| Step::Delete { section, id: id.clone() }));
        }
    }
    deletions.reverse();
    steps.extend(deletions);
    steps
}

/// Returns the steps of a restore: [`towards`] an earlier state, guarded as deletions always are.
///
/// # Errors
/// A recorded API key that cannot be read, or more deletions than were confirmed.
pub fn restore(
    target: &Configuration,
    live: &Configuration,
    only: Option<&Selection>,
    confirmed: Option<usize>,
) -> Result<Vec<Step>, Refusal> {
    let steps = towards(target, live, only);
    let findings: Vec<Finding> = steps.iter().filter_map(unreadable).collect();
    match guard(&steps, live, confirmed) {
        _ if !findings.is_empty() => Err(Refusal::Invalid(findings)),
        Some(finding) => Err(Refusal::Guarded(Box::new(finding))),
        None => Ok(steps),
    }
}

/// Returns what is agreed after a restore: the values that it wrote. What the source says otherwise is then pending
/// (and pinned out), not drift, so that the next edit of the source is applied as always.
pub fn settled(steps: &[Step], base: &Base) -> Vec<BaseUpdate> {
    let update = |step: &Step| {
        let (section, id) = step.target();
        let known = base.get(section, id)?;
        let record = match step {
            Step::Update { changes, .. } => {
                let mut fields = known.fields(section);
                for change in
                    changes.iter().filter(|change| known.fields(section).get(change.field).is_some())
                {
                    fields.set(change.field, change.new.clone());
                }
                let agreed = canonical_json(section, &fields).into();
                Some(NewRecord::Record(BaseObject { agreed, held: known.held.clone() }))
            }
            Step::Delete { .. } => None,
            Step::Create { .. } => return None,
        };
        Some(BaseUpdate { section, id: id.into(), record })
    };
    steps.iter().filter_map(update).collect()
}

/// The finding for a step that would write a value nobody can read.
fn unreadable(step: &Step) -> Option<Finding> {
    let (section, id) = step.target();
    let why = |value: &Value| match value {
        Value::Unreadable(why) => Some(*why),
        _ => None,
    };
    let (field, why) = match step {
        Step::Create { object, .. } => object.iter().find_map(|(field, value)| Some((field, why(value)?))),
        Step::Update { changes, .. } => {
            changes.iter().find_map(|change| Some((change.field, why(&change.new)?)))
        }
        Step::Delete { .. } => None,
    }?;
    let finding = Finding::error(format!("as it was recorded it {why}"));
    let finding = finding.at_path(ConfigPath::field(section, id, field).to_string());
    Some(finding.suggest("name the key of that time with --old-key-file, or restore less with --only"))
}

/// Returns the steps that remove an object. With `cascade`, a removed service is taken out of the rules that name it:
/// the first fallback becomes primary, and a rule that is left without a service is removed, too.
pub fn removal(live: &Configuration, section: Section, id: &str, cascade: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    if section == Section::Services && cascade {
        let rules = live.section(Section::RoutingRules).into_iter().flatten();
        steps.extend(rules.filter_map(|(task, rule)| without_service(task, rule, id)));
    }
    steps.push(Step::Delete { section, id: id.into() });
    steps
}

/// Returns the rules that name a service.
pub fn rules_naming<'a>(live: &'a Configuration, service: &str) -> Vec<&'a str> {
    let rules = live.section(Section::RoutingRules).into_iter().flatten();
    rules.filter(|(_, rule)| named(rule).contains(&service)).map(|(task, _)| &**task).collect()
}

/// Returns the services that a rule names, the primary first.
fn named(rule: &Object) -> Vec<&str> {
    let value = |name| rule.get(Section::RoutingRules.field(name)?);
    let primary = match value("primary") {
        Some(Value::Text(primary)) => Some(&**primary),
        _ => None,
    };
    let fallback = match (primary, value("fallback")) {
        (Some(_), Some(Value::List(fallback))) => &fallback[..],
        _ => &[],
    };
    primary.into_iter().chain(fallback.iter().map(|service| &**service)).collect()
}

/// Takes a service out of a rule; none when the rule does not name it.
fn without_service(task: &str, rule: &Object, service: &str) -> Option<Step> {
    let section = Section::RoutingRules;
    let (primary, fallback) = (section.field("primary")?, section.field("fallback")?);
    let named = named(rule);
    if !named.contains(&service) {
        return None;
    }
    let mut left = named.into_iter().filter(|name| *name != service);
    let Some(first) = left.next() else { return Some(Step::Delete { section, id: task.into() }) };
    let rest: Vec<Box<str>> = left.map(Box::from).collect();
    let mut wanted = Object::default();
    wanted.set(primary, Value::Text(first.into()));
    wanted.set(fallback, if rest.is_empty() { Value::Unset } else { Value::List(rest.into()) });
    update(section, task, &wanted, rule)
}

/// The finding for more deletions than a pass may make, unless exactly their number was confirmed.
fn guard(steps: &[Step], live: &Configuration, confirmed: Option<usize>) -> Option<Finding> {
    let wanted = steps.iter().filter(|step| matches!(step, Step::Delete { .. })).count();
    let all: usize = Section::ALL.into_iter().map(|section| live.count(section)).sum();
    let allowed = super::three_way::deletion_limit(wanted, all, confirmed)?;
    let message = format!("{wanted} deletions are more than the {allowed} allowed at once");
    Some(Finding::error(message).suggest(format!("confirm with --confirm-prune {wanted}")))
}

/// One field of an object by itself.
fn single(object: &Object, field: FieldId) -> Object {
    let mut single = Object::default();
    if let Some(value) = object.get(field) {
        single.set(field, value.clone());
    }
    single
}
