//! What `run` does about edits of the database by itself: waits for quiet, reverts, promotes, gives up a fight, pauses.

#![expect(clippy::disallowed_methods, reason = "an adversary and a watcher need clocks and threads")]

#[path = "support/agent.rs"]
mod agent;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::{Agent, PATIENCE, folder_with_yaml, with_workers};

fn start(more: &[&str]) -> Agent {
    let mut agent = Agent::start(folder_with_yaml(), "file:default.yaml", more);
    agent.wait_for_outcome("applied");
    agent
}

fn command(agent: &Agent, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_oxide-operator"))
        .current_dir(agent.folder.path())
        .env("HOME", agent.folder.path())
        .args(args)
        .args(["--db", "store/config.db", "--source", "file:default.yaml"])
        .output()
        .expect("runs");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn set(agent: &Agent, sql: &str) {
    agent.orchestrator().execute_batch(sql).expect("the orchestrator may write");
}

#[test]
fn an_edit_is_reverted_only_once_it_is_quiet() {
    let mut agent = start(&["--on-drift", "revert", "--grace", "3s"]);
    set(&agent, "UPDATE execution_settings SET max_parallel_workers = 9");
    agent.wait_for("the wait", |line| {
        line["fields"]["message"].as_str().is_some_and(|it| it.contains("quiet"))
            || line["message"].as_str().is_some_and(|it| it.contains("quiet"))
    });
    let edited = Instant::now();
    set(&agent, "UPDATE execution_settings SET max_parallel_workers = 8");
    agent.wait_for_outcome("applied");
    assert!(edited.elapsed() >= Duration::from_secs(3), "reverted after {:?}", edited.elapsed());
    assert_eq!(agent.workers(), 4);
    assert_eq!(agent.metric("oxide_operator_drift_oldest_seconds"), 0);
}

#[test]
fn an_edit_goes_into_the_source_where_the_policy_says_so() {
    let agent = start(&["--on-drift", "promote", "--grace", "0", "--override", "services.*.enabled=keep"]);
    set(
        &agent,
        "UPDATE services SET enabled = 0 WHERE id = 'lmstudio'; UPDATE execution_settings SET max_parallel_workers = 9",
    );
    let deadline = Instant::now() + PATIENCE;
    while std::fs::read_to_string(agent.yaml()).expect("there") != with_workers(9) {
        assert!(Instant::now() < deadline, "never promoted");
    }
    agent.wait_for_metric("oxide_operator_drift_fields{class=\"drift\",section=\"execution\"}", 0);
    assert_eq!(agent.metric("oxide_operator_drift_fields{class=\"drift\",section=\"services\"}"), 1);
    assert_eq!(agent.workers(), 9);
}

#[test]
fn a_fight_ends_held_and_everything_else_stays_in_sync() {
    let folder = folder_with_yaml();
    let settings = "onDrift: revert\ngrace: 0\nfights: {after: 3, backOff: 100ms, rounds: 2}\n";
    std::fs::write(folder.path().join("operator.yaml"), settings).expect("ours");
    let mut agent = Agent::start(folder, "file:default.yaml", &["--config", "operator.yaml"]);
    agent.wait_for_outcome("applied");
    let over = Arc::new(AtomicBool::new(false));
    let adversary = {
        let (over, conn) = (Arc::clone(&over), agent.orchestrator());
        std::thread::spawn(move || {
            let mut value = 1000;
            while !over.load(Ordering::Relaxed) {
                value += 1;
                let _ = conn.execute("UPDATE execution_settings SET timeout_seconds = ?1", [value]);
                std::thread::sleep(Duration::from_millis(50));
            }
        })
    };
    agent.wait_for("Fighting", |line| line.to_string().contains("Fighting"));
    agent.wait_for_metric("oxide_operator_fighting", 1);
    assert_eq!(agent.metric("oxide_operator_fights_total"), 1);
    set(&agent, "UPDATE services SET enabled = 0 WHERE id = 'lmstudio'");
    let deadline = Instant::now() + PATIENCE;
    let enabled = "SELECT enabled FROM services WHERE id = 'lmstudio'";
    while agent.orchestrator().query_row(enabled, [], |row| row.get::<_, i64>(0)).expect("there") == 0 {
        assert!(Instant::now() < deadline, "the other field was never reverted");
    }
    let said = command(&agent, &["history"]);
    assert!(said.lines().count() < 12, "reverted too often:\n{said}");
    over.store(true, Ordering::Relaxed);
    adversary.join().expect("no panic");
}

#[test]
fn a_pause_stops_writes_not_detection_and_ends_by_itself() {
    let mut agent = start(&[]);
    command(&agent, &["pause", "--reason", "maintenance", "--until", "6s"]);
    agent.wait_for_metric("oxide_operator_paused", 1);
    let before = agent
        .orchestrator()
        .query_row("SELECT count(*) FROM operator_revision", [], |row| row.get::<_, i64>(0))
        .expect("there");
    std::fs::write(agent.yaml(), with_workers(6)).expect("ours");
    agent.wait_for_metric("oxide_operator_drift_fields{class=\"pending\",section=\"execution\"}", 1);
    assert_eq!(agent.workers(), 4);
    agent.wait_for_outcome("applied");
    assert_eq!(agent.workers(), 6);
    assert_eq!(agent.metric("oxide_operator_paused"), 0);
    let after = agent
        .orchestrator()
        .query_row("SELECT count(*) FROM operator_revision", [], |row| row.get::<_, i64>(0))
        .expect("there");
    assert_eq!(after, before + 1);
}

#[test]
fn what_a_restore_rejected_stays_out_until_the_source_changes() {
    let mut agent = start(&["--on-drift", "revert", "--grace", "0"]);
    std::fs::write(agent.yaml(), with_workers(6)).expect("ours");
    agent.wait_for_outcome("applied");
    let said = command(&agent, &["restore", "1"]);
    assert_eq!(agent.workers(), 4, "{said}");
    agent.wait_for_metric("oxide_operator_pinned", 1);
    for _ in 0..3 {
        agent.signal("HUP");
        agent.wait_for_metric("oxide_operator_drift_fields{class=\"pending\",section=\"execution\"}", 1);
    }
    std::fs::write(agent.yaml(), with_workers(6)).expect("ours");
    agent.signal("HUP");
    agent.wait_for_metric("oxide_operator_pinned", 1);
    assert_eq!(agent.workers(), 4, "a touched source is the same source");
    std::fs::write(agent.yaml(), with_workers(7)).expect("ours");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.workers(), 7);
    assert_eq!(agent.metric("oxide_operator_pinned"), 0);
}
