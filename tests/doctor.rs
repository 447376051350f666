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
fn the_process_that_holds_the_lock_is_named_and_never_just_killed() {
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
    assert_eq!(found["mend"], serde_json::json!([format!("ps -o pid,user,lstart,args -p {}", holder.id())]));
    // Whoever writes is told the same.
    let locked = place.expect(1, &["set", "execution.timeout_seconds", "7"]);
    assert!(locked.stderr.contains(&format!("(process {}", holder.id())), "{locked:#?}");
    let in_use = place.expect(1, &["rollback", "--to-yaml"]);
    assert!(in_use.stderr.contains(&format!("(process {}", holder.id())), "{in_use:#?}");
    holder.kill().expect("killed");
    holder.wait().expect("ended");
    assert_eq!(troubles(&place), Vec::<Json>::new());
}

#[test]
fn a_lost_key_leads_to_the_guides_reset_that_keeps_the_database() {
    let place = used();
    fs::remove_file(place.key_file()).expect("removed");
    let found = trouble(&place, "key");
    assert!(found["what"].as_str().is_some_and(|what| what.contains("no encryption key")), "{found}");
    assert!(troubles(&place).iter().any(|it| it["check"] == "orchestrator"), "it falls back to the YAML");
    assert_eq!(found["mend"], serde_json::json!(["oxide-operator key reset"]), "it says what it would do");
    place.expect(7, &["key", "reset"]);
    place.expect(0, &["key", "reset", "--yes"]);
    place.expect(0, &["migrate", "--no-backup"]);
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
    let found = trouble(&place, "sides");
    assert!(found["what"].as_str().is_some_and(|what| what.ends_with("1 drift")));
    assert_eq!(found["mend"], serde_json::json!(["oxide-operator plan"]), "nothing is overwritten on advice");
    assert!(found["why"].as_str().is_some_and(|why| why.contains("promote") && why.contains("accept")));
}

#[test]
fn a_key_that_lies_there_is_found_before_anything_is_given_up() {
    const WRONG: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let place = used();
    let with_wrong_key =
        |arguments: &[&str]| process::said(place.command(arguments).env("OXIDE_ENCRYPTION_KEY", WRONG));
    let doctor = with_wrong_key(&["doctor"]);
    assert!(doctor.stdout.contains("encryption.key opens 1 of 1 stored API key"), "{doctor:#?}");
    assert!(doctor.stdout.contains("fix:  unset OXIDE_ENCRYPTION_KEY"), "{doctor:#?}");
    assert!(!doctor.stdout.contains("key reset"), "{doctor:#?}");
    let check = with_wrong_key(&["key", "check"]);
    assert!(check.stdout.contains("fix:  unset OXIDE_ENCRYPTION_KEY"), "{check:#?}");
    let reset = with_wrong_key(&["key", "reset", "--yes"]);
    assert_eq!(reset.code(), Some(1), "{reset:#?}");
    assert!(reset.stderr.contains("the key is not lost"), "{reset:#?}");
    assert!(place.db().exists());

    // A file that only looks lost: it has another name, and another key took its place.
    fs::rename(place.key_file(), place.oxide().join("encryption.key.old")).expect("moved");
    fs::write(place.key_file(), WRONG).expect("written");
    fs::set_permissions(place.key_file(), fs::Permissions::from_mode(0o600)).expect("set");
    mend(&place, "key");
    assert_eq!(troubles(&place), Vec::<Json>::new());
    assert!(place.oxide().join("encryption.key.wrong").exists(), "nothing is deleted");

    // The same for one that is named on the command line.
    fs::rename(place.key_file(), place.root().join("kept.key")).expect("moved");
    let named = place.run(&["key", "reset", "--yes", "--old-key-file", "kept.key"]);
    assert_eq!(named.code(), Some(1), "{named:#?}");
}

