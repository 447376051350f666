//! Every call, with whatever schemathesis makes up from the served document: no server error, no answer that the
//! document does not know.

#![expect(clippy::disallowed_methods, reason = "it runs processes")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/web.rs"]
mod web;

use std::path::{Path, PathBuf};
use std::process::Command;

use web::Web;

/// The program of the environment that `make` installs.
fn program() -> PathBuf {
    let python = std::env::var_os("OXIDE_TEST_PYTHON").map(PathBuf::from);
    let python = python.or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache/oxide-operator/venv/bin/python"))
    });
    let beside = python.and_then(|python| Some(python.parent()?.join("schemathesis")));
    beside
        .filter(|program| program.is_file())
        .expect("schemathesis: `make tools` installs it beside the test's Python")
}

#[test]
fn whatever_is_made_up_is_answered_as_the_document_says() {
    let web = Web::start(&[]);
    let examples = std::env::var("SCHEMATHESIS_EXAMPLES").unwrap_or_else(|_| "12".into());
    let output = Command::new(program())
        .current_dir(web.agent.folder.path())
        .args(["run", &format!("http://127.0.0.1:{}/api/v1/openapi.json", web.port)])
        .args(["--header", &format!("Authorization: Bearer {}", web.token)])
        // That a missing If-Match is answered 428, and too many wrong tokens 429, it takes for faults; both are tested in
        // tests/web.rs and tests/web_threats.rs.
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"])
        // A stream does not end; what is waited for is in tests/web.rs.
        .args(["--exclude-operation-id", "streamEvents"])
        .args(["--max-examples", &examples, "--seed", "20261125", "--request-timeout", "20", "--suppress-health-check", "all"])
        .args(["--no-color"])
        .output()
        .expect("schemathesis runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(web.get("/api/v1/status").status, 200, "and it still answers");
}
