//! Edits of the database by the orchestrator, and the three answers to them.

use serde_json::json;

use crate::stage::{CONFIG_MAP, NAMESPACE, Stage, condition};

/// Disables a service, as the web UI does.
pub(crate) const DISABLE: &str = "UPDATE services SET enabled = 0, updated_at = ?1 WHERE id = 'openrouter'";

const DRIFTED_SERVICES: &str = "oxide_operator_drift_fields{class=\"drift\",section=\"services\"}";

pub(crate) fn an_edit_of_the_database_is_reported_and_kept(stage: &Stage) {
    let pod = stage.declared();
    pod.edit(DISABLE);
    let status = pod.await_status("drift", |status| condition(status, "Drifted") == "True");
    assert_eq!(status["differences"][0]["path"], "services.openrouter.enabled");
    assert_eq!(status["differences"][0]["class"], "drift");
    assert_eq!((condition(&status, "Ready"), condition(&status, "Synced")), ("True", "False"));
    stage.event("Drifted", pod.name(), "services.openrouter.enabled");
    assert_eq!(pod.metric(DRIFTED_SERVICES), 1);
    stage.await_object(NAMESPACE, "oxideconfigs", "the sum", |config| {
        config["status"]["stores"]["drifted"] == 1
    });
    assert_eq!(pod.config()["services"]["openrouter"]["enabled"], false, "kept");
}

pub(crate) fn where_the_policy_says_so_it_is_reverted(stage: &Stage) {
    let pod = stage.declared();
    pod.edit("UPDATE execution_settings SET timeout_seconds = 5, updated_at = ?1 WHERE id = 1");
    stage.event("Applied", pod.name(), "revision 3");
    assert_eq!(pod.config()["execution"]["timeout_seconds"], 121);
    assert_eq!(pod.config()["services"]["openrouter"]["enabled"], false, "another path, another answer");
    let policy = json!({"spec": {"policy": {"onDrift": "revert"}}}).to_string();
    stage.oxide(&["patch", "oxideconfig", "default", "--type=merge", "--patch", &policy]);
    pod.await_status("no drift", |status| condition(status, "Synced") == "True");
    stage.event("DriftGone", pod.name(), "");
    assert_eq!(pod.metric(DRIFTED_SERVICES), 0);
    assert_eq!(pod.config()["services"]["openrouter"]["enabled"], true);
    let policy = policy.replace("revert", "keep");
    stage.oxide(&["patch", "oxideconfig", "default", "--type=merge", "--patch", &policy]);
}

pub(crate) fn where_the_pod_says_so_it_is_promoted(stage: &Stage) {
    let pod = stage.mapped();
    let before = stage.get(NAMESPACE, "configmap", CONFIG_MAP)["data"]["default.yaml"].clone();
    pod.edit("UPDATE execution_settings SET max_parallel_workers = 9, updated_at = ?1 WHERE id = 1");
    let map = stage.await_object(NAMESPACE, "configmaps", "the edit", |map| {
        map["metadata"]["name"] == CONFIG_MAP && map["data"]["default.yaml"] != before
    });
    let before = before.as_str().expect("text");
    let expected = before.replace("max_parallel_workers: 7", "max_parallel_workers: 9");
    assert_eq!(map["data"]["default.yaml"], expected, "one value, and nothing else");
    stage.event("Promoted", pod.name(), "execution.max_parallel_workers");
    pod.await_status("both sides agree", |status| condition(status, "Synced") == "True");
    assert_eq!(pod.config()["execution"]["max_parallel_workers"], 9);
}
