//! The Kubernetes that other tests stand on: it is a real one, and nothing of it is left, however its test ended.
//! Needs root.

#![expect(clippy::disallowed_methods, reason = "it runs a cluster")]

#[path = "support/cluster.rs"]
mod cluster;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Api, Cluster, ORCHESTRATOR, print_time};

/// As any client in a pod does: by the addresses in its environment, with the certificate and the token that are mounted.
const ASK_THE_API_SERVER: &str = "
import os, ssl, urllib.request
folder = '/var/run/secrets/kubernetes.io/serviceaccount/'
url = 'https://%s:%s/version' % (os.environ['KUBERNETES_SERVICE_HOST'], os.environ['KUBERNETES_SERVICE_PORT'])
request = urllib.request.Request(url, headers={'Authorization': 'Bearer ' + open(folder + 'token').read()})
print(urllib.request.urlopen(request, context=ssl.create_default_context(cafile=folder + 'ca.crt')).read().decode())
";

const POD_RUNS: &str = "pod running";

#[test]
fn an_account_may_do_what_its_role_says_and_nothing_else() {
    let api = Api::start();
    api.kubectl(&["create", "namespace", "team"]);
    api.kubectl(&["create", "serviceaccount", "agent", "--namespace", "team"]);
    let role = ["create", "role", "reader", "--namespace", "team", "--verb=get", "--resource=configmaps"];
    api.kubectl(&role);
    let binding = ["--role=reader", "--serviceaccount=team:agent", "--namespace=team"];
    api.kubectl(&[&["create", "rolebinding", "reader"], &binding[..]].concat());
    api.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: seen, namespace: team}, data: {key: value}}",
    );

    let kubeconfig = api.kubeconfig_of("team", "agent");
    let as_agent = |arguments: &[&str]| {
        let output = api.tool("kubectl").env("KUBECONFIG", &kubeconfig).args(arguments).output();
        let output = output.expect("starts");
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (allowed, said) =
        as_agent(&["get", "configmap", "seen", "--namespace", "team", "-o", "jsonpath={.data.key}"]);
    assert_eq!((allowed, said.as_str()), (true, "value"));
    let (allowed, said) = as_agent(&["delete", "configmap", "seen", "--namespace", "team"]);
    assert!(!allowed && said.contains("system:serviceaccount:team:agent"), "{said}");
}

#[test]
fn a_server_that_was_killed_or_stood_still_knows_what_it_knew() {
    let api = Api::start();
    api.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, namespace: default}, data: {key: before}}",
    );
    api.stop_server();
    assert!(api.try_kubectl(&["get", "configmaps"]).is_err_and(|said| said.contains("refused")));
    api.start_server();
    assert_eq!(api.get("default", "configmap", "kept")["data"]["key"], "before");

    let mut watch = api.watch("default", "configmaps");
    watch.wait_for("the object", |object| object["data"]["key"] == "before");
    api.freeze_server();
    let refused = api.try_kubectl(&["get", "configmaps", "--request-timeout=1s"]);
    assert!(refused.is_err(), "{refused:?}");
    api.thaw_server();
    api.kubectl(&["patch", "configmap", "kept", "--type=merge", "--patch", r#"{"data": {"key": "after"}}"#]);
    watch.wait_for("the edit", |object| object["data"]["key"] == "after");
    assert!(api.server_time() > Duration::ZERO);
}

#[test]
fn a_thread_inside_reaches_the_server_and_one_outside_does_not() {
    let api = Api::start();
    // Loopback on both sides: nothing of a test goes anywhere else.
    let connects = || std::net::TcpStream::connect(("127.0.0.1", 443)).is_ok();
    assert!(api.inside(connects));
    assert!(!connects());
}

#[test]
fn a_pod_runs_on_the_node_and_sees_the_api_server() {
    let cluster = Cluster::start();
    cluster.import_orchestrator();
    cluster.create_namespace("team");
    let began = Instant::now();
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: python, namespace: team}}, spec: {{containers: [\
         {{name: python, image: '{ORCHESTRATOR}', args: [-c, 'import signal; signal.pause()']}}]}}}}",
    ));
    cluster.wait(&["--for=condition=Ready", "pod/python", "--namespace", "team"]);
    print_time(POD_RUNS, began.elapsed());
    let said = cluster.exec("team", "python", "python", &["python3", "-c", ASK_THE_API_SERVER]);
    assert!(said.contains("gitVersion"), "{said}");
    let logs = cluster.try_kubectl(&["logs", "python", "--namespace", "team"]);
    assert_eq!(logs.as_deref(), Ok(""));
}

#[test]
fn nothing_is_left_of_a_cluster_whose_test_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut test = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "a_pod_runs_on_the_node_and_sees_the_api_server", "--nocapture"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut said = BufReader::new(test.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with(POD_RUNS)), "no pod ran");
    let [run] = &entries(folder.path())[..] else { panic!("one folder of one cluster") };
    let name = run.file_name().expect("a name").to_str().expect("text").to_owned();
    let inside = fs::read_to_string(run.join("inside")).expect("written");
    let network = fs::read_link(format!("/proc/{}/ns/net", inside.trim())).expect("it lives");
    assert!(!processes_in(&network).is_empty() && !groups_of(&name).is_empty());

    test.kill().expect("ours");
    assert_eq!(test.wait().expect("ended").signal(), Some(9));
    let killed = Instant::now();
    // The folder goes last.
    while run.exists() {
        assert!(killed.elapsed() < Duration::from_secs(30), "{} stays", run.display());
        std::thread::sleep(Duration::from_millis(50));
    }
    print_time("nothing left after", killed.elapsed());
    assert_eq!(processes_in(&network), Vec::<PathBuf>::new());
    assert_eq!(groups_of(&name), Vec::<PathBuf>::new());
    let mounts = fs::read_to_string("/proc/self/mounts").expect("readable");
    assert!(!mounts.contains(&name), "{mounts}");
    assert_eq!(entries(folder.path()), Vec::<PathBuf>::new());
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn processes_in(network: &Path) -> Vec<PathBuf> {
    let ours = |process: &PathBuf| fs::read_link(process.join("ns/net")).is_ok_and(|other| other == network);
    entries(Path::new("/proc")).into_iter().filter(ours).collect()
}

fn groups_of(name: &str) -> Vec<PathBuf> {
    let hierarchies = entries(Path::new("/sys/fs/cgroup"));
    hierarchies
        .into_iter()
        .map(|hierarchy| hierarchy.join(name))
        .chain([Path::new("/sys/fs/cgroup").join(name)])
        .filter(|group| group.exists())
        .collect()
}
