//! Python on the other side: its Fernet, its YAML, its `json.dumps`, and the orchestrator's own statements.

#![expect(clippy::disallowed_methods, reason = "it starts Python")]

#[path = "support/documents.rs"]
mod documents;
#[path = "support/nasty.rs"]
mod nasty;
mod support;

use nasty::{nasty, nasty_source, yaml_text};
use oxide_operator::model::{Policy, Section};
use oxide_operator::report::Outcome;
use oxide_operator::store::{Access, KeySources, Store};
use serde_json::{Value as Json, json};
use support::python::run;
use support::rows::texts;
use support::{KEY, SAMPLE, World, source_wins};

/// Reads a database with the statements of the orchestrator, row by row as its `_service_row_to_dict` does.
const READ_DATABASE: &str = include_str!("support/read_database.py");

#[test]
fn python_decrypts_every_token_that_we_write() {
    let secrets: Vec<Json> = python_secrets()
        .into_iter()
        .filter(|secret| secret.as_str().is_some_and(|text| !text.trim().is_empty()))
        .collect();
    let world = World::migrated_from(&source_with_keys(&secrets));
    let tokens =
        texts(&world.as_the_orchestrator(), "SELECT api_key_encrypted FROM services ORDER BY created_at");
    assert_eq!(tokens.len(), secrets.len());
    let script = "
from cryptography.fernet import Fernet
given = json.load(sys.stdin)
fernet = Fernet(given['key'].encode())
print(json.dumps([fernet.decrypt(token.encode()).decode() for token in given['tokens']]))";
    assert_eq!(run(script, &json!({"key": KEY, "tokens": tokens})), Json::from(secrets));
}

#[test]
fn we_decrypt_every_token_that_python_writes() {
    let script = "
import time
from cryptography.fernet import Fernet
given = json.load(sys.stdin)
fernet = Fernet(given['key'].encode())
now = int(time.time())
ages = [0, 3600, -3600, -10**9, 10**9]
print(json.dumps([fernet.encrypt_at_time(secret.encode(), now + ages[at % len(ages)]).decode()
    for at, secret in enumerate(given['secrets'])]))";
    let secrets = python_secrets();
    let tokens = run(script, &json!({"key": KEY, "secrets": secrets}));
    let tokens: Vec<&str> = tokens.as_array().expect("a list").iter().filter_map(Json::as_str).collect();
    assert_eq!(tokens.len(), secrets.len());
    let world = World::empty();
    let store = world.store(Access::Read);
    for (token, secret) in tokens.iter().zip(&secrets) {
        let opened = store.keys().open_token(token).unwrap_or_else(|| panic!("{token} does not open"));
        assert_eq!(opened.expose(), secret.as_str().expect("text"));
    }
}

#[test]
fn an_item_that_a_set_repeats_is_no_drift() {
    let source = "services:\n  a: {type: cli, executable: a, models: [x, y], preferred_models: [x, y]}\n";
    let world = World::migrated_from(source);
    let edit = |list: &str| {
        let conn = world.as_the_orchestrator();
        conn.execute(&format!("UPDATE services SET {list}"), []).expect("commits");
    };
    edit("models = '[\"y\", \"x\", \"x\"]'");
    assert_eq!(world.apply(&Policy::default()).outcome, Outcome::InSync);
    edit("preferred_models = '[\"x\", \"y\", \"x\"]'");
    assert_eq!(world.apply(&Policy::default()).outcome, Outcome::Differences, "a list is no set");
}

#[test]
fn a_key_edited_by_python_is_compared_by_its_plain_text() {
    let world = World::migrated();
    let script = "
import time
from cryptography.fernet import Fernet
given = json.load(sys.stdin)
conn = sqlite3.connect(given['db'])
conn.execute('PRAGMA journal_mode=WAL')
token = Fernet(given['key'].encode()).encrypt_at_time(given['secret'].encode(), int(time.time()) + 3600).decode()
conn.execute('UPDATE services SET api_key_encrypted = ?, updated_at = ? WHERE id = ?', (token, time.time(), 'openrouter'))
conn.commit()
print('null')";
    let edit =
        |secret: &str| run(script, &json!({"key": KEY, "secret": secret, "db": world.database_path()}));
    edit("sk-or-v1-not-a-real-key-0000");
    assert_eq!(world.apply(&Policy::default()).outcome, Outcome::InSync, "the same key in a new token");
    edit("sk-another");
    assert_eq!(world.apply(&Policy::default()).outcome, Outcome::Differences);
    assert_eq!(world.apply(&source_wins()).outcome, Outcome::Applied);
}

#[test]
fn the_orchestrators_statements_read_equal_values_from_our_database() {
    for source in [SAMPLE.to_owned(), nasty_source()] {
        let world = World::migrated_from(&source);
        let read = run(READ_DATABASE, &json!({"key": KEY, "db": world.database_path()}));
        assert_eq!(read["config"], run(READ_YAML, &json!(source)), "{source}");
        assert_eq!(read["has_config"], true);
        assert_eq!(read["integrity"], "ok");
    }
}

