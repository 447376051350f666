//! Backups: what they say of themselves, whether damage is noticed, how many are kept, and what restoring needs.

#![expect(clippy::disallowed_methods, reason = "it damages files and runs processes")]

#[path = "support/process.rs"]
mod process;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oxide_operator::model::SourceSnapshot;
use oxide_operator::store::{
    Access, BackupOptions, KeyRing, KeySources, Retention, SourceCopy, Store, StoreError, Verdict, backups,
    check_backup, read_backup,
};
use process::{Place, SAMPLE, setting};

/// A store with a history and an unfinished log, and one backup of it.
fn backed_up() -> (Place, PathBuf) {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place.expect(0, &["set", "services.lmstudio.enabled", "false"]);
    fs::remove_dir_all(place.oxide().join("backups")).expect("removed");
    place.expect(0, &["backup", "create"]);
    let backup = backups(&place.db()).remove(0).path;
    (place, backup)
}

fn keys(place: &Place) -> KeyRing {
    KeyRing::find(&KeySources::default(), &place.oxide()).expect("keys")
}

/// Everything that a restore would take from a backup, as text.
fn content(backup: &Path, keys: &KeyRing) -> Option<String> {
    let snapshot = read_backup(backup, keys).ok()?;
    Some(format!("{:?}", snapshot.live) + &format!("{:?}", snapshot.carried))
}

#[test]
fn one_changed_byte_anywhere_is_noticed_or_harmless() {
    let (place, backup) = backed_up();
    let keys = keys(&place);
    let whole = fs::read(&backup).expect("readable");
    let original = content(&backup, &keys).expect("a good backup");
    let positions = usize::try_from(setting("OXIDE_FLIPS", 1_000)).expect("a number");
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("now").subsec_nanos() as usize;
    println!("seed {seed}");
    let damaged = place.root().join("damaged.db");
    let (mut noticed, mut harmless) = (0, 0);
    for number in 0..positions {
        // Half spread evenly, half anywhere; every position of the record among them.
        let spread = number * whole.len() / positions;
        let anywhere = (seed.wrapping_add(number)).wrapping_mul(2_654_435_761) % whole.len();
        let position = match number {
            number if number < 120 => whole.len() - 1 - number,
            number if number % 2 == 0 => spread,
            _ => anywhere,
        };
        let mut bytes = whole.clone();
        bytes[position] ^= 1 << (number % 8);
        fs::write(&damaged, &bytes).expect("written");
        if check_backup(&damaged, &keys).verdict.is_good() {
            harmless += 1;
            assert_eq!(content(&damaged, &keys).as_ref(), Some(&original), "byte {position}");
        } else {
            noticed += 1;
        }
    }
    println!("{noticed} noticed, {harmless} harmless");
    assert!(noticed > positions * 9 / 10, "only {noticed} of {positions} were noticed");
}

#[test]
fn what_is_not_a_backup_is_called_what_it_is() {
    let (place, backup) = backed_up();
    let keys = keys(&place);
    let whole = fs::read(&backup).expect("readable");
    let verdict = |bytes: &[u8]| {
        let file = place.root().join("file.db");
        fs::write(&file, bytes).expect("written");
        check_backup(&file, &keys).verdict
    };
    assert_eq!(verdict(&whole), Verdict::Good);
    for (bytes, what) in [
        (&b""[..], "empty"),
        (b"this is not a database at all, whatever its name says", "text"),
        (&whole[..whole.len() / 2], "half"),
        (&whole[..4096], "one page"),
    ] {
        assert!(matches!(verdict(bytes), Verdict::Damaged(_)), "{what}");
    }
    // Without its record a copy is still worth what SQLite and the keys say of it.
    let pages = whole.len() / 4096 * 4096;
    assert_eq!(verdict(&whole[..pages]), Verdict::Good);
    assert_eq!(check_backup(&place.root().join("missing.db"), &keys).record, None);
    let empty = place.root().join("empty.db");
    rusqlite::Connection::open(&empty)
        .and_then(|conn| conn.execute_batch(include_str!("support/orchestrator.sql")))
        .expect("made");
    assert_eq!(check_backup(&empty, &keys).verdict, Verdict::Empty);
}

