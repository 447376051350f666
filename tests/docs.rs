//! Every command in README.md and docs/ is run as it stands there, and prints what stands below it.
//!
//! A page is played in one folder with the guide's sample as `config/default.yaml`. In a `console` block a line
//! `$ command` is run by a shell; the lines below it, if any, are what it prints, stdout and stderr together; `...`
//! stands for any lines, and `? 2` for the exit code where it is not 0. `<!-- setup: command -->` is run unseen.
//! `oxide-operator run` is started, waited for, and stopped. `make` targets must exist.

#![expect(clippy::disallowed_methods, reason = "it reads pages and runs what they say")]

#[path = "support/process.rs"]
mod process;
#[path = "support/session.rs"]
mod session;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use process::{Place, SAMPLE};
use session::{in_shell, normalised, shell};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = fs::read_dir(root().join("docs"))
        .expect("docs")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

#[test]
fn every_command_block_does_what_its_page_says() {
    let mut failures = String::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("readable");
        let name = page.strip_prefix(root()).expect("inside").display().to_string();
        play(&name, &text, &mut failures);
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn no_command_hides_in_a_block_that_is_not_run() {
    for page in pages() {
        let mut kind: Option<String> = None;
        for (number, line) in fs::read_to_string(&page).expect("readable").lines().enumerate() {
            match (line.strip_prefix("```"), &kind) {
                (Some(begun), None) => kind = Some(begun.to_owned()),
                (Some(_), Some(_)) => kind = None,
                (None, Some(kind)) if kind != "console" => {
                    let hidden = line.trim_start_matches("$ ").starts_with("oxide-operator ");
                    assert!(!hidden, "{}:{}: {line}: tag it console", page.display(), number + 1);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_page_is_in_the_list_of_pages() {
    let list = fs::read_to_string(root().join("docs/README.md")).expect("docs/README.md");
    for page in pages().iter().filter(|page| page.parent().is_some_and(|folder| folder.ends_with("docs"))) {
        let name = page.file_name().and_then(|name| name.to_str()).expect("text");
        assert!(
            name == "README.md" || list.contains(&format!("({name})")),
            "docs/README.md does not list {name}"
        );
    }
}

fn play(page: &str, text: &str, failures: &mut String) {
    let place = Place::new(SAMPLE);
    let mut inside = false;
    let mut step: Option<(usize, &str, Vec<&str>)> = None;
    for (number, line) in text.lines().enumerate() {
        let ends_step = !inside || line.starts_with("```") || line.starts_with("$ ");
        if ends_step && let Some((number, command, expected)) = step.take() {
            check(&place, &format!("{page}:{}", number + 1), command, &expected, failures);
        }
        if let Some(setup) = line.strip_prefix("<!-- setup: ").and_then(|line| line.strip_suffix(" -->")) {
            let (output, code) = in_shell(&place, setup);
            assert_eq!(code, Some(0), "{page}: {setup}\n{output}");
        } else if let Some(kind) = line.strip_prefix("```") {
            inside = !inside && kind == "console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            step = Some((number, command, Vec::new()));
        } else if let Some((_, _, expected)) = &mut step {
            expected.push(line);
        }
    }
}

fn check(place: &Place, at: &str, command: &str, expected: &[&str], failures: &mut String) {
    let program = command.split('#').next().unwrap_or_default().trim();
    if let Some(target) = program.strip_prefix("make ") {
        let makefile = fs::read_to_string(root().join("Makefile")).expect("readable");
        let known = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
        assert!(known, "{at}: there is no `make {target}`");
        return;
    }
    if program.starts_with("oxide-operator run") {
        return start_and_stop(place, at, program);
    }
    let (output, code) = in_shell(place, command);
    let printed = normalised(&output, place.root());
    let mut expected: Vec<String> = expected.iter().map(|line| normalised(line, place.root())).collect();
    while expected.last().is_some_and(String::is_empty) {
        expected.pop();
    }
    let wanted_code = match expected.last().and_then(|line| line.strip_prefix("? ")).map(str::parse::<i32>) {
        Some(Ok(code)) => {
            expected.pop();
            code
        }
        _ => 0,
    };
    let as_said = expected.is_empty() || matches(&expected, &printed.lines().collect::<Vec<_>>());
    if code != Some(wanted_code) || !as_said {
        let _ = writeln!(failures, "\n{at}: $ {command}\nended with {code:?} and printed:\n{printed}");
    }
}

/// Whether the lines are the expected ones; `...` stands for any number of lines.
fn matches(expected: &[String], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.iter().all(|line| line.is_empty()),
        Some((first, rest)) if first == "..." => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        Some((first, rest)) => printed.first() == Some(&first.as_str()) && matches(rest, &printed[1..]),
    }
}

/// Runs the agent until its first comparison is in its log, and stops it.
fn start_and_stop(place: &Place, at: &str, program: &str) {
    let line = format!("exec {program} --listen-health 127.0.0.1:0");
    let mut child = shell(place, &line).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("sh");
    let log = BufReader::new(child.stderr.take().expect("a pipe"));
    let compared = log.lines().map_while(Result::ok).any(|line| line.contains("outcome"));
    let pid = rustix::process::Pid::from_child(&child);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let status = child.wait().expect("ended");
    assert!(compared && status.success(), "{at}: {program} ended with {status}");
}
