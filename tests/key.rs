//! Keys: made, checked, changed, and begun anew. The orchestrator's own reader says what it can read.

#![expect(clippy::disallowed_methods, reason = "it runs processes and reads files")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/process.rs"]
mod process;
#[path = "support/python.rs"]
mod python;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use oxide_operator::store::crash::ROTATE_POINTS;
use process::{Place, SAMPLE, said};
use serde_json::{Value as Json, json};

const READ_DATABASE: &str = include_str!("support/read_database.py");
const SECRET: &str = "sk-or-v1-not-a-real-key-0000";

fn migrated() -> Place {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place
}

/// What the orchestrator reads, with the key that it finds beside the database.
fn as_the_orchestrator(place: &Place) -> Json {
    let key = fs::read_to_string(place.key_file()).expect("a key");
    python::run(READ_DATABASE, &json!({"db": place.db(), "key": key.trim()}))["config"].clone()
}

fn retired(place: &Place) -> Vec<PathBuf> {
    place.files().into_iter().filter(|file| file.to_string_lossy().ends_with(".retired")).collect()
}

/// Every column of the orchestrator's tables but the tokens, and the tokens.
fn rows(place: &Place) -> (Vec<String>, Vec<String>) {
    let conn = place.connect().expect("opens");
    let mut others = Vec::new();
    for table in ["services", "routing_rules", "execution_settings", "config_history", "discovered_nodes"] {
        let mut query = conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).expect("a table");
        let names: Vec<String> = query.column_names().map(str::to_owned).collect();
        let mut found = query.query([]).expect("rows");
        while let Some(row) = found.next().expect("a row") {
            for (column, name) in names.iter().enumerate().filter(|(_, name)| *name != "api_key_encrypted") {
                others.push(format!("{table}.{name} {:?}", row.get_ref(column).expect("a value")));
            }
        }
    }
    let mut tokens =
        conn.prepare("SELECT api_key_encrypted FROM services WHERE api_key_encrypted > ''").expect("read");
    let tokens =
        tokens.query_map([], |row| row.get(0)).expect("rows").map(|token| token.expect("text")).collect();
    (others, tokens)
}

#[test]
fn a_rotation_changes_the_tokens_and_nothing_else_and_everything_goes_on() {
    let place = migrated();
    place.expect(0, &["set", "services.openrouter.api_key", "--file", &secret_file(&place, "sk-second")]);
    place.write_yaml(&SAMPLE.replace(SECRET, "sk-second"));
    place.expect(0, &["apply"]);
    // The orchestrator may be of the key file's group.
    fs::set_permissions(place.key_file(), fs::Permissions::from_mode(0o640)).expect("set");
    let (before, (others, tokens)) = (as_the_orchestrator(&place), rows(&place));
    let old = fs::read_to_string(place.key_file()).expect("a key");
    let rotated = place.expect(0, &["key", "rotate"]);
    let shown = format!("{}{}", rotated.stdout, rotated.stderr);
    assert!(!shown.contains(old.trim()) && !shown.contains("sk-second"), "{shown}");
    assert_ne!(fs::read_to_string(place.key_file()).expect("a key"), old);
    assert_eq!(as_the_orchestrator(&place), before, "the orchestrator reads what it read");
    let (others_now, tokens_now) = rows(&place);
    assert_eq!(others_now, others);
    assert_eq!(tokens_now.len(), tokens.len());
    assert!(tokens_now.iter().all(|token| !tokens.contains(token)));
    let mode = fs::metadata(place.key_file()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let kept: Vec<PathBuf> = retired(&place);
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::metadata(&kept[0]).expect("there").permissions().mode() & 0o777, 0o600);

    let dump = place.dump();
    place.expect(0, &["apply"]);
    assert_eq!(place.dump(), dump, "a pass after a rotation does nothing");
    place.expect(0, &["backup", "check"]);
    place.expect(0, &["restore", "1"]);
    let restored = as_the_orchestrator(&place);
    assert_eq!(
        restored["services"]["openrouter"]["api_key"], SECRET,
        "history needs the retired key, and finds it"
    );
    place.expect(0, &["key", "rotate"]);
    assert_eq!(as_the_orchestrator(&place), restored);
    assert_eq!(retired(&place).len(), 2);
    place.expect(0, &["restore", "1"]);
}

