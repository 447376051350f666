//! Edits from the command line: keys stay out of sight, refused edits change nothing, and no edit of another writer
//! is lost.

#![expect(clippy::disallowed_methods, reason = "it runs processes and threads")]

#[path = "support/process.rs"]
mod process;

use std::fs;

use process::{BINARY, Place, SAMPLE, said};

fn migrated() -> Place {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    place
}

#[test]
fn a_key_typed_at_the_prompt_is_stored_and_never_shown() {
    let place = migrated();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/type_key.py");
    let mut terminal = place.program("python3");
    terminal.args([script, "sk-typed-by-hand", BINARY, "set", "services.openrouter.api_key"]);
    let said = said(&mut terminal);
    assert_eq!(said.code(), Some(0), "{said:#?}");
    assert!(said.stdout.contains("API key for openrouter"), "{said:#?}");
    assert!(!said.stdout.contains("typed-by-hand"), "{said:#?}");
    assert_eq!(place.values()["services.openrouter.api_key_encrypted"], "sk-typed-by-hand");
}

#[test]
fn a_key_comes_from_a_file_or_from_the_snippets_own_references() {
    let place = migrated();
    fs::write(place.root().join("key.txt"), "sk-in-a-file\n").expect("written");
    let url = "http://localhost:1";
    let with_file = ["add", "service", "a", "--type", "http", "--base-url", url, "--api-key-file", "key.txt"];
    place.expect(0, &with_file);
    let snippet = "type: http\nbase_url: http://localhost:2\napiKeyFrom:\n  file: key.txt\n";
    fs::write(place.root().join("b.yaml"), snippet).expect("written");
    place.expect(0, &["add", "service", "b", "-f", "b.yaml"]);
    place.expect(0, &["set", "services.openrouter.api_key", "--file", "key.txt"]);
    let values = place.values();
    for id in ["a", "b", "openrouter"] {
        assert_eq!(values[&format!("services.{id}.api_key_encrypted")], "sk-in-a-file");
    }
    place.expect(0, &["set", "services.openrouter.api_key", "null"]);
    assert_eq!(place.values()["services.openrouter.api_key_encrypted"], "NULL");
}

#[test]
fn what_is_refused_or_only_tried_changes_not_one_row() {
    let place = migrated();
    let before = place.dump();
    let refused: [(i32, &[&str]); 9] = [
        (6, &["set", "services.gemini.type", "ftp"]),
        (6, &["set", "services.gemini.max_retries", "-1"]),
        (6, &["set", "services.gemini.executable", "null"]),
        (6, &["set", "routing_rules.debugging.primary", "nobody"]),
        (6, &["remove", "qwen"]),
        (6, &["add", "rule", "x", "--primary", "nobody"]),
        (64, &["set", "services.openrouter.api_key", "sk-visible"]),
        (0, &["set", "services.gemini.enabled", "false", "--dry-run"]),
        (0, &["remove", "qwen", "--cascade", "--dry-run"]),
    ];
    for (code, arguments) in refused {
        let said = place.expect(code, arguments);
        assert!(!format!("{said:?}").contains("sk-"), "{said:#?}");
        assert_eq!(place.dump(), before, "{arguments:?}");
    }
    assert!(!place.oxide().join("backups").exists(), "nothing was written, so nothing was backed up");
}

#[test]
fn the_last_enabled_service_can_be_neither_removed_nor_disabled() {
    let place = Place::new("services:\n  only:\n    type: cli\n    executable: x\n");
    place.expect(0, &["migrate", "--no-backup"]);
    let said = place.expect(6, &["set", "services.only.enabled", "false"]);
    assert!(said.stderr.contains("no service would be enabled"), "{said:#?}");
}

#[test]
fn edits_of_two_terminals_and_the_orchestrator_at_once_are_all_there_afterwards() {
    let place = migrated();
    let conn = place.connect().expect("opens");
    std::thread::scope(|scope| {
        for writer in ["x", "y"] {
            let place = &place;
            scope.spawn(move || {
                for number in 0..10 {
                    let url = format!("http://{writer}/{number}");
                    let id = format!("{writer}{number}");
                    place.expect(0, &["add", "service", &id, "--type", "http", "--base-url", &url]);
                }
            });
        }
        for number in 0..200 {
            let sql = "INSERT INTO services (id, type, base_url, created_at, updated_at) VALUES (?1, 'http', 'u', 1, 1)";
            conn.execute(sql, [format!("z{number}")]).expect("written");
        }
    });
    let values = place.values();
    let there = |id: &str| values.contains_key(&format!("services.{id}.type"));
    for number in 0..10 {
        assert!(there(&format!("x{number}")) && there(&format!("y{number}")), "{number}");
    }
    assert!((0..200).all(|number| there(&format!("z{number}"))));
}

