//! What a watcher does about drift besides passes: it waits for quiet, notices fights, and writes edits into the
//! source where the policy says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::agent::Agent;
use crate::actions;
use crate::desired::{DesiredConfig, ResolveSecrets as _};
use crate::model::{ConfigPath, SecretReference, SecretText, Selection, SourceSnapshot, mark};
use crate::plan::{LeftAlone, Reason};
use crate::promotion::{PromotedKeys, Sides, Wanted, promote};
use crate::report::SyncReport;
use crate::settings;
use crate::sync::read_source;

impl Agent {
    /// Seconds of a clock that never goes back.
    pub(super) fn monotonic(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Takes note of what a pass found: which edits wait, since when there is drift, and when to look again.
    pub(super) fn after_pass(&mut self, report: &SyncReport) {
        self.note_drift(report);
        let Some(plan) = report.plan.as_deref() else { return };
        let waits = plan.left_alone.iter().any(|left| waits(&left.reason));
        // Only while something waits is what it waits for read once more.
        let live = waits.then(|| self.store.read().ok()).flatten();
        let now = self.monotonic();
        self.patience.later(now);
        self.patience.observe(plan, report.written.is_some(), |path| {
            let object = live.as_ref().and_then(|it| it.live.get(path.section, &path.id));
            mark(path, object.map(|object| &**object))
        });
        self.metrics.fights(self.patience.fought, self.patience.is_fighting());
        let quiet = self.patience.next(self.policy.grace).map(|at| at - now);
        let deadline = plan.deadline.map(|at| at - wall_clock());
        if let Some(seconds) = [quiet, deadline].into_iter().flatten().reduce(f64::min) {
            let wait = Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0)) + Duration::from_millis(1);
            self.schedule.look_again(Instant::now() + wait);
        }
        let paths: Vec<ConfigPath> = plan
            .left_alone
            .iter()
            .filter(|left| left.reason == Reason::ToPromote)
            .map(|left| left.path.clone())
            .collect();
        if !paths.is_empty() && self.may_write() {
            self.promote(&paths);
        }
    }

    /// Since when each difference is there.
    fn note_drift(&mut self, report: &SyncReport) {
        let Some(plan) = report.plan.as_deref() else { return };
        let now = wall_clock();
        let differing = plan.left_alone.iter().filter(|left| left.is_difference());
        let since: HashMap<ConfigPath, f64> = differing
            .map(|left: &LeftAlone| {
                let since = self.differing_since.get(&left.path).copied().unwrap_or(now);
                (left.path.clone(), since)
            })
            .collect();
        self.metrics.oldest_difference(since.values().copied().reduce(f64::min));
        self.differing_since = since;
    }

    /// The source that is kept with the store as good.
    pub(super) fn kept_source(&mut self) -> Option<(Arc<SourceSnapshot>, Arc<DesiredConfig>)> {
        let source = self.store.good_source().ok().flatten()?;
        let secrets = self.secrets();
        // Secrets of Kubernetes cannot be had while the API server is away: everything but such keys is compared.
        let known = |reference: &SecretReference| match reference {
            SecretReference::SecretKey { .. } => Ok(SecretText::new("-")),
            other => secrets.resolve(other),
        };
        let desired = read_source(&source, &known, self.store.keys()).ok()?;
        self.source.lacks_keys = !crate::desired::secrets_named(&source).is_empty();
        Some((Arc::new(source), Arc::new(desired)))
    }

    /// Writes edits into the source. The next pass reads it, and both sides agree.
    fn promote(&mut self, paths: &[ConfigPath]) {
        let (Some(source), Some(desired)) = (self.source.current.clone(), self.source.known.clone()) else {
            return;
        };
        let Ok(live) = self.store.read() else { return };
        if self.store.keys().ensure_fits(&live).is_err() {
            return;
        }
        let circumstances = crate::plan::Circumstances { now: wall_clock(), ..Default::default() };
        let plan = crate::plan::plan(&desired, &live, &self.policy, &circumstances);
        let paths: Vec<Selection> = paths.iter().map(Selection::from).collect();
        let secrets = self.secrets();
        let keys = Arc::clone(self.store.keys());
        let sides = Sides { source: &source, desired: &desired, store: &live, plan: &plan };
        let wanted = Wanted { paths: &paths, keys: PromotedKeys::Blocked };
        let promotion = promote(&sides, wanted, |after| read_source(after, &secrets, &keys));
        let mut said: Vec<String> = promotion.blocked.iter().map(ToString::to_string).collect();
        if !promotion.documents.is_empty() {
            match actions::write(&self.options.source, &promotion.documents) {
                Ok(()) => {
                    let paths: Vec<String> = promotion.promoted.iter().map(ToString::to_string).collect();
                    let source = self.options.source.to_string();
                    tracing::info!(source, paths = paths.join(", "), "promoted edits of the database");
                    self.promoted = (self.promoted.0 + 1, paths);
                }
                Err(error) => {
                    said.push(format!("{error}; {}", error.hint()));
                    self.schedule.look_again(Instant::now() + settings::RETRY_LIMIT);
                }
            }
        }
        for blocked in said.iter().filter(|text| !self.said_blocked.contains(*text)) {
            tracing::warn!("not promoted: {blocked}");
        }
        self.said_blocked = said;
    }
}

fn waits(reason: &Reason) -> bool {
    matches!(reason, Reason::Grace { .. } | Reason::BackOff { .. } | Reason::Fighting | Reason::ToPromote)
}

/// Seconds since the epoch.
pub(super) fn wall_clock() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
