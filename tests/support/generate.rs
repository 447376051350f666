//! Random sources and random edits of the other side, built from the table of managed fields.

use oxide_operator::model::{FieldSpec, Kind, Policy, Section};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use rusqlite::types::Value as Sql;
use serde_json::{Value as Json, json};

use crate::support::World;

/// Ids that are hard on YAML, JSON, paths or SQL.
pub(crate) const IDS: [&str; 6] = ["alpha", "be.ta", "gämma ß", "yes", "12:30", "it's \"quoted\""];
const TASKS: [&str; 4] = ["code_review", "x y", "ünï", "null"];
const NASTY: [&str; 14] = [
    "no",
    "~",
    "1:30",
    "2024-01-01",
    "=",
    "<<",
    "0x1F",
    "1e3",
    " padded ",
    "a: b #c",
    "two\nlines\n",
    "'",
    "\\n",
    "😀",
];

/// A declared configuration: fields by name, in the order of the table.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) sections: Vec<(Section, Vec<(String, Fields)>)>,
}

pub(crate) type Fields = Vec<(&'static str, Json)>;

impl Declared {
    /// The YAML. Values are written as JSON, which is YAML.
    pub(crate) fn yaml(&self) -> String {
        let mut yaml = String::from("logging:\n  level: INFO # carried\n");
        for (section, objects) in &self.sections {
            yaml += &format!("{}:{}\n", section.name(), if objects.is_empty() { " {}" } else { "" });
            for (id, fields) in objects {
                let indent = if *section == Section::Execution { "  " } else { "    " };
                if *section != Section::Execution {
                    yaml += &format!("  {}:\n", json!(id));
                }
                for (name, value) in fields {
                    yaml += &format!("{indent}{name}: {}\n", escaped(value));
                }
            }
        }
        yaml
    }

    /// Every declared field, with its section and id.
    pub(crate) fn fields(&self) -> Vec<(Section, String, &'static str)> {
        let objects =
            self.sections.iter().flat_map(|(section, objects)| objects.iter().map(move |it| (*section, it)));
        objects
            .flat_map(|(section, (id, fields))| {
                fields.iter().map(move |(name, _)| (section, id.clone(), *name))
            })
            .collect()
    }
}

/// Line breaks of YAML 1.1 are refused in the raw; as escapes they are good.
fn escaped(value: &Json) -> String {
    value.to_string().replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

pub(crate) fn declared() -> impl Strategy<Value = Declared> {
    let services = vec(service(), 1..5);
    let rules =
        weighted(0.8, vec((any::<u8>(), vec(any::<u8>(), 0..3), optional(Section::RoutingRules, 2)), 0..4));
    let execution = weighted(0.7, optional(Section::Execution, 0));
    (services, rules, execution).prop_map(|(mut services, rules, execution)| {
        services[0].retain(|(name, _)| *name != "enabled");
        let ids: Vec<String> = IDS[..services.len()].iter().map(|id| (*id).to_owned()).collect();
        let rules = rules.map(|rules| {
            let named = |at: &u8| ids[usize::from(*at) % ids.len()].clone();
            let rules = rules.into_iter().zip(TASKS).map(|((primary, fallback, rest), task)| {
                let fallback: Vec<String> = fallback.iter().map(named).collect();
                let fields = [("primary", json!(named(&primary))), ("fallback", json!(fallback))];
                (task.to_owned(), fields.into_iter().chain(rest).collect())
            });
            (Section::RoutingRules, rules.collect())
        });
        let execution = execution.filter(|fields| !fields.is_empty());
        let execution = execution.map(|fields| (Section::Execution, vec![(String::new(), fields)]));
        let services = (Section::Services, ids.into_iter().zip(services).collect());
        Declared { sections: [Some(services), rules, execution].into_iter().flatten().collect() }
    })
}

fn service() -> impl Strategy<Value = Fields> {
    let needed = prop_oneof![
        text().prop_filter("not empty", |text| !text.is_empty()).prop_map(|text| ("cli", "executable", text)),
        text().prop_filter("not empty", |text| !text.is_empty()).prop_map(|text| ("http", "base_url", text)),
    ];
    (needed, optional(Section::Services, 1)).prop_map(|((kind, needs, text), mut fields)| {
        fields.retain(|(name, _)| *name != needs);
        fields.insert(0, ("type", json!(kind)));
        fields.push((needs, json!(text)));
        fields
    })
}

/// Some of the section's fields from the `first` one on.
fn optional(section: Section, first: usize) -> impl Strategy<Value = Fields> {
    let fields: Vec<_> = section.fields()[first..]
        .iter()
        .map(|spec| weighted(0.4, value(spec)).prop_map(|value| value.map(|value| (spec.name, value))))
        .collect();
    fields.prop_map(|fields| fields.into_iter().flatten().collect())
}

/// A value that a source may give to a field, null included where it is allowed.
pub(crate) fn value(spec: &'static FieldSpec) -> BoxedStrategy<Json> {
    let some = match spec.kind {
        Kind::Text => text().prop_map(Json::from).boxed(),
        Kind::Choice(words) => select(words).prop_map(Json::from).boxed(),
        Kind::Flag => any::<bool>().prop_map(Json::from).boxed(),
        Kind::Integer => prop_oneof![0..10_i64, Just(i64::MAX)].prop_map(Json::from).boxed(),
        Kind::Set | Kind::List => vec(text(), 0..4).prop_map(Json::from).boxed(),
        Kind::Secret => "sk-\\PC{0,12}".prop_map(Json::from).boxed(),
    };
    if spec.required { some } else { prop_oneof![6 => some, 1 => Just(Json::Null)].boxed() }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![select(&NASTY[..]).prop_map(str::to_owned), "\\PC{0,12}", "[a-z:/.-]{1,8}"]
}

/// What the other side does to the database.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Set { section: Section, row: u8, field: &'static FieldSpec, value: Json },
    Delete { section: Section, row: u8 },
    AddService { id: &'static str },
    AddRule { task: &'static str, primary: &'static str },
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let sections = select(&Section::ALL[..]);
    let set = sections.clone().prop_flat_map(|section| {
        let fields: Vec<&'static FieldSpec> = section.fields().iter().collect();
        (any::<u8>(), select(fields)).prop_flat_map(move |(row, field)| {
            edited(section, field).prop_map(move |value| Edit::Set { section, row, field, value })
        })
    });
    let delete = (sections, any::<u8>()).prop_map(|(section, row)| Edit::Delete { section, row });
    let add_service = select(&[IDS[3], IDS[4], "extra"][..]).prop_map(|id| Edit::AddService { id });
    let add_rule = (select(&["extra", TASKS[2]][..]), select(&IDS[..]))
        .prop_map(|(task, primary)| Edit::AddRule { task, primary });
    vec(prop_oneof![6 => set, 1 => delete, 1 => add_service, 1 => add_rule], 0..8)
}

/// A value as the other side may write it: rules mostly name services that exist.
pub(crate) fn edited(section: Section, field: &'static FieldSpec) -> BoxedStrategy<Json> {
    match (section, field.name) {
        (Section::RoutingRules, "primary") => select(&IDS[..2]).prop_map(Json::from).boxed(),
        (Section::RoutingRules, "fallback") => vec(select(&IDS[..2]), 0..3).prop_map(Json::from).boxed(),
        _ => value(field),
    }
}

impl Edit {
    /// Does it with the statements of the orchestrator, to rows of this machine.
    pub(crate) fn apply(&self, world: &World) {
        let conn = world.as_the_orchestrator();
        let execute = |sql: &str, values: &[Sql]| {
            conn.execute(sql, rusqlite::params_from_iter(values))
                .unwrap_or_else(|error| panic!("{error} in {sql}"))
        };
        let text = |text: &str| Sql::Text(text.to_owned());
        match self {
            Self::Set { section, row, field, value } => {
                let Some(id) = nth_id(&conn, *section, *row) else { return };
                let (table, column) = (section.table(), field.column);
                let sql = format!(
                    "UPDATE {table} SET {column} = ?, updated_at = updated_at + 1 WHERE {} = ?",
                    section.id_column()
                );
                execute(&sql, &[sql_value(field, value), id]);
            }
            Self::Delete { section, row } => {
                let Some(id) = nth_id(&conn, *section, *row) else { return };
                execute(&format!("DELETE FROM {} WHERE {} = ?", section.table(), section.id_column()), &[id]);
            }
            Self::AddService { id } => {
                let sql = "INSERT OR IGNORE INTO services (id, type, executable, created_at, updated_at) VALUES (?, 'cli', 'x', 9e9, 9e9)";
                execute(sql, &[text(id)]);
            }
            Self::AddRule { task, primary } => {
                let sql = "INSERT OR IGNORE INTO routing_rules (task_type, primary_service, created_at, updated_at) VALUES (?, ?, 9e9, 9e9)";
                execute(sql, &[text(task), text(primary)]);
            }
        }
    }
}

fn nth_id(conn: &rusqlite::Connection, section: Section, row: u8) -> Option<Sql> {
    let local = if section == Section::Services { "WHERE node_id IS NULL" } else { "" };
    let sql = format!("SELECT {} FROM {} {local} ORDER BY 1", section.id_column(), section.table());
    let mut query = conn.prepare(&sql).expect("a query");
    let ids: Vec<Sql> = query.query_map([], |row| row.get(0)).expect("rows").flatten().collect();
    (!ids.is_empty()).then(|| ids[usize::from(row) % ids.len()].clone())
}

/// A value as the orchestrator stores it.
pub(crate) fn sql_value(field: &FieldSpec, value: &Json) -> Sql {
    match (value, field.kind) {
        (Json::Null, _) => Sql::Null,
        (Json::Bool(flag), _) => Sql::Integer(i64::from(*flag)),
        (Json::Number(number), _) => Sql::Integer(number.as_i64().expect("a whole number")),
        (Json::String(text), Kind::Secret) => Sql::Text(crate::support::token(text)),
        (Json::String(text), _) => Sql::Text(text.clone()),
        (list, _) => Sql::Text(list.to_string()),
    }
}

pub(crate) fn policies() -> impl Strategy<Value = Policy> {
    let drift = select(&["keep", "revert"][..]);
    let conflict = select(&["hold", "source", "database"][..]);
    let prune = select(&["never", "owned"][..]);
    (drift, conflict, prune, weighted(0.2, 1..4_usize)).prop_map(|(drift, conflict, prune, confirm)| {
        let json = json!({"onDrift": drift, "onConflict": conflict, "prune": prune, "confirmPrune": confirm});
        crate::support::policy(&json.to_string())
    })
}
