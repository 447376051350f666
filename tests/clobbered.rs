//! A source that the orchestrator's web UI has written anew: `PyYAML` dumps what it knows, and what it does not is lost.

#![expect(clippy::disallowed_methods, reason = "sources are files")]

#[path = "support/process.rs"]
mod process;
#[path = "support/python.rs"]
mod python;

use std::fs;

use process::Place;
use serde_json::json;

const GOOD: &str = "\
# The gateway's models. Ask the platform team before changing the key.
services:
  cloud:
    type: http
    base_url: https://example.com/v1   # EU region
    apiKeyFrom:
      file: key.txt
  local:
    type: cli
    executable: gemini
    capabilities: [code_review, debugging]

# Who answers what
routing_rules:
  review:
    primary: local
    fallback: [cloud]

# Only these folders, ever.
security:
  allowed_directories: [/srv/projects]
  path_validation_enabled: true
cluster:
  enabled: true
  broadcast_port: 9999
";

const KEY: &str = "sk-canary-9876543210";

/// The file as the web UI leaves it: read with the models' defaults, edited, dumped.
const WEB_UI: &str = r#"
given = json.load(sys.stdin)
config = yaml.safe_load(given["yaml"])
for service in config["services"].values():
    service.setdefault("enabled", True)
    if service.pop("apiKeyFrom", None):
        service["api_key"] = given["key"]
config["services"]["local"]["executable"] = "gemini-2"
config["routing_rules"]["review"]["timeout_seconds"] = 90
config["security"] = {"allowed_directories": ["/"], "path_validation_enabled": True}
config["cluster"] = {"enabled": False, "broadcast_port": 8888, "api_port": 8000}
print(json.dumps(yaml.dump(config, default_flow_style=False)))
"#;

fn clobbered() -> Place {
    let place = Place::new(GOOD);
    fs::write(place.root().join("config/key.txt"), KEY).expect("ours");
    place.expect(0, &["migrate", "--no-backup"]);
    let dumped = python::run(WEB_UI, &json!({"yaml": GOOD, "key": KEY}));
    place.write_yaml(dumped.as_str().expect("a text"));
    place
}

fn yaml(place: &Place) -> String {
    fs::read_to_string(place.yaml()).expect("text")
}

#[test]
fn it_is_recognised_and_nothing_of_it_is_applied() {
    let place = clobbered();
    let (values, text) = (place.values(), yaml(&place));
    for command in ["plan", "apply"] {
        let said = place.expect(7, &[command]);
        assert!(said.stderr.contains("SourceClobbered"), "{said:#?}");
        assert!(
            said.stderr
                .contains("as the orchestrator writes it; every comment is gone; `security` or `cluster` fell back to defaults; API keys"),
            "{said:#?}"
        );
        assert!(!format!("{said:?}").contains("canary"), "{said:#?}");
    }
    assert_eq!((place.values(), yaml(&place)), (values, text));
}

#[test]
fn restore_puts_the_good_bytes_back() {
    let place = clobbered();
    place.expect(0, &["source", "restore", "--dry-run"]);
    assert_ne!(yaml(&place), GOOD);
    place.expect(0, &["source", "restore"]);
    assert_eq!(yaml(&place), GOOD);
    place.expect(0, &["plan"]);
}

#[test]
fn accept_takes_only_what_really_changed() {
    let place = clobbered();
    let said = place.expect(0, &["source", "accept"]);
    assert!(!format!("{said:?}").contains("canary"), "{said:#?}");
    let wanted = GOOD
        .replace("executable: gemini", "executable: gemini-2")
        .replace("fallback: [cloud]\n", "fallback: [cloud]\n    timeout_seconds: 90\n");
    assert_eq!(yaml(&place), wanted);
    place.expect(0, &["apply"]);
    assert_eq!(place.values()["services.local.executable"], "gemini-2");
}

#[test]
fn it_is_taken_whole_when_it_was_meant_so() {
    let place = clobbered();
    place.expect(0, &["source", "accept", "--as-is"]);
    place.expect(0, &["apply"]);
    assert_eq!(place.values()["services.local.executable"], "gemini-2");
    place.expect(0, &["plan"]);
}

