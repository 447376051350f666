//! One API server for many tests, and a namespace for each.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value as Json, json};

use crate::agent::Agent;
use crate::cluster::Api;

/// The server that tests share. It ends with this process.
pub(crate) fn api() -> &'static Api {
    static API: OnceLock<Api> = OnceLock::new();
    API.get_or_init(|| {
        let api = Api::start();
        define(&api);
        api
    })
}

/// Teaches a server the definitions of this project.
pub(crate) fn define(api: &Api) {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    for file in ["oxideconfigs.oxide.dev.yaml", "oxidestores.oxide.dev.yaml"] {
        let file = crds.join(file);
        api.kubectl(&["apply", "--server-side", "--filename", file.to_str().expect("a name")]);
    }
    api.wait(&["--for=condition=Established", "crd/oxideconfigs.oxide.dev", "crd/oxidestores.oxide.dev"]);
}

/// A namespace of a test's own.
pub(crate) struct World {
    pub(crate) api: &'static Api,
    pub(crate) namespace: &'static str,
}

impl World {
    pub(crate) fn new(namespace: &'static str) -> Self {
        let api = api();
        api.kubectl(&["create", "namespace", namespace]);
        Self { api, namespace }
    }

    /// Runs kubectl in the namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|said| panic!("kubectl {arguments:?}: {said}"))
    }

    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let arguments: Vec<&str> =
            ["--namespace", self.namespace].into_iter().chain(arguments.iter().copied()).collect();
        self.api.try_kubectl(&arguments)
    }

    /// Declares an `OxideConfig` called `default`, as somebody does by hand.
    pub(crate) fn declare(&self, spec: &Json) {
        self.api.apply(&self.manifest(spec));
    }

    /// Declares it by one of kubectl's commands, and so under another manager's name.
    pub(crate) fn declare_by(&self, command: &[&str], spec: &Json) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.json");
        std::fs::write(&file, self.manifest(spec)).expect("written");
        self.kubectl(&[command, &["--filename", file.to_str().expect("a name")]].concat());
    }

    pub(crate) fn manifest(&self, spec: &Json) -> String {
        let metadata = json!({"name": "default", "namespace": self.namespace});
        json!({"apiVersion": "oxide.dev/v1alpha1", "kind": "OxideConfig", "metadata": metadata, "spec": spec})
            .to_string()
    }

    /// Changes the `OxideConfig` as `kubectl edit` does.
    pub(crate) fn edit(&self, patch: &Json) {
        let patch = patch.to_string();
        self.kubectl(&[
            "patch",
            "oxideconfig",
            "default",
            "--field-manager=kubectl-edit",
            "--type=merge",
            "-p",
            &patch,
        ]);
    }

    /// An agent on the `OxideConfig`, after its first pass.
    pub(crate) fn agent(&self, more: &[&str]) -> Agent {
        let mut agent = self.starting_agent(&self.source(), more);
        agent.wait_for("the first pass", |line| line["outcome"].is_string());
        agent
    }

    pub(crate) fn source(&self) -> String {
        format!("oxideconfig:{}/default", self.namespace)
    }

    pub(crate) fn starting_agent(&self, source: &str, more: &[&str]) -> Agent {
        let folder = tempfile::tempdir().expect("a folder");
        let program = self.api.program(env!("CARGO_BIN_EXE_oxide-operator"));
        let name = ["--store-name", "store"];
        let more: Vec<&str> =
            if more.contains(&"--store-name") { more.to_vec() } else { [&name, more].concat() };
        Agent::start_with(program, folder, source, &more)
    }

    /// A command beside an agent: the same source, the same database, the same key.
    pub(crate) fn beside(&self, agent: &Agent, arguments: &[&str]) -> Command {
        let mut command = self.api.oxide(arguments);
        command.current_dir(agent.folder.path()).env("HOME", agent.folder.path());
        command.args(["--source", &self.source(), "--db", "store/config.db"]);
        command
    }

    /// The status of the `OxideStore`, once `wanted` accepts it.
    pub(crate) fn await_status(&self, what: &str, wanted: impl Fn(&Json) -> bool) -> Json {
        let store = self.api.await_object(self.namespace, "oxidestores", what, |store| {
            store["metadata"]["name"] == "store" && wanted(&store["status"])
        });
        store["status"].clone()
    }

    pub(crate) fn get(&self, resource: &str, name: &str) -> Json {
        self.api.get(self.namespace, resource, name)
    }
}

/// Two services and a rule.
pub(crate) fn two_services() -> Json {
    json!({"config": {
        "services": {
            "ollama": {"type": "http", "base_url": "http://ollama:11434", "enabled": true},
            "gemini": {"type": "cli", "executable": "gemini", "enabled": true},
        },
        "routing_rules": {"quick_query": {"primary": "ollama", "fallback": ["gemini"]}},
        "execution": {"timeout_seconds": 60},
    }})
}

/// The status of a condition.
pub(crate) fn condition<'a>(status: &'a Json, kind: &str) -> &'a str {
    let conditions = status["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or("")
}
