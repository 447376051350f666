//! The laws of the history: whatever happened, each listed revision can be restored exactly, and restoring it again
//! changes nothing. The values are compared through raw SQL, as another program would read them.

#![expect(clippy::disallowed_methods, reason = "it reads the clock and files")]

#[path = "support/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use oxide_operator::model::{Section, Selection, StoreSnapshot, Value};
use oxide_operator::plan::{Refusal, removal, restore, towards};
use oxide_operator::store::{Access, KeySources, RevisionId, Store};
use oxide_operator::sync::{Edit, EditError, Edited, Mode, edit};
use process::{Place, SAMPLE, setting};
use proptest::prelude::*;
use serde_json::json;

/// One thing that happens to a store.
#[derive(Clone, Debug)]
enum Event {
    SetService {
        service: usize,
        number: u8,
    },
    SetKey {
        service: usize,
        number: u8,
    },
    AddService(u8),
    RemoveService(usize),
    SetRule {
        rule: usize,
        service: usize,
    },
    RemoveRule(usize),
    SetExecution(u8),
    /// The orchestrator writes by itself, and records nothing.
    Foreign {
        service: usize,
        enabled: bool,
    },
    Restore {
        back: usize,
        only: Option<usize>,
    },
    RollbackAndReturn,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0..8_usize, any::<u8>()).prop_map(|(service, number)| Event::SetService { service, number }),
        2 => (0..8_usize, any::<u8>()).prop_map(|(service, number)| Event::SetKey { service, number }),
        2 => (0..6_u8).prop_map(Event::AddService),
        2 => (0..8_usize).prop_map(Event::RemoveService),
        2 => (0..12_usize, 0..8_usize).prop_map(|(rule, service)| Event::SetRule { rule, service }),
        1 => (0..12_usize).prop_map(Event::RemoveRule),
        1 => any::<u8>().prop_map(Event::SetExecution),
        2 => (0..8_usize, any::<bool>()).prop_map(|(service, enabled)| Event::Foreign { service, enabled }),
        3 => (0..8_usize, proptest::option::of(0..8_usize)).prop_map(|(back, only)| Event::Restore { back, only }),
        1 => Just(Event::RollbackAndReturn),
    ];
    proptest::collection::vec(event, 1..14)
}