#[test]
fn an_edit_by_a_person_is_never_taken_for_it() {
    let place = Place::new(GOOD);
    fs::write(place.root().join("config/key.txt"), KEY).expect("ours");
    place.expect(0, &["migrate", "--no-backup"]);
    for edited in [
        GOOD.replace("gemini", "gemini-2"),
        GOOD.replace("[/srv/projects]", "[/srv/projects, /srv/more]"),
        GOOD.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{}\n", line.split("   #").next().unwrap_or(line)))
            .collect(),
        GOOD.split("# Only these").next().expect("a head").to_owned(),
        GOOD.replace("    apiKeyFrom:\n      file: key.txt\n", "    api_key: sk-plain-000000000\n"),
    ] {
        place.write_yaml(&edited);
        let said = place.run(&["apply"]);
        assert!(!said.stderr.contains("SourceClobbered"), "{edited}\n{said:#?}");
        place.write_yaml(GOOD);
        place.expect(0, &["apply"]);
    }
}

#[test]
fn the_good_source_is_kept_encrypted() {
    let place = clobbered();
    let dump = place
        .connect()
        .expect("opens")
        .query_row("SELECT content FROM operator_source", [], |row| row.get::<_, String>(0));
    assert!(dump.expect("kept").starts_with("gAAAA"));
}

#[test]
fn the_good_source_survives_a_rotation_of_the_key() {
    let place = clobbered();
    place.expect(0, &["key", "rotate"]);
    for retired in fs::read_dir(place.oxide()).expect("there").flatten().map(|entry| entry.path()) {
        if retired.extension().is_some_and(|ending| ending == "retired") {
            fs::remove_file(retired).expect("ours");
        }
    }
    place.expect(0, &["source", "restore"]);
    assert_eq!(yaml(&place), GOOD);
}

/// The copies that were kept of files that were replaced.
fn kept(place: &Place) -> Vec<std::path::PathBuf> {
    place.files().into_iter().filter(|file| file.to_string_lossy().contains(".replaced.")).collect()
}

#[test]
fn what_is_replaced_is_kept_listed_and_private() {
    use std::os::unix::fs::PermissionsExt as _;
    for command in ["accept", "restore"] {
        let place = clobbered();
        let replaced = yaml(&place);
        let shown = place.expect(0, &["source", command, "--dry-run"]);
        assert!(shown.stdout.contains("--- "), "{shown:#?}");
        assert!(!shown.stdout.contains("canary"), "{shown:#?}");
        assert!(kept(&place).is_empty() && yaml(&place) == replaced);
        place.expect(0, &["source", command]);
        let kept = kept(&place);
        assert_eq!(kept.len(), 1, "{command}");
        assert_eq!(fs::read_to_string(&kept[0]).expect("there"), replaced);
        assert_eq!(fs::metadata(&kept[0]).expect("there").permissions().mode() & 0o777, 0o600);
        let listed = place.expect(0, &["source", "list"]);
        assert!(listed.stdout.contains(".replaced."), "{listed:#?}");
        place.run(&["plan", "--source", "dir:config"]);
    }
}

#[test]
fn an_api_key_that_was_typed_into_the_page_goes_into_the_database() {
    let place = Place::new(GOOD);
    fs::write(place.root().join("config/key.txt"), KEY).expect("ours");
    place.expect(0, &["migrate", "--no-backup"]);
    let dumped = python::run(WEB_UI, &json!({"yaml": GOOD, "key": "sk-typed-in-the-page"}));
    place.write_yaml(dumped.as_str().expect("a text"));
    let said = place.expect(0, &["source", "accept"]);
    assert!(!format!("{said:?}").contains("typed-in"), "{said:#?}");
    assert_eq!(place.values()["services.cloud.api_key_encrypted"], "sk-typed-in-the-page");
    assert!(yaml(&place).contains("file: key.txt") && !yaml(&place).contains("typed-in"));
}

