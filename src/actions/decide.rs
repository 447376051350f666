//! Decisions about differences: which paths an acceptance covers, and until when something holds.

use crate::desired::DesiredConfig;
use crate::model::{
    ConfigPath, Configuration, Decision, DecisionKind, Finding, Object, PathPattern, Section, Selection,
    StoreSnapshot, mark,
};
use crate::plan::{Class, Plan, Step};

use super::edit::{no_such_field, not_there};

/// Returns what is to be recorded to accept every difference that `covers` names, with the scope of each.
pub(crate) fn acceptances(
    plan: &Plan,
    covers: impl Fn(&ConfigPath) -> bool,
    desired: &DesiredConfig,
    live: &StoreSnapshot,
) -> Vec<(DecisionKind, PathPattern)> {
    let accepted = differing(plan).into_iter().filter(|path| covers(path));
    accepted
        .map(|path| {
            let of = |object: Option<&std::sync::Arc<Object>>| mark(&path, object.map(|object| &**object));
            let kind = DecisionKind::Accept {
                live: of(live.live.get(path.section, &path.id)),
                desired: of(desired.configuration().get(path.section, &path.id)),
            };
            (kind, PathPattern::exactly(&path))
        })
        .collect()
}

/// Reads a pattern, a path or the id of an object alone, which must name something: on the source's side when there is
/// one, in the database, or in what both agreed on.
///
/// # Errors
/// What is wrong with it, and what was perhaps meant.
pub(crate) fn named(
    text: &str,
    desired: Option<&Configuration>,
    live: &StoreSnapshot,
) -> Result<PathPattern, Vec<Finding>> {
    let known = known(desired, live);
    let (id, field) = match text.rsplit_once('.') {
        Some((id, field)) if known.iter().any(|(_, known)| *known == id) => (id, Some(field)),
        _ => (text, None),
    };
    let sections: Vec<Section> = known
        .iter()
        .filter(|(_, known)| !id.is_empty() && *known == id)
        .map(|(section, _)| *section)
        .collect();
    match sections[..] {
        [section] => return in_object(section, id, field),
        [one, ..] => {
            let finding = Finding::error("is the id of a service and of a routing rule").at_path(id);
            return Err(vec![
                finding.suggest(format!("write {} or rules.{id}", ConfigPath::object(one, id))),
            ]);
        }
        [] => {}
    }
    let pattern: PathPattern = text.parse().map_err(|why: String| {
        match Section::ALL.into_iter().find(|section| text.split('.').next() == Some(section.name())) {
            Some(_) => vec![Finding::error(why).at_path(text)],
            None => vec![not_there(Section::Services, text, live)],
        }
    })?;
    let names_something = known.iter().any(|(section, id)| pattern.covers_object(*section, id));
    if names_something || pattern.section() == Section::Execution || !text.contains('.') {
        return Ok(pattern);
    }
    // Of a path with a field the object is what is not there.
    let object = text.parse::<Selection>().ok().and_then(|path| path.id);
    let id = object.as_deref().or(text.split_once('.').map(|(_, id)| id)).unwrap_or(text);
    Err(vec![not_there(pattern.section(), id, live)])
}

fn in_object(section: Section, id: &str, field: Option<&str>) -> Result<PathPattern, Vec<Finding>> {
    let object = ConfigPath::object(section, id);
    let Some(name) = field else { return Ok(PathPattern::exactly(&object)) };
    match section.field(name) {
        Some(field) => Ok(PathPattern::exactly(&ConfigPath::field(section, id, field))),
        None => Err(vec![no_such_field(section, id, name)]),
    }
}

/// The objects of every side.
fn known<'a>(
    desired: Option<&'a Configuration>,
    live: &'a StoreSnapshot,
) -> std::collections::BTreeSet<(Section, &'a str)> {
    let sides = [Some(&live.live), desired].into_iter().flatten();
    let of_sides = sides.flat_map(|side| {
        let sections = [Section::Services, Section::RoutingRules].into_iter();
        sections.flat_map(|section| {
            side.section(section).into_iter().flatten().map(move |(id, _)| (section, &**id))
        })
    });
    let of_base = live.base.objects.iter().filter(|(section, _)| **section != Section::Execution);
    of_sides
        .chain(of_base.flat_map(|(section, objects)| objects.keys().map(|id| (*section, &**id))))
        .collect()
}

/// The paths at which only the source changed: a pass writes those, so there is nothing to accept.
pub(crate) fn pending(plan: &Plan) -> Vec<ConfigPath> {
    let left =
        plan.left_alone.iter().filter(|left| left.class == Class::Pending).map(|left| left.path.clone());
    let steps = plan.steps.iter().flat_map(|step| match step {
        Step::Update { section, id, changes } => {
            let pending = changes.iter().filter(|change| change.class == Class::Pending);
            pending.map(|change| ConfigPath::field(*section, id, change.field)).collect()
        }
        Step::Create { section, id, class: Class::Pending, .. } => vec![ConfigPath::object(*section, id)],
        _ => Vec::new(),
    });
    left.chain(steps).collect()
}

/// Returns a decision by `(who, why)`.
pub(crate) fn decided(
    kind: DecisionKind,
    scope: Option<PathPattern>,
    (by, reason): (&str, &str),
    now: f64,
    until: Option<f64>,
) -> Decision {
    Decision { kind, scope, by: by.to_owned(), reason: reason.to_owned(), at: now, until }
}

/// Reads a moment: a span from now (`2h`, `7d`), a date, or a date with time and zone.
///
/// # Errors
/// What is wrong with it, to be put behind the text.
pub(crate) fn until(text: &str, now: f64) -> Result<f64, &'static str> {
    let zoned = jiff::ZonedDateTime::now();
    let from_now = text.parse::<jiff::Span>().ok().and_then(|span| zoned.checked_add(span).ok());
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned_datetime(zoned.time_zone().clone()).ok();
    let at = match from_now.or_else(day) {
        Some(at) => at.timestamp(),
        None => text
            .parse::<jiff::Timestamp>()
            .map_err(|_| ": write a span as 2h or 7d, a date as 2026-12-31, or 2026-12-31T18:00Z")?,
    };
    let at = at.as_duration().as_secs_f64();
    if at > now { Ok(at) } else { Err(" is over already") }
}

/// The paths at which the database says something of its own. What only the source moved is no edit to accept.
fn differing(plan: &Plan) -> Vec<ConfigPath> {
    let steps = plan.steps.iter().flat_map(|step| match step {
        Step::Update { section, id, changes } => changes
            .iter()
            .filter(|change| change.class != Class::Pending)
            .map(|change| ConfigPath::field(*section, id, change.field))
            .collect(),
        Step::Create { class: Class::Pending, .. } => Vec::new(),
        other => vec![ConfigPath::object(other.target().0, other.target().1)],
    });
    plan.left_alone.iter().map(|left| left.path.clone()).chain(steps).collect()
}