#[test]
fn any_sqlite_opens_a_backup_and_a_copy_made_through_sqlite_has_no_record() {
    let (place, backup) = backed_up();
    let opened = process::said(place.program("sqlite3").arg(&backup).arg("PRAGMA integrity_check"));
    assert_eq!(opened.stdout.trim(), "ok", "{opened:#?}");
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", place.db().display()));
    }
    let name = backup.to_str().expect("text");
    place.expect(0, &["backup", "restore", name]);
    let bytes = fs::read(place.db()).expect("readable");
    assert_eq!(bytes.len() % 4096, 0);
    assert!(!String::from_utf8_lossy(&bytes[bytes.len() - 200..]).contains("oxide-operator-backup"));
    place.expect(0, &["set", "services.lmstudio.enabled", "true"]);
    assert_eq!(place.integrity(), "ok");
}

#[test]
fn a_backup_and_what_lies_beside_it_are_for_its_owner_only() {
    let (place, _) = backed_up();
    let folder = place.oxide().join("backups");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<PathBuf> =
        fs::read_dir(folder).expect("readable").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(files.len(), 2, "the database and the source: {files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600));
    let planted = "not-a-real-key-0000";
    assert!(
        files.iter().all(|file| !String::from_utf8_lossy(&fs::read(file).expect("read")).contains(planted))
    );
}

/// The names of the backups in a folder, oldest first.
fn backups_in(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path());
    let databases = files.filter(|file| file.extension().is_some_and(|ending| ending == "db"));
    let mut names: Vec<String> =
        databases.map(|file| file.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn keeping(retention: Retention) -> BackupOptions {
    BackupOptions { folder: None, retention }
}

#[test]
fn backups_lie_in_a_folder_of_the_users_choice_and_are_found_there_by_every_command() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    let beside = backups(&place.db()).len();
    let folder = place.root().join("kept elsewhere");
    fs::write(place.oxide().join("operator.yaml"), format!("backups: {{folder: '{}'}}\n", folder.display()))
        .expect("written");
    place.expect(0, &["set", "execution.timeout_seconds", "200"]);
    place.expect(0, &["backup", "create"]);
    assert_eq!(backups(&place.db()).len(), beside, "nothing more beside the database");
    let listed = place.expect(0, &["backup", "list", "-o", "json"]).stdout;
    assert!(listed.contains("kept elsewhere"), "{listed}");
    place.expect(0, &["backup", "check"]);

    // A database that is gone is looked for there, too.
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(place.db().with_file_name(format!("config.db{ending}")));
    }
    let newest = backups_in(&folder).pop().expect("a backup");
    assert!(place.expect(7, &["apply"]).stderr.contains(&newest));
    place.expect(0, &["backup", "restore", &newest]);
    place.expect(2, &["plan"]);
    let variable = [("OXIDE_OPERATOR_BACKUP_FOLDER", place.root().join("third"))];
    let taken = place.command(&["backup", "create"]).envs(variable).output().expect("runs");
    assert!(String::from_utf8_lossy(&taken.stdout).contains("third"), "the environment goes before the file");
}

#[test]
fn backups_go_by_number_age_and_size_but_never_the_newest_or_the_last_good_one() {
    let (place, _) = backed_up();
    for number in 0..5 {
        place.expect(0, &["set", "execution.timeout_seconds", &(number + 200).to_string()]);
    }
    let mut store = Store::at(&place.db(), Access::Write, &KeySources::default()).expect("a store");
    let mut retain = |retention: Retention, now: SystemTime| {
        store.set_backups(&keeping(retention));
        store.retain_backups(now);
    };
    let all = backups(&place.db());
    assert_eq!(all.len(), 6);
    let now = SystemTime::now();
    let many = Retention { hourly: 0, daily: 0, weekly: 0, count: 99, bytes: u64::MAX, ..Retention::BACKUPS };
    retain(many, now);
    assert_eq!(backups(&place.db()).len(), 6);

    retain(Retention { count: 5, ..many }, now);
    assert_eq!(backups(&place.db()).len(), 5, "by number");
    let four = all[..4].iter().map(|backup| backup.bytes).sum();
    retain(Retention { bytes: four, ..many }, now);
    let left: u64 = backups(&place.db()).iter().map(|backup| backup.bytes).sum();
    assert!(left <= four && backups(&place.db()).len() >= 3, "by size");

    // The two newest are damaged: when all are too old, the newest stays, the newest good one, and what was asked for.
    for backup in &all[..2] {
        let mut bytes = fs::read(&backup.path).expect("read");
        bytes[5_000] ^= 1;
        fs::write(&backup.path, bytes).expect("written");
    }
    retain(Retention { count: 1, ..many }, now + Duration::from_hours(2));
    let kept: Vec<PathBuf> = backups(&place.db()).into_iter().map(|backup| backup.path).collect();
    assert_eq!(kept, [all[0].path.clone(), all[2].path.clone(), all[5].path.clone()]);
    let files = fs::read_dir(place.oxide().join("backups")).expect("readable").filter(|file| {
        file.as_ref()
            .expect("readable")
            .path()
            .extension()
            .is_some_and(|ending| ending == "yaml" || ending == "fernet")
    });
    assert!(files.count() <= 3, "the copies of the source went with their backups");
}

