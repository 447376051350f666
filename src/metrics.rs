//! The report as metrics. Every series exists from the start, so that rates begin at zero; no label has values
//! that grow with the configuration.

use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::model::Section;
use crate::plan::Class;
use crate::report::{Outcome, SyncReport};

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    drift_fields: IntGaugeVec,
    reconcile_total: IntCounterVec,
    reconcile_duration: Histogram,
    apply_steps_total: IntCounterVec,
    last_compare_success: Gauge,
    last_apply_success: Gauge,
    source_available: IntGauge,
    store_available: IntGauge,
    key_mismatch: IntGauge,
    backup_last_success: Gauge,
    backup_size: IntGauge,
    conflicts: IntGauge,
    extra_objects: IntGauge,
    unknown_objects: IntGauge,
    plaintext_secrets: IntGauge,
    oldest_difference: Gauge,
    oldest_since: std::sync::Mutex<Option<f64>>,
    backup_missing: Gauge,
    unsaved_since: std::sync::Mutex<Option<f64>>,
    accepted: IntGauge,
    ignored_fields: IntGauge,
    paused: IntGauge,
    pinned: IntGauge,
    fights_total: prometheus::IntCounter,
    fighting: IntGauge,
    source_clobbered: IntGauge,
    store_missing: IntGauge,
    standing_by: IntGauge,
    write_lock: Histogram,
    watch_available: IntGaugeVec,
    polled_files: IntGaugeVec,
    consumer_in_sync: IntGaugeVec,
}

/// Every name begins with this.
const PREFIX: &str = "oxide_operator";

