//! A database that somebody else changed is read, planned on and written to, or it is said why not.
//!
//! An input is SQL that is run on the migrated sample, and lines `--flip OFFSET BYTE` (both hexadecimal), which then
//! change bytes of the file. With `--apply` in it, a pass may write; otherwise it only plans.

use std::fs;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use oxide_operator::export::{ExportOptions, ExportedSecrets, to_yaml};
use oxide_operator::model::{OnConflict, OnDrift, Policy, Prune};
use oxide_operator::plan::Colour;
use oxide_operator::store::Access;
use oxide_operator::sync::{Mode, Pass};
use rusqlite::Connection;

use super::world::{World, at_work};

/// What reaches other files, or fills the memory before anything of ours runs.
const LEFT_OUT: [&str; 8] =
    ["attach", "vacuum", "blob(", "printf", "format(", "pragma", "repeat", "group_concat"];
/// How long the SQL of an input may take.
const SQL_WITHIN: Duration = Duration::from_millis(200);
/// How long reading and planning may take, of this thread's time; without optimisation.
const READ_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn target(data: &[u8]) {
    static WORLD: OnceLock<(World, Vec<u8>)> = OnceLock::new();
    let (world, original) = WORLD.get_or_init(original);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lower = text.to_ascii_lowercase();
    if LEFT_OUT.iter().any(|word| lower.contains(word)) {
        return;
    }
    for name in ["config.db-wal", "config.db-shm", "config.db-journal"] {
        let _ = fs::remove_file(world.file(name));
    }
    fs::write(world.file("config.db"), original).expect("it is written");
    run_sql(world, text);
    flip(world, text);
    let before = at_work();
    look(world, lower.contains("--apply"));
    let took = at_work().saturating_sub(before);
    assert!(took < READ_WITHIN, "reading took {took:?}");
}

fn original() -> (World, Vec<u8>) {
    let world = World::migrated();
    let conn = Connection::open(world.file("config.db")).expect("it opens");
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("the log is written back");
    drop(conn);
    let bytes = fs::read(world.file("config.db")).expect("readable");
    (world, bytes)
}

fn run_sql(world: &World, text: &str) {
    let conn = Connection::open(world.file("config.db")).expect("it opens");
    let interrupt = conn.get_interrupt_handle();
    let (done, is_done) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if is_done.recv_timeout(SQL_WITHIN) == Err(mpsc::RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        });
        let _ =
            conn.execute_batch("PRAGMA foreign_keys=OFF; PRAGMA writable_schema=ON; PRAGMA synchronous=OFF");
        let _ = conn.execute_batch(text);
        drop(done);
    });
}

fn flip(world: &World, text: &str) {
    let flips: Vec<(usize, u8)> = text
        .lines()
        .filter_map(|line| {
            let (at, byte) = line.strip_prefix("--flip ")?.split_once(' ')?;
            Some((usize::from_str_radix(at, 16).ok()?, u8::from_str_radix(byte, 16).ok()?))
        })
        .collect();
    if flips.is_empty() {
        return;
    }
    let mut bytes = fs::read(world.file("config.db")).expect("readable");
    for (at, byte) in flips {
        if let Some(there) = bytes.get_mut(at) {
            *there = byte;
        }
    }
    fs::write(world.file("config.db"), bytes).expect("it is written");
}

fn look(world: &World, apply: bool) {
    let mut store = world.store(Access::Read);
    if let Ok(snapshot) = store.read() {
        let options = ExportOptions { minimal: false, secrets: ExportedSecrets::Tokens };
        let _ = to_yaml(&snapshot.live, &snapshot.carried, &options);
    }
    let _ = store.revisions();
    if let Ok(Some(number)) = store.newest_revision() {
        let _ = store.recorded_state(number);
    }
    let _ = (store.good_source(), store.check_soundness());
    drop(store);
    let source_wins = Policy {
        on_drift: OnDrift::Revert,
        on_conflict: OnConflict::Source,
        prune: Prune::Owned,
        ..Policy::default()
    };
    let mode = if apply { Mode::Apply } else { Mode::Plan };
    let pass = Pass { mode, ..Pass::apply(&source_wins, "fuzz", "fuzz") };
    let report = world.pass(&pass);
    if let Some(plan) = &report.plan {
        let text = plan.to_text(Colour::Off);
        assert!(!text.contains(|char: char| char.is_control() && char != '\n'), "{text:?}");
    }
}
