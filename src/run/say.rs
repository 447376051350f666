//! What the log says of a pass: what was written, and what was not said of the last one.

use std::collections::BTreeSet;

use super::agent::Agent;
use crate::model::Severity;
use crate::report::{Outcome, SyncReport};

/// At most so many differences are named.
const MAX_NAMED: usize = 20;

/// At most so many changes are named; the rest is counted.
const MAX_WRITTEN: usize = 10;

/// What the log has of the last pass.
#[derive(Default)]
pub(super) struct Said {
    summary: String,
    /// Findings and differences, as they were said.
    lines: BTreeSet<String>,
}

impl Agent {
    /// Says what changed; a pass that found what the last one found is not worth a line.
    pub(super) fn log(&mut self, report: &SyncReport) {
        let summary = format!("{} {}", report.outcome.name(), report.summary);
        let revision = report.written.as_ref().and_then(|written| written.revision);
        let news = summary != self.said.summary || revision.is_some();
        self.said.summary = summary;
        let (outcome, text) = (report.outcome.name(), one_line(&report.summary));
        let milliseconds = (report.duration_seconds * 10_000.0).round() / 10.0;
        if let Some(quarantined) = report.quarantined.as_ref().filter(|_| news) {
            tracing::error!("the database was corrupt; {quarantined}");
        }
        self.log_lines(report);
        if !news {
            tracing::debug!(outcome, milliseconds, "{text}");
            return;
        }
        let hint = report.failure.as_ref().and_then(|failure| failure.hint.as_deref());
        match (report.outcome, revision) {
            (Outcome::InSync | Outcome::Applied | Outcome::Differences, Some(number)) => {
                let changes = changes(report);
                tracing::info!(outcome, milliseconds, revision, "wrote revision {number}: {changes}");
            }
            (Outcome::InSync | Outcome::Applied | Outcome::Differences, None) => {
                tracing::info!(outcome, milliseconds, "{text}");
            }
            _ => tracing::warn!(outcome, milliseconds, hint, "{text}"),
        }
    }

    /// Says each finding and each difference when it is first found, and again when it is found after it was gone.
    fn log_lines(&mut self, report: &SyncReport) {
        let mut lines = BTreeSet::new();
        for finding in &report.findings {
            let line = one_line(&finding.to_string());
            if !self.said.lines.contains(&line) {
                match finding.severity {
                    Severity::Error => tracing::error!("{line}"),
                    Severity::Warning => tracing::warn!("{line}"),
                }
            }
            lines.insert(line);
        }
        let left = report.plan.iter().flat_map(|plan| &plan.left_alone);
        for left in left.filter(|left| left.is_difference()).take(MAX_NAMED) {
            let line = one_line(&format!("{}: {}", left.reason, left.sides()));
            let known = format!("{} {line}", left.path);
            if !self.said.lines.contains(&known) {
                tracing::warn!(path = %left.path, class = left.class.name(), "{line}");
            }
            lines.insert(known);
        }
        self.said.lines = lines;
    }
}

/// What a pass changed, secrets masked.
fn changes(report: &SyncReport) -> String {
    let changes = report.plan.as_ref().map(|plan| plan.changes()).unwrap_or_default();
    let named: Vec<&str> = changes.iter().take(MAX_WRITTEN).map(String::as_str).collect();
    let more = changes.len() - named.len();
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    one_line(&(named.join("; ") + &more))
}

/// One event is one line, whatever a value or a finding holds.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}
