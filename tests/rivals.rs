//! Both sides write the same values at the same time, and the operator is slowed down between its steps: whatever
//! the orchestrator was told is committed stays, unless somebody chose otherwise.
//!
//! Needs strace, which delays the operator's every lock.

#![expect(clippy::disallowed_methods, reason = "it runs processes side by side")]

#[path = "rivals/agents.rs"]
mod agents;
#[path = "support/process.rs"]
mod process;

use std::process::{Child, Stdio};
use std::time::Duration;

use process::{BINARY, Place, SAMPLE};
use rusqlite::Connection;

/// How long each lock of the operator is delayed, in microseconds; there are about twenty in a pass.
const DELAY: u32 = 8_000;

const ROUNDS: u32 = 12;

/// Starts a command that hesitates before each of its locks.
fn start_slowly(place: &Place, arguments: &[&str]) -> Child {
    let mut command = place.program("strace");
    command.args(["-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fcntl", "-e"]);
    command.arg(format!("inject=fcntl:delay_enter={DELAY}")).arg(BINARY).args(arguments);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace is missing: `make tools` installs it")
}

/// Runs `write` as a rival of the command, a little later in each round; returns how often it was acknowledged.
fn rivals(
    place: impl Fn() -> Place,
    arguments: &[&str],
    write: impl Fn(&Place) -> bool,
    kept: impl Fn(&Place),
) -> u32 {
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let place = place();
        let mut command = start_slowly(&place, arguments);
        // The command has begun when its database is there; from then on, another of its steps in each round.
        while !place.db().exists() && command.try_wait().expect("a child").is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(u64::from(round * DELAY)));
        if write(&place) {
            acknowledged += 1;
            command.wait().expect("ended");
            kept(&place);
        }
        let _ = command.wait();
        assert_eq!(place.integrity(), "ok");
    }
    acknowledged
}

fn workers(conn: &Connection) -> i64 {
    let sql = "SELECT max_parallel_workers FROM execution_settings";
    conn.query_row(sql, [], |row| row.get(0)).expect("a row")
}

#[test]
fn a_database_that_is_filled_while_we_create_it_is_met_not_overwritten() {
    let fill = |place: &Place| {
        let conn = place.connect().expect("opens");
        let empty = |conn: &Connection| {
            conn.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0)).unwrap_or(false)
        };
        if conn.execute_batch("BEGIN IMMEDIATE").is_err() || !empty(&conn) {
            return false;
        }
        conn.execute_batch(include_str!("support/orchestrator.sql")).expect("created");
        conn.execute_batch("UPDATE execution_settings SET max_parallel_workers = 77; COMMIT").is_ok()
    };
    let kept = |place: &Place| assert_eq!(workers(&place.connect().expect("opens")), 77, "the edit is lost");
    let acknowledged = rivals(|| Place::new(SAMPLE), &["migrate"], fill, kept);
    assert!(acknowledged > 2, "the rival wrote {acknowledged} times only");
}

#[test]
fn a_field_that_both_sides_edit_at_once_keeps_what_the_orchestrator_was_told() {
    let template = Place::edited();
    template.write_yaml(&SAMPLE.replace("max_parallel_workers: 4", "max_parallel_workers: 8"));
    let edit = |place: &Place| {
        let conn = place.connect().expect("opens");
        conn.execute("UPDATE execution_settings SET max_parallel_workers = 77", []) == Ok(1)
    };
    let kept = |place: &Place| assert_eq!(workers(&place.connect().expect("opens")), 77, "the edit is lost");
    let acknowledged = rivals(|| Place::copy_of(&template), &["apply"], edit, kept);
    assert_eq!(acknowledged, ROUNDS);
}
