//! The orchestrator is told of each write, and what it says it runs with is compared: through a process of its own that
//! reads the database as the orchestrator does.

#![expect(clippy::disallowed_methods, reason = "tests touch the world")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/process.rs"]
mod process;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use agent::{Agent, folder_with_yaml, with_workers};
use process::{Place, SAMPLE};
use serde_json::Value as Json;

const IN_SYNC: &str = "oxide_operator_consumer_in_sync";
/// The API key of the sample.
const SECRET: &str = "key-0000";

struct Orchestrator {
    child: Child,
    port: u16,
}

impl Orchestrator {
    /// Starts on the store in `folder`; port 0 takes a free one.
    fn start(folder: &Path, port: u16, token: &str, deaf: bool) -> Self {
        let python = std::env::var("OXIDE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/orchestrator.py"))
            .args([folder.join("store/config.db"), folder.join("store/encryption.key")])
            .args([port.to_string().as_str(), token, if deaf { "deaf" } else { "" }])
            .stdout(Stdio::piped())
            .spawn()
            .expect("`make tools` installs Python's cryptography");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        Self { child, port: line.trim().parse().expect("it listens") }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api/config/reload", self.port)
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A migrated store and its YAML.
fn migrated() -> tempfile::TempDir {
    let folder = folder_with_yaml();
    let migrated = operator(folder.path(), &["migrate", "--no-backup"], &[]);
    assert!(migrated.status.success(), "{migrated:?}");
    folder
}

fn operator(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oxide-operator"))
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("OXIDE_ENCRYPTION_KEY")
        .args(["--source", "file:default.yaml", "--db", "store/config.db"])
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("runs")
}

fn all(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn after_a_write_the_orchestrator_runs_with_it_and_so_after_an_edit_of_others() {
    let folder = migrated();
    let orchestrator = Orchestrator::start(folder.path(), 0, "", false);
    let mut agent = Agent::start(folder, "file:default.yaml", &["--reload-url", &orchestrator.url()]);
    agent.wait_for("agreement", |line| {
        line["message"].as_str().is_some_and(|text| text.contains("runs with"))
    });
    assert_eq!(agent.metric(IN_SYNC), 1);
    std::fs::write(agent.yaml(), with_workers(9)).expect("written");
    agent.wait_for_outcome("applied");
    wait_until_checked(&agent, &orchestrator);
    agent
        .orchestrator()
        .execute("UPDATE services SET enabled = 0 WHERE id = 'lmstudio'", [])
        .expect("edited");
    wait_until_checked(&agent, &orchestrator);
}

#[test]
fn a_url_that_cannot_be_called_is_a_mistake_on_the_command_line_or_in_the_settings() {
    let folder = folder_with_yaml();
    for url in ["https://x", "http://", "http:// x", "http://u:p@h"] {
        let refused = operator(folder.path(), &["run", "--listen", "off", "--reload-url", url], &[]);
        assert_eq!(refused.status.code(), Some(64), "{url}: {}", all(&refused));
        let refused = operator(folder.path(), &["status"], &[("OXIDE_OPERATOR_RELOAD_URL", url)]);
        assert_eq!(refused.status.code(), Some(64), "{url}: {}", all(&refused));
    }
    std::fs::write(folder.path().join("operator.yaml"), "reload:\n  url: https://x\n").expect("written");
    let refused = operator(folder.path(), &["status", "--config", "operator.yaml"], &[]);
    assert_eq!(refused.status.code(), Some(6), "{}", all(&refused));
    assert!(all(&refused).contains("must begin with http://"), "{}", all(&refused));
}

/// `doctor` asks the orchestrator by itself.
fn wait_until_checked(agent: &Agent, orchestrator: &Orchestrator) {
    let deadline = std::time::Instant::now() + agent::PATIENCE;
    loop {
        let said = operator(
            agent.folder.path(),
            &["doctor", "-o", "json", "--reload-url", &orchestrator.url()],
            &[],
        );
        let checks: Vec<Json> = serde_json::from_slice(&said.stdout).expect("JSON");
        let check = checks.iter().find(|check| check["check"] == "consumer").expect("it is asked");
        if check["status"] == "fine" {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{check:#}");
    }
}

#[test]
fn an_orchestrator_that_is_away_is_told_when_it_is_back() {
    let folder = migrated();
    let away = Orchestrator::start(folder.path(), 0, "", false);
    let (url, port) = (away.url(), away.port);
    drop(away);
    let mut agent = Agent::start(folder, "file:default.yaml", &["--reload-url", &url]);
    let told = agent.wait_for("the warning", |line| {
        line["message"].as_str().is_some_and(|it| it.contains("does not answer"))
    });
    assert!(told["hint"].as_str().is_some_and(|hint| hint.contains("start the orchestrator")), "{told}");
    agent.wait_for_metric(IN_SYNC, 0);
    let found = operator(agent.folder.path(), &["doctor", "--reload-url", &url], &[]);
    assert!(all(&found).contains("✗ consumer     the orchestrator does not answer at"), "{}", all(&found));
    let _back = Orchestrator::start(agent.folder.path(), port, "", false);
    agent.wait_for_metric(IN_SYNC, 1);
    let found = operator(agent.folder.path(), &["doctor", "--reload-url", &url], &[]);
    assert!(all(&found).contains("✓ consumer"), "{}", all(&found));
}

#[test]
fn an_orchestrator_that_says_yes_and_goes_on_as_before_is_found_out_and_reload_mends_one_that_missed_it() {
    let folder = migrated();
    let deaf = Orchestrator::start(folder.path(), 0, "", true);
    let missed = Orchestrator::start(folder.path(), 0, "", false);
    std::fs::write(folder.path().join("new-key"), "sk-new-1").expect("written");
    let set = operator(
        folder.path(),
        &["set", "services.openrouter.api_key", "--file", "new-key", "--reload-url", &deaf.url()],
        &[],
    );
    let said = all(&set);
    assert!(set.status.success() && said.contains("still runs with other values"), "{said}");
    assert!(said.contains("services.openrouter.api_key"), "{said}");
    assert!(!said.contains("sk-new-1") && !said.contains(SECRET), "{said}");
    let found = operator(folder.path(), &["doctor", "-o", "json", "--reload-url", &missed.url()], &[]);
    let checks: Vec<Json> = serde_json::from_slice(&found.stdout).expect("JSON");
    let check = checks.iter().find(|check| check["check"] == "consumer").expect("found");
    let mend = check["mend"][0].as_str().expect("a command").strip_prefix("oxide-operator ").expect("ours");
    let reloaded = operator(folder.path(), &mend.split(' ').collect::<Vec<_>>(), &[]);
    assert!(reloaded.status.success(), "{}", all(&reloaded));
    let found = operator(folder.path(), &["doctor", "--reload-url", &missed.url()], &[]);
    assert!(all(&found).contains("✓ consumer"), "{}", all(&found));
    let still = operator(folder.path(), &["reload", "--reload-url", &deaf.url()], &[]);
    assert_eq!(still.status.code(), Some(2), "{}", all(&still));
}

#[test]
fn a_token_comes_from_a_file_or_the_environment_and_is_never_shown() {
    let folder = migrated();
    let orchestrator = Orchestrator::start(folder.path(), 0, "tok-123", false);
    let url = orchestrator.url();
    let reload = |more: &[&str], environment: &[(&str, &str)]| {
        let output =
            operator(folder.path(), &[&["reload", "-vv", "--reload-url", &url], more].concat(), environment);
        assert!(!all(&output).contains("tok-123"), "{}", all(&output));
        output
    };
    let refused = reload(&[], &[]);
    assert!(
        all(&refused).contains("answers 401") && all(&refused).contains("--reload-token-file"),
        "{}",
        all(&refused)
    );
    assert!(reload(&[], &[("OXIDE_OPERATOR_RELOAD_TOKEN", "tok-123")]).status.success());
    std::fs::write(folder.path().join("token"), "tok-123\n").expect("written");
    assert!(reload(&["--reload-token-file", "token"], &[]).status.success());
    for url in ["https://x/", "http://", "http://user:tok-123@x/", "ftp://x"] {
        let wrong = operator(folder.path(), &["reload", "--reload-url", url], &[]);
        assert!(!wrong.status.success() && all(&wrong).contains("--reload-url"), "{}", all(&wrong));
        assert!(!all(&wrong).contains("tok-123"), "{}", all(&wrong));
    }
}

#[test]
fn an_orchestrator_that_is_told_by_a_signal_hears_of_each_write() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate"]);
    // A shell that waits in `read` runs its trap at once.
    let script = "trap 'echo heard >> heard' USR1; echo $$ > pid; while :; do read line < fifo; done";
    let status = place.program("sh").args(["-c", "mkfifo fifo && : > heard"]).status();
    assert!(status.expect("a shell").success());
    let mut orchestrator = place.program("sh").args(["-c", script]).spawn().expect("a shell");
    let heard = || std::fs::read_to_string(place.root().join("heard")).expect("there").lines().count();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !place.root().join("pid").exists() {
        assert!(std::time::Instant::now() < deadline, "it never started");
    }
    let told = ["--reload-pid-file", "pid", "--reload-signal", "USR1"];
    let said = place.expect(0, &[&["set", "execution.timeout_seconds", "99"], &told[..]].concat());
    assert!(!said.stderr.contains("warning"), "{said:#?}");
    while heard() < 1 {
        assert!(std::time::Instant::now() < deadline, "it never heard");
    }
    orchestrator.kill().expect("ours");
    orchestrator.wait().expect("ended");
    let said = place.expect(0, &[&["set", "execution.timeout_seconds", "98"], &told[..]].concat());
    assert!(said.stderr.contains("warning: the orchestrator does not answer at pid"), "{said:#?}");
}
