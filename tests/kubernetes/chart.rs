//! The chart beside others of its kind, and what does without it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value as Json, json};

use crate::cluster::tools;
use crate::install::{await_injection, differing};
use crate::stage::{NAMESPACE, RELEASE, Stage, condition, repository};

/// Both majors that people use; they differ in how they treat definitions.
pub(crate) const HELMS: [&str; 2] = ["helm3", "helm4"];

pub(crate) const DEFINITIONS: [&str; 2] = ["oxideconfigs.oxide.dev", "oxidestores.oxide.dev"];

/// The chart as it is.
pub(crate) fn present() -> String {
    repository("charts/oxide-operator").to_str().expect("text").to_owned()
}

/// Runs `helm test`, which must succeed and leave nothing.
pub(crate) fn prove(stage: &Stage, helm: &str, namespace: &str) {
    let said = stage.helm(helm, &["test", RELEASE, "--namespace", namespace, "--timeout=90s"]);
    assert!(said.contains("Phase:          Succeeded") && !said.contains("Failed"), "{said}");
    let pods =
        stage.kubectl(&["get", "pods,oxideconfigs,secrets", "--namespace", namespace, "--output=name"]);
    assert!(!pods.contains("-test"), "{pods}");
}

pub(crate) fn the_chart_proves_its_own_installation(stage: &Stage) {
    prove(stage, "helm4", NAMESPACE);
}

pub(crate) fn every_object_it_renders_is_taken_by_the_api_server(stage: &Stage) {
    for namespace in ["team-a", "monitoring"] {
        stage.create_namespace(namespace, &[]);
    }
    let definitions = tools().join("prometheus-operator");
    let definitions = definitions.to_str().expect("text");
    stage.kubectl(&["apply", "--server-side", "--filename", definitions]);
    stage.wait(&["--for=condition=Established", "--filename", definitions]);

    let everything = repository("charts/oxide-operator/ci/everything-values.yaml");
    let everything = format!("--values={}", everything.display());
    let other_monitor = "--set=monitoring.podMonitor.enabled=false,monitoring.serviceMonitor.enabled=true";
    for helm in HELMS {
        let mut kinds = BTreeSet::new();
        for values in [&[][..], &[&*everything], &[&*everything, other_monitor]] {
            let objects = rendered(stage, helm, values);
            kinds.extend(objects.iter().map(|object| object["kind"].as_str().expect("a kind").to_owned()));
            let (accounts, others): (Vec<Json>, Vec<Json>) =
                objects.into_iter().partition(|object| object["kind"] == "ServiceAccount");
            // A pod of an account that is not there is refused, so these are there for a while.
            let accounts = list(stage, "accounts.json", &accounts);
            stage.kubectl(&["apply", "--server-side", "--filename", &accounts]);
            let file = list(stage, "rendered.json", &others);
            let taken =
                ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", &file];
            let said = stage.kubectl(&taken);
            assert_eq!(said.lines().count(), others.len(), "{said}");
            stage.kubectl(&["delete", "--filename", &accounts]);
        }
        for kind in
            ["MutatingAdmissionPolicy", "NetworkPolicy", "PodMonitor", "ServiceMonitor", "PrometheusRule"]
        {
            assert!(kinds.contains(kind), "{helm} never rendered a {kind}: {kinds:?}");
        }
    }
}

fn rendered(stage: &Stage, helm: &str, values: &[&str]) -> Vec<Json> {
    let apis = ["--kube-version=1.37.2", "--api-versions=monitoring.coreos.com/v1"];
    let template = ["template", "rendered", &present(), "--namespace", NAMESPACE];
    let text = stage.helm(helm, &[&template[..], &apis, values].concat());
    let objects: Vec<Json> = serde_yaml::from_multiple(&text).expect("YAML");
    objects.into_iter().filter(|object| !object.is_null()).collect()
}

fn list(stage: &Stage, name: &str, objects: &[Json]) -> String {
    stage.write(name, &json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())
}

