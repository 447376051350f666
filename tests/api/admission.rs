//! What the API server refuses, and that the program refuses the same in a file.

use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::cluster::print_time;
use crate::world::{World, two_services};

/// A fault, as an edit of a valid configuration, and a part of the reason that a person is given.
fn faults() -> Vec<(&'static str, Json, &'static str)> {
    let service = |service: Json| json!({"config": {"services": {"ollama": service}}});
    vec![
        ("an http service without base_url", service(json!({"base_url": null})), "needs `base_url`"),
        ("a cli service without executable", service(json!({"type": "cli"})), "needs `executable`"),
        ("an unknown type", service(json!({"type": "ftp"})), "Unsupported value"),
        (
            "an unknown api_type",
            service(json!({"api_type": "soap"})),
            "takes one of ollama, openai_compatible",
        ),
        ("a negative number", service(json!({"max_retries": -1})), "greater than or equal to 0"),
        ("a text where a flag is meant", service(json!({"enabled": "maybe"})), "must be of type boolean"),
        (
            "both ways to give a key",
            service(json!({"api_key": "${KEY}", "apiKeyFrom": {"env": "KEY"}})),
            "exclude each other",
        ),
        ("no way to give a key", service(json!({"apiKeyFrom": {}})), "at least 1 properties"),
        (
            "a Secret without an entry",
            service(json!({"apiKeyFrom": {"secretKeyRef": {"name": "keys"}}})),
            "Required value",
        ),
        (
            "no service enabled",
            json!({"config": {"services": {"ollama": {"enabled": false}, "gemini": {"enabled": false}}}}),
            "no service is enabled",
        ),
        (
            "an unknown primary",
            json!({"config": {"routing_rules": {"quick_query": {"primary": "lama"}}}}),
            "routing rule quick_query names a primary service that is not declared",
        ),
        (
            "an unknown fallback",
            json!({"config": {"routing_rules": {"quick_query": {"fallback": ["gemini", "lama"]}}}}),
            "routing rule quick_query falls back to a service that is not declared",
        ),
        (
            "a rule without primary",
            json!({"config": {"routing_rules": {"other": {}}}}),
            "primary: Required value",
        ),
    ]
}

#[test]
fn what_makes_a_configuration_invalid_is_refused_at_admission_and_in_a_file_alike() {
    let world = World::new("admission");
    world.declare(&two_services());
    for (what, edit, reason) in faults() {
        let patch = json!({"spec": edit}).to_string();
        let said = world
            .try_kubectl(&["patch", "oxideconfig", "default", "--type=merge", "-p", &patch])
            .expect_err(what);
        assert!(said.contains(reason), "{what}: {said}");
        let mut spec = two_services();
        merge(&mut spec, &edit);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("default.yaml"), spec["config"].to_string()).expect("written");
        let mut plan = world.api.oxide(&["plan", "--source", "file:default.yaml", "--db", "config.db"]);
        let plan = plan.current_dir(folder.path()).env("KEY", "sk").output().expect("runs");
        assert_eq!(
            plan.status.code(),
            Some(6),
            "{what} in a file: {}",
            String::from_utf8_lossy(&plan.stderr)
        );
    }
}

#[test]
fn a_key_in_plain_text_is_refused_and_not_repeated() {
    let world = World::new("plain-key");
    world.declare(&two_services());
    let patch = json!({"config": {"services": {"ollama": {"api_key": "sk-canary-7"}}}});
    let patch = json!({"spec": patch}).to_string();
    let said = world
        .try_kubectl(&["patch", "oxideconfig", "default", "--type=merge", "-p", &patch])
        .expect_err("a key in plain text");
    assert!(said.contains("apiKeyFrom: {secretKeyRef"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let patch = patch.replace("sk-canary-7", "${OPENROUTER_API_KEY}");
    world.kubectl(&["patch", "oxideconfig", "default", "--type=merge", "-p", &patch]);
}

#[test]
fn a_field_that_nobody_knows_is_refused() {
    let world = World::new("unknown-field");
    let mut spec = two_services();
    spec["config"]["services"]["gemini"]["executible"] = "x".into();
    let said = world.api.try_apply(&world.manifest(&spec)).expect_err("a field that is spelt wrong");
    assert!(said.contains("executible"), "{said}");
}

#[test]
fn a_null_is_kept_because_it_means_must_be_unset() {
    let world = World::new("nulls");
    let mut spec = two_services();
    for field in ["site_name", "api_type", "models", "max_retries", "use_free_only", "api_key"] {
        spec["config"]["services"]["ollama"][field] = Json::Null;
    }
    world.declare(&spec);
    let found = world.get("oxideconfig", "default");
    assert_eq!(found["spec"]["config"]["services"]["ollama"], spec["config"]["services"]["ollama"]);
}

#[test]
fn four_thousand_services_and_rules_are_within_the_budget_of_the_api_server() {
    let world = World::new("large");
    for count in [1_000, 4_000] {
        let names: Vec<String> = (0..count).map(|number| format!("svc-{number:05}")).collect();
        let services: serde_json::Map<String, Json> = names
            .iter()
            .map(|name| (name.clone(), json!({"type": "http", "base_url": format!("http://{name}:1")})))
            .collect();
        let rules: serde_json::Map<String, Json> = names
            .iter()
            .map(|name| (format!("task-{name}"), json!({"primary": name, "fallback": &names[..8]})))
            .collect();
        let spec = json!({"config": {"services": services, "routing_rules": rules}});
        let began = Instant::now();
        world.declare(&spec);
        print_time(&format!("{count} services and rules admitted"), began.elapsed());
    }
    let patch =
        json!({"spec": {"config": {"routing_rules": {"task-svc-03999": {"primary": "nobody"}}}}}).to_string();
    let said = world
        .try_kubectl(&["patch", "oxideconfig", "default", "--type=merge", "-p", &patch])
        .expect_err("a rule that names nobody");
    assert!(said.contains("routing rule task-svc-03999"), "{said}");
}

#[test]
fn the_definitions_in_the_repository_are_what_the_program_prints() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let binary = env!("CARGO_BIN_EXE_oxide-operator");
    let printed =
        std::process::Command::new(binary).args(["crd", "--dir"]).arg(folder.path()).output().expect("runs");
    assert!(printed.status.success());
    for file in ["oxideconfigs.oxide.dev.yaml", "oxidestores.oxide.dev.yaml"] {
        let read = |path: &std::path::Path| std::fs::read_to_string(path.join(file)).expect("there");
        assert!(read(folder.path()) == read(&root.join("crds")), "{file} is not: run `make generate`");
    }
    let page = std::process::Command::new(binary).args(["crd", "--page"]).output().expect("runs");
    let committed = std::fs::read_to_string(root.join("docs/resources.md")).expect("there");
    assert!(
        String::from_utf8_lossy(&page.stdout) == committed,
        "docs/resources.md is not: run `make generate`"
    );
}

/// Merges as `kubectl patch --type=merge` does, but for removals.
fn merge(into: &mut Json, from: &Json) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Json::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
