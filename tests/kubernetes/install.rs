//! From `helm install` to a store that is equal to what is declared.

use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::cluster::{ORCHESTRATOR, PATIENCE, print_time, say};
use crate::stage::{CONFIG_MAP, NAMESPACE, RELEASE, Stage, condition, repository};

/// What an idle agent may hold in memory, watches of the API server and all.
const LARGEST: u64 = 16 << 20;

pub(crate) fn the_chart_is_installed_into_a_namespace_of_restricted_pods(stage: &Stage) {
    stage.create_namespace(NAMESPACE, &["oxide-data", "mapped-oxide-data"]);
    let rights = json!({"promotion": true, "serviceAccounts": ["oxide-orchestrator", "mapped-oxide-orchestrator"], "configMapNames": [CONFIG_MAP], "secretNames": ["oxide-api-keys"]});
    let values = stage.values("first", &json!({"rbac": rights}));
    let chart = repository("charts/oxide-operator");
    let chart = chart.to_str().expect("text");
    let said =
        stage.helm("helm4", &["install", RELEASE, chart, "-n", NAMESPACE, "--values", &values, "--wait"]);
    assert!(said.contains("STATUS: deployed") && said.contains("Next, declare a configuration"), "{said}");
    stage.wait(&["--for=condition=Established", "crd/oxideconfigs.oxide.dev", "crd/oxidestores.oxide.dev"]);
    let began = Instant::now();
    await_injection(stage, NAMESPACE);
    print_time("  of it until the policy is in force", began.elapsed());
}

/// Waits until the API server knows the policy, which takes it a while after it took it. The policy that refuses
/// whoever got no sidecar may come into force before the one that adds it.
pub(crate) fn await_injection(stage: &Stage, namespace: &str) {
    let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let seccomp = json!({"type": "RuntimeDefault"});
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "asks", "namespace": namespace, "annotations": {"oxide.dev/inject": "default"}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": seccomp},
            "containers": [{"name": "any", "image": ORCHESTRATOR, "securityContext": restricted}],
            "volumes": [{"name": "oxide-data", "emptyDir": {}}],
        },
    });
    let file = stage.write("asks.json", &pod.to_string());
    let began = Instant::now();
    loop {
        let create = ["create", "--dry-run=server", "--output=json", "--filename", &file];
        let said = match stage.try_kubectl(&create) {
            Ok(said) => {
                let created: Json = serde_json::from_str(&said).expect("JSON");
                if created["spec"]["initContainers"][0]["name"] == "oxide-operator" {
                    return;
                }
                said
            }
            Err(refused) if refused.contains("asks for a sidecar with oxide.dev/inject and got none") => {
                refused
            }
            Err(other) => panic!("{other}"),
        };
        assert!(began.elapsed() < PATIENCE, "no sidecar: {said}");
    }
}

pub(crate) fn an_annotated_deployment_gets_its_sidecar_first(stage: &Stage) {
    // Answered at once: nobody wants to wait for the usual half minute here.
    let at_once = json!([{"op": "add", "path": "/spec/policy/grace", "value": "0s"}]).to_string();
    let patch = json!({"target": {"kind": "OxideConfig"}, "patch": at_once});
    stage.apply_samples("declared", NAMESPACE, "config/samples", &json!({"patches": [patch]}));
    let pod = stage.declared();
    let sidecar = &pod.object["spec"]["initContainers"][0];
    assert_eq!((&sidecar["name"], &sidecar["restartPolicy"]), (&json!("oxide-operator"), &json!("Always")));
    assert_eq!(pod.object["metadata"]["labels"]["oxide.dev/sidecar"], "true");
    assert_eq!(sidecar["securityContext"]["readOnlyRootFilesystem"], true);
    let started = |list: &str, state: &str| {
        pod.object["status"][list][0]["state"][state]["startedAt"].as_str().expect("started").to_owned()
    };
    assert!(started("initContainerStatuses", "running") <= started("containerStatuses", "running"));
}

pub(crate) fn a_store_appears_that_is_equal_to_what_is_declared(stage: &Stage) {
    let pod = stage.declared();
    let status = pod.await_status("a store in sync", |status| {
        condition(status, "Synced") == "True" && condition(status, "ConsumerInSync") == "True"
    });
    assert_eq!(condition(&status, "Ready"), "True");
    let declared = stage.get(NAMESPACE, "oxideconfig", "default")["spec"]["config"].clone();
    assert_eq!(differing(&declared, &pod.config()), Vec::<String>::new());
    let store = stage.get(NAMESPACE, "oxidestore", pod.name());
    assert_eq!(store["metadata"]["ownerReferences"][0]["uid"], pod.object["metadata"]["uid"]);
    assert_eq!(store["spec"]["source"], format!("oxideconfig:{NAMESPACE}/default"));
}

