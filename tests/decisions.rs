//! What somebody decided about a difference holds as long as they meant it to, and no longer.

#![expect(clippy::disallowed_methods, reason = "it runs processes and edits files")]

#[path = "support/process.rs"]
mod process;

use process::{Place, SAMPLE};
use serde_json::Value as Json;

const PATH: &str = "routing_rules.quick_query.timeout_seconds";
const DECLARED: &str = "timeout_seconds: 10 ";

/// A store with one edit, which somebody accepted.
fn accepted() -> Place {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    edit(&place, 77);
    place.expect(0, &["accept", PATH, "--reason", "the slow provider", "--until", "1h"]);
    assert_eq!(plan(&place), (1, Vec::new()), "it is quiet while neither side moves");
    place
}

fn edit(place: &Place, seconds: i64) {
    let sql = "UPDATE routing_rules SET timeout_seconds = ?1 WHERE task_type = 'quick_query'";
    assert_eq!(place.connect().and_then(|conn| conn.execute(sql, [seconds])), Ok(1));
}

/// How many differences are accepted, and the classes of those that are left alone and not accepted.
fn plan(place: &Place) -> (u64, Vec<String>) {
    let report: Json = serde_json::from_str(&place.run(&["plan", "-o", "json"]).stdout).expect("a report");
    let left = report["plan"]["leftAlone"].as_array().expect("a list");
    let loud = left.iter().filter(|left| !left["reason"].as_str().expect("text").starts_with("accepted"));
    let classes = loud.map(|left| left["class"].as_str().expect("text").to_owned()).collect();
    (report["accepted"].as_u64().expect("a number"), classes)
}

#[test]
fn an_acceptance_ends_when_the_database_moves() {
    let place = accepted();
    edit(&place, 78);
    assert_eq!(plan(&place), (0, vec!["drift".to_owned()]));
}

#[test]
fn an_acceptance_ends_when_the_source_moves() {
    let place = accepted();
    assert!(SAMPLE.contains(DECLARED));
    place.write_yaml(&SAMPLE.replace(DECLARED, "timeout_seconds: 11 "));
    assert_eq!(plan(&place), (0, vec!["conflict".to_owned()]));
}

#[test]
fn an_acceptance_outlives_the_writes_of_other_values() {
    let place = accepted();
    for workers in ["max_parallel_workers: 6", "max_parallel_workers: 7"] {
        place.write_yaml(&SAMPLE.replace("max_parallel_workers: 4", workers));
        place.expect(0, &["apply"]);
        assert_eq!(plan(&place), (1, Vec::new()), "{workers}");
    }
}

#[test]
fn a_pause_holds_back_what_the_source_would_win() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place.expect(0, &["pause", "--reason", "maintenance", "--until", "1h"]);
    edit(&place, 77);
    place.write_yaml(&SAMPLE.replace(DECLARED, "timeout_seconds: 11 "));
    let before = place.dump();
    place.expect(7, &["apply", "--on-conflict", "source", "--on-drift", "revert"]);
    assert_eq!(place.dump(), before);
    place.expect(0, &["resume"]);
    place.expect(0, &["apply", "--on-conflict", "source"]);
    assert_eq!(place.values()[PATH], "11");
}

#[test]
fn what_a_restore_took_back_stays_out_until_the_source_moves_on() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place.write_yaml(&SAMPLE.replace(DECLARED, "timeout_seconds: 11 "));
    place.expect(0, &["apply"]);
    let before = place.dump();
    place.expect(0, &["restore", "1", "--dry-run"]);
    assert_eq!(place.dump(), before, "a dry run writes nothing");
    place.expect(0, &["restore", "1"]);
    assert_eq!(place.values()[PATH], "10");
    place.expect(7, &["apply"]);
    assert_eq!(place.values()[PATH], "10");
    place.write_yaml(&SAMPLE.replace(DECLARED, "timeout_seconds: 12 "));
    place.expect(0, &["apply"]);
    assert_eq!(place.values()[PATH], "12");
}

/// Under a key that opens nothing, what the database holds cannot be told: nothing is decided about it, and nothing taken
/// from it.
#[test]
fn nothing_is_decided_or_promoted_under_a_wrong_key_or_without_one() {
    let place = accepted();
    edit(&place, 78);
    place.expect(0, &["pause", "services.*", "--reason", "before"]);
    let key = std::fs::read(place.key_file()).expect("a key");
    let other = fernet::Fernet::generate_key();
    let (before, source) = (place.dump(), std::fs::read(place.yaml()).expect("there"));
    for (name, file, variable, reason) in [
        ("wrong key", Some(other.as_bytes()), "", "wrong_key"),
        ("no key", None, "", "no_key"),
        ("wrong variable", None, other.as_str(), "wrong_key"),
        ("wrong variable beside the right file", Some(&*key), other.as_str(), "wrong_key"),
    ] {
        let _ = std::fs::remove_file(place.key_file());
        if let Some(key) = file {
            std::fs::write(place.key_file(), key).expect("written");
        }
        for arguments in [
            &["pause", "--reason", "x"][..],
            &["accept", PATH, "--reason", "x"],
            &["resume"],
            &["resume", "services.*"],
            &["withdraw", PATH],
            &["promote", PATH],
            &["promote", "--all"],
        ] {
            let mut command = place.command(arguments);
            let said = process::said(command.env("OXIDE_ENCRYPTION_KEY", variable));
            assert_ne!(said.code(), Some(0), "{name}, {arguments:?}, {reason}: {said:#?}");
            assert!(said.stderr.contains("key check"), "{name}, {arguments:?}: {said:#?}");
            assert_eq!(place.dump(), before, "{name}, {arguments:?}");
            assert_eq!(std::fs::read(place.yaml()).expect("there"), source, "{name}, {arguments:?}");
        }
    }
    std::fs::write(place.key_file(), key).expect("the right one");
    place.expect(0, &["promote", PATH]);
}
