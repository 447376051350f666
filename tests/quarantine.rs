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

/// Zeroes everything of a database but its first page's header.
fn damage(place: &Place) {
    let mut bytes = fs::read(place.db()).expect("readable");
    bytes[100..].fill(0xa5);
    fs::write(place.db(), bytes).expect("damaged");
}

#[test]
fn without_a_backup_a_damaged_store_is_built_from_the_source() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate"]);
    let values = place.values();
    damage(&place);
    let said = place.expect(0, &["apply"]);
    assert!(said.stderr.contains("there is no good backup"), "{said:#?}");
    assert_eq!(place.values(), values);
    let quarantine = place.oxide().join("quarantine");
    let kept = |file: &PathBuf| file.starts_with(&quarantine) && file.ends_with("config.db");
    assert_eq!(place.files().iter().filter(|file| kept(file)).count(), 1);
}

#[test]
fn a_file_that_no_record_of_ours_names_is_never_moved_aside() {
    let files: [(&str, &[u8], &str); 6] = [
        ("one.db", b"x", "text"),
        ("tasks.db", b"SQLite format 3\0 and then nonsense", "a damaged SQLite database of another program"),
        ("photo.jpg", b"\xff\xd8\xff\xe0 and so on", "a JPEG picture"),
        ("notes.txt", b"dear diary\n", "text"),
        ("other.yaml", b"a:\n  b: 1\n", "YAML"),
        ("data.bin", b"\x00\x01\x02\xfe\xff", "the data of another program"),
    ];
    let place = Place::new(SAMPLE);
    for (name, bytes, looks_like) in files {
        let path = place.root().join(name);
        fs::write(&path, bytes).expect("written");
        for command in
            [&["apply"][..], &["plan"], &["migrate", "--no-backup"], &["status"], &["get", "services"]]
        {
            let said = place.run(&[command, &["--db", name]].concat());
            assert_eq!(said.code(), Some(1), "{name} {command:?}: {said:#?}");
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(text.contains(looks_like), "{name} {command:?}: {said:#?}");
            assert!(!text.contains("moves it aside"), "{name} {command:?}: {said:#?}");
        }
        assert_eq!(fs::read(&path).expect("there"), bytes, "{name} is as it was");
    }
    assert!(!place.root().join("quarantine").exists());
}

#[test]
fn what_cannot_be_the_database_is_refused_in_every_command() {
    let place = Place::new(SAMPLE);
    fs::create_dir(place.root().join("folder")).expect("made");
    let made = std::process::Command::new("mkfifo").arg(place.root().join("pipe")).status();
    assert!(made.expect("runs").success());
    let tasks = rusqlite::Connection::open(place.root().join("tasks.db")).expect("made");
    tasks.execute_batch("CREATE TABLE tasks (id); CREATE TABLE runs (id)").expect("made");
    std::os::unix::fs::symlink("config/default.yaml", place.root().join("link.db")).expect("linked");
    let views = rusqlite::Connection::open(place.root().join("views.db")).expect("made");
    views.execute_batch("CREATE VIEW tasks AS SELECT 1").expect("made");
    let services = rusqlite::Connection::open(place.root().join("services.db")).expect("made");
    services.execute_batch("CREATE TABLE services (id, port)").expect("made");
    for (db, looks_like) in [
        ("views.db", "with the tables"),
        ("services.db", "with the tables"),
        ("folder", "a folder"),
        ("pipe", "a named pipe"),
        ("tasks.db", "with the tables"),
        ("config/default.yaml", "the source itself"),
        ("link.db", "the source itself"),
    ] {
        for command in [
            &["apply"][..],
            &["plan"],
            &["migrate", "--no-backup"],
            &["set", "execution.timeout_seconds", "5"],
        ] {
            let said = place.run(&[command, &["--db", db]].concat());
            assert_eq!(said.code(), Some(1), "{db} {command:?}: {said:#?}");
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(
                text.contains(looks_like) && !text.contains("disk is full"),
                "{db} {command:?}: {said:#?}"
            );
        }
    }
    let tables: i64 = tasks
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .expect("still a database");
    assert_eq!(tables, 2);
    assert_eq!(fs::read_to_string(place.yaml()).expect("there"), SAMPLE);
}

