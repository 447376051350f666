//! Decisions about differences: which paths an acceptance covers, and until when something holds.

use crate::desired::DesiredConfig;
use crate::model::{ConfigPath, Decision, DecisionKind, Object, PathPattern, StoreSnapshot, mark};
use crate::plan::{Class, Plan, Step};

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
