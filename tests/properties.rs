//! Laws, over random sources, random edits of the database and random policies, on real SQLite files.

#[path = "support/generate.rs"]
mod generate;
mod support;

use generate::{Declared, Edit, declared, edited, edits, policies, sql_value};
use oxide_operator::model::{BaseObject, Kind, OnDrift, Policy, Prune, Section, StoreSnapshot, Value};
use oxide_operator::plan::{Class, Colour, Plan, Reason, Step, faults};
use oxide_operator::report::Outcome;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use support::rows::Rows;
use support::{World, source_wins};

/// Rows, columns and tables that are nobody's business of ours.
const FOREIGN: &str = "
ALTER TABLE services ADD COLUMN future TEXT DEFAULT 'theirs';
ALTER TABLE routing_rules ADD COLUMN future BLOB DEFAULT x'00ff';
ALTER TABLE execution_settings ADD COLUMN future REAL DEFAULT 0.1;
CREATE TABLE plugins (id INTEGER PRIMARY KEY, payload BLOB);
INSERT INTO plugins VALUES (1, x'00ff'), (2, 'text'), (3, NULL);
INSERT INTO discovered_nodes (node_id, hostname, ip_address, port, services, first_seen, last_seen)
    VALUES ('node-1', 'other', '192.0.2.7', 8000, '{}', 1, 2);
INSERT INTO services (id, name, type, enabled, executable, capabilities, created_at, updated_at, node_id)
    VALUES ('node-1-x', 'remote', 'cli', 1, 'x', 'not json', 1, 1, 'node-1'), ('extra-remote', NULL, 'http', 0, NULL, NULL, 2, 2, 'node-1');
";

/// What happened to a store: agreed, edited there, declared anew.
#[derive(Clone, Debug)]
struct Story {
    first: Declared,
    edits: Vec<Edit>,
    second: Declared,
    /// Whether our own tables are gone before the pass that is looked at: then it meets the store for the first time.
    unmet: bool,
}

const FORGET: &str = "
DROP TABLE operator_base; DROP TABLE operator_meta; DROP TABLE operator_revision; DROP TABLE operator_snapshot_part;
";

fn stories() -> impl Strategy<Value = Story> {
    (declared(), edits(), declared(), prop::bool::weighted(0.3))
        .prop_map(|(first, edits, second, unmet)| Story { first, edits, second, unmet })
}

