//! What is wrong with a text: as much of it as will be shown, and how much more there is.

use std::ops::Range;

use super::{locate, mask};
use crate::model::{Finding, Severity};

/// At most this many findings are reported; the last one says how many more there are.
const MAX_FINDINGS: usize = 100;

/// The findings of one text.
///
/// A finding is made only as long as it will be shown: a text may be wrong in every line, and none of them may cost
/// more than it's long.
#[derive(Debug, Default)]
pub(super) struct Findings {
    errors: Vec<Spanned>,
    warnings: Vec<Spanned>,
    more: usize,
}

/// A finding with its place in the text.
#[derive(Debug)]
pub(super) struct Spanned {
    pub(super) finding: Finding,
    pub(super) span: Range<usize>,
}

impl Findings {
    /// Notes what makes the text invalid.
    pub(super) fn error(&mut self, span: &Range<usize>, finding: impl FnOnce() -> Finding) {
        note(&mut self.errors, &mut self.more, span, finding);
    }

    /// Notes what only deserves attention.
    pub(super) fn warning(&mut self, span: &Range<usize>, finding: impl FnOnce() -> Finding) {
        note(&mut self.warnings, &mut self.more, span, finding);
    }

    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty() && self.warnings.is_empty()
    }

    /// Whether anything makes the text invalid.
    pub(super) fn has_error(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Adds what was found in a later part of the same text.
    pub(super) fn append(&mut self, later: Self) {
        self.more += later.more;
        for Spanned { finding, span } in later.errors {
            self.error(&span, || finding);
        }
        for Spanned { finding, span } in later.warnings {
            self.warning(&span, || finding);
        }
    }

    /// Moves all places by `offset` bytes.
    pub(super) fn shift(&mut self, offset: usize) {
        for Spanned { span, .. } in self.errors.iter_mut().chain(&mut self.warnings) {
            *span = span.start + offset..span.end + offset;
        }
    }

    /// Finds their places in the text, and sorts them by these.
    pub(super) fn located(self, name: &str, text: &str) -> Located {
        let spanned = self.errors.into_iter().chain(self.warnings).collect();
        Located { findings: locate::all(name, text, spanned), more: self.more }
    }
}

fn note(noted: &mut Vec<Spanned>, more: &mut usize, span: &Range<usize>, finding: impl FnOnce() -> Finding) {
    if noted.len() < MAX_FINDINGS {
        let mut finding = finding();
        finding.path = finding.path.map(|path| mask::word(&path));
        noted.push(Spanned { finding, span: span.clone() });
    } else {
        *more += 1;
    }
}

/// The findings of one text or several, each with its place.
#[derive(Debug, Default)]
pub(super) struct Located {
    findings: Vec<Finding>,
    more: usize,
}

impl Located {
    /// Notes one more, which has its place or needs none.
    pub(super) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds those of another text.
    pub(super) fn append(&mut self, mut later: Self) {
        self.findings.append(&mut later.findings);
        self.more += later.more;
    }

    /// Counts what was found and not kept.
    pub(super) fn and_more(&mut self, more: usize) {
        self.more += more;
    }

    /// Whether none of them is an error.
    pub(super) fn are_warnings(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Warning)
    }

    /// Returns the first ones, and a last one that says how many more there are. No error is left out for a warning.
    pub(super) fn shown(mut self) -> Vec<Finding> {
        let sound = self.are_warnings();
        let more = self.more + self.findings.len().saturating_sub(MAX_FINDINGS);
        if more > 0 {
            self.findings.sort_by_key(|finding| finding.severity);
            self.findings.truncate(MAX_FINDINGS);
            let more = format!("and {more} more findings");
            self.findings.push(if sound { Finding::warning(more) } else { Finding::error(more) });
        }
        self.findings
    }
}
