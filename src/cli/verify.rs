//! `verify`: every value of every managed field, tokens decrypted, counts.

use super::args::{Format, OutputFormat};
use super::context::{Context, ensure_not_failed};
use super::documents::VerifyDocument;
use super::{Exit, output};
use crate::model::Section;
use crate::plan::{Class, Plan, findings_text};
use crate::report::SyncReport;
use anyhow::Result;

pub(super) fn run(context: &Context, format: Format) -> Result<Exit> {
    let spinner = output::spinner("comparing");
    let passed = context.dry_pass(&context.policy(None)?);
    spinner.finish_and_clear();
    let report = passed?.report;
    if format.output == OutputFormat::Table {
        output::note(findings_text(&report.findings).trim_end());
    }
    ensure_not_failed(&report)?;
    let equal = report.plan.as_deref().is_some_and(is_equal);
    match format.output {
        OutputFormat::Table => print(&report, equal),
        other => output::value(&document(&report, equal), other),
    }
    Ok(if equal { Exit::Ok } else { Exit::Error })
}

/// Whether the database is what the YAML says, and nothing else. Stricter than in sync: an object or a value
/// that only the database has is a difference here.
pub(super) fn is_equal(plan: &Plan) -> bool {
    plan.is_in_sync() && plan.left_alone.is_empty()
}

fn print(report: &SyncReport, equal: bool) {
    let count = |section| report.objects.iter().find(|count| count.section == section);
    let verdict =
        if equal { "✅ Migration verification: PASSED" } else { "⚠️  Migration verification: FAILED" };
    let mut text = format!("{verdict}\n");
    for (title, section) in [("Services", Section::Services), ("Routing rules", Section::RoutingRules)] {
        let Some(count) = count(section) else { continue };
        match count.source {
            Some(source) if source != count.database => {
                text.push_str(&format!("{title} - YAML: {source}, DB: {}\n", count.database));
            }
            _ => text.push_str(&format!("{title}: {}\n", count.database)),
        }
    }
    if let (false, Some(plan)) = (equal, &report.plan) {
        text.push('\n');
        let shown = plan.to_text(output::colour());
        if plan.is_in_sync() {
            // A pass would find nothing to do, and verify is stricter: the summary of a pass would contradict it.
            let (details, _) = shown.trim_end().rsplit_once('\n').unwrap_or_default();
            text.push_str(details);
            let more = plan.left_alone.len();
            text.push_str(&format!(
                "\nNot equal: {more} more in the database, which a pass leaves as they are.\n"
            ));
        } else {
            text.push_str(&shown);
        }
    }
    output::coloured(&text);
}

fn document(report: &SyncReport, equal: bool) -> VerifyDocument<'_> {
    VerifyDocument {
        equal,
        objects: &report.objects,
        differences: Class::ALL.into_iter().map(|class| report.total(class)).sum(),
        findings: &report.findings,
        plan: report.plan.as_ref().map(|plan| plan.document()),
    }
}
