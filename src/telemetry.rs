//! The log, and what keeps secrets inside the process.

use std::io::{Stderr, Write};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tracing::field::Field;
use tracing_subscriber::Layer as _;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::model::{printable, printable_lines};

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// A line for people.
    Text,
    /// An object a line.
    Json,
}

/// Starts the log on stderr. `verbosity` 0 is information, 1 debugging, 2 everything. What the libraries below say is
/// heard only from 1 on, and never everything: whatever of it matters to a user is said again by us, with the thing it
/// concerns, and what libraries trace may be the bytes that pass.
pub fn start_log(form: LogForm, verbosity: u8, colour: bool) {
    let level = match verbosity {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let wanted = filter_fn(move |line| {
        let ours = line.target().starts_with(env!("CARGO_CRATE_NAME"));
        *line.level() <= level && (ours || (verbosity > 0 && *line.level() <= LevelFilter::DEBUG))
    });
    let wanted = wanted.with_max_level_hint(level);
    let layer = tracing_subscriber::fmt::layer()
        .with_target(false)
        // It would be reported on stderr, too: a reader of the log that has gone away must not stop the agent.
        .log_internal_errors(false);
    match form {
        LogForm::Text => {
            let layer = layer.with_writer(std::io::stderr).with_ansi(colour);
            let layer = layer.fmt_fields(debug_fn(printable_field).delimited(" "));
            tracing_subscriber::registry().with(layer.with_filter(wanted)).init();
        }
        LogForm::Json => {
            let layer = layer.json().flatten_event(true);
            let layer = layer.with_writer(|| PrintableStderr(std::io::stderr()));
            tracing_subscriber::registry().with(layer.with_filter(wanted)).init();
        }
    }
}

/// Makes sure that no core dump and no other process of this user sees the keys in our memory or environment.
pub fn harden() {
    // Both can only fail where they are forbidden already.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Writes each field of an event so that the event stays one line, and nothing of it is obeyed by a terminal.
fn printable_field(line: &mut Writer<'_>, field: &Field, value: &dyn std::fmt::Debug) -> std::fmt::Result {
    let value = format!("{value:?}");
    let value = printable(&value);
    match (field.name(), line.has_ansi_escapes()) {
        ("message", _) => write!(line, "{value}"),
        (name, true) => write!(line, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value}"),
        (name, false) => write!(line, "{name}={value}"),
    }
}

/// Stderr for events in JSON, whose texts may hold what a terminal obeys.
#[derive(Debug)]
struct PrintableStderr(Stderr);

impl Write for PrintableStderr {
    /// Takes a whole event: the log writes each at once.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(printable_lines(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