#[test]
fn an_empty_variable_is_an_unset_one_whichever_it_is() {
    let place = Place::new(SAMPLE);
    let expected = place.run(&["plan"]);
    let mut command = place.command(&["plan"]);
    for name in [
        "CONFIG",
        "SOURCE",
        "SOURCE_ENV",
        "DB",
        "KEY_FILE",
        "OLD_KEY_FILE",
        "RELOAD_URL",
        "RELOAD_TOKEN_FILE",
        "RELOAD_PID_FILE",
        "RELOAD_SIGNAL",
        "ON_DRIFT",
        "ON_CONFLICT",
        "PRUNE",
        "OVERRIDES",
        "IGNORE",
        "GRACE",
    ] {
        command.env(format!("OXIDE_OPERATOR_{name}"), "");
    }
    let said = said(&mut command);
    assert_eq!((said.code(), &said.stdout), (expected.code(), &expected.stdout), "{said:#?}");
}

#[test]
fn a_tilde_is_the_home_folder_wherever_a_path_is_named() {
    let place = Place::new(SAMPLE);
    let file = place.root().join("settings.yaml");
    fs::write(&file, "db: ~/from-file.db\nkeyFile: ~/file.key\n").expect("written");
    place.expect(0, &["migrate", "--no-backup", "--config", "~/settings.yaml"]);
    place.expect(0, &["migrate", "--no-backup", "--db=~/flag.db", "--source=file:~/config/default.yaml"]);
    let mut command = place.command(&["migrate", "--no-backup", "--yaml=~/config/default.yaml"]);
    command.env("OXIDE_OPERATOR_DB", "~/variable.db").env("OXIDE_OPERATOR_KEY_FILE", "~/variable.key");
    assert_eq!(said(&mut command).code(), Some(0));
    for made in ["from-file.db", "file.key", "flag.db", "variable.db", "variable.key"] {
        assert!(place.root().join(made).exists(), "{made}");
    }
    assert!(!place.root().join("~").exists());
}

#[test]
fn a_linked_database_has_its_key_beside_the_link_as_for_the_orchestrator() {
    let place = Place::new(SAMPLE);
    let volume = place.root().join("volume");
    fs::create_dir_all(&volume).expect("made");
    fs::create_dir_all(place.oxide()).expect("made");
    rusqlite::Connection::open(volume.join("config.db"))
        .and_then(|conn| conn.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())))
        .expect("made");
    std::os::unix::fs::symlink(volume.join("config.db"), place.db()).expect("linked");
    place.expect(0, &["migrate", "--no-backup"]);
    assert!(place.key_file().exists() && !volume.join("encryption.key").exists());
    place.expect(0, &["key", "check"]);
}

/// What `export` and its kind must never write over.
#[test]
fn what_the_program_lives_on_is_never_an_output() {
    let place = migrated();
    place.expect(0, &["backup", "create"]);
    let token = place.oxide().join("web.token");
    fs::write(&token, "x".repeat(40)).expect("written");
    let beside = |name: &str| place.root().join("config").join(name);
    let (secret, replaced) = (beside("openrouter-key"), beside("default.yaml.replaced.20260101T000000000Z"));
    fs::write(&secret, "sk-1").expect("written");
    fs::write(&replaced, "kept").expect("written");
    let settings = place.root().join("settings.yaml");
    fs::write(&settings, "onDrift: keep\n").expect("written");
    let yaml = fs::read_to_string(place.yaml()).expect("there");
    place.write_yaml(
        &yaml.replace("api_key: sk-or-v1-not-a-real-key-0000", "apiKeyFrom: {file: openrouter-key}"),
    );
    let backup =
        fs::read_dir(place.oxide().join("backups")).expect("there").flatten().next().expect("one").path();
    std::os::unix::fs::symlink(place.db(), place.root().join("link.yaml")).expect("linked");
    fs::hard_link(place.key_file(), place.root().join("hard.yaml")).expect("linked");
    let before = place.dump();
    let ours = [
        place.db(),
        place.oxide().join("config.db-wal"),
        place.key_file(),
        place.oxide().join("encryption.key.next"),
        token,
        secret,
        replaced,
        settings,
        place.yaml(),
        place.root().join("config/../config/default.yaml"),
        backup.clone(),
        place.oxide().join("backups/new.yaml"),
        place.root().join("link.yaml"),
        place.root().join("hard.yaml"),
        std::path::Path::new("/proc/self/root").join(place.key_file().strip_prefix("/").expect("absolute")),
    ];
    for file in &ours {
        fs::write(place.oxide().join("encryption.key.next"), "k").expect("written");
        let bytes = fs::read(file).ok();
        let name = file.display().to_string();
        for command in [
            &["export", &name, "--force"][..],
            &["migrate", "--export", &name, "--force"],
            &["plan", "--out", &name, "--force"],
        ] {
            let said = place.run(&[command, &["--config", "settings.yaml"]].concat());
            assert_eq!(said.code(), Some(1), "{command:?}: {said:#?}");
            assert!(said.stderr.contains("never overwritten"), "{command:?}: {said:#?}");
            assert_eq!(fs::read(file).ok(), bytes, "{command:?}");
        }
        let _ = fs::remove_file(place.oxide().join("encryption.key.next"));
    }
    assert_eq!(place.dump(), before);
}