#[test]
fn a_backup_that_somebody_asked_for_outlives_everything_and_is_not_taken_twice() {
    let (place, _) = backed_up();
    place.expect(0, &["backup", "create", "--reason", "before the upgrade"]);
    place.expect(0, &["backup", "create"]);
    let asked = backups(&place.db()).remove(0);
    for number in 0..5 {
        place.expect(0, &["set", "execution.timeout_seconds", &(number + 200).to_string()]);
    }
    let mut store = Store::at(&place.db(), Access::Write, &KeySources::default()).expect("a store");
    store.set_backups(&keeping(Retention { count: 1, ..Retention::BACKUPS }));
    store.retain_backups(SystemTime::now() + Duration::from_hours(10_000));
    let left: Vec<PathBuf> = backups(&place.db()).into_iter().map(|backup| backup.path).collect();
    assert_eq!(left.len(), 2, "the newest, and what was asked for once: {left:?}");
    assert!(left.contains(&asked.path), "{left:?}");

    // Nor do those of somebody who asks without end fill the disk.
    store.set_backups(&keeping(Retention { bytes: asked.bytes, ..Retention::BACKUPS }));
    let nothing = SourceSnapshot { origin: "none".into(), documents: Vec::new() };
    let copy = SourceCopy { snapshot: &nothing, may_hold_secrets: false };
    let rows = store.fingerprint().expect("readable");
    let refused = store.back_up_on_request(rows, copy, "test", SystemTime::now());
    assert!(matches!(refused, Err(StoreError::BackupsFull { .. })), "{refused:?}");
}

#[test]
fn a_backup_of_the_time_before_there_was_a_configuration_is_no_failed_one() {
    let place = Place::new(SAMPLE);
    fs::create_dir_all(place.oxide()).expect("created");
    rusqlite::Connection::open(place.db())
        .and_then(|conn| conn.execute_batch(include_str!("support/orchestrator.sql")))
        .expect("as the orchestrator makes it");
    place.expect(0, &["migrate", "--no-backup"]);
    assert!(place.expect(0, &["backup", "check"]).stdout.contains("holds no configuration yet"));
    let said = process::said(place.program(env!("CARGO_BIN_EXE_oxide-operator")).arg("doctor"));
    assert!(!said.stdout.contains("cannot be restored"), "{said:#?}");
}

#[test]
fn a_backup_under_a_retired_key_is_restored_only_when_that_key_is_at_hand() {
    let (place, backup) = backed_up();
    let old = place.root().join("old.key");
    fs::rename(place.key_file(), &old).expect("renamed");
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", place.db().display()));
    }
    place.expect(0, &["migrate", "--no-backup"]); // a new key, and a new database under it
    place.expect(0, &["set", "services.openrouter.api_key", "null"]);
    let before = place.dump();
    let name = backup.to_str().expect("text");
    let refused = place.expect(1, &["backup", "restore", name]);
    assert!(refused.stderr.contains("--old-key-file"), "{refused:#?}");
    assert_eq!(place.dump(), before);
    place.expect(0, &["backup", "restore", name, "--old-key-file", old.to_str().expect("text")]);
    // Decrypted with the new key file alone, as the orchestrator does.
    assert_eq!(place.values()["services.openrouter.api_key_encrypted"], "sk-or-v1-not-a-real-key-0000");
}

#[test]
fn restoring_a_backup_undoes_whatever_came_after_it_and_spares_what_is_not_ours() {
    let (place, backup) = backed_up();
    let before = place.values();
    let conn = place.connect().expect("opens");
    conn.execute_batch(
        "UPDATE services SET base_url = 'http://edited' WHERE id = 'lmstudio';
         DELETE FROM routing_rules WHERE task_type = 'debugging';
         INSERT INTO services (id, type, node_id, created_at, updated_at) VALUES ('remote', 'http', 'n', 1, 1);
         CREATE TABLE somebody_elses (x); INSERT INTO somebody_elses VALUES (42);",
    )
    .expect("written");
    place.expect(0, &["backup", "restore", backup.to_str().expect("text")]);
    assert_eq!(place.values(), before);
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("counted");
    assert_eq!(count("SELECT count(*) FROM services WHERE id = 'remote'"), 1);
    assert_eq!(count("SELECT x FROM somebody_elses"), 42);
}

