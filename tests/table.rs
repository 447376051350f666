//! The merge table of the design, whole: every field of every section, every standing of agreed, source and database,
//! three policies; the library and the command line must both say what the table says.

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use oxide_operator::model::{FieldId, FieldSpec, Kind, OnConflict, OnDrift, Policy, Section};
use oxide_operator::plan::{Plan, Step};
use serde_json::Value as Json;
use support::{KEY, World};

/// What one side says of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Absent,
    Null,
    Value(usize),
}
use Says::{Absent, Null, Value};

const SIDES: [Says; 5] = [Value(0), Value(1), Value(2), Absent, Null];

/// The objects under test: each field stands in one in which no other field needs it.
const OBJECTS: [(&str, Section, &[&str], &str); 5] = [
    ("h", Section::Services, &["type", "base_url"], "type: http, base_url: 'http://x'"),
    ("c", Section::Services, &["type", "executable"], "type: cli, executable: x"),
    ("t", Section::Services, &["base_url", "executable"], "base_url: 'http://x', executable: x"),
    ("r", Section::RoutingRules, &[], ""),
    ("", Section::Execution, &[], ""),
];

/// Which fields are tested in which object.
fn fields(object: &str, section: Section) -> Vec<FieldId> {
    let tested = |field: &FieldId| match (object, section.spec(*field).name) {
        ("h", name) => !matches!(name, "type" | "base_url"),
        ("c", name) => name == "base_url",
        ("t", name) => name == "type",
        _ => true,
    };
    section.field_ids().filter(tested).collect()
}

fn texts(section: Section, spec: &FieldSpec) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match spec.kind {
        Kind::Flag => words(&["true", "false"]),
        Kind::Integer => words(&["7", "8", "9"]),
        Kind::Choice(choices) => words(choices),
        Kind::Set | Kind::List if section == Section::RoutingRules => words(&["[s1]", "[s2]", "[s3]"]),
        Kind::Set | Kind::List => words(&["[one]", "[two]", "[three]"]),
        Kind::Text if spec.name == "primary" => words(&["s1", "s2", "s3"]),
        Kind::Text | Kind::Secret => words(&["one", "two", "three"]),
    }
}

/// Maps a standing to one that the field can have.
fn possible(says: Says, spec: &FieldSpec, values: usize, live: bool) -> Says {
    let must_be_there = matches!(spec.name, "type" | "primary");
    match says {
        Absent if live || must_be_there => possible(Null, spec, values, live),
        Null if spec.required => Value(0),
        Value(number) => Value(number % values),
        other => other,
    }
}

fn sql(spec: &FieldSpec, text: &str) -> String {
    match spec.kind {
        Kind::Flag => i32::from(text == "true").to_string(),
        Kind::Integer => text.to_owned(),
        Kind::Secret => format!("token('{text}')"),
        Kind::Set | Kind::List => format!("'{}'", text.replace('[', "[\"").replace(']', "\"]")),
        Kind::Text | Kind::Choice(_) => format!("'{text}'"),
    }
}

/// One world: where agreed, source and database stand, by field.
struct Standing {
    agreed: Says,
    source: Says,
    live: Says,
}

impl Standing {
    fn yaml(side: Says) -> String {
        let object = |(id, section, _, fixed): &(&str, Section, &[&str], &str)| {
            let tested = fields(id, *section).into_iter().filter_map(|field| {
                let spec = section.spec(field);
                let texts = texts(*section, spec);
                match possible(side, spec, texts.len(), false) {
                    Absent => None,
                    Null => Some(format!("{}: null", spec.name)),
                    Value(number) => Some(format!("{}: {}", spec.name, texts[number])),
                }
            });
            let all: Vec<String> =
                [(*fixed).to_owned()].into_iter().filter(|it| !it.is_empty()).chain(tested).collect();
            format!("{{{}}}", all.join(", "))
        };
        let [http, cli, both, rule, execution] = OBJECTS.each_ref().map(object);
        let helpers: String =
            ["s1", "s2", "s3"].map(|id| format!("  {id}: {{type: cli, executable: x}}\n")).concat();
        format!(
            "services:\n{helpers}  h: {http}\n  c: {cli}\n  t: {both}\nrouting_rules:\n  r: {rule}\nexecution: {execution}\n"
        )
    }

    fn edit(&self) -> String {
        let mut text = String::new();
        for (id, section, ..) in &OBJECTS {
            for field in fields(id, *section) {
                let spec = section.spec(field);
                let texts = texts(*section, spec);
                let value = match possible(self.live, spec, texts.len(), true) {
                    Value(number) => sql(spec, &texts[number]),
                    _ => "NULL".to_owned(),
                };
                let key = if *section == Section::Execution { "1".to_owned() } else { format!("'{id}'") };
                let (table, column, at) = (section.table(), spec.column, section.id_column());
                text += &format!("UPDATE {table} SET {column} = {value} WHERE {at} = {key};\n");
            }
        }
        text
    }

