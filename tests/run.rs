//! `run` as its users meet it: the real binary, real files, edits of every kind on both sides.
//!
//! What happened is awaited on the agent's own log, one JSON object a line; nothing here sleeps and hopes.

#![expect(clippy::disallowed_methods, reason = "tests touch the world")]

#[path = "support/agent.rs"]
mod agent;

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use agent::{Agent, YAML, folder_with_yaml, with_workers};
use oxide_operator::settings::SETTLE_WITHOUT_CLOSE;
use rusqlite::Connection;

const DRIFT: &str = "oxide_operator_drift_fields{class=\"drift\",section=\"services\"}";

#[test]
fn a_thousand_edits_of_each_kind_are_applied_and_the_last_one_of_a_burst_wins() {
    let mut agent = Agent::on_a_file();
    let temporary = agent.folder.path().join(".default.yaml.swp");
    for count in 5..1_005 {
        std::fs::write(&temporary, with_workers(count)).expect("written");
        std::fs::rename(&temporary, agent.yaml()).expect("renamed over");
        agent.wait_for_outcome("applied");
        assert_eq!(agent.workers(), count, "an editor's rename");
    }
    for count in 2_000..3_000 {
        std::fs::write(agent.yaml(), with_workers(count)).expect("written in place");
        agent.wait_for_outcome("applied");
        assert_eq!(agent.workers(), count, "a write in place");
    }
    for count in 4_000..4_100 {
        std::fs::write(&temporary, with_workers(count)).expect("written");
        std::fs::rename(&temporary, agent.yaml()).expect("renamed over");
    }
    while agent.workers() != 4_099 {
        agent.wait_for_outcome("applied");
    }
}

#[test]
fn a_file_that_is_half_written_is_never_applied() {
    // A file that nobody closes or goes on with is read in the end; on a busy machine that may be before the second half.
    let in_time = (0..10).any(|_| halves_are_written_in_time());
    assert!(in_time, "the second half was never written in time");
}

/// Writes a file in halves again and again, and says whether each second half came before the first is read by itself.
fn halves_are_written_in_time() -> bool {
    let mut agent = Agent::on_a_file();
    let passes = "oxide_operator_reconcile_total{result=\"in_sync\"}";
    for round in 0..10 {
        let (began, before) = (Instant::now(), agent.metric(passes));
        let text = with_workers(10 + round);
        let (first, second) = text.split_at(text.find("  openrouter:").expect("the last service"));
        let mut file = std::fs::File::create(agent.yaml()).expect("opened in place");
        file.write_all(first.as_bytes()).expect("the first half");
        file.flush().expect("flushed");
        // A full comparison in the middle of the write must not read the half either.
        agent.signal("HUP");
        while agent.metric(passes) == before {
            if began.elapsed() >= SETTLE_WITHOUT_CLOSE {
                return false;
            }
        }
        file.write_all(second.as_bytes()).expect("the second half");
        drop(file);
        if began.elapsed() >= SETTLE_WITHOUT_CLOSE {
            return false;
        }
        agent.wait_for_outcome("applied");
        assert_eq!(agent.workers(), 10 + round);
    }
    std::fs::write(agent.yaml(), with_workers(77)).expect("written in place");
    agent.wait_for_outcome("applied");
    assert!(agent.metric("oxide_operator_reconcile_total{result=\"invalid\"}") == 0, "a half file was read");
    assert_eq!(agent.metric(DRIFT), 0);
    true
}

#[test]
fn a_config_map_that_kubelet_swaps_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = folder.path().join("mount");
    std::fs::create_dir_all(mount.join("..v0")).expect("created");
    std::fs::write(mount.join("..v0/default.yaml"), YAML).expect("written");
    symlink("..v0", mount.join("..data")).expect("linked");
    symlink("..data/default.yaml", mount.join("default.yaml")).expect("linked");
    for source in ["file:mount/default.yaml", "dir:mount"] {
        let fresh = tempfile::tempdir().expect("a folder");
        assert!(
            Command::new("cp").arg("-a").arg(&mount).arg(fresh.path()).status().expect("cp runs").success()
        );
        let mut agent = Agent::start(fresh, source, &[]);
        agent.wait_for_outcome("applied");
        let mount = agent.folder.path().join("mount");
        for version in 1..=500_i64 {
            agent::swap(&mount, version, "default.yaml", &with_workers(100 + version));
            std::fs::remove_dir_all(mount.join(format!("..v{}", version - 1)))
                .expect("the old one is removed");
        }
        while agent.workers() != 600 {
            agent.wait_for_outcome("applied");
        }
    }
}

