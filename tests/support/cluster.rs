//! A real Kubernetes: its API server alone, or a whole cluster of one node, in namespaces of its own.
//!
//! Its network is another than the test's: commands run in it, and threads move into it.

#![allow(dead_code, reason = "each test crate uses its part")]

mod keeper;
mod watch;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::ops::Deref;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value as Json;

use keeper::Keeper;
pub(crate) use keeper::tools;
pub(crate) use watch::Watch;

/// How long anything in a cluster may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The image of the stand-in for the orchestrator.
pub(crate) const ORCHESTRATOR: &str = "localhost/orchestrator:test";

const SERVER: &str = "kube-apiserver";

/// etcd and the API server: enough for definitions, rules, access, watches, leases and events; nothing runs on it,
/// nothing is garbage-collected, and namespaces come without their `default` account.
pub(crate) struct Api {
    keeper: Keeper,
}

impl Api {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Gives the API server more flags.
    pub(crate) fn start_with(flags: &[&str]) -> Self {
        let began = Instant::now();
        let api = Self { keeper: Keeper::start("api", flags) };
        print_time("API server ready", began.elapsed());
        api
    }

    /// A program in the cluster's network, whom the server takes for its admin.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let mut network = std::ffi::OsString::from("--net=");
        network.push(self.keeper.network());
        command.arg(network).arg("--").arg(program);
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.keeper.folder());
        command.env_remove("OXIDE_ENCRYPTION_KEY").stdin(Stdio::null());
        command
    }

    /// The binary under test.
    pub(crate) fn oxide(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_oxide-operator"));
        command.args(arguments);
        command
    }

    /// One of the components' programs: `kubectl`, `helm3`, `helm4`, `ctr`.
    pub(crate) fn tool(&self, name: &str) -> Command {
        self.program(tools().join(name))
    }

    /// Runs kubectl, which must succeed; returns what it printed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|said| panic!("kubectl {arguments:?}: {said}"))
    }

    /// Runs kubectl; an error is what it complained of.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        result_of(self.tool("kubectl").args(arguments))
    }

    /// Applies a manifest, which must be taken.
    pub(crate) fn apply(&self, manifest: &str) {
        self.try_apply(manifest).unwrap_or_else(|said| panic!("{said} for {manifest}"));
    }

    /// Applies a manifest; an error is the server's reason.
    pub(crate) fn try_apply(&self, manifest: &str) -> Result<String, String> {
        let mut command = self.tool("kubectl");
        command.args(["apply", "--server-side", "-f", "-"]).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        child.stdin.take().expect("piped").write_all(manifest.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("ended");
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// One object.
    pub(crate) fn get(&self, namespace: &str, resource: &str, name: &str) -> Json {
        let printed = self.kubectl(&["get", resource, name, "--namespace", namespace, "--output", "json"]);
        serde_json::from_str(&printed).expect("JSON")
    }

    /// Follows a resource's objects in a namespace.
    pub(crate) fn watch(&self, namespace: &str, resource: &str) -> Watch {
        let mut command = self.tool("kubectl");
        command.args(["get", resource, "--namespace", namespace]);
        command.args(["--watch", "--output-watch-events", "--output", "json"]);
        Watch::start(command)
    }

    /// Waits until there is an object that `wanted` accepts, now or later.
    pub(crate) fn await_object(
        &self,
        namespace: &str,
        resource: &str,
        what: &str,
        wanted: impl Fn(&Json) -> bool,
    ) -> Json {
        self.watch(namespace, resource).wait_for(what, wanted)
    }

    /// Waits for what kubectl can wait for, such as `--for=condition=Ready`.
    pub(crate) fn wait(&self, arguments: &[&str]) {
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        let arguments: Vec<&str> = ["wait", &timeout].into_iter().chain(arguments.iter().copied()).collect();
        self.kubectl(&arguments);
    }

    /// Does `work` on a thread of its own in the cluster's network; threads that it starts are there too.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into the cluster's network, for good.
    pub(crate) fn enter(&self) {
        let network = fs::File::open(self.keeper.network()).expect("the keeper lives");
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
    }

    /// The admin's.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder().join("kubeconfig")
    }

    /// Makes a kubeconfig of a service account, whose token is in a file beside it: [`renew_token`](Self::renew_token)
    /// puts another one there.
    pub(crate) fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self.renew_token(namespace, account);
        let path = self.folder().join(format!("kubeconfig-{namespace}-{account}"));
        let text = fs::read_to_string(self.kubeconfig()).expect("the keeper wrote it");
        let (before, rest) = text.split_once("token: ").expect("the admin's token");
        let (_, after) = rest.split_once('}').expect("its end");
        fs::write(&path, format!("{before}tokenFile: {}}}{after}", token.display())).expect("written");
        path
    }

    /// Gives a service account a new token, in the file that its kubeconfig names.
    pub(crate) fn renew_token(&self, namespace: &str, account: &str) -> PathBuf {
        let path = self.folder().join(format!("token-{namespace}-{account}"));
        let aside = path.with_extension("new");
        let token = self.kubectl(&["create", "token", account, "--namespace", namespace]);
        fs::write(&aside, token.trim()).expect("written");
        fs::rename(aside, &path).expect("renamed");
        path
    }

    /// Where everything is kept: kubeconfigs, and a log for each component. Gone with the cluster.
    pub(crate) fn folder(&self) -> &Path {
        self.keeper.folder()
    }

    /// Ends the API server without a farewell.
    pub(crate) fn stop_server(&self) {
        self.keeper.order(&format!("kill {SERVER}"));
    }

    /// Starts the API server again, and waits until it serves.
    pub(crate) fn start_server(&self) {
        self.keeper.order(&format!("start {SERVER}"));
    }

    /// Lets the API server stand still: connections stay open and say nothing.
    pub(crate) fn freeze_server(&self) {
        self.keeper.order(&format!("freeze {SERVER}"));
    }

    pub(crate) fn thaw_server(&self) {
        self.keeper.order(&format!("thaw {SERVER}"));
    }

    /// Processor time that the API server has used since it started.
    pub(crate) fn server_time(&self) -> Duration {
        let [pid] = self.server_pids()[..] else { panic!("one API server") };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let (_, after_name) = stat.rsplit_once(") ").expect("a name");
        let ticks: u64 =
            after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    fn server_pids(&self) -> Vec<u32> {
        let network = fs::read_link(self.keeper.network()).expect("the keeper lives");
        let processes = fs::read_dir("/proc").expect("there").map(|entry| entry.expect("an entry").path());
        let ours = processes.filter(|process| {
            fs::read_link(process.join("ns/net")).is_ok_and(|other| other == network)
                && fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == SERVER)
        });
        ours.filter_map(|process| process.file_name()?.to_str()?.parse().ok()).collect()
    }
}

