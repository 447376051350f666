//! Two agents on one database: one writes, the other stands by and takes over; and whatever the orchestrator was told is
//! committed is there, however often they are killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value as Json;

use crate::process::{BINARY, Place, SAMPLE, setting};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct Agent {
    child: Child,
    log: Receiver<Json>,
    health: u16,
    page: u16,
}

/// Whether an agent has a process namespace of its own, as in a container: there it is process 1.
#[derive(Clone, Copy)]
enum Numbered {
    AsUsual,
    One,
}

impl Agent {
    fn start(place: &Place, source: &str, numbered: Numbered) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("free").port();
        let (health, page) = (free(), free());
        let mut command = match numbered {
            Numbered::AsUsual => place.program(BINARY),
            Numbered::One => {
                let mut command = place.program("unshare");
                command.args(["--pid", "--fork", "--kill-child", BINARY]);
                command
            }
        };
        command.args(["run", "--source", source, "--log-format", "json"]);
        command.args([
            "--listen",
            &format!("127.0.0.1:{page}"),
            "--listen-health",
            &format!("127.0.0.1:{health}"),
        ]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or(Json::String(line)));
            }
        });
        Self { child, log, health, page }
    }

    fn wait_for(&self, what: &str, wanted: impl Fn(&Json) -> bool) -> Json {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if wanted(&line) {
                return line;
            }
            seen.push(line);
        }
        panic!("never saw {what}: {seen:#?}");
    }

    fn says(&self, text: &str) -> Json {
        self.wait_for(text, |line| line["message"].as_str().is_some_and(|message| message.contains(text)))
    }

    fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn ask(port: u16, head: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("listens");
        write!(stream, "{head}\r\nHost: localhost\r\n\r\n").expect("sent");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn health(&self, path: &str) -> String {
        Self::ask(self.health, &format!("GET {path} HTTP/1.0"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn migrated() -> Place {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    fs::write(
        place.root().join("other.yaml"),
        SAMPLE.replace("max_parallel_workers: 4", "max_parallel_workers: 7"),
    )
    .expect("written");
    place
}

fn revisions(place: &Place) -> i64 {
    let conn = place.connect().expect("opens");
    conn.query_row("SELECT coalesce(max(id), 0) FROM operator_revision", [], |row| row.get(0)).expect("there")
}

#[test]
fn a_second_agent_stands_by_says_for_whom_and_takes_over_when_the_first_ends() {
    let place = migrated();
    place.expect(0, &["backup", "create", "--reason", "before the upgrade"]);
    let first = Agent::start(&place, "file:config/default.yaml", Numbered::AsUsual);
    first.says("watching");
    let second = Agent::start(&place, "file:other.yaml", Numbered::AsUsual);
    let said = second.says("standing by");
    let holder = said["holder"].as_str().expect("a holder");
    assert!(
        holder.contains(&format!("process {}", first.child.id())) && holder.contains("config/default.yaml"),
        "{said}"
    );
    second.wait_for("a comparison", |line| line["outcome"].is_string());
    let before = revisions(&place);
    let ready = second.health("/readyz");
    assert!(ready.contains("200 OK") && ready.contains("standing by for process"), "{ready}");
    assert!(second.health("/metrics").contains("oxide_operator_standing_by 1"));
    assert!(first.health("/metrics").contains("oxide_operator_standing_by 0"));
    for command in ["status", "doctor"] {
        let said = place.run(&[command]);
        assert!(said.stdout.contains(&format!("process {}", first.child.id())), "{command}: {said:#?}");
    }
    let token = fs::read_to_string(place.oxide().join("web.token")).expect("a token");
    let write = format!(
        "POST /api/v1/pauses HTTP/1.0\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 14\r\nHost: localhost\r\n\r\n{{\"reason\":\"x\"}}",
        token.trim()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", second.page)).expect("listens");
    stream.write_all(write.as_bytes()).expect("sent");
    let mut refused = String::new();
    let _ = stream.read_to_string(&mut refused);
    assert!(!refused.starts_with("HTTP/1.0 2") && refused.contains("stands by"), "{refused}");
    // Beside the agent, commands with its source work, and those with another one are refused.
    fs::write(place.yaml(), SAMPLE.replace("max_parallel_workers: 4", "max_parallel_workers: 5"))
        .expect("written");
    place.run(&["apply"]);
    let other = place.run(&["apply", "--source", "file:other.yaml"]);
    assert_eq!(other.code(), Some(7), "{other:#?}");
    assert!(other.stderr.contains("config/default.yaml") && other.stderr.contains("process"), "{other:#?}");
    for command in [&["promote", "--all"][..], &["restore", "1"], &["migrate", "--no-backup"]] {
        let said = place.run(&[command, &["--source", "file:other.yaml"]].concat());
        assert_eq!(said.code(), Some(7), "{command:?}: {said:#?}");
    }
    let named = place.run(&["migrate", "--no-backup", "--yaml", "other.yaml"]);
    assert_eq!(named.code(), Some(7), "another source by its older name: {named:#?}");
    fs::copy(place.root().join("other.yaml"), place.root().join("third.yaml")).expect("copied");
    place.run(&["plan", "--source", "file:third.yaml", "--out", "third.plan"]);
    let planned = place.run(&["apply", "third.plan"]);
    assert_eq!(planned.code(), Some(7), "another source by a saved plan: {planned:#?}");
    assert!(revisions(&place) <= before + 1, "one edit of the source, one revision");
    first.kill();
    second.says("took over");
    second.wait_for("what its source says", |line| line["outcome"] == "applied");
    let workers: i64 = place
        .connect()
        .and_then(|conn| {
            conn.query_row("SELECT max_parallel_workers FROM execution_settings", [], |row| row.get(0))
        })
        .expect("there");
    assert_eq!(workers, 7);
    assert!(place.expect(0, &["backup", "list"]).stdout.contains("before the upgrade"));
}

#[test]
fn two_agents_with_one_source_write_what_it_says_once_and_commands_beside_them_lose_nothing() {
    let place = migrated();
    let source = "file:config/default.yaml";
    let first = Agent::start(&place, source, Numbered::AsUsual);
    first.says("watching");
    let second = Agent::start(&place, source, Numbered::AsUsual);
    second.says("standing by");
    let before = revisions(&place);
    let rounds = 5;
    for round in 1..=rounds {
        let yaml = SAMPLE.replace("max_parallel_workers: 4", &format!("max_parallel_workers: 1{round}"));
        fs::write(place.yaml(), yaml).expect("written");
        place.expect(0, &["set", "services.gemini.max_retries", &round.to_string()]);
        first.wait_for("the edit of the source", |line| line["outcome"] == "applied");
    }
    let values = place.values();
    assert_eq!(values["execution_settings.1.max_parallel_workers"], format!("1{rounds}"));
    assert_eq!(values["services.gemini.max_retries"], rounds.to_string());
    assert!(
        revisions(&place) <= before + 2 * rounds,
        "one for each edit of the source, one for each command"
    );
}

#[test]
fn an_agent_whose_lock_was_removed_takes_it_again() {
    let place = migrated();
    let first = Agent::start(&place, "file:config/default.yaml", Numbered::AsUsual);
    first.says("watching");
    fs::remove_file(place.oxide().join("config.db.agent")).expect("there");
    place.expect(0, &["set", "services.gemini.max_retries", "9"]);
    first.says("taken again");
    let second = Agent::start(&place, "file:other.yaml", Numbered::AsUsual);
    second.says("standing by");
    assert_eq!(place.run(&["apply", "--source", "file:other.yaml"]).code(), Some(7));
}

#[test]
fn whoever_may_not_look_for_an_agent_is_refused_and_others_see_it() {
    let place = migrated();
    let agent = Agent::start(&place, "file:config/default.yaml", Numbered::AsUsual);
    agent.says("watching");
    let script = "chmod 0777 .oxide . && chmod 0666 .oxide/config.db* && chmod 0644 .oxide/encryption.key && setpriv --reuid 12345 --clear-groups $0 apply --source file:other.yaml";
    let shared = crate::process::said(place.program("bash").args(["-c", script, BINARY]));
    assert_eq!(shared.code(), Some(7), "another user: {shared:#?}");
    agent.kill();
    let lock = place.oxide().join("config.db.agent");
    fs::remove_file(&lock).expect("there");
    fs::create_dir(&lock).expect("made");
    let blind = place.run(&["apply", "--source", "file:other.yaml"]);
    assert_eq!(blind.code(), Some(1), "{blind:#?}");
    assert!(blind.stderr.contains("look for an agent"), "{blind:#?}");
    assert!(place.run(&["doctor"]).stdout.contains("Whether an agent holds the database"));
}

#[test]
fn an_agent_ends_with_its_terminal() {
    let place = migrated();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/close_terminal.py");
    let mut terminal = place.program("python3");
    terminal.args([script, BINARY, "run", "--listen", "off", "--listen-health", "127.0.0.1:0"]);
    let said = crate::process::said(&mut terminal);
    assert_eq!(said.code(), Some(0), "{said:#?}");
}

#[test]
fn a_plan_for_another_source_than_the_one_agreed_on_says_so() {
    let place = migrated();
    let said = place.run(&["plan", "--source", "file:other.yaml"]);
    assert!(said.stderr.contains("kept equal to another source"), "{said:#?}");
    assert!(said.stderr.contains("config/default.yaml"), "{said:#?}");
    place.expect(0, &["apply", "--source", "file:other.yaml"]);
    let said = place.run(&["plan", "--source", "file:other.yaml"]);
    assert!(!said.stderr.contains("another source"), "{said:#?}");
}

/// `AGENTS_SECONDS` for longer.
#[test]
fn of_two_agents_that_are_killed_at_random_one_writes_and_no_acknowledged_edit_is_lost() {
    for numbered in [Numbered::AsUsual, Numbered::One] {
        let place = migrated();
        let conn = rusqlite::Connection::open(place.db()).expect("opens");
        conn.busy_timeout(Duration::from_secs(10)).expect("set");
        let sources = ["file:config/default.yaml", "file:other.yaml"];
        let mut agents: Vec<Agent> = sources.iter().map(|it| Agent::start(&place, it, numbered)).collect();
        agents[0].says("watching");
        let mut acknowledged = BTreeMap::new();
        let until = Instant::now() + Duration::from_secs(setting("AGENTS_SECONDS", 8));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let mut random = now.subsec_nanos() | 1;
        println!("seed {random}");
        let (mut number, mut kills) = (0, 0);
        while Instant::now() < until {
            number += 1;
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let service = ["gemini", "qwen", "lmstudio"][(random >> 8) as usize % 3];
            let model = format!("model {number}");
            conn.execute("UPDATE services SET default_model = ?1 WHERE id = ?2", (&model, service))
                .expect("acknowledged");
            acknowledged.insert(service, model);
            if number % 40 == 0 {
                let position = (random >> 4) as usize % 2;
                let killed = std::mem::replace(
                    &mut agents[position],
                    Agent::start(&place, sources[position], numbered),
                );
                killed.kill();
                kills += 1;
            }
        }
        agents.into_iter().for_each(Agent::kill);
        drop(conn);
        assert!(!place.oxide().join("quarantine").exists(), "a healthy database was moved aside");
        assert_eq!(place.integrity(), "ok");
        for (service, model) in acknowledged {
            assert_eq!(place.values()[&format!("services.{service}.default_model")], model, "{service}");
        }
        assert!(kills >= 3, "only {kills} kills");
        one_writer_at_a_time(&place, kills);
    }
}

#[test]
fn of_three_agents_the_last_names_the_one_that_writes_now() {
    let place = migrated();
    let start = |source| {
        let agent = Agent::start(&place, source, Numbered::AsUsual);
        agent.says("watching");
        agent
    };
    let (first, second, third) =
        (start("file:config/default.yaml"), start("file:other.yaml"), start("file:other.yaml"));
    first.kill();
    let waits_for =
        |one: &Agent, other: &Agent| one.health("/readyz").contains(&format!("process {}", other.child.id()));
    let deadline = Instant::now() + PATIENCE;
    while !waits_for(&second, &third) && !waits_for(&third, &second) {
        assert!(Instant::now() < deadline, "{} {}", second.health("/readyz"), third.health("/readyz"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// By the database's own record: the source of the revisions changes only when an agent was killed and the other took over.
fn one_writer_at_a_time(place: &Place, kills: usize) {
    let conn = place.connect().expect("opens");
    let mut query = conn
        .prepare("SELECT source FROM operator_revision WHERE reason = 'reconcile' ORDER BY id")
        .expect("a table");
    let sources: Vec<String> =
        query.query_map([], |row| row.get(0)).expect("rows").map(|it| it.expect("text")).collect();
    let turns = sources.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns <= kills + 1, "{turns} turns after {kills} kills: both wrote at the same time");
}
