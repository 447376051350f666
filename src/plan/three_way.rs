//! The three-way merge over all objects.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::judge::{Circumstances, Difference, Judge, Verdict};
use super::object::{self, Sides};
use super::{BaseUpdate, Class, LeftAlone, NewRecord, Plan, Reason, SchemaStep, Step, result};
use crate::desired::DesiredConfig;
use crate::model::{
    BaseObject, ConfigPath, Decision, DecisionKind, Held, Object, PathPattern, Policy, Section,
    StoreSnapshot, Value, canonical_json,
};

/// The share of the owned objects that one pass may delete without confirmation, as a divisor: 20 %.
const PRUNE_DIVISOR: usize = 5;

/// Returns the limit that so many deletions of so many objects exceed, unless exactly their number was confirmed. One
/// is always allowed, all never are.
pub(super) fn deletion_limit(wanted: usize, owned: usize, confirmed: Option<usize>) -> Option<usize> {
    let allowed = (owned / PRUNE_DIVISOR).max(1).min(owned.saturating_sub(1));
    (wanted > allowed && confirmed != Some(wanted)).then_some(allowed)
}

/// Decides what one pass does.
///
/// # Guarantees
/// - The same arguments give the same plan, in the same order.
/// - Nothing that the base does not own is ever deleted; rows of other machines never appear.
/// - A plan with `refused` findings is not to be applied; its steps are there to be shown.
pub fn plan(
    desired: &DesiredConfig,
    store: &StoreSnapshot,
    policy: &Policy,
    circumstances: &Circumstances<'_>,
) -> Plan {
    let judge = Judge {
        policy,
        decisions: &store.decisions,
        digest: desired.digest(),
        circumstances: *circumstances,
    };
    let mut planner = Planner {
        desired,
        store,
        judge,
        adopting: !store.base.met && !store.is_untouched(),
        plan: Plan {
            first_meeting: !store.base.met,
            source: Some(desired.digest().clone()),
            store: store.fingerprint,
            ..Plan::default()
        },
        deletions: Vec::new(),
    };
    for section in Section::ALL {
        planner.section(section);
    }
    planner.prune();
    planner.finish()
}

struct Planner<'a> {
    desired: &'a DesiredConfig,
    store: &'a StoreSnapshot,
    judge: Judge<'a>,
    adopting: bool,
    plan: Plan,
    deletions: Vec<(Section, &'a str)>,
}

impl<'a> Planner<'a> {
    fn section(&mut self, section: Section) {
        let Some(declared) = self.desired.configuration().section(section) else { return };
        for (id, desired) in declared {
            match self.store.live.get(section, id) {
                Some(live) => self.on_both_sides(section, id, desired, live),
                None => self.only_declared(section, id, desired),
            }
        }
        for (id, live) in self.store.live.section(section).into_iter().flatten() {
            if section != Section::Execution && !declared.contains_key(id) {
                self.only_live(section, id, live);
            }
        }
        self.forget_what_is_gone(section);
    }

    fn on_both_sides(&mut self, section: Section, id: &str, desired: &Object, live: &Object) {
        let base = self.store.base.get(section, id);
        if base.is_some_and(|base| equal_and_recorded(section, desired, live, base)) {
            self.plan.in_sync += desired.len();
            return;
        }
        let outcome = object::compare(
            &Sides { section, id, desired, live, base, adopting: self.adopting },
            &self.judge,
        );
        self.plan.ignored += outcome.ignored;
        self.plan.in_sync += outcome.in_sync;
        self.plan.left_alone.extend(outcome.left_alone);
        if !outcome.changes.is_empty() {
            self.plan.steps.push(Step::Update { section, id: id.into(), changes: outcome.changes });
        }
        self.record(section, id, Some(outcome.record));
    }

