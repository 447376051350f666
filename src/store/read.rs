//! The store as it is: one consistent read of every managed row and of what we recorded about them.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row};
use std::collections::HashMap;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

use super::key::KeyRing;
use super::rows::{TokenTally, decode};
use super::schema::Present;
use crate::model::{
    Base, BaseObject, Configuration, FieldId, Held, Object, Objects, Section, StoreFingerprint, StoreSnapshot,
};

/// The key in `operator_meta` that changes with every record of ours.
const GENERATION: &str = "generation";
/// The key in `operator_meta` that is there once a pass compared this store with a source.
pub(super) const MET: &str = "met";
/// The key in `operator_meta` that tells this database from others. Backups carry it.
const IDENTITY: &str = "database";
/// The key in `operator_meta` that says from which source what is agreed on comes.
const PLACE: &str = "source";
/// The key in `operator_meta` that holds the carried sections.
pub(super) const CARRIED: &str = "carried";

/// How the columns of one section's rows are laid out in a query.
pub(super) struct Layout {
    pub(super) section: Section,
    /// The managed fields that this database has columns for.
    pub(super) fields: Vec<FieldId>,
    /// Whether the row's place in the list (`created_at`) and owner (`node_id`) are known.
    has_node: bool,
}

impl Layout {
    pub(super) fn of(section: Section, present: &Present) -> Option<Self> {
        present.has_table(section.table()).then(|| Self {
            section,
            fields: section
                .field_ids()
                .filter(|field| present.has_column(section.table(), section.spec(*field).column))
                .collect(),
            has_node: section == Section::Services && present.has_column("services", "node_id"),
        })
    }

    /// Selects `id, created_at, node_id, fields…`.
    pub(super) fn select(&self, filter: &str) -> String {
        let section = self.section;
        let created = if section == Section::Execution { "0" } else { "created_at" };
        let node = if self.has_node { "node_id" } else { "NULL" };
        let columns: String =
            self.fields.iter().map(|field| format!(", {}", section.spec(*field).column)).collect();
        format!(
            "SELECT {}, {created}, {node}{columns} FROM {} {filter}",
            section.id_column(),
            section.table()
        )
    }

    /// Whether a selected row is one of the orchestrator's own.
    pub(super) fn is_local(row: &Row<'_>) -> rusqlite::Result<bool> {
        Ok(row.get_ref(2)? == ValueRef::Null)
    }

    /// The object's id; execution has none.
    pub(super) fn id<'r>(&self, row: &'r Row<'_>) -> rusqlite::Result<&'r str> {
        Ok(match (self.section, row.get_ref(0)?) {
            (Section::Execution, _) => Configuration::EXECUTION_ID,
            (_, ValueRef::Text(text)) => std::str::from_utf8(text).unwrap_or("\u{fffd}"),
            _ => "",
        })
    }

    pub(super) fn object(
        &self,
        row: &Row<'_>,
        keys: &KeyRing,
        tally: &mut TokenTally,
    ) -> rusqlite::Result<Object> {
        let mut object = Object::default();
        for (position, field) in self.fields.iter().enumerate() {
            let value = decode(self.section.spec(*field), row.get_ref(Self::FIRST + position)?, keys, tally);
            object.set(*field, value);
        }
        object.shrink();
        Ok(object)
    }

    /// The position of the first managed field in a selected row.
    pub(super) const FIRST: usize = 3;
}

/// Reads everything. The caller holds a transaction, so that all of it is from one moment.
pub(super) fn snapshot(
    conn: &Connection,
    present: &Present,
    keys: &KeyRing,
) -> rusqlite::Result<StoreSnapshot> {
    let mut snapshot = StoreSnapshot { missing: present.missing(), ..StoreSnapshot::default() };
    let mut hasher = Xxh3::new();
    let mut tally = TokenTally::default();
    for section in Section::ALL {
        let mut objects = Objects::new();
        if let Some(layout) = Layout::of(section, present) {
            read_section(conn, &layout, keys, &mut tally, &mut hasher, &mut objects, &mut snapshot)?;
        } else if section == Section::Execution {
            objects = default_execution();
        }
        *snapshot.live.section_mut(section) = Some(objects);
    }
    if present.has_table("operator_base") {
        read_records(conn, keys, &mut snapshot, &mut hasher)?;
    }
    snapshot.good_source = super::good_source::known(conn, present)?;
    snapshot.decisions = super::decision::all(conn, present)?;
    snapshot.tokens = tally.tokens;
    snapshot.undecryptable = tally.undecryptable;
    snapshot.damaged_tokens = tally.damaged;
    snapshot.under_retired_key = tally.under_retired_key;
    snapshot.fingerprint = StoreFingerprint(hasher.digest128());
    Ok(snapshot)
}

