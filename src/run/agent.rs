//! The owner of the store: waits for a wake, decides whether a pass is needed, runs it, publishes what it found.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Instant, SystemTime};

use super::consumer::{self, Held};
use super::edits::Entries;
use super::poll::Polled;
use super::say::Said;
use super::schedule::{Due, Schedule};
use super::source::Source;
use super::standby::Role;
use super::watch::{Hint, Watcher};
use super::{Published, RunError, RunOptions, Wake};
use crate::cluster::{Feed, Wishes};
use crate::metrics::Metrics;
use crate::model::{ConfigPath, Policy, StoreFingerprint};
use crate::plan::Patience;
use crate::report::Outcome;
use crate::settings;
use crate::store::{Access, Store};
use crate::web::Board;

pub(super) struct Agent {
    pub(super) options: RunOptions,
    /// The answers to differences, with what the source says of them.
    pub(super) policy: Policy,
    /// What objects asked for when the last pass began.
    pub(super) wishes: Wishes,
    /// The API's side, when the source is an object.
    pub(super) feed: Option<Feed>,
    pub(super) store: Store,
    /// Whether it writes, or stands by.
    pub(super) role: Role,
    pub(super) watcher: Watcher,
    /// What is looked at because no event tells of it.
    pub(super) polled: Polled,
    pub(super) schedule: Schedule,
    published: Published,
    /// Where the web page looks, when there is one.
    pub(super) board: Option<Arc<Board>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) source: Source,
    /// When this agent began: the foot of a clock that never goes back.
    pub(super) began: Instant,
    /// What it remembers of edits that may not be over.
    pub(super) patience: Patience,
    /// Since when each difference is there, in seconds since the epoch.
    pub(super) differing_since: HashMap<ConfigPath, f64>,
    /// The rows that the newest backup has, and since when the database holds others.
    pub(super) saved_rows: Option<StoreFingerprint>,
    pub(super) unsaved_since: Option<f64>,
    /// What was promoted last, and why edits could not be, as the log has it.
    pub(super) promoted: (u64, Vec<String>),
    pub(super) said_blocked: Vec<String>,
    /// The newest revision that the store has.
    pub(super) revision: Option<i64>,
    /// What the rows were when they were last compared.
    pub(super) compared: Option<StoreFingerprint>,
    /// Which edits of other programs the history has.
    pub(super) entries: Entries,
    data_version: Option<i64>,
    /// Whether the last pass failed because somebody else held the database.
    locked_out: bool,
    /// What the log has of the last pass.
    pub(super) said: Said,
    /// Why file events cannot be had, as the log has it.
    said_fault: Option<String>,
    /// Where the consumer's thread hears of what the store holds, and which rows it heard of last.
    consumer: Option<(Sender<Held>, Option<StoreFingerprint>)>,
    /// Wakes this agent.
    wakes: Sender<Wake>,
    /// Whether the source was another file, so that other folders may matter now.
    pub(super) arm_after_pass: bool,
}

impl Agent {
    pub(super) fn new(
        options: RunOptions,
        feed: Option<Feed>,
        wakes: Sender<Wake>,
        published: Published,
        metrics: Arc<Metrics>,
        board: Option<Arc<Board>>,
    ) -> Result<Self, RunError> {
        let mut store = Store::at(&options.db, Access::Write, &options.keys)?;
        store.set_backups(&options.backups);
        let role = Role::take(&mut store, &options.source, &wakes)?;
        if let Some(folder) = store.path().parent() {
            // The folder must be there to be watched.
            crate::store::files::create_folder(folder)?;
        }
        let watcher = Watcher::new(&options.source, store.path(), wakes.clone());
        let polled = Polled::new(&options.source);
        // Whoever reads the first line of the log may already ask.
        metrics.watching(watcher.sees_source() && !polled.has_source(), watcher.sees_database());
        let consumer = options
            .consumer
            .clone()
            .map(|it| consumer::start(it, Arc::clone(&metrics), feed.clone()))
            .transpose()?;
        Ok(Self {
            consumer: consumer.map(|sender| (sender, None)),
            board,
            watcher,
            polled,
            store,
            role,
            wakes,
            schedule: Schedule::new(Instant::now()),
            published,
            metrics,
            source: Source::default(),
            began: Instant::now(),
            patience: Patience::new(options.fights),
            policy: options.policy.with(None),
            wishes: Wishes::default(),
            feed,
            differing_since: HashMap::new(),
            saved_rows: None,
            unsaved_since: None,
            promoted: (0, Vec::new()),
            said_blocked: Vec::new(),
            revision: None,
            compared: None,
            entries: Entries::new(Instant::now()),
            data_version: None,
            locked_out: false,
            said: Said::default(),
            said_fault: None,
            arm_after_pass: false,
            options,
        })
    }

