//! A running agent: edits of the source, commits of the other side, rest, start.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::process::spread;
use super::{inputs, program};

/// Between two looks at the database, as the C floor waits for its reader.
const LOOK: Duration = Duration::from_micros(50);

/// Between two edits.
const GAP: Duration = Duration::from_millis(20);

const FOREIGN: usize = 300;

pub(crate) struct Agent {
    folder: tempfile::TempDir,
    child: Child,
    port: u16,
    /// Where the page is served.
    page: u16,
}

impl Agent {
    fn start(bin: &Path) -> Self {
        Self::start_with(bin, &[])
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.folder.path().join("db/config.db")
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn start_with(bin: &Path, more: &[&str]) -> Self {
        let agent = Self::of(bin, &inputs::yaml(6), more, false);
        agent.wait_until_ready();
        agent
    }

    /// An agent with a page, on a source.
    pub(crate) fn with_page(bin: &Path, yaml: &str) -> Self {
        let agent = Self::of(bin, yaml, &[], true);
        agent.wait_until_ready();
        agent
    }

    fn of(bin: &Path, yaml: &str, more: &[&str], has_page: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("c.yaml"), yaml).expect("written");
        Self::spawn(bin, folder, more, has_page)
    }

    /// Asks the page or the API, and returns the status of the answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let token = std::fs::read_to_string(self.folder.path().join("db/web.token")).unwrap_or_default();
        super::sizes::ask(self.page, token.trim(), method, path, body)
    }

    /// The most memory that it has had, in MiB.
    pub(crate) fn peak(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    }

    fn spawn(bin: &Path, folder: tempfile::TempDir, more: &[&str], has_page: bool) -> Self {
        let free =
            || TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let (port, page) = (free(), free());
        let listen = if has_page { format!("127.0.0.1:{page}") } else { "off".to_owned() };
        let child = program(bin, folder.path())
            .args(["run", "--source", &format!("file:{}", folder.path().join("c.yaml").display())])
            .args(["--db", &folder.path().join("db/config.db").display().to_string()])
            .args(["--listen", &listen, "--listen-health", &format!("127.0.0.1:{port}")])
            .args(more)
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        Self { folder, child, port, page }
    }

    fn wait_until_ready(&self) {
        while !self.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            std::thread::sleep(LOOK);
        }
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn yaml(&self) -> PathBuf {
        self.folder.path().join("c.yaml")
    }

    fn database(&self) -> Connection {
        Connection::open(self.folder.path().join("db/config.db")).expect("opens")
    }

    fn drift(&self) -> bool {
        let line = "oxide_operator_drift_fields{class=\"drift\",section=\"services\"} 1";
        self.get("/metrics").is_some_and(|metrics| metrics.contains(line))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An edit to the row committed and verified, beside a C program that reads the file, commits one row and reads it
/// back.
pub(crate) fn edits(bin: &Path, edits: usize) {
    println!(
        "\n| {edits} edits of the YAML, 6 services | p50 ms | p99 ms | lost | ratio to floor p50, p99 |\n|---|---|---|---|---|"
    );
    let before = floor();
    for kind in ["rename", "in place"] {
        let agent = Agent::start(bin);
        let database = agent.database();
        let workers = || -> i64 {
            let query = "SELECT max_parallel_workers FROM execution_settings";
            database
                .prepare_cached(query)
                .and_then(|mut query| query.query_row([], |row| row.get(0)))
                .expect("there")
        };
        let (mut times, mut lost) = (Vec::new(), 0);
        for count in 100..100 + edits {
            std::thread::sleep(GAP);
            let text =
                inputs::yaml(6).replace("max_parallel_workers: 4", &format!("max_parallel_workers: {count}"));
            let clock = if kind == "rename" {
                let temporary = agent.folder.path().join(".c.yaml.tmp");
                std::fs::write(&temporary, text).expect("written");
                let clock = Instant::now();
                std::fs::rename(temporary, agent.yaml()).expect("renamed");
                clock
            } else {
                let mut file = std::fs::File::create(agent.yaml()).expect("opened");
                file.write_all(text.as_bytes()).expect("written");
                let clock = Instant::now();
                drop(file);
                clock
            };
            while workers() != i64::try_from(count).unwrap_or_default()
                && clock.elapsed() < Duration::from_secs(5)
            {
                std::thread::sleep(LOOK);
            }
            lost += usize::from(clock.elapsed() >= Duration::from_secs(5));
            times.push(clock.elapsed().as_secs_f64() * 1e3);
        }
        let (p50, p99) = percentiles(&mut times);
        println!("| {kind} | {p50:.2} | {p99:.2} | {lost} | {:.1}, {:.1} |", p50 / before.0, p99 / before.1);
    }
    let after = floor();
    println!(
        "\nfloor (read, one-row commit, read back, in C): p50 {:.2} / {:.2} ms, p99 {:.2} / {:.2} ms before / after; targets: rename 6 x p50, 8 x p99; in place 20 ms more",
        before.0, after.0, before.1, after.1
    );
}

/// Compiles and runs the C floor; p50 and p99 in milliseconds.
fn floor() -> (f64, f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("inolat");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floors/inolat.c");
    let built = Command::new("cc")
        .args(["-O2", "-pthread", "-w", "-o"])
        .arg(&program)
        .args([source, "-lsqlite3"])
        .status();
    assert!(built.is_ok_and(|status| status.success()), "cc and libsqlite3-dev are needed for the floor");
    let output =
        Command::new(&program).arg(folder.path().join("watched")).args(["300", "c", "20000"]).output();
    let text = String::from_utf8(output.expect("runs").stdout).expect("text");
    let line = text.lines().find(|line| line.contains("commit+readback")).expect("the floor's line");
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |name: &str| -> f64 {
        let at = words.iter().position(|word| *word == name).expect("a percentile");
        words[at + 1].parse::<f64>().expect("a number") / 1e3
    };
    (after("p50"), after("p99"))
}

/// A commit of the other side to the drift gauge moved, as a scraper sees it.
pub(crate) fn foreign_commits(bin: &Path) {
    let agent = Agent::start(bin);
    let database = agent.database();
    let edit = |retries: i64| {
        database
            .execute("UPDATE services SET max_retries = ?1 WHERE id = 'openrouter'", [retries])
            .expect("commits");
    };
    let (mut times, mut lost) = (Vec::new(), 0);
    for round in 0..FOREIGN {
        std::thread::sleep(GAP);
        let drifts = round % 2 == 0;
        edit(if drifts { 99 } else { 3 });
        let clock = Instant::now();
        while agent.drift() != drifts && clock.elapsed() < Duration::from_secs(5) {}
        lost += usize::from(clock.elapsed() >= Duration::from_secs(5));
        times.push(clock.elapsed().as_secs_f64() * 1e3);
    }
    let (p50, p99) = percentiles(&mut times);
    println!(
        "\nforeign commit to drift gauge moved: p50 {p50:.2} ms, p99 {p99:.2} ms, lost {lost} of {FOREIGN} (target p99 5 ms, none lost)"
    );
}

/// What the agent costs when nothing happens.
pub(crate) fn idle(bin: &Path) {
    let agent = Agent::start(bin);
    std::thread::sleep(Duration::from_secs(7));
    let before = cpu_nanos(agent.child.id());
    std::thread::sleep(Duration::from_mins(1));
    let spent = cpu_nanos(agent.child.id()) - before;
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap_or_default();
    let resident: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    println!(
        "\nidle for 60 s: {:.2} ms CPU (target 1), {:.1} MiB resident (target 10)",
        spent / 1e6,
        resident / 1024.0
    );
}

pub(crate) fn cpu_nanos(process: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Start of the process to ready: in sync and serving.
pub(crate) fn startup(bin: &Path) {
    let mut times = Vec::new();
    for _ in 0..15 {
        let mut first = Agent::start(bin);
        let folder = std::mem::replace(&mut first.folder, tempfile::tempdir().expect("a folder"));
        drop(first);
        let clock = Instant::now();
        let agent = Agent::spawn(bin, folder, &[], false);
        agent.wait_until_ready();
        times.push(clock.elapsed().as_secs_f64() * 1e3);
    }
    let (min, median, max) = spread(&mut times);
    println!("\nstart to ready, 6 services, in sync: {min:.1} / {median:.1} / {max:.1} ms (target 10)");
}

fn percentiles(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