impl Metrics {
    /// Registers every metric.
    ///
    /// # Panics
    /// Never: names and labels are constants, each registered once.
    pub fn new() -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let build: GaugeVec =
            make.add(GaugeVec::new(opts("build_info", "Always 1; says what is running"), &["version"]));
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process)).expect("registered once");
        let metrics = Self {
            drift_fields: make.add(IntGaugeVec::new(
                opts("drift_fields", "Differences between source and database, by section and class"),
                &["section", "class"],
            )),
            reconcile_total: make
                .add(IntCounterVec::new(opts("reconcile_total", "Passes, by how they ended"), &["result"])),
            reconcile_duration: make.add(Histogram::with_opts(
                HistogramOpts::new("reconcile_duration_seconds", "How long a pass took")
                    .namespace(PREFIX)
                    .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
            )),
            apply_steps_total: make.add(IntCounterVec::new(
                opts("apply_steps_total", "Rows written, by what was done"),
                &["op"],
            )),
            last_compare_success: make.gauge(
                "last_compare_success_timestamp_seconds",
                "When source and database were last compared to the end",
            ),
            last_apply_success: make
                .gauge("last_apply_success_timestamp_seconds", "When rows were last written and verified"),
            source_available: make.int("source_available", "1 when the source can be read and is valid"),
            store_available: make.int("store_available", "1 when the database can be read"),
            key_mismatch: make
                .int("key_mismatch", "1 when stored API keys do not decrypt with the present key"),
            backup_last_success: make
                .gauge("backup_last_success_timestamp_seconds", "When a backup was last taken and checked"),
            backup_size: make.int("backup_size_bytes", "Size of the newest backup"),
            conflicts: make.int("conflicts", "Differences that wait for somebody's choice"),
            extra_objects: make
                .int("extra_objects", "Objects in the database that the source never declared"),
            unknown_objects: make.int("unknown_objects", "Values that cannot be read or decrypted"),
            plaintext_secrets: make
                .int("plaintext_secrets", "API keys that stand in the source in plain text"),
            oldest_difference: make.gauge(
                "drift_oldest_seconds",
                "For how long the oldest difference is there; 0 when there is none",
            ),
            oldest_since: std::sync::Mutex::new(None),
            backup_missing: make.gauge(
                "backup_missing_seconds",
                "For how long the database holds what no backup has; 0 when a backup has it",
            ),
            unsaved_since: std::sync::Mutex::new(None),
            accepted: make.int("accepted", "Differences that somebody accepted"),
            ignored_fields: make.int("ignored_fields", "Differences that the policy ignores"),
            paused: make.int("paused", "1 while somebody paused writes"),
            pinned: make.int("pinned", "1 while a restore keeps the present source out"),
            fights_total: make
                .add(prometheus::IntCounter::with_opts(opts("fights_total", "Fields that were fought over"))),
            fighting: make.int("fighting", "1 while a field is reverted and edited again and again"),
            source_clobbered: make
                .int("source_clobbered", "1 while the source is one that another program wrote anew"),
            standing_by: make
                .int("standing_by", "1 while another agent holds the database, and this one writes nothing"),
            store_missing: make.int("store_missing", "1 while the database is gone and backups of it exist"),
            write_lock: make.add(Histogram::with_opts(
                HistogramOpts::new("write_lock_seconds", "How long the database's write lock was held")
                    .namespace(PREFIX)
                    .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0]),
            )),
            watch_available: make.add(IntGaugeVec::new(
                opts(
                    "watch_available",
                    "1 when file events are had, 0 when a side is looked at by the clock",
                ),
                &["side"],
            )),
            polled_files: make.add(IntGaugeVec::new(
                opts(
                    "polled_files",
                    "Files that are looked at by the clock, because no event tells of their changes",
                ),
                &["side"],
            )),
            consumer_in_sync: make.add(IntGaugeVec::new(
                opts(
                    "consumer_in_sync",
                    "1 when the orchestrator runs with what the database holds; absent when it is not asked",
                ),
                &[],
            )),
            registry,
        };
        metrics.begin();
        metrics
    }

    fn begin(&self) {
        for section in Section::ALL {
            for class in Class::ALL {
                self.drift_fields.with_label_values(&[section.name(), class.name()]).set(0);
            }
        }
        for outcome in Outcome::ALL {
            self.reconcile_total.with_label_values(&[outcome.name()]).inc_by(0);
        }
        for op in ["create", "update", "delete"] {
            self.apply_steps_total.with_label_values(&[op]).inc_by(0);
        }
        self.watching(false, false);
        self.polled(0, 0);
    }

    /// Records what a pass found and did.
    pub fn record(&self, report: &SyncReport, store_exists: bool) {
        self.reconcile_total.with_label_values(&[report.outcome.name()]).inc();
        self.reconcile_duration.observe(report.duration_seconds);
        let finished = report.started_at + report.duration_seconds;
        let reason = report.failure.as_ref().map(|failure| failure.reason);
        let source_is_bad = matches!(
            report.outcome,
            Outcome::Invalid | Outcome::SourceUnavailable | Outcome::SourceClobbered
        );
        self.source_clobbered.set(i64::from(report.outcome == Outcome::SourceClobbered));
        self.standing_by.set(i64::from(report.waits_for.is_some()));
        self.store_missing.set(i64::from(report.outcome == Outcome::StoreMissing));
        self.source_available.set(i64::from(!source_is_bad));
        let unusable = matches!(report.outcome, Outcome::Failed | Outcome::StoreMissing);
        self.store_available.set(i64::from(store_exists && !unusable));
        let wrong_key =
            matches!(reason, Some("wrong_key" | "no_key" | "bad_key")) || report.undecryptable > 0;
        self.key_mismatch.set(i64::from(wrong_key));
        if unusable {
            // What could not be compared keeps its last known number; staleness is a metric of its own.
            return;
        }
        if report.outcome.compared() {
            self.last_compare_success.set(finished);
        }
        for section in Section::ALL {
            for class in Class::ALL {
                let count = i64::try_from(report.count(section, class)).unwrap_or(i64::MAX);
                self.drift_fields.with_label_values(&[section.name(), class.name()]).set(count);
            }
        }
        let total = |class| i64::try_from(report.total(class)).unwrap_or(i64::MAX);
        self.conflicts.set(total(Class::Conflict));
        self.extra_objects.set(total(Class::Extra));
        self.unknown_objects.set(total(Class::Unknown));
        let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.accepted.set(size(report.accepted));
        self.ignored_fields.set(size(report.ignored));
        self.paused.set(i64::from(report.paused));
        self.pinned.set(i64::from(report.pinned));
        self.plaintext_secrets.set(i64::try_from(report.plaintext_secrets).unwrap_or(i64::MAX));
        let Some(written) = report.written.as_ref().filter(|written| written.revision.is_some()) else {
            return;
        };
        self.last_apply_success.set(finished);
        for (op, count) in
            [("create", written.created), ("update", written.updated), ("delete", written.deleted)]
        {
            self.apply_steps_total.with_label_values(&[op]).inc_by(count as u64);
        }
        if let Some(bytes) = written.backup_bytes {
            self.backed_up(finished, bytes);
        }
    }

    /// Records for how long the write lock was held, once.
    pub fn lock_held(&self, held: std::time::Duration) {
        self.write_lock.observe(held.as_secs_f64());
    }

    /// Records whether each side's file events are had.
    pub fn watching(&self, source: bool, database: bool) {
        self.watch_available.with_label_values(&["source"]).set(i64::from(source));
        self.watch_available.with_label_values(&["database"]).set(i64::from(database));
    }

    /// Records how many files of the source, and how many secret files that it names, are looked at by the clock.
    pub fn polled(&self, source: usize, secrets: usize) {
        for (side, count) in [("source", source), ("secrets", secrets)] {
            self.polled_files.with_label_values(&[side]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Notes whether the orchestrator runs with what the database holds.
    pub fn consumer(&self, in_sync: bool) {
        self.consumer_in_sync.with_label_values::<&str>(&[]).set(i64::from(in_sync));
    }

    /// Notes since when the oldest difference is there, in seconds since the epoch.
    pub fn oldest_difference(&self, since: Option<f64>) {
        *self.oldest_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = since;
    }

    /// Notes since when the database holds what no backup has, in seconds since the epoch.
    pub fn unsaved(&self, since: Option<f64>) {
        *self.unsaved_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = since;
    }

    /// Notes a backup, and when it was taken, in seconds since the epoch.
    pub fn backed_up(&self, at: f64, bytes: u64) {
        self.backup_last_success.set(at);
        self.backup_size.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Notes how many fights began so far, and whether there is one now.
    pub fn fights(&self, began: u64, now: bool) {
        self.fights_total.inc_by(began.saturating_sub(self.fights_total.get()));
        self.fighting.set(i64::from(now));
    }

    /// Returns the text that Prometheus reads at `now`, in seconds since the epoch.
    pub fn render(&self, now: f64) -> String {
        let since = *self.oldest_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.oldest_difference.set(since.map_or(0.0, |since| (now - since).max(0.0)));
        let unsaved = *self.unsaved_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.backup_missing.set(unsaved.map_or(0.0, |since| (now - since).max(0.0)));
        let mut text = Vec::new();
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers metrics whose names are constants.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn add<M: prometheus::core::Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect("names and labels are constants");
        self.0.register(Box::new(metric.clone())).expect("each name is registered once");
        metric
    }

    fn int(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(opts(name, help)))
    }

    fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::with_opts(opts(name, help)))
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_before_the_first_pass() {
        let text = Metrics::new().render(0.0);
        for line in [
            "oxide_operator_drift_fields{class=\"drift\",section=\"services\"} 0",
            "oxide_operator_reconcile_total{result=\"failed\"} 0",
            "oxide_operator_apply_steps_total{op=\"create\"} 0",
            "oxide_operator_key_mismatch 0",
            "oxide_operator_watch_available{side=\"source\"} 0",
            "oxide_operator_write_lock_seconds_count 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_failed_pass_keeps_the_last_known_differences() {
        let metrics = Metrics::new();
        let mut report = SyncReport::new("s", "d", 1.0);
        report.outcome = Outcome::Differences;
        report.differences =
            vec![crate::report::Count { section: Section::Services, class: Class::Drift, count: 2 }];
        metrics.record(&report, true);
        metrics.record(&SyncReport::new("s", "d", 2.0), true);
        let text = metrics.render(0.0);
        assert!(
            text.contains("oxide_operator_drift_fields{class=\"drift\",section=\"services\"} 2"),
            "{text}"
        );
        assert!(text.contains("oxide_operator_last_compare_success_timestamp_seconds 1"), "{text}");
    }
}
