//! The shipped alerts: their unit tests with promtool, and each of them fired for real: by a scenario against `run`,
//! scraped by a real Prometheus, and resolved again.

#![expect(clippy::disallowed_methods, reason = "it runs Prometheus and waits for it")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/python.rs"]
mod python;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agent::{Agent, YAML, folder_with_yaml, with_workers};
use serde_json::Value as Json;

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/prometheus")
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    for args in
        [["check", "rules", "oxide-operator.rules.yaml"], ["test", "rules", "oxide-operator.rules.test.yaml"]]
    {
        let run = Command::new("promtool")
            .current_dir(rules())
            .args(args)
            .output()
            .expect("make tools installs promtool");
        assert!(
            run.status.success(),
            "{args:?}: {}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        );
    }
}

#[test]
fn every_alert_has_a_unit_test_and_a_runbook() {
    let text = fs::read_to_string(rules().join("oxide-operator.rules.yaml")).expect("shipped");
    let tests = fs::read_to_string(rules().join("oxide-operator.rules.test.yaml")).expect("shipped");
    let value = |line: &str, key: &str| line.trim().strip_prefix(key).map(|rest| rest.trim().to_owned());
    let alerts: Vec<String> = text.lines().filter_map(|line| value(line, "- alert:")).collect();
    assert_eq!(alerts.len(), 14);
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname: {alert}\n    exp_alerts:\n")), "{alert}");
    }
    for page in text.lines().filter_map(|line| value(line, "runbook:")) {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        assert!(
            fs::read_to_string(&page).is_ok_and(|text| text.contains("**What to do.**")),
            "{}",
            page.display()
        );
    }
}

/// A Prometheus with the shipped rules, their times made short.
struct Prometheus {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Prometheus {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = fs::read_to_string(rules().join("oxide-operator.rules.yaml")).expect("shipped");
        fs::write(folder.path().join("rules.yaml"), shortened(&text)).expect("ours");
        fs::write(folder.path().join("targets.json"), "[]").expect("ours");
        let config = "global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}\n\
            rule_files: [rules.yaml]\n\
            scrape_configs:\n- job_name: oxide\n  file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]\n";
        fs::write(folder.path().join("prometheus.yaml"), config).expect("ours");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let child = Command::new("prometheus")
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(Stdio::null())
            .spawn()
            .expect("make tools installs prometheus");
        Self { child, port, folder }
    }

    fn scrapes(&self, agent: &Agent) {
        let targets = format!("[{{\"targets\": [\"127.0.0.1:{}\"]}}]", agent.port);
        let aside = self.folder.path().join("targets.new");
        fs::write(&aside, targets).expect("ours");
        fs::rename(aside, self.folder.path().join("targets.json")).expect("ours");
    }

