//! Results to stdout, everything else to stderr. The only place that prints.

use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::{ColourChoice, OutputFormat};
use crate::model::{printable, printable_lines};
use crate::plan::Colour;

/// Sets up colour for the whole process.
pub(super) fn set_colour(choice: ColourChoice) {
    match choice {
        ColourChoice::Auto => anstream::ColorChoice::Auto,
        ColourChoice::Always => anstream::ColorChoice::Always,
        ColourChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Whether stdout shows colour.
pub(super) fn colour() -> Colour {
    match anstream::AutoStream::choice(&std::io::stdout()) {
        anstream::ColorChoice::Never => Colour::Off,
        _ => Colour::On,
    }
}

/// Why stdout could not be written, once it could not.
static LOST: OnceLock<std::io::Error> = OnceLock::new();

/// Prints a result for people, without what their terminal would obey. One that cannot be written is lost: see [`lost`].
pub(super) fn result(text: impl AsRef<str>) {
    write_result(&printable_lines(text.as_ref()));
}

/// Prints lines that carry our colours, and nothing else that a terminal would obey.
pub(super) fn coloured(text: &str) {
    let parts: Vec<_> = text.split('\u{1b}').map(printable_lines).collect();
    write_result(&parts.join("\u{1b}"));
}

/// Prints what a program reads exactly as it is; a terminal gets it as [`result`] has it.
pub(super) fn data(text: &str) {
    if std::io::stdout().is_terminal() {
        return result(text);
    }
    write_result(text);
}

fn write_result(text: &str) {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(end.as_bytes()))
        .and_then(|()| out.flush());
    note_loss(written);
}

/// Remembers that something could not be printed. A reader that has gone away has seen enough.
pub(super) fn note_loss(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error);
    }
}

/// Why results are lost: the disk that stdout leads to is full, for instance.
pub(super) fn lost() -> Option<&'static std::io::Error> {
    LOST.get()
}

/// Prints a value for programs, with whatever a terminal would obey as an escape that means the same.
pub(super) fn value(value: &impl Serialize, format: OutputFormat) {
    let yaml = (format == OutputFormat::Yaml).then(|| crate::export::value_to_yaml(value));
    match yaml {
        Some(yaml) if printable_lines(&yaml) == yaml => result(yaml),
        // Such a character may stand without quotes, where there are no escapes. JSON is YAML, too.
        _ => result(serde_json::to_string_pretty(value).unwrap_or_default()),
    }
}

/// Tells the user something that is not the result.
pub(super) fn note(text: impl AsRef<str>) {
    let text = text.as_ref();
    if !text.is_empty() {
        // Where it cannot be written there is nobody to tell.
        let _ = writeln!(std::io::stderr().lock(), "{}", printable_lines(text));
    }
}

/// The widest column, in characters; a longer cell pushes what is right of it. Rust pads to 65,535 at the most.
const MAX_COLUMN: usize = 120;

/// Prints rows under titles, columns aligned; the last one is as long as it is.
pub(super) fn table(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let titles = titles.iter().map(|title| (*title).to_owned()).collect();
    let rows = std::iter::once(titles).chain(rows);
    let rows: Vec<Vec<String>> =
        rows.map(|row| row.iter().map(|cell| printable(cell).into_owned()).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).min(MAX_COLUMN)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        cells.trim_end().to_owned() + "\n"
    };
    result(rows.iter().map(line).collect::<String>());
}

/// Returns a time as people read it, in their own time zone.
pub(super) fn local_time(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of a date fit")]
    let time = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default();
    time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// What is wrong with an input, as an error that ends the command.
#[derive(Debug, thiserror::Error)]
#[error("{}", crate::plan::findings_text(.0).trim_end())]
pub(super) struct Invalid(pub(super) Vec<crate::model::Finding>);

/// Tells the user what went wrong, and what to do next.
pub(super) fn error(message: impl AsRef<str>, help: Option<&str>) {
    note(format!("error: {}", message.as_ref()));
    if let Some(help) = help {
        note(format!("  help: {}", printable(help)));
    }
}

/// Counts things in words: `1 API key`, `2 API keys`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Shows that something takes time, on a terminal only.
pub(super) fn spinner(message: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(message);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar
}
