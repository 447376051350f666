//! `doctor`: each trouble is made for real, found, and mended by the very command that it names.

#![expect(clippy::disallowed_methods, reason = "it breaks files and runs processes")]

#[path = "support/process.rs"]
mod process;
#[path = "support/session.rs"]
mod session;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use process::{Place, SAMPLE};
use serde_json::Value as Json;

fn migrated() -> Place {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place
}

/// A store with a history and backups.
fn used() -> Place {
    let place = migrated();
    for number in [201, 202, 203] {
        place.expect(0, &["set", "execution.timeout_seconds", &number.to_string()]);
    }
    place.expect(0, &["set", "execution.timeout_seconds", "120"]);
    place
}

fn diagnosis(place: &Place) -> Vec<Json> {
    let said = place.run(&["doctor", "-o", "json"]);
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:#?}"))
}

/// Whatever is not fine.
fn troubles(place: &Place) -> Vec<Json> {
    diagnosis(place).into_iter().filter(|check| check["status"] != "fine").collect()
}

fn trouble(place: &Place, check: &str) -> Json {
    let found = troubles(place);
    found.iter().find(|it| it["check"] == check).cloned().unwrap_or_else(|| panic!("{check} in {found:#?}"))
}

/// Runs what `doctor` names for a trouble; then there is none of that kind.
fn mend(place: &Place, check: &str) {
    let found = trouble(place, check);
    let commands = found["mend"].as_array().unwrap_or_else(|| panic!("no command in {found:#?}"));
    for command in commands {
        let command = command.as_str().expect("text");
        let (output, code) = session::in_shell(place, command);
        assert!(matches!(code, Some(0 | 2)), "{command} ended with {code:?}: {output}");
    }
    let left = troubles(place);
    assert!(left.iter().all(|it| it["check"] != check), "{commands:?} did not mend it: {left:#?}");
}

#[test]
fn a_healthy_store_is_in_order_and_doctor_changes_nothing() {
    let place = used();
    let before = place.dump();
    let said = place.expect(0, &["doctor"]);
    assert!(said.stdout.starts_with("Everything is in order.\n"), "{said:#?}");
    assert_eq!(place.dump(), before);
}

