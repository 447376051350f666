//! The source between passes: read when something is heard of it, kept while it is good, and the last good one looked
//! at while the present one is no use.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::agent::Agent;
use crate::cluster::{Feed, Seen};
use crate::desired::DesiredConfig;
use crate::model::{PathPattern, SourceDigest, SourceSnapshot};
use crate::report::{Failure, Outcome, SyncReport};
use crate::settings;
use crate::source::{self, Declared, Secrets, SourceError};
use crate::sync::{Input, Mode, Pass, Passed, sync_once};

/// The source as it was last read, and the last one that was good.
#[derive(Default)]
pub(super) struct Source {
    pub(super) current: Option<Arc<SourceSnapshot>>,
    /// What `current` reads as, once it was read.
    pub(super) known: Option<Arc<DesiredConfig>>,
    /// The last valid source: drift is still watched against it while the present one cannot be used.
    pub(super) good: Option<(Arc<SourceSnapshot>, Arc<DesiredConfig>)>,
    /// Whether the API keys of `good` are not known, because they lie where they cannot be had now.
    pub(super) lacks_keys: bool,
    fault: Option<Arc<SourceError>>,
    /// The object that `current` is from, when it is from one.
    declared: Option<Arc<Declared>>,
}

impl Source {
    /// Whether the present source could be read.
    pub(super) fn is_there(&self) -> bool {
        self.fault.is_none()
    }

    /// Whether only looking tells when the source is back. The API's side tells by itself.
    pub(super) fn is_to_be_polled(&self) -> bool {
        let told = self.declared.is_some() || self.fault.as_ref().is_some_and(|fault| fault.is_of_object());
        self.fault.is_some() && !told
    }
}

fn same_object(one: Option<&Declared>, two: Option<&Declared>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => one.says_the_same_as(two),
        (None, None) => true,
        _ => false,
    }
}

/// A source, with the object that it is from.
type Newest = (Arc<SourceSnapshot>, Option<Arc<Declared>>);

impl Agent {
    /// Whether the API server has not said anything of the source yet.
    pub(super) fn awaits_source(&self) -> bool {
        self.feed.as_ref().is_some_and(|feed| feed.newest().is_none())
    }

    /// Whether the source changed a moment ago: it may be half written, and the event that says so on its way. Then it is
    /// looked at again soon.
    pub(super) fn source_is_young(&mut self, full: bool) -> bool {
        let age =
            source::changed(&self.options.source).and_then(|at| SystemTime::now().duration_since(at).ok());
        let young = age.is_some_and(|age| age < settings::SETTLE_UNHEARD) && self.source.current.is_some();
        if young {
            self.schedule.source_at(Instant::now() + settings::SETTLE_UNHEARD);
            if full {
                // What it reads as is found out anew all the same, with the secrets that it names.
                self.source.known = None;
            }
        }
        young
    }

    /// Reads the source; returns whether it is another one now.
    pub(super) fn read_source(&mut self, full: bool) -> bool {
        if !self.schedule.source_is_quiet() {
            return false;
        }
        match self.newest_source() {
            Ok((snapshot, declared)) => {
                let was_away = self.source.fault.take().is_some();
                if was_away && declared.is_none() {
                    // What is back may be another folder under the same name, as after a mount.
                    self.rearm();
                }
                let same = self.source.current.as_ref().is_some_and(|current| **current == *snapshot)
                    && same_object(self.source.declared.as_deref(), declared.as_deref());
                if !same || full {
                    // A full comparison reads secrets anew, too.
                    self.source.known = None;
                    self.name_secrets(&snapshot);
                    self.source.current = Some(snapshot);
                    self.arm_after_pass = declared.is_none();
                    self.policy =
                        self.options.policy.with(declared.as_ref().and_then(|it| it.policy.as_ref()));
                    self.source.declared = declared;
                }
                !same || was_away
            }
            Err(error) => {
                let said = |fault: &Arc<SourceError>| {
                    if fault.is_of_object() { fault.to_string() } else { fault.reason().to_owned() }
                };
                let news = self.source.fault.as_ref().map(said) != Some(said(&error));
                if !error.is_of_object() {
                    self.schedule.poll_after(Instant::now(), settings::POLL_SOURCE_EVERY);
                }
                self.source.fault = Some(error);
                news
            }
        }
    }

    fn newest_source(&self) -> Result<Newest, Arc<SourceError>> {
        match self.feed.as_ref().and_then(Feed::newest) {
            Some(declared) => declared.map(|it| (Arc::clone(&it.snapshot), Some(it))),
            None => source::read(&self.options.source)
                .map(|snapshot| (Arc::new(snapshot), None))
                .map_err(Arc::new),
        }
    }