/// What execution holds once its table is created: the orchestrator inserts the row with its defaults then, and
/// so do we.
pub(super) fn default_execution() -> Objects {
    let mut row = Object::default();
    for field in Section::Execution.field_ids() {
        row.set(field, Section::Execution.spec(field).default.into());
    }
    Objects::from_iter([(Configuration::EXECUTION_ID.into(), Arc::new(row))])
}

/// Reads just enough to know whether anything of interest changed.
///
/// # Guarantees
/// Equal to the fingerprint of [`snapshot`] if and only if that would read the same rows and records.
pub(super) fn fingerprint(conn: &Connection, present: &Present) -> rusqlite::Result<StoreFingerprint> {
    let mut hasher = Xxh3::new();
    let mut buffer = Vec::with_capacity(1024);
    for layout in Section::ALL.into_iter().filter_map(|section| Layout::of(section, present)) {
        let mut query = conn.prepare_cached(&layout.select(""))?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            hash_row(row, layout.fields.len(), &mut buffer, &mut hasher)?;
        }
    }
    finished(conn, present, hasher)
}

/// The fingerprint, once every row was hashed.
pub(super) fn finished(
    conn: &Connection,
    present: &Present,
    mut hasher: Xxh3,
) -> rusqlite::Result<StoreFingerprint> {
    if present.has_table("operator_base") {
        hasher.update(&generation(conn)?.to_le_bytes());
    }
    Ok(StoreFingerprint(hasher.digest128()))
}

#[allow(clippy::too_many_arguments, reason = "one loop, and each of these is filled in it")]
fn read_section(
    conn: &Connection,
    layout: &Layout,
    keys: &KeyRing,
    tally: &mut TokenTally,
    hasher: &mut Xxh3,
    objects: &mut Objects,
    snapshot: &mut StoreSnapshot,
) -> rusqlite::Result<()> {
    let mut query = conn.prepare_cached(&layout.select(""))?;
    let mut rows = query.query([])?;
    let mut listed: Vec<(f64, Box<str>, Object)> = Vec::new();
    let mut buffer = Vec::with_capacity(1024);
    while let Some(row) = rows.next()? {
        hash_row(row, layout.fields.len(), &mut buffer, hasher)?;
        let id = layout.id(row)?;
        if !Layout::is_local(row)? {
            snapshot.remote_services.insert(id.into());
            continue;
        }
        let created = row.get_ref(1)?.as_f64().unwrap_or_default();
        listed.push((created, id.into(), layout.object(row, keys, tally)?));
    }
    match layout.section {
        // Stable, so rows of one moment stay in the order of their insertion.
        Section::Services => listed.sort_by(|one, two| one.0.total_cmp(&two.0)),
        Section::RoutingRules => listed.sort_by(|one, two| one.1.cmp(&two.1)),
        Section::Execution => {}
    }
    objects.reserve(listed.len());
    objects.extend(listed.into_iter().map(|(_, id, object)| (id, Arc::new(object))));
    Ok(())
}

