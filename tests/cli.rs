//! Terminal sessions with the real binary. Each `tests/cli/*.txt` reads as a user would see it: `$ command`, what it
//! printed (stderr included), and `? n` where it ended with another code than 0.
//!
//! A session starts in an empty home folder with `config/default.yaml`, the guide's sample. What differs from run to
//! run is normalised. `OXIDE_BLESS=1` rewrites the files.

#![expect(clippy::disallowed_methods, reason = "it runs processes and reads their sessions")]

#[path = "support/process.rs"]
mod process;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use process::{BINARY, Place, SAMPLE};

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

/// Runs a line as a shell does, stdout and stderr in the order in which they were written.
fn in_shell(place: &Place, line: &str) -> (String, Option<i32>) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = place.program("sh");
    let binaries = Path::new(BINARY).parent().expect("a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(binaries).chain(std::env::split_paths(&path))).expect("a path");
    command.env("PATH", path).arg("-c").arg(format!("umask 022\n{line}"));
    command.stdout(writer.try_clone().expect("a pipe")).stderr(writer);
    let mut child = command.spawn().expect("sh");
    drop(command);
    let mut output = String::new();
    reader.read_to_string(&mut output).expect("text");
    if !output.is_empty() && !output.ends_with('\n') {
        output.push_str("%\n");
    }
    (output, child.wait().expect("ended").code())
}

/// Patterns of digits (`d`) that differ from run to run, and what stands for them.
const TIMES: [(&str, &str); 4] = [
    ("dddd-dd-dd dd:dd:dd", "YYYY-MM-DD HH:MM:SS"),
    ("dddd-dd-ddTdd:dd:dd.dddddd", "YYYY-MM-DDTHH:MM:SS.ffffff"),
    ("ddddddddTdddddddddZ", "YYYYMMDDTHHMMSSmmmZ"),
    ("dddddddd_dddddd", "YYYYMMDD_HHMMSS"),
];

/// Numbers after these names differ from run to run or from one SQLite to the next.
const NUMBERS: [&str; 6] = ["startedAt", "recordedAt", "takenAt", "durationSeconds", "backup_bytes", "bytes"];

fn normalised(text: &str, root: &Path) -> String {
    let mut text = text.replace(root.to_str().expect("text"), "~");
    text = text.replace('\u{1b}', "␛");
    text = text.replace(concat!("oxide-operator ", env!("CARGO_PKG_VERSION")), "oxide-operator VERSION");
    for (pattern, name) in TIMES {
        text = without_times(&text, pattern, name);
    }
    text.split_inclusive('\n').map(|line| without_tokens(&without_number(line))).collect()
}

fn without_times(text: &str, pattern: &str, name: &str) -> String {
    let digits: Vec<u8> = text.bytes().map(|byte| if byte.is_ascii_digit() { b'd' } else { byte }).collect();
    let (mut result, mut kept) = (String::new(), 0);
    let mut at = 0;
    while at + pattern.len() <= digits.len() {
        if &digits[at..at + pattern.len()] == pattern.as_bytes() {
            result.push_str(&text[kept..at]);
            result.push_str(name);
            at += pattern.len();
            kept = at;
        } else {
            at += 1;
        }
    }
    result + &text[kept..]
}

fn without_number(line: &str) -> String {
    let name = line.trim_start().split(':').next().unwrap_or_default().trim_matches('"');
    match line.split_once(": ") {
        Some((before, after)) if NUMBERS.contains(&name) => {
            let end = after.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
            format!("{before}: N{end}")
        }
        _ => line.to_owned(),
    }
}

/// Replaces Fernet tokens, and digests of 32 and more hexadecimal digits.
fn without_tokens(line: &str) -> String {
    let is_word = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '=');
    let mut result = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_word) {
        let (before, word) = rest.split_at(start);
        let (word, after) = word.split_at(word.find(|char| !is_word(char)).unwrap_or(word.len()));
        let digest = word.len() >= 32 && word.chars().all(|char| char.is_ascii_hexdigit());
        result.push_str(before);
        result.push_str(match word {
            _ if word.starts_with("gAAAA") && word.len() > 60 => "TOKEN",
            _ if digest => "DIGEST",
            word => word,
        });
        rest = after;
    }
    result + rest
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
