//! `plan`: what a pass would do.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::args::{OutputFormat, PlanArgs, PlanFormat};
use super::context::{Context, ensure_not_failed, refused};
use super::destination::{self, Overwrite};
use super::doctor::quoted;
use super::documents::ReportDocument;
use super::{Exit, output};
use crate::model::{Policy, SourceDigest, StoreFingerprint, printable, shown_path};
use crate::plan::findings_text;
use crate::report::{Outcome, SyncReport};
use crate::{settings, small_file};

/// A plan in a file: what it was made for, and the plan for people to read. It holds no secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SavedPlan {
    kind: String,
    pub(super) source: String,
    pub(super) db: String,
    pub(super) source_digest: SourceDigest,
    store_fingerprint: String,
    pub(super) policy: Policy,
    plan: serde_json::Value,
}

const KIND: &str = "oxide-operator/plan/v1";

impl SavedPlan {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let text = small_file::read_text(path, settings::MAX_PLAN_BYTES)
            .with_context(|| format!("read the plan {}", shown_path(path)))?;
        let plan: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a plan saved by `plan --out FILE`", shown_path(path)))?;
        anyhow::ensure!(plan.kind == KIND, "{} is a {}, not a {KIND}", shown_path(path), plan.kind);
        Ok(plan)
    }

    pub(super) fn fingerprint(&self) -> Result<StoreFingerprint> {
        let number = u128::from_str_radix(&self.store_fingerprint, 16).context("the plan's fingerprint")?;
        Ok(StoreFingerprint(number))
    }
}

pub(super) fn run(context: &Context, args: &PlanArgs) -> Result<Exit> {
    let policy = context.policy(Some(&args.policy))?;
    let passed = context.dry_pass(&policy)?;
    let report = &passed.report;
    match (args.output, &args.out) {
        (PlanFormat::Table, Some(_)) => {}
        (PlanFormat::Table, None) => print_text(report),
        (PlanFormat::Json, _) => print_value(report, OutputFormat::Json),
        (PlanFormat::Yaml, _) => print_value(report, OutputFormat::Yaml),
        (PlanFormat::Markdown, _) => match &report.plan {
            Some(plan) => output::result(plan.to_markdown()),
            None => print_text(report),
        },
    }
    if let Some(file) = &args.out {
        save(context, report, policy, file, Overwrite::if_forced(args.force))?;
    }
    if let Some(exit) = refused(report) {
        return Ok(exit);
    }
    ensure_not_failed(report)?;
    Ok(Exit::from(report))
}

/// Prints the plan, or the findings that kept it from being made.
pub(super) fn print_text(report: &SyncReport) {
    let warnings = report.plan.is_some() && report.outcome != Outcome::Invalid;
    if warnings || report.plan.is_none() {
        output::note(findings_text(&report.findings).trim_end());
    }
    match &report.plan {
        Some(plan) if report.failure.is_none() => output::coloured(&plan.to_text(output::colour())),
        _ if report.outcome == Outcome::Invalid => output::note(printable(&report.summary)),
        _ => {}
    }
}

pub(super) fn print_value(report: &SyncReport, format: OutputFormat) {
    output::value(&ReportDocument::of(report), format);
}

fn save(
    context: &Context,
    report: &SyncReport,
    policy: Policy,
    path: &Path,
    overwrite: Overwrite,
) -> Result<()> {
    ensure_not_failed(report)?;
    let Some(plan) = &report.plan else {
        print_text(report);
        return Ok(());
    };
    let Some(source_digest) = plan.source.clone() else { return Ok(()) };
    let saved = SavedPlan {
        kind: KIND.into(),
        source: context.source.to_string(),
        db: context.db.display().to_string(),
        source_digest,
        store_fingerprint: plan.store.to_string(),
        policy,
        plan: serde_json::to_value(plan.document())?,
    };
    let text = serde_json::to_string_pretty(&saved)? + "\n";
    if path == Path::new("-") {
        output::result(text.trim_end());
        return Ok(());
    }
    destination::write(context, path, text.as_bytes(), overwrite)?;
    let (summary, path) = (plan.summary(), quoted(path));
    output::note(format!(
        "{summary}\nSaved to {path}; `oxide-operator apply {path}` does exactly this, or refuses."
    ));
    Ok(())
}