/// A whole cluster of one node, `node1`, on which pods run. It has no DNS, no kube-proxy and no way out.
pub(crate) struct Cluster {
    api: Api,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let began = Instant::now();
        let cluster = Self { api: Api { keeper: Keeper::start("node", &[]) } };
        print_time("node ready", began.elapsed());
        cluster
    }

    /// Creates a namespace, and waits until pods can be created in it.
    pub(crate) fn create_namespace(&self, name: &str) {
        self.kubectl(&["create", "namespace", name]);
        self.wait(&["--for=create", "serviceaccount/default", "--namespace", name]);
    }

    /// Lets pods use the image of an archive, which is never pulled.
    pub(crate) fn import(&self, archive: &Path) {
        let began = Instant::now();
        let mut ctr = self.tool("ctr");
        ctr.arg("--address").arg(self.folder().join("containerd.sock")).args(["--namespace", "k8s.io"]);
        result_of(ctr.args(["images", "import"]).arg(archive)).expect("an OCI archive");
        print_time("image imported", began.elapsed());
    }

    /// Lets pods use [`ORCHESTRATOR`], a stand-in for the orchestrator: Python with `sqlite3`, and its web port in
    /// `/app/orchestrator.py`.
    pub(crate) fn import_orchestrator(&self) {
        let archive = self.folder().join("images/orchestrator.tar");
        let python = std::env::var_os("OXIDE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let mut make = Command::new(python);
        make.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/orchestrator_image.py"));
        result_of(make.arg(&archive).arg(ORCHESTRATOR)).expect("an image");
        self.import(&archive);
    }

    /// Starts the other components anew. After a long outage of the API server each would wait for up to a minute before it
    /// asks again; pods do not notice.
    pub(crate) fn restart_components(&self) {
        for component in ["kube-controller-manager", "kube-scheduler", "kubelet"] {
            self.keeper.order(&format!("kill {component}"));
            self.keeper.order(&format!("start {component}"));
        }
        let uids = |arguments: &[&str]| -> Result<BTreeSet<String>, String> {
            let said: Json = serde_json::from_str(&self.try_kubectl(arguments)?).expect("JSON");
            let pods = said["items"].as_array().into_iter().flatten();
            Ok(pods.map(|pod| pod["metadata"]["uid"].as_str().expect("a uid").to_owned()).collect())
        };
        let wanted =
            uids(&["get", "pods", "--all-namespaces", "--output=json"]).expect("the API server's pods");
        let began = Instant::now();
        // The kubelet is called healthy before its port for pods listens, and until it knows a pod it lets nobody in.
        loop {
            let heard = uids(&["get", "--raw", "/api/v1/nodes/node1/proxy/pods"]);
            if heard.as_ref().is_ok_and(|heard| heard.is_superset(&wanted)) {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "the kubelet never heard of all pods: {heard:?}, not {wanted:?}"
            );
        }
    }

    /// Runs a command in a container of a pod; returns what it printed.
    pub(crate) fn exec(&self, namespace: &str, pod: &str, container: &str, command: &[&str]) -> String {
        let exec = ["exec", "--namespace", namespace, pod, "--container", container, "--"];
        self.kubectl(&exec.into_iter().chain(command.iter().copied()).collect::<Vec<_>>())
    }
}

impl Deref for Cluster {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Drop for Cluster {
    /// What a failed test leaves is gone with the cluster, so it is told before.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let pods = ["get", "pods", "-A", "-o", "wide"];
            let warnings = ["events", "-A", "--types", "Warning"];
            for arguments in [&pods[..], &warnings] {
                let told = self.try_kubectl(arguments).unwrap_or_else(|said| said);
                let _ = writeln!(std::io::stderr(), "{told}");
            }
        }
    }
}

/// Says how long a step took, also of a test that passes.
pub(crate) fn print_time(what: &str, took: Duration) {
    say(&format!("{what}: {:.2} s", took.as_secs_f64()));
}

/// Says what was measured, also of a test that passes.
pub(crate) fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

fn result_of(command: &mut Command) -> Result<String, String> {
    let output = command.output().expect("starts");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}