pub(crate) fn a_second_release_serves_another_namespace(stage: &Stage) {
    stage.create_namespace("second", &[]);
    let owners = || DEFINITIONS.map(|name| stage.get("", "crd", name)["metadata"]["annotations"].clone());
    let before = owners();
    let values = stage.values("second", &json!({}));
    let install = ["install", RELEASE, &present(), "--namespace", "second", "--values", &values, "--wait"];
    stage.helm("helm3", &install);
    assert_eq!(owners(), before, "the first one owns the definitions");
    await_injection(stage, "second");
    prove(stage, "helm3", "second");
    stage.helm("helm3", &["uninstall", RELEASE, "--namespace", "second", "--wait"]);
    assert_eq!(owners(), before);
    await_injection(stage, NAMESPACE);
}

pub(crate) fn a_newer_chart_updates_the_definitions_and_older_ones_leave_them(stage: &Stage) {
    let newer = stage.copy("charts/oxide-operator", "newer");
    let replace = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(newer.join(file)).expect("ours");
        assert!(text.contains(from), "{file}: {from}");
        fs::write(newer.join(file), text.replace(from, to)).expect("written");
    };
    let version = env!("CARGO_PKG_VERSION");
    replace("Chart.yaml", &format!("ersion: {version}"), "ersion: 99.0.0");
    for name in DEFINITIONS {
        let (from, to) = (format!("oxide.dev/version: \"{version}\""), "oxide.dev/version: \"99.0.0\"");
        replace(&format!("files/crds/{name}.yaml"), &from, to);
    }
    replace("files/crds/oxidestores.oxide.dev.yaml", "- oxs\n", "- oxs\n    - newer\n");
    let (pod, newer) = (stage.declared(), newer.to_str().expect("text").to_owned());
    let upgrade = |chart: &str| {
        stage
            .helm("helm4", &["upgrade", RELEASE, chart, "--namespace", NAMESPACE, "--reuse-values", "--wait"])
    };
    upgrade(&newer);
    let found = || DEFINITIONS.map(|name| stage.get("", "crd", name));
    let is_newer = |what: &str| {
        let [configs, stores] = found();
        assert_eq!(configs["metadata"]["annotations"]["oxide.dev/version"], "99.0.0", "{what}");
        assert_eq!(stores["metadata"]["annotations"]["oxide.dev/version"], "99.0.0", "{what}");
        assert_eq!(stores["spec"]["names"]["shortNames"], json!(["oxs", "newer"]), "{what}");
    };
    is_newer("upgraded");

    stage.create_namespace("older", &[]);
    for helm in HELMS {
        let said = stage.helm(helm, &["install", helm, &present(), "--namespace", "older", "--wait"]);
        assert!(said.contains("the newer one stays"), "{said}");
        is_newer(helm);
        stage.helm(helm, &["uninstall", helm, "--namespace", "older", "--wait"]);
        is_newer(helm);
    }
    let said = upgrade(&present());
    assert!(said.contains("the newer one stays"), "{said}");
    is_newer("its owner went back");
    stage.wait(&["--for=condition=Ready", "oxideconfig/default", "--namespace", NAMESPACE]);
    assert_eq!(stage.declared().name(), pod.name(), "pods keep their sidecar");
}

pub(crate) fn without_the_policy_a_kustomize_component_adds_the_sidecar(stage: &Stage) {
    stage.create_namespace("plain", &["oxide-data"]);
    stage.apply_samples("plain", "plain", "config/kustomize/example", &json!({}));
    let pod = stage.pod("plain", "oxide-orchestrator");
    let status = pod.await_status("a store in sync", |status| condition(status, "Synced") == "True");
    assert_eq!(condition(&status, "Ready"), "True");
    let declared = stage.get("plain", "oxideconfig", "default")["spec"]["config"].clone();
    assert_eq!(differing(&declared, &pod.config()), Vec::<String>::new());
}
