//! Edits from the command line: keys stay out of sight, refused edits change nothing, and no edit of another writer
//! is lost.

#![expect(clippy::disallowed_methods, reason = "it runs processes and threads")]

#[path = "support/process.rs"]
mod process;

use std::fs;

use process::{BINARY, Place, SAMPLE, said};

fn migrated() -> Place {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place
}

#[test]
fn a_key_typed_at_the_prompt_is_stored_and_never_shown() {
    let place = migrated();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/type_key.py");
    let mut terminal = place.program("python3");
    terminal.args([script, "sk-typed-by-hand", BINARY, "set", "services.openrouter.api_key"]);
    let said = said(&mut terminal);
    assert_eq!(said.code(), Some(0), "{said:#?}");
    assert!(said.stdout.contains("API key for openrouter"), "{said:#?}");
    assert!(!said.stdout.contains("typed-by-hand"), "{said:#?}");
    assert_eq!(place.values()["services.openrouter.api_key_encrypted"], "sk-typed-by-hand");
}

#[test]
fn a_key_comes_from_a_file_or_from_the_snippets_own_references() {
    let place = migrated();
    fs::write(place.root().join("key.txt"), "sk-in-a-file\n").expect("written");
    let url = "http://localhost:1";
    let with_file = ["add", "service", "a", "--type", "http", "--base-url", url, "--api-key-file", "key.txt"];
    place.expect(0, &with_file);
    let snippet = "type: http\nbase_url: http://localhost:2\napiKeyFrom:\n  file: key.txt\n";
    fs::write(place.root().join("b.yaml"), snippet).expect("written");
    place.expect(0, &["add", "service", "b", "-f", "b.yaml"]);
    place.expect(0, &["set", "services.openrouter.api_key", "--file", "key.txt"]);
    let values = place.values();
    for id in ["a", "b", "openrouter"] {
        assert_eq!(values[&format!("services.{id}.api_key_encrypted")], "sk-in-a-file");
    }
    place.expect(0, &["set", "services.openrouter.api_key", "null"]);
    assert_eq!(place.values()["services.openrouter.api_key_encrypted"], "NULL");
}

#[test]
fn what_is_refused_or_only_tried_changes_not_one_row() {
    let place = migrated();
    let before = place.dump();
    let refused: [(i32, &[&str]); 9] = [
        (6, &["set", "services.gemini.type", "ftp"]),
        (6, &["set", "services.gemini.max_retries", "-1"]),
        (6, &["set", "services.gemini.executable", "null"]),
        (6, &["set", "routing_rules.debugging.primary", "nobody"]),
        (6, &["remove", "qwen"]),
        (6, &["add", "rule", "x", "--primary", "nobody"]),
        (64, &["set", "services.openrouter.api_key", "sk-visible"]),
        (0, &["set", "services.gemini.enabled", "false", "--dry-run"]),
        (0, &["remove", "qwen", "--cascade", "--dry-run"]),
    ];
    for (code, arguments) in refused {
        let said = place.expect(code, arguments);
        assert!(!format!("{said:?}").contains("sk-"), "{said:#?}");
        assert_eq!(place.dump(), before, "{arguments:?}");
    }
    assert!(!place.oxide().join("backups").exists(), "nothing was written, so nothing was backed up");
}

#[test]
fn the_last_enabled_service_can_be_neither_removed_nor_disabled() {
    let place = Place::new("services:\n  only:\n    type: cli\n    executable: x\n");
    place.expect(0, &["migrate", "--no-backup"]);
    let said = place.expect(6, &["set", "services.only.enabled", "false"]);
    assert!(said.stderr.contains("no service would be enabled"), "{said:#?}");
}

#[test]
fn edits_of_two_terminals_and_the_orchestrator_at_once_are_all_there_afterwards() {
    let place = migrated();
    let conn = place.connect().expect("opens");
    std::thread::scope(|scope| {
        for writer in ["x", "y"] {
            let place = &place;
            scope.spawn(move || {
                for number in 0..10 {
                    let url = format!("http://{writer}/{number}");
                    let id = format!("{writer}{number}");
                    place.expect(0, &["add", "service", &id, "--type", "http", "--base-url", &url]);
                }
            });
        }
        for number in 0..200 {
            let sql = "INSERT INTO services (id, type, base_url, created_at, updated_at) VALUES (?1, 'http', 'u', 1, 1)";
            conn.execute(sql, [format!("z{number}")]).expect("written");
        }
    });
    let values = place.values();
    let there = |id: &str| values.contains_key(&format!("services.{id}.type"));
    for number in 0..10 {
        assert!(there(&format!("x{number}")) && there(&format!("y{number}")), "{number}");
    }
    assert!((0..200).all(|number| there(&format!("z{number}"))));
}
