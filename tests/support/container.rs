//! A container as a pod with the restricted profile has it, run by runc: the image's own user and entrypoint, a root
//! that cannot be written, no capabilities, and no network unless it is given one. Needs root.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value as Json, json};

pub(crate) struct Container {
    bundle: tempfile::TempDir,
}

impl Container {
    /// Of an image whose files lie in `root`; `volume` is mounted at `/data`.
    pub(crate) fn new(configuration: &Json, root: &Path, volume: &Path, arguments: &[&str]) -> Self {
        let bundle = tempfile::tempdir().expect("a folder");
        let container = Self { bundle };
        container.write_spec(&spec(&configuration["config"], root, volume, arguments));
        container
    }

    /// Gives it a network, and what a pod has to resolve names.
    pub(crate) fn in_network(self, network: &Path, resolver: &str) -> Self {
        let file = self.bundle.path().join("resolv.conf");
        fs::write(&file, resolver).expect("written");
        let text = fs::read_to_string(self.bundle.path().join("config.json")).expect("ours");
        let mut spec: Json = serde_json::from_str(&text).expect("ours");
        let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("ours");
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "network", "path": network}));
        let mounts = spec["mounts"].as_array_mut().expect("ours");
        let options = ["bind", "ro"];
        mounts.push(
            json!({"destination": "/etc/resolv.conf", "type": "bind", "source": file, "options": options}),
        );
        self.write_spec(&spec);
        self
    }

    fn write_spec(&self, spec: &Json) {
        fs::write(self.bundle.path().join("config.json"), spec.to_string()).expect("written");
    }

    pub(crate) fn start(&self) -> Child {
        let mut runc = self.runc();
        runc.args(["run", "--bundle"]).arg(self.bundle.path()).arg(self.name());
        runc.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        runc.spawn().expect("make tools installs runc")
    }

    pub(crate) fn signal(&self, signal: &str) {
        assert!(self.runc().args(["kill", &self.name(), signal]).status().expect("runc runs").success());
    }

    fn runc(&self) -> Command {
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(self.bundle.path().join("state"));
        runc
    }

    fn name(&self) -> String {
        let name = self.bundle.path().file_name().expect("a name").to_string_lossy();
        format!("oxide-image{name}")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.runc().args(["delete", "--force", &self.name()]).output();
    }
}

fn spec(config: &Json, root: &Path, volume: &Path, arguments: &[&str]) -> Json {
    let (user, group) =
        config["User"].as_str().and_then(|user| user.split_once(':')).expect("user and group");
    let number = |text: &str| text.parse::<u32>().expect("a number: runAsNonRoot cannot judge names");
    let entrypoint = config["Entrypoint"].as_array().expect("an entrypoint").clone();
    let arguments: Vec<Json> =
        entrypoint.into_iter().chain(arguments.iter().map(|text| json!(text))).collect();
    let namespaces = ["pid", "mount", "ipc", "uts", "network"].map(|kind| json!({"type": kind}));
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": root, "readonly": true},
        "process": {
            "user": {"uid": number(user), "gid": number(group)},
            "args": arguments,
            "cwd": "/",
            "env": config["Env"].as_array().cloned().unwrap_or_default(),
            "noNewPrivileges": true,
            "capabilities": {},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/data", "type": "bind", "source": volume, "options": ["bind", "rw", "nosuid", "nodev"]},
        ],
        "linux": {"namespaces": namespaces},
    })
}
