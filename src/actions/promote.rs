//! The database's values into the source: what would be written, and writing it.

use std::path::Path;

use thiserror::Error;

use super::edit::not_there;
use crate::cluster;
use crate::desired::{DesiredConfig, Masker};
use crate::model::{Finding, Section, Selection, StoreSnapshot, printable};
use crate::promotion::{PromotedKeys, Promotion, Rewritten, Sides, Wanted, promote};
use crate::source::{ReplaceError, SourceSpec, replace};

/// Finds the edits of the source that make it say what the database holds at `paths`; everywhere when there are none.
///
/// # Errors
/// The findings for paths that neither side knows.
pub(crate) fn look(
    sides: &Sides<'_>,
    paths: &[Selection],
    keys: PromotedKeys,
    read: impl Fn(&crate::model::SourceSnapshot) -> Result<DesiredConfig, Vec<Finding>>,
) -> Result<Promotion, Vec<Finding>> {
    let all = Section::ALL.map(|section| Selection { section, id: None, field: None });
    let unknown: Vec<Finding> =
        paths.iter().filter_map(|path| unknown(path, sides.desired, sides.store)).collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let paths = if paths.is_empty() { &all[..] } else { paths };
    Ok(promote(sides, Wanted { paths, keys }, read))
}

fn unknown(path: &Selection, desired: &DesiredConfig, live: &StoreSnapshot) -> Option<Finding> {
    let id = path.id.as_deref()?;
    let known = live.live.get(path.section, id).is_some()
        || desired.configuration().get(path.section, id).is_some()
        || path.section == Section::Execution;
    (!known).then(|| not_there(path.section, id, live))
}

/// Why edits were not written into the source. Nothing was written then.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    /// A file was not replaced.
    #[error(transparent)]
    File(#[from] ReplaceError),
    /// An object of Kubernetes was not changed.
    #[error(transparent)]
    Object(#[from] cluster::PromoteError),
}

impl WriteError {
    /// What the user can do next.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::File(error) => error.hint().to_owned(),
            Self::Object(error) => error.hint(),
        }
    }
}

/// Writes the object, or every file, or nothing.
pub(crate) fn write(source: &SourceSpec, documents: &[Rewritten]) -> Result<(), WriteError> {
    if let Some(object) = source.object() {
        return Ok(cluster::replace(object, documents)?);
    }
    for (position, document) in documents.iter().enumerate() {
        if let Err(error) = replace(Path::new(&document.name), &document.before, &document.after) {
            for written in &documents[..position] {
                let _ = replace(Path::new(&written.name), &written.after, &written.before);
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// The change of one file as a unified diff, with what may be a secret masked.
pub(crate) fn diff(document: &Rewritten) -> String {
    let (before, after) =
        (String::from_utf8_lossy(&document.before), String::from_utf8_lossy(&document.after));
    let (old, new) = (lines(&before), lines(&after));
    let diff = similar::TextDiff::from_lines(&*before, &*after);
    let (mut masked_old, mut masked_new) = (Masker::new(&before), Masker::new(&after));
    let mut text = format!("--- {0}\n+++ {0}\n", printable(&document.name));
    for group in diff.grouped_ops(1) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let hunk = |from: usize, to: usize| format!("{},{}", from + 1, to - from);
        text.push_str(&format!(
            "@@ -{} +{} @@\n",
            hunk(first.old_range().start, last.old_range().end),
            hunk(first.new_range().start, last.new_range().end)
        ));
        for op in &group {
            let same = op.tag() == similar::DiffTag::Equal;
            for line in op.old_range() {
                let sign = if same { ' ' } else { '-' };
                text.push_str(&format!("{sign}{}\n", masked_old.line(old[line].clone())));
            }
            for line in op.new_range().filter(|_| !same) {
                text.push_str(&format!("+{}\n", masked_new.line(new[line].clone())));
            }
        }
    }
    text
}

/// Where the lines of a text stand, without their ends.
fn lines(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut start = 0;
    let line = |line: &str| {
        let range = start..start + line.trim_end_matches(['\r', '\n']).len();
        start += line.len();
        range
    };
    text.split_inclusive('\n').map(line).collect()
}
