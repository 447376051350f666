//! `accept`, `pause`, `resume`: decisions that are kept with the store, with who, why and until when.

use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::Serialize;

use super::args::{Accept, OutputFormat, Pause, Resume};
use super::context::{Context, actor, with_hint};
use super::{Exit, output};
use crate::model::{ConfigPath, Decision, DecisionKind, Object, PathPattern, mark};
use crate::plan::{self, Class, Plan, Step};
use crate::store::{Access, Decided};
use crate::sync::read_source;

/// `accept`, `pause`, `resume`: what was decided, or what ended.
#[derive(Serialize, JsonSchema)]
pub(super) struct DecisionDocument<'a> {
    /// `accept` or `pause`.
    kind: &'static str,
    /// Where it holds; null for the whole store.
    scope: Option<String>,
    /// Who decided.
    by: &'a str,
    /// Why.
    reason: &'a str,
    /// When, in seconds since the epoch.
    at: f64,
    /// Until when, in seconds since the epoch; null for good.
    until: Option<f64>,
}

impl<'a> DecisionDocument<'a> {
    fn of(decision: &'a Decision) -> Self {
        let Decision { kind, scope, by, reason, at, until } = decision;
        let scope = scope.as_ref().map(ToString::to_string);
        Self { kind: kind.name(), scope, by, reason, at: *at, until: *until }
    }
}

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
    let paths =
        differing(&plan).into_iter().filter(|path| args.paths.iter().any(|wanted| wanted.covers(path)));
    let decisions: Vec<Decision> = paths
        .map(|path| {
            let of = |object: Option<&std::sync::Arc<Object>>| mark(&path, object.map(|object| &**object));
            let kind = DecisionKind::Accept {
                live: of(live.live.get(path.section, &path.id)),
                desired: of(desired.configuration().get(path.section, &path.id)),
            };
            decided(kind, Some(PathPattern::exactly(&path)), &args.reason, until)
        })
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
    let decision = decided(DecisionKind::Pause, args.scope.clone(), &args.reason, until);
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

/// The paths at which the database says something of its own. What only the source moved is no edit to accept.
fn differing(plan: &Plan) -> Vec<ConfigPath> {
    let steps = plan.steps.iter().flat_map(|step| match step {
        Step::Update { section, id, changes } => changes
            .iter()
            .filter(|change| change.class != Class::Pending)
            .map(|change| ConfigPath::field(*section, id, change.field))
            .collect(),
        Step::Create { class: Class::Pending, .. } => Vec::new(),
        other => vec![ConfigPath::object(other.target().0, other.target().1)],
    });
    plan.left_alone.iter().map(|left| left.path.clone()).chain(steps).collect()
}

fn decided(kind: DecisionKind, scope: Option<PathPattern>, reason: &str, until: Option<f64>) -> Decision {
    Decision { kind, scope, by: actor(), reason: reason.to_owned(), at: now(), until }
}

/// Seconds since the epoch.
pub(super) fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// Reads a moment: a span from now (`2h`, `7d`), a date, or a date with time and zone.
fn until(text: &str) -> Result<f64> {
    let zoned = jiff::ZonedDateTime::now();
    let from_now = text.parse::<jiff::Span>().ok().and_then(|span| zoned.checked_add(span).ok());
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned_datetime(zoned.time_zone().clone()).ok();
    let at = match from_now.or_else(day) {
        Some(at) => at.timestamp(),
        None => match text.parse::<jiff::Timestamp>() {
            Ok(at) => at,
            Err(_) => {
                bail!("--until {text}: write a span as 2h or 7d, a date as 2026-12-31, or 2026-12-31T18:00Z")
            }
        },
    };
    let at = at.as_duration().as_secs_f64();
    anyhow::ensure!(at > now(), "--until {text} is over already");
    Ok(at)
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
