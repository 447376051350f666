//! The orchestrator's own language as an outside reader and writer.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

/// Runs a Python script with `input` as JSON on its standard input, and returns the JSON it prints.
///
/// There is no skipping: without Python, `cryptography` and `PyYAML` the caller's test fails and says so.
pub(crate) fn run(script: &str, input: &Json) -> Json {
    let python = std::env::var("OXIDE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let help = "make tools installs it; or name one with OXIDE_TEST_PYTHON that has cryptography and PyYAML";
    let mut child = Command::new(&python)
        .args(["-c", &format!("import json, sqlite3, sys, yaml, cryptography\n{script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{python}: {error}; {help}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_string();
    let feeding = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{python} failed ({help}):\n{stderr}");
    feeding.join().expect("no panic").expect("it reads its input");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error} in its output; {stderr}"))
}
