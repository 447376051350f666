//! Databases as they are found: written by the orchestrator, older, newer, empty, locked, broken, read-only.

#![expect(clippy::disallowed_methods, reason = "it breaks files on purpose")]

mod support;
#[path = "wild/trouble.rs"]
mod trouble;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use oxide_operator::model::{Policy, Section};
use oxide_operator::plan::{Class, Colour};
use oxide_operator::report::Outcome;
use oxide_operator::sync::Mode;
use support::rows::texts;
use support::{KEY, SAMPLE, World, policy, source_wins};

const WILD_ROWS: &str = include_str!("support/in_the_wild.sql");
const WILD_SOURCE: &str = include_str!("support/in_the_wild.yaml");
const GUIDE_SCHEMA: &str = include_str!("support/guide_only.sql");

/// Every managed field once, with values that differ from the defaults.
const EVERY_FIELD: &str = r#"
services:
  zeta: {type: cli, executable: zeta, enabled: false}
  alpha:
    type: http
    enabled: true
    executable: unused
    base_url: http://alpha
    api_type: openai_compatible
    api_key: "sk-«every»: #field"
    default_model: "a: b"
    max_context_tokens: 9223372036854775807
    capabilities: [b, a, "null"]
    models: ["1:30"]
    preferred_models: [second, first]
    fallback_models: ["two\nlines", "é😀"]
    use_free_only: false
    max_retries: 0
    retry_delay: 7
    site_url: ""
    site_name: "~"
    auto_start: true
    auto_detect_model: false
routing_rules:
  task: {primary: alpha, fallback: [zeta, alpha], parallel_threshold_files: 1, timeout_seconds: 2}
execution: {max_parallel_workers: 9, timeout_seconds: 8, streaming: false, retry_on_failure: false, max_retries: 7}
"#;

#[test]
fn a_store_that_the_orchestrator_filled_is_adopted_without_a_change() {
    let world = World::never_met(WILD_ROWS, WILD_SOURCE);
    let before = world.rows();
    let report = world.apply(&Policy::default());
    assert_eq!(report.outcome, Outcome::InSync, "{}", text(&report));
    assert_eq!(world.rows().of_the_orchestrator(), before.of_the_orchestrator());
    assert_eq!(
        world.rows().table("config_history"),
        before.table("config_history"),
        "its history is its own"
    );
    assert!(world.plan(&Policy::default()).is_noop());
}

#[test]
fn one_value_of_such_a_store_is_changed_and_nothing_beside_it() {
    let world = World::never_met(WILD_ROWS, WILD_SOURCE);
    world.apply(&Policy::default());
    let before = world.rows();
    world.edit_source(|source| source.replace("retry_delay: 2", "retry_delay: 20"));
    assert_eq!(world.apply(&Policy::default()).outcome, Outcome::Applied);
    let after = world.rows();
    for table in ["routing_rules", "execution_settings", "discovered_nodes"] {
        assert_eq!(after.table(table), before.table(table), "{table}");
    }
    let without = |rows: &[String]| -> Vec<String> {
        let moved = |column: &str| column.starts_with("retry_delay=") || column.starts_with("updated_at=");
        let columns = rows.iter().flat_map(|row| row.split(' ')).filter(|column| !moved(column));
        columns.map(str::to_owned).collect()
    };
    assert_eq!(without(after.table("services")), without(before.table("services")));
    assert_eq!(after.with("services", "retry_delay=20").len(), 1);
    let untouched =
        |id: &str| (before.with("services", id)[0].to_owned(), after.with("services", id)[0].to_owned());
    for id in ["id='gemini'", "id='ollama_local'", "id='node-7-ollama'"] {
        let (before, after) = untouched(id);
        assert_eq!(before, after, "updated_at moves only where a value moved");
    }
    assert_eq!(after.table("config_history")[..1], before.table("config_history")[..1]);
    assert_eq!(after.table("config_history").len(), 2);
}

