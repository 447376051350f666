//! A `ConfigMap` or an `OxideConfig` as the source: what is edited arrives, what is missing changes nothing.

use serde_json::json;

use crate::agent::with_workers;
use crate::world::{World, condition, two_services};

#[test]
fn edits_of_an_oxide_config_are_committed() {
    let world = World::new("edits");
    world.declare(&two_services());
    let mut agent = world.agent(&[]);
    for seconds in 100..110 {
        world.edit(&json!({"spec": {"config": {"execution": {"timeout_seconds": seconds}}}}));
        agent.wait_for_outcome("applied");
        let query = "SELECT timeout_seconds FROM execution_settings";
        let found: i64 = agent.orchestrator().query_row(query, [], |row| row.get(0)).expect("there");
        assert_eq!(found, seconds);
    }
}

#[test]
fn edits_of_a_config_map_are_committed_and_other_entries_are_no_source() {
    let world = World::new("config-map");
    let create = |workers: i64, other: &str| {
        let data = json!({"default.yaml": with_workers(workers), "README": other});
        let metadata = json!({"name": "oxide", "namespace": world.namespace});
        world.api.apply(
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}).to_string(),
        );
    };
    create(4, "a text");
    let mut agent = world.starting_agent("configmap:config-map/oxide", &[]);
    agent.wait_for_outcome("applied");
    create(4, "another text");
    create(9, "another text");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.workers(), 9);
    let status = world.await_status("the status", |status| status["revision"] == 2);
    assert_eq!(condition(&status, "Ready"), "True");
}

#[test]
fn the_same_words_in_a_file_a_config_map_and_an_oxide_config_make_the_same_database() {
    let world = World::new("same-words");
    let spec = two_services();
    let yaml = spec["config"].to_string();
    world.declare(&spec);
    let metadata = json!({"name": "oxide", "namespace": world.namespace});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"default.yaml": yaml}});
    world.api.apply(&map.to_string());
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("default.yaml"), &yaml).expect("written");
    let exports: Vec<String> =
        ["file:default.yaml", "configmap:same-words/oxide", "oxideconfig:same-words/default"]
            .iter()
            .enumerate()
            .map(|(number, source)| {
                let db = format!("{number}.db");
                let run = |arguments: &[&str]| {
                    let mut command = world.api.oxide(arguments);
                    let run =
                        command.current_dir(folder.path()).args(["--source", source, "--db", &db]).output();
                    let run = run.expect("runs");
                    assert!(
                        run.status.success(),
                        "{arguments:?} {source}: {}",
                        String::from_utf8_lossy(&run.stderr)
                    );
                    run.stdout
                };
                run(&["apply"]);
                run(&["verify"]);
                let export = format!("{number}.yaml");
                run(&["export", &export]);
                let text = std::fs::read_to_string(folder.path().join(export)).expect("exported");
                let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
                // The API server sorts by name what a file orders by hand.
                lines.sort_unstable();
                lines.join("\n")
            })
            .collect();
    assert_eq!(exports[0], exports[1]);
    assert_eq!(exports[0], exports[2]);
}

#[test]
fn an_object_that_is_missing_changes_nothing_and_is_followed_once_it_is_there() {
    let world = World::new("missing");
    let mut agent = world.agent(&[]);
    let status = world.await_status("no source", |status| condition(status, "SourceAvailable") == "False");
    assert_eq!(condition(&status, "Ready"), "False");
    assert!(
        status["summary"]
            .as_str()
            .is_some_and(|text| text.contains("oxideconfig:missing/default does not exist"))
    );
    world.declare(&two_services());
    agent.wait_for_outcome("applied");
    world.await_status("the source", |status| condition(status, "Ready") == "True");
    world.kubectl(&["delete", "oxideconfig", "default"]);
    world.await_status("no source again", |status| condition(status, "SourceAvailable") == "False");
    let count: i64 =
        agent.orchestrator().query_row("SELECT count(*) FROM services", [], |row| row.get(0)).expect("there");
    assert_eq!(count, 2, "a source that is gone takes nothing away");
}

