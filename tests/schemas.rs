//! What `-o json` prints is what `docs/schemas` says, in every state that its readers meet.

#![expect(clippy::disallowed_methods, reason = "it runs processes and reads the published schemas")]

#[path = "support/process.rs"]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use process::{Place, SAMPLE};
use serde_json::Value as Json;

fn published() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas")
}

#[test]
fn the_published_schemas_are_those_of_the_program() {
    let place = Place::empty();
    place.expect(0, &["schema", "--dir", "schemas"]);
    let read = |folder: &Path| -> BTreeMap<String, String> {
        let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
        files
            .map(|file| {
                (
                    file.file_name().to_string_lossy().into_owned(),
                    fs::read_to_string(file.path()).expect("text"),
                )
            })
            .collect()
    };
    let generated = read(&place.root().join("schemas"));
    if std::env::var_os("OXIDE_BLESS").is_some() {
        for (name, text) in &generated {
            fs::write(published().join(name), text).expect("written");
        }
    }
    assert_eq!(generated.keys().collect::<Vec<_>>(), read(&published()).keys().collect::<Vec<_>>());
    for (name, text) in &read(&published()) {
        assert!(
            generated[name] == *text,
            "docs/schemas/{name} is old: `oxide-operator schema --dir docs/schemas`"
        );
    }
}

/// The commands, by the schema of their output.
const PRINTED: &[(&str, &[&str])] = &[
    ("adopt", &["adopt", "--plan"]),
    ("backup-check", &["backup", "check"]),
    ("backup-list", &["backup", "list"]),
    ("config", &["config"]),
    ("decisions", &["accept", "services.lmstudio", "--reason", "on purpose"]),
    ("decisions", &["pause", "services.lm*", "--reason", "tried out", "--until", "2h"]),
    ("diff", &["diff", "1"]),
    ("doctor", &["doctor"]),
    ("edit", &["set", "services.lmstudio.enabled", "false", "--dry-run"]),
    ("edit", &["remove", "services.lmstudio", "--cascade", "--dry-run"]),
    ("edit", &["restore", "1", "--confirm-prune", "1"]),
    ("edit", &["set", "services.lmstudio.enabled", "false"]),
    ("explain", &["explain", "services.lmstudio.enabled"]),
    ("explain", &["explain", "lmstudio"]),
    ("explain", &["explain", "rules.echo"]),
    ("edit", &["revert", "services.lmstudio.enabled", "--dry-run"]),
    ("get", &["get", "services"]),
    ("get", &["get", "rules"]),
    ("get", &["get", "execution"]),
    ("get", &["get", "lmstudio"]),
    ("get", &["get", "services.lmstudio.fallback"]),
    ("get", &["get", "services.lmstudio.enabled"]),
    ("history", &["history"]),
    ("key-check", &["key", "check"]),
    ("report", &["plan"]),
    ("report", &["plan", "--on-drift", "revert"]),
    ("report", &["apply", "--dry-run"]),
    ("promote", &["promote", "--all", "--dry-run"]),
    ("show", &["show", "1"]),
    ("status", &["status"]),
    ("verify", &["verify"]),
    ("report", &["apply", "--on-drift", "revert", "--on-conflict", "source"]),
    ("migrate", &["migrate", "--no-backup"]),
    ("report", &["migrate", "--dry-run"]),
];

#[test]
fn what_is_printed_is_what_its_schema_says_in_every_state() {
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (state, place) in states() {
        for (name, command) in PRINTED {
            let run = place.run(&[command, &["-o", "json"][..]].concat());
            let Ok(printed) = serde_json::from_str::<Json>(&run.stdout) else {
                // A command that cannot answer says so on stderr, and prints nothing.
                assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{state}: {command:?}: {run:#?}");
                continue;
            };
            let findings: Vec<String> = validator(name)
                .iter_errors(&printed)
                .map(|error| format!("{} at {}", error, error.instance_path()))
                .collect();
            assert!(findings.is_empty(), "{state}: {command:?}: {findings:#?}\n{printed:#}");
            note_paths(&printed, String::new(), seen.entry(name).or_default());
        }
    }
    let rare = [
        "report: /failure",
        "report: /plan/steps/op",
        "report: /findings/line",
        "status: /key/tokens",
        "doctor: /mend",
    ];
    for wanted in rare {
        let (name, path) = wanted.split_once(": ").expect("a pair");
        assert!(seen[name].contains(path), "no state showed {wanted}: {:#?}", seen[name]);
    }
    settings_fit_their_schema();
    seen.insert("operator", BTreeSet::new());
    assert_eq!(seen.len(), fs::read_dir(published()).expect("schemas").count(), "a schema was never used");
}

fn settings_fit_their_schema() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/operator.yaml"))
        .expect("shipped");
    let settings = oxide_operator::desired::value_of(&text).expect("YAML");
    let faults: Vec<String> = validator("operator").iter_errors(&settings).map(|it| it.to_string()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(!validator("operator").is_valid(&serde_json::json!({"onDrfit": "keep"})));
}

/// The schema, closed: what it does not name may not be there. Programs that read the output are told to be more lenient.
fn validator(name: &str) -> jsonschema::Validator {
    let text = fs::read_to_string(published().join(format!("{name}.json"))).expect("published");
    let mut schema: Json = serde_json::from_str(&text).expect("JSON");
    jsonschema::meta::validate(&schema).expect("a schema");
    close(&mut schema);
    jsonschema::validator_for(&schema).expect("a schema")
}

fn close(schema: &mut Json) {
    match schema {
        Json::Object(entries) => {
            if entries.get("properties").is_some_and(Json::is_object) {
                entries.insert("unevaluatedProperties".into(), false.into());
            }
            entries.values_mut().for_each(close);
        }
        Json::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn note_paths(value: &Json, at: String, seen: &mut BTreeSet<String>) {
    match value {
        Json::Object(entries) => {
            entries.iter().for_each(|(name, value)| note_paths(value, format!("{at}/{name}"), seen))
        }
        Json::Array(items) => items.iter().for_each(|item| note_paths(item, at.clone(), seen)),
        _ => {}
    }
    seen.insert(at);
}

fn states() -> Vec<(&'static str, Place)> {
    let migrated = || {
        let place = Place::new(SAMPLE);
        place.expect(0, &["migrate", "--no-backup"]);
        place
    };
    let drifted = migrated();
    drifted.expect(0, &["set", "services.lmstudio.enabled", "false"]);
    drifted.expect(0, &["add", "rule", "echo", "--primary", "lmstudio"]);
    let invalid = migrated();
    invalid.write_yaml("services:\n  a: {type: http, api_key: sk-1}\n  b: {typ: cli}\n");
    let gone = migrated();
    fs::remove_file(gone.yaml()).expect("removed");
    let keyless = Place::edited();
    fs::remove_file(keyless.key_file()).expect("removed");
    let corrupt = migrated();
    fs::write(corrupt.db(), "no database").expect("written");
    vec![
        ("nothing migrated", Place::new(SAMPLE)),
        ("in sync", migrated()),
        ("the source moved", Place::edited()),
        ("the database moved", drifted),
        ("an invalid source", invalid),
        ("no source", gone),
        ("no key", keyless),
        ("a corrupt database", corrupt),
    ]
}