/// A database with an edit that only it and its backups hold, and the name of a backup that has the edit.
fn with_an_edit() -> (Place, String) {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place.expect(0, &["set", "services.lmstudio.default_model", "'only here'"]);
    place.expect(0, &["backup", "create"]);
    let backup = backups(&place.db()).remove(0).name();
    (place, backup)
}

fn remove(place: &Place) {
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", place.db().display()));
    }
}

/// Puts something where a database was.
type Put = fn(&Place);

/// What may lie where a database was.
const IN_PLACE: [(&str, Put); 4] = [
    ("is gone", |_| {}),
    ("is empty", |place| fs::write(place.db(), "").expect("emptied")),
    // An orchestrator that finds no database makes an empty one.
    ("is empty", |place| {
        let conn = rusqlite::Connection::open(place.db()).expect("made");
        conn.execute_batch(include_str!("support/orchestrator.sql")).expect("made");
    }),
    ("is another database", |place| {
        let conn = rusqlite::Connection::open(place.db()).expect("made");
        conn.execute_batch(include_str!("support/orchestrator.sql")).expect("made");
        conn.execute(
            "INSERT INTO services (id, type, executable, created_at, updated_at) VALUES ('x', 'cli', 'x', 1, 1)",
            [],
        )
        .expect("filled");
    }),
];

#[test]
fn a_log_that_outlived_its_database_is_not_played_into_what_is_put_back() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place.expect(0, &["backup", "create"]);
    let (backup, before) = (backups(&place.db()).remove(0).name(), place.values());
    let log = place.db().with_file_name("config.db-wal");
    let conn = place.connect().expect("opens");
    conn.pragma_update(None, "wal_autocheckpoint", 0).expect("set");
    conn.execute("UPDATE execution_settings SET timeout_seconds = 333", []).expect("written");
    let kept = fs::read(&log).expect("there");
    drop(conn);
    remove(&place);
    fs::write(&log, kept).expect("written");
    place.expect(0, &["backup", "restore", &backup]);
    assert_eq!(place.values(), before);
}

#[test]
fn a_copy_of_a_database_beside_it_takes_no_backup_of_it() {
    let place = Place::new(SAMPLE);
    let (prod, staging) = (place.oxide().join("prod.db"), place.oxide().join("staging.db"));
    let at = |db: &Path, args: &[&str]| {
        let db = db.display().to_string();
        place.expect(0, &[args, &["--db", &db]].concat())
    };
    at(&prod, &["migrate", "--no-backup"]);
    at(&prod, &["set", "execution.timeout_seconds", "201"]);
    let conn = rusqlite::Connection::open(&prod).expect("opens");
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
    drop(conn);
    fs::copy(&prod, &staging).expect("copied");
    let of_prod = at(&prod, &["backup", "list"]).stdout;
    fs::write(place.oxide().join("operator.yaml"), "backups: {count: 1, allFor: 0s}\n").expect("written");
    for timeout in 301..304 {
        at(&staging, &["set", "execution.timeout_seconds", &timeout.to_string(), "--reason", "staging"]);
    }
    assert_eq!(at(&prod, &["backup", "list"]).stdout, of_prod);
}

#[test]
fn backups_that_cannot_be_read_are_not_none() {
    let (place, _) = with_an_edit();
    remove(&place);
    let script = "chown -R 12345 . && chmod 000 .oxide/backups && setpriv --reuid 12345 --clear-groups $0 ";
    for command in ["apply", "plan", "backup list"] {
        let said = process::said(place.program("bash").args([
            "-c",
            &format!("{script} {command}"),
            process::BINARY,
        ]));
        assert_eq!(said.code(), Some(1), "{command}: {said:#?}");
        assert!(format!("{}{}", said.stdout, said.stderr).contains("backups"), "{command}: {said:#?}");
        assert!(!place.db().exists(), "{command}");
    }
}