const WITH_A_SECRET_FILE: &str =
    "services:\n  a: {type: http, base_url: http://a, apiKeyFrom: {file: secret/key}}\n";

#[test]
fn a_secret_file_that_changes_is_seen_however_it_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("default.yaml"), WITH_A_SECRET_FILE).expect("written");
    let mut agent = Agent::start(folder, "file:default.yaml", &[]);
    agent.wait_for_outcome("invalid");
    let secret = agent.folder.path().join("secret");
    let key = secret.join("key");
    std::fs::create_dir(&secret).expect("created");
    std::fs::write(&key, "sk-appears").expect("written");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.key_of("a"), "sk-appears");
    std::fs::write(&key, "sk-in-place").expect("written");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.key_of("a"), "sk-in-place");
    std::fs::write(secret.join("new"), "sk-renamed").expect("written");
    std::fs::rename(secret.join("new"), &key).expect("renamed over");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.key_of("a"), "sk-renamed");
    assert_eq!(agent.metric("oxide_operator_polled_files{side=\"secrets\"}"), 0, "events tell of it");
}

#[test]
fn a_secret_that_kubelet_swaps_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("default.yaml"), WITH_A_SECRET_FILE).expect("written");
    let secret = folder.path().join("secret");
    let version = |number| agent::swap(&secret, number, "key", &format!("sk-{number}"));
    version(0);
    symlink("..data/key", secret.join("key")).expect("linked");
    let mut agent = Agent::start(folder, "file:default.yaml", &[]);
    agent.wait_for_outcome("applied");
    for number in 1..4 {
        version(number);
        std::fs::remove_dir_all(secret.join(format!("..v{}", number - 1))).expect("the old one is removed");
        agent.wait_for_outcome("applied");
        assert_eq!(agent.key_of("a"), format!("sk-{number}"));
    }
}

/// Starts on files that are each mounted by itself, as `docker run -v ./c.yaml:/app/config/default.yaml` does. Needs root.
fn on_mounts(folder: tempfile::TempDir, mounts: &[(&str, &str)], source: &str) -> Agent {
    let mounts: String = mounts.iter().map(|(from, to)| format!("mount --bind {from} {to} && ")).collect();
    let script = format!("{mounts} exec {} \"$@\"", env!("CARGO_BIN_EXE_oxide-operator"));
    let mut program = Command::new("unshare");
    program.args(["--mount", "sh", "-c", &script, "sh"]);
    Agent::start_with(program, folder, source, &[])
}

#[test]
fn an_edit_of_a_file_that_is_mounted_by_itself_is_seen() {
    for source in ["file:mounted/default.yaml", "dir:mounted"] {
        let folder = agent::folder_with_yaml();
        std::fs::create_dir(folder.path().join("mounted")).expect("created");
        std::fs::write(folder.path().join("mounted/default.yaml"), "").expect("a place to mount on");
        let mut agent = on_mounts(folder, &[("default.yaml", "mounted/default.yaml")], source);
        agent.wait_for_outcome("applied");
        agent.wait_for("what never shows", |line| {
            line["level"] == "WARN" && line["message"].as_str().is_some_and(|it| it.contains("renamed over"))
        });
        agent.wait_for_metric("oxide_operator_polled_files{side=\"source\"}", 1);
        agent.wait_for_metric("oxide_operator_watch_available{side=\"source\"}", 0);
        for count in [21, 22] {
            std::fs::write(agent.yaml(), with_workers(count)).expect("written in place");
            agent.wait_for_outcome("applied");
            assert_eq!(agent.workers(), count, "{source}");
        }
    }
}