/// The declared values that the orchestrator does not run with, and the objects that are not declared.
pub(crate) fn differing(declared: &Json, config: &Json) -> Vec<String> {
    let mut differing = Vec::new();
    for section in ["services", "routing_rules"] {
        let names = |side: &Json| {
            let mut names: Vec<String> =
                side[section].as_object().into_iter().flatten().map(|it| it.0.clone()).collect();
            names.sort();
            names
        };
        if names(declared) != names(config) {
            differing.push(format!("{section}: {:?} and {:?}", names(declared), names(config)));
        }
        for (name, object) in declared[section].as_object().into_iter().flatten() {
            compare(&format!("{section}.{name}"), object, &config[section][name], &mut differing);
        }
    }
    compare("execution", &declared["execution"], &config["execution"], &mut differing);
    differing
}

fn compare(path: &str, declared: &Json, found: &Json, differing: &mut Vec<String>) {
    for (field, value) in declared.as_object().into_iter().flatten() {
        let (field, mut value) = match field.as_str() {
            "apiKeyFrom" => ("api_key", json!("sk-or-v1-not-a-real-key-0000")),
            other => (other, value.clone()),
        };
        // The orchestrator's reader sorts those.
        if ["capabilities", "models"].contains(&field)
            && let Some(list) = value.as_array_mut()
        {
            list.sort_by_key(ToString::to_string);
        }
        if found[field] != value {
            differing.push(format!("{path}.{field}: {value} and {}", found[field]));
        }
    }
}

pub(crate) fn tables_of_kubectl_say_how_it_is(stage: &Stage) {
    stage.wait(&["--for=condition=Synced", "oxideconfig/default", "-n", NAMESPACE]);
    let columns = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let stores = columns(&stage.oxide(&["get", "oxs"]));
    assert_eq!(stores[0], ["NAME", "READY", "SYNCED", "DRIFT", "CONFLICTS", "REVISION", "SOURCE", "AGE"]);
    let pod = stage.declared();
    assert_eq!(stores[1][..7], [pod.name(), "True", "True", "0", "0", "1", "oxideconfig:oxide/default"]);
    let configs = stage.oxide(&["get", "oxc"]);
    assert!(
        configs.starts_with("NAME      READY   SYNCED   STORES   IN SYNC   DRIFTED   CONFLICTS   AGE"),
        "{configs}"
    );
    assert_eq!(columns(&configs)[1][..7], ["default", "True", "True", "1", "1", "0", "0"]);
    let all = stage.oxide(&["get", "oxide"]);
    assert!(all.contains("oxideconfig.oxide.dev/default") && all.contains("oxidestore.oxide.dev/"), "{all}");
    let wide = stage.oxide(&["get", "oxs", "--output=wide"]);
    assert!(wide.contains("/data/.oxide/config.db"), "{wide}");
}

pub(crate) fn a_deployment_can_take_a_config_map_instead(stage: &Stage) {
    let file = repository("config/default.yaml");
    let file = format!("--from-file=default.yaml={}", file.display());
    stage.oxide(&["create", "configmap", CONFIG_MAP, &file]);
    stage.oxide(&[
        "create",
        "secret",
        "generic",
        "mapped-key",
        &format!("--from-literal=key={}", fernet::Fernet::generate_key()),
    ]);
    let annotations = json!({"metadata": {"annotations": {
        "oxide.dev/inject": CONFIG_MAP,
        "oxide.dev/source": "configmap",
        "oxide.dev/key-secret": "mapped-key",
        "oxide.dev/on-drift": "promote",
        "oxide.dev/grace": "0s",
    }}});
    let own_key = json!([
        {"op": "replace", "path": "/spec/template/spec/containers/0/env/1/valueFrom/secretKeyRef/name", "value": "mapped-key"},
    ]);
    let kind = json!({"kind": "Deployment"});
    let template = json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "any"}, "spec": {"template": annotations}});
    stage.apply_samples("mapped", NAMESPACE, "config/samples/orchestrator.yaml", &json!({
        "namePrefix": "mapped-",
        "labels": [{"pairs": {"app.kubernetes.io/name": "mapped-oxide-orchestrator"}, "includeSelectors": true}],
        "patches": [{"target": kind, "patch": template.to_string()}, {"target": kind, "patch": own_key.to_string()}],
    }));
    let pod = stage.mapped();
    let status = pod.await_status("a store in sync", |status| condition(status, "Synced") == "True");
    assert_eq!(condition(&status, "KeyMismatch"), "False");
    assert_eq!(pod.config()["services"].as_object().map(serde_json::Map::len), Some(6));
}

pub(crate) fn an_idle_agent_is_small(stage: &Stage) {
    for pod in [stage.declared(), stage.mapped()] {
        let (resident, own) = pod.resident();
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (all, own) = (mebibytes(resident), mebibytes(own));
        say(&format!("  {}: {all:.1} MiB, of it {own:.1} besides the program", pod.name()));
        assert!(resident <= LARGEST, "{resident} bytes");
    }
}
