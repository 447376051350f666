//! `adopt`: a store that somebody else filled. What is identical, what differs, what only the database has; nothing is
//! written before a choice.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::args::{Adopt, OutputFormat, Take};
use super::context::{Context, ensure_not_failed};
use super::plan::print_text;
use super::{Exit, output};
use crate::model::{OnConflict, Policy};
use crate::plan::{Class, LeftAlone, Plan};
use crate::report::Outcome;
use crate::store::Access;
use crate::sync::Pass;

/// `adopt`: the three groups.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdoptDocument<'a> {
    /// Whether this store was never compared with a source before.
    first_meeting: bool,
    /// How many values are the same on both sides.
    identical: usize,
    /// What differs.
    different: Vec<&'a LeftAlone>,
    /// What only the database has.
    extra: Vec<&'a LeftAlone>,
    /// What the source declares and an untouched store lacks: it is written when the store is adopted.
    missing: usize,
}

pub(super) fn run(context: &Context, args: &Adopt) -> Result<Exit> {
    let policy = Policy {
        on_conflict: match args.take {
            Some(Take::Source) => OnConflict::Source,
            Some(Take::Database) | None => OnConflict::Hold,
        },
        ..context.policy(None)?
    };
    match args.take.filter(|_| !args.plan) {
        None => show(context, &policy, args),
        Some(Take::Database) => {
            let promote = super::args::Promote::everything(args.keys_as_tokens, args.format);
            let promoted = super::promote::run(context, &promote)?;
            apply(context, &policy)?;
            Ok(promoted)
        }
        Some(Take::Source) => apply(context, &policy),
    }
}

fn apply(context: &Context, policy: &Policy) -> Result<Exit> {
    let mut store = context.store(Access::Write)?;
    let actor = context.actor();
    let report = context.pass(&mut store, &Pass::apply(policy, &actor, "adopt"))?.report;
    print_text(&report);
    super::apply::print_written(&report);
    ensure_not_failed(&report)?;
    Ok(Exit::from(&report))
}

fn show(context: &Context, policy: &Policy, args: &Adopt) -> Result<Exit> {
    let report = context.dry_pass(policy)?.report;
    ensure_not_failed(&report)?;
    let Some(plan) = report.plan.as_deref().filter(|_| report.outcome != Outcome::Invalid) else {
        print_text(&report);
        return Ok(Exit::Invalid);
    };
    let only_live = |left: &&LeftAlone| matches!(left.class, Class::Extra | Class::Undeclared);
    let (extra, different): (Vec<&LeftAlone>, Vec<&LeftAlone>) = plan.left_alone.iter().partition(only_live);
    let document = AdoptDocument {
        first_meeting: plan.first_meeting,
        identical: plan.in_sync,
        different,
        extra,
        missing: plan.steps.len(),
    };
    match args.format.output {
        OutputFormat::Table => output::result(text(&document, plan)),
        format => output::value(&document, format),
    }
    Ok(Exit::from(&report))
}

fn text(document: &AdoptDocument<'_>, plan: &Plan) -> String {
    let mut text = format!("Identical  {}\n", output::counted(document.identical, "value"));
    for (title, left) in [("Different", &document.different), ("Extra", &document.extra)] {
        text.push_str(&format!("{title:<10} {}\n", left.len()));
        for it in left {
            let side = |name: &str, shown: &Option<crate::model::Shown>| {
                shown.as_ref().map(|shown| format!("  {name} {shown}")).unwrap_or_default()
            };
            text.push_str(&format!(
                "  {}{}{}\n",
                it.path,
                side("source", &it.desired),
                side("database", &it.live)
            ));
        }
    }
    if document.missing > 0 {
        text.push_str(&format!("\nTo write on adoption: {}\n", plan.summary()));
    }
    text.push_str(match (document.different.is_empty(), document.extra.is_empty()) {
        (true, true) => "\nNothing differs: `oxide-operator apply` records that both agree.",
        (true, false) => "\nNothing differs; what is extra stays. `oxide-operator promote PATH` declares it.",
        (false, _) => {
            "\nNothing was written. Choose: `adopt --take source`, `adopt --take database` (into the YAML),\nor value by value: `revert PATH`, `promote PATH`, `accept PATH --reason WHY`."
        }
    });
    text
}