    fn only_declared(&mut self, section: Section, id: &str, desired: &Arc<Object>) {
        let base = self.store.base.get(section, id);
        let path = ConfigPath::object(section, id);
        if self.judge.policy.ignores(&path) {
            self.plan.ignored += 1;
            return;
        }
        let it = Difference { path: &path, desired: Some(&**desired), live: None };
        let (class, verdict, record) = match base {
            Some(base) if base.is_owned() => {
                (Class::Drift, self.judge.drift(it, Reason::DeletionKept), Some(base.clone()))
            }
            held if held.is_some() || self.adopting => {
                let record = BaseObject { held: Held::Absent, ..BaseObject::default() };
                (Class::Conflict, self.judge.conflict(it, Reason::AdoptionHeld), Some(record))
            }
            _ => (Class::Pending, self.judge.pending(&path), None),
        };
        if let Verdict::Leave(reason) = verdict {
            self.leave_object(section, id, class, reason);
            if let Some(record) = record {
                self.record(section, id, Some(record));
            }
            return;
        }
        self.plan.steps.push(Step::Create { section, id: id.into(), object: Arc::clone(desired), class });
        let record = Some(NewRecord::Whole(Arc::clone(desired)));
        self.plan.base.push(BaseUpdate { section, id: id.into(), record });
    }

    fn only_live(&mut self, section: Section, id: &'a str, live: &Object) {
        let base = self.store.base.get(section, id).filter(|base| base.is_owned());
        let path = ConfigPath::object(section, id);
        if self.judge.policy.ignores(&path) {
            self.plan.ignored += 1;
            return;
        }
        let it = Difference { path: &path, desired: None, live: Some(live) };
        let Some(base) = base else {
            let reason = self.judge.accepted(it).unwrap_or(Reason::NotOurs);
            return self.leave_object(section, id, Class::Extra, reason);
        };
        let unchanged = base.fields(section).iter().all(|(field, agreed)| {
            agreed.same(live.get(field).unwrap_or(&Value::Unset), section.spec(field).kind)
        });
        match self.judge.removed(it, unchanged) {
            (_, Verdict::Write) => self.deletions.push((section, id)),
            (class, Verdict::Leave(reason)) => self.leave_object(section, id, class, reason),
        }
    }

    fn leave_object(&mut self, section: Section, id: &str, class: Class, reason: Reason) {
        let path = ConfigPath::object(section, id);
        self.plan.left_alone.push(LeftAlone { path, class, reason, base: None, desired: None, live: None });
    }

    /// Records of objects that neither side has any more.
    fn forget_what_is_gone(&mut self, section: Section) {
        let Some(records) = self.store.base.objects.get(&section) else { return };
        let gone: BTreeSet<&str> = records
            .keys()
            .map(|id| &**id)
            .filter(|id| self.store.live.get(section, id).is_none())
            .filter(|id| self.desired.configuration().get(section, id).is_none())
            .collect();
        for id in gone {
            self.record(section, id, None);
        }
    }

    fn record(&mut self, section: Section, id: &str, record: Option<BaseObject>) {
        if self.store.base.get(section, id) != record.as_ref() {
            let record = record.map(NewRecord::Record);
            self.plan.base.push(BaseUpdate { section, id: id.into(), record });
        }
    }

    /// Turns the objects to delete into steps, as far as the guards allow. Rules go before services.
    fn prune(&mut self) {
        let mut deletions = std::mem::take(&mut self.deletions);
        let wanted = deletions.len();
        if wanted == 0 {
            return;
        }
        if self.desired.is_incomplete() {
            for (section, id) in deletions {
                self.leave_object(section, id, Class::Pending, Reason::SourceIncomplete);
            }
            return;
        }
        // The execution settings are never deleted: counting them would let a pass delete everything else.
        let prunable = self.store.base.objects.iter().filter(|(section, _)| **section != Section::Execution);
        let owned =
            prunable.flat_map(|(_, records)| records.values()).filter(|record| record.is_owned()).count();
        if let Some(allowed) = deletion_limit(wanted, owned, self.judge.policy.confirm_prune) {
            for (section, id) in deletions {
                self.leave_object(section, id, Class::Pending, Reason::PruneGuard { wanted, allowed });
            }
            return;
        }
        deletions.sort_by_key(|(section, _)| std::cmp::Reverse(*section));
        let rules: HashSet<&str> = deletions
            .iter()
            .filter(|(section, _)| *section == Section::RoutingRules)
            .map(|(_, id)| *id)
            .collect();
        let namers = result::rules_by_service(&self.store.live, &self.plan.steps, &rules);
        for (section, id) in deletions {
            if let (Section::Services, Some(rule)) = (section, namers.get(id)) {
                let rule = rule.clone();
                self.leave_object(section, id, Class::Pending, Reason::StillNamed(rule));
                continue;
            }
            self.plan.steps.push(Step::Delete { section, id: id.into() });
            self.record(section, id, None);
        }
    }

