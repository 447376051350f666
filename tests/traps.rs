//! The nine traps of sharing a live WAL database, each with a test that falls into it when the guard is removed.
//! The ones that need a running agent are in `run.rs`.

#![expect(clippy::disallowed_methods, reason = "tests touch the world")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use oxide_operator::guide::migrate_config;
use oxide_operator::model::SourceSnapshot;
use oxide_operator::store::{Access, KeySources, SourceCopy, Store, StoreError};
use rusqlite::Connection;
use serde_json::json;

/// A migrated store in a folder of its own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn migrated() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        std::fs::write(folder.yaml(), include_str!("../config/default.yaml")).expect("written");
        assert!(migrate_config(&folder.yaml(), &folder.db()).expect("migrated").is_success());
        folder
    }

    fn yaml(&self) -> PathBuf {
        self.0.path().join("default.yaml")
    }

    fn db(&self) -> PathBuf {
        self.0.path().join("config.db")
    }

    fn store(&self) -> Store {
        Store::at(&self.db(), Access::Write, &KeySources::default()).expect("a store")
    }

    /// A connection as the orchestrator has it.
    fn orchestrator(&self) -> Connection {
        let conn = Connection::open(self.db()).expect("opens");
        conn.execute_batch("PRAGMA journal_mode=WAL; PRAGMA foreign_keys=OFF").expect("configured");
        conn
    }
}

fn nothing() -> SourceSnapshot {
    SourceSnapshot { origin: "test".into(), documents: Vec::new() }
}

/// Whether another process can take the write lock right now.
fn another_process_can_write(db: &Path) -> bool {
    let statement = "PRAGMA busy_timeout=0; BEGIN IMMEDIATE; ROLLBACK;";
    let output = Command::new("sqlite3").arg(db).arg(statement).output().expect("sqlite3 is installed");
    output.status.success()
}

#[test]
fn nothing_we_do_beside_the_write_lock_drops_it() {
    let folder = Folder::migrated();
    let mut store = folder.store();
    let rows = store.read().expect("reads").fingerprint;
    store.begin().expect("locks");
    assert!(!another_process_can_write(&folder.db()), "the lock is held");
    let copy = SourceCopy { snapshot: &nothing(), may_hold_secrets: false };
    store
        .back_up(rows, copy, "test", SystemTime::now())
        .expect("backed up")
        .expect("there is something to back up");
    store.checkpoint_when_large(0);
    assert!(oxide_operator::store::backups(&folder.db()).len() == 1);
    assert!(!another_process_can_write(&folder.db()), "a plain file call dropped the lock");
    store.rollback();
    assert!(another_process_can_write(&folder.db()));
}

/// Closing any handle on a database drops the locks of this process on it: the last program that closes would then take
/// itself for the only one, and delete the log under our connection.
#[test]
fn no_second_look_at_a_database_that_is_open_drops_the_locks_of_the_first() {
    let folder = Folder::migrated();
    let mut first = folder.store();
    first.read().expect("opens");
    let is_alone = || {
        let statement = "PRAGMA busy_timeout=0; PRAGMA journal_mode=DELETE;";
        let output = Command::new("sqlite3").arg(folder.db()).arg(statement).output().expect("runs");
        String::from_utf8_lossy(&output.stdout).contains("delete")
    };
    assert!(!is_alone(), "the first holds it");
    for access in [Access::Read, Access::Write] {
        let mut second = Store::at(&folder.db(), access, &KeySources::default()).expect("a store");
        assert!(!is_alone(), "after it was looked at");
        second.read().expect("reads");
        let _ = (second.backups(), second.identity(), oxide_operator::store::agent_of(&folder.db()));
        drop(second);
        first.ensure_present().expect("there");
    }
    first.read().expect("still whole");
}

#[test]
fn a_database_that_was_replaced_is_noticed_before_anything_is_written() {
    for replace in ["rename", "unlink"] {
        let folder = Folder::migrated();
        let mut store = folder.store();
        store.read().expect("reads");
        if replace == "rename" {
            let other = folder.0.path().join("other.db");
            folder.orchestrator().execute("VACUUM INTO ?1", [other.to_str()]).expect("copied");
            std::fs::rename(other, folder.db()).expect("renamed over");
        } else {
            std::fs::remove_file(folder.db()).expect("removed");
        }
        assert!(store.has_moved());
        assert!(matches!(store.begin(), Err(StoreError::Moved { .. })), "{replace}");
        store.close();
        store.begin().expect("the file that is there now can be locked");
        store.rollback();
    }
}

