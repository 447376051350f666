//! A plan as lines of a page, and findings as a list.

use crate::model::{Finding, Severity, Shown};
use crate::plan::{PlanDocument, StepDocument};

/// At most so many lines are shown; the API has all.
const MAX_LINES: usize = 300;

/// The longest value that is shown whole, in characters.
const MAX_VALUE: usize = 160;

/// What is shown for an API key.
const DOTS: &str = "••••";

/// A line of a plan.
pub(super) struct Line {
    pub(super) sign: &'static str,
    /// What the sign means, for those who hear it.
    pub(super) said: &'static str,
    pub(super) path: String,
    pub(super) old: Option<String>,
    pub(super) new: Option<String>,
}

/// The lines of a plan's steps.
pub(super) fn lines(plan: Option<&PlanDocument>) -> Vec<Line> {
    plan.map(|plan| of_steps(&plan.steps)).unwrap_or_default()
}

/// Steps as lines: what is added, changed and removed.
pub(super) fn of_steps(steps: &[StepDocument]) -> Vec<Line> {
    let mut lines = Vec::new();
    for step in steps {
        match step {
            StepDocument::Create { path, fields, .. } => {
                lines.push(line("+", "add", path.to_string(), None, None));
                let set = fields.iter().filter(|(_, value)| !value.0.is_null());
                lines.extend(set.map(|(name, value)| {
                    line("+", "add", format!("{path}.{name}"), None, Some(text(value)))
                }));
            }
            StepDocument::Update { changes, .. } => lines.extend(changes.iter().map(|change| {
                let (old, mut new) = (text(&change.old), text(&change.new));
                if old == DOTS && new == DOTS {
                    new = format!("{DOTS} (another one)");
                }
                line("~", "change", change.path.to_string(), Some(old), Some(new))
            })),
            StepDocument::Delete { path } => lines.push(line("−", "remove", path.to_string(), None, None)),
        }
    }
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(line("…", "and", format!("{more} more"), None, None));
    }
    lines
}

fn line(
    sign: &'static str,
    said: &'static str,
    path: String,
    old: Option<String>,
    new: Option<String>,
) -> Line {
    Line { sign, said, path, old, new }
}

/// A value as a page shows it.
pub(super) fn text(value: &Shown) -> String {
    let text = value.to_string();
    if text.chars().count() <= MAX_VALUE {
        return text;
    }
    text.chars().take(MAX_VALUE - 1).chain(['…']).collect()
}

/// A finding as a page shows it.
pub(super) struct Found {
    pub(super) is_error: bool,
    pub(super) path: String,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
    /// File, line, and the line's text, masked.
    pub(super) place: Option<(String, String)>,
}

/// Findings as a page shows them.
pub(super) fn found(findings: &[Finding]) -> Vec<Found> {
    let of = |finding: &Finding| Found {
        is_error: finding.severity == Severity::Error,
        path: finding.path.clone().unwrap_or_default(),
        message: finding.message.clone(),
        suggestion: finding.suggestion.clone(),
        place: finding.location.as_ref().map(|at| (format!("{}:{}", at.file, at.line), at.text.clone())),
    };
    findings.iter().map(of).collect()
}