/// Hashes the row as it lies: values with their types, nothing decoded. Rows of other machines count only by
/// their id.
pub(super) fn hash_row(
    row: &Row<'_>,
    fields: usize,
    buffer: &mut Vec<u8>,
    hasher: &mut Xxh3,
) -> rusqlite::Result<()> {
    buffer.clear();
    let columns = if Layout::is_local(row)? { Layout::FIRST + fields } else { 1 };
    buffer.push(u8::try_from(columns).unwrap_or(u8::MAX));
    for position in 0..columns {
        let (tag, bytes): (u8, &[u8]) = match row.get_ref(position)? {
            ValueRef::Null => (0, &[]),
            ValueRef::Integer(number) => {
                buffer.push(1);
                buffer.extend_from_slice(&number.to_le_bytes());
                continue;
            }
            ValueRef::Real(number) => {
                buffer.push(2);
                buffer.extend_from_slice(&number.to_le_bytes());
                continue;
            }
            ValueRef::Text(text) => (3, text),
            ValueRef::Blob(blob) => (4, blob),
        };
        buffer.push(tag);
        buffer.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        buffer.extend_from_slice(bytes);
    }
    hasher.update(buffer);
    Ok(())
}

fn read_records(
    conn: &Connection,
    keys: &KeyRing,
    snapshot: &mut StoreSnapshot,
    hasher: &mut Xxh3,
) -> rusqlite::Result<()> {
    let generation = generation(conn)?;
    hasher.update(&generation.to_le_bytes());
    snapshot.base = base(conn)?;
    snapshot.base.met = meta::<i64>(conn, MET)?.is_some();
    snapshot.place = meta(conn, PLACE)?;
    if let Some(carried) = meta::<String>(conn, CARRIED)? {
        snapshot.carried = super::carried::from_text(&carried, keys);
    }
    Ok(())
}

fn base(conn: &Connection) -> rusqlite::Result<Base> {
    let mut objects: HashMap<Section, HashMap<Box<str>, BaseObject>> = HashMap::new();
    let mut query = conn.prepare_cached("SELECT section, id, agreed, held FROM operator_base")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        // A record that is no text counts for none, as does one of an unknown section.
        let text = |column| row.get_ref(column).ok().and_then(|value| value.as_str().ok());
        let Some(section) = text(0).and_then(Section::named) else { continue };
        let (Some(id), Some(agreed)) = (text(1), text(2)) else { continue };
        let record = BaseObject { agreed: agreed.into(), held: Held::from_text(section, text(3)) };
        objects.entry(section).or_default().insert(id.into(), record);
    }
    Ok(Base { met: false, objects })
}

/// Counts one more record of ours, so that whoever watches sees it.
pub(super) fn next_generation(conn: &Connection) -> rusqlite::Result<()> {
    let next = generation(conn)? + 1;
    conn.prepare_cached(
        "INSERT INTO operator_meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute((GENERATION, next))
    .map(|_| ())
}

/// Returns how often we have recorded anything; 0 before the first pass.
pub(super) fn generation(conn: &Connection) -> rusqlite::Result<i64> {
    Ok(meta(conn, GENERATION)?.unwrap_or(0))
}

/// Notes from which source what is agreed on comes.
pub(super) fn note_place(conn: &Connection, place: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO operator_meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute((PLACE, place))
    .map(|_| ())
}

/// Returns the database's identity; none in one that we have not written to since databases have one.
pub(super) fn identity(conn: &Connection) -> rusqlite::Result<Option<String>> {
    meta(conn, IDENTITY)
}

/// Gives the database an identity, unless it has one: the one it inherits, else a new one.
pub(super) fn identify(conn: &Connection, inherited: Option<&str>) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO operator_meta (key, value) VALUES (?1, coalesce(?2, lower(hex(randomblob(16)))))
         ON CONFLICT DO UPDATE SET value = excluded.value WHERE typeof(value) <> 'text'",
    )?
    .execute((IDENTITY, inherited))
    .map(|_| ())
}

pub(super) fn meta<T: rusqlite::types::FromSql>(conn: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    let mut query = match conn.prepare_cached("SELECT value FROM operator_meta WHERE key = ?1") {
        Err(error) if Present::read(conn)?.has_table("operator_meta") => return Err(error),
        // Somebody dropped it: nothing of ours is known, as before our first write.
        Err(_) => return Ok(None),
        prepared => prepared?,
    };
    // What somebody wrote over counts for nothing, and is written anew.
    Ok(query.query_row([key], |row| Ok(T::column_result(row.get_ref(0)?).ok())).optional()?.flatten())
}