#[test]
fn a_backup_finishes_and_is_whole_while_the_other_side_commits_without_pause() {
    let folder = Folder::migrated();
    let filler = folder.orchestrator();
    filler.execute_batch("CREATE TABLE filler (text TEXT)").expect("created");
    filler.execute_batch("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO filler SELECT hex(randomblob(2000)) FROM n").expect("filled");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let beats = folder.orchestrator();
            while !stop.load(Ordering::Relaxed) {
                beats.execute("INSERT INTO filler VALUES ('beat')", []).expect("commits");
            }
        });
        let mut store = folder.store();
        for _ in 0..5 {
            let rows = store.read().expect("reads").fingerprint;
            let copy = SourceCopy { snapshot: &nothing(), may_hold_secrets: false };
            let backup =
                store.back_up(rows, copy, "test", SystemTime::now()).expect("finishes").expect("made");
            assert!(backup.bytes > 4_000_000, "an empty or partial copy: {} bytes", backup.bytes);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_backup_of_other_rows_than_planned_is_refused() {
    let folder = Folder::migrated();
    let mut store = folder.store();
    let rows = store.read().expect("reads").fingerprint;
    folder.orchestrator().execute("UPDATE services SET enabled = 0 WHERE id = 'qwen'", []).expect("commits");
    let copy = SourceCopy { snapshot: &nothing(), may_hold_secrets: false };
    assert!(matches!(store.back_up(rows, copy, "test", SystemTime::now()), Err(StoreError::Stale)));
    assert!(oxide_operator::store::backups(&folder.db()).is_empty(), "nothing half-made is listed");
}

#[test]
fn a_backup_serves_until_somebody_commits_or_touches_it() {
    type Spoil = fn(&Folder, &Path);
    let spoil: [(&str, Spoil); 4] = [
        ("a heartbeat that is none of ours", |folder, _| {
            let beat = "INSERT INTO discovered_nodes (node_id, hostname, ip_address, port, services, first_seen, last_seen)
                VALUES ('n', 'h', '127.0.0.1', 1, '[]', 1, 1)";
            folder.orchestrator().execute(beat, []).expect("commits");
        }),
        ("an edit", |folder, _| {
            let edit = "UPDATE services SET enabled = 0 WHERE id = 'qwen'";
            folder.orchestrator().execute(edit, []).expect("commits");
        }),
        ("a byte of it changed", |_, backup| {
            let mut bytes = std::fs::read(backup).expect("readable");
            bytes[100] ^= 1;
            std::fs::write(backup, bytes).expect("written");
        }),
        ("it is gone", |_, backup| std::fs::remove_file(backup).expect("removed")),
    ];
    for (what, spoil) in spoil {
        let folder = Folder::migrated();
        let mut store = folder.store();
        let rows = store.read().expect("reads").fingerprint;
        assert!(store.saved(rows).is_none(), "nothing was taken yet");
        let copy = SourceCopy { snapshot: &nothing(), may_hold_secrets: false };
        let taken = store.back_up(rows, copy, "test", SystemTime::now()).expect("backed up").expect("made");
        let saved = store.saved(rows).expect("nothing happened since");
        assert_eq!(saved.path, taken.path);
        spoil(&folder, &taken.path);
        assert!(store.saved(rows).is_none(), "{what}");
    }
}

#[test]
fn a_write_takes_the_backup_that_is_there_and_the_next_one_another() {
    let folder = Folder::migrated();
    let mut store = folder.store();
    let rows = store.read().expect("reads").fingerprint;
    let copy = SourceCopy { snapshot: &nothing(), may_hold_secrets: false };
    let taken = store.back_up(rows, copy, "test", SystemTime::now()).expect("backed up").expect("made");
    let backups = || oxide_operator::store::backups(&folder.db());
    store.update_execution_settings(&json!({"max_retries": 9})).expect("written");
    assert_eq!(backups().len(), 1);
    let newest = "SELECT backup FROM operator_revision ORDER BY id DESC LIMIT 1";
    let recorded: String = folder.orchestrator().query_row(newest, [], |row| row.get(0)).expect("a revision");
    assert_eq!(Path::new(&recorded), taken.path);
    store.update_execution_settings(&json!({"max_retries": 8})).expect("written");
    assert_eq!(backups().len(), 2);
}

#[test]
fn our_own_commits_do_not_look_foreign_to_us() {
    let folder = Folder::migrated();
    let mut store = folder.store();
    let before = store.data_version().expect("reads");
    store.update_execution_settings(&json!({"max_retries": 9})).expect("written");
    assert_eq!(store.data_version().expect("reads"), before);
    folder
        .orchestrator()
        .execute("UPDATE services SET max_retries = 1 WHERE id = 'qwen'", [])
        .expect("commits");
    assert_ne!(store.data_version().expect("reads"), before);
}

#[test]
fn a_rule_that_somebody_left_dangling_does_not_block_our_writes() {
    let folder = Folder::migrated();
    folder
        .orchestrator()
        .execute("DELETE FROM services WHERE id = 'lmstudio'", [])
        .expect("the orchestrator may");
    let mut store = folder.store();
    store.update_service("qwen", &json!({"max_retries": 2})).expect("an unrelated write");
}

#[test]
fn a_database_without_the_table_of_nodes_takes_new_services() {
    let folder = Folder::migrated();
    folder.orchestrator().execute_batch("DROP TABLE discovered_nodes").expect("dropped");
    let mut store = folder.store();
    store.add_service("new", &json!({"type": "cli", "executable": "x"})).expect("added");
}

#[test]
fn what_we_create_is_private_and_stays_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::migrated();
    let mut store = folder.store();
    store.update_execution_settings(&json!({"max_retries": 9})).expect("written");
    for entry in std::fs::read_dir(folder.0.path()).expect("readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mode = entry.metadata().expect("there").permissions().mode() & 0o777;
        let wanted = if name == "backups" { 0o700 } else { 0o600 };
        assert!(name == "default.yaml" || mode == wanted, "{name} is {mode:o}");
    }
}