    fn firing(&self) -> Vec<String> {
        let mut agent = ureq::get(format!("http://127.0.0.1:{}/api/v1/alerts", self.port)).call();
        let text = agent
            .as_mut()
            .ok()
            .and_then(|answer| answer.body_mut().read_to_string().ok())
            .unwrap_or_default();
        let answer: Json = serde_json::from_str(&text).unwrap_or_default();
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned)).collect()
    }

    /// Waits until an alert fires, or no longer does; `meanwhile` is done over and over.
    fn wait(&self, alert: &str, fires: bool, mut meanwhile: impl FnMut()) {
        let deadline = Instant::now() + Duration::from_secs(40);
        while self.firing().iter().any(|name| *name == format!("OxideOperator{alert}")) != fires {
            assert!(
                Instant::now() < deadline,
                "{alert} should {}fire; there are {:?}",
                if fires { "" } else { "not " },
                self.firing()
            );
            meanwhile();
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same rules with minutes, hours and days made a second or none.
fn shortened(rules: &str) -> String {
    let short = |line: &str| match line.split_once("> ") {
        _ if line.trim().starts_with("for: ") => "    for: 0s".to_owned(),
        Some((before, number)) if number.parse::<u32>().is_ok_and(|number| number >= 900) => {
            format!("{before}> 2")
        }
        _ => line.to_owned(),
    };
    rules.lines().map(|line| short(line) + "\n").collect()
}

struct World {
    agent: Agent,
    prometheus: Prometheus,
}

impl World {
    fn sql(&self, sql: &str) {
        self.agent.orchestrator().execute_batch(sql).expect("the orchestrator may write");
    }

    fn yaml(&self, text: &str) {
        fs::write(self.agent.yaml(), text).expect("ours");
    }

    fn command(&self, args: &[&str]) {
        let output = self.agent.command("file:default.yaml", args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn fires(&self, alert: &str) {
        self.prometheus.wait(alert, true, || {});
    }

    fn resolves(&self, alert: &str) {
        self.prometheus.wait(alert, false, || {});
    }
}

const SETTINGS: &str = "\
overrides: [{path: execution.timeout_seconds, onDrift: revert}]
grace: 0
fights: {after: 3, backOff: 100ms, rounds: 1}
backupEvery: 1s
";

#[test]
fn each_alert_fires_and_is_resolved() {
    let folder = folder_with_yaml();
    fs::write(folder.path().join("operator.yaml"), SETTINGS).expect("ours");
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let reload = format!("http://127.0.0.1:{port}/api/config/reload");
    let options = ["--config", "operator.yaml", "--reload-url", &reload];
    let mut agent = Agent::start(folder, "file:default.yaml", &options);
    agent.wait_for_outcome("applied");
    let world = World { agent, prometheus: Prometheus::start() };
    world.fires("Absent");
    world.prometheus.scrapes(&world.agent);
    world.resolves("Absent");

    world.fires("ConsumerBehind");
    let mut orchestrator = orchestrator(world.agent.folder.path(), port);
    world.resolves("ConsumerBehind");

    world.sql("UPDATE services SET enabled = 0 WHERE id = 'lmstudio'");
    world.fires("Drift");
    world.sql("UPDATE services SET enabled = 1 WHERE id = 'lmstudio'");
    world.resolves("Drift");

    world.sql("UPDATE execution_settings SET max_parallel_workers = 9");
    world.yaml(&with_workers(6));
    world.fires("Conflict");
    world.sql("UPDATE execution_settings SET max_parallel_workers = 6");
    world.resolves("Conflict");

    world.sql("CREATE TABLE aside AS SELECT api_key_encrypted AS token FROM services WHERE id = 'openrouter'; UPDATE services SET api_key_encrypted = 'gAAAAdamaged' WHERE id = 'openrouter'");
    world.fires("KeyMismatch");
    world.sql("UPDATE services SET api_key_encrypted = (SELECT token FROM aside) WHERE id = 'openrouter'; DROP TABLE aside");
    world.resolves("KeyMismatch");

    fs::rename(world.agent.yaml(), world.agent.folder.path().join("away")).expect("ours");
    world.fires("SourceUnavailable");
    world.fires("ComparisonStale");
    fs::rename(world.agent.folder.path().join("away"), world.agent.yaml()).expect("ours");
    world.resolves("SourceUnavailable");
    world.prometheus.wait("ComparisonStale", false, || world.agent.signal("HUP"));

    let dump = "print(json.dumps(yaml.dump(yaml.safe_load(json.load(sys.stdin)), default_flow_style=False, sort_keys=False)))";
    let rewritten = python::run(dump, &serde_json::json!(YAML));
    world.yaml(rewritten.as_str().expect("a text"));
    world.fires("SourceClobbered");
    world.command(&["source", "restore"]);
    world.resolves("SourceClobbered");

    let store = world.agent.folder.path().join("store");
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::rename(store.join(format!("config.db{ending}")), store.join(format!("gone.db{ending}")));
    }
    world.fires("StoreMissing");
    // The database last: without its log beside it, it would be an older one.
    for ending in ["-wal", "-shm", ""] {
        let _ = fs::rename(store.join(format!("gone.db{ending}")), store.join(format!("config.db{ending}")));
    }
    world.resolves("StoreMissing");

    let mut value = 1000;
    world.prometheus.wait("Fighting", true, || {
        value += 1;
        world.sql(&format!("UPDATE execution_settings SET timeout_seconds = {value}"));
    });
    world.resolves("Fighting");

    world.command(&["pause", "--reason", "maintenance"]);
    world.fires("PausedTooLong");
    world.command(&["resume"]);
    world.resolves("PausedTooLong");

    world.command(&["restore", "1"]);
    world.fires("PinnedTooLong");
    world.yaml(&with_workers(7));
    world.resolves("PinnedTooLong");

    let backups = world.agent.folder.path().join("store/backups");
    fs::rename(&backups, world.agent.folder.path().join("kept")).expect("ours");
    fs::write(&backups, "in the way").expect("ours");
    world.sql("UPDATE services SET max_retries = 9 WHERE id = 'lmstudio'");
    world.prometheus.wait("BackupStale", true, || world.agent.signal("HUP"));
    fs::remove_file(&backups).expect("ours");
    world.prometheus.wait("BackupStale", false, || world.agent.signal("HUP"));

    orchestrator.kill().expect("ours");
    orchestrator.wait().expect("ended");
}

/// The orchestrator's web port, on the agent's store.
fn orchestrator(folder: &Path, port: u16) -> Child {
    let python = std::env::var("OXIDE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let store = folder.join("store");
    Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/orchestrator.py"))
        .args([store.join("config.db"), store.join("encryption.key")])
        .args([&port.to_string(), "", "hears"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Python")
}