#[test]
fn python_reads_our_exports_as_the_database_says() {
    for source in [SAMPLE.to_owned(), nasty_source()] {
        let world = World::migrated_from(&source);
        let database = run(READ_DATABASE, &json!({"key": KEY, "db": world.database_path()}));
        for minimal in [false, true] {
            let yaml = world.export(minimal, true);
            assert_eq!(run(READ_YAML, &json!(yaml)), database["config"], "{yaml}");
        }
        let script = "print(json.dumps(yaml.safe_load(json.load(sys.stdin))))";
        let (ours, theirs) = (run(script, &json!(world.export(false, false))), run(script, &json!(source)));
        for section in ["logging", "security", "storage", "cluster"] {
            assert_eq!(ours[section], theirs[section], "{section} is carried");
        }
    }
}

#[test]
fn a_source_that_python_wrote_is_read_as_it_was_meant() {
    let script = "
given = json.load(sys.stdin)
print(json.dumps([yaml.safe_dump(given), yaml.safe_dump(given, allow_unicode=True, default_flow_style=False),
    yaml.safe_dump(given, default_flow_style=True, width=20), yaml.safe_dump(given, default_style='\"')]))";
    let readers_disagree = |text: &&str| text.contains(['\u{85}', '\u{2028}', '\u{2029}']);
    let names: Vec<&str> = nasty().filter(|text| !text.is_empty() && !readers_disagree(text)).collect();
    let services: serde_json::Map<String, Json> = names
        .iter()
        .map(|name| {
            (
                (*name).to_owned(),
                json!({"type": "cli", "executable": name, "models": [name], "fallback_models": names}),
            )
        })
        .collect();
    let expected = services.clone();
    let written = run(script, &json!({"services": services}));
    for yaml in written.as_array().expect("a list") {
        // `default_style` quotes numbers and flags too, which are then texts for every reader; there are none here.
        let world = World::migrated_from(yaml.as_str().expect("text"));
        let read = run(READ_DATABASE, &json!({"key": KEY, "db": world.database_path()}));
        for (name, service) in &expected {
            for field in ["executable", "models", "fallback_models"] {
                assert_eq!(read["config"]["services"][name][field], service[field], "{name} {field}\n{yaml}");
            }
        }
    }
}

#[test]
fn a_line_break_that_only_python_sees_is_refused() {
    for text in ["\u{85}", "\u{2028}", "\u{2029}"] {
        for yaml in [
            format!("services:\n  a: {{type: cli, executable: 'x{text} y'}}\n"),
            format!("# note{text}services: {{}}\n"),
        ] {
            let world = World::empty().with_source(&yaml);
            let report = world.apply(&Policy::default());
            assert_eq!(report.outcome, Outcome::Invalid, "{yaml:?}");
            assert!(report.findings[0].message.starts_with("default.yaml:"), "{:?}", report.findings);
            assert!(!world.database_path().exists());
        }
        let escaped =
            format!("services:\n  a: {{type: cli, executable: {}}}\n", yaml_text(&format!("x{text} y")));
        let world = World::migrated_from(&escaped);
        assert_eq!(
            texts(&world.as_the_orchestrator(), "SELECT executable FROM services"),
            [format!("x{text} y")]
        );
    }
}

/// The key in any form that `cryptography` takes opens what it sealed; a form that it refuses is refused.
#[test]
fn a_key_in_any_form_opens_what_it_opens_for_python() {
    let bare = KEY.trim_end_matches('=');
    let forms = [
        KEY.to_owned(),
        format!("\"{KEY}\""),
        format!("'{KEY}'\r\n"),
        format!("  {KEY}  "),
        format!("{KEY}="),
        format!("{KEY} # comment"),
        format!("{}\n{}", &KEY[..20], &KEY[20..]),
        KEY.replace('-', "+").replace('_', "/"),
        bare.to_owned(),
        format!("{bare}a="),
        format!("x{KEY}"),
        format!("x\"{KEY}"),
        KEY[1..].to_owned(),
        "'".to_owned(),
    ];
    let script = "
from cryptography.fernet import Fernet
given = json.load(sys.stdin)
def opens(form):
    try:
        return Fernet(form.encode()).decrypt(given['token'].encode()) == b'x'
    except Exception:
        return False
given['token'] = Fernet(given['key'].encode()).encrypt(b'x').decode()
print(json.dumps([given['token'], [opens(form) for form in given['forms']]]))";
    let answer = run(script, &json!({"key": KEY, "forms": forms}));
    let token = answer[0].as_str().expect("a token");
    let world = World::migrated();
    for (form, theirs) in forms.iter().zip(answer[1].as_array().expect("a list")) {
        let keys = KeySources { environment: Some(form.clone().into()), ..KeySources::default() };
        let store = Store::at(&world.database_path(), Access::Read, &keys);
        let ours = store.is_ok_and(|store| store.keys().open_token(token).is_some());
        assert_eq!(json!(ours), *theirs, "{form:?}");
    }
}

