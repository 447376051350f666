//! What is reported: the status of a store, events, and the sum of all stores.

use std::process::Command;

use serde_json::{Value as Json, json};

use crate::world::{World, condition, two_services};

const DISABLE: &str = "UPDATE services SET enabled = 0 WHERE id = 'gemini'";
const ENABLE: &str = "UPDATE services SET enabled = 1 WHERE id = 'gemini'";

fn event(world: &World, reason: &str) -> Json {
    let what = format!("an event {reason}");
    world.api.await_object(world.namespace, "events", &what, |event| event["reason"] == reason)
}

#[test]
fn drift_shows_in_the_status_as_an_event_and_as_a_metric_and_goes_away() {
    let world = World::new("drift");
    world.declare(&two_services());
    let agent = world.agent(&[]);
    world.await_status("the first status", |status| status["outcome"].is_string());
    world.kubectl(&["wait", "--for=condition=Ready", "oxidestore/store", "--timeout=60s"]);
    world.kubectl(&["wait", "--for=condition=Synced", "oxideconfig/default", "--timeout=60s"]);
    assert!(
        event(&world, "Applied")["message"]
            .as_str()
            .is_some_and(|note| note.starts_with("revision 1: 3 created"))
    );

    agent.orchestrator().execute(DISABLE, []).expect("an edit");
    let status = world.await_status("drift", |status| condition(status, "Drifted") == "True");
    assert_eq!(status["counts"]["drift"], 1);
    assert_eq!(status["differences"][0]["path"], "services.gemini.enabled");
    assert_eq!((condition(&status, "Ready"), condition(&status, "Synced")), ("True", "False"));
    assert!(
        event(&world, "Drifted")["message"]
            .as_str()
            .is_some_and(|note| note.contains("services.gemini.enabled"))
    );
    let served = agent.served();
    let drift = "oxide_operator_drift_fields{class=\"drift\",section=\"services\"}";
    assert_eq!(world.api.inside(|| served.metric(drift)), 1);
    let sum = world.api.await_object(world.namespace, "oxideconfigs", "the sum", |config| {
        config["status"]["stores"]["drifted"] == 1
    });
    assert_eq!(condition(&sum["status"], "Synced"), "False");
    let table = world.kubectl(&["get", "oxidestores"]);
    assert!(table.starts_with("NAME    READY   SYNCED   DRIFT   CONFLICTS   REVISION   SOURCE"), "{table}");

    agent.orchestrator().execute(ENABLE, []).expect("an edit");
    world.await_status("no drift", |status| condition(status, "Drifted") == "False");
    event(&world, "DriftGone");
}

#[test]
fn a_status_is_written_only_when_it_changed() {
    let world = World::new("quiet");
    world.declare(&two_services());
    let agent = world.agent(&[]);
    world.kubectl(&["wait", "--for=condition=Synced", "oxideconfig/default", "--timeout=60s"]);
    agent.orchestrator().execute(DISABLE, []).expect("an edit");
    world.await_status("drift", |status| condition(status, "Drifted") == "True");
    let mut watch = world.api.watch(world.namespace, "oxidestores");
    let before = watch.wait_for("the status so far", |_| true)["metadata"]["resourceVersion"].clone();
    let events = || world.kubectl(&["get", "events", "--output=name"]).lines().count();
    let told = events();
    let passes = "oxide_operator_reconcile_total{result=\"differences\"}";
    let served = agent.served();
    for _ in 0..20 {
        let count = world.api.inside(|| served.metric(passes));
        agent.signal("HUP");
        world.api.inside(|| served.wait_for_metric(passes, count + 1));
    }
    // An edit of another value comes after all of those passes, and is the next thing that is written.
    agent.orchestrator().execute("UPDATE execution_settings SET timeout_seconds = 61", []).expect("an edit");
    let mut versions = Vec::new();
    watch.wait_for("the next status", |store| {
        versions.push(store["metadata"]["resourceVersion"].clone());
        store["status"]["counts"]["drift"] == 2
    });
    versions.retain(|version| *version != before);
    assert_eq!(versions.len(), 1, "written more often than it changed: {versions:?}");
    assert!(events() <= told + 2, "at most the new drift and its entry in the history are events");
}

#[test]
fn a_store_that_somebody_deletes_or_takes_over_is_made_again() {
    let world = World::new("again");
    world.declare(&two_services());
    let _agent = world.agent(&[]);
    let first = world.api.await_object(world.namespace, "oxidestores", "the store", |store| {
        store["status"]["outcome"].is_string()
    });
    world.kubectl(&["delete", "oxidestore", "store"]);
    world.api.await_object(world.namespace, "oxidestores", "another store", |store| {
        store["metadata"]["uid"] != first["metadata"]["uid"] && store["status"]["outcome"].is_string()
    });
    let patch = json!({"spec": {"database": "/elsewhere"}}).to_string();
    world.kubectl(&["patch", "oxidestore", "store", "--type=merge", "-p", &patch]);
    world.api.await_object(world.namespace, "oxidestores", "the true path", |store| {
        store["spec"]["database"] == first["spec"]["database"] && store["metadata"]["generation"] == 3
    });
}

