//! Edits that may not be over yet, and fights: what a watcher remembers from pass to pass. The clock is passed in.

use std::collections::HashMap;

use super::{Class, Plan, Reason, Step};
use crate::model::{ConfigPath, SourceDigest};

/// When a field is fought over, and what then happens. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fights {
    /// So many reverts of one path within a minute are a fight.
    pub after: usize,
    /// How long the next revert waits then; three times as long each time.
    pub back_off: f64,
    /// After so many waits the path is held.
    pub rounds: u32,
}

impl Default for Fights {
    fn default() -> Self {
        Self { after: 5, back_off: 2.0, rounds: 5 }
    }
}

/// The longest wait, in seconds.
const LONGEST: f64 = 300.0;
/// Reverts further apart than this are no fight, in seconds.
const WINDOW: f64 = 60.0;
/// How much longer each wait is than the one before.
const FACTOR: f64 = 3.0;

/// What is known of the paths that drifted lately.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    /// When the last pass judged, and the time.
    judged: f64,
    now: f64,
    fights: Fights,
    watched: HashMap<ConfigPath, Watched>,
    /// What was written last at a path, for which source.
    wrote: HashMap<ConfigPath, (Option<SourceDigest>, String)>,
    /// How many fights began.
    pub fought: u64,
}

#[derive(Clone, Debug)]
struct Watched {
    /// What the database holds, see [`mark`](crate::model::mark).
    mark: String,
    /// When that was first seen.
    since: f64,
    /// When it was reverted, lately.
    reverts: Vec<f64>,
    /// How long the next revert waits; 0 while there is no fight.
    wait: f64,
    rounds: u32,
}

impl Watched {
    fn since(now: f64) -> Self {
        Self { mark: String::new(), since: now, reverts: Vec::new(), wait: 0.0, rounds: 0 }
    }

    /// How long it must be quiet until a fight is over.
    fn rest(&self) -> f64 {
        self.wait * 2.0
    }

    fn last_revert(&self) -> f64 {
        self.reverts.last().copied().unwrap_or(f64::MIN)
    }
}

impl Patience {
    /// Begins to watch.
    pub fn new(fights: Fights) -> Self {
        Self { fights, ..Self::default() }
    }

    /// Sets the time at which a pass judges, in seconds of a clock that never goes back.
    pub fn at(&mut self, now: f64) {
        (self.judged, self.now) = (now, now);
    }

    /// Sets the time after a pass. What fell due while it ran is due at once: see [`next`](Self::next).
    pub fn later(&mut self, now: f64) {
        self.now = now;
    }

    /// Why a drift is not answered yet, if it is not.
    pub(super) fn waits(&self, path: &ConfigPath, mark: &str, grace: f64) -> Option<Reason> {
        let Some(watched) = self.watched.get(path) else {
            return (grace > 0.0).then_some(Reason::Grace { seconds: grace });
        };
        let quiet = if watched.mark == mark { self.now - watched.since } else { 0.0 };
        if watched.rounds > self.fights.rounds && quiet < watched.rest() {
            return Some(Reason::Fighting);
        }
        if watched.wait > 0.0 && self.now < watched.last_revert() + watched.wait {
            return Some(Reason::BackOff { seconds: watched.wait });
        }
        (quiet < grace).then_some(Reason::Grace { seconds: grace })
    }