#[test]
fn an_output_that_exists_needs_force_links_stay_and_pipes_are_written_through() {
    let place = migrated();
    let file = place.root().join("out.yaml");
    fs::write(&file, "mine").expect("written");
    for command in
        [&["export", "out.yaml"][..], &["migrate", "--export", "out.yaml"], &["plan", "--out", "out.yaml"]]
    {
        let said = place.run(command);
        assert!(said.stderr.contains("--force"), "{command:?}: {said:#?}");
        assert_eq!(fs::read_to_string(&file).expect("there"), "mine", "{command:?}");
    }
    std::os::unix::fs::symlink("out.yaml", place.root().join("to.yaml")).expect("linked");
    std::os::unix::fs::symlink("later.yaml", place.root().join("dangling.yaml")).expect("linked");
    place.expect(0, &["export", "to.yaml", "--force"]);
    place.expect(0, &["export", "dangling.yaml"]);
    assert!(fs::symlink_metadata(place.root().join("to.yaml")).expect("there").is_symlink());
    for made in ["out.yaml", "later.yaml"] {
        assert!(fs::read_to_string(place.root().join(made)).expect("there").contains("services:"), "{made}");
    }
    let script = "mkfifo pipe; cat pipe > read.yaml & $0 export pipe && wait && test -p pipe && $0 export /dev/stdout > shown.yaml";
    let said = said(place.program("bash").args(["-c", script, BINARY]));
    assert_eq!(said.code(), Some(0), "{said:#?}");
    for made in ["read.yaml", "shown.yaml"] {
        assert!(fs::read_to_string(place.root().join(made)).expect("there").contains("services:"), "{made}");
    }
    assert!(std::path::Path::new("/dev/stdout").is_symlink());
}

#[test]
fn a_plan_is_saved_only_where_a_flag_says_so() {
    let place = migrated();
    for typo in ["jsom", "JSON", "md", "change.plan"] {
        let said = place.run(&["plan", "-o", typo]);
        assert_eq!(said.code(), Some(64), "{said:#?}");
        assert!(said.stderr.contains("markdown"), "{said:#?}");
        assert!(!place.root().join(typo).exists());
    }
    place.expect(0, &["plan", "--out", "change.plan"]);
    place.expect(0, &["apply", "change.plan"]);
}

#[test]
fn a_result_that_cannot_be_written_is_an_error_in_every_command() {
    let place = migrated();
    place.expect(0, &["backup", "create"]);
    for command in [
        "plan",
        "plan -o json",
        "plan -o yaml",
        "status",
        "verify",
        "config",
        "export -",
        "get services -o yaml",
        "history",
        "backup list",
        "doctor",
        "key generate",
        "schema report",
        "openapi",
        "crd",
        "--help",
        "help plan",
        "--version",
        "completions bash",
        "man",
        "explain execution.timeout_seconds",
    ] {
        let script = format!("$0 {command} > /dev/full");
        let said = said(place.program("bash").args(["-c", &script, BINARY]));
        assert_eq!(said.code(), Some(1), "{command}: {said:#?}");
        assert!(said.stderr.contains("write to stdout"), "{command}: {said:#?}");
        let script = format!("set -o pipefail; $0 {command} | true");
        let said = self::said(place.program("bash").args(["-c", &script, BINARY]));
        assert!(!said.stderr.contains("write to stdout"), "{command}: {said:#?}");
    }
}