#[test]
fn a_database_that_somebody_is_slowly_copying_over_it_is_waited_for() {
    use std::io::Write as _;
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    let conn = place.connect().expect("opens");
    conn.execute("UPDATE execution_settings SET timeout_seconds = 224", []).expect("written");
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
    drop(conn);
    let good = fs::read(place.db()).expect("there");
    place.expect(0, &["set", "execution.timeout_seconds", "5"]);
    for ending in ["config.db-wal", "config.db-shm"] {
        let _ = fs::remove_file(place.oxide().join(ending));
    }
    let mut copying = fs::OpenOptions::new().write(true).truncate(true).open(place.db()).expect("opens");
    copying.write_all(&good[..good.len() / 2]).expect("written");
    // Whoever copies pauses for longer than a moment.
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_mins(1);
    copying.set_modified(long_ago).expect("set");
    let said = place.run(&["apply"]);
    assert_ne!(said.code(), Some(0), "{said:#?}");
    assert!(!place.oxide().join("quarantine").exists(), "{said:#?}");
    copying.write_all(&good[good.len() / 2..]).expect("written");
    drop(copying);
    assert_eq!(place.run(&["get", "execution.timeout_seconds"]).stdout.trim(), "224");
}

#[test]
fn a_database_with_two_names_is_not_written_and_one_behind_a_dangling_link_is_made_where_it_leads() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    fs::hard_link(place.db(), place.root().join("second.db")).expect("linked");
    for db in [".oxide/config.db", "second.db"] {
        let said = place.expect(1, &["set", "execution.timeout_seconds", "7", "--db", db]);
        assert!(said.stderr.contains("hard link"), "{said:#?}");
        place.expect(0, &["get", "execution.timeout_seconds", "--db", db]);
    }
    fs::remove_file(place.root().join("second.db")).expect("removed");
    place.expect(0, &["set", "execution.timeout_seconds", "7"]);

    fs::create_dir_all(place.root().join("volume")).expect("made");
    std::os::unix::fs::symlink("volume/new.db", place.root().join("link.db")).expect("linked");
    place.expect(0, &["migrate", "--no-backup", "--db", "link.db"]);
    assert!(place.root().join("volume/new.db").is_file() && place.root().join("link.db").is_symlink());
}

#[test]
fn a_damaged_database_that_another_process_has_open_is_not_replaced_under_it() {
    let place = corrupt_while_open();
    let said = place.database.expect(1, &["apply"]);
    assert!(said.stderr.contains("another process has it open"), "{said:#?}");
    assert!(!place.database.oxide().join("quarantine").exists());
    drop(place.holder);
    place.database.expect(0, &["apply"]);
    assert_eq!(place.database.integrity(), "ok");
}

/// A damaged database, and the connection that somebody has to it.
struct Held {
    database: Place,
    holder: Holder,
}

/// A process that has a database open.
struct Holder(std::process::Child);

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn corrupt_while_open() -> Held {
    use std::io::{BufRead as _, Write as _};
    let place = Place::edited();
    place.expect(0, &["apply"]);
    let mut child = place
        .program("sqlite3")
        .arg(place.db())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let stdin = child.stdin.as_mut().expect("piped");
    stdin.write_all(b"SELECT count(*) FROM services;\n").expect("sent");
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("answered");
    damage(&place);
    Held { database: place, holder: Holder(child) }
}

#[test]
fn a_backup_that_does_not_open_is_passed_over() {
    let place = corrupt();
    let newest = place.oxide().join("backups/config-99991231T235959999Z.db");
    fs::write(newest, CORRUPT).expect("written");
    place.expect(0, &["apply"]);
    assert_eq!(place.values()["services.gemini.default_model"], "from the ui");
}