#[test]
fn a_typed_key_stays_whatever_is_done_about_drift_and_a_failure_leaves_the_database_as_it_was() {
    let place = Place::new(GOOD);
    fs::write(place.root().join("config/key.txt"), KEY).expect("ours");
    place.expect(0, &["migrate", "--no-backup"]);
    let dumped = python::run(WEB_UI, &json!({"yaml": GOOD, "key": "sk-typed-in-the-page"}));
    place.write_yaml(dumped.as_str().expect("a text"));
    // The last call that puts the file in its place fails.
    let mut command = place.program("strace");
    command.args(["-f", "-o", "/dev/null", "-e", "trace=renameat2", "-e", "inject=renameat2:error=EROFS"]);
    let refused = process::said(command.args([process::BINARY, "source", "accept"]));
    assert_ne!(refused.code(), Some(0), "{refused:#?}");
    assert_eq!(place.values()["services.cloud.api_key_encrypted"], KEY, "{refused:#?}");
    assert_eq!(yaml(&place), dumped.as_str().expect("a text"));
    assert_eq!(place.expect(0, &["accept", "--list"]).stdout, "");

    place.expect(0, &["source", "accept"]);
    place.run(&["apply", "--on-drift", "revert"]);
    assert_eq!(place.values()["services.cloud.api_key_encrypted"], "sk-typed-in-the-page");
    assert!(place.expect(0, &["accept", "--list"]).stdout.contains("services.cloud.api_key"));
}

/// A good source, what its author changes in it, and whether the rewrite after it is still recognised as one.
const TOLD_APART: [(&str, &str, &str); 9] = [
    (
        "services:\n\n  a:\n    type: cli\n    executable: a\n",
        "services:\n  a:\n    type: cli\n    executable: b\n",
        "",
    ),
    (
        "services:\n  a:\n    type: cli\n    executable: \"a\"\n",
        "services:\n  a:\n    type: cli\n    executable: b\n",
        "",
    ),
    (
        "# mine\nservices:\n  a:\n    type: cli\n    executable: a\n",
        "services:\n  a:\n    type: cli\n    executable: b\n",
        "",
    ),
    (
        "services:\n  a: {type: cli, executable: a}\n",
        "services:\n  a:\n    type: cli\n    executable: b\n",
        "",
    ),
    ("x-note: |\n  one\n\n  two\n", "", "a text of several lines"),
    ("logging:\n  format: \"%(asctime)s # %(message)s\"\n", "", "a number sign in quotes"),
    ("x-list:\n  - [1, 2]\n  - {a: [3]}\n", "", "lists in lists"),
    ("x-models: &m [m1, m2]\nx-again: *m\n", "", "an anchor"),
    ("x-long: \"it's \\u00e9 and \\ttabs\"\n", "", "escapes"),
];

#[test]
fn a_short_file_by_hand_is_no_rewrite_and_a_rewrite_is_one_whatever_else_it_holds() {
    let dump = r#"
config = yaml.safe_load(json.load(sys.stdin))
config["services"].setdefault("local", {})["enabled"] = False
print(json.dumps(yaml.dump(config, default_flow_style=False, sort_keys=False)))
"#;
    for (good, edited, what) in TOLD_APART {
        let good = if what.is_empty() { good.to_owned() } else { format!("{GOOD}{good}") };
        let place = Place::new(&good);
        fs::write(place.root().join("config/key.txt"), KEY).expect("ours");
        place.expect(0, &["migrate", "--no-backup"]);
        let rewritten = python::run(dump, &json!(good));
        let text = if what.is_empty() { edited } else { rewritten.as_str().expect("a text") };
        place.write_yaml(text);
        let said = place.run(&["apply"]);
        assert_eq!(
            said.stderr.contains("SourceClobbered"),
            !what.is_empty(),
            "{what}: {good}\n{text}\n{said:#?}"
        );
    }
}

#[test]
fn in_a_folder_the_one_file_that_was_rewritten_tells() {
    let place = Place::new(GOOD);
    fs::write(place.root().join("config/key.txt"), KEY).expect("ours");
    fs::write(place.root().join("config/rules.yaml"), "# more\nexecution:\n  timeout_seconds: 44  # s\n")
        .expect("ours");
    let source = ["--source", "dir:config"];
    place.expect(0, &[&["apply"][..], &source].concat());
    let dumped = python::run(WEB_UI, &json!({"yaml": GOOD, "key": KEY}));
    place.write_yaml(dumped.as_str().expect("a text"));
    let said = place.expect(7, &[&["apply"][..], &source].concat());
    assert!(said.stderr.contains("SourceClobbered"), "{said:#?}");
}

