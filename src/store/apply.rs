//! A plan into rows, inside one transaction. It decides nothing: what the plan does not say does not happen.

use rusqlite::{Connection, params_from_iter};

use super::key::KeyRing;
use super::read::{CARRIED, Layout, MET};
use super::rows::{Bound, encode};
use super::schema::{self, Present};
use super::{StoreError, crash};
use crate::model::{FieldId, Object, Secret, Section, Value, canonical_json};
use crate::plan::{BaseUpdate, NewRecord, Plan, SchemaStep, Step};

/// Between two services created in one pass, in seconds: the orchestrator lists services by `created_at`.
const CREATED_STEP: f64 = 1e-6;

/// Fewer secrets than this are encrypted on one core.
const PARALLEL_FROM: usize = 256;

/// The tokens of a plan's secrets, sorted by step and field. Encrypted before the write lock is taken.
#[derive(Default)]
pub struct Sealed(Vec<Token>);

/// The token of a step's field.
type Token = ((usize, FieldId), String);

impl Sealed {
    fn token(&self, step: usize, field: FieldId) -> Option<&str> {
        let at = self.0.binary_search_by_key(&(step, field), |(place, _)| *place).ok()?;
        Some(&self.0[at].1)
    }
}

/// Encrypts every secret that a plan will write.
pub(super) fn seal(plan: &Plan, keys: &KeyRing) -> Result<Sealed, StoreError> {
    let secrets: Vec<_> = plan.steps.iter().enumerate().flat_map(|(step, it)| secrets_of(step, it)).collect();
    if secrets.len() < PARALLEL_FROM {
        return seal_all(&secrets, keys).map(Sealed);
    }
    let (one, two) = secrets.split_at(secrets.len() / 2);
    let (one, two) = std::thread::scope(|scope| {
        let two = scope.spawn(|| seal_all(two, keys));
        (seal_all(one, keys), two.join())
    });
    let mut tokens = one?;
    tokens.extend(two.unwrap_or_else(|_| Err(StoreError::NoKey { path: keys.file().to_owned() }))?);
    Ok(Sealed(tokens))
}

type ToSeal<'a> = ((usize, FieldId), &'a Secret);

fn secrets_of(position: usize, step: &Step) -> impl Iterator<Item = ToSeal<'_>> {
    let (object, changes): (Option<&Object>, &[_]) = match step {
        Step::Create { object, .. } => (Some(object), &[]),
        Step::Update { changes, .. } => (None, changes),
        Step::Delete { .. } => (None, &[]),
    };
    let values = object
        .into_iter()
        .flat_map(Object::iter)
        .chain(changes.iter().map(|change| (change.field, &change.new)));
    values.filter_map(move |(field, value)| match value {
        Value::Secret(secret) => Some(((position, field), &**secret)),
        _ => None,
    })
}

