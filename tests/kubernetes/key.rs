//! Secrets that change: an API key, and the key that encrypts all of them.

use std::time::Instant;

use serde_json::json;

use crate::cluster::print_time;
use crate::stage::{NAMESPACE, Stage, condition};

pub(crate) fn a_new_api_key_in_a_secret_is_stored_under_the_encryption_key(stage: &Stage) {
    let pod = stage.declared();
    let key = |config: &serde_json::Value| config["services"]["openrouter"]["api_key"].clone();
    let (before, rows) = (pod.config(), pod.rows());
    let store = pod.await_status("the revision", |status| status["revision"].is_i64());
    let secret = json!({"stringData": {"openrouter": "sk-or-v1-not-a-real-key-1111"}}).to_string();
    stage.oxide(&["patch", "secret", "oxide-api-keys", "--type=merge", "--patch", &secret]);
    pod.await_status("a write", |status| status["revision"].as_i64() > store["revision"].as_i64());
    let after = pod.config();
    assert_eq!(key(&before), "sk-or-v1-not-a-real-key-0000");
    assert_eq!(key(&after), "sk-or-v1-not-a-real-key-1111");
    let changed = pod.rows().lines().zip(rows.lines()).filter(|(after, before)| after != before).count();
    assert_eq!(changed, 1, "one row, and nothing else");
    for resource in ["oxidestores", "oxideconfigs", "events"] {
        assert!(!stage.oxide(&["get", resource, "--output=yaml"]).contains("sk-or-v1"), "{resource}");
    }
}

/// As docs/rotate.md says it, with the Job of the samples.
pub(crate) fn a_new_encryption_key_opens_every_api_key_after_a_rotation(stage: &Stage) {
    let pod = stage.declared();
    let (config, rows) = (pod.config(), pod.rows());
    let before = pod.await_status("the state", |status| status["revision"].is_i64());
    let new = fernet::Fernet::generate_key();
    let began = Instant::now();
    stage.oxide(&["create", "secret", "generic", "oxide-key-next", &format!("--from-literal=key={new}")]);
    stage.oxide(&["scale", "deployment/oxide-orchestrator", "--replicas=0"]);
    stage.wait(&["--for=delete", &format!("pod/{}", pod.name()), "-n", NAMESPACE]);
    print_time("  of it until the pod is gone", began.elapsed());
    stage.apply_samples("rotate", NAMESPACE, "config/samples/rotate-key.yaml", &json!({}));
    stage.wait(&["--for=condition=Complete", "job/oxide-rotate-key", "-n", NAMESPACE]);
    print_time("  of it until the Job is done", began.elapsed());
    let said = stage.oxide(&["logs", "job/oxide-rotate-key"]);
    assert!(said.contains("1 API key encrypted under a new key, read back and verified"), "{said}");
    assert!(!said.contains(&new), "the log shows the key");
    let data = stage.oxide(&["get", "secret", "oxide-key-next", "--output=jsonpath={.data}"]);
    stage.oxide(&["patch", "secret", "oxide-key", "--patch", &format!("{{\"data\":{data}}}")]);
    stage.oxide(&["scale", "deployment/oxide-orchestrator", "--replicas=1"]);

    let next = stage.declared();
    print_time("  of it until the pod is back", began.elapsed());
    // Its orchestrator knows the new key only.
    assert_eq!(next.config(), config);
    assert_ne!(next.rows(), rows, "every token is another one");
    let after = next.await_status("the state", |status| status["revision"].is_i64());
    for same in ["revision", "counts", "differences"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_eq!(condition(&after, "KeyMismatch"), "False");
    let said = next.operator(&["key", "check"]);
    assert!(said.contains("Opens    1 of 1 stored API key\nRetired  1 key at hand, for reading"), "{said}");
    // A revision from before is under the old key.
    next.operator(&["show", "1"]);
    stage.oxide(&["delete", "job/oxide-rotate-key", "secret/oxide-key-next"]);
}
