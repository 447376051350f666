//! A plan into rows, inside one transaction. It decides nothing: what the plan does not say does not happen.

use std::collections::HashMap;

use rusqlite::{Connection, params_from_iter};

use super::history::SnapshotWriter;
use super::key::KeyRing;
use super::read::{CARRIED, GENERATION, Layout};
use super::rows::{Bound, TokenTally, encode};
use super::schema::{self, Present};
use super::{StoreError, crash};
use crate::model::{FieldId, Object, Section, Value};
use crate::plan::{BaseUpdate, Plan, SchemaStep, Step};
use crate::verify::Checker;


/// Between two services created in one pass, in seconds: the orchestrator lists services by `created_at`.
const CREATED_STEP: f64 = 1e-6;

/// Fewer secrets than this are encrypted on one core.
const PARALLEL_FROM: usize = 256;

/// The tokens of a plan's secrets, by the position of their step. Encrypted before the write lock is taken.
#[derive(Default)]
pub struct Sealed(HashMap<(usize, FieldId), String>);

/// Encrypts every secret that a plan will write.
pub(super) fn seal(plan: &Plan, keys: &KeyRing) -> Result<Sealed, StoreError> {
    let secrets: Vec<_> = plan.steps.iter().enumerate().flat_map(|(step, it)| secrets_of(step, it)).collect();
    if secrets.len() < PARALLEL_FROM {
        return seal_all(&secrets, keys).map(|tokens| Sealed(tokens.into_iter().collect()));
    }
    let (one, two) = secrets.split_at(secrets.len() / 2);
    let (one, two) = std::thread::scope(|scope| {
        let two = scope.spawn(|| seal_all(two, keys));
        (seal_all(one, keys), two.join())
    });
    let two = two.unwrap_or_else(|_| Err(StoreError::NoKey { path: keys.file().to_owned() }))?;
    Ok(Sealed(one?.into_iter().chain(two).collect()))
}

type ToSeal<'a> = ((usize, FieldId), &'a crate::model::SecretText);

fn secrets_of(position: usize, step: &Step) -> Vec<ToSeal<'_>> {
    let secret = |field: FieldId, value| match value {
        &Value::Secret(ref secret) => secret.plain.as_ref().map(|plain| ((position, field), plain)),
        _ => None,
    };
    match step {
        Step::Create { object, .. } => object.iter().filter_map(|(field, value)| secret(field, value)).collect(),
        Step::Update { changes, .. } => {
            changes.iter().filter_map(|change| secret(change.field, &change.new)).collect()
        }
        Step::Delete { .. } => Vec::new(),
    }
}

fn seal_all(secrets: &[ToSeal<'_>], keys: &KeyRing) -> Result<Vec<((usize, FieldId), String)>, StoreError> {
    secrets.iter().map(|(place, plain)| Ok((*place, keys.seal(plain)?))).collect()
}

/// Creates tables and columns.
pub(super) fn write_schema(conn: &Connection, plan: &Plan, now: f64) -> rusqlite::Result<()> {
    for step in &plan.schema {
        match step {
            SchemaStep::CreateTables => {
                conn.execute_batch(schema::ORCHESTRATOR)?;
                if Present::read(conn)?.has_column("services", "node_id") {
                    conn.execute_batch(schema::NODE_INDEX)?;
                }
                conn.execute(schema::EXECUTION_ROW, [now])?;
            }
            SchemaStep::AddColumn { section, field } => {
                let spec = section.spec(*field);
                conn.execute_batch(&format!(
                    "ALTER TABLE {} ADD COLUMN {} {}",
                    section.table(),
                    spec.column,
                    spec.sql_type
                ))?;
            }
        }
    }
    conn.execute_batch(schema::OPERATOR)?;
    crash::point("schema_written");
    Ok(())
}

/// Writes the steps, in order.
pub(super) fn write_steps(conn: &Connection, plan: &Plan, sealed: &Sealed, now: f64) -> rusqlite::Result<()> {
    let present = Present::read(conn)?;
    let layouts: Vec<Layout> =
        Section::ALL.into_iter().filter_map(|section| Layout::of(section, &present)).collect();
    let layout = |section| layouts.iter().find(|layout| layout.section == section);
    let mut created_at = now;
    for (position, step) in plan.steps.iter().enumerate() {
        let (section, id) = step.target();
        let token = |field| sealed.0.get(&(position, field)).map(String::as_str);
        match step {
            Step::Create { object, .. } => {
                let Some(layout) = layout(section) else { continue };
                let named = section == Section::Services && present.has_column("services", "name");
                insert(conn, layout, id, object, named, token, (created_at, now))?;
                created_at += CREATED_STEP;
            }
            Step::Update { changes, .. } => {
                let columns: String =
                    changes.iter().map(|change| format!("{} = ?, ", section.spec(change.field).column)).collect();
                let sql = format!("UPDATE {} SET {columns}updated_at = ? WHERE {}", section.table(), own_row(section, &present));
                let mut values: Vec<Bound<'_>> = changes
                    .iter()
                    .map(|change| bound(section, change.field, &change.new, token))
                    .collect();
                values.push(Bound::Real(now));
                values.push(id_value(section, id));
                conn.prepare_cached(&sql)?.execute(params_from_iter(values))?;
            }
            Step::Delete { .. } => {
                let sql = format!("DELETE FROM {} WHERE {}", section.table(), own_row(section, &present));
                conn.prepare_cached(&sql)?.execute([id_value(section, id)])?;
            }
        }
        crash::point("step_written");
    }
    crash::point("steps_written");
    Ok(())
}

/// Rows of other machines are out of reach of every statement of ours.
fn own_row(section: Section, present: &Present) -> String {
    let local = section == Section::Services && present.has_column("services", "node_id");
    format!("{} = ?{}", section.id_column(), if local { " AND node_id IS NULL" } else { "" })
}

fn id_value(section: Section, id: &str) -> Bound<'_> {
    if section == Section::Execution { Bound::Integer(1) } else { Bound::Text(id.into()) }
}