fn seal_all(secrets: &[ToSeal<'_>], keys: &KeyRing) -> Result<Vec<Token>, StoreError> {
    secrets.iter().map(|(place, secret)| Ok((*place, seal_one(secret, keys)?))).collect()
}

/// Encrypts a declared secret, or one that was read from a store: that may be under a retired key.
fn seal_one(secret: &Secret, keys: &KeyRing) -> Result<String, StoreError> {
    if let Some(plain) = &secret.plain {
        return keys.seal(plain);
    }
    let opened = secret.token.as_deref().and_then(|token| keys.open_token(token));
    keys.seal(&opened.ok_or_else(|| StoreError::NoKey { path: keys.file().to_owned() })?)
}

/// Creates tables and columns.
pub(super) fn write_schema(
    conn: &Connection,
    present: &Present,
    plan: &Plan,
    now: f64,
) -> rusqlite::Result<()> {
    for step in &plan.schema {
        match step {
            SchemaStep::CreateTables => {
                // A table that is there and has no row is the plan's to fill: it was read so.
                let has_execution = Present::read(conn)?.has_table(Section::Execution.table());
                conn.execute_batch(schema::ORCHESTRATOR)?;
                if Present::read(conn)?.has_column("services", "node_id") {
                    conn.execute_batch(schema::NODE_INDEX)?;
                }
                if !has_execution {
                    conn.execute(schema::EXECUTION_ROW, [now])?;
                }
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
    if !present.has_our_tables() {
        conn.execute_batch(schema::OPERATOR)?;
    }
    crash::point("schema_written");
    Ok(())
}

/// Writes the steps, in order.
pub(super) fn write_steps(
    conn: &Connection,
    present: &Present,
    plan: &Plan,
    sealed: &Sealed,
    now: f64,
) -> rusqlite::Result<()> {
    let mut inserts: Vec<Insert<'_>> = Vec::new();
    let mut created_at = now;
    for (position, step) in plan.steps.iter().enumerate() {
        let (section, id) = step.target();
        let token = |field| sealed.token(position, field);
        match step {
            Step::Create { object, .. } => {
                if inserts.iter().all(|insert| insert.layout.section != section) {
                    inserts.extend(Insert::prepare(conn, section, present)?);
                }
                let Some(insert) = inserts.iter_mut().find(|insert| insert.layout.section == section) else {
                    continue;
                };
                insert.run(id, object, token, created_at, now)?;
                created_at += CREATED_STEP;
            }
            Step::Update { changes, .. } => {
                let columns: String = changes
                    .iter()
                    .map(|change| format!("{} = ?, ", section.spec(change.field).column))
                    .collect();
                let row = own_row(section, present);
                let sql = format!("UPDATE {} SET {columns}updated_at = ? WHERE {row}", section.table());
                let changed = changes.iter().map(|change| bound(section, change.field, &change.new, token));
                let values = changed.chain([Bound::Real(now), id_value(section, id)]);
                conn.prepare_cached(&sql)?.execute(params_from_iter(values))?;
            }
            Step::Delete { .. } => {
                let sql = format!("DELETE FROM {} WHERE {}", section.table(), own_row(section, present));
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

/// The statement that creates one section's objects, prepared once.
struct Insert<'c> {
    layout: Layout,
    named: bool,
    /// What a field that is not declared takes, by the position of its column.
    defaults: Vec<Value>,
    statement: rusqlite::CachedStatement<'c>,
}

impl<'c> Insert<'c> {
    fn prepare(conn: &'c Connection, section: Section, present: &Present) -> rusqlite::Result<Option<Self>> {
        let Some(layout) = Layout::of(section, present) else { return Ok(None) };
        let named = section == Section::Services && present.has_column("services", "name");
        let mut columns = vec![section.id_column()];
        columns.extend(named.then_some("name"));
        columns.extend(layout.fields.iter().map(|field| section.spec(*field).column));
        columns.push("updated_at");
        columns.extend((section != Section::Execution).then_some("created_at"));
        let places = vec!["?"; columns.len()].join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({places})", section.table(), columns.join(", "));
        let defaults = layout.fields.iter().map(|field| section.spec(*field).default.into()).collect();
        Ok(Some(Self { named, defaults, statement: conn.prepare_cached(&sql)?, layout }))
    }

    fn run<'a>(
        &mut self,
        id: &'a str,
        object: &'a Object,
        token: impl Fn(FieldId) -> Option<&'a str>,
        created_at: f64,
        updated_at: f64,
    ) -> rusqlite::Result<()> {
        let section = self.layout.section;
        let mut place = 0;
        let mut bind = |value: Bound<'_>| {
            place += 1;
            self.statement.raw_bind_parameter(place, value)
        };
        bind(id_value(section, id))?;
        if self.named {
            bind(Bound::Text(id.into()))?;
        }
        for (field, default) in self.layout.fields.iter().zip(&self.defaults) {
            bind(match object.get(*field) {
                Some(value) => bound(section, *field, value, &token),
                None => encode(section.spec(*field), default),
            })?;
        }
        bind(Bound::Real(updated_at))?;
        if section != Section::Execution {
            bind(Bound::Real(created_at))?;
        }
        self.statement.raw_execute().map(|_| ())
    }
}

/// Records what is agreed now.
pub(super) fn write_base(conn: &Connection, plan: &Plan, sections: Option<String>) -> rusqlite::Result<()> {
    let mut put = conn.prepare_cached(
        "INSERT INTO operator_base (section, id, agreed, held) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET agreed = excluded.agreed, held = excluded.held",
    )?;
    let mut forget = conn.prepare_cached("DELETE FROM operator_base WHERE section = ?1 AND id = ?2")?;
    for BaseUpdate { section, id, record } in &plan.base {
        match record {
            Some(NewRecord::Whole(object)) => {
                put.execute((section.name(), id, canonical_json(*section, object), None::<String>))?;
            }
            Some(NewRecord::Record(record)) => {
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
    if let Some(sections) = sections {
        set.execute((CARRIED, sections))?;
    }
    if plan.first_meeting {
        set.execute((MET, 1))?;
    }
    super::read::next_generation(conn)?;
    if !(plan.decide.is_empty() && plan.forget.is_empty()) {
        super::decision::write(conn, &plan.decide, &plan.forget)?;
    }
    crash::point("base_written");
    Ok(())
}
