//! Edits of both kinds of source, good ones and bad ones.

use serde_json::json;

use crate::stage::{CONFIG_MAP, NAMESPACE, Stage, condition};

pub(crate) fn an_edited_oxide_config_arrives_in_the_database(stage: &Stage) {
    let pod = stage.declared();
    stage.edit("oxideconfig/default", "s/timeout_seconds: 120/timeout_seconds: 121/").expect("a good edit");
    let generation = stage.get(NAMESPACE, "oxideconfig", "default")["metadata"]["generation"].clone();
    pod.await_status("the edit", |status| {
        status["sourceGeneration"] == generation && condition(status, "Synced") == "True"
    });
    assert_eq!(pod.config()["execution"]["timeout_seconds"], 121);
    stage.event("Applied", pod.name(), "revision 2");
    stage.wait(&["--for=condition=Ready", "oxideconfig/default", "-n", NAMESPACE]);
}

pub(crate) fn an_edited_config_map_arrives_in_the_database(stage: &Stage) {
    let pod = stage.mapped();
    stage
        .edit(&format!("configmap/{CONFIG_MAP}"), "s/max_parallel_workers: 4/max_parallel_workers: 7/")
        .expect("a good edit");
    let version = stage.get(NAMESPACE, "configmap", CONFIG_MAP)["metadata"]["resourceVersion"].clone();
    pod.await_status("the edit", |status| {
        status["sourceResourceVersion"] == version && condition(status, "Synced") == "True"
    });
    assert_eq!(pod.config()["execution"]["max_parallel_workers"], 7);
}

pub(crate) fn a_bad_edit_is_refused_with_the_reason(stage: &Stage) {
    let before = stage.get(NAMESPACE, "oxideconfig", "default");
    for (replace, reason) in [
        ("s/primary: ollama/primary: lama/", "names a primary service that is not declared"),
        ("s/- openrouter/- closedrouter/", "falls back to a service that is not declared"),
        ("/base_url: http:..ollama/d", "needs `base_url`"),
        ("s/timeout_seconds: 121/timeout_seconds: soon/", "must be of type integer"),
        ("s/api_type: ollama/api_type: soap/", "takes one of ollama, openai_compatible"),
        ("s/default_model: .*/api_key: sk-canary-7/", "`api_key` in plain text is refused"),
    ] {
        let said = stage.edit("oxideconfig/default", replace).expect_err(reason);
        assert!(said.contains(reason), "{replace}: {said}");
    }
    let after = stage.get(NAMESPACE, "oxideconfig", "default");
    assert_eq!(before["spec"], after["spec"]);
}

/// Nobody judges a `ConfigMap` at admission.
pub(crate) fn a_bad_config_map_changes_nothing_and_says_why(stage: &Stage) {
    let (pod, map) = (stage.mapped(), format!("configmap/{CONFIG_MAP}"));
    let rows = pod.rows();
    stage.edit(&map, "s/max_parallel_workers: 7/max_parallel_workers: many/").expect("nobody judges it");
    let status = pod.await_status("a finding", |status| status["outcome"] == "invalid");
    assert_eq!(condition(&status, "Ready"), "False");
    let finding = status["findings"][0].as_str().expect("a finding");
    assert!(finding.contains("execution.max_parallel_workers"), "{finding}");
    stage.event("InvalidSource", pod.name(), "execution.max_parallel_workers");
    assert_eq!(pod.rows(), rows);
    let served = pod.served();
    assert_eq!(stage.inside(|| served.get("/livez").0), 200);
    stage.edit(&map, "s/max_parallel_workers: many/max_parallel_workers: 7/").expect("a good edit");
    pod.await_status("good again", |status| condition(status, "Synced") == "True");
}

pub(crate) fn a_bad_annotation_is_refused_with_the_reason(stage: &Stage) {
    let template = stage.get(NAMESPACE, "deployment", "oxide-orchestrator")["spec"]["template"].clone();
    for (annotation, value, reason) in [
        ("oxide.dev/on-drift", "revret", "oxide.dev/on-drift must be keep, revert or promote"),
        ("oxide.dev/volume", "nowhere", "the pod has no volume 'nowhere'"),
        ("oxide.dev/onDrift", "keep", "is not an annotation of pods that this version knows"),
        ("oxide.dev/db", "/elsewhere/config.db", "must lie below the mount path /data"),
    ] {
        let mut metadata = template["metadata"].clone();
        metadata["name"] = "bad".into();
        metadata["namespace"] = NAMESPACE.into();
        metadata["annotations"][annotation] = value.into();
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]});
        let said = stage.try_apply(&pod.to_string()).expect_err(annotation);
        assert!(said.contains(reason), "{annotation}: {said}");
    }
}
