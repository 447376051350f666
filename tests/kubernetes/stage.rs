//! The cluster with both images, and the hands of those who act on it.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::cluster::{Cluster, ORCHESTRATOR, PATIENCE, print_time, say};
use crate::image::Images;
use crate::pod::Pod;

/// The namespace of the release.
pub(crate) const NAMESPACE: &str = "oxide";

/// The release.
pub(crate) const RELEASE: &str = "oxide";

/// The `ConfigMap` of the second deployment.
pub(crate) const CONFIG_MAP: &str = "mapped";

const IMAGE: (&str, &str) = ("localhost/oxide-operator", "test");

/// The stand-in for the orchestrator. Its key is a file there; and as the first process of its container it ends when told
/// only because it says so.
const STAND_IN: &str = "
import os, pathlib, runpy, signal, sys
pathlib.Path('/tmp/key').write_text(os.environ['OXIDE_ENCRYPTION_KEY'])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
runpy.run_path('/app/orchestrator.py', run_name='__main__')
";

pub(crate) struct Stage {
    cluster: Cluster,
    folder: TempDir,
}

impl Stage {
    pub(crate) fn set() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = folder.path().join("image.tar");
        let cluster = std::thread::scope(|scope| {
            scope.spawn(|| {
                let began = Instant::now();
                let images = Images::new();
                let name = format!("{}:{}", IMAGE.0, IMAGE.1);
                images.build(&name, &[]);
                images.archive(&name, &archive);
                print_time("image built", began.elapsed());
            });
            Cluster::start()
        });
        cluster.import(&archive);
        cluster.import_orchestrator();
        Self { cluster, folder }
    }

    /// Creates a namespace that takes restricted pods only, with volumes for claims of these names.
    pub(crate) fn create_namespace(&self, namespace: &str, claims: &[&str]) {
        self.cluster.create_namespace(namespace);
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        self.kubectl(&["label", "namespace", namespace, restricted]);
        for claim in claims {
            let path = self.folder().join(format!("volumes/{namespace}-{claim}"));
            fs::create_dir_all(&path).expect("created");
            self.apply(&volume(namespace, claim, &path).to_string());
        }
    }

    /// Runs a major of Helm, which must succeed; returns what it printed.
    pub(crate) fn helm(&self, helm: &str, arguments: &[&str]) -> String {
        let output = self.tool(helm).args(arguments).output().expect("starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{helm} {arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// A file with values for the chart: ours, over those that name the image.
    pub(crate) fn values(&self, name: &str, more: &Json) -> String {
        let mut values = json!({"image": {"repository": IMAGE.0, "tag": IMAGE.1}});
        for (name, value) in more.as_object().into_iter().flatten() {
            values[name] = value.clone();
        }
        self.write(&format!("values-{name}.json"), &values.to_string())
    }

    /// Writes a file of this test's own; returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    }

    /// Copies a folder of the repository into one of this test's own, where it may be changed.
    pub(crate) fn copy(&self, from: &str, to: &str) -> PathBuf {
        let to = self.folder.path().join(to);
        copy_folder(&repository(from), &to);
        to
    }

    /// Applies the samples of the repository, or one of them, with a kustomization over them, as people do.
    pub(crate) fn apply_samples(&self, name: &str, namespace: &str, resource: &str, more: &Json) {
        self.copy("config", &format!("{name}/config"));
        let mut kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": namespace,
            "resources": [resource],
            "images": [
                {"name": "your-oxide-orchestrator", "newName": ORCHESTRATOR.split_once(':').expect("a tag").0, "newTag": "test"},
                {"name": "oxide-operator", "newName": IMAGE.0, "newTag": IMAGE.1},
            ],
            "patches": [],
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            kustomization[name] = value.clone();
        }
        let patches = kustomization["patches"].as_array_mut().expect("a list");
        patches.push(json!({"target": {"kind": "Deployment"}, "patch": stand_in().to_string()}));
        self.write(&format!("{name}/kustomization.yaml"), &kustomization.to_string());
        let folder = self.folder.path().join(name);
        self.kubectl(&["apply", "--kustomize", folder.to_str().expect("text")]);
    }

    /// Runs kubectl in the release's namespace.
    pub(crate) fn oxide(&self, arguments: &[&str]) -> String {
        self.kubectl(&[&["--namespace", NAMESPACE], arguments].concat())
    }

    /// Changes an object with `kubectl edit`, whose editor does one replacement of `sed`. An error is what the editor was
    /// shown after the API server had refused it.
    pub(crate) fn edit(&self, object: &str, replacement: &str) -> Result<(), String> {
        let shown = self.write("shown", "");
        let editor = format!("cp \"$1\" '{shown}' && exec sed -i -e '{replacement}' \"$1\"\n");
        let editor = self.write("editor.sh", &editor);
        let mut edit = self.tool("kubectl");
        edit.args(["edit", object, "--namespace", NAMESPACE]);
        edit.env("KUBE_EDITOR", format!("sh {editor}")).env("TMPDIR", self.folder.path());
        let output = edit.output().expect("starts");
        if String::from_utf8_lossy(&output.stdout).ends_with(" edited\n") {
            assert!(output.status.success());
            return Ok(());
        }
        Err(fs::read_to_string(shown).expect("text") + &String::from_utf8_lossy(&output.stderr))
    }

    /// The pod of a deployment, once it is ready.
    pub(crate) fn pod(&self, namespace: &'static str, deployment: &str) -> Pod<'_> {
        self.kubectl(&[
            "rollout",
            "status",
            &format!("deployment/{deployment}"),
            "--namespace",
            namespace,
            &format!("--timeout={}s", PATIENCE.as_secs()),
        ]);
        let object = self.await_object(namespace, "pods", "a ready pod", |pod| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            pod["metadata"]["labels"]["app.kubernetes.io/name"] == deployment
                && pod["metadata"]["deletionTimestamp"].is_null()
                && conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
        });
        Pod::new(self, namespace, object)
    }

    /// The pod that takes the `OxideConfig`.
    pub(crate) fn declared(&self) -> Pod<'_> {
        self.pod(NAMESPACE, "oxide-orchestrator")
    }

    /// The pod that takes the `ConfigMap`.
    pub(crate) fn mapped(&self) -> Pod<'_> {
        self.pod(NAMESPACE, "mapped-oxide-orchestrator")
    }

    /// Waits for an event with this reason about an object; returns its message.
    pub(crate) fn event(&self, reason: &str, about: &str, wanted: &str) -> String {
        let what = format!("an event {reason} about {about} that says {wanted:?}");
        let event = self.await_object(NAMESPACE, "events", &what, |event| {
            event["reason"] == reason
                && event["involvedObject"]["name"] == about
                && event["message"].as_str().is_some_and(|message| message.contains(wanted))
        });
        event["message"].as_str().expect("text").to_owned()
    }
}