#[test]
fn the_policy_of_an_oxide_config_counts_and_its_suspension_stops_writes() {
    let world = World::new("policy");
    let mut spec = two_services();
    spec["policy"] = json!({"onDrift": "revert", "grace": "0s"});
    world.declare(&spec);
    let mut agent = world.agent(&[]);
    let enabled = |agent: &crate::agent::Agent| -> bool {
        let query = "SELECT enabled FROM services WHERE id = 'gemini'";
        agent.orchestrator().query_row(query, [], |row| row.get(0)).expect("there")
    };
    let disable = "UPDATE services SET enabled = 0 WHERE id = 'gemini'";
    agent.orchestrator().execute(disable, []).expect("an edit");
    agent.wait_for_outcome("applied");
    assert!(enabled(&agent), "reverted");

    world.edit(&json!({"spec": {"suspend": true}}));
    let paused = world.await_status("suspension", |status| condition(status, "Paused") == "True");
    assert_eq!(condition(&paused, "Ready"), "True");
    agent.orchestrator().execute(disable, []).expect("an edit");
    world.edit(&json!({"spec": {"config": {"execution": {"timeout_seconds": 61}}}}));
    world.await_status("what waits", |status| {
        status["counts"]["pending"] == 1
            && status["counts"]["drift"] == 1
            && condition(status, "Ready") == "False"
    });
    assert!(!enabled(&agent), "nothing is written while it is suspended");

    world.edit(&json!({"spec": {"suspend": false}}));
    agent.wait_for_outcome("applied");
    assert!(enabled(&agent));
}

#[test]
fn a_flag_counts_before_the_policy_of_the_object() {
    let world = World::new("flag-first");
    let mut spec = two_services();
    spec["policy"] = json!({"onDrift": "revert", "grace": "0s"});
    world.declare(&spec);
    let mut agent = world.agent(&["--on-drift", "keep"]);
    agent.orchestrator().execute("UPDATE services SET enabled = 0 WHERE id = 'gemini'", []).expect("an edit");
    agent.wait_for_outcome("differences");
    let status = world.await_status("drift", |status| condition(status, "Drifted") == "True");
    assert_eq!(status["differences"][0]["path"], "services.gemini.enabled");
}

#[test]
fn a_request_for_a_comparison_is_answered_and_said_so() {
    let world = World::new("requests");
    world.declare(&two_services());
    let _agent = world.agent(&[]);
    let annotation = "oxide.dev/reconcile-requested-at";
    world.kubectl(&["annotate", "oxideconfig", "default", &format!("{annotation}=on the config")]);
    world.await_status("the answer", |status| status["lastHandledReconcileAt"] == "on the config");
    world.kubectl(&["annotate", "oxidestore", "store", &format!("{annotation}=on the store")]);
    world.await_status("the answer", |status| status["lastHandledReconcileAt"] == "on the store");
}

#[test]
fn a_source_that_does_not_say_what_it_is_meant_to_is_named_in_the_error() {
    let world = World::new("errors");
    let metadata = json!({"name": "oxide", "namespace": world.namespace});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"README": "x"}});
    world.api.apply(&map.to_string());
    for (source, expected) in [
        ("configmap:errors/oxide", "holds no entry that ends in .yaml or .yml"),
        ("configmap:errors/oxide/default.yaml", "holds no entry default.yaml"),
        ("configmap:errors/other", "configmap:errors/other does not exist"),
        ("oxideconfig:errors/default", "oxideconfig:errors/default does not exist"),
    ] {
        let mut plan = world.api.oxide(&["plan", "--db", "none.db", "--source", source]);
        let plan = plan.output().expect("runs");
        let said = String::from_utf8_lossy(&plan.stderr);
        assert_eq!(plan.status.code(), Some(1), "{source}: {said}");
        assert!(said.contains(expected), "{source}: {said}");
    }
}
