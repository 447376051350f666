//! The parameters of the calls, each described once.

use super::{Parameter, ParameterKind, objects};
use crate::model::DecisionKind;

pub(super) const DRY_RUN: Parameter = Parameter {
    name: "dryRun",
    about: "Say what would be written, and write nothing.",
    kind: ParameterKind::Flag,
};
pub(super) const REASON: Parameter =
    Parameter { name: "reason", about: "Why; recorded in the history.", kind: ParameterKind::Text };
pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "How many on one page.",
    kind: ParameterKind::Number(1, objects::MAX_PAGE),
};
pub(super) const CONTINUE: Parameter = Parameter {
    name: "continue",
    about: "Where the page begins: what the page before gave as `continue`.",
    kind: ParameterKind::Text,
};
pub(super) const START: Parameter = Parameter {
    name: "continue",
    about: "Where the page begins: what the page before gave as `continue`.",
    kind: ParameterKind::Number(0, u32::MAX as usize),
};
pub(super) const REVISION: Parameter = Parameter {
    name: "continue",
    about: "Where the page begins: what the page before gave as `continue`.",
    kind: ParameterKind::Revision,
};
pub(super) const SEARCH: Parameter =
    Parameter { name: "q", about: "Only names that contain this.", kind: ParameterKind::Text };
pub(super) const CASCADE: Parameter = Parameter {
    name: "cascade",
    about: "Take a service out of the rules that name it, too.",
    kind: ParameterKind::Flag,
};
pub(super) const CONFIRM_PRUNE: Parameter = Parameter {
    name: "confirmPrune",
    about: "The exact number of deletions, when they are more than may be made at once.",
    kind: ParameterKind::Number(0, u32::MAX as usize),
};

pub(super) const KIND: Parameter = Parameter {
    name: "kind",
    about: "Only of this kind.",
    kind: ParameterKind::Choice(&DecisionKind::NAMES),
};

pub(super) const SCOPE: Parameter = Parameter {
    name: "scope",
    about: "The pause of this scope; every pause without it.",
    kind: ParameterKind::Text,
};

pub(super) const DECIDED_FOR: Parameter = Parameter {
    name: "scope",
    about: "Only of this scope, as `listDecisions` gives it.",
    kind: ParameterKind::Text,
};

pub(super) const CLASS: Parameter = Parameter {
    name: "class",
    about: "Only of this class.",
    kind: ParameterKind::Choice(&["unknown", "conflict", "drift", "pending", "extra", "undeclared"]),
};

pub(super) const SECTION: Parameter = Parameter {
    name: "section",
    about: "Only in this section.",
    kind: ParameterKind::Choice(&["services", "routing_rules", "execution"]),
};

pub(super) const TO: Parameter = Parameter {
    name: "to",
    about: "Up to this revision; up to now without it.",
    kind: ParameterKind::Revision,
};