#[test]
fn an_empty_key_is_an_error_that_names_where_it_came_from_and_unset_takes_one_away() {
    let place = Place::new(&SAMPLE.replace("sk-or-v1-not-a-real-key-0000", "${THE_KEY}"));
    let mut command = place.command(&["migrate", "--no-backup"]);
    assert_eq!(said(command.env("THE_KEY", "sk-1")).code(), Some(0));
    let key = || place.values()["services.openrouter.api_key_encrypted"].clone();
    assert_eq!(key(), "sk-1");
    fs::write(place.root().join("empty"), "\n").expect("written");
    let path = "services.openrouter.api_key";
    for (script, named) in [
        ("THE_KEY= $0 apply".to_owned(), "environment variable THE_KEY is empty"),
        (format!("false | $0 set {path}"), "stdin is empty"),
        (format!("$0 set {path} --file empty"), "empty is empty"),
        (format!("$0 set {path} --file - < /dev/null"), "stdin is empty"),
        (format!("printf 'null\\n' | $0 set {path} --file -"), "stdin is empty"),
        ("$0 add service x --type cli --executable x --api-key-file empty".to_owned(), "empty is empty"),
    ] {
        let said = said(place.program("bash").args(["-c", &script, BINARY]));
        assert_ne!(said.code(), Some(0), "{script}: {said:#?}");
        assert!(format!("{}{}", said.stdout, said.stderr).contains(named), "{script}: {said:#?}");
        assert_eq!(key(), "sk-1", "{script}");
    }
    let yaml = fs::read_to_string(place.yaml()).expect("there");
    place.write_yaml(&yaml.replace("api_key: ${THE_KEY}", "apiKeyFrom: {file: ../empty}"));
    let refused = place.run(&["apply", "--secrets-folder", "."]);
    assert_eq!(refused.code(), Some(6), "{refused:#?}");
    assert!(refused.stderr.contains("is empty"), "{refused:#?}");
    assert_eq!(key(), "sk-1");
    for empty in ["api_key: \"\"", "api_key: '  '", "api_key:"] {
        place.write_yaml(&yaml.replace("api_key: ${THE_KEY}", empty));
        let said = place.run(&["apply"]);
        assert!(said.stderr.contains("leaves the API key of the database as it is"), "{empty}: {said:#?}");
        assert_eq!(key(), "sk-1", "{empty}");
    }
    place.write_yaml(&yaml.replace("${THE_KEY}", "sk-1"));
    place.expect(0, &["apply"]);
    place.write_yaml(&yaml.replace("api_key: ${THE_KEY}", "api_key: null"));
    place.expect(0, &["apply"]);
    assert_eq!(key(), "NULL");
    place.write_yaml(&yaml.replace("${THE_KEY}", "sk-2"));
    place.run(&["apply"]);
    assert_eq!(key(), "sk-2");
    place.expect(0, &["set", path, "--unset"]);
    assert_eq!(key(), "NULL");
}

#[test]
fn a_plan_is_saved_to_stdout_by_a_dash_and_a_new_key_never_replaces_an_old_one() {
    let place = Place::edited();
    let saved = place.run(&["plan", "--out", "-"]);
    assert!(saved.stdout.starts_with('{') && saved.stdout.contains("oxide-operator/plan/v1"), "{saved:#?}");
    assert!(!place.root().join("-").exists());
    fs::write(place.root().join("plan.json"), &saved.stdout).expect("written");
    place.expect(0, &["apply", "plan.json"]);
    let key = fs::read(place.key_file()).expect("there");
    let said = place.expect(1, &["key", "generate", ".oxide/encryption.key"]);
    assert!(said.stderr.contains("help: name another file"), "{said:#?}");
    assert_eq!(fs::read(place.key_file()).expect("there"), key);
}

#[test]
fn a_name_is_not_empty_and_a_list_item_may_hold_a_comma() {
    let place = migrated();
    assert_eq!(place.run(&["add", "service", "", "--type", "cli", "--executable", "x"]).code(), Some(64));
    place.expect(0, &["set", "services.lmstudio.models", "[\"a,b\", \"c\"]"]);
    assert_eq!(place.values()["services.lmstudio.models"], "[\"a,b\",\"c\"]".replace("\",\"", "\", \""));
}

