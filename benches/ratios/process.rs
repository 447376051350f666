//! Whole processes, timed, with their peak memory as the kernel accounts for it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One finished run.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) wall: Duration,
    pub(crate) peak_kib: u64,
    pub(crate) exit: i32,
}

/// Runs a command under GNU time, its output thrown away.
pub(crate) fn timed(command: &mut Command) -> Run {
    let report = std::env::temp_dir().join(format!("ratios-{}", std::process::id()));
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["-q", "-f", "%M", "-o"]).arg(&report).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    timed.stdout(Stdio::null()).stderr(Stdio::null());
    let clock = Instant::now();
    let status = timed.status().expect("GNU time is installed");
    let wall = clock.elapsed();
    let peak = std::fs::read_to_string(&report).unwrap_or_default();
    let _ = std::fs::remove_file(&report);
    Run { wall, peak_kib: peak.trim().parse().unwrap_or_default(), exit: status.code().unwrap_or(-1) }
}

/// The `sqlite3` shell reading SQL: the floor of everything that writes rows.
pub(crate) fn sqlite_floor(sql: &Path, db: &Path) -> Run {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", db.display()));
    }
    let script = format!("exec sqlite3 '{}' < '{}'", db.display(), sql.display());
    timed(Command::new("sh").args(["-c", &script]))
}

/// Counts a command's fsync and fdatasync calls; `None` without strace.
pub(crate) fn syncs(command: &mut Command) -> Option<usize> {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-e", "trace=fsync,fdatasync"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    let output = traced.output().ok()?;
    let calls = String::from_utf8_lossy(&output.stderr);
    Some(calls.lines().filter(|line| line.contains("sync(")).count())
}

/// Returns minimum, median and maximum.
pub(crate) fn spread(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}
