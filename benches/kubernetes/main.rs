//! What the Kubernetes side costs, on a real API server, beside a raw watch in the same run.
//!
//! `cargo bench --bench kubernetes -- [latency|scale|rest|all] [--edits N] [--agents N]`

#![expect(clippy::disallowed_methods, reason = "a benchmark touches the world")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "../../tests/support/cluster.rs"]
mod cluster;
mod latency;
mod scale;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;
use serde_json::{Value as Json, json};

use cluster::Api;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let option = |name: &str, usual: usize| {
        let value = words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
        value.and_then(|value| value.parse().ok()).unwrap_or(usual)
    };
    let what = words.first().filter(|word| !word.starts_with('-')).map_or("all", |word| word);
    let wants = |name: &str| what == "all" || what == name;
    println!(
        "binary {} ({:.1} MB)",
        binary().display(),
        std::fs::metadata(binary()).map_or(0, |file| file.len()) as f64 / 1e6
    );
    if wants("latency") {
        latency::edits(option("--edits", 300));
    }
    if wants("rest") {
        latency::rest();
    }
    if wants("scale") {
        scale::agents(option("--agents", 200));
    }
}

fn binary() -> PathBuf {
    std::env::var_os("OXIDE_OPERATOR_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_oxide-operator")), PathBuf::from)
}

/// A server that knows the definitions.
fn server() -> Api {
    let api = Api::start();
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    for file in ["oxideconfigs.oxide.dev.yaml", "oxidestores.oxide.dev.yaml"] {
        let file = crds.join(file);
        api.kubectl(&["apply", "--server-side", "--filename", file.to_str().expect("a name")]);
    }
    api.wait(&["--for=condition=Established", "crd/oxideconfigs.oxide.dev", "crd/oxidestores.oxide.dev"]);
    api
}

/// Six services, nine rules: the reference configuration without its key.
fn configuration() -> Json {
    let text = include_str!("../../config/default.yaml");
    let mut config = oxide_operator::export::yaml_to_json(text);
    for service in config["services"].as_object_mut().expect("services").values_mut() {
        service.as_object_mut().map(|service| service.remove("api_key"));
    }
    json!({"config": config})
}

fn declare(api: &Api) {
    let metadata = json!({"name": "default", "namespace": "default"});
    let spec = configuration();
    let config = json!({"apiVersion": "oxide.dev/v1alpha1", "kind": "OxideConfig", "metadata": metadata, "spec": spec});
    api.apply(&config.to_string());
}

/// An agent with a store of its own.
struct Agent {
    folder: tempfile::TempDir,
    child: Child,
}

impl Agent {
    fn start(api: &Api, source: &str, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut program: Command = api.program(binary());
        let child = program
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .args(["run", "--source", source, "--db", "store/config.db", "--store-name", name])
            .args(["--listen-health", "127.0.0.1:0", "--listen", "off"])
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        Self { folder, child }
    }

    fn database(&self) -> Option<Connection> {
        Connection::open(self.folder.path().join("store/config.db")).ok()
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number of workers, once the database has it.
fn workers(database: &Connection) -> Option<i64> {
    let query = "SELECT max_parallel_workers FROM execution_settings";
    database.prepare_cached(query).and_then(|mut query| query.query_row([], |row| row.get(0))).ok()
}

/// The median and the 99th percentile.
fn percentiles(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    (at(50), at(99))
}