    /// Takes note of what a pass found and, where `applied`, wrote. `live` returns the mark of what the database held.
    pub fn observe(&mut self, plan: &Plan, applied: bool, live: impl Fn(&ConfigPath) -> String) {
        let now = self.now;
        let drifted = plan.left_alone.iter().filter(|left| {
            let waits = matches!(
                left.reason,
                Reason::Grace { .. } | Reason::BackOff { .. } | Reason::Fighting | Reason::ToPromote
            );
            left.class == Class::Drift && waits
        });
        let drifted: Vec<ConfigPath> = drifted.map(|left| left.path.clone()).collect();
        for path in &drifted {
            let mark = live(path);
            let watched = self.watched.entry(path.clone()).or_insert_with(|| Watched::since(now));
            if watched.mark != mark {
                (watched.mark, watched.since) = (mark, now);
            }
        }
        let undone = if applied { self.undone(plan) } else { Vec::new() };
        for path in applied.then(|| reverted(plan)).into_iter().flatten().chain(undone) {
            let watched = self.watched.entry(path).or_insert_with(|| Watched::since(now));
            let window = WINDOW.max(watched.rest());
            watched.reverts.retain(|at| now - at < window);
            watched.reverts.push(now);
            if watched.wait > 0.0 || watched.reverts.len() >= self.fights.after {
                if watched.wait == 0.0 {
                    self.fought += 1;
                }
                watched.rounds += 1;
                watched.wait = if watched.wait == 0.0 {
                    self.fights.back_off
                } else {
                    (watched.wait * FACTOR).min(LONGEST)
                };
            }
        }
        self.watched.retain(|path, watched| {
            let last = watched.last_revert().max(watched.since);
            let rest = if watched.wait > 0.0 { watched.rest() } else { WINDOW };
            drifted.contains(path) || now - last < rest
        });
    }

    /// Why a value of the source is not written yet, if it is not: another agent, with another source, takes turns with us.
    pub(super) fn fights(&self, path: &ConfigPath) -> Option<Reason> {
        let watched = self.watched.get(path)?;
        if watched.rounds > self.fights.rounds && self.now < watched.last_revert() + watched.rest() {
            return Some(Reason::Fighting);
        }
        let waits = watched.wait > 0.0 && self.now < watched.last_revert() + watched.wait;
        waits.then_some(Reason::BackOff { seconds: watched.wait })
    }

    /// The paths at which a plan wrote what was written before, for the same source: somebody undid it, and agreed on what
    /// they wrote, so that it is no drift.
    fn undone(&mut self, plan: &Plan) -> Vec<ConfigPath> {
        let mut undone = Vec::new();
        for (path, value) in pending(plan) {
            let now = (plan.source.clone(), value);
            if self.wrote.insert(path.clone(), now.clone()) == Some(now) {
                undone.push(path);
            }
        }
        undone
    }

    /// Returns when some wait will be over that was not when the last pass judged, in seconds of the same clock.
    pub fn next(&self, grace: f64) -> Option<f64> {
        let held = |watched: &Watched| watched.rounds > self.fights.rounds;
        let answered = |watched: &Watched| {
            let rested = if held(watched) { watched.since + watched.rest() } else { f64::MIN };
            (watched.since + grace).max(watched.last_revert() + watched.wait).max(rested)
        };
        // A fight is over, and said to be, once nothing moved for its rest.
        let over = |watched: &Watched| watched.last_revert().max(watched.since) + watched.rest();
        self.watched
            .values()
            .flat_map(|watched| [answered(watched), over(watched)])
            .filter(|at| *at > self.judged)
            .reduce(f64::min)
    }

    /// Whether some path is held because it was fought over.
    pub fn is_fighting(&self) -> bool {
        self.watched.values().any(|watched| watched.rounds > 0)
    }
}

/// The values that a plan brings in from the source.
fn pending(plan: &Plan) -> Vec<(ConfigPath, String)> {
    let values = plan.steps.iter().flat_map(|step| match step {
        Step::Update { section, id, changes } => changes
            .iter()
            .filter(|change| change.class == Class::Pending)
            .map(|change| {
                let path = ConfigPath::field(*section, id, change.field);
                let value = crate::model::value_mark(*section, change.field, Some(&change.new));
                (path, value)
            })
            .collect(),
        _ => Vec::new(),
    });
    values.collect()
}