#[test]
fn a_secret_file_that_is_mounted_by_itself_is_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("default.yaml"), WITH_A_SECRET_FILE).expect("written");
    std::fs::create_dir(folder.path().join("secret")).expect("created");
    std::fs::write(folder.path().join("secret/key"), "").expect("a place to mount on");
    std::fs::write(folder.path().join("original"), "sk-1").expect("written");
    let mut agent = on_mounts(folder, &[("original", "secret/key")], "file:default.yaml");
    agent.wait_for_outcome("applied");
    std::fs::write(agent.folder.path().join("original"), "sk-2").expect("written in place");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.key_of("a"), "sk-2");
}

#[test]
fn a_folder_of_files_is_one_source() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("conf")).expect("created");
    let (services, rest) = YAML.split_at(YAML.find("routing_rules:").expect("a section"));
    std::fs::write(folder.path().join("conf/10-services.yaml"), services).expect("written");
    std::fs::write(folder.path().join("conf/20-rest.yml"), rest).expect("written");
    let mut agent = Agent::start(folder, "dir:conf", &[]);
    agent.wait_for_outcome("applied");
    let more = "services:\n  extra: {type: cli, executable: x}\n";
    std::fs::write(agent.folder.path().join("conf/30-more.yaml"), more).expect("written");
    agent.wait_for_outcome("applied");
    std::fs::write(agent.folder.path().join("conf/40-again.yaml"), more).expect("written");
    let line = agent.wait_for_outcome("invalid");
    assert!(line["message"].as_str().is_some_and(|text| text.contains("1 finding")), "{line}");
}

#[test]
fn every_commit_of_the_other_side_is_seen_and_the_last_of_a_burst_too() {
    let agent = Agent::on_a_file();
    let other = agent.orchestrator();
    other.execute_batch("PRAGMA synchronous=FULL").expect("set");
    let retries = |count: i64| {
        other
            .execute("UPDATE services SET max_retries = ?1 WHERE id = 'openrouter'", [count])
            .expect("commits");
    };
    for _ in 0..40 {
        retries(99);
        agent.wait_for_metric(DRIFT, 1);
        retries(3);
        agent.wait_for_metric(DRIFT, 0);
    }
    for burst in 0..10 {
        (0..50).for_each(|count| retries(count + 10));
        retries(if burst % 2 == 0 { 99 } else { 3 });
        agent.wait_for_metric(DRIFT, u64::from(burst % 2 == 0));
    }
}

#[test]
fn every_state_that_the_source_made_has_a_backup_before_the_next_edit_asks_for_it() {
    let mut agent = Agent::on_a_file();
    let edit = |agent: &mut Agent, count| {
        let temporary = agent.folder.path().join(".default.yaml.swp");
        std::fs::write(&temporary, with_workers(count)).expect("written");
        std::fs::rename(&temporary, agent.yaml()).expect("renamed over");
        agent.wait_for_outcome("applied");
    };
    for count in 5..8 {
        edit(&mut agent, count);
    }
    assert_eq!(workers_in_backups(&agent, 4), [4, 5, 6, 7]);
    let of_revisions = "SELECT backup FROM operator_revision WHERE backup IS NOT NULL ORDER BY id";
    let recorded: Vec<String> = {
        let conn = agent.orchestrator();
        let mut query = conn.prepare(of_revisions).expect("our table");
        query.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("text")
    };
    let before: Vec<i64> = recorded.iter().map(|backup| workers_in(Path::new(backup))).collect();
    assert_eq!(before, [4, 5, 6], "a revision names the backup of the state that it left");

    // What somebody else committed is in none of them, so that the next write takes one of its own.
    agent.orchestrator().execute("UPDATE config_history SET created_at = 1", []).expect("commits");
    edit(&mut agent, 8);
    assert_eq!(workers_in_backups(&agent, 6), [4, 5, 6, 7, 7, 8]);
}

