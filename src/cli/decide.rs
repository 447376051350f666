//! `accept`, `pause`, `resume`: decisions that are kept with the store, with who, why and until when.

use anyhow::Result;

use super::args::{Accept, OutputFormat, Pause, Resume, Withdraw};
use super::context::{Context, with_hint};
use super::output::Invalid;
use super::{Exit, output};
use crate::actions::{self, DecisionDocument, Names, acceptances};
use crate::model::{ConfigPath, Configuration, Decision, DecisionKind, PathPattern, Selection};
use crate::plan;
use crate::store::{Access, Decided, Store};
use crate::sync::read_source;

pub(super) fn accept(context: &Context, args: &Accept) -> Result<Exit> {
    if args.list {
        return list(context, args.format.output);
    }
    let until = args.until.as_deref().map(until).transpose()?;
    let reason = args.reason.as_deref().unwrap_or_default();
    let source = context.read_source().map_err(with_hint)?;
    let mut store = context.existing_store(Access::Write)?;
    let desired = read_source(&source, &context.secrets(), store.keys()).map_err(Invalid)?;
    let live = store.read()?;
    let policy = context.policy(None)?;
    let plan = plan::plan(&desired, &live, &policy, &super::context::circumstances());
    let names = Names::of(&live).and(Some(desired.configuration()));
    let (patterns, findings) = parted(args.paths.iter().map(|path| names.pattern(path)));
    if !findings.is_empty() {
        return Err(Invalid(findings.concat()).into());
    }
    let covers = |path: &ConfigPath| patterns.iter().any(|pattern| pattern.covers(path));
    let kinds = acceptances(&plan, covers, &desired, &live);
    let decisions: Vec<Decision> =
        kinds.into_iter().map(|(kind, scope)| decided(context, kind, Some(scope), reason, until)).collect();
    if decisions.is_empty() {
        show(&[], args.format.output, |_| String::new());
        let pending = actions::pending(&plan).into_iter().find(|path| covers(path));
        output::note(match pending {
            Some(path) => format!(
                "{path} is pending: the source changed, and a pass writes it into the database. Nothing was accepted.\n  help: to keep the database's value, write it into the source with `promote`, or hold writes there with `pause`"
            ),
            None => "Nothing differs there: nothing was accepted.".to_owned(),
        });
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
    let mut store = context.existing_store(Access::Write)?;
    let live = store.read()?;
    let desired = declared(context, &store);
    let names = Names::of(&live).and(desired.as_ref());
    let scope = args.scope.as_deref().map(|text| names.pattern(text)).transpose().map_err(Invalid)?;
    let decision = decided(context, DecisionKind::Pause, scope, &args.reason, until);
    store.decide(&Decided { decide: vec![decision.clone()], forget: Vec::new() })?;
    show(&[decision], args.format.output, |it| {
        format!("Paused {}{}; drift is still watched.", self::scope(it), ends(it))
    });
    Ok(Exit::Ok)
}

pub(super) fn resume(context: &Context, args: &Resume) -> Result<Exit> {
    let mut store = context.existing_store(Access::Write)?;
    let live = store.read()?;
    let desired = declared(context, &store);
    let scope_text = args.scope.as_deref();
    let named = scope_text.map(|text| Names::of(&live).and(desired.as_ref()).pattern(text)).transpose();
    let paused = live.decisions.iter().filter(|it| it.kind == DecisionKind::Pause);
    let wanted = |it: &&Decision| match (scope_text, &named) {
        (None, _) => true,
        (Some(text), _) if it.scope_text() == text => true,
        (_, Ok(scope)) => it.scope == *scope,
        (_, Err(_)) => false,
    };
    let ended: Vec<Decision> = paused.filter(wanted).cloned().collect();
    if ended.is_empty() {
        named.map_err(Invalid)?;
    }
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

/// Takes decisions back: what was accepted is a difference again, what was paused or pinned is written again.
pub(super) fn withdraw(context: &Context, args: &Withdraw) -> Result<Exit> {
    let mut store = context.existing_store(Access::Write)?;
    let live = store.read()?;
    let desired = declared(context, &store);
    let names = Names::of(&live).and(desired.as_ref());
    let of_kind = |it: &Decision| args.kind.as_deref().is_none_or(|kind| it.kind.name() == kind);
    let (mut withdrawn, mut findings) = (Vec::new(), Vec::new());
    if args.all {
        withdrawn.extend(live.decisions.iter().filter(|it| of_kind(it)).cloned());
    }
    for path in &args.paths {
        let exactly = |it: &&Decision| it.scope_text() == *path;
        let mut found: Vec<Decision> = live.decisions.iter().filter(exactly).cloned().collect();
        if found.is_empty() {
            match names.pattern(path) {
                Ok(pattern) => {
                    found.extend(live.decisions.iter().filter(|it| lies_in(it, &pattern)).cloned())
                }
                Err(found) => findings.extend(found),
            }
        }
        withdrawn.extend(found.into_iter().filter(|it| of_kind(it)));
    }
    if !findings.is_empty() {
        return Err(Invalid(findings).into());
    }
    if withdrawn.is_empty() {
        show(&[], args.format.output, |_| String::new());
        output::note("Nothing was decided there; `oxide-operator accept --list` lists what was.");
        return Ok(Exit::Ok);
    }
    let forget = withdrawn.iter().map(|it| (it.kind.name().to_owned(), it.scope_text())).collect();
    store.decide(&Decided { decide: Vec::new(), forget })?;
    show(&withdrawn, args.format.output, |it| format!("Withdrawn: {} of {}.", it.kind.name(), scope(it)));
    Ok(Exit::Ok)
}

/// Whether a decision is about something that a pattern covers.
fn lies_in(decision: &Decision, pattern: &PathPattern) -> bool {
    decision.scope.as_ref().is_some_and(|scope| {
        scope.to_string().parse::<Selection>().is_ok_and(|path| match path.id {
            Some(id) => pattern.covers(&ConfigPath { section: path.section, id, field: path.field }),
            None => false,
        })
    })
}

/// Lists what was decided and holds.
fn list(context: &Context, format: OutputFormat) -> Result<Exit> {
    let decisions = context.existing_store(Access::Read)?.read()?.decisions;
    let holding: Vec<Decision> = decisions.into_iter().filter(|it| !it.is_over(now())).collect();
    if format != OutputFormat::Table {
        show(&holding, format, |_| String::new());
    } else if holding.is_empty() {
        output::note("Nothing was decided: no acceptance, no pause, no pin.");
    } else {
        let rows = holding.iter().map(|it| {
            let until = it.until.map_or_else(|| "-".to_owned(), output::local_time);
            vec![
                it.kind.name().to_owned(),
                scope(it),
                it.by.clone(),
                output::local_time(it.at),
                until,
                it.reason.clone(),
            ]
        });
        output::table(&["KIND", "PATH", "WHO", "WHEN", "UNTIL", "WHY"], rows);
    }
    Ok(Exit::Ok)
}

/// What the source declares, as far as it can be read now.
fn declared(context: &Context, store: &Store) -> Option<Configuration> {
    let source = context.read_source().ok()?;
    let desired = read_source(&source, &context.secrets(), store.keys()).ok()?;
    Some(desired.configuration().clone())
}

/// Parts what was read from what could not be.
pub(super) fn parted<T, E>(results: impl Iterator<Item = Result<T, E>>) -> (Vec<T>, Vec<E>) {
    let (mut fine, mut wrong) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(it) => fine.push(it),
            Err(why) => wrong.push(why),
        }
    }
    (fine, wrong)
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