#[test]
fn any_listed_revision_is_restored_exactly_whatever_happened() {
    let cases = u32::try_from(setting("OXIDE_HISTORY_CASES", 40)).expect("a number");
    let config = ProptestConfig { cases, max_shrink_iters: 200, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner.run(&events(), |events| check(&events)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_history_is_thinned_out_by_time_and_programs_take_no_place_of_people() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    let conn = place.connect().expect("opens");
    let orchestrators = "INSERT INTO config_history (config_snapshot, change_description, created_at) VALUES ('{}', 'old', 1)";
    conn.execute(orchestrators, []).expect("written");
    let mut store = Store::at(&place.db(), Access::Write, &KeySources::default()).expect("a store");
    let write = |store: &mut Store, actor: &str, number: i64| {
        let how = Edit { actor, ..how() };
        let target = |live: &StoreSnapshot| {
            let mut target = live.live.clone();
            let field = Section::Execution.field("timeout_seconds").expect("a field");
            let execution = target.execution.as_mut().expect("in scope").values_mut().next().expect("a row");
            Arc::make_mut(execution).set(field, Value::Integer(number));
            target
        };
        edit(store, &how, |live, _| Ok(towards(&target(live), &live.live, None))).expect("written");
    };
    for number in 1..=40 {
        write(&mut store, "alice", number);
    }
    let numbers = |store: &mut Store| -> Vec<String> {
        store.revisions().expect("a history").iter().map(|it| it.revision.to_string()).collect()
    };
    assert_eq!(numbers(&mut store).len(), 42, "everything of the last hour is kept");
    for number in 0..300 {
        write(&mut store, "agent@node-1", 1_000 + number);
    }
    assert_eq!(numbers(&mut store).len(), 42 + 200, "a program's burst thins out itself alone");
    // Half a year later there is one of each week, and the first.
    let aged = "UPDATE operator_revision SET recorded_at = recorded_at - 181 * 86400";
    conn.execute(aged, []).expect("aged");
    write(&mut store, "alice", 99);
    let left = numbers(&mut store);
    assert!(left.len() <= 9 && left.contains(&"1".to_owned()) && left.contains(&"o2".to_owned()), "{left:?}");
    let snapshots: i64 =
        conn.query_row("SELECT count(*) FROM config_history", [], |row| row.get(0)).expect("counted");
    assert_eq!(usize::try_from(snapshots).expect("small"), left.len());
}

/// Another program edits again between the moment at which an edit is seen and the one at which it gets its entry.
#[test]
fn each_state_that_was_seen_has_an_entry_although_it_was_edited_again_before() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    let conn = place.connect().expect("opens");
    let mut store = Store::at(&place.db(), Access::Write, &KeySources::default()).expect("a store");
    conn.execute("UPDATE execution_settings SET timeout_seconds = 401", []).expect("written");
    conn.execute("UPDATE services SET enabled = 0, models = '[\"a, b\"]' WHERE id = 'lmstudio'", [])
        .expect("written");
    let seen = store.read().expect("read");
    conn.execute("UPDATE execution_settings SET timeout_seconds = 402", []).expect("written");
    let now = std::time::SystemTime::now();
    store.record_edits(seen.fingerprint, Some(&seen.live), "agent@here", now).expect("recorded");
    let recorded = |store: &mut Store, number: i64| {
        let state = store.recorded_state(number).expect("readable").expect("there").configuration;
        state.value(Section::Execution, "", "timeout_seconds").cloned()
    };
    assert_eq!(recorded(&mut store, 2), Some(Value::Integer(401)));
    assert_eq!(recorded(&mut store, 3), Some(Value::Integer(402)));
    assert_eq!(
        store.recorded_state(2).expect("readable").expect("there").configuration.services,
        seen.live.services
    );
    assert!(store.recorded_state(4).expect("readable").is_none());
    place.expect(0, &["restore", "2"]);
    assert_eq!(place.values()["execution_settings.1.timeout_seconds"], "401");
}

fn check(events: &[Event]) -> Result<(), TestCaseError> {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    let mut store = Store::at(&place.db(), Access::Write, &KeySources::default()).expect("a store");
    // What each revision left behind, read by another program when it was made.
    let mut recorded = BTreeMap::from([(1, values(&place))]);
    for event in events {
        let before = values(&place);
        happen(event, &place, &mut store);
        // What another program wrote before is recorded with the next write of ours, as an entry of its own.
        for revision in store.revisions().expect("a history") {
            let RevisionId::Ours(number) = revision.revision else { continue };
            let left = if revision.edit.is_some() { before.clone() } else { values(&place) };
            recorded.entry(number).or_insert(left);
        }
    }
    let listed = store.revisions().expect("a history");
    prop_assert_eq!(listed.len(), recorded.len());
    for revision in listed {
        let RevisionId::Ours(number) = revision.revision else { continue };
        go_back(&mut store, number, None).expect("restored");
        prop_assert_eq!(&values(&place), &recorded[&number], "revision {}", number);
        let again = go_back(&mut store, number, None).expect("restored");
        prop_assert!(again.plan.steps.is_empty() && again.written.is_none());
    }
    prop_assert_eq!(place.integrity(), "ok");
    Ok(())
}

fn happen(event: &Event, place: &Place, store: &mut Store) {
    let service = |store: &mut Store, index: usize| {
        let services = store.list_services().expect("services");
        services[index % services.len()]["id"].as_str().expect("an id").to_owned()
    };
    let rule = |store: &mut Store, index: usize| {
        let rules = store.list_routing_rules().expect("rules");
        (!rules.is_empty())
            .then(|| rules[index % rules.len()]["task_type"].as_str().expect("an id").to_owned())
    };
    // What is refused, such as disabling the last service, is refused whole; the store then stays as it is.
    match event {
        Event::SetService { service: index, number } => {
            let id = service(store, *index);
            let updates = json!({"max_retries": number % 5, "models": ["b", format!("a{number}")], "enabled": number % 3 != 0});
            let _ = store.update_service(&id, &updates);
        }
        Event::SetKey { service: index, number } => {
            let id = service(store, *index);
            let _ = store.update_service(&id, &json!({"api_key": format!("sk-{number}")}));
        }
        Event::AddService(number) => {
            let service =
                json!({"type": "http", "base_url": format!("http://{number}"), "api_key": "sk-new"});
            let _ = store.add_service(&format!("new.{number}"), &service);
        }
        Event::RemoveService(index) => {
            let id = service(store, *index);
            let _ = edit(store, &how(), |live, _| Ok(removal(&live.live, Section::Services, &id, true)));
        }
        Event::SetRule { rule: index, service: other } => {
            let (task, id) = (rule(store, *index), service(store, *other));
            let _ = store
                .add_routing_rule(&task.unwrap_or("new".into()), &json!({"primary": id, "fallback": []}));
        }
        Event::RemoveRule(index) => {
            if let Some(task) = rule(store, *index) {
                store.delete_routing_rule(&task).expect("deleted");
            }
        }
        Event::SetExecution(number) => {
            store.update_execution_settings(&json!({"timeout_seconds": number})).expect("written");
        }
        Event::Foreign { service: index, enabled } => {
            let id = service(store, *index);
            let conn = place.connect().expect("opens");
            conn.execute("UPDATE services SET enabled = ?1, models = NULL WHERE id = ?2", (enabled, id))
                .expect("written");
        }
        Event::Restore { back, only } => {
            let number = (newest(store) - i64::try_from(*back).expect("small")).max(1);
            let only = only.map(|index| format!("services.\"{}\"", service(store, index)));
            let _ = go_back(store, number, only.as_deref());
        }
        Event::RollbackAndReturn => {
            let live = store.read().expect("readable");
            store.retire(live.fingerprint, SystemTime::now()).expect("nobody else has it open");
            assert!(!place.db().exists());
            store.bring_back(None, SystemTime::now()).expect("back");
        }
    }
}

fn how() -> Edit<'static> {
    Edit { mode: Mode::Apply, actor: "test", reason: "test", origin: "test", decide: &[] }
}

