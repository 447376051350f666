//! The end of an installation, and what comes after it.

use std::process::Command;

use serde_json::{Value as Json, json};

use crate::chart::{DEFINITIONS, HELMS, present, prove};
use crate::install::await_injection;
use crate::plain_numbers::with_plain_numbers;
use crate::stage::{NAMESPACE, RELEASE, Stage, repository};

pub(crate) fn an_uninstalled_chart_leaves_definitions_objects_and_rows(stage: &Stage) {
    let pods = [stage.declared(), stage.mapped()];
    let rows = pods.each_ref().map(|pod| (pod.name().to_owned(), pod.rows()));
    let objects = || {
        let said = stage.oxide(&["get", "oxide,configmaps,secrets", "--output=json"]);
        let found: Json = serde_json::from_str(&said).expect("JSON");
        let items = found["items"].as_array().expect("a list").iter();
        let ours = items.filter(|item| item["metadata"]["labels"]["owner"] != "helm");
        ours.map(|item| (item["metadata"]["uid"].clone(), item["spec"].clone())).collect::<Vec<_>>()
    };
    let before = objects();
    stage.helm("helm4", &["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait"]);
    for name in DEFINITIONS {
        assert_eq!(stage.get("", "crd", name)["metadata"]["deletionTimestamp"], Json::Null);
    }
    assert_eq!(objects(), before);
    let pods = [stage.declared(), stage.mapped()];
    assert_eq!(pods.each_ref().map(|pod| (pod.name().to_owned(), pod.rows())), rows);
    for pod in &pods {
        let served = pod.served();
        assert_eq!(stage.inside(|| served.get("/livez").0), 200, "its sidecar goes on");
    }
}

/// From the chart before the last commit that changed it: whoever follows this repository upgrades like this.
pub(crate) fn the_previous_chart_is_upgraded_by_both_helms(stage: &Stage) {
    stage.create_namespace("previous", &[]);
    let previous = previous_chart(stage);
    let config = json!({
        "apiVersion": "oxide.dev/v1alpha1",
        "kind": "OxideConfig",
        "metadata": {"name": "kept", "namespace": "previous"},
        "spec": {"config": {"services": {"ollama": {"type": "http", "base_url": "http://ollama:11434"}}}},
    });
    for helm in HELMS {
        for name in DEFINITIONS {
            stage.kubectl(&["delete", "crd", name, "--wait"]);
        }
        let values = stage.values("previous", &json!({}));
        let release = [RELEASE, "--namespace", "previous", "--values", &values, "--wait"];
        stage.helm(helm, &[&["install"], &release[..], &[&previous]].concat());
        stage.apply(&config.to_string());
        let before = stage.get("previous", "oxideconfig", "kept");
        stage.helm(helm, &[&["upgrade"], &release[..], &[&present(), "--set=rbac.promotion=true"]].concat());
        let after = stage.get("previous", "oxideconfig", "kept");
        assert_eq!(
            (&after["metadata"]["uid"], &after["spec"]),
            (&before["metadata"]["uid"], &before["spec"])
        );
        for name in DEFINITIONS {
            let committed = std::fs::read_to_string(repository(&format!("crds/{name}.yaml"))).expect("there");
            let committed: Json = serde_yaml::from_str(&committed).expect("YAML");
            let found = stage.get("", "crd", name);
            assert_eq!(found["metadata"]["annotations"]["oxide.dev/version"], env!("CARGO_PKG_VERSION"));
            let version = |crd: &Json| with_plain_numbers(&crd["spec"]["versions"][0]);
            assert_eq!(version(&found), version(&committed), "{helm}: {name}");
        }
        await_injection(stage, "previous");
        prove(stage, helm, "previous");
        stage.helm(helm, &["uninstall", RELEASE, "--namespace", "previous", "--wait"]);
    }
}

/// The chart of the commit before the last one that touched it, out of Git.
fn previous_chart(stage: &Stage) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(repository("")).args(arguments).output().expect("git");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let commits = git(&["log", "--max-count=2", "--format=%H", "--", "charts/oxide-operator"]);
    let commits = String::from_utf8(commits).expect("text");
    // A chart that has not changed yet is upgraded to itself, with other values.
    let commit = commits.lines().last().expect("the chart is committed");
    let archive = stage.write("previous/chart.tar", "");
    git(&["archive", "--output", &archive, commit, "charts/oxide-operator"]);
    let folder = std::path::Path::new(&archive).parent().expect("a folder");
    let unpacked = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder).status();
    assert!(unpacked.expect("tar runs").success());
    folder.join("charts/oxide-operator").to_str().expect("text").to_owned()
}