impl Deref for Stage {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Drop for Stage {
    /// What the sidecars of a failed test said, while there is somebody who knows.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for namespace in [NAMESPACE, "plain"] {
                let sidecars = ["--selector=oxide.dev/sidecar=true", "--container=oxide-operator"];
                let logs = ["logs", "--namespace", namespace, "--prefix", "--tail=15"];
                say(&self.try_kubectl(&[logs.as_slice(), &sidecars].concat()).unwrap_or_else(|said| said));
            }
        }
    }
}

/// A path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The status of a condition.
pub(crate) fn condition<'a>(status: &'a Json, kind: &str) -> &'a str {
    let conditions = status["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or("")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            fs::copy(from, to).expect("copied");
        }
    }
}

/// A volume of the node: the cluster has nobody who makes them.
fn volume(namespace: &str, claim: &str, path: &Path) -> Json {
    let on_the_node = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["node1"]});
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": format!("{namespace}-{claim}")},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": claim},
            "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_the_node]}]}},
        },
    })
}

/// What makes the sample's container the stand-in for the orchestrator: it has started once its port is open.
fn stand_in() -> Json {
    let arguments = ["-c", STAND_IN, "/data/.oxide/config.db", "/tmp/key", "8000", "", "attentive"];
    let connect = ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 8000))"];
    let started = json!({"exec": {"command": connect}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 60});
    json!([
        {"op": "add", "path": "/spec/template/spec/containers/0/args", "value": arguments},
        {"op": "add", "path": "/spec/template/spec/containers/0/startupProbe", "value": started},
    ])
}
