//! Edits of the database into objects: one leaf, under our own name, and only where nobody would write it back.

use std::process::Output;

use serde_json::{Value as Json, json};

use crate::agent::{Agent, YAML};
use crate::world::{World, condition, two_services};

fn edit(agent: &mut Agent, sql: &str) {
    agent.orchestrator().execute_batch(sql).expect("an edit");
    agent.wait_for_outcome("differences");
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What one manager owns by server-side apply.
fn owned(object: &Json, manager: &str) -> Json {
    let entries = object["metadata"]["managedFields"].as_array().expect("managed");
    let entry = entries.iter().find(|entry| entry["manager"] == manager && entry["subresource"].is_null());
    entry.map(|entry| entry["fieldsV1"].clone()).unwrap_or_default()
}

#[test]
fn a_value_is_promoted_into_an_oxide_config_and_nothing_else_is_ours() {
    let world = World::new("promote-config");
    let mut spec = two_services();
    spec["config"]["services"]["openrouter"] = json!({"type": "http", "base_url": "http://openrouter"});
    // By hand, so nobody will come by and write it again.
    world.declare_by(&["create"], &spec);
    let mut agent = world.agent(&[]);
    edit(&mut agent, "UPDATE services SET enabled = 0 WHERE id = 'gemini'");
    let promoted = world.beside(&agent, &["promote", "services.gemini.enabled"]).output().expect("runs");
    assert!(promoted.status.success(), "{}", said(&promoted));
    let printed = world.kubectl(&["get", "oxideconfig", "default", "--output=json", "--show-managed-fields"]);
    let config: Json = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(config["spec"]["config"]["services"]["gemini"]["enabled"], false);
    let ours = owned(&config, "oxide-operator");
    assert_eq!(ours["f:spec"]["f:config"], json!({"f:services": {"f:gemini": {".": {}, "f:enabled": {}}}}));

    edit(
        &mut agent,
        "UPDATE execution_settings SET timeout_seconds = 99; DELETE FROM services WHERE id = 'openrouter'",
    );
    let promoted = world.beside(&agent, &["promote", "--all"]).output().expect("runs");
    assert!(promoted.status.success(), "{}", said(&promoted));
    let config = world.get("oxideconfig", "default");
    assert_eq!(config["spec"]["config"]["execution"]["timeout_seconds"], 99);
    assert_eq!(
        config["spec"]["config"]["services"]["gemini"]["enabled"], false,
        "what was promoted before stays"
    );
    assert!(config["spec"]["config"]["services"]["openrouter"].is_null(), "what was deleted is gone");
    world.await_status("both sides agree", |status| condition(status, "Synced") == "True");
}

#[test]
fn a_field_that_another_manager_owns_is_refused_with_what_to_do() {
    let world = World::new("promote-refused");
    world.declare_by(&["apply", "--server-side", "--field-manager=argocd-controller"], &two_services());
    let agent = world.agent(&["--on-drift", "promote", "--grace", "0s"]);
    agent.orchestrator().execute("UPDATE services SET enabled = 0 WHERE id = 'gemini'", []).expect("an edit");
    let refused = world.beside(&agent, &["promote", "--all"]).output().expect("runs");
    let said = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("argocd-controller owns spec.config.services.gemini.enabled"), "{said}");
    assert!(said.contains("promote --git"), "{said}");
    let event = world
        .api
        .await_object(world.namespace, "events", "an event", |event| event["reason"] == "PromotionBlocked");
    assert!(event["message"].as_str().is_some_and(|note| note.contains("argocd-controller")), "{event}");
    assert_eq!(world.get("oxideconfig", "default")["spec"]["config"]["services"]["gemini"]["enabled"], true);
}

#[test]
fn run_promotes_into_a_config_map_and_changes_one_leaf_of_its_yaml() {
    let world = World::new("promote-map");
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = folder.path().join("default.yaml");
    std::fs::write(&yaml, YAML).expect("written");
    world.kubectl(&[
        "create",
        "configmap",
        "oxide",
        &format!("--from-file={}", yaml.display()),
        "--from-literal=README=x",
    ]);
    let mut agent =
        world.starting_agent("configmap:promote-map/oxide", &["--on-drift", "promote", "--grace", "0s"]);
    agent.wait_for_outcome("applied");
    agent
        .orchestrator()
        .execute("UPDATE execution_settings SET max_parallel_workers = 9", [])
        .expect("an edit");
    agent.wait_for_outcome("in_sync");
    let map = world.get("configmap", "oxide");
    let expected = YAML.replace("max_parallel_workers: 4", "max_parallel_workers: 9");
    assert_eq!(map["data"]["default.yaml"].as_str(), Some(expected.as_str()));
    assert_eq!(map["data"]["README"], "x");
    let event =
        world.api.await_object(world.namespace, "events", "an event", |event| event["reason"] == "Promoted");
    assert!(event["message"].as_str().is_some_and(|note| note.contains("execution.max_parallel_workers")));
}

#[test]
fn while_the_source_is_suspended_nothing_is_written_into_it_either() {
    let world = World::new("promote-suspended");
    let mut spec = two_services();
    spec["suspend"] = true.into();
    spec["policy"] = json!({"onDrift": "promote", "grace": "0s"});
    world.declare(&spec);
    world.edit(&json!({"spec": {"suspend": false}}));
    let mut agent = world.agent(&[]);
    world.edit(&json!({"spec": {"suspend": true}}));
    world.await_status("suspension", |status| condition(status, "Paused") == "True");
    let before = world.get("oxideconfig", "default")["metadata"]["generation"].clone();
    edit(&mut agent, "UPDATE services SET enabled = 0 WHERE id = 'gemini'");
    world.await_status("the drift", |status| status["counts"]["drift"] == 1);
    assert_eq!(world.get("oxideconfig", "default")["metadata"]["generation"], before);
}