#[test]
fn what_cannot_be_taken_over_changes_nothing() {
    let place = clobbered();
    // A file of one's own in its place, in which a service is gone that a rule still names.
    let own = "services:\n  other: {type: cli, executable: mine}\n  cloud: {type: http, base_url: 'http://x', api_key: sk-canary-1}\n";
    place.write_yaml(own);
    let before = place.values();
    let said = place.run(&["source", "accept"]);
    if said.code() == Some(0) {
        assert!(kept(&place).iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text == own)));
    } else {
        assert_eq!(said.code(), Some(7), "{said:#?}");
        assert!(said.stderr.contains("--as-is") && said.stderr.contains("nothing was changed"), "{said:#?}");
        assert_eq!(yaml(&place), own);
    }
    assert_eq!(place.values()["services.local.executable"], before["services.local.executable"]);
}

/// Both of the orchestrator's writers: its page's key form keeps what it loaded, its API writes its whole model.
const WRITERS: &str = r#"
given = json.load(sys.stdin)
config = yaml.safe_load(given["yaml"])
if given["writer"] == "key":
    config["services"]["cloud"]["api_key"] = "sk-typed-in-the-page"
else:
    lists = ["capabilities", "models", "preferred_models", "fallback_models"]
    services = {}
    for id, service in config["services"].items():
        service = {key: value for key, value in service.items() if value is not None}
        if service.pop("apiKeyFrom", None):
            service["api_key"] = "sk-resolved"
        services[id] = {"type": service["type"], "enabled": True, **service, **{it: service.get(it, []) for it in lists}}
    services["local"]["executable"] = "gemini-2"
    rules = {id: {"primary": rule["primary"], "fallback": rule.get("fallback", []), "timeout_seconds": 30}
             for id, rule in config["routing_rules"].items()}
    config = {
        "services": services, "routing_rules": rules,
        "execution": {"max_parallel_workers": 3, "timeout_seconds": 120, "streaming": True, "retry_on_failure": True, "max_retries": 2},
        "logging": {"level": "INFO", "console": True},
        "security": {"allowed_directories": ["~/Documents", "/tmp"], "path_validation_enabled": True},
        "storage": {"backend": "sqlite"},
        "cluster": {"enabled": False, "broadcast_port": 8888, "api_port": 8000},
    }
print(json.dumps(yaml.dump(config, default_flow_style=False, sort_keys=False)))
"#;

/// Twelve rewrites: sources with and without comments, keys and sections of their own, by each writer.
#[test]
fn every_rewrite_of_the_orchestrator_is_recognised_and_a_file_of_ones_own_is_not() {
    let uncommented: String = GOOD
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{}\n", line.split("   #").next().unwrap_or(line)))
        .collect();
    let plain =
        |text: &str| text.replace("    apiKeyFrom:\n      file: key.txt\n", "    api_key: sk-plain\n");
    let at_defaults = |text: &str| {
        text.split("# Only").next().unwrap_or(text).split("security:").next().unwrap_or(text).to_owned()
    };
    let sources = [
        GOOD.to_owned(),
        plain(GOOD),
        at_defaults(GOOD),
        uncommented.clone(),
        plain(&uncommented),
        plain(&at_defaults(&uncommented)),
    ];
    for good in &sources {
        for writer in ["key", "api"] {
            let place = Place::new(good);
            fs::write(place.root().join("config/key.txt"), KEY).expect("ours");
            place.expect(0, &["migrate", "--no-backup"]);
            // The form of the page does not know of references: it sets `api_key` beside them, or in their place.
            let loaded = if writer == "key" { plain(good) } else { good.clone() };
            let rewritten = python::run(WRITERS, &json!({"yaml": loaded, "writer": writer}));
            place.write_yaml(rewritten.as_str().expect("a text"));
            let said = place.run(&["apply"]);
            assert!(said.stderr.contains("SourceClobbered"), "{writer}\n{good}\n{said:#?}");
        }
    }
    let place = Place::new(GOOD);
    fs::write(place.root().join("config/key.txt"), KEY).expect("ours");
    place.expect(0, &["migrate", "--no-backup"]);
    place.write_yaml("services:\n  mistral:\n    type: http\n    base_url: http://m\n  local:\n    type: cli\n    executable: x\nrouting_rules:\n  review:\n    primary: local\n");
    let said = place.run(&["plan"]);
    assert!(!said.stderr.contains("SourceClobbered"), "{said:#?}");
}