#[test]
fn who_fights_a_revert_does_not_fill_the_backups_twice_as_fast() {
    let mut agent = Agent::start(
        agent::folder_with_yaml(),
        "file:default.yaml",
        &["--on-drift", "revert", "--grace", "0"],
    );
    agent.wait_for_outcome("applied");
    assert_eq!(workers_in_backups(&agent, 1), [4]);
    for count in [90, 91] {
        let edit = "UPDATE execution_settings SET max_parallel_workers = ?1";
        agent.orchestrator().execute(edit, [count]).expect("commits");
        agent.wait_for_outcome("applied");
    }
    assert_eq!(workers_in_backups(&agent, 3), [4, 90, 91]);
}

/// What the backups hold, oldest first, once there are so many.
fn workers_in_backups(agent: &Agent, count: usize) -> Vec<i64> {
    let deadline = Instant::now() + agent::PATIENCE;
    loop {
        let backups = oxide_operator::store::backups(&agent.folder.path().join("store/config.db"));
        if backups.len() >= count {
            return backups.iter().rev().map(|backup| workers_in(&backup.path)).collect();
        }
        assert!(Instant::now() < deadline, "{backups:?}");
    }
}

fn workers_in(backup: &Path) -> i64 {
    let query = "SELECT max_parallel_workers FROM execution_settings";
    let uri = format!("file:{}?immutable=1", backup.display());
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(uri, flags).expect("opens");
    conn.query_row(query, [], |row| row.get(0)).expect("there")
}

#[test]
fn heartbeats_and_our_own_commits_cause_no_pass() {
    let mut agent = Agent::on_a_file();
    let other = agent.orchestrator();
    for beat in 0..200 {
        let node = "INSERT OR REPLACE INTO discovered_nodes (node_id, hostname, ip_address, port, services, first_seen, last_seen) VALUES ('n', 'h', '10.0.0.1', 1, '{}', 0, ?1)";
        other.execute(node, [beat]).expect("commits");
    }
    other.execute("UPDATE services SET max_retries = 99 WHERE id = 'openrouter'", []).expect("commits");
    agent.wait_for_outcome("differences");
    assert_eq!(agent.metric("oxide_operator_reconcile_total{result=\"applied\"}"), 1);
    assert_eq!(agent.metric("oxide_operator_reconcile_total{result=\"in_sync\"}"), 0);
    assert_eq!(agent.metric("oxide_operator_reconcile_total{result=\"differences\"}"), 1);
}

#[test]
fn a_database_that_is_deleted_is_held_and_one_in_its_place_is_opened_anew() {
    let mut agent = Agent::on_a_file();
    let store = agent.folder.path().join("store");
    let other = agent.folder.path().join("other.db");
    agent.orchestrator().execute("VACUUM INTO ?1", [other.to_str()]).expect("copied");
    let conn = Connection::open(&other).expect("opens");
    conn.execute("UPDATE services SET max_retries = 77 WHERE id = 'openrouter'", []).expect("edited");
    drop(conn);
    // The first backup is made a moment after the first write: without one, it would be made anew.
    assert_eq!(workers_in_backups(&agent, 1), [4]);
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(store.join(format!("config.db{ending}")));
    }
    agent.wait_for_outcome("store_missing");
    assert!(!store.join("config.db").exists(), "nothing is made in its place");
    std::fs::rename(&other, store.join("config.db")).expect("put there");
    agent.wait_for_outcome("differences");
    assert_eq!(agent.metric(DRIFT), 1);
}