    /// What the table says: class, and whether it is written.
    fn expected(&self, policy: &Policy) -> BTreeMap<String, (&'static str, bool)> {
        let mut expected = BTreeMap::new();
        for (id, section, ..) in &OBJECTS {
            for field in fields(id, *section) {
                let spec = section.spec(field);
                let count = texts(*section, spec).len();
                let of = |says, live| possible(says, spec, count, live);
                let default = |says: Says| match (says, spec.kind) {
                    (Null | Absent, _) => true,
                    (Value(number), Kind::Flag) if spec.required => number == 0,
                    _ => false,
                };
                let verdict = verdict(
                    of(self.agreed, false),
                    of(self.source, false),
                    of(self.live, true),
                    default,
                    policy,
                );
                if let Some(verdict) = verdict {
                    let path = if id.is_empty() {
                        "execution".to_owned()
                    } else {
                        format!("{}.{id}", section.name())
                    };
                    expected.insert(format!("{path}.{}", spec.name), verdict);
                }
            }
        }
        expected
    }
}

/// The table of the design's section 3, line by line.
fn verdict(
    agreed: Says,
    source: Says,
    live: Says,
    default: impl Fn(Says) -> bool,
    policy: &Policy,
) -> Option<(&'static str, bool)> {
    let conflict = ("conflict", policy.on_conflict == OnConflict::Source);
    match (agreed, source, live) {
        (_, Absent, live) if default(live) => None,
        (_, Absent, _) => Some(("undeclared", false)),
        (_, source, live) if source == live => None,
        (Absent, _, live) if default(live) => Some(("pending", true)),
        (Absent, ..) => Some(conflict),
        (agreed, _, live) if agreed == live => Some(("pending", true)),
        (agreed, source, _) if agreed == source => Some(("drift", policy.on_drift == OnDrift::Revert)),
        _ => Some(conflict),
    }
}

fn said(plan: &Plan) -> BTreeMap<String, (&'static str, bool)> {
    let left = plan.left_alone.iter().map(|left| (left.path.to_string(), (left.class.name(), false)));
    let steps = plan.steps.iter().flat_map(|step| match step {
        Step::Update { section, id, changes } => changes
            .iter()
            .map(|change| {
                let path = oxide_operator::model::ConfigPath::field(*section, id, change.field);
                (path.to_string(), (change.class.name(), true))
            })
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    });
    left.chain(steps).collect()
}

fn printed(world: &World, policy: &Policy) -> BTreeMap<String, (String, bool)> {
    let word_of = |value: Json| value.as_str().expect("a word").to_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_oxide-operator"))
        .env("OXIDE_ENCRYPTION_KEY", KEY)
        .env("HOME", world.path())
        .args(["plan", "-o", "json", "--db"])
        .arg(world.database_path())
        .args(["--on-drift", &word_of(serde_json::to_value(policy.on_drift).expect("JSON"))])
        .args(["--on-conflict", &word_of(serde_json::to_value(policy.on_conflict).expect("JSON"))])
        .arg("--source")
        .arg(world.source_path())
        .output()
        .expect("runs");
    let report: Json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let entry = |it: &Json, written| (word_of(it["path"].clone()), (word_of(it["class"].clone()), written));
    let left = list(&report["plan"]["leftAlone"]);
    let steps = list(&report["plan"]["steps"]);
    let changes = steps.iter().flat_map(|step| list(&step["changes"]));
    left.iter().map(|it| entry(it, false)).chain(changes.map(|it| entry(&it, true))).collect()
}

#[test]
fn every_field_in_every_standing_gets_the_verdict_of_the_table() {
    let policies = [
        Policy::default(),
        Policy { on_drift: OnDrift::Revert, on_conflict: OnConflict::Source, ..Policy::default() },
        Policy { on_drift: OnDrift::Promote, on_conflict: OnConflict::Database, ..Policy::default() },
    ];
    let mut verdicts = 0;
    for agreed in SIDES {
        for source in SIDES {
            for live in [Value(0), Value(1), Value(2), Null] {
                let standing = Standing { agreed, source, live };
                let world = World::migrated_from(&Standing::yaml(agreed));
                let world = world.edit_database(&standing.edit()).with_source(&Standing::yaml(source));
                for policy in &policies {
                    let expected = standing.expected(policy);
                    let label = format!(
                        "agreed {agreed:?}, source {source:?}, database {live:?}, {:?}",
                        policy.on_drift
                    );
                    let plan = world.plan(policy);
                    assert_eq!(said(&plan), expected, "{label}");
                    let shown: BTreeMap<String, (String, bool)> = expected
                        .iter()
                        .map(|(path, (class, written))| (path.clone(), ((*class).to_owned(), *written)))
                        .collect();
                    assert_eq!(printed(&world, policy), shown, "the command line: {label}");
                    verdicts += expected.len();
                }
            }
        }
    }
    let tested: usize = OBJECTS.iter().map(|(id, section, ..)| fields(id, *section).len()).sum();
    let all: usize = Section::ALL.into_iter().map(|section| section.fields().len()).sum();
    assert_eq!(tested, all, "every field of every section");
    println!("{verdicts} verdicts over {tested} fields");
    assert!(verdicts > 5_000, "{verdicts}");
}