/// The paths at which a plan writes back over an edit.
fn reverted(plan: &Plan) -> Vec<ConfigPath> {
    let paths = plan.steps.iter().flat_map(|step| match step {
        Step::Update { section, id, changes } => changes
            .iter()
            .filter(|change| change.class == Class::Drift)
            .map(|change| ConfigPath::field(*section, id, change.field))
            .collect(),
        Step::Create { section, id, class: Class::Drift, .. } => vec![ConfigPath::object(*section, id)],
        _ => Vec::new(),
    });
    paths.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FieldId, Section, Value};
    use crate::plan::{Change, LeftAlone};

    fn path() -> ConfigPath {
        ConfigPath::field(Section::Execution, "", FieldId(0))
    }

    fn waiting(reason: Reason) -> Plan {
        let left =
            LeftAlone { path: path(), class: Class::Drift, reason, base: None, desired: None, live: None };
        Plan { left_alone: vec![left], ..Plan::default() }
    }

    fn reverting() -> Plan {
        let change = Change { field: FieldId(0), old: Value::Unset, new: Value::Unset, class: Class::Drift };
        let step = Step::Update { section: Section::Execution, id: "".into(), changes: vec![change] };
        Plan { steps: vec![step], ..Plan::default() }
    }

    #[test]
    fn an_edit_is_answered_once_it_is_quiet_for_the_grace() {
        let mut patience = Patience::new(Fights::default());
        assert!(patience.waits(&path(), "a", 30.0).is_some());
        patience.observe(&waiting(Reason::Grace { seconds: 30.0 }), false, |_| "a".into());
        patience.at(20.0);
        patience.observe(&waiting(Reason::Grace { seconds: 30.0 }), false, |_| "b".into());
        patience.at(49.0);
        assert!(patience.waits(&path(), "b", 30.0).is_some(), "it moved again at 20");
        assert_eq!(patience.next(30.0), Some(50.0));
        patience.at(50.0);
        assert_eq!(patience.waits(&path(), "b", 30.0), None);
        assert_eq!(patience.waits(&path(), "c", 30.0), Some(Reason::Grace { seconds: 30.0 }));
    }

    #[test]
    fn a_field_that_is_reverted_again_and_again_is_held() {
        let mut patience = Patience::new(Fights { after: 3, back_off: 2.0, rounds: 2 });
        let mut at = 0.0;
        let mut reverts = 0;
        while patience.waits(&path(), "x", 0.0) != Some(Reason::Fighting) {
            patience.at(at);
            match patience.waits(&path(), "x", 0.0) {
                None => {
                    patience.observe(&reverting(), true, |_| "x".into());
                    reverts += 1;
                }
                Some(reason) => patience.observe(&waiting(reason), false, |_| "x".into()),
            }
            at += 0.05;
            assert!(at < 60.0, "never held");
        }
        assert_eq!(reverts, 5, "three, and one after each wait");
        assert!(at > 7.9, "waits of 2 and 6 seconds: {at}");
        assert_eq!(patience.fought, 1);
        assert!(patience.is_fighting());
    }

    #[test]
    fn what_falls_due_while_a_pass_runs_is_due_at_once() {
        let mut patience = Patience::new(Fights::default());
        patience.observe(&waiting(Reason::Grace { seconds: 1.0 }), false, |_| "a".into());
        // The pass judged just before the grace was over, and took longer than what was left of it.
        patience.at(0.999);
        patience.observe(&waiting(Reason::Grace { seconds: 0.001 }), true, |_| "a".into());
        patience.later(1.02);
        assert_eq!(patience.next(1.0), Some(1.0));
    }

    #[test]
    fn a_value_that_is_written_again_for_the_same_source_is_fought_over() {
        let mut patience = Patience::new(Fights { after: 3, back_off: 2.0, rounds: 2 });
        let bringing_in = |value: i64, source: &str| {
            let change = Change {
                field: FieldId(0),
                old: Value::Unset,
                new: Value::Integer(value),
                class: Class::Pending,
            };
            let step = Step::Update { section: Section::Execution, id: "".into(), changes: vec![change] };
            Plan { steps: vec![step], source: Some(SourceDigest(source.into())), ..Plan::default() }
        };
        for round in 0..10 {
            patience.observe(&bringing_in(round, &round.to_string()), true, |_| String::new());
        }
        assert_eq!(patience.fights(&path()), None, "somebody edits the source");
        for _ in 0..4 {
            patience.observe(&bringing_in(1, "one"), true, |_| String::new());
        }
        assert_eq!(patience.fights(&path()), Some(Reason::BackOff { seconds: 2.0 }));
    }

    #[test]
    fn what_stays_quiet_is_forgotten() {
        let mut patience = Patience::new(Fights::default());
        patience.observe(&reverting(), true, |_| "x".into());
        assert!(!patience.is_fighting(), "one revert is no fight");
        patience.at(61.0);
        patience.observe(&Plan::default(), false, |_| String::new());
        assert!(patience.watched.is_empty());
    }
}