#[test]
fn a_source_that_vanishes_or_breaks_changes_nothing_and_drift_is_still_watched() {
    let mut agent = Agent::on_a_file();
    let away = agent.folder.path().join("away");
    std::fs::rename(agent.yaml(), &away).expect("moved away");
    agent.wait_for_outcome("source_unavailable");
    assert_eq!(agent.metric("oxide_operator_source_available"), 0);
    agent
        .orchestrator()
        .execute("UPDATE services SET max_retries = 99 WHERE id = 'openrouter'", [])
        .expect("commits");
    agent.wait_for_metric(DRIFT, 1);
    std::fs::rename(&away, agent.yaml()).expect("moved back");
    agent.wait_for_outcome("differences");
    std::fs::write(&away, "services: [").expect("written");
    std::fs::rename(&away, agent.yaml()).expect("a broken one");
    agent.wait_for_outcome("invalid");
    assert_eq!(agent.metric("oxide_operator_source_available"), 0);
    assert_eq!(agent.metric(DRIFT), 1);
    std::fs::write(&away, with_workers(9)).expect("written");
    std::fs::rename(&away, agent.yaml()).expect("mended");
    let wrote = agent.wait_for("revision", |line| line["revision"].is_i64());
    let said = wrote["message"].as_str().expect("text");
    assert!(
        said.starts_with("wrote revision ") && said.ends_with(": execution.max_parallel_workers 4 -> 9"),
        "{said}"
    );
    assert!(wrote.get("hint").is_none(), "{wrote}");
    assert_eq!(agent.workers(), 9);
}

#[test]
fn a_difference_is_said_once_with_its_values_and_every_event_is_one_line() {
    let mut agent = Agent::on_a_file();
    let edit = "UPDATE services SET max_retries = ?1 WHERE id = 'openrouter'";
    agent.orchestrator().execute(edit, [99]).expect("commits");
    let line = agent.wait_for("the edit", |line| line["path"] == "services.openrouter.max_retries");
    assert!(line["message"].as_str().is_some_and(|it| it.contains("database 99, source 3")), "{line}");
    std::fs::write(agent.yaml(), "services:\n  a: {type: cli, executable: [x]}\n").expect("written");
    let invalid = agent.wait_for("a finding", |line| {
        assert_ne!(line["path"], "services.openrouter.max_retries", "it was said already");
        line["level"] == "ERROR"
    });
    assert!(!invalid["message"].as_str().expect("text").contains('\n'), "{invalid}");
}

#[test]
fn an_address_that_is_taken_says_what_to_do_and_a_name_is_looked_up() {
    let first = Agent::on_a_file();
    let taken = format!("localhost:{}", first.port);
    let second = Command::new(env!("CARGO_BIN_EXE_oxide-operator"))
        .current_dir(first.folder.path())
        .args(["run", "--db", "other/config.db", "--source", "file:default.yaml", "--listen", "off"])
        .args(["--listen-health", &taken])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another `oxide-operator run`") && said.contains("--listen-health"), "{said}");
}

#[test]
fn health_says_ready_only_after_the_first_comparison() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut agent = Agent::start(folder, "file:default.yaml", &[]);
    agent.wait_for_outcome("source_unavailable");
    assert_eq!(agent.get("/livez").0, 200);
    let (status, why) = agent.get("/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("does not exist"), "{why}");
    std::fs::write(agent.yaml(), YAML).expect("written");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.get("/readyz").0, 200);
}

#[test]
fn a_hangup_forces_a_comparison_and_a_termination_ends_cleanly() {
    let mut agent = Agent::on_a_file();
    agent.signal("HUP");
    agent.wait_for_metric("oxide_operator_reconcile_total{result=\"in_sync\"}", 1);
    agent.signal("TERM");
    assert_eq!(agent.child.wait().expect("ends").code(), Some(0));
    let left: Vec<_> =
        std::fs::read_dir(agent.folder.path().join("store")).expect("readable").flatten().collect();
    assert!(
        left.iter().all(|entry| !entry.file_name().to_string_lossy().ends_with("-wal")),
        "closed cleanly: {left:?}"
    );
}

#[test]
fn a_wrong_key_writes_nothing_and_the_right_one_is_picked_up() {
    let mut agent = Agent::on_a_file();
    agent.signal("TERM");
    agent.child.wait().expect("ends");
    let key = agent.folder.path().join("store/encryption.key");
    let right = std::fs::read(&key).expect("there");
    std::fs::write(&key, "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=").expect("another key");
    let folder = std::mem::replace(&mut agent.folder, tempfile::tempdir().expect("a folder"));
    std::fs::write(folder.path().join("default.yaml"), with_workers(50)).expect("written");
    let mut agent = Agent::start(folder, "file:default.yaml", &[]);
    agent.wait_for_outcome("failed");
    assert_eq!(agent.metric("oxide_operator_key_mismatch"), 1);
    assert_eq!(agent.workers(), 4, "nothing was written under a wrong key");
    let key = agent.folder.path().join("store/encryption.key");
    std::fs::write(key, right).expect("the right key");
    agent.signal("HUP");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.workers(), 50);
}

