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

#[test]
fn an_empty_variable_is_an_unset_one_whichever_it_is() {
    let place = Place::new(SAMPLE);
    let expected = place.run(&["plan"]);
    let mut command = place.command(&["plan"]);
    for name in [
        "CONFIG",
        "SOURCE",
        "SOURCE_ENV",
        "DB",
        "KEY_FILE",
        "OLD_KEY_FILE",
        "RELOAD_URL",
        "RELOAD_TOKEN_FILE",
        "RELOAD_PID_FILE",
        "RELOAD_SIGNAL",
        "ON_DRIFT",
        "ON_CONFLICT",
        "PRUNE",
        "OVERRIDES",
        "IGNORE",
        "GRACE",
    ] {
        command.env(format!("OXIDE_OPERATOR_{name}"), "");
    }
    let said = said(&mut command);
    assert_eq!((said.code(), &said.stdout), (expected.code(), &expected.stdout), "{said:#?}");
}

#[test]
fn a_tilde_is_the_home_folder_wherever_a_path_is_named() {
    let place = Place::new(SAMPLE);
    let file = place.root().join("settings.yaml");
    fs::write(&file, "db: ~/from-file.db\nkeyFile: ~/file.key\n").expect("written");
    place.expect(0, &["migrate", "--no-backup", "--config", "~/settings.yaml"]);
    place.expect(0, &["migrate", "--no-backup", "--db=~/flag.db", "--source=file:~/config/default.yaml"]);
    let mut command = place.command(&["migrate", "--no-backup", "--yaml=~/config/default.yaml"]);
    command.env("OXIDE_OPERATOR_DB", "~/variable.db").env("OXIDE_OPERATOR_KEY_FILE", "~/variable.key");
    assert_eq!(said(&mut command).code(), Some(0));
    for made in ["from-file.db", "file.key", "flag.db", "variable.db", "variable.key"] {
        assert!(place.root().join(made).exists(), "{made}");
    }
    assert!(!place.root().join("~").exists());
}

#[test]
fn a_linked_database_has_its_key_beside_the_link_as_for_the_orchestrator() {
    let place = Place::new(SAMPLE);
    let volume = place.root().join("volume");
    fs::create_dir_all(&volume).expect("made");
    fs::create_dir_all(place.oxide()).expect("made");
    rusqlite::Connection::open(volume.join("config.db"))
        .and_then(|conn| conn.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())))
        .expect("made");
    std::os::unix::fs::symlink(volume.join("config.db"), place.db()).expect("linked");
    place.expect(0, &["migrate", "--no-backup"]);
    assert!(place.key_file().exists() && !volume.join("encryption.key").exists());
    place.expect(0, &["key", "check"]);
}
