//! Terminal sessions with the real binary. Each `tests/cli/*.txt` reads as a user would see it: `$ command`, what it
//! printed (stderr included), and `? n` where it ended with another code than 0.
//!
//! A session starts in an empty home folder with `config/default.yaml`, the guide's sample. What differs from run to
//! run is normalised. `OXIDE_BLESS=1` rewrites the files.

#![expect(clippy::disallowed_methods, reason = "it runs processes and reads their sessions")]

#[path = "support/process.rs"]
mod process;
#[path = "support/session.rs"]
mod session;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use process::{Place, SAMPLE};
use session::{in_shell, normalised};

#[test]
fn sessions_read_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let mut sessions: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("tests/cli")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    sessions.sort();
    assert!(sessions.len() >= 10, "only {} sessions", sessions.len());
    let bless = std::env::var_os("OXIDE_BLESS").is_some();
    let mut failures = String::new();
    for path in sessions {
        let recorded = fs::read_to_string(&path).expect("readable");
        let played = play(&recorded);
        if played == recorded {
            continue;
        }
        if bless {
            fs::write(&path, played).expect("written");
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let _ = writeln!(failures, "\n{name}:\n{}", first_difference(&recorded, &played));
        }
    }
    assert!(failures.is_empty(), "{failures}\nOXIDE_BLESS=1 accepts what is printed now");
}

/// Every command of the program is in some session.
#[test]
fn every_command_has_a_session() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let sessions: String = fs::read_dir(folder)
        .expect("tests/cli")
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("readable"))
        .collect();
    let used: BTreeSet<&str> = sessions
        .lines()
        .filter_map(|line| line.strip_prefix("$ ")?.split_once("oxide-operator "))
        .filter_map(|(_, arguments)| arguments.split_whitespace().find(|word| !word.starts_with('-')))
        .collect();
    let help = Place::empty().expect(0, &["--help"]).stdout;
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"migrate"), "the help was not understood: {help}");
    // `run` does not end by itself; it has tests of its own.
    let missing: Vec<&&str> = names.iter().filter(|name| **name != "run" && !used.contains(**name)).collect();
    assert!(missing.is_empty(), "no session uses {missing:?}");
}

/// Runs the commands of a session; returns the session as it reads now. Lines before the first command are kept.
fn play(recorded: &str) -> String {
    let place = Place::new(SAMPLE);
    let mut played = String::new();
    let mut before_commands = true;
    for line in recorded.lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            if before_commands || line.starts_with('#') && played.ends_with("\n\n") {
                let _ = writeln!(played, "{line}");
            }
            continue;
        };
        if !before_commands {
            played.push('\n');
        }
        before_commands = false;
        let (output, code) = in_shell(&place, command);
        let _ = writeln!(played, "$ {command}");
        played.push_str(&normalised(&output, place.root()));
        if code != Some(0) {
            let _ = writeln!(played, "? {}", code.map_or("killed".to_owned(), |code| code.to_string()));
        }
    }
    played
}

fn first_difference(recorded: &str, played: &str) -> String {
    let (mut one, mut two) = (recorded.lines(), played.lines());
    let mut command = "";
    loop {
        match (one.next(), two.next()) {
            (Some(was), Some(is)) if was == is => {
                if was.starts_with("$ ") {
                    command = was;
                }
            }
            (was, is) => {
                return format!(
                    "  {command}\n  - {}\n  + {}",
                    was.unwrap_or("(the end)"),
                    is.unwrap_or("(the end)")
                );
            }
        }
    }
}