#[test]
fn what_others_wrote_is_shown_and_not_obeyed_by_terminal_or_shell() {
    let place = migrated();
    let conn = place.connect().expect("opens");
    conn.execute("UPDATE services SET default_model = 'x' || char(27) || '[1A' || char(10) || char(155) WHERE id = 'lmstudio'", [])
        .expect("written");
    conn.execute(
        "INSERT INTO services (id, type, executable, created_at, updated_at) VALUES ('$(touch pwned)', 'cli', char(27) || '[2K', 1, 1)",
        [],
    )
    .expect("written");
    for command in [
        &["plan"][..],
        &["plan", "-o", "markdown"],
        &["get", "services"],
        &["status"],
        &["verify"],
        &["explain", "services.$(touch pwned)"],
        &["explain", "services.lmstudio.default_model"],
    ] {
        let said = place.run(command);
        for text in [&said.stdout, &said.stderr] {
            assert!(!text.contains(['\u{1b}', '\u{9b}']), "{command:?}: {text:?}");
        }
    }
    let explained = place.run(&["explain", "services.$(touch pwned)"]).stdout;
    let commands: Vec<&str> =
        explained.lines().filter_map(|line| line.split_once("oxide-operator ")).map(|(_, it)| it).collect();
    assert!(!commands.is_empty(), "{explained}");
    for command in commands {
        let command = command.split(" #").next().expect("a command");
        said(place.program("bash").args(["-c", &format!("$0 {command} --dry-run"), BINARY]));
    }
    assert!(!place.root().join("pwned").exists());
}

#[test]
fn a_misspelt_section_is_an_error_and_an_unknown_one_is_said_everywhere() {
    for (from, to, meant) in [
        ("routing_rules:", "routing-rules:", "routing_rules"),
        ("services:", "service:", "services"),
        ("execution:", "Execution:", "execution"),
    ] {
        let place = Place::new(&SAMPLE.replace(&format!("\n{from}"), &format!("\n{to}")));
        for command in [&["migrate", "--no-backup"][..], &["plan"], &["apply"], &["verify"]] {
            let said = place.run(command);
            assert!(!matches!(said.code(), Some(0 | 2)), "{to} {command:?}: {said:#?}");
            let text = format!("{}{}", said.stdout, said.stderr);
            let wanted = format!("did you mean `{meant}`?");
            assert_eq!(text.matches(&wanted).count(), 1, "{to} {command:?}: {text}");
        }
        assert!(!place.db().exists());
    }
    let place = Place::new(&format!("{SAMPLE}\ncolours:\n  of: the rainbow\n"));
    place.expect(0, &["migrate", "--no-backup"]);
    for command in ["plan", "verify", "status", "doctor"] {
        let said = place.run(&[command]);
        assert!(format!("{}{}", said.stdout, said.stderr).contains("has no effect"), "{command}: {said:#?}");
    }
}

/// Puts something where a file of a folder source was.
type Put = fn(&std::path::Path);

#[test]
fn a_file_of_a_folder_that_holds_nothing_prunes_nothing() {
    let place = Place::new(SAMPLE);
    let folder = place.root().join("folder");
    fs::create_dir(&folder).expect("made");
    for id in ["a", "b", "c", "d", "e", "f"] {
        fs::write(
            folder.join(format!("{id}.yaml")),
            format!("services:\n  {id}: {{type: cli, executable: {id}}}\n"),
        )
        .expect("written");
    }
    let apply = ["apply", "--source", "dir:folder", "--prune", "owned"];
    place.expect(0, &apply);
    let path = folder.join("c.yaml");
    let nothing: [(&str, Put); 9] = [
        ("a byte order mark", |path| fs::write(path, "\u{feff}").expect("written")),
        ("a document that was cut off", |path| fs::write(path, "---\n").expect("written")),
        ("comments alone", |path| fs::write(path, "# services of ours\n\n# more\n").expect("written")),
        ("an empty file", |path| fs::write(path, "").expect("written")),
        ("a blank file", |path| fs::write(path, "\n \n").expect("written")),
        ("a link that leads nowhere", |path| {
            fs::remove_file(path).expect("removed");
            std::os::unix::fs::symlink("nowhere", path).expect("linked");
        }),
        ("a link to a device", |path| {
            fs::remove_file(path).expect("removed");
            std::os::unix::fs::symlink("/dev/null", path).expect("linked");
        }),
        ("a named pipe", |path| {
            fs::remove_file(path).expect("removed");
            let made = std::process::Command::new("mkfifo").arg(path).status().expect("runs");
            assert!(made.success());
        }),
        ("a folder, as of a mount that went wrong", |path| {
            fs::remove_file(path).expect("removed");
            fs::create_dir(path).expect("made");
        }),
    ];
    for (what, put) in nothing {
        put(&path);
        // The other files still count.
        fs::write(folder.join("a.yaml"), format!("services:\n  a: {{type: cli, executable: '{what}'}}\n"))
            .expect("written");
        let said = place.run(&apply);
        assert!(said.stderr.contains("c.yaml holds nothing"), "{what}: {said:#?}");
        assert!(place.values().contains_key("services.c.type"), "{what}: c stays");
        assert_eq!(place.values()["services.a.executable"], what);
    }
    fs::remove_dir(&path).expect("removed");
    place.run(&apply);
    assert!(!place.values().contains_key("services.c.type"), "a file that was removed is one that says so");
}

