//! `accept`, `pause`, `resume`: decisions that are kept with the store, with who, why and until when.

use anyhow::Result;

use super::args::{Accept, OutputFormat, Pause, Resume};
use super::context::{Context, with_hint};
use super::{Exit, output};
use crate::actions::{self, DecisionDocument, acceptances};
use crate::model::{Decision, DecisionKind, PathPattern};
use crate::plan;
use crate::store::{Access, Decided};
use crate::sync::read_source;

pub(super) fn accept(context: &Context, args: &Accept) -> Result<Exit> {
    let until = args.until.as_deref().map(until).transpose()?;
    let source = context.read_source().map_err(with_hint)?;
    let mut store = context.existing_store(Access::Write)?;
    let desired = match read_source(&source, &context.secrets(), store.keys()) {
        Ok(desired) => desired,
        Err(findings) => return Ok(output::invalid(&findings)),
    };
    let live = store.read()?;
    let policy = context.policy(None)?;
    let plan = plan::plan(&desired, &live, &policy, &super::context::circumstances());
    let kinds = acceptances(&plan, &args.paths, &desired, &live);
    let decisions: Vec<Decision> = kinds
        .into_iter()
        .map(|(kind, scope)| decided(context, kind, Some(scope), &args.reason, until))
        .collect();
    if decisions.is_empty() {
        show(&[], args.format.output, |_| String::new());
        output::note("Nothing differs there: nothing was accepted.");
        return Ok(Exit::Ok);
    }
    store.decide(&Decided { decide: decisions.clone(), forget: Vec::new() })?;
    show(&decisions, args.format.output, |it| {
        format!("Accepted {} as the database has it{}.", it.scope_text(), ends(it))
    });
    Ok(Exit::Ok)
}

pub(super) fn pause(context: &Context, args: &Pause) -> Result<Exit> {
    let until = args.until.as_deref().map(until).transpose()?;
    let decision = decided(context, DecisionKind::Pause, args.scope.clone(), &args.reason, until);
    let mut store = context.existing_store(Access::Write)?;
    store.decide(&Decided { decide: vec![decision.clone()], forget: Vec::new() })?;
    show(&[decision], args.format.output, |it| {
        format!("Paused {}{}; drift is still watched.", scope(it), ends(it))
    });
    Ok(Exit::Ok)
}

pub(super) fn resume(context: &Context, args: &Resume) -> Result<Exit> {
    let mut store = context.existing_store(Access::Write)?;
    let paused = store.read()?.decisions.into_iter().filter(|it| it.kind == DecisionKind::Pause);
    let wanted = |it: &Decision| args.scope.as_ref().is_none_or(|scope| it.scope.as_ref() == Some(scope));
    let ended: Vec<Decision> = paused.filter(wanted).collect();
    if ended.is_empty() {
        show(&[], args.format.output, |_| String::new());
        output::note("Nothing is paused there.");
        return Ok(Exit::Ok);
    }
    let forget = ended.iter().map(|it| (it.kind.name().to_owned(), it.scope_text())).collect();
    store.decide(&Decided { decide: Vec::new(), forget })?;
    show(&ended, args.format.output, |it| format!("Resumed {}.", scope(it)));
    Ok(Exit::Ok)
}

fn decided(
    context: &Context,
    kind: DecisionKind,
    scope: Option<PathPattern>,
    reason: &str,
    until: Option<f64>,
) -> Decision {
    actions::decided(kind, scope, (&context.actor(), reason), now(), until)
}

/// Seconds since the epoch.
pub(super) fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

fn until(text: &str) -> Result<f64> {
    actions::until(text, now()).map_err(|why| anyhow::anyhow!("--until {text}{why}"))
}

fn scope(decision: &Decision) -> String {
    decision.scope.as_ref().map_or_else(|| "every write of a pass".to_owned(), ToString::to_string)
}

fn ends(decision: &Decision) -> String {
    decision.until.map(|at| format!(" until {}", output::local_time(at))).unwrap_or_default()
}

fn show(decisions: &[Decision], format: OutputFormat, text: impl Fn(&Decision) -> String) {
    match format {
        OutputFormat::Table if decisions.is_empty() => {}
        OutputFormat::Table => output::result(decisions.iter().map(text).collect::<Vec<_>>().join("\n")),
        format => output::value(&decisions.iter().map(DecisionDocument::of).collect::<Vec<_>>(), format),
    }
}