#[test]
fn another_owner_is_told_what_helps_and_never_to_take_it_away() {
    let place = migrated();
    for (path, mode) in [(place.root().to_owned(), 0o755), (place.oxide(), 0o755), (place.db(), 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }
    let mut other = place.program("setpriv");
    other.args(["--reuid", "65532", "--regid", "65532", "--clear-groups", process::BINARY]);
    let said = process::said(other.arg("doctor"));
    assert_eq!(said.code(), Some(1), "{said:#?}");
    for word in ["belongs to uid 0", "uid 65532", "chown", "fsGroup", "runAsUser"] {
        assert!(said.stdout.contains(word), "{word}: {said:#?}");
    }
    assert!(!said.stdout.contains("chmod"), "{said:#?}");
    // A home that belongs to root since somebody ran it with sudo.
    fs::set_permissions(place.oxide(), fs::Permissions::from_mode(0o700)).expect("set");
    for command in ["plan", "status", "doctor"] {
        let mut other = place.program("setpriv");
        other.args(["--reuid", "65532", "--regid", "65532", "--clear-groups", process::BINARY]);
        let said = process::said(other.arg(command));
        assert_eq!(said.code(), Some(1), "{said:#?}");
        let all = said.stdout.clone() + &said.stderr;
        assert!(all.contains("belongs to uid 0") && all.contains("sudo chown -R 65532"), "{said:#?}");
        assert!(!all.contains("free the disk"), "{said:#?}");
    }
}

#[test]
fn a_file_beside_the_database_that_cannot_be_written_is_found() {
    let place = migrated();
    for path in
        [place.root().to_owned(), place.oxide(), place.db(), place.key_file(), place.oxide().join("backups")]
    {
        if path.exists() {
            std::os::unix::fs::chown(path, Some(65532), Some(65532)).expect("root changes owners");
        }
    }
    let shm = place.oxide().join("config.db-shm");
    fs::write(&shm, "").expect("written");
    std::os::unix::fs::chown(&shm, Some(65532), Some(65532)).expect("root changes owners");
    fs::set_permissions(&shm, fs::Permissions::from_mode(0o444)).expect("set");
    let mut owner = place.program("setpriv");
    owner.args(["--reuid", "65532", "--regid", "65532", "--clear-groups", process::BINARY, "doctor"]);
    let said = process::said(&mut owner);
    assert!(said.stdout.contains(&format!("fix:  chmod u+rwX {}", shm.display())), "{said:#?}");
}

#[test]
fn a_damaged_token_is_no_wrong_key_and_one_backup_or_a_new_key_makes_it_good() {
    let place = used();
    place.expect(0, &["backup", "create"]);
    let damage = || {
        let sql = "UPDATE services SET api_key_encrypted = 'garbage' WHERE api_key_encrypted IS NOT NULL";
        place.connect().and_then(|conn| conn.execute(sql, [])).expect("written");
    };
    damage();
    let found = trouble(&place, "key");
    assert!(found["what"].as_str().is_some_and(|what| what.contains("damaged")), "{found}");
    assert!(!found.to_string().contains("key reset"), "{found}");
    fs::write(place.root().join("k"), "sk-new").expect("written");
    place.expect(0, &["set", "openrouter.api_key", "--file", "k"]);
    assert_eq!(place.values()["services.openrouter.api_key_encrypted"], "sk-new");
    damage();
    let backups = databases(&place.oxide().join("backups"));
    let oldest =
        backups.first().expect("a backup").file_stem().expect("a name").to_string_lossy().into_owned();
    place.expect(0, &["backup", "restore", &oldest, "--only", "openrouter.api_key"]);
}

#[test]
fn a_variable_that_holds_no_key_leads_to_the_key_file_that_opens_everything() {
    let place = used();
    let mut command = place.command(&["doctor"]);
    let said = process::said(command.env("OXIDE_ENCRYPTION_KEY", "your-key-here"));
    assert!(said.stdout.contains("fix:  unset OXIDE_ENCRYPTION_KEY"), "{said:#?}");
}

#[test]
fn what_is_in_the_way_of_the_backups_is_a_problem_as_it_is_for_a_write() {
    let place = used();
    let backups = place.oxide().join("backups");
    let _ = fs::remove_dir_all(&backups);
    fs::write(&backups, "in the way").expect("written");
    assert_ne!(place.run(&["set", "execution.timeout_seconds", "9"]).code(), Some(0));
    let found = troubles(&place);
    assert!(
        found.iter().any(|it| it["status"] == "problem" && it.to_string().contains("in the way")),
        "{found:#?}"
    );
}

#[test]
fn a_database_that_no_backup_can_be_taken_of_is_a_problem() {
    let place = used();
    let conn = place.connect().expect("opens");
    conn.execute_batch(
        "CREATE TABLE somebody_elses (x); INSERT INTO somebody_elses VALUES (NULL); PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE TABLE somebody_elses (x NOT NULL)' WHERE name = 'somebody_elses';",
    )
    .expect("written");
    drop(conn);
    let refused = place.expect(1, &["set", "execution.timeout_seconds", "7"]);
    assert!(refused.stderr.contains("cannot be trusted"), "{refused:#?}");
    let found = trouble(&place, "database");
    assert_eq!(found["status"], "problem", "{found}");
    assert!(found["what"].as_str().is_some_and(|what| what.contains("somebody_elses")), "{found}");
    // No damage of the file: an older state takes its place only when somebody asks for it.
    place.run(&["apply", "--on-drift", "revert"]);
    assert!(!place.oxide().join("quarantine").exists());
    let list = place.expect(0, &["backup", "list", "-o", "json"]).stdout;
    let list: Json = serde_json::from_str(&list).expect("a list");
    place.expect(0, &["backup", "restore", list[0]["name"].as_str().expect("a backup")]);
    assert!(place.oxide().join("quarantine").exists(), "it is kept");
    place.expect(0, &["set", "execution.timeout_seconds", "7"]);
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
