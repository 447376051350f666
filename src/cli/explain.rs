//! `explain`: why a value is as it is, and what to do about it. `revert`: the source's value back into the database.

use anyhow::Result;

use super::args::{Explain, OutputFormat, Revert};
use super::context::{Context, with_hint};
use super::output::Invalid;
use super::{Exit, edit, output};
use crate::actions::{Changed, ExplainDocument, Names, changed, revert_steps, wanted};
use crate::desired::DesiredConfig;
use crate::model::printable;
use crate::plan;
use crate::store::{Access, Store};
use crate::sync::read_source;

pub(super) fn run(context: &Context, args: &Explain) -> Result<Exit> {
    let mut store = context.store(Access::Read)?;
    let desired = declared(context, &store)?;
    let live = store.read()?;
    let (section, id, field) = wanted(&args.path, &desired, &live).map_err(Invalid)?;
    let plan =
        plan::plan(&desired, &live, &context.policy(Some(&args.policy))?, &super::context::circumstances());
    let revisions = store.revisions()?;
    let documents: Vec<ExplainDocument> = plan::explain(&desired, &live, &plan, section, &id, field)
        .into_iter()
        .map(|explanation| ExplainDocument { changed: changed(&explanation, &revisions), explanation })
        .collect();
    match args.format.output {
        OutputFormat::Table => output::result(documents.iter().map(text).collect::<Vec<_>>().join("\n")),
        format => output::value(&documents, format),
    }
    let differs = documents.iter().any(|document| document.explanation.class.is_some());
    Ok(if differs { Exit::Differences } else { Exit::Ok })
}

pub(super) fn revert(context: &Context, args: &Revert) -> Result<Exit> {
    let desired = declared(context, &context.store(Access::Read)?)?;
    edit::run(context, &args.edit, &format!("revert {}", args.paths.join(", ")), |live, _| {
        let names = Names::of(live).and(Some(desired.configuration()));
        let paths = args.paths.iter().map(|path| names.selection(path)).collect::<Result<Vec<_>, _>>()?;
        revert_steps(&paths, &desired, live)
    })
}

fn declared(context: &Context, store: &Store) -> Result<DesiredConfig> {
    let source = context.read_source().map_err(with_hint)?;
    Ok(read_source(&source, &context.secrets(), store.keys()).map_err(Invalid)?)
}

fn text(document: &ExplainDocument) -> String {
    let it = &document.explanation;
    let side = |shown: &Option<crate::model::Shown>, none: &str| {
        shown.as_ref().map_or_else(|| none.to_owned(), ToString::to_string)
    };
    let mut text = format!("{}\n", it.path);
    if it.path.field.is_some() {
        text.push_str(&format!("  Source    {}\n", side(&it.source, "does not mention it")));
        text.push_str(&format!("  Agreed    {}\n", side(&it.agreed, "never")));
        text.push_str(&format!("  Database  {}\n", side(&it.database, "unset")));
    }
    let class = it.class.map_or_else(|| "in sync".to_owned(), |class| class.name().to_owned());
    text.push_str(&format!("  Class     {class}: {}\n", printable(it.meaning)));
    text.push_str(&format!("  Changed   {}\n", printable(&who(document))));
    text.push_str(&format!("  Next      {}\n", printable(&it.next)));
    for (position, answer) in it.answers.iter().enumerate() {
        let label = if position == 0 { "You can" } else { "or" };
        let command =
            if answer.command.is_empty() { String::new() } else { format!("{}  # ", answer.command) };
        text.push_str(&format!("  {label:<8}  {}{}\n", printable(&command), printable(&answer.effect)));
    }
    text
}

fn who(document: &ExplainDocument) -> String {
    let Some(changed) = &document.changed else {
        return "not through oxide-operator, as far as is recorded".into();
    };
    let Changed { revision, recorded_at, actor, reason, still } = changed;
    let when = output::local_time(*recorded_at);
    if *still {
        format!("{when} by {actor}, revision {revision}: {reason}")
    } else {
        format!("by somebody else, in the web UI for example, after revision {revision} ({when})")
    }
}