#[test]
fn of_two_agents_of_one_name_the_one_that_began_last_reports() {
    let world = World::new("one-name");
    world.declare(&two_services());
    let mut first = world.agent(&[]);
    let instance = |store: &Json| store["metadata"]["annotations"]["oxide.dev/agent-instance"].clone();
    let store = world.api.await_object(world.namespace, "oxidestores", "the first", |store| {
        store["status"]["outcome"].is_string()
    });
    let second = world.agent(&[]);
    let taken = world.api.await_object(world.namespace, "oxidestores", "the second", |other| {
        instance(other) != instance(&store)
    });
    first.wait_for("the word about it", |line| line["message"].to_string().contains("another --store-name"));
    first.orchestrator().execute(DISABLE, []).expect("an edit");
    first.wait_for_outcome("differences");
    second.orchestrator().execute("UPDATE execution_settings SET timeout_seconds = 61", []).expect("an edit");
    let status = world.await_status("the second's drift", |status| status["counts"]["drift"] == 1);
    assert_eq!(status["differences"][0]["path"], "execution.timeout_seconds");
    assert_eq!(instance(&world.get("oxidestore", "store")), instance(&taken));
}

#[test]
fn a_pod_owns_its_store_and_the_labels_tell_its_configuration() {
    let world = World::new("owned");
    world.declare(&two_services());
    let folder = tempfile::tempdir().expect("a folder");
    let mut program = world.api.program(env!("CARGO_BIN_EXE_oxide-operator"));
    program
        .env("POD_NAME", "oxide-0")
        .env("POD_NAMESPACE", "owned")
        .env("POD_UID", "0c9a8b4e-0000-4000-8000-000000000001");
    let _agent = crate::agent::Agent::start_with(program, folder, &world.source(), &[]);
    let store = world.api.await_object(world.namespace, "oxidestores", "the pod's store", |store| {
        store["metadata"]["name"] == "oxide-0"
    });
    assert_eq!(store["metadata"]["ownerReferences"][0]["kind"], "Pod");
    assert_eq!(store["metadata"]["ownerReferences"][0]["uid"], "0c9a8b4e-0000-4000-8000-000000000001");
    assert_eq!(store["metadata"]["labels"]["oxide.dev/config"], "default");
}

#[test]
fn when_the_agent_that_sums_up_is_killed_another_one_takes_over() {
    let world = World::new("lease");
    world.declare(&two_services());
    let first = world.agent(&["--store-name", "first"]);
    let holder = |name: &'static str| {
        world
            .api
            .await_object(world.namespace, "leases", name, |lease| lease["spec"]["holderIdentity"] == name)
    };
    holder("first");
    let second = world.agent(&["--store-name", "second"]);
    world.api.await_object(world.namespace, "oxideconfigs", "two stores", |config| {
        config["status"]["stores"]["ready"] == 2
    });
    let killed =
        Command::new("kill").args(["-KILL", &first.child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    world.kubectl(&["delete", "oxidestore", "first"]);
    second.orchestrator().execute(DISABLE, []).expect("an edit");
    holder("second");
    world.api.await_object(world.namespace, "oxideconfigs", "one store that drifted", |config| {
        config["status"]["stores"]
            == json!({"total": 1, "ready": 1, "synced": 0, "drifted": 1, "conflicted": 0})
    });
}

#[test]
fn an_agent_that_is_told_to_stop_lets_the_next_one_sum_up_at_once() {
    let world = World::new("leave");
    world.declare(&two_services());
    let mut first = world.agent(&["--store-name", "first"]);
    world.api.await_object(world.namespace, "leases", "a holder", |lease| {
        lease["spec"]["holderIdentity"] == "first"
    });
    first.signal("TERM");
    assert!(first.child.wait().expect("it ends").success());
    let lease = world.get("lease", "oxide-operator-default");
    assert_eq!(lease["spec"]["holderIdentity"], Json::Null, "{lease}");
    let began = std::time::Instant::now();
    let _second = world.agent(&["--store-name", "second"]);
    world.api.await_object(world.namespace, "leases", "the next holder", |lease| {
        lease["spec"]["holderIdentity"] == "second"
    });
    assert!(began.elapsed() < oxide_operator::settings::LEASE_LASTS, "it waited until the Lease expired");
}

#[test]
fn each_write_and_each_edit_has_an_event_of_its_own() {
    let world = World::new("events");
    world.declare(&two_services());
    let agent = world.agent(&[]);
    let told = |reason: &str, part: &str| {
        world.api.await_object(world.namespace, "events", part, |event| {
            event["reason"] == reason && event["message"].as_str().is_some_and(|it| it.contains(part))
        });
    };
    told("Applied", "revision 1");
    world.edit(&json!({"spec": {"config": {"execution": {"timeout_seconds": 61}}}}));
    told("Applied", "revision 2");
    agent.orchestrator().execute(DISABLE, []).expect("an edit");
    told("Drifted", "services.gemini.enabled");
    agent.orchestrator().execute("UPDATE execution_settings SET timeout_seconds = 62", []).expect("an edit");
    told("Drifted", "execution.timeout_seconds");
}