#[test]
fn an_agent_that_is_told_to_stop_ends_whatever_it_does() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_oxide-operator"));
    // The point comes after the backup, inside the transaction.
    program.env("OXIDE_OPERATOR_HANG_AT", "steps_written");
    let mut agent = Agent::start_with(program, agent::folder_with_yaml(), "file:default.yaml", &[]);
    agent.wait_for("the pass to hang", |line| line["point"] == "steps_written");
    agent.signal("TERM");
    assert!(agent.child.wait().expect("ends").success());
    let tables: i64 = Connection::open(agent.folder.path().join("store/config.db"))
        .and_then(|conn| conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)))
        .expect("opens");
    assert_eq!(tables, 0, "nothing of the pass was written");
}

#[test]
fn a_release_that_a_link_on_the_way_leads_to_is_followed_and_stays_the_same_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_owned();
    let release = |number: i64| {
        let name = format!("release-{number}");
        std::fs::create_dir_all(root.join(&name)).expect("made");
        let yaml = format!("{WITH_A_SECRET_FILE}execution: {{max_parallel_workers: {number}}}\n");
        std::fs::write(root.join(&name).join("default.yaml"), yaml.replace("secret/key", "key"))
            .expect("written");
        std::fs::write(root.join(&name).join("key"), format!("sk-{number}")).expect("written");
        symlink(&name, root.join("next")).expect("linked");
        std::fs::rename(root.join("next"), root.join("current")).expect("swapped");
    };
    release(11);
    let mut agent = Agent::start(folder, "file:current/default.yaml", &[]);
    agent.wait_for_outcome("applied");
    release(12);
    agent.wait_for("the swap, without a word of another source", |line| {
        assert!(!line.to_string().contains("another source"), "{line}");
        line["outcome"] == "applied"
    });
    assert_eq!(agent.key_of("a"), "sk-12");
    let apply = agent.command("file:current/default.yaml", &["apply"]);
    let said = String::from_utf8_lossy(&apply.stderr);
    assert!(apply.status.success() && !said.contains("another source"), "{said}");
}

#[test]
fn a_config_map_that_kubelet_swaps_stays_the_same_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = folder.path().join("mount");
    let version = |number| agent::swap(&mount, number, "default.yaml", &with_workers(number));
    version(11);
    symlink("..data/default.yaml", mount.join("default.yaml")).expect("linked");
    let mut agent = Agent::start(folder, "file:mount/default.yaml", &[]);
    agent.wait_for_outcome("applied");
    version(12);
    agent.wait_for("the swap, without a word of another source", |line| {
        assert!(!line.to_string().contains("another source"), "{line}");
        line["outcome"] == "applied"
    });
    let apply = agent.command("file:mount/default.yaml", &["apply"]);
    let said = String::from_utf8_lossy(&apply.stderr);
    assert!(apply.status.success() && !said.contains("another source"), "{said}");
}

/// Half an agent would look alive.
#[test]
fn a_mistake_in_the_thread_that_owns_the_store_ends_the_agent_with_a_line_that_says_so() {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_oxide-operator"));
    program.env("OXIDE_OPERATOR_PANIC_AT", "verified");
    let mut agent = Agent::start_with(program, folder_with_yaml(), "file:default.yaml", &[]);
    let said = agent.wait_for("the mistake", |line| line["level"] == "ERROR");
    assert!(said.to_string().contains("a test asked for it at verified"), "{said}");
    assert_eq!(
        (&said["thread"], said["place"].is_string()),
        (&serde_json::Value::from("owner"), true),
        "{said}"
    );
    assert_eq!(agent.child.wait().expect("ended").code(), Some(1));
}