#[test]
fn a_database_with_the_guides_columns_only_is_filled_and_gets_the_columns_it_needs() {
    let world = World::empty().with_source(SAMPLE);
    world.as_the_orchestrator().execute_batch(GUIDE_SCHEMA).expect("the guide's schema");
    let report = world.apply(&Policy::default());
    assert_eq!(report.outcome, Outcome::Applied, "{}", text(&report));
    let columns = texts(&world.as_the_orchestrator(), "SELECT name FROM pragma_table_info('services')");
    for needed in ["preferred_models", "use_free_only", "site_name", "retry_delay"] {
        assert!(columns.iter().any(|column| column == needed), "{needed} is missing of {columns:?}");
    }
    assert!(world.plan(&Policy::default()).is_noop());
}

#[test]
fn a_database_with_the_guides_columns_only_and_rows_is_read() {
    let world = World::empty()
        .with_source("services:\n  a: {type: cli, executable: a}\nexecution: {max_retries: 2}\n");
    let rows =
        "INSERT INTO services (id, type, executable, created_at, updated_at) VALUES ('a', 'cli', 'a', 1, 1);";
    world.as_the_orchestrator().execute_batch(&format!("{GUIDE_SCHEMA}{rows}")).expect("the guide's schema");
    let report = world.apply(&Policy::default());
    // There is no execution row yet: whether it is to be made is a choice, as with everything that differs at first.
    assert!(matches!(report.outcome, Outcome::InSync | Outcome::ConflictHeld), "{}", text(&report));
    assert_eq!(report.count(Section::Services, Class::Conflict), 0, "{}", text(&report));
}

#[test]
fn an_absent_an_empty_and_a_partial_database_are_filled() {
    let partial = "CREATE TABLE routing_rules (task_type TEXT PRIMARY KEY, primary_service TEXT NOT NULL,
        fallback_services TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL);";
    for (case, sql) in [("absent", None), ("empty", Some("")), ("partial", Some(partial))] {
        let world = World::empty().with_source(SAMPLE);
        match sql {
            None => {}
            Some("") => fs::write(world.database_path(), "").expect("an empty file"),
            Some(sql) => world.as_the_orchestrator().execute_batch(sql).expect("a table"),
        }
        let planned = world.pass(Mode::Plan, &Policy::default());
        assert_eq!(planned.outcome, Outcome::Differences, "{case}: {}", text(&planned));
        assert!(case != "absent" || !world.database_path().exists(), "a plan creates nothing");
        let report = world.apply(&Policy::default());
        assert_eq!(report.outcome, Outcome::Applied, "{case}: {}", text(&report));
        assert_eq!(world.snapshot().live.count(Section::Services), 6, "{case}");
        assert!(world.plan(&Policy::default()).is_noop(), "{case}");
        let mode =
            world.as_the_orchestrator().query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
        assert_eq!(mode.expect("a mode"), "wal", "{case}");
    }
}

