//! The real tools, and what they make of the chart.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value as Json;

/// Both majors that people use.
pub(crate) const HELMS: [&str; 2] = ["helm3", "helm4"];

/// A cluster with everything that the chart can use.
pub(crate) const FULL: &[&str] = &["--kube-version=1.37.2", "--api-versions=monitoring.coreos.com/v1"];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn chart() -> PathBuf {
    root().join("charts/oxide-operator")
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A tool of the cluster's, by name.
pub(crate) fn tool(name: &str) -> Command {
    let folder = std::env::var_os("OXIDE_CLUSTER_TOOLS").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/oxide-operator/cluster"),
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: `make tools` builds it, or set OXIDE_CLUSTER_TOOLS",
        path.display()
    );
    Command::new(path)
}

/// Runs it and returns what it printed; panics when it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What `helm template` makes of values, or why it refuses.
pub(crate) fn try_render(helm: &str, values: &[&Json], options: &[&str]) -> Result<Vec<Json>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tool(helm);
    command.args(["template", "oxide-operator"]).arg(chart()).args(["--namespace=oxide"]).args(options);
    for (number, values) in values.iter().enumerate() {
        let path = folder.path().join(format!("{number}.json"));
        std::fs::write(&path, values.to_string()).expect("ours");
        command.arg("--values").arg(path);
    }
    let output = command.output().expect("helm runs");
    if !output.status.success() {
        return Err(said(&output));
    }
    Ok(documents(&String::from_utf8(output.stdout).expect("text")))
}

/// The same, for values that must be accepted.
pub(crate) fn render(helm: &str, values: &Json, options: &[&str]) -> Vec<Json> {
    try_render(helm, &[values], options).unwrap_or_else(|why| panic!("{helm} {values}: {why}"))
}

/// Reads YAML of several documents; empty ones are left out.
pub(crate) fn documents(text: &str) -> Vec<Json> {
    let documents: Vec<Json> =
        serde_yaml::from_multiple(text).unwrap_or_else(|error| panic!("not YAML: {error}\n{text}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

pub(crate) fn yaml(path: &str) -> Json {
    documents(&read(path)).into_iter().next().unwrap_or_else(|| panic!("{path} is empty"))
}

/// The objects of a kind.
pub(crate) fn of_kind<'a>(objects: &'a [Json], kind: &str) -> Vec<&'a Json> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The only object of a kind.
pub(crate) fn only<'a>(objects: &'a [Json], kind: &str) -> &'a Json {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}
