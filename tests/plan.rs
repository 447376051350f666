//! Every case of the merge table, as files: what was agreed, what each side did since, and the plan that follows.
//!
//! A case is a folder in `tests/plan_cases/`. Its files are taken in this order, and all but the last two are optional:
//!
//! | file | what it does |
//! | --- | --- |
//! | `base.yaml` | is migrated; without it the orchestrator has made the store and we have never met it |
//! | `live.sql` | edits the database; `token('x')` is an encrypted API key |
//! | `met.yaml`, `met-policy.json` | a pass is made with this source and this policy |
//! | `later.sql` | edits the database once more |
//! | `policy.json` | the answers for the plan; otherwise the defaults |
//! | `desired.yaml` | is the source now |
//! | `expected.txt` | the plan and the exit code; `make bless` rewrites it |

#![expect(clippy::disallowed_methods, reason = "the cases are files")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use oxide_operator::cli::Exit;
use oxide_operator::model::Policy;
use oxide_operator::plan::{Colour, findings_text};
use oxide_operator::report::Outcome;
use oxide_operator::sync::Mode;
use support::{World, policy};

#[test]
fn every_case_gives_the_plan_that_is_expected() {
    let bless = std::env::var_os("OXIDE_BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let name = name_of(&case);
        let found = plan_of(&case);
        let file = case.join("expected.txt");
        if bless {
            fs::write(&file, &found).expect("the case's folder is writable");
        } else if fs::read_to_string(&file).unwrap_or_default() != found {
            let expected = fs::read_to_string(&file).unwrap_or_else(|_| "(no expected.txt)\n".into());
            wrong.push(format!("== {name}: expected\n{expected}-- found\n{found}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n{} cases differ; `make bless` accepts them",
        wrong.join("\n"),
        wrong.len()
    );
}

#[test]
fn an_apply_does_what_the_plan_said_and_a_second_one_does_nothing() {
    for case in cases() {
        let policy = policy_of(&case, "policy.json");
        let world = world_of(&case);
        let planned = world.pass(Mode::Plan, &policy);
        let applied = world.apply(&policy);
        let name = name_of(&case);
        let text = |plan: &Option<std::sync::Arc<oxide_operator::plan::Plan>>| {
            plan.as_ref().map(|plan| plan.to_text(Colour::Off))
        };
        assert_eq!(text(&planned.plan), text(&applied.plan), "{name}");
        let rows = world.rows();
        let again = world.apply(&policy);
        assert_eq!(world.rows(), rows, "{name}: the second pass wrote something");
        if !matches!(applied.outcome, Outcome::Invalid | Outcome::Failed) {
            assert!(again.plan.is_some_and(|plan| plan.is_noop()), "{name}: {}", again.summary);
        }
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan_cases");
    let entries = fs::read_dir(folder).expect("there are cases");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    cases.sort();
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    cases
}

fn name_of(case: &Path) -> String {
    case.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn plan_of(case: &Path) -> String {
    let report = world_of(case).pass(Mode::Plan, &policy_of(case, "policy.json"));
    let mut text = match (&report.plan, &report.failure) {
        (_, Some(failure)) => format!("{}: {}\n", failure.reason, failure.message),
        (Some(plan), None) => plan.to_text(Colour::Off),
        (None, None) => format!("{}{}\n", findings_text(&report.findings), report.summary),
    };
    let exit = Exit::from(&report);
    let _ = writeln!(text, "\nexit {}: {}", exit as u8, report.outcome.name());
    text
}

fn world_of(case: &Path) -> World {
    let file = |name: &str| fs::read_to_string(case.join(name)).ok();
    let desired = file("desired.yaml").unwrap_or_else(|| panic!("{} has no desired.yaml", name_of(case)));
    let mut world = match file("base.yaml") {
        Some(base) => World::migrated_from(&base),
        None => World::never_met("", ""),
    };
    if let Some(sql) = file("live.sql") {
        world = world.edit_database(&sql);
    }
    if let Some(met) = file("met.yaml") {
        world = world.with_source(&met);
        world.apply(&policy_of(case, "met-policy.json"));
    }
    if let Some(sql) = file("later.sql") {
        world = world.edit_database(&sql);
    }
    world.with_source(&desired)
}

fn policy_of(case: &Path, file: &str) -> Policy {
    fs::read_to_string(case.join(file)).map(|json| policy(&json)).unwrap_or_default()
}