fn go_back(store: &mut Store, number: i64, only: Option<&str>) -> Result<Edited, EditError> {
    let state = store.recorded_state(number).expect("readable").expect("still kept");
    let only: Option<Selection> = only.map(|path| path.parse().expect("a path"));
    edit(store, &how(), |live, _| {
        let confirmed = restore(&state.configuration, &live.live, only.as_ref(), None).map_or_else(
            |_| live.live.count(Section::Services) + live.live.count(Section::RoutingRules),
            |_| 0,
        );
        // The guard is not what is tested here: every number is confirmed.
        (0..=confirmed)
            .find_map(|number| restore(&state.configuration, &live.live, only.as_ref(), Some(number)).ok())
            .ok_or(Refusal::Invalid(Vec::new()))
    })
}

fn newest(store: &mut Store) -> i64 {
    let revisions = store.revisions().expect("a history");
    let ours = revisions.iter().filter_map(|revision| match revision.revision {
        RevisionId::Ours(number) => Some(number),
        RevisionId::Orchestrator(_) => None,
    });
    ours.max().expect("the migration")
}

/// The managed values by raw SQL; NULL and `[]` mean the same in a list, and the order of a set means nothing.
fn values(place: &Place) -> BTreeMap<String, String> {
    let mut values = place.values();
    let column = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    values.retain(|path, _| column(path) != "name");
    for (path, value) in &mut values {
        if let Ok(mut items) = serde_json::from_str::<Vec<String>>(value) {
            if ["capabilities", "models"].contains(&column(path).as_str()) {
                items.sort();
            }
            *value = if items.is_empty() { "NULL".into() } else { items.join(",") };
        }
    }
    values
}

/// The orchestrator's table takes anything in any column.
#[test]
fn rows_of_the_history_that_are_no_text_stop_no_write_and_hide_no_other_row() {
    for damage in [
        "config_snapshot = x'ff00'",
        "config_snapshot = CAST(x'ff00' AS TEXT)",
        "config_snapshot = 'no JSON'",
        "config_snapshot = 5",
        "change_description = x'ff00'",
        "change_description = CAST(x'ff00' AS TEXT)",
        "created_at = 'yesterday'",
        "created_at = x'ff00'",
    ] {
        for rows in ["", " WHERE id = (SELECT max(id) FROM config_history)"] {
            let place = Place::edited();
            place.expect(0, &["apply"]);
            let conn = place.connect().expect("opens");
            conn.execute("INSERT INTO config_history (config_snapshot, change_description, created_at) VALUES ('{}', 'theirs', 1)", [])
                .expect("written");
            conn.execute(&format!("UPDATE config_history SET {damage}{rows}"), []).expect("damaged");
            let history = place.expect(0, &["history"]);
            assert!(history.stdout.lines().count() >= 3, "{damage}: {history:#?}");
            for revision in ["1", "2", "o3"] {
                let shown = place.run(&["show", revision]);
                assert!(
                    shown.code() == Some(0) || !shown.stderr.contains("Invalid column"),
                    "{damage}: {shown:#?}"
                );
            }
            let edit = "UPDATE execution_settings SET max_parallel_workers = 9";
            conn.execute(edit, []).expect("edited by another program");
            let yaml = fs::read_to_string(place.yaml()).expect("there");
            place.write_yaml(&yaml.replace("timeout_seconds: 46", "timeout_seconds: 47"));
            place.expect(2, &["apply"]);
            assert_eq!(place.values()["routing_rules.code_generation.timeout_seconds"], "47", "{damage}");
            let edits = place.expect(0, &["history"]);
            place.expect(0, &["set", "execution.max_parallel_workers", "8"]);
            assert!(
                rows.is_empty() || edits.stdout.contains("edited in the database"),
                "{damage}: {edits:#?}"
            );
            place.expect(0, &["undo"]);
            assert_eq!(place.values()["execution_settings.1.max_parallel_workers"], "9", "{damage}");
        }
    }
}