#[test]
fn a_mount_of_the_single_file_is_read_with_a_warning_and_never_written() {
    let folder = Folder::migrated();
    let edit = "UPDATE execution_settings SET timeout_seconds = 7; PRAGMA wal_checkpoint(TRUNCATE)";
    folder.orchestrator().execute_batch(edit).expect("edited");
    let inside = folder.0.path().join("inside");
    std::fs::create_dir(&inside).expect("created");
    let mounted = inside.join("config.db");
    std::fs::write(&mounted, "").expect("a place to mount on");
    let run = |arguments: &str| {
        let script = format!(
            "mount --bind {db} {at} && exec {program} {arguments} --db {at} --source file:{yaml} --key-file {key}",
            db = folder.db().display(),
            at = mounted.display(),
            program = env!("CARGO_BIN_EXE_oxide-operator"),
            yaml = folder.yaml().display(),
            key = folder.0.path().join("encryption.key").display(),
        );
        let unshared = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output();
        unshared.expect("unshare runs")
    };
    for reading in ["plan", "config", "status", "export -", "get services", "verify", "history"] {
        let output = run(reading);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("warning: ") && said.contains("-wal beside the original"), "{reading}: {said}");
        assert!(!said.contains("error: "), "{reading}: {said}");
    }
    let loaded = run("config");
    assert!(String::from_utf8_lossy(&loaded.stderr).contains("from the database"));
    assert!(String::from_utf8_lossy(&loaded.stdout).contains("timeout_seconds: 7"));
    let beside: Vec<_> = std::fs::read_dir(&inside).expect("readable").flatten().collect();
    assert_eq!(beside.len(), 1, "reading left nothing beside the mount: {beside:?}");
    for writing in ["apply", "set execution.timeout_seconds 9", "run --listen off"] {
        let output = run(writing);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("is a mount of a single file"), "{writing}: {said}");
        assert!(said.contains("mount its folder"), "{writing}: {said}");
        assert_eq!(output.status.code(), Some(1), "{writing}");
    }
}
