//! The process is killed at every named point of its protocol and at random moments, while the orchestrator
//! writes. Afterwards the store is exactly the state before or after, and no acknowledged edit is lost.
//!
//! `OXIDE_TEST_KILLS` sets how many kills there are in all, `OXIDE_TEST_SEED` repeats a run's random numbers.

#![expect(clippy::disallowed_methods, reason = "it starts and kills processes")]

#[path = "support/foreign.rs"]
mod foreign;
#[path = "support/process.rs"]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use foreign::{Acknowledged, Orchestrator, Schema, is_foreign, lost};
use oxide_operator::store::crash::POINTS;
use process::{Place, SAMPLE, Said, setting};

const DEFAULT_KILLS: u64 = 500;

type Values = BTreeMap<String, String>;

/// A store, what is done to it, and the states that may be found afterwards.
struct Scenario {
    name: &'static str,
    template: Place,
    arguments: &'static [&'static str],
    before: Values,
    after: Values,
    revisions: i64,
    undisturbed: Duration,
}

impl Scenario {
    fn all() -> Vec<Self> {
        let edited = SAMPLE
            .replace("base_url: http://192.168.1.33:1234", "base_url: http://192.168.1.34:4321")
            .replace("sk-or-v1-not-a-real-key-0000", "sk-or-v1-not-a-real-key-1111")
            .replace("timeout_seconds: 45", "timeout_seconds: 46")
            .replace("max_parallel_workers: 4", "max_parallel_workers: 8");
        let replaced = edited
            .replace(
                "fallback: [openrouter, ollama_remote, lmstudio]",
                "fallback: [openrouter, ollama_remote]",
            )
            .replace("  lmstudio:\n", "  mistral:\n")
            .replace("  documentation:\n", "  proof_reading:\n");
        vec![
            Self::new("first migration", Place::new(SAMPLE), &["migrate"]),
            Self::new("edit", migrated_then(&edited), &["apply"]),
            Self::new("create, update, delete", migrated_then(&replaced), &["apply", "--prune", "owned"]),
        ]
    }

    fn new(name: &'static str, template: Place, arguments: &'static [&'static str]) -> Self {
        let (before, revisions) = (own(template.values()), revisions(&template));
        let place = Place::copy_of(&template);
        let clock = Instant::now();
        place.expect(0, arguments);
        let undisturbed = clock.elapsed();
        let after = own(place.values());
        assert_ne!(before, after, "{name} changes nothing");
        Self { name, template, arguments, before, after, revisions, undisturbed }
    }

    /// Starts the command beside a writing orchestrator, ends it as `end` says, and checks everything.
    fn try_once(&self, schema: Schema, label: &str, end: impl FnOnce(&Place, &Self) -> bool) -> bool {
        let place = Place::copy_of(&self.template);
        let orchestrator = Orchestrator::start(place.db(), schema);
        let killed = end(&place, self);
        let acknowledged = orchestrator.stop();
        let label = format!("{}, {schema:?}, {label}", self.name);
        self.check_state(&place, &acknowledged, &label);
        self.check_convergence(&place, &acknowledged, &label);
        killed
    }

    fn check_state(&self, place: &Place, acknowledged: &Acknowledged, label: &str) {
        check_key(place, label);
        check_backups(place, if self.before.is_empty() { 0 } else { 6 }, label);
        if !place.db().exists() {
            assert!(self.before.is_empty() && acknowledged.is_empty(), "{label}: the database is gone");
            return;
        }
        assert_eq!(place.integrity(), "ok", "{label}");
        let (values, revisions) = (own(place.values()), revisions(place));
        if values == self.after {
            assert_eq!(revisions, self.revisions + 1, "{label}: rows without their revision");
        } else {
            let before = values == self.before || (self.before.is_empty() && only_defaults(&values));
            assert!(before, "{label}: neither before nor after: {}", difference(&values, &self.after));
            assert_eq!(revisions, self.revisions, "{label}: a revision without its rows");
        }
        let lost = lost(&place.connect().expect("opens"), acknowledged);
        assert!(lost.is_empty(), "{label}: {lost:#?}");
    }

    fn check_convergence(&self, place: &Place, acknowledged: &Acknowledged, label: &str) {
        // As the user would, who sees that it was killed.
        let again = place.run(self.arguments);
        assert!(again.code().is_some_and(|code| code <= 2), "{label}: {again:#?}");
        assert_eq!(
            own(place.values()),
            self.after,
            "{label}: the same command again does not converge: {again:#?}"
        );
        let arguments = [&["apply", "-o", "json"], &self.arguments[1..]].concat();
        check_only_drift_stays(&place.run(&arguments), label);
        assert_eq!(own(place.values()), self.after, "{label}: the next pass");
        assert_eq!(place.integrity(), "ok", "{label}");
        let lost = lost(&place.connect().expect("opens"), acknowledged);
        assert!(lost.is_empty(), "{label}: after the next pass {lost:#?}");
        assert_eq!(place.leftovers(), Vec::<std::path::PathBuf>::new(), "{label}");
        let (rows, files) = (place.dump(), place.files());
        check_only_drift_stays(&place.run(&arguments), label);
        assert_eq!(place.dump(), rows, "{label}: one more pass wrote rows");
        assert_eq!(place.files(), files, "{label}: one more pass wrote files");
    }
}

fn migrated_then(yaml: &str) -> Place {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place.write_yaml(yaml);
    place
}

fn own(mut values: Values) -> Values {
    values.retain(|path, _| !is_foreign(path));
    values
}

/// Whether these are the rows of a schema that the orchestrator has just created.
fn only_defaults(values: &Values) -> bool {
    values.keys().all(|path| path.starts_with("execution_settings.1."))
        && values.get("execution_settings.1.max_parallel_workers").is_none_or(|workers| workers == "3")
}

fn difference(one: &Values, two: &Values) -> String {
    let paths: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
    let apart = paths.into_iter().filter(|path| one.get(*path) != two.get(*path));
    apart.map(|path| format!("\n  {path}: {:?}, expected {:?}", one.get(path), two.get(path))).collect()
}

fn revisions(place: &Place) -> i64 {
    // What the orchestrator writes beside it has entries of its own.
    let sql = "SELECT count(*) FROM operator_revision WHERE id NOT IN (SELECT revision FROM operator_edit)";
    let conn = if place.db().exists() { place.connect().ok() } else { None };
    conn.and_then(|conn| conn.query_row(sql, [], |row| row.get(0)).ok()).unwrap_or_default()
}

/// A key under its name is a whole key. That it opens every token is checked where the values are read.
fn check_key(place: &Place, label: &str) {
    if let Ok(key) = std::fs::read_to_string(place.key_file()) {
        assert!(fernet::Fernet::new(key.trim()).is_some(), "{label}: half a key");
    }
}

/// A backup under its name is whole.
fn check_backups(place: &Place, least_services: i64, label: &str) {
    let in_backups = place.oxide().join("backups");
    for file in place.files().into_iter().filter(|file| file.starts_with(&in_backups)) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("config-") && file.extension().is_some_and(|ending| ending == "db") {
            let conn = rusqlite::Connection::open(&file).expect("opens");
            let sound: String =
                conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("answers");
            let services: rusqlite::Result<i64> =
                conn.query_row("SELECT count(*) FROM services", [], |row| row.get(0));
            let whole = sound == "ok" && services.as_ref().is_ok_and(|services| *services >= least_services);
            assert!(whole, "{label}: {name}: {sound}, {services:?}");
        }
    }
}

