//! One object on three sides: field by field, by the table of the design's section 3.

use std::collections::BTreeSet;

use super::judge::{Difference, Judge, Verdict};
use super::{Change, Class, LeftAlone, Reason};
use crate::model::{BaseObject, ConfigPath, FieldId, Held, Object, Section, Value, canonical_json};

/// What to do about one object that both the source and the database have.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) changes: Vec<Change>,
    pub(super) left_alone: Vec<LeftAlone>,
    pub(super) in_sync: usize,
    /// Differences at paths that the policy ignores.
    pub(super) ignored: usize,
    /// What will be agreed afterwards.
    pub(super) record: BaseObject,
}

/// One object and everything known of it.
pub(super) struct Sides<'a> {
    pub(super) section: Section,
    pub(super) id: &'a str,
    pub(super) desired: &'a Object,
    pub(super) live: &'a Object,
    pub(super) base: Option<&'a BaseObject>,
    /// Whether the store is met for the first time and is not empty: every difference waits for a choice.
    pub(super) adopting: bool,
}

/// How one field stands, before the policy has answered.
enum Standing {
    InSync,
    Pending,
    Drift,
    Conflict,
    /// Differed when we met.
    Adoption,
    Unreadable(&'static str),
}

pub(super) fn compare(sides: &Sides<'_>, judge: &Judge<'_>) -> Outcome {
    let base_fields = sides.base.map(|base| base.fields(sides.section)).unwrap_or_default();
    let mut outcome = Outcome::default();
    let mut agreed = Object::default();
    let mut held = BTreeSet::new();
    for (field, desired) in sides.desired.iter() {
        let live = sides.live.get(field).unwrap_or(&Value::Unset);
        let base = base_fields.get(field);
        let settle = |agreed: &mut Object, value: &Value| agreed.set(field, value.clone());
        let keep = |agreed: &mut Object| base.map(|base| agreed.set(field, base.clone()));
        let left = |class, reason| left_alone(sides, field, class, reason, base, Some(desired), live);
        let write = |class| Change { field, old: live.clone(), new: desired.clone(), class };
        let path = ConfigPath::field(sides.section, sides.id, field);
        let standing = standing(sides, field, base, desired, live);
        if judge.policy.ignores(&path) && !matches!(standing, Standing::InSync) {
            outcome.ignored += 1;
            keep(&mut agreed);
            continue;
        }
        let it = Difference { path: &path, desired: Some(sides.desired), live: Some(sides.live) };
        let (class, verdict) = match &standing {
            Standing::InSync => {
                outcome.in_sync += 1;
                settle(&mut agreed, desired);
                continue;
            }
            Standing::Pending => (Class::Pending, judge.pending(&path)),
            Standing::Drift => (Class::Drift, judge.drift(it, Reason::DriftKept)),
            Standing::Conflict => (Class::Conflict, judge.conflict(it, Reason::ConflictHeld)),
            Standing::Adoption => (Class::Conflict, judge.conflict(it, Reason::AdoptionHeld)),
            Standing::Unreadable(why) => (Class::Unknown, Verdict::Leave(Reason::Unreadable(why))),
        };
        match verdict {
            Verdict::Write => {
                outcome.changes.push(write(class));
                settle(&mut agreed, desired);
            }
            Verdict::Leave(reason) => {
                outcome.left_alone.push(left(class, reason));
                keep(&mut agreed);
                // Without it, the next pass would take a value that is unset in the database for pending.
                if matches!(standing, Standing::Adoption) {
                    held.insert(field);
                }
            }
        }
    }
    outcome.left_alone.extend(undeclared(sides, &base_fields, judge, &mut outcome.ignored));
    if outcome.left_alone.iter().any(|left| left.class == Class::Unknown) {
        hold_back(&mut outcome, sides, &base_fields, &mut agreed);
    }
    outcome.record = BaseObject {
        agreed: canonical_json(sides.section, &agreed).into(),
        held: if held.is_empty() { Held::Nothing } else { Held::Fields(held) },
    };
    outcome
}

fn standing(
    sides: &Sides<'_>,
    field: FieldId,
    base: Option<&Value>,
    desired: &Value,
    live: &Value,
) -> Standing {
    let spec = sides.section.spec(field);
    if let Value::Unreadable(why) = live {
        return Standing::Unreadable(why);
    }
    if desired.same(live, spec.kind) {
        return Standing::InSync;
    }
    let held = sides.base.is_some_and(|base| base.held.holds(field));
    match base {
        None if sides.adopting || held => Standing::Adoption,
        None if live.is_default(spec) || *live == Value::Unset => Standing::Pending,
        None => Standing::Adoption,
        Some(base) if live.same(base, spec.kind) => Standing::Pending,
        Some(base) if desired.same(base, spec.kind) => Standing::Drift,
        Some(_) => Standing::Conflict,
    }
}

/// An object with an unreadable value is not written at all: its other fields wait.
fn hold_back(outcome: &mut Outcome, sides: &Sides<'_>, base_fields: &Object, agreed: &mut Object) {
    for change in std::mem::take(&mut outcome.changes) {
        let base = base_fields.get(change.field);
        let reason = Reason::Unreadable("waits: another value of this object cannot be read");
        outcome.left_alone.push(left_alone(
            sides,
            change.field,
            Class::Unknown,
            reason,
            base,
            Some(&change.new),
            &change.old,
        ));
        if let Some(base) = base {
            agreed.set(change.field, base.clone());
        }
    }
}

/// Fields that only the database sets. One that the source has just stopped declaring is released: it is
/// no longer in the record, and its value stays.
fn undeclared(
    sides: &Sides<'_>,
    base_fields: &Object,
    judge: &Judge<'_>,
    ignored: &mut usize,
) -> Vec<LeftAlone> {
    let mut left = Vec::new();
    for (field, live) in sides.live.iter() {
        if sides.desired.get(field).is_some() || live.is_default(sides.section.spec(field)) {
            continue;
        }
        let path = ConfigPath::field(sides.section, sides.id, field);
        if judge.policy.ignores(&path) {
            *ignored += 1;
            continue;
        }
        let it = Difference { path: &path, desired: Some(sides.desired), live: Some(sides.live) };
        let (class, reason) = match live {
            Value::Unreadable(why) => (Class::Unknown, Reason::Unreadable(why)),
            _ => (Class::Undeclared, judge.accepted(it).unwrap_or(Reason::NotDeclared)),
        };
        left.push(left_alone(sides, field, class, reason, base_fields.get(field), None, live));
    }
    left
}

fn left_alone(
    sides: &Sides<'_>,
    field: FieldId,
    class: Class,
    reason: Reason,
    base: Option<&Value>,
    desired: Option<&Value>,
    live: &Value,
) -> LeftAlone {
    LeftAlone {
        path: ConfigPath::field(sides.section, sides.id, field),
        class,
        reason,
        base: base.map(Value::shown),
        desired: desired.map(Value::shown),
        live: Some(live.shown()),
    }
}