    /// Finds the secrets that the source refers to.
    pub(super) fn secrets(&self) -> Secrets {
        match &self.source.declared {
            Some(declared) => Secrets::of_cluster(Arc::clone(&declared.secrets), &self.options.reach),
            None if self.feed.is_some() => Secrets::of_cluster(Arc::default(), &self.options.reach),
            None => Secrets::of(&self.options.source, &self.options.reach),
        }
    }

    /// One pass over the present source; over the last good one, writing nothing, when the present one is no use.
    pub(super) fn pass_over_source(&mut self) -> SyncReport {
        self.wishes = self.feed.as_ref().map(Feed::wishes).unwrap_or_default();
        if self.source.fault.is_none()
            && let Some(current) = self.source.current.clone()
        {
            let suspended = self.is_suspended();
            let mode = if self.may_write() { Mode::Apply } else { Mode::Plan };
            let mut passed = self.sync(&current, self.source.known.clone(), mode);
            passed.report.paused |= suspended;
            self.source.known.clone_from(&passed.desired);
            let refused = matches!(passed.report.outcome, Outcome::Invalid | Outcome::SourceClobbered);
            let valid = passed.desired.as_ref().filter(|_| !refused);
            if let Some(desired) = valid {
                self.source.good = Some((current, Arc::clone(desired)));
                self.source.lacks_keys = false;
            }
            if passed.report.plan.is_some() || !refused {
                return passed.report;
            }
            return self.beside_last_good(passed.report);
        }
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let database = self.store.path().display().to_string();
        let mut report = SyncReport::new(self.options.source.to_string(), database, started.as_secs_f64());
        if let Some(error) = &self.source.fault {
            let failure = Failure {
                reason: error.reason(),
                message: format!("the source is not available: {error}; nothing is written until it is back"),
                hint: Some(error.hint().to_owned()),
                transient: false,
            };
            report.failed(Outcome::SourceUnavailable, failure);
        }
        self.beside_last_good(report)
    }

    /// Keeps an eye on drift against the last good source.
    fn beside_last_good(&mut self, mut report: SyncReport) -> SyncReport {
        if self.source.good.is_none() {
            self.source.good = self.kept_source();
        }
        if let Some((snapshot, desired)) = self.source.good.clone() {
            let passed = self.sync(&snapshot, Some(desired), Mode::Plan);
            report.differences = passed.report.differences;
            report.objects = passed.report.objects;
            report.fingerprint = passed.report.fingerprint;
        } else {
            report.fingerprint = self.store.fingerprint().ok();
        }
        report
    }

    /// Whether an object asks to write nothing: the one that is applied, or the store's own.
    pub(super) fn is_suspended(&self) -> bool {
        self.wishes.store_suspended
            || self.source.declared.as_ref().is_some_and(|declared| declared.suspended)
    }

    fn sync(&mut self, snapshot: &SourceSnapshot, known: Option<Arc<DesiredConfig>>, mode: Mode) -> Passed {
        let secrets = self.secrets();
        self.patience.at(self.monotonic());
        let patience = Some(&self.patience);
        let mut policy = Cow::Borrowed(&self.policy);
        if self.source.lacks_keys && mode == Mode::Plan {
            policy.to_mut().ignore.extend("services.*.api_key".parse::<PathPattern>());
        }
        let pass = Pass { mode, patience, ..Pass::apply(&policy, &self.options.actor, "reconcile") };
        let mut passed =
            sync_once(&Input { source: snapshot, known, secrets: &secrets }, &mut self.store, &pass);
        self.entries.seen = passed.seen.take();
        passed
    }

    /// Hands what a pass found to the API's side.
    pub(super) fn tell_api(&mut self, report: &Arc<SyncReport>) {
        let Some(feed) = &self.feed else { return };
        let declared = self.source.declared.as_deref();
        let digest: Option<SourceDigest> =
            report.source_digest.clone().or_else(|| Some(self.source.good.as_ref()?.1.digest().clone()));
        feed.found(Seen {
            report: Arc::clone(report),
            generation: declared.and_then(|declared| declared.generation),
            resource_version: declared.and_then(|declared| declared.resource_version.clone()),
            wishes: self.wishes.clone(),
            revision: self.revision,
            digest,
            suspended: self.is_suspended(),
            consumer: None,
            promoted: self.promoted.clone(),
            blocked: self.said_blocked.clone(),
        });
    }
}
