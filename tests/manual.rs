//! Help, manual pages and completions, as those who read and use them meet them.

#![expect(clippy::disallowed_methods, reason = "it runs processes")]

#[path = "support/process.rs"]
mod process;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use process::Place;

/// The pages in a folder; their names are the commands, words joined by hyphens.
fn pages(place: &Place) -> Vec<PathBuf> {
    place.expect(0, &["man", "--dir", "man"]);
    let mut pages: Vec<PathBuf> = fs::read_dir(place.root().join("man"))
        .expect("pages")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    pages.sort();
    pages
}

/// The arguments that lead to every command, `backup list` and the like included.
fn commands(place: &Place) -> Vec<Vec<String>> {
    let names =
        pages(place).into_iter().map(|page| page.file_stem().expect("a name").to_string_lossy().into_owned());
    let commands: Vec<Vec<String>> = names
        .filter_map(|name| {
            Some(name.strip_prefix("oxide-operator-")?.split('-').map(str::to_owned).collect())
        })
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    commands
}

#[test]
fn the_help_of_every_command_begins_with_examples_and_fits_a_terminal() {
    let place = Place::empty();
    for command in commands(&place).into_iter().chain([Vec::new()]) {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.push("--help");
        let output = place.command(&words).env("COLUMNS", "80").output().expect("runs");
        let help = String::from_utf8(output.stdout).expect("text");
        let examples = help.find("Examples:\n  oxide-operator ").unwrap_or(usize::MAX);
        let usage = help.find("Usage:").expect("a usage");
        let parent = command.len() == 1 && help.contains("\nCommands:\n");
        assert!(parent || examples < usage, "{command:?} has no examples above its usage:\n{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{command:?}: wider than 80 columns: {line}");
        }
    }
}

#[test]
fn every_manual_page_renders_without_a_warning_and_has_its_examples() {
    let place = Place::empty();
    for page in pages(&place) {
        let output = Command::new("groff")
            .args(["-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou"])
            .arg(&page)
            .output()
            .expect("groff runs");
        let (text, warnings) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && warnings.is_empty(), "{}: {warnings}", page.display());
        for title in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"] {
            assert!(text.contains(title), "{} has no {title}:\n{text}", page.display());
        }
        let parent =
            text.contains("SUBCOMMANDS") && page.file_stem().is_some_and(|name| name != "oxide-operator");
        assert!(parent || text.contains("EXAMPLES\n       oxide-operator "), "{}:\n{text}", page.display());
    }
    let main = fs::read_to_string(place.root().join("man/oxide-operator.1")).expect("a page");
    assert!(main.contains(".SH EXIT STATUS") && main.contains("oxide\\-operator\\-migrate (1)"), "{main}");
}

#[test]
fn shells_read_their_completions_and_bash_completes_with_them() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.root().join(shell);
        fs::write(&script, place.expect(0, &["completions", shell]).stdout).expect("written");
        let output = Command::new(shell).arg("-n").arg(&script).output().expect("the shell runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    }
    let ask = |words: &str, position: usize| {
        let script = format!(
            "source ./bash; COMP_WORDS=({words}); COMP_CWORD={position}; _oxide__operator oxide-operator \
             \"${{COMP_WORDS[{position}]}}\" \"${{COMP_WORDS[{}]}}\"; echo \"${{COMPREPLY[@]}}\"",
            position - 1
        );
        let output = place.program("bash").args(["-c", &script]).output().expect("bash runs");
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(ask("oxide-operator mig", 1).trim(), "migrate");
    assert_eq!(ask("oxide-operator backup che", 2).trim(), "check");
    assert!(ask("oxide-operator plan --on-drift ''", 3).contains("revert"));
    let fish = "complete -C 'oxide-operator resto'";
    let output = Command::new("fish")
        .current_dir(place.root())
        .env("HOME", place.root())
        .args(["--no-config", "-c", &format!("source ./fish; {fish}")])
        .output()
        .expect("fish runs");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("restore"), "{output:?}");
}
