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
        let mut command = place.command(&["rollback", "--to-yaml", "--with-secrets"]);
        let killed = said(command.env("OXIDE_OPERATOR_CRASH_AT", point));
        assert!(killed.was_killed(), "{point} was not passed: {killed:#?}");
        if !place.db().exists() {
            place.expect(0, &["rollback", "--undo"]);
        }
        assert_eq!(place.values(), before, "{point}");
        assert_eq!(place.integrity(), "ok", "{point}");
        let _ = fs::remove_file(place.root().join("config/current.yaml"));
        place.expect(0, &["rollback", "--to-yaml", "--with-secrets"]);
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
    let refused = place.expect(1, &["rollback", "--to-yaml"]);
    assert!(refused.stderr.contains("another process has"), "{refused:#?}");
    assert!(!place.root().join("config/current.yaml").exists(), "nothing is left in the way of the next try");
    orchestrator
        .execute("UPDATE services SET enabled = 1 WHERE id = 'lmstudio'", [])
        .expect("still writable");
    let mode: String = orchestrator.query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("answers");
    assert_eq!(mode, "wal");
    drop(orchestrator);
    place.expect(0, &["rollback", "--to-yaml"]);
}

#[test]
fn after_it_the_orchestrator_reads_the_yaml_with_the_same_values_and_keys() {
    let place = edited();
    let before = place.expect(0, &["config"]).stdout;
    place.expect(0, &["rollback", "--to-yaml", "--with-secrets"]);
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
    place.expect(0, &["rollback", "--to-yaml"]);
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
    place.expect(0, &["rollback", "--to-yaml"]);
    place.expect(0, &["rollback", "--undo"]);
    assert_eq!(place.dump(), before);
}

/// Wordless `rollback` is what people type for `undo`: it does nothing, and says what there is.
#[test]
fn a_rollback_that_does_not_say_what_it_means_does_nothing() {
    let place = edited();
    let before = place.dump();
    for arguments in
        [&["rollback"][..], &["rollback", "1"], &["rollback", "--dry-run"], &["rollback", "x.yaml"]]
    {
        let said = place.expect(64, arguments);
        for word in ["undo", "restore", "rollback --to-yaml"] {
            assert!(said.stderr.contains(word), "{word}: {said:#?}");
        }
    }
    assert_eq!(place.dump(), before);
    assert!(!place.root().join("1").exists() && !place.root().join("config/current.yaml").exists());
}

