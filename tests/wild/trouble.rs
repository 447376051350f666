//! Databases that cannot be used as they are: locked, broken, read-only. What is there is never lost.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc;

use oxide_operator::model::{Policy, Section};
use oxide_operator::report::Outcome;
use oxide_operator::sync::Mode;

use crate::support::{KEY, World};
use crate::{said, text};

#[test]
fn a_database_that_stays_locked_is_reported_and_not_written() {
    let world = World::migrated();
    world.edit_source(|source| source.replace("max_retries: 5", "max_retries: 6"));
    let before = world.rows();
    let holder = world.as_the_orchestrator();
    let (locked, until_locked) = mpsc::channel();
    let (done, until_done) = mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        holder.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        locked.send(()).expect("somebody waits");
        let _ = until_done.recv();
        holder.execute_batch("ROLLBACK").expect("the lock is given back");
    });
    until_locked.recv().expect("it is locked");

    let planned = world.pass(Mode::Plan, &Policy::default());
    assert_eq!(planned.outcome, Outcome::Differences, "reading goes on: {}", planned.summary);
    let report = world.apply(&Policy::default());
    drop(done);
    other.join().expect("no panic");

    assert_eq!(report.outcome, Outcome::Failed);
    let failure = report.failure.expect("it says why");
    assert_eq!((failure.reason, failure.transient), ("locked", true), "{}", failure.message);
    assert!(failure.hint.is_some_and(|hint| hint.contains("lsof")));
    assert!(report.duration_seconds > 2.5, "it waited {} s", report.duration_seconds);
    assert_eq!(world.rows(), before);
    assert_eq!(world.files("backups").len(), 0, "backups of writes that did not happen do not pile up");
    assert_eq!(world.apply(&Policy::default()).outcome, Outcome::Applied, "once the lock is gone");
}

#[test]
fn a_corrupt_database_is_moved_aside_and_the_newest_good_backup_restored() {
    let world = World::migrated();
    world.edit_source(|source| source.replace("max_retries: 5", "max_retries: 6"));
    assert_eq!(world.apply(&Policy::default()).outcome, Outcome::Applied, "which makes a backup");
    let garbage = break_it(&world);
    let planned = world.pass(Mode::Plan, &Policy::default());
    assert_eq!(planned.failure.map(|failure| failure.reason), Some("corrupt"));
    assert_eq!(fs::read(world.database_path()).expect("still there"), garbage, "a plan moves nothing");

    let report = world.apply(&Policy::default());
    let said = report.quarantined.clone().expect("it says so");
    assert!(said.contains("was restored"), "{said}");
    assert!(matches!(report.outcome, Outcome::Applied | Outcome::InSync), "{}", text(&report));
    assert_eq!(kept_garbage(&world), garbage);
    assert!(world.plan(&Policy::default()).is_noop());
    assert_eq!(
        world
            .snapshot()
            .live
            .value(Section::Execution, "", "max_retries")
            .map(|value| value.shown().to_string()),
        Some("6".into())
    );
}

#[test]
fn a_corrupt_database_without_a_good_backup_is_built_anew_from_the_source() {
    let world = World::migrated();
    let garbage = break_it(&world);
    fs::create_dir_all(world.path().join("backups")).expect("a folder");
    fs::write(world.path().join("backups/config-20990101T000000000Z.db"), "not a backup")
        .expect("a bad backup");
    let report = world.apply(&Policy::default());
    assert!(report.quarantined.clone().expect("it says so").contains("built again"));
    assert_eq!(report.outcome, Outcome::Applied, "{}", text(&report));
    assert_eq!(kept_garbage(&world), garbage);
    assert_eq!(world.snapshot().live.count(Section::Services), 6);
}

#[test]
fn a_read_only_database_is_reported_and_left_as_it_is() {
    for (case, folder_mode, file_mode) in
        [("folder", 0o555, 0o644), ("both", 0o555, 0o444), ("file", 0o777, 0o444)]
    {
        let world = World::migrated();
        world.edit_source(|source| source.replace("max_retries: 5", "max_retries: 6"));
        let before = world.rows();
        let program = world.path().join("oxide-operator");
        fs::copy(env!("CARGO_BIN_EXE_oxide-operator"), &program).expect("a copy that anyone may run");
        set_mode(&program, 0o755);
        set_mode(&world.source_path(), 0o644);
        set_mode(&world.database_path(), file_mode);
        set_mode(world.path(), folder_mode);

        let applied = as_somebody_else(&world, &program, "apply");
        assert_eq!(applied.status.code(), Some(1), "{case}: {}", said(&applied));
        let why = said(&applied);
        assert!(why.contains("config.db") && why.contains("help:"), "{case}: {why}");
        let planned = as_somebody_else(&world, &program, "plan");
        assert!(matches!(planned.status.code(), Some(1 | 2)), "{case}: {}", said(&planned));

        set_mode(world.path(), 0o755);
        set_mode(&world.database_path(), 0o644);
        assert_eq!(world.rows(), before, "{case}");
        assert_eq!(world.files("backups").len(), 0, "{case}: {:?}", world.files("backups"));
    }
}

/// Overwrites the header, as a torn write or a wrong program does. Returns what is in the file then.
fn break_it(world: &World) -> Vec<u8> {
    let path = world.database_path();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(world.path().join(format!("config.db{suffix}")));
    }
    let mut bytes = fs::read(&path).expect("nobody has it open");
    bytes[..64].fill(b'#');
    fs::write(&path, &bytes).expect("it is written");
    bytes
}

fn kept_garbage(world: &World) -> Vec<u8> {
    let kept = world.files("quarantine");
    assert_eq!(kept.len(), 1, "{kept:?}");
    fs::read(kept[0].join("config.db")).expect("kept")
}

/// Runs the program as a user to whom the permissions apply.
fn as_somebody_else(world: &World, program: &Path, command: &str) -> Output {
    let root = fs::metadata("/proc/self").map(|own| own.uid()).expect("Linux") == 0;
    let mut run = if root {
        let mut run = Command::new("setpriv");
        run.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        run
    } else {
        Command::new(program)
    };
    run.arg(command).env_clear().env("PATH", "/usr/bin:/bin").env("OXIDE_ENCRYPTION_KEY", KEY);
    run.env("OXIDE_OPERATOR_SOURCE", world.source_path()).env("OXIDE_OPERATOR_DB", world.database_path());
    run.output().expect("root needs setpriv (util-linux) for this test")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
}