#[test]
fn the_process_that_holds_the_lock_is_named_and_ending_it_mends_it() {
    let place = used();
    let script = "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                  c.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\ntime.sleep(600)";
    let mut holder = place
        .program("python3")
        .args(["-c", script, place.db().to_str().expect("text")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut line = String::new();
    let out = holder.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("held");
    let found = trouble(&place, "lock");
    let what = found["what"].as_str().expect("text");
    assert!(what.contains(&format!("process {}", holder.id())) && what.contains("python3"), "{found}");
    // The holder must be waited for by its parent to be gone.
    let waiting = std::thread::spawn(move || holder.wait());
    mend(&place, "lock");
    waiting.join().expect("no panic").expect("ended");
}

#[test]
fn a_lost_key_leads_to_the_guides_reset_that_keeps_the_database() {
    let place = used();
    fs::remove_file(place.key_file()).expect("removed");
    let found = trouble(&place, "key");
    assert!(found["what"].as_str().is_some_and(|what| what.contains("no encryption key")), "{found}");
    assert!(troubles(&place).iter().any(|it| it["check"] == "orchestrator"), "it falls back to the YAML");
    mend(&place, "key");
    let kept = place.files().into_iter().any(|file| file.to_string_lossy().ends_with("-retired.db"));
    assert!(kept, "the old database is kept");
    assert!(place.key_file().exists());
}

#[test]
fn a_wrong_key_is_told_from_a_lost_one_and_one_that_is_none() {
    let place = used();
    fs::rename(place.key_file(), place.root().join("right.key")).expect("moved");
    fs::write(place.key_file(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").expect("written");
    fs::set_permissions(place.key_file(), fs::Permissions::from_mode(0o600)).expect("set");
    let found = trouble(&place, "key");
    assert!(found["what"].as_str().is_some_and(|what| what.contains("1 of 1 stored API keys")), "{found}");
    fs::write(place.key_file(), "short").expect("written");
    assert!(trouble(&place, "key")["what"].as_str().is_some_and(|what| what.contains("not a Fernet key")));
    fs::rename(place.root().join("right.key"), place.key_file()).expect("back");
    assert_eq!(troubles(&place), Vec::<Json>::new());
}

#[test]
fn open_files_and_folders_are_closed() {
    let place = used();
    for (path, mode) in
        [(place.key_file(), 0o644), (place.db(), 0o666), (place.oxide().join("backups"), 0o755)]
    {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        let found = trouble(&place, "permissions");
        assert!(found["what"].as_str().is_some_and(|what| what.contains(path.to_str().expect("text"))));
        mend(&place, "permissions");
    }
}

#[test]
fn a_missing_a_corrupt_and_an_empty_database_are_made_good() {
    let place = Place::new(SAMPLE);
    mend(&place, "database");
    assert_eq!(troubles(&place), Vec::<Json>::new());

    let place = used();
    let before = place.values();
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", place.db().display()));
    }
    fs::write(place.db(), "this is no database").expect("written");
    mend(&place, "database");
    assert_eq!(place.values().len(), before.len());

    let place = Place::new(SAMPLE);
    fs::create_dir(place.oxide()).expect("created");
    fs::write(place.db(), "").expect("written");
    fs::set_permissions(place.db(), fs::Permissions::from_mode(0o600)).expect("set");
    assert!(
        trouble(&place, "orchestrator")["what"].as_str().is_some_and(|what| what.contains("no services"))
    );
    mend(&place, "sides");
    assert_eq!(troubles(&place), Vec::<Json>::new());
}

#[test]
fn differences_after_a_migration_are_counted_and_written_or_undone() {
    let place = used();
    place.write_yaml(&SAMPLE.replace("timeout_seconds: 45", "timeout_seconds: 46"));
    assert!(trouble(&place, "sides")["what"].as_str().is_some_and(|what| what.ends_with("1 pending")));
    mend(&place, "sides");
    place.expect(0, &["set", "services.lmstudio.enabled", "false"]);
    assert!(trouble(&place, "sides")["what"].as_str().is_some_and(|what| what.ends_with("1 drift")));
    mend(&place, "sides");
}

#[test]
fn a_half_written_and_a_missing_yaml_are_problems_of_the_source() {
    let place = used();
    let cut = SAMPLE.find("api_type").expect("in the sample") + 6;
    place.write_yaml(&SAMPLE[..cut]);
    let half = trouble(&place, "source");
    assert_eq!(half["status"], "problem", "{half}");
    fs::remove_file(place.yaml()).expect("removed");
    assert!(trouble(&place, "source")["what"].as_str().is_some_and(|what| what.contains("does not exist")));
    place.write_yaml(SAMPLE);
    assert_eq!(troubles(&place), Vec::<Json>::new());
}

#[test]
fn missing_stale_and_damaged_backups_are_replaced() {
    let place = used();
    let folder = place.oxide().join("backups");
    let kept = place.root().join("kept");
    fs::rename(&folder, &kept).expect("moved");
    mend(&place, "backup");
    fs::remove_dir_all(&folder).expect("removed");
    fs::rename(&kept, &folder).expect("back");
    for path in databases(&folder).into_iter().skip(1) {
        fs::remove_file(path).expect("removed");
    }
    assert!(trouble(&place, "backup")["what"].as_str().is_some_and(|what| what.contains("holds revision 1")));
    mend(&place, "backup");
    let newest = databases(&folder).pop().expect("a backup");
    let mut bytes = fs::read(&newest).expect("read");
    bytes[9_000] ^= 1;
    fs::write(&newest, bytes).expect("written");
    mend(&place, "backup");
}

fn databases(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(folder).expect("readable").map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "db"));
    found.sort();
    found
}

#[test]
fn times_in_the_future_and_leftovers_of_killed_processes_are_noticed() {
    let place = used();
    let conn = place.connect().expect("opens");
    let ahead = "UPDATE services SET updated_at = unixepoch('now') + 3600 WHERE id = 'gemini'";
    conn.execute(ahead, []).expect("written");
    drop(conn);
    assert!(trouble(&place, "clock")["what"].as_str().is_some_and(|what| what.contains("60 minutes")));
    fs::write(place.oxide().join(".tmp-oxide-operator-config.db-999999"), "half").expect("written");
    mend(&place, "leftovers");
}

#[test]
fn file_events_that_cannot_be_had_name_the_limit_to_raise() {
    let place = used();
    let limited = "echo 0 > /proc/sys/user/max_inotify_instances && exec oxide-operator doctor -o json";
    let (output, _) = session::in_shell(&place, &format!("unshare --user --map-root-user sh -c '{limited}'"));
    assert!(output.contains("fs.inotify.max_user_instances"), "{output}");
}

#[test]
fn a_database_that_is_a_mount_of_its_own_is_refused_with_the_reason() {
    let place = used();
    let db = place.db().display().to_string();
    let script = format!("mount --bind {db} {db} && exec oxide-operator doctor");
    let (output, code) =
        session::in_shell(&place, &format!("unshare --user --map-root-user --mount sh -c '{script}'"));
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("is a mount of a single file"), "{output}");
}
