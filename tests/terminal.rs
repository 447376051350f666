//! What others wrote into names, reasons, values and files never reaches a terminal as something that it obeys, nor the log
//! as more than one line.

#![expect(clippy::disallowed_methods, reason = "tests touch the world")]

#[path = "support/process.rs"]
mod process;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use process::{BINARY, Place, SAMPLE};
use rusqlite::Connection;
use serde_json::{Value as Json, json};

/// What a terminal obeys, and a line feed.
const EVIL: &str = "a\u{1b}[31m\u{7}\rb\nINJECTED\u{9b}2J\u{85}\u{202e}\u{2066}\u{7f}";

fn assert_harmless(what: &str, text: &str) {
    let obeyed = |char: char| {
        (char.is_control() && char != '\n')
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(obeyed), "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("INJECTED")), "{what}: {text}");
}

/// Runs a command; returns its code and all it printed.
fn run(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let said = place.run(arguments);
    let text = said.stdout.clone() + &said.stderr;
    assert_harmless(&format!("{arguments:?}"), &text);
    (said.code(), text)
}

#[test]
fn a_reason_that_is_more_than_a_line_is_refused_everywhere() {
    let place = Place::edited();
    for arguments in [
        vec!["accept", "services.lmstudio.timeout_seconds"],
        vec!["pause"],
        vec!["apply"],
        vec!["set", "execution.max_retries", "9"],
        vec!["backup", "create"],
        vec!["promote", "--all"],
    ] {
        let (code, text) = run(&place, &[&arguments[..], &["--reason", EVIL]].concat());
        assert_eq!(code, Some(64), "{arguments:?}: {text}");
        assert!(text.contains("a reason is one line"), "{text}");
    }
}

#[test]
fn a_reason_and_a_name_that_were_stored_all_the_same_are_shown_as_text() {
    let place = Place::edited();
    run(&place, &["pause", "--reason", "planned"]);
    run(&place, &["accept", "services.lmstudio.timeout_seconds", "--reason", "planned"]);
    let db = Connection::open(place.db()).expect("opens");
    assert!(db.execute("UPDATE operator_decision SET reason = ?1, by = ?1", [EVIL]).expect("set") > 0);
    let revisions = "UPDATE operator_revision SET reason = ?1, actor = ?1, source = ?1";
    assert!(db.execute(revisions, [EVIL]).expect("set") > 0);
    for arguments in [
        &["plan"][..],
        &["plan", "-o", "json"],
        &["plan", "-o", "yaml"],
        &["plan", "-o", "markdown"],
        &["apply"],
        &["status"],
        &["status", "-o", "json"],
        &["explain", "services.lmstudio.timeout_seconds"],
        &["explain", "services.lmstudio.timeout_seconds", "-o", "yaml"],
        &["history"],
        &["show", "1"],
        &["accept", "--list"],
        &["withdraw", "--all"],
    ] {
        run(&place, arguments);
    }
}

#[test]
fn what_another_process_wrote_into_the_lock_of_the_agent_is_text() {
    let place = Place::edited();
    let holder = json!({"host": EVIL, "pid": 7, "source": EVIL, "since": EVIL});
    let mut file = File::create(place.oxide().join("config.db.agent")).expect("made");
    file.write_all(holder.to_string().as_bytes()).expect("written");
    file.lock().expect("ours");
    for arguments in [&["status"][..], &["doctor"], &["apply"], &["promote", "--all"], &["migrate"]] {
        let (_, text) = run(&place, arguments);
        assert!(text.contains("process 7"), "{arguments:?} names it: {text}");
    }
    for form in ["text", "json"] {
        let lines = log_of(&place, form, "standing by");
        assert!(lines.iter().any(|line| line.contains("INJECTED")), "{lines:#?}");
    }
}

#[test]
fn paths_are_printed_on_one_line() {
    let outer = Place::empty();
    let folder = outer.root().join(std::ffi::OsStr::from_bytes(b"x\x1b[31m\nINJECTED\xe2\x80\xae"));
    std::fs::create_dir_all(folder.join("config")).expect("made");
    let place = Place::at(&folder);
    place.write_yaml(SAMPLE);
    let source = format!("file:{}", folder.join("config/default.yaml").display());
    let db = folder.join(".oxide/config.db");
    let db = db.to_str().expect("text");
    let common = ["--source", source.as_str(), "--db", db];
    for arguments in [
        &["migrate"][..],
        &["status"],
        &["doctor"],
        &["key", "check"],
        &["set", "execution.max_retries", "9"],
        &["backup", "create"],
        &["backup", "check"],
        &["promote", "execution.max_retries"],
        &["export", "/"],
        &["plan", "/nowhere\n\u{1b}[31m"],
        &["verify"],
        &["get", "services", "-o", "json"],
        &["rollback", "--to-yaml"],
        &["status"],
        &["doctor"],
    ] {
        run(&place, &[arguments, &common].concat());
    }
    for form in ["text", "json"] {
        log_of(&place, form, "web page");
    }
}

#[test]
fn a_mistake_on_the_command_line_is_shown_as_text() {
    let place = Place::edited();
    for arguments in [&["plan", EVIL][..], &[EVIL], &["plan", "-o", EVIL], &["run", "--listen", EVIL]] {
        let (code, _) = run(&place, arguments);
        assert!(matches!(code, Some(1 | 64)), "{arguments:?}: {code:?}");
    }
}

#[test]
fn programs_are_given_what_is_there() {
    let place = Place::edited();
    let text = "a\u{9b}b\u{202e}c\u{7f}";
    let db = Connection::open(place.db()).expect("opens");
    db.execute("UPDATE services SET default_model = ?1 WHERE id = 'lmstudio'", [text]).expect("set");
    let path = "services.lmstudio.default_model";
    let said = place.run(&["get", path]);
    assert_eq!(said.stdout, format!("{text}\n"), "a script gets the value itself");
    for form in ["json", "yaml"] {
        let (_, printed) = run(&place, &["get", path, "-o", form]);
        assert_eq!(serde_json::from_str::<Json>(&printed).expect("JSON"), json!(text), "{form}");
    }
    let (_, plan) = run(&place, &["plan", "-o", "json"]);
    assert!(plan.contains("\\u202e") && plan.contains("\\u009b"), "{plan}");
}

/// Lines of a log until one says something: each begins as a line of the log does.
fn log_of(place: &Place, form: &str, until: &str) -> Vec<String> {
    let mut agent = Command::new(BINARY)
        .current_dir(place.root())
        .env("HOME", place.root())
        .args(["run", "--listen", "127.0.0.1:0", "--listen-health", "127.0.0.1:0", "--log-format", form])
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = Vec::new();
    for line in BufReader::new(agent.stderr.take().expect("piped")).lines() {
        let line = line.expect("text");
        assert_harmless(form, &line);
        let begins = if form == "json" { line.starts_with("{\"timestamp\"") } else { line.starts_with("20") };
        assert!(begins, "{line}");
        lines.push(line);
        if lines.last().is_some_and(|line| line.contains(until)) {
            break;
        }
    }
    agent.kill().and_then(|()| agent.wait()).expect("ended");
    lines
}

#[test]
fn a_name_that_a_shell_would_obey_is_quoted_in_commands() {
    let place = Place::edited();
    let yaml = place.root().join("s;touch PWN.yaml");
    std::fs::copy(place.root().join("config/default.yaml"), &yaml).expect("copied");
    let (_, said) = run(&place, &["rollback", "--to-yaml", "--source", "file:s;touch PWN.yaml"]);
    assert!(said.contains("/s;touch PWN.yaml'") || said.contains(" 's;touch PWN.yaml'"), "{said}");
    assert!(said.lines().filter(|line| line.starts_with("  cp ")).all(|line| line.ends_with('\'')), "{said}");
}

#[test]
fn a_file_that_only_looks_like_a_backup_is_none() {
    let place = Place::edited();
    let backups = place.oxide().join("backups");
    let backup = || {
        let files = std::fs::read_dir(&backups).expect("there").flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|it| it == "db")).collect::<Vec<_>>()
    };
    run(&place, &["backup", "create"]);
    let taken = backup().pop().expect("one");
    std::fs::copy(&taken, backups.join("config-99990101T000000000Z;touch P.db")).expect("planted");
    remove_database(&place.db());
    let (_, said) = run(&place, &["doctor"]);
    assert!(!said.contains("touch P"), "{said}");
    let name = taken.file_stem().and_then(|name| name.to_str()).expect("a name");
    assert!(said.contains(&format!("oxide-operator backup restore {name}")), "{said}");
}

fn remove_database(db: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", db.display()));
    }
}