    /// The database, its folder resolved.
    pub(super) fn database(&self) -> &std::path::Path {
        self.store.path()
    }

    /// Runs until it is told to stop.
    pub(super) fn run(&mut self, woken: &Receiver<Wake>) {
        tracing::info!(source = %self.options.source, database = %self.store.path().display(), "watching");
        loop {
            self.published.at_work(Some(Instant::now()));
            self.role.look_again(&mut self.store, &self.options.source, &self.wakes);
            let due = self.schedule.take_due(Instant::now());
            self.look(due);
            self.arm_polling();
            self.published.at_work(None);
            let wait = self.schedule.next().saturating_duration_since(Instant::now());
            match woken.recv_timeout(wait) {
                Ok(wake) => {
                    self.published.at_work(Some(Instant::now()));
                    if !self.hear(wake) || woken.try_iter().any(|wake| !self.hear(wake)) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Notes a wake; false means stop.
    fn hear(&mut self, wake: Wake) -> bool {
        let now = Instant::now();
        match wake {
            Wake::Source(hint) => self.schedule.source_hint(hint, now),
            Wake::Secrets => self.schedule.files_at(now),
            Wake::Store => self.schedule.store_hint(now),
            Wake::FolderGone | Wake::Rescan => {
                self.rearm();
                self.schedule.force(now);
            }
            Wake::Mounts => {
                self.rearm();
                self.schedule.source_hint(Hint::Replaced, now);
                self.schedule.store_hint(now);
            }
            Wake::Lock(lock) => self.take_over(lock),
            Wake::Order(order) => self.take_order(*order),
            Wake::Stop => return false,
        }
        true
    }

    /// Looks at whatever is due, and runs a pass when something moved.
    fn look(&mut self, due: Due) {
        if self.awaits_source() {
            // The API server's first answer, good or bad, wakes us.
            self.schedule.full_done(Instant::now(), spread());
            return;
        }
        let blind = due.poll && !(self.watcher.sees_source() && self.watcher.sees_database());
        if blind {
            self.watcher.arm();
        }
        let mut pass = due.full || due.retry;
        if due.files {
            pass |= self.look_at_files();
        }
        let unheard = due.full || blind || (due.poll && self.source.is_to_be_polled());
        if due.source || (unheard && !self.source_is_young(due.full)) {
            pass |= self.read_source(due.full);
        }
        if (due.store || due.poll || due.full) && !pass {
            pass = self.store_moved();
        }
        if pass {
            self.pass();
        }
        if due.full {
            self.schedule.full_done(Instant::now(), spread());
        }
    }

    /// Whether rows of interest changed, or the database is another file.
    fn store_moved(&mut self) -> bool {
        if self.store.has_moved() {
            tracing::warn!(database = %self.store.path().display(), "the database was replaced or deleted; opening it anew");
            self.store.close();
            self.watcher.rearm();
            self.data_version = None;
            return true;
        }
        let version = self.store.exists().then(|| self.store.data_version());
        match version {
            Some(Ok(version)) if self.data_version == Some(version) => false,
            Some(Ok(version)) => {
                self.data_version = Some(version);
                // Somebody else could commit: the lock that kept us out is gone.
                let other = self.store.fingerprint().ok().is_none_or(|rows| Some(rows) != self.compared);
                if other {
                    self.store.look_who_has_it_open();
                }
                self.locked_out || other
            }
            Some(Err(_)) | None => true,
        }
    }

    pub(super) fn pass(&mut self) {
        let was_there = self.store.exists();
        let mut passed = self.pass_over_source();
        passed.waits_for = self.role.waits_for().cloned();
        let report = Arc::new(passed);
        match &report.failure {
            Some(failure) if failure.transient || report.outcome == Outcome::Failed => {
                self.schedule.failed(Instant::now());
                if !failure.transient {
                    // A key that is mounted later mends a wrong one.
                    let _ = self.store.reload_keys(&self.options.keys);
                    self.source.known = None;
                }
            }
            _ => self.schedule.succeeded(),
        }
        self.locked_out = report.failure.as_ref().is_some_and(|failure| failure.reason == "locked");
        self.compared = report.fingerprint;
        if self.may_write() {
            self.record_edits();
        }
        for held in self.store.take_lock_times() {
            self.metrics.lock_held(held);
        }
        self.metrics.record(&report, self.store.exists());
        self.revision = self.store.exists().then(|| self.store.newest_revision().ok().flatten()).flatten();
        self.published.publish(Arc::clone(&report), self.revision.is_some());
        self.post(&report);
        self.log(&report);
        self.after_pass(&report);
        self.tell_api(&report);
        if std::mem::take(&mut self.arm_after_pass) {
            self.watcher.arm();
            self.choose_polled();
        }
        // A database that appeared during the pass was not seen by it.
        let is_seen = was_there && self.store.exists();
        self.data_version = is_seen.then(|| self.store.data_version().ok()).flatten();
        // A commit between the pass and the line above would otherwise be taken for seen.
        if self.compared.is_some() && self.store.exists() && self.store.fingerprint().ok() != self.compared {
            self.data_version = None;
            self.schedule.store_hint(Instant::now());
        }
        self.tell_consumer();
        if self.role.waits_for().is_none() {
            self.store.checkpoint_when_large(settings::CHECKPOINT_WAL_BYTES);
            self.back_up_between_writes(&report);
        }
    }

    /// Hands over what the store holds, when that is something else than the consumer's thread has.
    fn tell_consumer(&mut self) {
        let Some((sender, heard)) = &mut self.consumer else { return };
        if *heard == self.compared || self.compared.is_none() {
            return;
        }
        if let Ok(snapshot) = self.store.read() {
            *heard = Some(snapshot.fingerprint);
            let _ = sender.send(Held { live: snapshot.live, keys: Arc::clone(self.store.keys()) });
        }
    }

    /// Looks by the clock at what cannot be watched.
    fn arm_polling(&mut self) {
        let now = Instant::now();
        let sees_source = self.watcher.sees_source() && !self.polled.has_source();
        self.metrics.watching(sees_source, self.watcher.sees_database());
        match (&self.watcher.fault, &self.said_fault) {
            (Some(fault), None) => {
                tracing::warn!(%fault, "file events cannot be had; looking by the clock instead");
            }
            (None, Some(_)) => tracing::info!("file events are back"),
            _ => {}
        }
        self.said_fault.clone_from(&self.watcher.fault);
        if !self.watcher.sees_source() || self.source.is_to_be_polled() {
            self.schedule.poll_after(now, settings::POLL_SOURCE_EVERY);
        }
        if !self.watcher.sees_database() {
            self.schedule.poll_after(now, settings::POLL_STORE_EVERY);
        }
        self.schedule.poll_after(now, settings::SAFETY_POLL_EVERY);
    }
}

/// A number from -1 to 1 that differs between agents and moments.
fn spread() -> f64 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let mixed = nanos.wrapping_mul(2_654_435_761) ^ std::process::id().wrapping_mul(40_503);
    f64::from(mixed) / f64::from(u32::MAX) * 2.0 - 1.0
}
