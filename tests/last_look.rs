//! What is asked once more under the write lock or in the last moment, each on a database that just became another.

#![expect(clippy::disallowed_methods, reason = "it moves files and edits rows")]

mod support;

use std::fs;
use std::time::SystemTime;

use oxide_operator::model::{Policy, Section, SourceDigest};
use oxide_operator::plan::{Plan, Step};
use oxide_operator::report::Outcome;
use oxide_operator::store::{Access, Record, Store, StoreError};
use support::World;

/// A store whose source has moved on, and the plan for it.
fn planned() -> (World, std::sync::Arc<Plan>) {
    let world = World::migrated();
    world.edit_source(|source| source.replace("timeout_seconds: 45", "timeout_seconds: 46"));
    let plan = world.plan(&Policy::default());
    assert_eq!(plan.steps.len(), 1);
    (world, plan)
}

fn record() -> Record {
    Record {
        actor: "test".into(),
        reason: "test".into(),
        source: "test".into(),
        place: None,
        source_digest: SourceDigest(String::new()),
        carried: oxide_operator::model::Carried::default(),
        kept: None,
    }
}

fn write(store: &mut Store, plan: &Plan) -> Result<(), StoreError> {
    let sealed = store.seal(plan)?;
    store.begin()?;
    let applied = store.apply(plan, &sealed, &record(), None, SystemTime::now())?;
    store.commit(&applied).map(|_| ())
}

#[test]
fn rows_that_moved_since_the_plan_are_not_written_over() {
    let (world, plan) = planned();
    let mut store = world.store(Access::Write);
    world.database("UPDATE routing_rules SET timeout_seconds = 99 WHERE timeout_seconds = 45");
    let before = world.rows();
    assert!(matches!(write(&mut store, &plan), Err(StoreError::Stale)));
    store.rollback();
    assert_eq!(world.rows(), before);
}

#[test]
fn a_database_that_is_replaced_before_the_commit_is_not_written() {
    let (world, plan) = planned();
    let (before, mut store) = (world.rows(), world.store(Access::Write));
    let sealed = store.seal(&plan).expect("sealed");
    store.begin().expect("locked");
    let applied = store.apply(&plan, &sealed, &record(), None, SystemTime::now()).expect("written");
    let aside = world.path().join("aside");
    fs::create_dir(&aside).expect("created");
    for file in ["config.db", "config.db-wal", "config.db-shm"] {
        fs::rename(world.path().join(file), aside.join(file)).expect("moved");
    }
    assert!(matches!(store.commit(&applied), Err(StoreError::Moved { .. })));
    store.close();
    for file in fs::read_dir(&aside).expect("readable").flatten() {
        fs::rename(file.path(), world.path().join(file.file_name())).expect("moved back");
    }
    assert_eq!(world.rows(), before, "what was set aside was written all the same");
}

#[test]
fn a_database_that_was_edited_is_not_set_aside_unseen() {
    let world = World::migrated();
    let mut store = world.store(Access::Write);
    let seen = store.read().expect("read").fingerprint;
    world.database("UPDATE services SET max_retries = 9 WHERE id = 'gemini'");
    let before = world.rows();
    assert!(matches!(store.retire(seen, SystemTime::now()), Err(StoreError::Stale)));
    assert_eq!(world.rows(), before, "it is where it was");
    assert_eq!(world.files("backups").len(), 0);
}

#[test]
fn no_plan_reaches_a_row_of_another_machine() {
    let world = World::migrated();
    world.database(
        "INSERT INTO services (id, name, type, base_url, created_at, updated_at, node_id)
         VALUES ('ollama@node-2', 'ollama', 'http', 'http://192.0.2.2:11434', 1, 1, 'node-2')",
    );
    let mut store = world.store(Access::Write);
    let step = Step::Delete { section: Section::Services, id: "ollama@node-2".into() };
    let rows = store.read().expect("read").fingerprint;
    let plan = Plan { steps: vec![step], store: rows, ..Plan::default() };
    write(&mut store, &plan).expect("there is nothing of ours to delete");
    assert_eq!(world.rows().with("services", "ollama@node-2").len(), 1);
}

#[test]
fn a_row_that_reads_back_otherwise_is_not_committed() {
    let (world, _) = planned();
    world.database(
        "CREATE TRIGGER undo AFTER UPDATE OF timeout_seconds ON routing_rules
         BEGIN UPDATE routing_rules SET timeout_seconds = old.timeout_seconds WHERE task_type = old.task_type; END",
    );
    let before = world.rows();
    let report = world.apply(&Policy::default());
    assert_eq!(report.outcome, Outcome::Failed, "{}", report.summary);
    let failure = report.failure.expect("it says why");
    assert!(failure.message.contains("reads back with another value"), "{}", failure.message);
    assert_eq!(world.rows(), before);
}
