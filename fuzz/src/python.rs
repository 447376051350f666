//! The orchestrator's own reader, asked about every edit; where `OXIDE_TEST_PYTHON` names a Python that has it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use oxide_operator::write_back::Edit;
use serde_json::{Value as Json, json};

struct Python {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    fn start() -> Option<Mutex<Self>> {
        let python = std::env::var_os("OXIDE_TEST_PYTHON")?;
        let mut child = Command::new(python)
            .args([
                "-c",
                concat!(include_str!("../../tests/support/put_edit.py"), include_str!("compare_edits.py")),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Some(Mutex::new(Self { _child: child, input, output }))
    }

    fn ask(&mut self, question: &Json) -> Json {
        writeln!(self.input, "{question}").expect("it reads");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("it answers");
        serde_json::from_str(&answer).expect("it answers in JSON")
    }
}

/// Panics when `PyYAML` reads an edited text otherwise than it was meant.
pub(crate) fn check_edits(before: &str, after: &str, edits: &[Edit]) {
    static PYTHON: OnceLock<Option<Mutex<Python>>> = OnceLock::new();
    let Some(python) = PYTHON.get_or_init(Python::start) else { return };
    let edits: Vec<Json> = edits
        .iter()
        .map(|edit| json!({"path": edit.path, "value": edit.value, "gone": edit.value.is_none()}))
        .collect();
    let question = json!({"before": before, "after": after, "edits": edits});
    let answer = python.lock().unwrap_or_else(PoisonError::into_inner).ask(&question);
    assert_eq!(answer, Json::Null, "PyYAML reads it otherwise:\n{after}");
}
