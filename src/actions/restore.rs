//! What goes with a restore.

use super::decided;
use crate::model::{Decision, DecisionKind, Selection, SourceDigest};

/// Keeps the source that a restore rejects from being applied again, within what is restored.
pub(crate) fn pin(digest: SourceDigest, only: Option<&Selection>, by: (&str, &str), now: f64) -> Decision {
    let scope = only.and_then(|only| only.to_string().parse().ok());
    decided(DecisionKind::Pin { digest }, scope, by, now, None)
}
