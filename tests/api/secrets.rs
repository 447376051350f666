//! Secrets that a source names: found, followed, and never shown.

use serde_json::{Value as Json, json};

use crate::agent::Agent;
use crate::world::{World, condition, two_services};

fn with_a_key() -> Json {
    let mut spec = two_services();
    spec["config"]["services"]["ollama"]["apiKeyFrom"] =
        json!({"secretKeyRef": {"name": "api-keys", "key": "ollama"}});
    spec
}

fn give(world: &World, key: &str) {
    let metadata = json!({"name": "api-keys", "namespace": world.namespace});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"ollama": key}});
    world.api.apply(&secret.to_string());
}

/// The key as the orchestrator reads it.
fn stored_key(agent: &Agent) -> String {
    let token: String = agent
        .orchestrator()
        .query_row("SELECT api_key_encrypted FROM services WHERE id = 'ollama'", [], |row| row.get(0))
        .expect("a token");
    let key = std::fs::read_to_string(agent.folder.path().join("store/encryption.key")).expect("a key file");
    let plain = fernet::Fernet::new(key.trim()).expect("a key").decrypt(&token).expect("it opens");
    String::from_utf8(plain).expect("text")
}

#[test]
fn a_secret_is_found_and_a_new_value_in_it_is_written() {
    let world = World::new("secrets");
    give(&world, "sk-canary-1");
    world.declare(&with_a_key());
    let mut agent = world.starting_agent(&world.source(), &["-vv"]);
    let mut log = agent.wait_for_outcome("applied").to_string();
    assert_eq!(stored_key(&agent), "sk-canary-1");
    give(&world, "sk-canary-2");
    agent.wait_for("the new key", |line| {
        log += &line.to_string();
        line["outcome"] == "applied"
    });
    assert_eq!(stored_key(&agent), "sk-canary-2");
    assert!(log.contains("http.url"), "the log says everything: {log}");
    assert!(!log.contains("canary"), "the log shows a key");
    for resource in ["oxidestores", "oxideconfigs", "events", "leases"] {
        let printed = world.kubectl(&["get", resource, "--output", "yaml"]);
        assert!(!printed.contains("canary"), "{resource} shows a key: {printed}");
    }
}

#[test]
fn a_secret_that_is_missing_is_a_finding_until_it_is_there() {
    let world = World::new("no-secret");
    world.declare(&with_a_key());
    let mut agent = world.agent(&[]);
    let status = world.await_status("a finding", |status| status["outcome"] == "invalid");
    assert_eq!(status["findings"][0], "services.ollama.api_key: Secret api-keys does not exist");
    assert_eq!(condition(&status, "Ready"), "False");
    give(&world, "sk-canary-3");
    agent.wait_for_outcome("applied");
    assert_eq!(stored_key(&agent), "sk-canary-3");
}

#[test]
fn who_may_write_a_source_cannot_make_the_agent_tell_its_own_secrets() {
    let world = World::new("own-secrets");
    let mut spec = two_services();
    spec["config"]["services"]["ollama"]["apiKeyFrom"] = json!({"env": "OXIDE_ENCRYPTION_KEY"});
    world.declare(&spec);
    // Not even where somebody gives it away: it opens every stored key.
    for (given, reason) in [
        (&[][..], "is the agent's own: use secretKeyRef"),
        (&["--source-env", "OXIDE_ENCRYPTION_KEY"][..], "is oxide-operator's own"),
    ] {
        let mut plan = world.api.oxide(&["plan", "--db", "none.db", "--source", &world.source()]);
        plan.args(given);
        let plan = plan.env("OXIDE_ENCRYPTION_KEY", fernet::Fernet::generate_key()).output().expect("runs");
        let said =
            String::from_utf8_lossy(&plan.stderr).into_owned() + &String::from_utf8_lossy(&plan.stdout);
        assert_eq!(plan.status.code(), Some(6), "{said}");
        assert!(said.contains(reason), "{said}");
    }
    let file = "services: {a: {type: cli, executable: x, apiKeyFrom: {file: /etc/passwd}}}";
    let metadata = json!({"name": "oxide", "namespace": world.namespace});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"default.yaml": file}});
    world.api.apply(&map.to_string());
    let mut plan = world.api.oxide(&["plan", "--db", "none.db", "--source", "configmap:own-secrets/oxide"]);
    let plan = plan.output().expect("runs");
    let said = String::from_utf8_lossy(&plan.stderr).into_owned() + &String::from_utf8_lossy(&plan.stdout);
    assert!(said.contains("may not name files of the agent"), "{said}");
}