/// The command ended well, and what it left alone is the orchestrator's.
fn check_only_drift_stays(said: &Said, label: &str) {
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    let left = report["plan"]["leftAlone"].as_array().unwrap_or_else(|| panic!("{label}: {said:#?}"));
    let classes: BTreeSet<&str> = left.iter().filter_map(|left| left["class"].as_str()).collect();
    let known = ["drift", "extra", "undeclared"];
    assert!(classes.iter().all(|class| known.contains(class)), "{label}: {classes:?} {}", said.stdout);
    let expected = if classes.contains("drift") { 2 } else { 0 };
    assert_eq!(said.code(), Some(expected), "{label}: {said:#?}");
}

/// Random numbers that a seed repeats (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

fn kill_at_point(place: &Place, scenario: &Scenario, point: &str) -> bool {
    let mut command = place.command(scenario.arguments);
    let said = process::said(command.env("OXIDE_OPERATOR_CRASH_AT", point));
    assert!(said.was_killed() || said.code().is_some_and(|code| code <= 2), "{point}: {said:#?}");
    said.was_killed()
}

fn kill_after(place: &Place, scenario: &Scenario, delay: Duration) -> bool {
    let mut command = place.command(scenario.arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    std::thread::sleep(delay);
    child.kill().expect("killed");
    let status = child.wait().expect("ended");
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

#[test]
fn no_moment_is_a_bad_one_to_be_killed() {
    let kills = setting("OXIDE_TEST_KILLS", DEFAULT_KILLS);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = setting("OXIDE_TEST_SEED", u64::from(now.subsec_nanos()));
    println!("{kills} kills, OXIDE_TEST_SEED={seed}");
    let scenarios = Scenario::all();
    let done = AtomicU64::new(0);
    let visited = Mutex::new(BTreeSet::new());

    let named: Vec<(usize, &str)> = (0..scenarios.len())
        .flat_map(|scenario| POINTS.iter().map(move |point| (scenario, *point)))
        .collect();
    in_two_threads(|half| {
        for (scenario, point) in named.iter().skip(half).step_by(2) {
            for schema in [Schema::Await, Schema::Create] {
                let end = |place: &Place, scenario: &Scenario| kill_at_point(place, scenario, point);
                if scenarios[*scenario].try_once(schema, &format!("at {point}"), end) {
                    done.fetch_add(1, Ordering::SeqCst);
                    visited.lock().expect("whole").insert(*point);
                }
            }
        }
    });
    let visited = visited.into_inner().expect("whole");
    let missed: Vec<&&str> = POINTS.iter().filter(|point| !visited.contains(**point)).collect();
    assert!(missed.is_empty(), "no scenario passes {missed:?}");

    let at_points = done.load(Ordering::SeqCst);
    let after_the_end = AtomicU64::new(0);
    in_two_threads(|half| {
        let mut random = Random(seed.wrapping_add(half as u64));
        while done.load(Ordering::SeqCst) < kills {
            let scenario = &scenarios[usize::try_from(random.below(3)).expect("small")];
            let schema = if random.below(2) == 0 { Schema::Await } else { Schema::Create };
            let longest = u64::try_from(scenario.undisturbed.as_micros()).expect("short") * 5 / 4;
            let delay = Duration::from_micros(random.below(longest));
            let end = |place: &Place, scenario: &Scenario| kill_after(place, scenario, delay);
            let counter = if scenario.try_once(schema, &format!("after {delay:?}, seed {seed}"), end) {
                &done
            } else {
                &after_the_end
            };
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let kills = done.load(Ordering::SeqCst);
    let late = after_the_end.load(Ordering::SeqCst);
    println!(
        "{at_points} kills at points, {} at random moments; {late} more came after the end",
        kills - at_points
    );
    assert!(late < kills, "most kills came too late to prove anything");
}

fn in_two_threads(work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|half| {
                scope.spawn({
                    let work = &work;
                    move || work(half)
                })
            })
            .collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}
