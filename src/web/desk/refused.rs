//! Why something that was asked for is not done. Nothing was written then.

use crate::model::Finding;
use crate::plan::Refusal;
use crate::report::Failure;
use crate::store::StoreError;
use crate::sync::EditError;

/// Why something is not done.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    /// What was asked for, or what would result, is not valid. Every finding is in it.
    Invalid(Vec<Finding>),
    /// More deletions than may be made without confirming their number.
    Guarded(Box<Finding>),
    /// There is no such thing.
    NotFound(Box<Finding>),
    /// There is one already.
    Exists(Box<Finding>),
    /// It is no longer what the client saw.
    Changed,
    /// The source cannot be read, so there is nothing to compare with.
    NoSource,
    /// The source could not be written.
    SourceNotWritten {
        /// What happened.
        message: String,
        /// What to do next.
        hint: String,
    },
    /// The store cannot be used, or not now.
    Failed(Box<Failure>),
}

impl Refused {
    /// The findings among it, for whoever shows each at its field.
    pub(crate) fn findings(&self) -> &[Finding] {
        match self {
            Self::Invalid(findings) => findings,
            Self::Guarded(finding) | Self::NotFound(finding) | Self::Exists(finding) => {
                std::slice::from_ref(&**finding)
            }
            Self::Changed | Self::NoSource | Self::SourceNotWritten { .. } | Self::Failed(_) => &[],
        }
    }

    /// There is no such thing.
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound(Box::new(Finding::error(what)))
    }

    /// A pass that failed.
    pub(crate) fn from_failure(failure: Option<Failure>) -> Self {
        Self::Failed(Box::new(failure.unwrap_or_else(|| Failure {
            reason: "failed",
            message: "the pass failed".into(),
            hint: None,
            transient: false,
        })))
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(findings) => Self::Invalid(findings),
            Refusal::Guarded(finding) => Self::Guarded(finding),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Failed(Box::new(crate::sync::failure(&error)))
    }
}

impl From<EditError> for Refused {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Refused(refusal) => refusal.into(),
            EditError::Store(error) => error.into(),
        }
    }
}