fn bound<'a>(
    section: Section,
    field: FieldId,
    value: &'a Value,
    token: impl Fn(FieldId) -> Option<&'a str>,
) -> Bound<'a> {
    match value {
        Value::Secret(_) => token(field).map_or(Bound::Null, |token| Bound::Text(token.into())),
        value => encode(section.spec(field), value),
    }
}

fn insert<'a>(
    conn: &Connection,
    layout: &Layout,
    id: &'a str,
    object: &'a Object,
    named: bool,
    token: impl Fn(FieldId) -> Option<&'a str>,
    (created_at, updated_at): (f64, f64),
) -> rusqlite::Result<()> {
    let section = layout.section;
    let defaults: Vec<Value> =
        layout.fields.iter().map(|field| Value::from(section.spec(*field).default)).collect();
    let mut columns = vec![section.id_column()];
    let mut values = vec![id_value(section, id)];
    if named {
        columns.push("name");
        values.push(Bound::Text(id.into()));
    }
    for (field, default) in layout.fields.iter().zip(&defaults) {
        columns.push(section.spec(*field).column);
        values.push(match object.get(*field) {
            Some(value) => bound(section, *field, value, &token),
            None => encode(section.spec(*field), default),
        });
    }
    if section != Section::Execution {
        columns.push("created_at");
        values.push(Bound::Real(created_at));
    }
    columns.push("updated_at");
    values.push(Bound::Real(updated_at));
    let places = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT INTO {} ({}) VALUES ({places})", section.table(), columns.join(", "));
    conn.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    Ok(())
}

/// Records what is agreed now.
pub(super) fn write_base(conn: &Connection, plan: &Plan) -> rusqlite::Result<()> {
    let mut put = conn.prepare_cached(
        "INSERT INTO operator_base (section, id, agreed, held) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET agreed = excluded.agreed, held = excluded.held",
    )?;
    let mut forget = conn.prepare_cached("DELETE FROM operator_base WHERE section = ?1 AND id = ?2")?;
    for BaseUpdate { section, id, record } in &plan.base {
        match record {
            Some(record) => {
                put.execute((section.name(), id, &record.agreed, record.held.to_text(*section)))?;
            }
            None => {
                forget.execute((section.name(), id))?;
            }
        }
    }
    let mut set = conn.prepare_cached(
        "INSERT INTO operator_meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    if let Some(carried) = &plan.carried {
        set.execute((CARRIED, serde_json::to_string(carried).unwrap_or_default()))?;
    }
    set.execute((GENERATION, super::read::generation(conn)? + 1))?;
    crash::point("base_written");
    Ok(())
}

/// Reads every touched row back, decrypting every token written, and gathers the state for the revision.
pub(super) fn read_back(
    conn: &Connection,
    plan: &Plan,
    keys: &KeyRing,
) -> rusqlite::Result<(Checker, SnapshotWriter)> {
    let present = Present::read(conn)?;
    let mut steps: HashMap<Section, HashMap<&str, &Step>> = HashMap::new();
    for step in &plan.steps {
        let (section, id) = step.target();
        steps.entry(section).or_default().insert(id, step);
    }
    let mut checker = Checker::default();
    let mut snapshot = SnapshotWriter::default();
    let mut tally = TokenTally::default();
    for layout in Section::ALL.into_iter().filter_map(|section| Layout::of(section, &present)) {
        let mut query = conn.prepare_cached(&layout.select(""))?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            if !Layout::is_local(row)? {
                continue;
            }
            let id = layout.id(row)?;
            snapshot.add(&layout, &id, row)?;
            if let Some(step) = steps.get_mut(&layout.section).and_then(|steps| steps.remove(&*id)) {
                checker.check(step, Some(&layout.object(row, keys, &mut tally)?));
            }
        }
    }
    for step in steps.into_values().flat_map(HashMap::into_values) {
        checker.check(step, None);
    }
    Ok((checker, snapshot))
}

