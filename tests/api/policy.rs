//! What the chart's policy says of annotations, by the API server's own CEL.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::World;

#[test]
fn a_pod_whose_reload_url_no_agent_takes_is_refused_and_one_with_a_good_one_gets_it() {
    let world = World::new("injected");
    world.kubectl(&["create", "serviceaccount", "mine"]);
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/oxide-operator");
    let mut helm = world.api.tool("helm4");
    helm.args(["template", "oxide", chart, "--namespace", "injected", "--kube-version", "1.37.0"]);
    helm.args(["--set", "rbac.serviceAccounts={mine}"]);
    for template in ["validating", "mutating"] {
        helm.args(["--show-only", &format!("templates/injection/{template}.yaml")]);
    }
    let policies = helm.output().expect("helm4 runs");
    assert!(policies.status.success(), "{}", String::from_utf8_lossy(&policies.stderr));
    world.api.apply(&String::from_utf8(policies.stdout).expect("YAML"));

    let file = world.api.folder().join("pod-of-policy.json");
    let file = file.to_str().expect("text");
    let create = |url: &str| {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "asks", "annotations": {"oxide.dev/inject": "default", "oxide.dev/reload-url": url}},
            "spec": {
                "serviceAccountName": "mine",
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532},
                "containers": [{"name": "any", "image": "any"}],
                "volumes": [{"name": "oxide-data", "emptyDir": {}}],
            },
        });
        std::fs::write(file, pod.to_string()).expect("written");
        world.try_kubectl(&["create", "--dry-run=server", "-o", "json", "--filename", file])
    };
    // A policy that was just made is in force after a while.
    let deadline = Instant::now() + Duration::from_mins(1);
    let url = "http://127.0.0.1:8000/api/config/reload";
    loop {
        let made = create(url);
        if made.as_ref().is_ok_and(|pod| pod.contains("OXIDE_OPERATOR_RELOAD_URL") && pod.contains(url)) {
            break;
        }
        assert!(Instant::now() < deadline, "the policy never came into force: {made:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    for url in ["https://x", "http://", "http:// x", "http://u:p@h", "http://h:65536", "http://h/\u{1b}[31m"]
    {
        let refused = create(url).expect_err(url);
        assert!(refused.contains("oxide.dev/reload-url must be http://HOST:PORT/PATH"), "{url}: {refused}");
    }
    for url in ["http://[::1]:1/reload", "http://orchestrator.oxide.svc:65535/"] {
        create(url).unwrap_or_else(|why| panic!("{url}: {why}"));
    }
}
