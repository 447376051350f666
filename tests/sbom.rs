//! The list of what the binary is made of, against what cargo links and what runs.

#![expect(clippy::disallowed_methods, reason = "it runs the tool that makes it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn written(path: &Path) -> String {
    let said = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/sbom.py"))
        .arg(path)
        .arg(target())
        .output()
        .expect("python3");
    let complaint = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "make tools installs cargo-cyclonedx: {complaint}");
    fs::read_to_string(path).expect("written")
}

/// Names and versions of the crates in the binary, and of those that write code for it.
fn linked() -> BTreeSet<(String, String)> {
    let tree = ["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--target"];
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(tree)
        .arg(target())
        .output()
        .expect("cargo runs");
    let crates = String::from_utf8(output.stdout).expect("text");
    let split = |line: &str| {
        let (name, rest) = line.split_once(" v").expect("a version");
        (name.to_owned(), rest.split(' ').next().expect("a version").to_owned())
    };
    crates.lines().filter(|line| !line.is_empty()).map(split).collect()
}

#[test]
fn the_list_names_every_crate_of_the_binary_and_sqlite_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = written(&folder.path().join("first.json"));
    assert_eq!(text, written(&folder.path().join("second.json")), "the same at every moment");
    assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "the same on every machine");

    let list: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&list["bomFormat"], &list["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).expect("committed");
    let mut named = BTreeSet::new();
    for part in list["components"].as_array().expect("a list").iter().chain([&list["metadata"]["component"]])
    {
        let text = |key: &str| part[key].as_str().unwrap_or_else(|| panic!("{key} of {part:#}")).to_owned();
        assert!(part["licenses"][0].is_object(), "{part:#}");
        if part["bom-ref"].as_str().is_some_and(|name| name.starts_with("registry+")) {
            let checksum = part["hashes"][0]["content"].as_str().expect("a checksum");
            assert!(lock.contains(checksum), "{part:#}");
        }
        named.insert((text("name"), text("version")));
    }
    let mut expected = linked();
    expected.insert(("sqlite".to_owned(), rusqlite::version().to_owned()));
    assert_eq!(named, expected);
}
