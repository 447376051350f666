//! A run that lasts, and each trouble by itself, made for real: `run` says what it is, loses nothing, and goes on by
//! itself once it is over. Needs root for the mounts.

#![expect(clippy::disallowed_methods, reason = "tests touch the world")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/clock.rs"]
mod clock;
#[path = "support/mount.rs"]
mod mount;

use std::process::Command;
use std::time::{Duration, Instant};

use agent::{Agent, YAML, folder_with_yaml, with_workers};
use clock::Clock;
use mount::Mount;

const DRIFT: &str = "oxide_operator_drift_fields{class=\"drift\",section=\"services\"}";
const SEES_SOURCE: &str = "oxide_operator_watch_available{side=\"source\"}";
const SEES_DATABASE: &str = "oxide_operator_watch_available{side=\"database\"}";

/// In seconds.
const DAY: i64 = 86_400;

/// How long the store stays locked.
const LOCKED: Duration = Duration::from_mins(1);

/// Edits one field as the web UI does.
fn edit(agent: &Agent) {
    let edited = agent.orchestrator().execute("UPDATE services SET enabled = 0 WHERE id = 'lmstudio'", []);
    assert_eq!(edited.expect("edited"), 1);
}

/// Says a limit of the user namespace that an agent was started in.
fn limit(agent: &Agent, name: &str, value: u32) {
    let command = format!("echo {value} > /proc/sys/user/{name}");
    let status = Command::new("nsenter")
        .args(["--user", "--preserve-credentials", "--target", &agent.child.id().to_string()])
        .args(["sh", "-c", &command])
        .status();
    assert!(status.expect("nsenter runs").success(), "{command}");
}

/// Starts an agent in a user namespace of its own, whose limits nobody else on the machine notices.
fn in_a_namespace(before: &str) -> Agent {
    let folder = folder_with_yaml();
    let mut program = Command::new("unshare");
    let script = format!("{before} exec \"$@\"");
    program
        .args(["--user", "--map-root-user", "sh", "-c", &script, "sh"])
        .arg(env!("CARGO_BIN_EXE_oxide-operator"));
    let mut agent = Agent::start_with(program, folder, "file:default.yaml", &[]);
    agent.wait_for_outcome("applied");
    agent
}

fn says_that_events_are_missing(line: &serde_json::Value) -> bool {
    line["message"].as_str().is_some_and(|text| text.contains("file events cannot be had"))
}

#[test]
fn a_store_that_is_locked_for_a_minute_is_waited_for_and_then_written() {
    let mut agent = Agent::on_a_file();
    let conn = agent.orchestrator();
    conn.execute_batch("BEGIN IMMEDIATE; UPDATE services SET updated_at = updated_at + 1").expect("locked");
    let until = Instant::now() + LOCKED;
    std::fs::write(agent.yaml(), with_workers(50)).expect("written");
    let told = agent.wait_for_outcome("failed");
    assert!(told["message"].as_str().is_some_and(|text| text.contains("locked")), "{told}");
    let attempts = agent.metric("oxide_operator_reconcile_total{result=\"failed\"}");
    while let Ok(line) = agent.log.recv_timeout(until.saturating_duration_since(Instant::now())) {
        assert_ne!(line["outcome"], "applied", "written under somebody else's lock: {line}");
    }
    let more = agent.metric("oxide_operator_reconcile_total{result=\"failed\"}") - attempts;
    assert!((1..30).contains(&more), "{more} more attempts in a minute");
    conn.execute_batch("COMMIT").expect("unlocked");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.workers(), 50);
}

#[test]
fn a_full_disk_that_empties_again_is_got_over() {
    let folder = folder_with_yaml();
    std::fs::create_dir(folder.path().join("store")).expect("created");
    let disk = Mount::new(&folder.path().join("store"), "2m");
    let mut agent = Agent::start(folder, "file:default.yaml", &[]);
    agent.wait_for_outcome("applied");
    let workers = "SELECT max_parallel_workers FROM execution_settings";
    // Opened and read while there is room: on the full disk nobody could.
    let conn = agent.orchestrator();
    let workers = || conn.query_row(workers, [], |row| row.get::<_, i64>(0)).expect("there");
    assert_eq!(workers(), 4);
    let filler = disk.fill_but(8 << 10);
    std::fs::write(agent.yaml(), with_workers(51)).expect("written");
    let told = agent.wait_for_outcome("failed");
    assert!(told["hint"].as_str().is_some_and(|hint| hint.contains("free some space")), "{told}");
    assert_eq!(workers(), 4);
    std::fs::remove_file(filler).expect("removed");
    agent.wait_for_outcome("applied");
    assert_eq!(workers(), 51);
}