fn secret_file(place: &Place, secret: &str) -> String {
    let path = place.root().join("secret");
    fs::write(&path, secret).expect("written");
    path.display().to_string()
}

#[test]
fn a_rotation_that_is_killed_at_any_point_is_finished_or_undone_at_the_next_start() {
    for point in ROTATE_POINTS {
        let place = migrated();
        let before = as_the_orchestrator(&place);
        let killed = said(place.command(&["key", "rotate"]).env("OXIDE_OPERATOR_CRASH_AT", point));
        assert!(killed.was_killed(), "{point}: {killed:#?}");
        let next_key = place.oxide().join("encryption.key.next");
        let left = next_key.exists();
        place.run(&["doctor"]);
        assert_eq!(next_key.exists(), left, "{point}: doctor changes nothing");
        let next = place.expect(0, &["key", "check"]);
        assert!(next.stdout.contains("Opens    1 of 1"), "{point}: {next:#?}");
        assert_eq!(as_the_orchestrator(&place), before, "{point}");
        assert!(!next_key.exists(), "{point}");
        assert_eq!(place.run(&["plan"]).code(), Some(0), "{point}: in sync");
        place.expect(0, &["key", "rotate"]);
        assert_eq!(as_the_orchestrator(&place), before, "{point}");
    }
}

