//! The log, and what keeps secrets inside the process.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tracing_subscriber::filter::LevelFilter;

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// A line for people.
    Text,
    /// An object a line.
    Json,
}

/// Starts the log on stderr. `verbosity` 0 is information, 1 debugging, 2 everything.
pub fn start_log(form: LogForm, verbosity: u8, colour: bool) {
    let level = match verbosity {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        // It would be reported on stderr, too: a reader of the log that has gone away must not stop the agent.
        .log_internal_errors(false);
    match form {
        LogForm::Text => builder.with_ansi(colour).init(),
        LogForm::Json => builder.json().flatten_event(true).init(),
    }
}

/// Makes sure that no core dump and no other process of this user sees the keys in our memory or environment.
pub fn harden() {
    // Both can only fail where they are forbidden already.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
