//! Promotion over folders, races and files that cannot be edited; see also `tests/cli/promote.txt`.

#![expect(clippy::disallowed_methods, reason = "sources are files")]

#[path = "support/process.rs"]
mod process;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use oxide_operator::source::{ReplaceError, replace};
use process::Place;

const SERVICES: &str = "# services\nservices:\n  a: {type: cli, executable: a}\n  b:\n    type: cli   # local\n    executable: b\n";
const RULES: &str = "# rules\nrouting_rules:\n  r:\n    primary: a\n";

fn write(place: &Place, file: &str, text: &str) {
    let path = place.root().join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("ours");
    fs::write(path, text).expect("ours");
}

fn read(place: &Place, file: &str) -> String {
    fs::read_to_string(place.root().join(file)).expect("text")
}

#[test]
fn in_a_folder_each_value_goes_into_the_file_that_owns_it() {
    let place = Place::empty();
    write(&place, "conf/10-services.yaml", SERVICES);
    write(&place, "conf/20-rules.yaml", RULES);
    let run = |args: &[&str]| place.run(&[args, &["--source", "dir:conf"][..]].concat());
    assert_eq!(run(&["migrate"]).code(), Some(0));
    assert_eq!(run(&["set", "services.b.executable", "B"]).code(), Some(0));
    assert_eq!(run(&["set", "rules.r.timeout_seconds", "9"]).code(), Some(0));
    assert_eq!(run(&["add", "service", "c", "--type", "cli", "--executable", "c"]).code(), Some(0));
    let promoted = run(&["promote", "--all"]);
    assert_eq!(promoted.code(), Some(0), "{promoted:#?}");
    let services =
        SERVICES.replace("executable: b", "executable: B") + "  c:\n    type: cli\n    executable: c\n";
    assert_eq!(read(&place, "conf/10-services.yaml"), services);
    assert_eq!(read(&place, "conf/20-rules.yaml"), format!("{RULES}    timeout_seconds: 9\n"));
    assert_eq!(run(&["plan"]).code(), Some(0));
}

