//! An API server that is away, forgets, refuses or no longer knows the agent. Each test has one of its own.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::agent::Agent;
use crate::cluster::{Api, print_time};
use crate::gate::Gate;
use crate::world::{define, two_services};

/// A declared configuration and an agent that applied it.
fn with_agent(api: &Api, kubeconfig: Option<&std::path::Path>) -> Agent {
    declare(api);
    let mut agent = start(api, kubeconfig);
    agent.wait_for_outcome("applied");
    agent
}

fn declare(api: &Api) {
    let metadata = json!({"name": "default", "namespace": "default"});
    let config = json!({"apiVersion": "oxide.dev/v1alpha1", "kind": "OxideConfig", "metadata": metadata, "spec": two_services()});
    api.apply(&config.to_string());
}

fn start(api: &Api, kubeconfig: Option<&std::path::Path>) -> Agent {
    let mut program = api.program(env!("CARGO_BIN_EXE_oxide-operator"));
    if let Some(kubeconfig) = kubeconfig {
        program.env("KUBECONFIG", kubeconfig);
    }
    let folder = tempfile::tempdir().expect("a folder");
    Agent::start_with(program, folder, "oxideconfig:default/default", &["--store-name", "store"])
}

fn edit(api: &Api, seconds: i64) {
    let patch = json!({"spec": {"config": {"execution": {"timeout_seconds": seconds}}}}).to_string();
    api.kubectl(&["patch", "oxideconfig", "default", "--type=merge", "-p", &patch]);
}

fn seconds(agent: &Agent) -> i64 {
    let query = "SELECT timeout_seconds FROM execution_settings";
    agent.orchestrator().query_row(query, [], |row| row.get(0)).expect("there")
}

fn await_status(api: &Api, what: &str, wanted: impl Fn(&Json) -> bool) {
    api.await_object("default", "oxidestores", what, |store| wanted(&store["status"]));
}

#[test]
fn while_the_api_server_is_away_drift_is_seen_and_afterwards_everything_is_made_up_for() {
    let api = Api::start();
    define(&api);
    let mut agent = with_agent(&api, None);
    api.stop_server();
    agent.wait_for_outcome("source_unavailable");
    agent.orchestrator().execute("UPDATE services SET enabled = 0 WHERE id = 'gemini'", []).expect("an edit");
    let drift = "oxide_operator_drift_fields{class=\"drift\",section=\"services\"}";
    let served = agent.served();
    api.inside(|| {
        served.wait_for_metric(drift, 1);
        assert_eq!(served.metric("oxide_operator_source_available"), 0);
        assert_eq!(served.get("/readyz").0, 200, "it goes on serving");
    });
    api.start_server();
    let began = Instant::now();
    edit(&api, 77);
    agent.wait_for("the edit", |line| line["message"].as_str().is_some_and(|it| it.ends_with("-> 77")));
    print_time("an edit after the outage, until committed", began.elapsed());
    assert_eq!(seconds(&agent), 77);
    await_status(&api, "the drift", |status| status["counts"]["drift"] == 1);
    api.inside(|| assert_eq!(served.metric("oxide_operator_source_available"), 1));
}

#[test]
fn a_watch_from_a_version_that_is_no_longer_kept_begins_anew() {
    let api = Api::start();
    define(&api);
    let mut agent = with_agent(&api, None);
    agent.signal("STOP");
    api.stop_server();
    api.start_server();
    for second in 200..260 {
        edit(&api, second);
    }
    forget_the_past(&api);
    // A server that starts after the past is gone cannot serve the agent's version from memory either.
    api.stop_server();
    api.start_server();
    agent.signal("CONT");
    agent.wait_for_outcome("applied");
    assert_eq!(seconds(&agent), 259);
    edit(&api, 300);
    agent.wait_for_outcome("applied");
    assert_eq!(seconds(&agent), 300, "the new watch hears");
}

#[test]
fn a_connection_that_is_half_open_is_given_up_and_a_promotion_does_not_hold_the_store_for_ever() {
    let api = Api::start();
    define(&api);
    let mut agent = with_agent(&api, None);
    api.freeze_server();
    agent.orchestrator().execute("UPDATE services SET enabled = 0 WHERE id = 'gemini'", []).expect("an edit");
    agent.wait_for_outcome("differences");
    let began = Instant::now();
    let mut promote = api.oxide(&[
        "promote",
        "--all",
        "--source",
        "oxideconfig:default/default",
        "--db",
        "store/config.db",
    ]);
    let promote = promote.current_dir(agent.folder.path()).output().expect("runs");
    print_time("a command at a server that says nothing, until it gave up", began.elapsed());
    assert_eq!(promote.status.code(), Some(1));
    let said = String::from_utf8_lossy(&promote.stderr).into_owned();
    assert!(said.contains("does not answer"), "{said}");
    api.thaw_server();
    edit(&api, 55);
    agent.wait_for("the edit", |line| line["message"].as_str().is_some_and(|it| it.ends_with("-> 55")));
}