#[test]
fn generated_files_are_never_written_through_a_link_and_replace_those_of_an_earlier_run() {
    let place = Place::new(SAMPLE);
    let precious = place.root().join("precious");
    fs::write(&precious, "mine").expect("written");
    for (command, ending) in [("schema", "json"), ("crd", "yaml"), ("man", "1")] {
        let dir = place.root().join(command);
        let generate = || place.run(&[command, "--dir", command]).code();
        assert_eq!((generate(), generate()), (Some(0), Some(0)), "{command}");
        let made = fs::read_dir(&dir).expect("there").flatten().map(|entry| entry.path());
        let made =
            made.into_iter().find(|path| path.extension().is_some_and(|it| it == ending)).expect("made");
        fs::remove_file(&made).expect("removed");
        std::os::unix::fs::symlink(&precious, &made).expect("linked");
        assert_eq!(generate(), Some(1), "{command}");
        assert_eq!(fs::read_to_string(&precious).expect("there"), "mine", "{command}");
    }
}

#[test]
fn an_object_is_named_by_its_id_alone_wherever_a_path_is_taken() {
    let place = migrated();
    place.expect(0, &["set", "lmstudio.enabled", "false"]);
    assert_eq!(place.expect(0, &["get", "lmstudio.enabled"]).stdout.trim(), "false");
    let explained = place.expect(2, &["explain", "lmstudio.enabled"]).stdout;
    assert!(explained.starts_with("services.lmstudio.enabled\n"), "{explained}");
    assert!(place.expect(0, &["promote", "lmstudio", "--dry-run"]).stdout.contains("enabled: false"));
    place.expect(0, &["revert", "lmstudio.enabled"]);
    place.expect(0, &["plan", "--override", "services.lmstudio=revert"]);
    place.expect(0, &["restore", "2", "--only", "lmstudio"]);
    place.expect(0, &["accept", "lmstudio.enabled", "--reason", "for now"]);
    place.expect(0, &["withdraw", "lmstudio.enabled"]);

    // What begins with a section is a path, whatever objects are called.
    place.expect(0, &["add", "service", "execution", "--type", "cli", "--executable", "x"]);
    place.expect(0, &["set", "execution.timeout_seconds", "77"]);
    assert_eq!(place.expect(0, &["get", "execution.timeout_seconds"]).stdout.trim(), "77");
}

#[test]
fn a_path_that_names_nothing_is_refused_with_the_nearest_name_by_every_command() {
    let place = migrated();
    let commands: [&[&str]; 12] = [
        &["set", "lmstudo.enabled", "false"],
        &["get", "services.lmstudo"],
        &["explain", "lmstudo"],
        &["revert", "services.lmstudo.enabled"],
        &["promote", "lmstudo"],
        &["restore", "1", "--only", "services.lmstudo"],
        &["accept", "services.lmstudo", "--reason", "x"],
        &["pause", "lmstudo", "--reason", "x"],
        &["withdraw", "services.lmstudo"],
        &["remove", "lmstudo"],
        &["plan", "--override", "services.lmstudo=revert"],
        &["apply", "--ignore", "services.lmstudo.models"],
    ];
    for command in commands {
        let said = place.expect(6, command);
        assert!(said.stderr.contains("did you mean `lmstudio`?"), "{command:?}: {}", said.stderr);
    }
    assert!(place.expect(6, &["set", "lmstudio.enabeld", "false"]).stderr.contains("enabled"));
}