#[test]
fn the_way_back_works_after_a_new_database_was_made_and_again() {
    let place = edited();
    let before = place.values();
    place.expect(0, &["rollback", "--to-yaml"]);
    place.expect(0, &["migrate", "--no-backup"]);
    place.expect(0, &["set", "execution.timeout_seconds", "77"]);
    let new = place.values();
    assert_ne!(new, before);
    let back = place.expect(0, &["rollback", "--undo"]);
    assert_eq!(place.values(), before);
    let name = back.stderr.split("--undo ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let name = name.expect("it names what gave way").to_owned();
    assert!(name.ends_with("-replaced"), "{back:#?}");
    // Once more there is nothing to bring back, and the other one is reached by its name.
    place.expect(1, &["rollback", "--undo"]);
    assert_eq!(place.values(), before);
    place.expect(0, &["rollback", "--undo", &name]);
    assert_eq!(place.values(), new);
}

fn sql(place: &Place, text: &str) {
    place.connect().expect("opens").execute_batch(text).expect("written");
}

#[test]
fn an_undo_takes_the_last_write_back_and_an_undo_of_it_brings_it_again() {
    let place = edited();
    place.expect(0, &["set", "execution.timeout_seconds", "77"]);
    let before = place.values();
    place.expect(0, &["remove", "gemini", "--cascade"]);
    let removed = place.values();
    let dry = place.expect(0, &["undo", "--dry-run"]);
    assert!(dry.stdout.contains("services.gemini"), "{dry:#?}");
    assert_eq!(place.values(), removed);
    place.expect(0, &["undo", "--reason", "too early"]);
    assert_eq!(place.values(), before);
    place.expect(0, &["undo"]);
    assert_eq!(place.values(), removed);
    place.expect(0, &["undo"]);
    assert_eq!(place.values(), before);
    assert!(place.expect(0, &["history"]).stdout.contains("too early"));
}

#[test]
fn an_undo_never_takes_a_later_edit_of_somebody_else_with_it() {
    let place = edited();
    place.expect(0, &["set", "execution.timeout_seconds", "77"]);
    sql(&place, "UPDATE services SET max_retries = 9 WHERE id = 'lmstudio'");
    place.expect(0, &["undo"]);
    assert_eq!(place.values()["services.lmstudio.max_retries"], "9", "another value stays");
    place.expect(0, &["set", "execution.timeout_seconds", "78"]);
    sql(&place, "UPDATE execution_settings SET timeout_seconds = 79");
    let before = place.dump();
    let refused = place.expect(6, &["undo"]);
    assert!(refused.stderr.contains("changed since") && refused.stderr.contains("restore"), "{refused:#?}");
    assert_eq!(place.dump(), before);
}

/// Each row of the table in `docs/undo.md`: what was done, the command that undoes it as it stands there, and how one
/// sees that it did. A row that is here and not there, or the other way round, fails.
#[test]
fn every_row_of_the_table_of_ways_back_does_what_it_says() {
    const DISABLE: &str = "UPDATE services SET enabled = 0 WHERE id = 'lmstudio'";
    type Done = fn(&Place);
    let enabled = |place: &Place| place.values()["services.lmstudio.enabled"].clone();
    let disable: Done = |place| drop(place.expect(0, &["set", "services.lmstudio.enabled", "false"]));
    let sql_disable: Done = |place| sql(place, DISABLE);
    let rows: [(&str, Done, &str); 12] = [
        ("oxide-operator undo", disable, "1"),
        (
            "oxide-operator undo",
            |place| {
                place.expect(0, &["set", "services.lmstudio.enabled", "false"]);
                place.expect(0, &["set", "services.lmstudio.enabled", "true"]);
                place.expect(0, &["undo"]);
            },
            "1",
        ),
        ("oxide-operator restore 1", disable, "1"),
        ("oxide-operator restore 1 --only services.lmstudio", disable, "1"),
        (
            "oxide-operator backup restore NAME",
            |place| {
                place.expect(0, &["backup", "create"]);
                sql(place, DISABLE);
            },
            "1",
        ),
        ("oxide-operator revert services.lmstudio.enabled", sql_disable, "1"),
        ("oxide-operator rollback --to-yaml", |_| {}, "gone"),
        ("oxide-operator rollback --undo", |place| drop(place.expect(0, &["rollback", "--to-yaml"])), "1"),
        (
            "oxide-operator withdraw services.lmstudio.enabled",
            |place| {
                sql(place, DISABLE);
                place.expect(0, &["accept", "services.*.enabled", "--reason", "being repaired"]);
                assert!(place.run(&["status"]).stdout.contains("being repaired"));
                assert!(place.expect(0, &["accept", "--list"]).stdout.contains("services.lmstudio.enabled"));
                place.expect(0, &["plan"]);
            },
            "undecided",
        ),
        (
            "oxide-operator resume",
            |place| drop(place.expect(0, &["pause", "lmstudio", "--reason", "being tried"])),
            "undecided",
        ),
        (
            "oxide-operator withdraw --all --kind pin",
            |place| {
                place.expect(0, &["set", "services.lmstudio.enabled", "false"]);
                place.expect(0, &["restore", "1"]);
                assert!(place.run(&["status"]).stdout.contains("Pinned"));
            },
            "undecided",
        ),
        ("oxide-operator key rotate", |_| {}, "1"),
    ];
    let page = include_str!("../docs/undo.md");
    for (command, done, then) in rows {
        assert!(page.contains(&format!("| `{command}` |")), "{command} is not in docs/undo.md");
        let place = Place::new(SAMPLE);
        place.expect(0, &["migrate", "--no-backup"]);
        done(&place);
        let listed = place.expect(0, &["backup", "list", "-o", "json"]).stdout;
        let newest = listed.split("config-").nth(1).map(|rest| format!("config-{}", &rest[..19]));
        let command = command.replace("NAME", newest.as_deref().unwrap_or("NAME"));
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        place.expect(0, &words);
        match then {
            "gone" => assert!(!place.db().exists(), "{command}"),
            "undecided" => {
                let left = place.expect(0, &["accept", "--list"]);
                assert!(left.stdout.is_empty(), "{command}: {left:#?}");
            }
            wanted => assert_eq!(enabled(&place), wanted, "{command}"),
        }
    }
    let others = ["oxide-operator source restore", "oxide-operator key reset"]; // tests/clobbered.rs, tests/doctor.rs
    let in_page = page.lines().filter(|line| line.contains("| `oxide-operator")).count();
    assert_eq!(in_page, rows.len() + others.len(), "a row of docs/undo.md has no test");
}

#[test]
fn a_path_that_names_nothing_is_refused_with_what_was_meant() {
    let place = edited();
    sql(&place, "UPDATE services SET enabled = 0 WHERE id = 'gemini'");
    for (arguments, meant) in [
        (&["restore", "1", "--only", "services.lmstdio"][..], "lmstudio"),
        (&["pause", "services.lmstdio", "--reason", "x"], "lmstudio"),
        (&["pause", "services.nothing-like-it*", "--reason", "x"], "get services"),
        (&["accept", "services.lmstdio.enabled", "--reason", "x"], "lmstudio"),
        (&["accept", "services.lmstudio.enbaled", "--reason", "x"], "did you mean `enabled`?"),
        (&["resume", "services.lmstdio"], "lmstudio"),
        (&["withdraw", "lmstdio"], "lmstudio"),
    ] {
        let before = place.dump();
        let said = place.expect(6, arguments);
        assert!(said.stderr.contains(meant), "{arguments:?}: {said:#?}");
        assert_eq!(place.dump(), before, "{arguments:?}");
    }
    let set = place.expect(64, &["set", "services.gemini.enalbed", "true"]);
    assert!(set.stderr.contains("did you mean `enabled`?"), "{set:#?}");
    let glued = place.expect(64, &["set", "services.gemini.enabled=false"]);
    assert!(glued.stderr.contains("set services.gemini.enabled false"), "{glued:#?}");
    // A pending value is not accepted, and the reason is the true one.
    place.write_yaml(&SAMPLE.replace("max_parallel_workers: 4", "max_parallel_workers: 8"));
    let pending = place.expect(0, &["accept", "execution", "--reason", "x"]);
    assert!(pending.stderr.contains("execution.max_parallel_workers is pending"), "{pending:#?}");
}