/// What the orchestrator's reader refuses is refused; what is accepted is the value that it sees.
#[test]
fn every_document_reads_as_python_reads_it_or_is_refused() {
    let documents: Vec<String> =
        documents::known().map(str::to_owned).chain(documents::random(10_000)).collect();
    let theirs = run(include_str!("support/read_documents.py"), &json!(documents));
    let theirs = theirs.as_array().expect("a list");
    assert_eq!(theirs.len(), documents.len());
    let (mut wrong, mut read_by_both, mut refused_by_both) = (Vec::new(), 0, 0);
    for (text, theirs) in documents.iter().zip(theirs) {
        match (oxide_operator::desired::value_of(text), theirs.get("value")) {
            (Ok(ours), None) => wrong.push(format!("{text:?}\n  ours {ours}\n  {}", theirs["error"])),
            (Ok(ours), Some(theirs)) if ours != *theirs => {
                wrong.push(format!("{text:?}\n  ours {ours}\n  theirs {theirs}"));
            }
            (Ok(_), Some(_)) => read_by_both += 1,
            (Err(_), None) => refused_by_both += 1,
            (Err(why), Some(_)) if documents::is_refused_on_purpose(&why) => {}
            (Err(why), Some(theirs)) => {
                wrong.push(format!("{text:?}\n  refused {why}\n  theirs {theirs}"));
            }
        }
    }
    wrong.sort_by_key(String::len);
    let shown = wrong[..wrong.len().min(20)].join("\n");
    assert!(wrong.is_empty(), "{} of {}:\n{shown}", wrong.len(), documents.len());
    assert!(
        read_by_both > 2_000 && refused_by_both > 2_000,
        "{read_by_both} read, {refused_by_both} refused"
    );
}

#[test]
fn lists_are_written_as_json_dumps_writes_them() {
    let world = World::migrated_from(&nasty_source());
    let lists =
        texts(&world.as_the_orchestrator(), "SELECT fallback_models FROM services ORDER BY created_at");
    let again = run(
        "print(json.dumps([json.dumps(json.loads(text)) for text in json.load(sys.stdin)]))",
        &json!(lists),
    );
    assert_eq!(again, json!(lists));
    let expected: Vec<&str> = nasty().collect();
    assert_eq!(serde_json::from_str::<Vec<String>>(&lists[0]).expect("JSON"), expected);
}

#[test]
fn a_python_process_that_holds_the_lock_is_waited_for_and_loses_nothing() {
    let world = World::migrated();
    world.edit_source(|source| source.replace("max_retries: 5", "max_retries: 6"));
    let script = "
import threading, time
given = json.load(sys.stdin)
conn = sqlite3.connect(given['db'], isolation_level=None)
for at in range(200):
    conn.execute('BEGIN IMMEDIATE')
    conn.execute('UPDATE services SET max_context_tokens = ?, updated_at = ? WHERE id = ?', (at, time.time(), 'qwen'))
    conn.execute('COMMIT')
print('null')";
    let db = world.database_path();
    let other = std::thread::spawn(move || run(script, &json!({"db": db})));
    let policy = support::policy(r#"{"onDrift": "keep"}"#);
    let report = world.apply(&policy);
    other.join().expect("Python wrote all of it");
    assert!(report.failure.is_none(), "{:?}", report.failure);
    let live = world.snapshot().live;
    let shown = |section, id, field| live.value(section, id, field).expect("set").shown().to_string();
    assert_eq!(shown(Section::Execution, "", "max_retries"), "6");
    assert_eq!(shown(Section::Services, "qwen", "max_context_tokens"), "199");
}

/// Reads a YAML and completes it as the orchestrator's loader does: defaults where nothing is said, sets sorted.
const READ_YAML: &str = include_str!("support/read_yaml.py");

/// Two thousand random keys, drawn by Python, and some that are hard.
fn python_secrets() -> Vec<Json> {
    let script = "
import random
given, draw = json.load(sys.stdin), random.Random(7)
ranges = [(33, 126), (33, 126), (0xa1, 0x24f), (0x4e00, 0x9fff), (0x1f300, 0x1faff)]
def secret():
    return 'sk-' + ''.join(chr(draw.randint(*draw.choice(ranges))) for _ in range(draw.randint(0, 80)))
print(json.dumps(given + [secret() for _ in range(2000)]))";
    let hard: Vec<&str> = nasty().collect();
    run(script, &json!(hard)).as_array().expect("a list").clone()
}

/// One service for each key. The YAML is written as JSON, which is YAML.
fn source_with_keys(secrets: &[Json]) -> String {
    let service = |(at, secret): (usize, &Json)| {
        format!(
            "  s{at}: {{type: http, base_url: http://x, api_key: {}}}\n",
            yaml_text(secret.as_str().expect("text"))
        )
    };
    format!("services:\n{}", secrets.iter().enumerate().map(service).collect::<String>())
}
