//! `doctor`: what is wrong, why it matters, and the command that fixes it. It changes nothing.

mod checks;
mod machine;

pub(super) use machine::{quoted, quoted_text};

use schemars::JsonSchema;
use serde::Serialize;

use super::args::{Format, OutputFormat};
use super::context::Context;
use super::{Exit, output};
use crate::model::printable;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Fine,
    Warning,
    Problem,
}

/// What one check found.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Check {
    /// What was looked at.
    #[serde(rename = "check")]
    about: &'static str,
    status: Status,
    /// What was found, in a sentence.
    what: String,
    /// Why it matters; empty where nothing is wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    /// Commands that mend it, to be run in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mend: Vec<String>,
}

impl Check {
    fn fine(check: &'static str, what: impl Into<String>) -> Self {
        Self { about: check, status: Status::Fine, what: what.into(), why: String::new(), mend: Vec::new() }
    }

    fn warning(check: &'static str, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { status: Status::Warning, why: why.into(), ..Self::fine(check, what) }
    }

    fn problem(check: &'static str, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { status: Status::Problem, why: why.into(), ..Self::fine(check, what) }
    }

    fn mend(mut self, command: impl Into<String>) -> Self {
        self.mend.push(command.into());
        self
    }
}

pub(super) fn run(context: &Context, format: Format) -> Exit {
    let checks = checks::all(context);
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let (problems, warnings) = (count(Status::Problem), count(Status::Warning));
    if format.output == OutputFormat::Table {
        output::result(text(&checks, problems, warnings));
    } else {
        output::value(&checks, format.output);
    }
    if problems > 0 { Exit::Error } else { Exit::Ok }
}

fn text(checks: &[Check], problems: usize, warnings: usize) -> String {
    let mut text = match (problems, warnings) {
        (0, 0) => "Everything is in order.\n".to_owned(),
        (0, warnings) => format!("Nothing is broken; {}.\n", output::counted(warnings, "warning")),
        (problems, 0) => format!("{}.\n", output::counted(problems, "problem")),
        (problems, warnings) => {
            format!("{}, {}.\n", output::counted(problems, "problem"), output::counted(warnings, "warning"))
        }
    };
    let mut sorted: Vec<&Check> = checks.iter().collect();
    sorted.sort_by_key(|check| match check.status {
        Status::Problem => 0,
        Status::Warning => 1,
        Status::Fine => 2,
    });
    for check in sorted {
        let sign = match check.status {
            Status::Fine => "✓",
            Status::Warning => "!",
            Status::Problem => "✗",
        };
        text.push_str(&format!("{sign} {:<12} {}\n", check.about, printable(&check.what)));
        if !check.why.is_empty() {
            text.push_str(&format!("    {}\n", printable(&check.why)));
        }
        for (position, command) in check.mend.iter().enumerate() {
            let label = if position == 0 { "fix: " } else { "then:" };
            text.push_str(&format!("    {label} {}\n", printable(command)));
        }
    }
    text
}