#[test]
fn when_the_clock_jumps_back_and_forth_both_sides_are_still_seen_and_written() {
    let folder = folder_with_yaml();
    let clock = Clock::new(folder.path());
    let mut program = Command::new(env!("CARGO_BIN_EXE_oxide-operator"));
    clock.of(&mut program);
    let mut agent =
        Agent::start_with(program, folder, "file:default.yaml", &["--on-drift", "revert", "--grace", "0"]);
    agent.wait_for_outcome("applied");
    for (jump, workers) in [(-400 * DAY, 61), (4_000 * DAY, 62), (-1, 63), (0, 64)] {
        clock.jump_to(jump);
        std::fs::write(agent.yaml(), with_workers(workers)).expect("written");
        agent.wait_for_outcome("applied");
        assert_eq!(agent.workers(), workers, "after a jump of {jump} s");
        edit(&agent);
        agent.wait_for_outcome("applied");
        agent.wait_for_metric(DRIFT, 0);
    }
    let times = "SELECT max(recorded_at) - min(recorded_at) FROM operator_revision";
    let spread: f64 = agent.orchestrator().query_row(times, [], |row| row.get(0)).expect("there");
    assert!(spread > 4_000.0 * 86_400.0, "the clock never jumped: {spread}");
    let newest = "SELECT max(id) FROM operator_revision";
    let newest: i64 = agent.orchestrator().query_row(newest, [], |row| row.get(0)).expect("there");
    assert_eq!(newest, 13, "five writes of the source, and four edits, each with its revert");
    assert!(agent.folder.path().join("store/backups").read_dir().expect("there").count() > 1);
}

#[test]
fn a_store_folder_that_vanishes_and_returns_is_watched_again() {
    let mut agent = Agent::on_a_file();
    let (store, away) = (agent.folder.path().join("store"), agent.folder.path().join("away"));
    std::fs::rename(&store, &away).expect("gone");
    agent.wait_for("the loss", |line| line.to_string().contains("was replaced or deleted"));
    // Whatever was made in its place gives way when it is back, as when a volume is mounted again.
    let _ = std::fs::remove_dir_all(&store);
    std::fs::rename(&away, &store).expect("back");
    agent.wait_for_metric(SEES_DATABASE, 1);
    edit(&agent);
    agent.wait_for_metric(DRIFT, 1);
}

#[test]
fn a_store_whose_mount_vanishes_is_noticed_at_once_and_followed_again() {
    let folder = folder_with_yaml();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).expect("created");
    let mounted = Mount::new(&store, "4m");
    let mut agent = Agent::start(folder, "file:default.yaml", &[]);
    agent.wait_for_outcome("applied");
    drop(mounted);
    agent.wait_for("the loss", |line| line.to_string().contains("was replaced or deleted"));
    agent.wait_for_outcome("applied");
    let _mounted = Mount::new(&store, "4m");
    agent.wait_for("the loss", |line| line.to_string().contains("was replaced or deleted"));
    agent.wait_for_outcome("applied");
    agent.wait_for_metric(SEES_DATABASE, 1);
    edit(&agent);
    agent.wait_for_metric(DRIFT, 1);
}

#[test]
fn a_source_whose_mount_vanishes_changes_nothing_and_is_followed_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = folder.path().join("source");
    std::fs::create_dir(&mount).expect("created");
    let mounted = Mount::new(&mount, "1m");
    std::fs::write(mount.join("default.yaml"), YAML).expect("written");
    let mut agent = Agent::start(folder, "dir:source", &[]);
    agent.wait_for_outcome("applied");
    drop(mounted);
    agent.wait_for_outcome("source_unavailable");
    assert_eq!(agent.workers(), 4);
    // The database is still watched, against the last good source.
    edit(&agent);
    agent.wait_for_metric(DRIFT, 1);
    let _mounted = Mount::new(&mount, "1m");
    for workers in [52, 53] {
        // One drift is kept, so the outcome is not `applied`; the revision tells that it was written.
        std::fs::write(mount.join("default.yaml"), with_workers(workers)).expect("written");
        agent.wait_for("the write", |line| line["outcome"] == "differences" && line["revision"].is_i64());
        assert_eq!(agent.workers(), workers);
        assert_eq!(agent.metric(SEES_SOURCE), 1);
    }
}

#[test]
fn without_file_events_it_looks_by_the_clock_and_says_so_until_they_are_had() {
    let mut agent = in_a_namespace("echo 0 > /proc/sys/user/max_inotify_instances;");
    assert_eq!((agent.metric(SEES_SOURCE), agent.metric(SEES_DATABASE)), (0, 0));
    std::fs::write(agent.yaml(), with_workers(70)).expect("written");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.workers(), 70);
    edit(&agent);
    agent.wait_for_metric(DRIFT, 1);
    limit(&agent, "max_inotify_instances", 128);
    agent.wait_for("events", |line| line["message"] == "file events are back");
    assert_eq!((agent.metric(SEES_SOURCE), agent.metric(SEES_DATABASE)), (1, 1));
}

#[test]
fn when_the_limit_of_watches_is_reached_later_it_looks_by_the_clock_and_says_so() {
    let mut agent = in_a_namespace("");
    assert_eq!((agent.metric(SEES_SOURCE), agent.metric(SEES_DATABASE)), (1, 1));
    limit(&agent, "max_inotify_watches", 0);
    agent.signal("HUP");
    agent.wait_for("the limit", says_that_events_are_missing);
    assert_eq!((agent.metric(SEES_SOURCE), agent.metric(SEES_DATABASE)), (0, 0));
    std::fs::write(agent.yaml(), with_workers(71)).expect("written");
    agent.wait_for_outcome("applied");
    edit(&agent);
    agent.wait_for_metric(DRIFT, 1);
    limit(&agent, "max_inotify_watches", 100);
    agent.wait_for("events", |line| line["message"] == "file events are back");
    assert_eq!(agent.metric(SEES_SOURCE), 1);
}
