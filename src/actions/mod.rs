//! What somebody asks for besides a pass: edits, answers to differences, restores. The command line and the API share
//! it, so that both do the same and print the same documents.
//!
//! Nothing here writes by itself: steps go through [`crate::sync::edit`], files through [`crate::source::replace`].

#![expect(clippy::disallowed_methods, reason = "backups and files of the source are looked at")]

mod backup;
mod decide;
mod document;
mod edit;
mod explain;
mod named;
mod promote;
mod restore;

pub(crate) use backup::{Listed, back_up, backup_called, listed, name_of, which_key};
pub(crate) use decide::{acceptances, decided, pending, until};
pub(crate) use document::{
    DecisionDocument, DiffDocument, EditDocument, KeyDocument, PromoteDocument, RevisionDocument,
    field_schema,
};
pub(crate) use edit::{create, named_by_rules, no_such_field, not_there};
pub(crate) use explain::{Changed, ExplainDocument, changed, revert_steps, wanted};
pub(crate) use named::Names;
pub(crate) use promote::{diff, look, write};
pub(crate) use restore::pin;