/// Makes etcd drop every version but the newest.
fn forget_the_past(api: &Api) {
    let post = |path: &str, body: &Json| -> Json {
        let mut curl = api.program("curl");
        let url = format!("http://127.0.0.1:2379/v3/kv/{path}");
        let answer =
            curl.args(["--silent", "--fail", "--data", &body.to_string(), &url]).output().expect("curl runs");
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        serde_json::from_slice(&answer.stdout).expect("JSON")
    };
    let newest = post("range", &json!({"key": "Lw=="}))["header"]["revision"].clone();
    post("compaction", &json!({"revision": newest, "physical": true}));
}

#[test]
fn a_token_that_expired_is_read_anew_when_it_was_replaced() {
    let api = Api::start();
    define(&api);
    account(&api);
    let kubeconfig = api.kubeconfig_of("default", "agent");
    let mut agent = with_agent(&api, Some(&kubeconfig));
    // A token is worth nothing once its account is another one.
    api.kubectl(&["delete", "serviceaccount", "agent"]);
    api.kubectl(&["create", "serviceaccount", "agent"]);
    api.stop_server();
    api.start_server();
    agent.wait_for("the refusal", |line| line["outcome"] == "source_unavailable");
    api.renew_token("default", "agent");
    edit(&api, 88);
    agent.wait_for_outcome("applied");
    assert_eq!(seconds(&agent), 88);
}

#[test]
fn an_api_server_that_asks_for_patience_gets_it_and_a_watch_refused_with_410_begins_anew() {
    let api = Api::start();
    define(&api);
    declare(&api);
    let (throttled, forgotten) = (AtomicUsize::new(6), AtomicUsize::new(6));
    let take = |left: &AtomicUsize| left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
    let gate = Gate::before(&api, move |request| match request {
        _ if take(&throttled) => Some(refusal(429, "TooManyRequests", "Retry-After: 1\r\n")),
        watch if watch.contains("watch=true") && take(&forgotten) => Some(refusal(410, "Expired", "")),
        _ => None,
    });
    let began = Instant::now();
    let mut agent = start(&api, Some(&gate.kubeconfig));
    agent.wait_for_outcome("applied");
    let took = began.elapsed();
    assert!(took.as_secs() >= 1, "it was asked to wait a second, and came back after {took:?}");
    edit(&api, 66);
    agent.wait_for_outcome("applied");
    assert_eq!(seconds(&agent), 66, "the watch that was refused hears again");
}

fn refusal(code: u16, reason: &str, header: &str) -> String {
    let details = if code == 429 { json!({"retryAfterSeconds": 1}) } else { json!({}) };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no, not now",
        "reason": reason, "details": details, "code": code,
    });
    let body = status.to_string();
    format!(
        "HTTP/1.1 {code} No\r\nContent-Type: application/json\r\n{header}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// An account that may do what the chart lets a sidecar do, and nothing else.
fn account(api: &Api) {
    api.kubectl(&["create", "serviceaccount", "agent"]);
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/oxide-operator");
    let mut helm = api.tool("helm4");
    helm.args(["template", "oxide", chart, "--namespace", "default", "--show-only", "templates/rbac.yaml"]);
    helm.args(["--kube-version", "1.37.0", "--set", "rbac.serviceAccounts={agent}"]);
    let role = helm.args(["--set", "rbac.secretNames={api-keys}"]).output().expect("helm4 runs");
    assert!(role.status.success(), "{}", String::from_utf8_lossy(&role.stderr));
    api.apply(&String::from_utf8(role.stdout).expect("YAML"));
}

#[test]
fn an_agent_needs_no_other_right_than_these() {
    let api = Api::start();
    define(&api);
    account(&api);
    let kubeconfig = api.kubeconfig_of("default", "agent");
    let mut agent = with_agent(&api, Some(&kubeconfig));
    api.wait(&["--for=condition=Synced", "oxideconfig/default"]);
    agent.orchestrator().execute("UPDATE services SET enabled = 0 WHERE id = 'gemini'", []).expect("an edit");
    agent.wait_for_outcome("differences");
    api.await_object("default", "events", "an event", |event| event["reason"] == "Drifted");
    await_status(&api, "the drift", |status| status["counts"]["drift"] == 1);
    let metrics = api.kubectl(&["get", "--raw", "/metrics"]);
    let refused: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total") && line.contains("code=\"403\""))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let ended =
        Command::new("kill").args(["-TERM", &agent.child.id().to_string()]).status().expect("kill runs");
    assert!(ended.success() && agent.child.wait().expect("it ends").success());
}
