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
    let edited = edit_twice(&mut agent);
    agent.wait_for_outcome("applied");
    assert!(edited.elapsed() >= Duration::from_secs(3), "reverted after {:?}", edited.elapsed());
    assert_eq!(agent.workers(), 4);
    agent.wait_for_metric("oxide_operator_drift_oldest_seconds", 0);
}

/// Edits again while the first edit is waited for; returns when. Where this came too late, it begins anew.
fn edit_twice(agent: &mut Agent) -> Instant {
    for _ in 0..10 {
        set(agent, "UPDATE execution_settings SET max_parallel_workers = 9");
        agent.wait_for("the wait", |line| {
            line["fields"]["message"].as_str().is_some_and(|it| it.contains("quiet"))
                || line["message"].as_str().is_some_and(|it| it.contains("quiet"))
        });
        let edited = Instant::now();
        let again = "UPDATE execution_settings SET max_parallel_workers = 8 WHERE max_parallel_workers = 9";
        if agent.orchestrator().execute(again, []) == Ok(1) {
            return edited;
        }
        agent.wait_for_outcome("applied");
    }
    panic!("each edit was reverted before the next could follow it");
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
    let reverts = said.lines().filter(|line| line.contains("reconcile")).count();
    assert!(reverts < 12, "reverted too often:\n{said}");
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

/// Waits until what another program edited is in the history; returns the number of its entry.
fn recorded(agent: &mut Agent) -> String {
    let line = agent.wait_for("an entry", |line| line["message"] == "recorded what another program edited");
    line["revision"].to_string()
}

#[test]
fn an_edit_that_the_next_one_overwrites_is_still_there_to_show_and_to_restore() {
    let mut agent = start(&[]);
    let others = agent.orchestrator();
    let edit = |workers: i64| {
        let sql = "UPDATE execution_settings SET max_parallel_workers = ?1, updated_at = unixepoch('subsec')";
        others.execute(sql, [workers]).expect("the orchestrator may write");
    };
    edit(8);
    let first = recorded(&mut agent);
    edit(9);
    let second = recorded(&mut agent);
    // A heartbeat is no edit, nor is one that changes nothing.
    let node =
        "INSERT INTO discovered_nodes (node_id, hostname, ip_address, port, services, first_seen, last_seen)
                VALUES ('n', 'h', '10.0.0.1', 1, '{}', 1, 1);
                UPDATE execution_settings SET updated_at = unixepoch('subsec')";
    others.execute_batch(node).expect("the orchestrator may write");
    let said = command(&agent, &["explain", "execution.max_parallel_workers"]);
    assert!(said.contains(&format!("(process {}), revision {second}", std::process::id())), "{said}");
    let said = command(&agent, &["show", &first]);
    assert!(said.contains("~ execution.max_parallel_workers  4 -> 8"), "{said}");
    assert!(said.contains(&format!("(process {})", std::process::id())), "{said}");
    let said = command(&agent, &["diff", &first, &second]);
    assert!(said.contains("8 -> 9"), "{said}");
    let said = command(&agent, &["restore", &first]);
    assert_eq!(agent.workers(), 8, "{said}");
    let entries = command(&agent, &["history"]);
    let edits = entries.lines().filter(|line| line.contains("edited in the database")).count();
    assert_eq!(edits, 2, "neither the heartbeat nor our own write is an edit:\n{entries}");
}

#[test]
fn an_edit_of_a_time_without_an_agent_is_recorded_when_one_starts_and_before_a_command_writes() {
    let mut agent = start(&[]);
    agent.signal("TERM");
    agent.child.wait().expect("ended");
    set(&agent, "UPDATE services SET enabled = 0 WHERE id = 'lmstudio'");
    let said = command(&agent, &["set", "services.lmstudio.enabled", "true"]);
    let shown = command(&agent, &["show", "2"]);
    assert!(shown.contains("services.lmstudio.enabled  true -> false"), "{said}{shown}");
    assert!(shown.contains("another program") && shown.contains("edited in the database"), "{shown}");
    assert!(command(&agent, &["show", "3"]).contains("services.lmstudio.enabled  false -> true"));
    set(&agent, "DELETE FROM routing_rules WHERE task_type = 'debugging'");
    let mut agent =
        Agent::start(std::mem::replace(&mut agent.folder, folder_with_yaml()), "file:default.yaml", &[]);
    assert_eq!(recorded(&mut agent), "4");
    assert!(command(&agent, &["show", "4"]).contains("- routing_rules.debugging"));
}

#[test]
fn an_edit_that_is_reverted_at_once_has_an_entry_before_the_revert() {
    let mut agent = start(&["--on-drift", "revert", "--grace", "0"]);
    set(&agent, "UPDATE execution_settings SET max_parallel_workers = 9");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.workers(), 4);
    assert!(command(&agent, &["show", "2"]).contains("~ execution.max_parallel_workers  4 -> 9"));
    let said = command(&agent, &["show", "3"]);
    assert!(said.contains("~ execution.max_parallel_workers  9 -> 4") && said.contains("agent@"), "{said}");
}
