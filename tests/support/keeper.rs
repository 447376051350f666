//! The process that keeps a Kubernetes: `tests/cluster/keeper.sh`, which ends with everything it started when we drop
//! it or end in whatever way, for it ends with its stdin.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

pub(crate) struct Keeper {
    child: Child,
    line: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    folder: PathBuf,
    inside: u32,
}

impl Keeper {
    /// Starts what `mode` names, and waits until it serves.
    pub(crate) fn start(mode: &str, api_flags: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/keeper.sh");
        let mut child = Command::new(script)
            .arg(mode)
            .arg(tools())
            .args(api_flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A terminal's Ctrl-C is for the test; the keeper follows when its stdin ends.
            .process_group(0)
            .spawn()
            .expect("the keeper starts");
        let orders = child.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("text");
        let Some(folder) = answer.trim().strip_prefix("ready ") else {
            drop(orders);
            let _ = child.wait();
            panic!("{answer}(needs root; `make tools` builds and installs what it is made of)");
        };
        let folder = PathBuf::from(folder);
        let inside = fs::read_to_string(folder.join("inside")).expect("the keeper wrote it");
        let inside = inside.trim().parse().expect("a process");
        Self { child, line: Mutex::new(Some((orders, answers))), folder, inside }
    }

    /// Gives an order, such as `kill kube-apiserver`, and waits until it is carried out.
    pub(crate) fn order(&self, order: &str) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let (orders, answers) = line.as_mut().expect("open until dropped");
        writeln!(orders, "{order}").expect("the keeper lives");
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("text");
        drop(line);
        assert_eq!(answer, "done\n", "{order}");
    }

    /// Where everything is kept, logs of the components too. Gone with the keeper.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn network(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.inside))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.child.wait();
    }
}

/// Where `make tools` puts the components.
pub(crate) fn tools() -> PathBuf {
    std::env::var_os("OXIDE_TEST_CLUSTER").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/oxide-operator/cluster"),
        PathBuf::from,
    )
}