#[test]
fn a_new_database_is_private_and_so_is_its_folder() {
    let world = World::empty().with_source(SAMPLE);
    let db = world.path().join("new/deep/config.db");
    let output = operator(&world, &["apply", "--db", &db.to_string_lossy()]).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    for (path, mode) in [("new", 0o700), ("new/deep", 0o700), ("new/deep/config.db", 0o600)] {
        let found = fs::metadata(world.path().join(path)).expect(path).permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
}

#[test]
fn the_order_of_the_services_is_that_of_the_source() {
    let world = World::migrated_from(EVERY_FIELD);
    let ids = "SELECT id FROM services WHERE node_id IS NULL ORDER BY created_at ASC";
    assert_eq!(texts(&world.as_the_orchestrator(), ids), ["zeta", "alpha"]);
    let many: String =
        (0..300).map(|n| format!("  s{}: {{type: cli, executable: x}}\n", (n * 7919) % 300)).collect();
    let many = World::migrated_from(&format!("services:\n{many}"));
    let expected: Vec<String> = (0..300).map(|n| format!("s{}", (n * 7919) % 300)).collect();
    assert_eq!(texts(&many.as_the_orchestrator(), ids), expected);
}

#[test]
fn every_managed_field_survives_the_way_into_the_database_and_back() {
    let world = World::migrated_from(EVERY_FIELD);
    let live = world.snapshot().live;
    for (section, id) in
        [(Section::Services, "alpha"), (Section::RoutingRules, "task"), (Section::Execution, "")]
    {
        let object = live.get(section, id).expect("migrated");
        assert_eq!(object.len(), section.fields().len(), "{id}");
    }
    let back = World::migrated_from(&world.export(false, true));
    assert_eq!(columns_with_values(&back), columns_with_values(&world));
    let tokens = World::migrated_from(&world.export(false, false));
    assert_eq!(columns_with_values(&tokens), columns_with_values(&world));
    assert!(!world.export(false, false).contains("sk-"));
}

#[test]
fn unknown_columns_and_tables_of_another_version_stay_byte_for_byte() {
    let newer = "ALTER TABLE services ADD COLUMN priority INTEGER DEFAULT 5;
        ALTER TABLE routing_rules ADD COLUMN weights BLOB;
        UPDATE routing_rules SET weights = x'00ff00';
        CREATE TABLE plugins (id TEXT, payload BLOB);
        INSERT INTO plugins VALUES ('p', x'00ff'), (NULL, 1.5);
        CREATE VIEW enabled_services AS SELECT id FROM services WHERE enabled;
        CREATE TRIGGER keep AFTER DELETE ON plugins BEGIN SELECT 1; END;";
    let world = World::never_met(&format!("{WILD_ROWS}{newer}"), WILD_SOURCE);
    let schema = |world: &World| {
        texts(
            &world.as_the_orchestrator(),
            "SELECT name || coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE '%operator_%'",
        )
    };
    let (before, schema_before) = (world.rows(), schema(&world));
    world.edit_source(|source| source.replace("timeout_seconds: 60", "timeout_seconds: 61"));
    let report = world.apply(&source_wins());
    assert_eq!(report.outcome, Outcome::Applied, "{}", text(&report));
    let after = world.rows();
    assert_eq!(after.table("plugins"), before.table("plugins"));
    assert_eq!(after.table("services"), before.table("services"));
    assert_eq!(after.with("routing_rules", "weights=X'00FF00'").len(), 2);
    assert_eq!(schema(&world), schema_before);
}

#[test]
fn a_plan_for_a_prune_of_everything_in_the_wild_deletes_nothing() {
    let world = World::never_met(WILD_ROWS, "services: {}\nrouting_rules: {}\n");
    let before = world.rows().of_the_orchestrator();
    world.apply(&policy(
        r#"{"prune": "owned", "confirmPrune": 5, "onConflict": "source", "onDrift": "revert"}"#,
    ));
    assert_eq!(world.rows().of_the_orchestrator(), before);
}

/// Every service, rule and setting but its times and its token, which differ from one migration to the next.
fn columns_with_values(world: &World) -> Vec<String> {
    let live = world.snapshot().live;
    let objects = Section::ALL.into_iter().flat_map(|section| {
        live.section(section)
            .into_iter()
            .flatten()
            .map(move |(id, object)| (section, id.clone(), object.clone()))
    });
    objects
        .map(|(section, id, object)| oxide_operator::model::canonical_json(section, &object) + &id)
        .collect()
}

fn text(report: &oxide_operator::report::SyncReport) -> String {
    let plan = report.plan.as_ref().map(|plan| plan.to_text(Colour::Off)).unwrap_or_default();
    format!("{}\n{plan}{:?}", report.summary, report.findings)
}

/// The program with the world's source, store and key, and nothing of this process's environment.
fn operator(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxide-operator"));
    command.args(arguments).env_clear().env("OXIDE_ENCRYPTION_KEY", KEY);
    command.env("OXIDE_OPERATOR_SOURCE", world.source_path());
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
