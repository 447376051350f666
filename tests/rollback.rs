//! Back to YAML only and back again: nothing is lost at any moment, whoever else is about.

#![expect(clippy::disallowed_methods, reason = "it runs processes and looks at files")]

#[path = "support/process.rs"]
mod process;

use std::fs;

use oxide_operator::store::crash::RETIRE_POINTS;
use process::{Place, SAMPLE, said};

/// A migrated store that somebody edited since.
fn edited() -> Place {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place.expect(0, &["set", "services.lmstudio.enabled", "false"]);
    place
}

#[test]
fn a_killed_rollback_leaves_the_database_whole_under_one_name_or_the_other() {
    for point in RETIRE_POINTS {
        let place = edited();
        let before = place.values();
        let mut command = place.command(&["rollback", "--with-secrets"]);
        let killed = said(command.env("OXIDE_OPERATOR_CRASH_AT", point));
        assert!(killed.was_killed(), "{point} was not passed: {killed:#?}");
        if !place.db().exists() {
            place.expect(0, &["rollback", "--undo"]);
        }
        assert_eq!(place.values(), before, "{point}");
        assert_eq!(place.integrity(), "ok", "{point}");
        let _ = fs::remove_file(place.root().join("config/current.yaml"));
        place.expect(0, &["rollback", "--with-secrets"]);
        place.expect(0, &["rollback", "--undo"]);
        assert_eq!(place.values(), before, "{point}");
    }
}

#[test]
fn a_database_that_somebody_has_open_is_not_set_aside_and_goes_on_as_before() {
    let place = edited();
    let orchestrator = place.connect().expect("opens");
    let count: i64 =
        orchestrator.query_row("SELECT count(*) FROM services", [], |row| row.get(0)).expect("reads");
    assert_eq!(count, 6);
    let refused = place.expect(1, &["rollback"]);
    assert!(refused.stderr.contains("another process has"), "{refused:#?}");
    assert!(!place.root().join("config/current.yaml").exists(), "nothing is left in the way of the next try");
    orchestrator
        .execute("UPDATE services SET enabled = 1 WHERE id = 'lmstudio'", [])
        .expect("still writable");
    let mode: String = orchestrator.query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("answers");
    assert_eq!(mode, "wal");
    drop(orchestrator);
    place.expect(0, &["rollback"]);
}

#[test]
fn after_it_the_orchestrator_reads_the_yaml_with_the_same_values_and_keys() {
    let place = edited();
    let before = place.expect(0, &["config"]).stdout;
    place.expect(0, &["rollback", "--with-secrets"]);
    fs::rename(place.root().join("config/current.yaml"), place.yaml()).expect("renamed");
    let after = place.run(&["config"]);
    assert!(after.stderr.contains("from the YAML"), "{after:#?}");
    assert_eq!(after.stdout, before);
    assert!(fs::read_to_string(place.yaml()).expect("text").contains("sk-or-v1-not-a-real-key-0000"));
}

#[test]
fn the_way_back_takes_an_empty_database_of_the_orchestrators_aside_and_never_a_filled_one() {
    let place = edited();
    let before = place.values();
    place.expect(0, &["rollback"]);
    // The orchestrator makes its tables whenever it starts.
    let made = rusqlite::Connection::open(place.db()).expect("made");
    made.execute_batch(include_str!("support/orchestrator.sql")).expect("tables");
    drop(made);
    place.expect(0, &["rollback", "--undo"]);
    assert_eq!(place.values(), before);
    let refused = place.expect(1, &["rollback", "--undo"]);
    assert!(refused.stderr.contains("would be replaced"), "{refused:#?}");
    assert_eq!(place.values(), before);
}

#[test]
fn edits_of_other_machines_services_and_unknown_tables_survive_the_round_trip() {
    let place = edited();
    let conn = place.connect().expect("opens");
    conn.execute_batch(
        "INSERT INTO services (id, type, node_id, created_at, updated_at) VALUES ('remote', 'http', 'n1', 1, 1);
         CREATE TABLE somebody_elses (x); INSERT INTO somebody_elses VALUES (42);",
    )
    .expect("written");
    drop(conn);
    let before = place.dump();
    place.expect(0, &["rollback"]);
    place.expect(0, &["rollback", "--undo"]);
    assert_eq!(place.dump(), before);
}