    fn finish(mut self) -> Plan {
        self.plan.schema = schema_steps(self.store, &self.plan.steps);
        self.plan.refused = result::findings(self.store, &self.plan.steps);
        if self.store.carried != *self.desired.carried() {
            self.plan.carried = Some(self.desired.carried().clone());
        }
        self.plan.left_alone.sort_by(|one, two| one.path.cmp(&two.path));
        self.note_decisions();
        self.plan.idle_ignores = self.idle_ignores();
        self.plan
    }

    /// Which decisions hold, and which are over.
    fn note_decisions(&mut self) {
        let now = self.judge.circumstances.now;
        for decision in &self.store.decisions {
            let over = decision.is_over(now)
                || match &decision.kind {
                    DecisionKind::Accept { .. } => !self.is_still_accepted(decision),
                    DecisionKind::Pause => false,
                    DecisionKind::Pin { digest } => {
                        self.judge.circumstances.release_pin || digest != self.desired.digest()
                    }
                };
            if over {
                self.plan.forget.push((decision.kind.name().to_owned(), decision.scope_text()));
            } else if !matches!(decision.kind, DecisionKind::Accept { .. }) {
                self.plan.standing.push(decision.clone());
            }
        }
        let ends = self.store.decisions.iter().filter_map(|decision| decision.until);
        self.plan.deadline = ends.filter(|at| *at > now).reduce(f64::min);
        if self.judge.is_paused_whole() {
            self.plan.base.clear();
            self.plan.forget.clear();
            self.plan.carried = None;
            self.plan.first_meeting = false;
        }
    }

    fn is_still_accepted(&self, decision: &Decision) -> bool {
        let scope = decision.scope_text();
        let accepted = |left: &LeftAlone| matches!(left.reason, Reason::Accepted { .. });
        self.plan.left_alone.iter().any(|left| accepted(left) && left.path.to_string() == scope)
    }

    /// Patterns to ignore that fit no object of either side.
    fn idle_ignores(&self) -> Vec<String> {
        let fits = |pattern: &PathPattern| {
            Section::ALL.into_iter().any(|section| {
                let ids = |side: &'a crate::model::Configuration| side.section(section).into_iter().flatten();
                let both = ids(self.desired.configuration()).chain(ids(&self.store.live));
                both.map(|(id, _)| id).any(|id| pattern.covers_object(section, id))
            })
        };
        self.judge.policy.ignore.iter().filter(|pattern| !fits(pattern)).map(ToString::to_string).collect()
    }
}

/// Returns the tables and columns that a database lacks and the steps need.
pub(super) fn schema_steps(store: &StoreSnapshot, to_do: &[Step]) -> Vec<SchemaStep> {
    let missing = &store.missing;
    let mut steps = Vec::new();
    if !missing.tables.is_empty() || (missing.others && !to_do.is_empty()) {
        steps.push(SchemaStep::CreateTables);
    }
    if !missing.columns.is_empty() {
        let written: BTreeSet<_> = to_do.iter().flat_map(written_fields).collect();
        let columns = missing.columns.intersection(&written);
        steps.extend(
            columns.map(|(section, field)| SchemaStep::AddColumn { section: *section, field: *field }),
        );
    }
    steps
}

/// Whether an object needs no look at its fields one by one: the everyday case.
fn equal_and_recorded(section: Section, desired: &Object, live: &Object, base: &BaseObject) -> bool {
    let equal = desired
        .iter()
        .all(|(field, value)| value.same(live.get(field).unwrap_or(&Value::Unset), section.spec(field).kind));
    let nothing_undeclared = || {
        live.iter()
            .all(|(field, value)| desired.get(field).is_some() || value.is_default(section.spec(field)))
    };
    equal
        && base.held == Held::Nothing
        && nothing_undeclared()
        && *base.agreed == *canonical_json(section, desired)
}

fn written_fields(step: &Step) -> Vec<(Section, crate::model::FieldId)> {
    let (section, _) = step.target();
    match step {
        Step::Create { object, .. } => object
            .iter()
            .filter(|(field, value)| !value.is_default(section.spec(*field)))
            .map(|(field, _)| (section, field))
            .collect(),
        Step::Update { changes, .. } => changes.iter().map(|change| (section, change.field)).collect(),
        Step::Delete { .. } => Vec::new(),
    }
}
