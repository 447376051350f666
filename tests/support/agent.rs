//! `run` as its users meet it: the real binary, its log a JSON object a line, its metrics over HTTP.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value as Json;

pub(crate) const YAML: &str = include_str!("../../config/default.yaml");

/// `O_NOCTTY`: the terminal of a test is nobody's.
const NO_CONTROL: i32 = rustix::fs::OFlags::NOCTTY.bits().cast_signed();

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Agent {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) child: Child,
    pub(crate) log: Receiver<Json>,
    pub(crate) port: u16,
}

impl Agent {
    /// Starts on a file, and waits until it has applied it.
    pub(crate) fn on_a_file() -> Self {
        let mut agent = Self::start(folder_with_yaml(), "file:default.yaml", &[]);
        agent.wait_for_outcome("applied");
        agent
    }

    pub(crate) fn start(folder: tempfile::TempDir, source: &str, more: &[&str]) -> Self {
        Self::start_with(Command::new(env!("CARGO_BIN_EXE_oxide-operator")), folder, source, more)
    }

    /// Starts with a terminal as stderr.
    pub(crate) fn start_at_a_terminal(folder: tempfile::TempDir, source: &str, more: &[&str]) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("ours");
        let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("text");
        let end = std::fs::OpenOptions::new().write(true).custom_flags(NO_CONTROL).open(name).expect("opens");
        let program = Command::new(env!("CARGO_BIN_EXE_oxide-operator"));
        let (mut agent, unused) = Self::spawn(program, folder, source, more, end.into());
        assert!(unused.is_none());
        agent.log = lines_of(std::fs::File::from(terminal));
        agent
    }

    /// Starts through another program, which runs the agent in place of itself.
    pub(crate) fn start_with(
        program: Command,
        folder: tempfile::TempDir,
        source: &str,
        more: &[&str],
    ) -> Self {
        let (mut agent, stderr) = Self::spawn(program, folder, source, more, Stdio::piped());
        agent.log = lines_of(stderr.expect("piped"));
        agent
    }

    fn spawn(
        mut program: Command,
        folder: tempfile::TempDir,
        source: &str,
        more: &[&str],
        stderr: Stdio,
    ) -> (Self, Option<ChildStderr>) {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut child = program
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env_remove("OXIDE_ENCRYPTION_KEY")
            .args(["run", "--source", source, "--db", "store/config.db", "--log-format", "json"])
            .args(["--listen-health", &format!("127.0.0.1:{port}")])
            // Without the web page unless a test asks for it: many agents run at once.
            .args(["--listen", "off"].iter().filter(|_| !more.contains(&"--listen")))
            .args(more)
            .stderr(stderr)
            .spawn()
            .expect("starts");
        let stderr = child.stderr.take();
        (Self { folder, child, log: channel().1, port }, stderr)
    }

    /// Waits for a line of the log that `wanted` accepts; fails with all lines seen since.
    pub(crate) fn wait_for(&mut self, what: &str, mut wanted: impl FnMut(&Json) -> bool) -> Json {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if wanted(&line) {
                return line;
            }
            seen.push(line);
        }
        panic!("never saw {what}; the log said {seen:#?}");
    }

    pub(crate) fn wait_for_outcome(&mut self, outcome: &str) -> Json {
        self.wait_for(outcome, |line| line["outcome"] == outcome)
    }

    /// Runs a command beside it, on the same database.
    pub(crate) fn command(&self, source: &str, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_oxide-operator"))
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .args(args)
            .args(["--db", "store/config.db", "--source", source])
            .output()
            .expect("runs")
    }

    pub(crate) fn yaml(&self) -> PathBuf {
        self.folder.path().join("default.yaml")
    }

    /// A connection as the orchestrator has it.
    pub(crate) fn orchestrator(&self) -> Connection {
        let conn = Connection::open(self.folder.path().join("store/config.db")).expect("opens");
        conn.busy_timeout(Duration::from_secs(5)).expect("set");
        conn.execute_batch("PRAGMA foreign_keys=OFF").expect("configured");
        conn
    }

    pub(crate) fn workers(&self) -> i64 {
        let query = "SELECT max_parallel_workers FROM execution_settings";
        self.orchestrator().query_row(query, [], |row| row.get(0)).expect("there")
    }

    /// The API key of a service, as the orchestrator reads it.
    pub(crate) fn key_of(&self, service: &str) -> String {
        let query = "SELECT api_key_encrypted FROM services WHERE id = ?1";
        let token: String = self.orchestrator().query_row(query, [service], |row| row.get(0)).expect("a key");
        let key = std::fs::read_to_string(self.folder.path().join("store/encryption.key")).expect("there");
        let fernet = fernet::Fernet::new(key.trim()).expect("a Fernet key");
        String::from_utf8(fernet.decrypt(&token).expect("opens")).expect("text")
    }

    /// What it serves, which can be asked from another thread.
    pub(crate) fn served(&self) -> Served {
        Served(([127, 0, 0, 1], self.port).into())
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.served().get(path)
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.served().metric(name)
    }

    pub(crate) fn wait_for_metric(&self, name: &str, value: u64) {
        self.served().wait_for_metric(name, value);
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }
}

/// The lines of a log, each as JSON, or as text where it is none.
fn lines_of(log: impl Read + Send + 'static) -> Receiver<Json> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            let _ = sender.send(serde_json::from_str(&line).unwrap_or(Json::String(line)));
        }
    });
    lines
}

/// The health port of an agent.
#[derive(Clone, Copy)]
pub(crate) struct Served(pub(crate) SocketAddr);

impl Served {
    pub(crate) fn get(self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.0).expect("listens");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, answer)
    }

    /// Returns a metric that is a whole number.
    pub(crate) fn metric(self, name: &str) -> u64 {
        let (_, text) = self.get("/metrics");
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }

    /// Waits until a metric has a value: it moves with an event of which there is no line in the log.
    pub(crate) fn wait_for_metric(self, name: &str, value: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.metric(name) != value {
            assert!(Instant::now() < deadline, "{name} is {}, not {value}", self.metric(name));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with the guide's sample as `default.yaml`.
pub(crate) fn folder_with_yaml() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("default.yaml"), YAML).expect("written");
    folder
}

pub(crate) fn with_workers(count: i64) -> String {
    YAML.replace("max_parallel_workers: 4", &format!("max_parallel_workers: {count}"))
}

/// Puts a new version of a file into a mounted volume as kubelet does: all of the volume is replaced at once. The version
/// before it stays for the caller to remove.
pub(crate) fn swap(mount: &Path, version: i64, file: &str, text: &str) {
    let data = format!("..v{version}");
    std::fs::create_dir_all(mount.join(&data)).expect("created");
    std::fs::write(mount.join(&data).join(file), text).expect("written");
    symlink(&data, mount.join("..data_tmp")).expect("linked");
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("swapped");
}