/// What is done to a database.
type Damage = fn(&Place);

/// What a check finds although every row can be read, each with what it does to a database.
const UNSOUND: [(&str, Damage); 3] = [
    ("the count of free pages", |place| patch(place, 36, &[0, 0, 0x40, 0])),
    ("the version of the file format", |place| patch(place, 18, &[7])),
    ("the pages of two tables swapped", |place| {
        let swap = "PRAGMA writable_schema=ON;
             UPDATE sqlite_schema SET rootpage = (SELECT sum(rootpage) FROM sqlite_schema
                 WHERE name IN ('operator_base', 'operator_revision')) - rootpage
             WHERE name IN ('operator_base', 'operator_revision');";
        place.connect().and_then(|conn| conn.execute_batch(swap)).expect("swapped");
    }),
];

fn patch(place: &Place, at: usize, with: &[u8]) {
    // The log would have a whole page in its stead.
    place
        .connect()
        .and_then(|conn| conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
        .expect("written back");
    let mut bytes = fs::read(place.db()).expect("readable");
    bytes[at..at + with.len()].copy_from_slice(with);
    fs::write(place.db(), bytes).expect("damaged");
}

/// A store with an applied edit, a good backup of it, and an edit of the source that waits.
fn unsound(damage: Damage) -> Place {
    let place = Place::edited();
    place.expect(0, &["apply"]);
    place.expect(0, &["backup", "create", "--reason", "good"]);
    place.write_yaml(
        &fs::read_to_string(place.yaml())
            .expect("there")
            .replace("timeout_seconds: 46", "timeout_seconds: 47"),
    );
    damage(&place);
    place
}

#[test]
fn damage_that_only_a_check_sees_is_found_by_doctor_and_every_way_out_that_it_names_works() {
    for (name, damage) in UNSOUND {
        let place = unsound(damage);
        let doctor = place.expect(1, &["doctor"]);
        let database = doctor.stdout.lines().find(|line| line.starts_with("✗ database")).unwrap_or_default();
        assert!(!database.is_empty(), "{name}: {doctor:#?}");
        assert!(doctor.stdout.contains("fix:  oxide-operator apply"), "{name}: {doctor:#?}");
        let set = place.run(&["set", "execution.max_parallel_workers", "9"]);
        assert_eq!(set.code(), Some(1), "{name}: {set:#?}");
        assert!(set.stderr.contains("`oxide-operator apply` moves it aside"), "{name}: {set:#?}");

        let applied = place.expect(0, &["apply"]);
        assert!(applied.stderr.contains("quarantine"), "{name}: {applied:#?}");
        assert_eq!(place.values()["routing_rules.code_generation.timeout_seconds"], "47", "{name}");
        assert_eq!(place.integrity(), "ok", "{name}");
        place.expect(0, &["backup", "check"]);

        let place = unsound(damage);
        let listed = place.expect(0, &["backup", "list", "-o", "json"]).stdout;
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("a list");
        let newest = listed[0]["name"].as_str().expect("one");
        let before = fs::read(place.db()).expect("there");
        place.expect(0, &["backup", "restore", newest, "--dry-run"]);
        assert_eq!(fs::read(place.db()).expect("there"), before, "{name}: a dry run");
        let restored = place.expect(0, &["backup", "restore", newest]);
        assert!(restored.stderr.contains("quarantine"), "{name}: {restored:#?}");
        assert_eq!(place.values()["routing_rules.code_generation.timeout_seconds"], "46", "{name}");
        place.expect(0, &["set", "execution.max_parallel_workers", "9"]);
        place.expect(2, &["apply"]);
        assert_eq!(place.values()["routing_rules.code_generation.timeout_seconds"], "47", "{name}");
    }
}

#[test]
fn what_somebody_drops_or_writes_over_among_our_own_tables_stops_nothing() {
    for damage in [
        "DROP TABLE operator_meta",
        "UPDATE operator_meta SET value = x'ff00'",
        "UPDATE operator_meta SET value = CAST(x'ff00' AS TEXT)",
        "DELETE FROM operator_meta",
        "UPDATE operator_base SET agreed = CAST(x'ff00' AS TEXT)",
        "INSERT INTO operator_decision VALUES ('pause', CAST(x'ff' AS TEXT), 'a', 'b', 1, NULL, CAST(x'ff' AS TEXT))",
    ] {
        let place = Place::edited();
        place.expect(0, &["apply"]);
        let before = own_rows(&place);
        place.connect().and_then(|conn| conn.execute_batch(damage)).expect("damaged");
        for arguments in
            [&["plan"][..], &["history"], &["status"], &["get", "services"], &["backup", "create"]]
        {
            place.expect(0, arguments);
        }
        assert_ne!(place.run(&["doctor"]).code(), Some(1), "{damage}");
        let yaml = fs::read_to_string(place.yaml()).expect("there");
        place.write_yaml(&yaml.replace("timeout_seconds: 46", "timeout_seconds: 47"));
        place.run(&["apply", "--on-conflict", "source"]);
        assert_eq!(place.values()["routing_rules.code_generation.timeout_seconds"], "47", "{damage}");
        place.expect(0, &["set", "routing_rules.code_generation.timeout_seconds", "46"]);
        assert_eq!(own_rows(&place), before, "{damage}");
        place.expect(0, &["backup", "check"]);
    }
}

/// The managed values.
fn own_rows(place: &Place) -> std::collections::BTreeMap<String, String> {
    place.values()
}

/// Gives everything to a user, as the orchestrator's container has it.
fn give(place: &Place, user: u32) {
    let everything = [place.folders(), place.files(), vec![place.root().to_owned()]].concat();
    for path in everything {
        std::os::unix::fs::chown(path, Some(user), Some(user)).expect("root may");
    }
}

/// Needs root, who repairs what another user goes on with.
#[test]
fn what_root_makes_belongs_to_whoever_owned_what_it_replaces() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::edited();
    give(&place, NOBODY);
    fs::set_permissions(place.db(), fs::Permissions::from_mode(0o660)).expect("set");
    let all_theirs = |what: &str| {
        for path in place.files().into_iter().chain(place.folders()) {
            let there = fs::symlink_metadata(&path).expect("there");
            assert_eq!((there.uid(), there.gid()), (NOBODY, NOBODY), "{what}: {}", path.display());
        }
    };
    let steps: [&[&str]; 8] = [
        &["apply"],
        &["backup", "create"],
        &["key", "rotate"],
        &["set", "services.openrouter.max_retries", "7"],
        &["export", "config/out.yaml"],
        &["rollback", "--to-yaml", "config/yaml.yaml"],
        &["rollback", "--undo"],
        &["backup", "list"],
    ];
    for step in steps {
        place.expect(0, step);
        all_theirs(&step.join(" "));
    }
    fs::set_permissions(place.db(), fs::Permissions::from_mode(0o660)).expect("set");
    damage(&place);
    place.expect(2, &["apply"]);
    all_theirs("a repair");
    assert_eq!(fs::metadata(place.db()).expect("there").mode() & 0o777, 0o660);
    // Where it was built may be out of their reach.
    let theirs = |place: &Place, words: &[&str]| {
        let program = place.root().join("program");
        fs::copy(env!("CARGO_BIN_EXE_oxide-operator"), &program).expect("copied");
        let mut command = place.program(program.to_str().expect("UTF-8"));
        process::said(command.args(words).uid(NOBODY).gid(NOBODY))
    };
    let said = theirs(&place, &["set", "execution.max_parallel_workers", "9"]);
    assert_eq!(said.code(), Some(0), "{said:#?}");
    let new = Place::new(SAMPLE);
    give(&new, NOBODY);
    new.expect(0, &["migrate"]);
    let said = theirs(&new, &["apply"]);
    assert_eq!(said.code(), Some(0), "{said:#?}");
}
