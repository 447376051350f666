//! A corrupt database is set aside and the newest good backup takes its place, whenever the process is killed: an edit
//! that only the database and its backup hold is not lost.

#![expect(clippy::disallowed_methods, reason = "it breaks files and kills processes")]

#[path = "support/process.rs"]
mod process;

use std::fs;
use std::path::PathBuf;

use oxide_operator::store::crash::QUARANTINE_POINTS;
use process::{Place, SAMPLE, said};

const CORRUPT: &str = "this is not a database, whatever its name says";

/// A corrupt database with a backup that holds an edit of the orchestrator.
fn corrupt() -> Place {
    let place = Place::edited();
    let conn = place.connect().expect("opens");
    conn.execute("UPDATE services SET default_model = 'from the ui' WHERE id = 'gemini'", [])
        .expect("written");
    drop(conn);
    place.expect(0, &["apply"]);
    fs::write(place.db(), CORRUPT).expect("broken");
    place
}

/// The corrupt files that are kept, by content.
fn kept(place: &Place) -> usize {
    let quarantine = place.oxide().join("quarantine");
    let files = place.files().into_iter().filter(|file| file.starts_with(&quarantine));
    files.filter(|file| fs::read_to_string(file).is_ok_and(|text| text == CORRUPT)).count()
}

#[test]
fn no_moment_of_a_restore_is_a_bad_one_to_be_killed() {
    for point in QUARANTINE_POINTS {
        let place = corrupt();
        let killed = said(place.command(&["apply"]).env("OXIDE_OPERATOR_CRASH_AT", point));
        assert!(killed.was_killed(), "{point}: {killed:#?}");
        assert!(place.db().exists(), "{point}: a gap where the next process builds a store anew");
        place.expect(0, &["apply"]);
        assert_eq!(place.values()["services.gemini.default_model"], "from the ui", "{point}");
        assert_eq!(place.values()["routing_rules.code_generation.timeout_seconds"], "46", "{point}");
        assert_eq!(place.integrity(), "ok", "{point}");
        assert!(kept(&place) > 0, "{point}: the corrupt file is gone");
        assert_eq!(place.leftovers(), Vec::<PathBuf>::new(), "{point}");
    }
}

#[test]
fn without_a_backup_the_store_is_built_from_the_source() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate"]);
    let values = place.values();
    fs::write(place.db(), CORRUPT).expect("broken");
    let said = place.expect(0, &["apply"]);
    assert!(said.stderr.contains("there is no good backup"), "{said:#?}");
    assert_eq!(place.values(), values);
    assert_eq!(kept(&place), 1);
}

#[test]
fn a_backup_that_does_not_open_is_passed_over() {
    let place = corrupt();
    let newest = place.oxide().join("backups/config-99991231T235959999Z.db");
    fs::write(newest, CORRUPT).expect("written");
    place.expect(0, &["apply"]);
    assert_eq!(place.values()["services.gemini.default_model"], "from the ui");
}