/// Every key file that is there opens nothing less than before: keys are put aside, never deleted.
fn keys(place: &Place) -> Vec<String> {
    let mut keys: Vec<String> = place
        .files()
        .into_iter()
        .filter(|file| file.to_string_lossy().contains("encryption.key"))
        .map(|file| fs::read_to_string(file).expect("a key").trim().to_owned())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn a_rotation_that_was_killed_loses_no_key_when_the_orchestrator_wrote_under_the_old_one_since() {
    for point in ROTATE_POINTS {
        let place = migrated();
        let token: String = place
            .connect()
            .expect("opens")
            .query_row("SELECT api_key_encrypted FROM services WHERE id = 'openrouter'", [], |row| row.get(0))
            .expect("a token");
        let killed = said(place.command(&["key", "rotate"]).env("OXIDE_OPERATOR_CRASH_AT", point));
        assert!(killed.was_killed(), "{point}: {killed:#?}");
        place
            .connect()
            .expect("opens")
            .execute("UPDATE services SET api_key_encrypted = ?1 WHERE id = 'qwen'", [token])
            .expect("written under the old key");
        let before = keys(&place);
        let next = place.run(&["key", "check"]);
        let now = keys(&place);
        assert!(before.iter().all(|key| now.contains(key)), "{point}: a key was deleted");
        if next.code() == Some(1) {
            // The rotation was over; what was written since is under the retired key, which another rotation ends.
            assert!(next.stdout.contains("under a retired key"), "{point}: {next:#?}");
            place.expect(0, &["key", "rotate"]);
        }
        let read = as_the_orchestrator(&place);
        for service in ["openrouter", "qwen"] {
            assert_eq!(read["services"][service]["api_key"], SECRET, "{point}: {service}");
        }
    }
}

#[test]
fn a_rotation_says_which_api_key_no_key_opens_and_changes_nothing() {
    let place = migrated();
    let (other, dump) = (migrated(), place.dump());
    let foreign: String = other
        .connect()
        .expect("opens")
        .query_row("SELECT api_key_encrypted FROM services WHERE id = 'openrouter'", [], |row| row.get(0))
        .expect("a token");
    let conn = place.connect().expect("opens");
    conn.execute(
        "INSERT INTO services (id, type, api_key_encrypted, created_at, updated_at, node_id)
         VALUES ('elsewhere', 'cli', ?1, 1, 1, 'node')",
        [foreign],
    )
    .expect("a service of another machine");
    let refused = place.expect(1, &["key", "rotate"]);
    assert!(refused.stderr.contains("API key of \"elsewhere\" does not open"), "{refused:#?}");
    assert!(refused.stderr.contains("--old-key-file"), "{refused:#?}");
    conn.execute("DELETE FROM services WHERE id = 'elsewhere'", []).expect("deleted");
    assert_eq!(place.dump(), dump);
    assert_eq!(keys(&place).len(), 1, "neither a new key nor a copy of the old one stays");
}

#[test]
fn a_key_file_that_is_a_link_stays_one() {
    let place = migrated();
    let kept = place.root().join("secrets");
    fs::create_dir(&kept).expect("made");
    fs::rename(place.key_file(), kept.join("oxide.key")).expect("moved");
    std::os::unix::fs::symlink(kept.join("oxide.key"), place.key_file()).expect("linked");
    let (before, old) = (as_the_orchestrator(&place), fs::read_to_string(place.key_file()).expect("a key"));
    place.expect(0, &["key", "rotate"]);
    assert!(fs::symlink_metadata(place.key_file()).expect("there").is_symlink());
    assert_ne!(fs::read_to_string(kept.join("oxide.key")).expect("a key"), old);
    assert_eq!(as_the_orchestrator(&place), before);
    place.expect(0, &["restore", "1"]);
}

#[test]
fn an_api_key_that_the_sides_disagree_on_stays_a_difference_and_is_not_overwritten() {
    let place = migrated();
    place.expect(0, &["set", "services.openrouter.api_key", "--file", &secret_file(&place, "sk-edited")]);
    place.expect(0, &["key", "rotate"]);
    assert_eq!(place.run(&["plan"]).code(), Some(5), "the edit is held as a conflict");
    place.run(&["apply", "--on-drift", "revert"]);
    assert_eq!(as_the_orchestrator(&place)["services"]["openrouter"]["api_key"], "sk-edited");
}

#[test]
fn a_key_of_the_environment_is_not_ours_to_replace() {
    let place = migrated();
    let key = fs::read_to_string(place.key_file()).expect("a key");
    let dump = place.dump();
    let refused = said(place.command(&["key", "rotate"]).env("OXIDE_ENCRYPTION_KEY", key.trim()));
    assert_eq!(refused.code(), Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("OXIDE_ENCRYPTION_KEY, which is not ours to replace"), "{refused:#?}");
    assert_eq!(place.dump(), dump);
    assert!(retired(&place).is_empty());
}

#[test]
fn a_running_agent_goes_on_under_the_new_key() {
    let mut agent = agent::Agent::on_a_file();
    let rotate = std::process::Command::new(process::BINARY)
        .args(["key", "rotate", "--db", "store/config.db"])
        .current_dir(agent.folder.path())
        .env("HOME", agent.folder.path())
        .output()
        .expect("runs");
    assert!(rotate.status.success(), "{rotate:?}");
    fs::write(agent.yaml(), agent::with_workers(33).replace("key-0000", "key-4444")).expect("written");
    agent.wait_for_outcome("applied");
    let key = fs::read_to_string(agent.folder.path().join("store/encryption.key")).expect("a key");
    let given = json!({"db": agent.folder.path().join("store/config.db"), "key": key.trim()});
    let read = python::run(READ_DATABASE, &given);
    assert_eq!(read["config"]["services"]["openrouter"]["api_key"], "sk-or-v1-not-a-real-key-4444");
    assert_eq!(agent.metric("oxide_operator_key_mismatch"), 0);
}

#[test]
fn an_api_key_under_a_retired_key_is_found_and_mended_by_a_rotation() {
    let place = migrated();
    let conn = place.connect().expect("opens");
    let token: String = conn
        .query_row("SELECT api_key_encrypted FROM services WHERE id = 'openrouter'", [], |row| row.get(0))
        .expect("a token");
    place.expect(0, &["key", "rotate"]);
    // An orchestrator that was not restarted writes under the old key.
    conn.execute("UPDATE services SET api_key_encrypted = ?1 WHERE id = 'openrouter'", [token])
        .expect("edited");
    let found = place.expect(1, &["key", "check"]);
    assert!(found.stdout.contains("under a retired key"), "{found:#?}");
    let doctor = place.run(&["doctor"]);
    assert!(doctor.stdout.contains("fix:  oxide-operator key rotate"), "{doctor:#?}");
    place.expect(0, &["key", "rotate"]);
    place.expect(0, &["key", "check"]);
    assert_eq!(as_the_orchestrator(&place)["services"]["openrouter"]["api_key"], SECRET);
}

#[test]
fn a_key_that_is_not_lost_is_not_reset_and_one_that_is_keeps_the_database() {
    let place = migrated();
    let refused = place.expect(1, &["key", "reset", "--yes"]);
    assert!(refused.stderr.contains("the key is not lost"), "{refused:#?}");
    fs::remove_file(place.key_file()).expect("lost");
    let dump = place.dump();
    place.expect(7, &["key", "reset"]);
    assert_eq!(place.dump(), dump);
    place.expect(0, &["key", "reset", "--yes"]);
    assert!(!place.db().exists());
    place.expect(0, &["migrate", "--no-backup"]);
    assert_eq!(as_the_orchestrator(&place)["services"]["openrouter"]["api_key"], SECRET);
    assert!(
        place.files().iter().any(|file| file.to_string_lossy().contains("-retired.db")),
        "{:#?}",
        place.files()
    );
}

#[test]
fn a_generated_key_is_private_and_never_overwrites_another() {
    let place = migrated();
    let (one, two) = (place.expect(0, &["key", "generate"]), place.expect(0, &["key", "generate"]));
    assert_ne!(one.stdout, two.stdout);
    place.expect(0, &["key", "generate", "new.key"]);
    let mode = fs::metadata(place.root().join("new.key")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    place.expect(1, &["key", "generate", "new.key"]);
    let new = fs::read_to_string(place.root().join("new.key")).expect("a key");
    place.expect(0, &["key", "rotate", "--new-key-file", "new.key"]);
    assert_eq!(fs::read_to_string(place.key_file()).expect("a key").trim(), new.trim());
    fs::write(place.root().join("bad.key"), "short").expect("written");
    let (dump, bad) = (place.dump(), place.expect(1, &["key", "rotate", "--new-key-file", "bad.key"]));
    assert!(bad.stderr.contains("not a Fernet key"), "{bad:#?}");
    assert_eq!(place.dump(), dump);
}

/// A trigger, or another program, that writes a token back must not leave API keys that the new key does not open.
#[test]
fn a_token_that_does_not_read_back_ends_the_rotation() {
    let place = migrated();
    let conn = place.connect().expect("opens");
    conn.execute_batch(
        "CREATE TRIGGER undo AFTER UPDATE OF api_key_encrypted ON services
         BEGIN UPDATE services SET api_key_encrypted = old.api_key_encrypted WHERE id = old.id; END",
    )
    .expect("made");
    let (before, key) = (place.dump(), fs::read(place.key_file()).expect("a key"));
    let said = place.expect(1, &["key", "rotate"]);
    assert!(said.stderr.contains("openrouter"), "{said:#?}");
    assert_eq!(place.dump(), before);
    assert_eq!(fs::read(place.key_file()).expect("a key"), key);
    assert_eq!(retired(&place), Vec::<PathBuf>::new());
}

#[test]
fn a_token_of_another_machine_that_no_key_opens_is_named_and_keeps_the_key() {
    let place = migrated();
    let conn = place.connect().expect("opens");
    let stranger =
        fernet::Fernet::new(&fernet::Fernet::generate_key()).expect("a key").encrypt(b"sk-elsewhere");
    conn.execute(
        "INSERT INTO services (id, name, type, base_url, api_key_encrypted, created_at, updated_at, node_id)
         VALUES ('ollama@node-2', 'ollama', 'http', 'http://192.0.2.2:11434', ?1, 1, 1, 'node-2')",
        [stranger],
    )
    .expect("written");
    let (before, key) = (place.dump(), fs::read(place.key_file()).expect("a key"));
    let said = place.expect(1, &["key", "rotate"]);
    assert!(said.stderr.contains("ollama@node-2"), "{said:#?}");
    assert_eq!(place.dump(), before);
    assert_eq!(fs::read(place.key_file()).expect("a key"), key);
}

/// A COMMIT whose sync fails is one of which nobody knows: its frames stand in the log, and come back with a power cut.
#[test]
fn a_commit_that_failed_and_comes_back_finds_its_key() {
    let place = migrated();
    let (before, (_, tokens)) = (as_the_orchestrator(&place), rows(&place));
    // The orchestrator has it open, so that the log is not written back when the rotation ends; and has written, so that
    // the sync that fails is that of the frames, not that of a new log's head.
    let orchestrator = place.connect().expect("opens");
    orchestrator.execute("UPDATE services SET updated_at = updated_at + 1", []).expect("written");
    let log = place.root().join("strace.log");
    let mut command = place.program("strace");
    command.args(["-f", "-e", "trace=fsync,fdatasync", "-P"]).arg(place.oxide().join("config.db-wal"));
    command.args(["-e", "inject=fsync,fdatasync:error=EIO", "-o"]).arg(&log);
    let failed = said(command.args([process::BINARY, "key", "rotate"]));
    assert!(fs::read_to_string(&log).expect("a log").contains("(INJECTED)"), "{failed:#?}");
    assert_eq!(failed.code(), Some(1), "{failed:#?}");
    assert!(failed.stderr.contains("commit"), "{failed:#?}");
    assert_eq!(rows(&place).1, tokens, "as SQLite says, nothing was committed");
    assert!(
        !place.files().iter().all(|file| !file.starts_with(place.oxide().join("backups"))),
        "{failed:#?}"
    );

    let revived = Place::copy_of(&place);
    fs::remove_file(revived.oxide().join("config.db-shm")).expect("memory does not survive");
    assert_ne!(rows(&revived).1, tokens, "the log has the rotation");
    let check = revived.expect(0, &["key", "check"]);
    assert!(check.stdout.contains("Opens    1 of 1"), "{check:#?}");
    assert_eq!(as_the_orchestrator(&revived), before);

    // Where it does not come back, the old key stays the key.
    place.expect(0, &["key", "check"]);
    assert_eq!(as_the_orchestrator(&place), before);
    place.expect(0, &["key", "rotate"]);
    assert_eq!(as_the_orchestrator(&place), before);
}

/// What is put in a file's place.
type Damage = fn(&std::path::Path);

#[test]
fn what_is_no_key_in_the_place_of_a_rotations_new_key_stops_nothing_and_is_kept() {
    let damages: [(&str, Damage); 6] = [
        ("empty", |next| fs::write(next, "").expect("written")),
        ("zeros", |next| fs::write(next, [0; 44]).expect("written")),
        ("half a key", |next| fs::write(next, "cw_0x689RpI-jtRR7oE8h").expect("written")),
        ("a folder", |next| fs::create_dir(next).expect("made")),
        ("a pipe", |next| {
            let made = std::process::Command::new("mkfifo").arg(next).status().expect("runs");
            assert!(made.success());
        }),
        ("a link to nothing", |next| std::os::unix::fs::symlink("nothing", next).expect("linked")),
    ];
    for (name, damage) in damages {
        let place = migrated();
        let before = as_the_orchestrator(&place);
        let next = place.oxide().join("encryption.key.next");
        damage(&next);
        let doctor = place.run(&["doctor"]);
        assert!(doctor.stdout.contains("! rotation"), "{name}: {doctor:#?}");
        let check = place.expect(0, &["key", "check"]);
        assert!(check.stderr.contains(".damaged"), "{name}: {check:#?}");
        assert!(!next.exists() && !next.is_symlink(), "{name}");
        let kept = fs::read_dir(place.oxide()).expect("there").flatten();
        let kept = kept.filter(|entry| entry.file_name().to_string_lossy().ends_with(".damaged")).count();
        assert_eq!(kept, 1, "{name}: nothing is deleted");
        place.expect(0, &["key", "rotate"]);
        assert_eq!(as_the_orchestrator(&place), before, "{name}");
    }
}

#[test]
fn a_key_file_with_another_name_is_not_replaced_under_that_one() {
    let place = migrated();
    let (before, other) = (place.dump(), place.root().join("other.key"));
    fs::hard_link(place.key_file(), &other).expect("linked");
    let refused = place.expect(1, &["key", "rotate"]);
    assert!(refused.stderr.contains("hard link") && refused.stderr.contains("-samefile"), "{refused:#?}");
    assert_eq!(place.dump(), before);
    fs::remove_file(other).expect("removed");
    place.expect(0, &["key", "rotate"]);
}
