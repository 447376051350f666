//! A pipe, a device or a huge file in the place of each small file that is read: nothing waits for it, nothing reads it
//! whole, and the message names it.

#![expect(clippy::disallowed_methods, reason = "it makes files and runs processes")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/process.rs"]
mod process;
#[path = "support/web.rs"]
mod web;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use process::{Place, SAMPLE, Said, said};
use web::Web;

/// Reading a pipe that nobody writes to takes for ever; a busy machine takes a while.
const PATIENCE: &str = "20";

fn migrated() -> Place {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place
}

fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
        .expect("made");
}

/// Runs a command that must end by itself.
fn ends(place: &Place, arguments: &[&str]) -> Said {
    let mut limited = place.program("timeout");
    let said = said(limited.args(["-s", "KILL", PATIENCE, process::BINARY]).args(arguments));
    assert!(said.code().is_some_and(|code| code < 100), "{arguments:?} waits: {said:#?}");
    said
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_ours_stops_no_command() {
    let place = migrated();
    let at = |name: &str| place.root().join(name);
    pipe(&at("pipe"));
    fs::write(at("huge"), " ".repeat((1 << 20) + 1)).expect("written");
    for file in ["pipe", "/dev/zero", "huge"] {
        for arguments in [
            &["--config", file, "status"][..],
            &["--config", file, "plan"],
            &["--key-file", file, "apply"],
            &["--old-key-file", file, "apply"],
            &["key", "rotate", "--new-key-file", file],
            &["reload", "--reload-url", "http://127.0.0.1:9/x", "--reload-token-file", file],
            &["reload", "--reload-pid-file", file],
        ] {
            let said = ends(&place, arguments);
            assert_eq!(said.code(), Some(1), "{arguments:?}: {said:#?}");
            assert!(said.stderr.contains(file), "{arguments:?}: {said:#?}");
        }
    }
    let said = ends(&place, &["apply", "pipe"]);
    assert!(said.stderr.contains("pipe") && said.stderr.contains("not a regular file"), "{said:#?}");
    pipe(&place.oxide().join("web.token"));
    let said = ends(&place, &["token"]);
    assert!(said.stderr.contains("there is no token"), "{said:#?}");
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_sqlites_is_named_and_waited_for_by_nobody() {
    for suffix in ["-journal", "-wal", "-shm"] {
        let place = migrated();
        let name = format!("config.db{suffix}");
        pipe(&place.oxide().join(&name));
        for arguments in [
            &["plan"][..],
            &["apply"],
            &["doctor"],
            &["set", "lmstudio.enabled", "false"],
            &["backup", "create"],
            &["key", "check"],
            &["run", "--listen", "off", "--listen-health", "127.0.0.1:0"],
        ] {
            let said = ends(&place, arguments);
            assert_eq!(said.code(), Some(1), "{arguments:?} with {name}: {said:#?}");
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(text.contains(&name) && text.contains("move it away"), "{arguments:?}: {text}");
        }
        fs::remove_file(place.oxide().join(&name)).expect("moved away");
        place.expect(0, &["plan"]);
    }
}

#[test]
fn a_pipe_in_the_place_of_the_pages_token_stops_no_request_and_lets_nobody_in() {
    let web = Web::start(&[]);
    let token = web.database().with_file_name("web.token");
    pipe(&token);
    assert_eq!(web.get("/api/v1/status").status, 200, "the last good token counts until there is another");
    assert_eq!(web.agent.get("/livez").0, 200);
    fs::remove_file(&token).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", &token).expect("linked");
    assert_eq!(web.send("GET", "/api/v1/status", &[("Authorization", "Bearer x")], "").status, 401);
    assert_eq!(web.agent.get("/livez").0, 200);
}

/// A log that nobody reads holds up every thread that has something to say.
#[test]
fn an_agent_whose_log_is_full_ends_when_it_is_told_to() {
    let place = migrated();
    let (_unread, mut log) = std::io::pipe().expect("a pipe");
    log.write_all(&vec![b'.'; 64 << 10]).expect("as much as it holds");
    let mut agent = Command::new(process::BINARY)
        .args(["run", "--listen", "off", "--listen-health", "127.0.0.1:0"])
        .current_dir(place.root())
        .env("HOME", place.root())
        .stderr(Stdio::from(log))
        .spawn()
        .expect("starts");
    let caught = || {
        let status = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t").map(str::to_owned));
        line.and_then(|bits| u64::from_str_radix(&bits, 16).ok()).is_some_and(|bits| bits & (1 << 14) != 0)
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !caught() {
        assert!(Instant::now() < deadline, "it never listened for SIGTERM");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Long enough for the first line of its log, which holds it up.
    std::thread::sleep(Duration::from_millis(500));
    let told = Instant::now();
    let kill = Command::new("kill").arg(agent.id().to_string()).status().expect("runs");
    assert!(kill.success());
    while agent.try_wait().expect("asked").is_none() {
        assert!(told.elapsed() < Duration::from_secs(5), "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(told.elapsed() < Duration::from_millis(2_500), "it took {:?}", told.elapsed());
}
