//! Commands as people type them, and what they print with everything replaced that differs from run to run.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::io::Read as _;
use std::path::Path;

use crate::process::{BINARY, Place};

/// Runs a line as a shell does, stdout and stderr in the order in which they were written.
pub(crate) fn in_shell(place: &Place, line: &str) -> (String, Option<i32>) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = shell(place, line);
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

/// A shell that is to run a line, with the program under test in its path.
pub(crate) fn shell(place: &Place, line: &str) -> std::process::Command {
    let mut command = place.program("sh");
    let binaries = Path::new(BINARY).parent().expect("a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(binaries).chain(std::env::split_paths(&path))).expect("a path");
    let python = std::env::var_os("OXIDE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    command.env("PATH", path).env("OXIDE_TEST_PYTHON", python).arg("-c").arg(format!("umask 022\n{line}"));
    command
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

pub(crate) fn normalised(text: &str, root: &Path) -> String {
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
