//! Both sides as they are now: each difference with its three sides, what happens with it, and its tag.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::board::Seen;
use super::tag;
use super::view::View;
use crate::desired::DesiredConfig;
use crate::model::{ConfigPath, Object, Shown, StoreSnapshot, Value};
use crate::plan::{self, Circumstances, Class, Plan, Reason, Step};

/// A difference between the source and the database, with all three sides.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Difference {
    /// Where.
    #[schemars(with = "String")]
    pub(crate) path: ConfigPath,
    /// What it is.
    pub(crate) class: Class,
    /// Why it stays, or that it is written.
    pub(crate) fate: String,
    /// Whether somebody accepted it: it is quiet then.
    pub(crate) accepted: bool,
    /// Whether the next pass writes it.
    pub(crate) written_next: bool,
    /// What both sides last agreed on; null when they never did.
    pub(crate) base: Option<Shown>,
    /// What the source says; null when it does not mention it.
    pub(crate) source: Option<Shown>,
    /// What the database holds; null when it holds nothing.
    pub(crate) database: Option<Shown>,
    /// The tag of this one difference, for `If-Match`.
    pub(crate) etag: String,
}

impl Difference {
    /// Whether somebody may have to answer it.
    pub(crate) fn is_open(&self) -> bool {
        !self.accepted && !matches!(self.class, Class::Extra | Class::Undeclared)
    }
}

/// Both sides, compared.
pub(crate) struct Compared {
    pub(crate) seen: Arc<Seen>,
    pub(crate) view: Arc<View>,
    /// What a pass would do; none while the source cannot be used.
    pub(crate) plan: Option<Plan>,
    /// Every difference, the most urgent first.
    pub(crate) differences: Vec<Difference>,
    /// The tag of all of them.
    pub(crate) tag: String,
}

impl Compared {
    /// Compares what the owner saw of the source with the database as it is now, which may be newer.
    pub(crate) fn of(seen: Arc<Seen>, view: Arc<View>, now: f64) -> Self {
        let Some(desired) = seen.desired.clone().filter(|_| view.exists) else {
            return Self { seen, view, plan: None, differences: Vec::new(), tag: tag::of_texts(["nothing"]) };
        };
        let circumstances = Circumstances { now, ..Circumstances::default() };
        let plan = plan::plan(&desired, &view.store, &seen.policy, &circumstances);
        let differences = differences(&plan, &waiting(&seen), &desired, &view.store);
        let mut paths: Vec<&ConfigPath> = differences.iter().map(|difference| &difference.path).collect();
        paths.sort();
        let tag = tag::of_differences(paths.into_iter(), &desired, &view.store);
        Self { seen, view, plan: Some(plan), differences, tag }
    }

    /// Whether this compares the same two.
    pub(crate) fn is_of(&self, seen: &Arc<Seen>, view: &Arc<View>) -> bool {
        Arc::ptr_eq(&self.seen, seen) && Arc::ptr_eq(&self.view, view)
    }

    /// The tag of what a pass would compare.
    pub(crate) fn sides_tag(&self) -> String {
        let digest = self.seen.desired.as_ref().map(|desired| desired.digest());
        tag::of_sides(digest, self.view.store.fingerprint)
    }

    /// The worst class of an object's differences.
    pub(crate) fn class_of(&self, section: crate::model::Section, id: &str) -> Option<Class> {
        let of_it = self.differences.iter().filter(|it| it.path.section == section && &*it.path.id == id);
        of_it.filter(|it| !it.accepted).map(|it| it.class).next()
    }
}

/// What the owner knows and a fresh plan does not: which writes wait for quiet, or for a fight to end.
fn waiting(seen: &Seen) -> HashMap<&ConfigPath, &Reason> {
    let left = seen.report.plan.iter().flat_map(|plan| &plan.left_alone);
    let waits = |reason: &Reason| {
        matches!(reason, Reason::Grace { .. } | Reason::BackOff { .. } | Reason::Fighting | Reason::ToPromote)
    };
    left.filter(|left| waits(&left.reason)).map(|left| (&left.path, &left.reason)).collect()
}

fn differences(
    plan: &Plan,
    waiting: &HashMap<&ConfigPath, &Reason>,
    desired: &DesiredConfig,
    store: &StoreSnapshot,
) -> Vec<Difference> {
    let etag = |path: &ConfigPath| tag::of_differences(std::iter::once(path), desired, store);
    let left = plan.left_alone.iter().map(|left| Difference {
        path: left.path.clone(),
        class: left.class,
        fate: waiting.get(&left.path).map_or_else(|| left.reason.to_string(), ToString::to_string),
        accepted: matches!(left.reason, Reason::Accepted { .. }),
        written_next: false,
        base: left.base.clone(),
        source: left.desired.clone(),
        database: left.live.clone(),
        etag: etag(&left.path),
    });
    let stepped = |path: ConfigPath, class: Class| {
        let value = |object: Option<&Object>| {
            let value = object.and_then(|object| object.get(path.field?));
            value.filter(|value| **value != Value::Unset).map(Value::shown)
        };
        let base = store.base.get(path.section, &path.id).map(|base| base.fields(path.section));
        let reason = waiting.get(&path);
        Difference {
            class,
            fate: reason.map_or_else(|| "written at the next pass".to_owned(), ToString::to_string),
            accepted: false,
            written_next: reason.is_none(),
            base: value(base.as_ref()),
            source: value(desired.configuration().get(path.section, &path.id).map(|object| &**object)),
            database: value(store.live.get(path.section, &path.id).map(|object| &**object)),
            etag: etag(&path),
            path,
        }
    };
    let steps = plan.steps.iter().flat_map(|step| {
        let (section, id) = step.target();
        match step {
            Step::Update { changes, .. } => changes
                .iter()
                .map(|change| stepped(ConfigPath::field(section, id, change.field), change.class))
                .collect::<Vec<_>>(),
            Step::Create { class, .. } => vec![stepped(ConfigPath::object(section, id), *class)],
            Step::Delete { .. } => vec![stepped(ConfigPath::object(section, id), Class::Pending)],
        }
    });
    let mut rows: Vec<Difference> = left.chain(steps).collect();
    let urgency = |row: &Difference| (row.accepted, Class::ALL.iter().position(|it| *it == row.class));
    rows.sort_by(|one, two| (urgency(one), &one.path).cmp(&(urgency(two), &two.path)));
    rows
}
