//! An API server that is away, forgets, refuses or no longer knows the agent. Each test has one of its own.

use std::process::Command;
use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::agent::Agent;
use crate::cluster::{Api, print_time};
use crate::world::{define, two_services};

/// A server with the definitions, a declared configuration and an agent on it.
fn with_agent(api: &Api, kubeconfig: Option<&std::path::Path>) -> Agent {
    let metadata = json!({"name": "default", "namespace": "default"});
    let config = json!({"apiVersion": "oxide.dev/v1alpha1", "kind": "OxideConfig", "metadata": metadata, "spec": two_services()});
    api.apply(&config.to_string());
    let mut program = api.program(env!("CARGO_BIN_EXE_oxide-operator"));
    if let Some(kubeconfig) = kubeconfig {
        program.env("KUBECONFIG", kubeconfig);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut agent =
        Agent::start_with(program, folder, "oxideconfig:default/default", &["--store-name", "store"]);
    agent.wait_for_outcome("applied");
    agent
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
    agent.wait_for("the edit", |line| line["revision"] == 2);
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
    agent.wait_for("the edit", |line| line["revision"] == 2);
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
fn an_api_server_that_asks_for_patience_gets_it() {
    let api = Api::start();
    define(&api);
    account(&api);
    let kubeconfig = api.kubeconfig_of("default", "agent");
    let mut agent = with_agent(&api, Some(&kubeconfig));
    api.apply(REFUSE_THE_AGENT);
    // A watch that was let in stays; a new one is refused with 429 until it is let in again.
    api.stop_server();
    api.start_server();
    let refused = agent.wait_for("the refusal", |line| line["outcome"] == "source_unavailable");
    assert!(refused.to_string().contains("the API server does not answer"), "{refused}");
    api.kubectl(&["delete", "flowschema", "refuse-the-agent"]);
    edit(&api, 66);
    agent.wait_for_outcome("applied");
    assert_eq!(seconds(&agent), 66);
}

/// An account that may do what an agent needs, and nothing else.
fn account(api: &Api) {
    api.kubectl(&["create", "serviceaccount", "agent"]);
    api.apply(ROLE);
    api.kubectl(&["create", "rolebinding", "agent", "--role=agent", "--serviceaccount=default:agent"]);
}

const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: agent, namespace: default}
rules:
- {apiGroups: [oxide.dev], resources: [oxideconfigs], verbs: [get, list, watch]}
- {apiGroups: [oxide.dev], resources: [oxideconfigs/status, oxidestores/status], verbs: [patch]}
- {apiGroups: [oxide.dev], resources: [oxidestores], verbs: [get, list, watch, create, patch]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}
- {apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch]}
";

/// A priority level without a seat, for one account.
const REFUSE_THE_AGENT: &str = r#"
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: nobody}
spec: {type: Limited, limited: {nominalConcurrencyShares: 0, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: {type: Reject}}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: refuse-the-agent}
spec:
  matchingPrecedence: 2
  priorityLevelConfiguration: {name: nobody}
  rules:
  - subjects: [{kind: ServiceAccount, serviceAccount: {name: agent, namespace: default}}]
    resourceRules: [{verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"], clusterScope: true}]
"#;

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
    let refused: Vec<Json> =
        agent.log.try_iter().filter(|line| line.to_string().contains("forbidden")).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let ended =
        Command::new("kill").args(["-TERM", &agent.child.id().to_string()]).status().expect("kill runs");
    assert!(ended.success() && agent.child.wait().expect("it ends").success());
}