#[test]
fn a_database_that_is_gone_is_not_an_empty_one() {
    for (what, put) in IN_PLACE {
        let (place, backup) = with_an_edit();
        remove(&place);
        put(&place);
        let before = place.db().exists().then(|| fs::read(place.db()).expect("readable"));
        for command in [
            &["plan"][..],
            &["apply"],
            &["set", "execution.timeout_seconds", "5"],
            &["accept", "execution", "--reason", "x"],
            &["pause", "--reason", "x"],
        ] {
            let said = place.run(command);
            assert_eq!(said.code(), Some(7), "{what} {command:?}: {said:#?}");
            assert!(said.stderr.contains("StoreMissing") && said.stderr.contains(what), "{what}: {said:#?}");
            assert!(said.stderr.contains(&backup) && said.stderr.contains("--fresh"), "{what}: {said:#?}");
        }
        // What only looks says so, too, where there is nothing to look at.
        if !what.contains("another") {
            for command in [
                &["export", "-"][..],
                &["get", "services"],
                &["history"],
                &["restore", "1"],
                &["undo"],
                &["accept", "--list"],
            ] {
                let said = place.run(command);
                assert_eq!(said.code(), Some(7), "{what} {command:?}: {said:#?}");
            }
        }
        let after = place.db().exists().then(|| fs::read(place.db()).expect("readable"));
        assert_eq!(before, after, "{what}: nothing was written");
        place.expect(0, &["backup", "restore", &backup]);
        assert_eq!(place.values()["services.lmstudio.default_model"], "'only here'", "{what}");
        let goes_on = place.run(&["apply"]);
        assert_eq!(goes_on.code(), Some(0), "{what}: everything goes on: {goes_on:#?}");
    }
}

#[test]
fn a_new_database_is_begun_only_when_somebody_says_so_and_the_backups_stay() {
    let (place, backup) = with_an_edit();
    remove(&place);
    place.expect(0, &["apply", "--fresh"]);
    assert_ne!(place.values()["services.lmstudio.default_model"], "'only here'");
    assert!(backups(&place.db()).iter().any(|it| it.name() == backup), "the old backups stay, as its own");
    assert!(place.expect(0, &["backup", "list"]).stdout.contains(&backup));
    place.expect(0, &["backup", "restore", &backup, "--only", "services.lmstudio"]);
    assert_eq!(place.values()["services.lmstudio.default_model"], "'only here'");
}

#[test]
fn migrate_begins_again_as_the_guide_says_and_names_the_backup() {
    let (place, backup) = with_an_edit();
    remove(&place);
    let said = place.expect(0, &["migrate", "--no-backup"]);
    assert!(said.stderr.contains(&format!("backup restore {backup}")), "{said:#?}");
    let said = place.expect(0, &["migrate", "--no-backup"]);
    assert!(!said.stderr.contains("backup restore"), "{said:#?}");
}

#[test]
fn where_there_never_was_a_database_one_is_made() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["apply"]);
    // Neither is one missing that the orchestrator filled and somebody backed up before we wrote anything.
    let place = Place::new(SAMPLE);
    fs::create_dir_all(place.oxide()).expect("made");
    (IN_PLACE[3].1)(&place);
    place.expect(0, &["backup", "create"]);
    let said = place.run(&["apply"]);
    assert!(!said.stderr.contains("StoreMissing"), "{said:#?}");
}

#[test]
fn backups_belong_to_a_database_and_not_to_a_folder() {
    let place = Place::new(SAMPLE);
    let of = |db: &'static str, rest: &[&'static str]| place.run(&[rest, &["--db", db]].concat());
    for db in ["s/prod.db", "s/staging.db"] {
        assert_eq!(of(db, &["migrate", "--no-backup"]).code(), Some(0));
    }
    assert_eq!(of("s/staging.db", &["set", "execution.timeout_seconds", "31"]).code(), Some(0));
    assert_eq!(
        of("s/prod.db", &["set", "execution.timeout_seconds", "41", "--reason", "prod edit"]).code(),
        Some(0)
    );
    let list = |db| of(db, &["backup", "list", "-o", "json"]).stdout;
    assert!(list("s/prod.db").contains("prod edit") && !list("s/staging.db").contains("prod edit"));
    let names: Vec<String> = serde_json::from_str::<Vec<serde_json::Value>>(&list("s/prod.db"))
        .expect("JSON")
        .iter()
        .map(|it| it["name"].as_str().expect("a name").to_owned())
        .collect();
    let typo = of("s/typo.db", &["backup", "list"]);
    assert_eq!(typo.code(), Some(1), "{typo:#?}");
    let refused = place.run(&["backup", "restore", &names[0], "--db", "s/staging.db"]);
    assert_eq!(refused.code(), Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("backup of prod.db"), "{refused:#?}");
    let forced =
        ["backup", "restore", &names[0], "--db", "s/staging.db", "--from-another-database", "--dry-run"];
    assert_eq!(place.run(&forced).code(), Some(0));
    // A damaged database comes back from its own.
    fs::write(place.root().join("s/staging.db"), "damaged").expect("written");
    assert_eq!(of("s/staging.db", &["apply"]).code(), Some(0));
    let value = of("s/staging.db", &["get", "execution.timeout_seconds"]).stdout;
    assert!(!value.contains("41"), "{value}");
}
