//! Named points at which a test may kill the process, to prove that no moment is a bad one.

/// The named points, in the order in which one migration passes them.
pub const POINTS: &[&str] = &[
    "key_written",
    "store_created",
    "backup_copied",
    "backup_checked",
    "backup_renamed",
    "source_copied",
    "backup_synced",
    "transaction_begun",
    "schema_written",
    "step_written",
    "steps_written",
    "base_written",
    "history_written",
    "verified",
    "committed",
    "retention_done",
];

/// The named points of setting a corrupt database aside, in order.
pub const QUARANTINE_POINTS: &[&str] = &["backup_unpacked", "corrupt_kept", "log_moved", "corrupt_replaced"];

/// The named points of setting the database aside for YAML only, in order.
pub const RETIRE_POINTS: &[&str] = &["retire_locked", "retired"];

/// The named points of a rotation, in order.
pub const ROTATE_POINTS: &[&str] =
    &["next_key_written", "rotation_written", "rotation_committed", "key_replaced"];

/// Kills the process here when `OXIDE_OPERATOR_CRASH_AT` names this point, never goes on when `OXIDE_OPERATOR_HANG_AT`
/// does, and panics when `OXIDE_OPERATOR_PANIC_AT` does. Compiled into debug builds only.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    let known =
        [POINTS, QUARANTINE_POINTS, RETIRE_POINTS, ROTATE_POINTS].iter().any(|points| points.contains(&name));
    debug_assert!(known, "{name} is not in the list");
    if std::env::var("OXIDE_OPERATOR_CRASH_AT").is_ok_and(|wanted| wanted == name) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    assert!(std::env::var("OXIDE_OPERATOR_PANIC_AT").as_deref() != Ok(name), "a test asked for it at {name}");
    if std::env::var("OXIDE_OPERATOR_HANG_AT").is_ok_and(|wanted| wanted == name) {
        tracing::warn!(point = name, "hanging, as a test asked");
        loop {
            std::thread::park();
        }
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
pub(crate) fn point(_name: &str) {}