impl Story {
    /// The world before the pass that is looked at.
    fn world(&self) -> World {
        let world = World::migrated_from(&self.first.yaml()).edit_database(FOREIGN);
        self.edits.iter().for_each(|edit| edit.apply(&world));
        if self.unmet {
            world.database(FORGET);
        }
        world.with_source(&self.second.yaml())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/properties.proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_pass_after_a_pass_does_nothing(story in stories(), policy in policies()) {
        let world = story.world();
        let first = world.apply(&policy);
        prop_assert!(first.failure.is_none(), "{:?}", first.failure);
        let rows = world.rows();
        let second = world.apply(&policy);
        prop_assert_eq!(world.rows(), rows);
        if first.outcome != Outcome::Invalid {
            prop_assert!(plan_of(&second).is_noop(), "{}", plan_of(&second).to_text(Colour::Off));
        }
    }

    #[test]
    fn where_the_source_wins_no_declared_value_differs_afterwards(story in stories()) {
        let world = story.world();
        let report = world.apply(&source_wins());
        if report.outcome == Outcome::Invalid {
            prop_assert!(report.written.is_none());
            return Ok(());
        }
        let plan = world.plan(&source_wins());
        prop_assert!(plan.steps.is_empty());
        let stays = plan.left_alone.iter().filter(|left| left.is_difference());
        let other = stays.filter(|left| left.reason != Reason::PruneNever).count();
        prop_assert_eq!(other, 0, "{}", plan.to_text(Colour::Off));
    }

    #[test]
    fn what_is_not_ours_stays_byte_for_byte(story in stories(), policy in policies()) {
        let world = story.world();
        let before = foreign(&world);
        world.apply(&policy);
        prop_assert_eq!(foreign(&world), before);
    }

    #[test]
    fn nothing_that_both_sides_never_agreed_on_is_deleted(story in stories(), policy in policies()) {
        let world = story.world();
        let before = world.snapshot();
        world.apply(&policy);
        let after = world.snapshot();
        for section in Section::ALL {
            for (id, object) in before.live.section(section).into_iter().flatten() {
                let owned = before.base.get(section, id).is_some_and(BaseObject::is_owned);
                let declared = plan_mentions(&story.second, section, id);
                let kept = after.live.get(section, id);
                prop_assert!(kept.is_some() || (owned && !declared), "{section:?} {id} was deleted");
                if !declared {
                    prop_assert!(kept.is_none_or(|kept| kept == object), "{section:?} {id} was changed");
                }
            }
        }
    }

    #[test]
    fn meeting_a_store_writes_nothing_into_it_until_somebody_chooses(story in stories(), revert: bool, prune: bool) {
        let on_drift = if revert { OnDrift::Revert } else { OnDrift::Keep };
        let prune = if prune { Prune::Owned } else { Prune::Never };
        let policy = Policy { on_drift, prune, ..Policy::default() };
        let world = Story { unmet: true, ..story }.world();
        prop_assume!(!world.snapshot().is_untouched());
        for _pass in 0..2 {
            let before = world.rows().of_the_orchestrator();
            world.apply(&policy);
            prop_assert_eq!(world.rows().of_the_orchestrator(), before);
        }
    }

    #[test]
    fn a_plan_says_the_same_thing_every_time(story in stories(), policy in policies()) {
        let world = story.world();
        let (one, two) = (world.plan(&policy), world.plan(&policy));
        prop_assert_eq!(one.to_text(Colour::Off), two.to_text(Colour::Off));
        prop_assert_eq!(one.to_text(Colour::On), two.to_text(Colour::On));
        let json = |plan: &Plan| serde_json::to_string(&plan.document()).expect("a document");
        prop_assert_eq!(json(&one), json(&two));
        prop_assert_eq!(one.to_markdown(), two.to_markdown());
        let paths: Vec<_> = one.left_alone.iter().map(|left| left.path.clone()).collect();
        prop_assert!(paths.is_sorted(), "{paths:?}");
    }

    #[test]
    fn planning_writes_nothing(story in stories(), policy in policies()) {
        let world = story.world();
        let before = world.rows();
        world.plan(&policy);
        prop_assert_eq!(world.rows(), before);
        prop_assert_eq!(world.files("backups").len(), 0);
    }

    #[test]
    fn applying_an_export_is_a_no_op(story in stories(), minimal: bool, with_secrets: bool) {
        let world = story.world();
        prop_assume!(is_valid(&world.snapshot()));
        let world = World::with_source(world, &story.first.yaml());
        let yaml = world.export(minimal, with_secrets);
        let world = world.with_source(&yaml);
        // An export over the source's own file would be taken for one that another program wrote anew.
        world.database("DROP TABLE IF EXISTS operator_source");
        let before = world.rows().of_the_orchestrator();
        let report = world.apply(&source_wins());
        prop_assert_eq!(world.rows().of_the_orchestrator(), before, "{}", yaml);
        prop_assert!(report.written.is_none_or(|written| written.revision.is_none()));
        prop_assert_eq!(report.outcome, Outcome::InSync, "{} {:?}\n{}", report.summary, report.findings, yaml);
    }

    #[test]
    fn an_export_fills_an_empty_store_with_the_same_values(story in stories(), minimal: bool, with_secrets: bool) {
        let world = story.world();
        prop_assume!(is_valid(&world.snapshot()));
        let yaml = world.export(minimal, with_secrets);
        let other = World::migrated_from(&yaml);
        let (here, there) = (world.snapshot(), other.snapshot());
        for section in Section::ALL {
            let ids = |snapshot: &StoreSnapshot| -> Vec<Box<str>> {
                snapshot.live.section(section).into_iter().flatten().map(|(id, _)| id.clone()).collect()
            };
            if section == Section::Execution && ids(&here).is_empty() {
                continue; // A deleted row comes back with the defaults, as the orchestrator inserts it.
            }
            prop_assert_eq!(ids(&here), ids(&there), "{}", yaml);
            for id in ids(&here) {
                for field in section.field_ids() {
                    let value = |snapshot: &StoreSnapshot| {
                        snapshot.live.get(section, &id).and_then(|object| object.get(field)).cloned().unwrap_or(Value::Unset)
                    };
                    let spec = section.spec(field);
                    let (one, two) = (value(&here), value(&there));
                    prop_assert!(one.same(&two, spec.kind), "{id} {}: {one:?} {two:?}\n{yaml}", spec.name);
                }
            }
        }
    }

    #[test]
    fn any_one_changed_value_is_found_and_nothing_else((declared, at, value) in changed_values()) {
        let world = World::migrated_from(&declared.yaml());
        let (section, id, name) = declared.fields()[at].clone();
        let field = section.field(name).expect("known");
        let spec = section.spec(field);
        let before = world.snapshot().live.value(section, &id, name).cloned().expect("it was migrated");
        let key = if section == Section::Execution { "1" } else { &id };
        let sql = format!("UPDATE {} SET {} = ? WHERE {} = ?", section.table(), spec.column, section.id_column());
        let changed = world.as_the_orchestrator().execute(&sql, (sql_value(spec, &value), key)).expect("it is written");
        prop_assert_eq!(changed, 1);
        let after = world.snapshot().live.value(section, &id, name).cloned().expect("it is there");
        prop_assume!(!before.same(&after, spec.kind));

        let plan = world.plan(&Policy::default());
        prop_assert!(plan.steps.is_empty() && plan.refused.is_empty());
        let found: Vec<_> = plan.left_alone.iter().filter(|left| left.is_difference()).collect();
        prop_assert_eq!(found.len(), 1, "{}", plan.to_text(Colour::Off));
        prop_assert_eq!(found[0].class, Class::Drift);
        prop_assert_eq!(&*found[0].path.id, &*id);
        prop_assert_eq!((found[0].path.section, found[0].path.field), (section, Some(field)));

        let report = world.apply(&source_wins());
        prop_assert_eq!(report.outcome, Outcome::Applied);
        let steps: Vec<_> = plan_of(&report).steps.iter().map(Step::target).collect();
        prop_assert_eq!(steps, vec![(section, &*id)]);
        let mended = world.snapshot().live.value(section, &id, name).cloned().expect("it is there");
        prop_assert!(before.same(&mended, spec.kind) || spec.kind == Kind::Set);
    }
}

/// A source, one of its declared fields, and another value for it.
fn changed_values() -> impl Strategy<Value = (Declared, usize, serde_json::Value)> {
    declared().prop_flat_map(|declared| {
        let fields = declared.fields();
        (Just(declared), 0..fields.len()).prop_flat_map(move |(declared, at)| {
            let (section, _, name) = fields[at];
            let spec = section.spec(section.field(name).expect("known"));
            (Just(declared), Just(at), edited(section, spec))
        })
    })
}

fn plan_of(report: &oxide_operator::report::SyncReport) -> &Plan {
    report.plan.as_ref().expect("a pass over a valid source has a plan")
}

fn plan_mentions(declared: &Declared, section: Section, id: &str) -> bool {
    let objects = declared.sections.iter().filter(|(of, _)| *of == section).flat_map(|(_, objects)| objects);
    objects.into_iter().any(|(declared, _)| declared == id)
}

/// Whether the orchestrator would accept what is in the store, so that an export of it is a source.
fn is_valid(snapshot: &StoreSnapshot) -> bool {
    snapshot.live.count(Section::Services) > 0 && faults(&snapshot.live).is_empty()
}

/// Unknown tables, rows of other machines, and the unknown columns of the rows that are still there.
fn foreign(world: &World) -> (Vec<String>, Vec<String>, Vec<String>, Vec<String>) {
    let rows: Rows = world.rows();
    let remote = rows.with("services", "node_id='node-1'").into_iter().map(str::to_owned).collect();
    let conn = world.as_the_orchestrator();
    let unknown = [("services", "future IS NOT 'theirs'"), ("routing_rules", "future IS NOT x'00ff'")];
    let unknown = unknown.iter().flat_map(|(table, odd)| {
        support::rows::texts(&conn, &format!("SELECT quote(future) FROM {table} WHERE {odd}"))
    });
    (rows.table("plugins").to_vec(), rows.table("discovered_nodes").to_vec(), remote, unknown.collect())
}