#[test]
fn a_file_that_changed_meanwhile_is_left_alone() {
    let place = Place::empty();
    write(&place, "x.yaml", "theirs\n");
    let path = place.root().join("x.yaml");
    assert!(matches!(replace(&path, b"before\n", b"ours\n"), Err(ReplaceError::Moved(_))));
    assert_eq!(read(&place, "x.yaml"), "theirs\n");
    assert_eq!(
        fs::read_dir(path.parent().expect("a folder"))
            .expect("readable")
            .filter(|entry| {
                entry.as_ref().expect("readable").file_name().to_string_lossy().contains("oxide-operator-")
            })
            .count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn mode_and_symbolic_link_stay() {
    let place = Place::empty();
    write(&place, "real.yaml", "before\n");
    fs::set_permissions(place.root().join("real.yaml"), fs::Permissions::from_mode(0o640)).expect("ours");
    std::os::unix::fs::symlink("real.yaml", place.root().join("link.yaml")).expect("a link");
    replace(&place.root().join("link.yaml"), b"before\n", b"after\n").expect("replaced");
    assert_eq!(read(&place, "real.yaml"), "after\n");
    assert!(fs::symlink_metadata(place.root().join("link.yaml")).expect("there").is_symlink());
    assert_eq!(
        fs::metadata(place.root().join("real.yaml")).expect("there").permissions().mode() & 0o777,
        0o640
    );
}

#[test]
fn what_cannot_be_edited_is_left_and_the_rest_is_promoted() {
    let place = Place::empty();
    let source =
        "x-d: &d\n  type: cli\n  executable: a\nservices:\n  a: *d\n  b:\n    <<: *d\n    max_retries: 1\n";
    write(&place, "config/default.yaml", source);
    assert_eq!(place.run(&["migrate"]).code(), Some(0));
    assert_eq!(place.run(&["set", "services.a.max_retries", "5"]).code(), Some(0));
    assert_eq!(place.run(&["set", "services.b.max_retries", "5"]).code(), Some(0));
    let promoted = place.run(&["promote", "--all"]);
    assert_eq!(promoted.code(), Some(7), "{promoted:#?}");
    assert!(promoted.stderr.contains("line 5: the value is an alias"), "{}", promoted.stderr);
    assert_eq!(read(&place, "config/default.yaml"), source.replace("max_retries: 1", "max_retries: 5"));
}

fn git(place: &Place, args: &[&str]) -> process::Said {
    process::said(place.program("git").args(args))
}

/// A repository with the source, and a database in which a value was changed.
fn repository() -> Place {
    let place = Place::empty();
    write(&place, "config/default.yaml", SERVICES);
    write(&place, ".gitignore", ".oxide/\n");
    for args in [
        &["init", "--quiet", "--initial-branch=main", "."][..],
        &["config", "user.name", "x"],
        &["config", "user.email", "x@y"],
        &["add", "--all"],
        &["commit", "--quiet", "--message=first"],
    ] {
        assert_eq!(git(&place, args).code(), Some(0), "{args:?}");
    }
    place.expect(0, &["migrate", "--no-backup"]);
    place.expect(0, &["set", "services.b.executable", "B"]);
    place
}

#[test]
fn a_commit_that_git_refuses_changes_neither_the_file_nor_the_branch() {
    let refusals: [(&str, &str, &str); 3] = [
        ("a locked index", "touch .git/index.lock", "index"),
        (
            "a hook",
            "printf '#!/bin/sh\\necho not today >&2; exit 1\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit",
            "not today",
        ),
        (
            "no identity",
            "git config user.email ''; git config user.useConfigOnly true; git config --unset user.name",
            "git config user",
        ),
    ];
    for (what, script, said) in refusals {
        let place = repository();
        assert_eq!(process::said(place.program("bash").args(["-c", script])).code(), Some(0));
        let head = git(&place, &["rev-parse", "HEAD"]).stdout;
        let refused = place.run(&["promote", "--all", "--git"]);
        assert_eq!(refused.code(), Some(1), "{what}: {refused:#?}");
        assert!(refused.stderr.contains(said), "{what}: {refused:#?}");
        assert_eq!(read(&place, "config/default.yaml"), SERVICES, "{what}");
        assert_eq!(git(&place, &["rev-parse", "HEAD"]).stdout, head, "{what}");
        let _ = fs::remove_file(place.root().join(".git/index.lock"));
        assert_eq!(git(&place, &["status", "--porcelain"]).stdout, "", "{what}");
    }
}

#[test]
fn an_interrupt_while_a_hook_runs_leaves_the_file_as_it_was() {
    let place = repository();
    let hook = "mkfifo began; printf '#!/bin/sh\\necho began > began; sleep 60\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; echo began >> .git/info/exclude";
    assert_eq!(process::said(place.program("bash").args(["-c", hook])).code(), Some(0));
    // A terminal sends its interrupt to all of a group.
    let script = "set -m; $0 promote --all --git & read -r _ < began; kill -INT -$!; wait $!";
    let said = process::said(place.program("bash").args(["-c", script, process::BINARY]));
    assert_eq!(said.code(), Some(1), "{said:#?}");
    assert_eq!(read(&place, "config/default.yaml"), SERVICES);
    assert_eq!(git(&place, &["status", "--porcelain"]).stdout, "");
}

#[test]
fn a_row_that_the_source_must_not_say_does_not_keep_the_others_out_of_it() {
    let place = repository();
    let conn = place.connect().expect("opens");
    conn.execute("UPDATE services SET executable = '' WHERE id = 'a'", []).expect("written");
    let said = place.run(&["promote", "--all"]);
    assert_eq!(said.code(), Some(7), "{said:#?}");
    assert!(said.stderr.contains("services.a.executable"), "{said:#?}");
    assert!(read(&place, "config/default.yaml").contains("executable: B"), "{said:#?}");
    assert!(read(&place, "config/default.yaml").contains("executable: a"), "{said:#?}");
}
