//! Revisions: the state after a write, who made it, why, and from what.
//!
//! A snapshot goes into the orchestrator's `config_history`, with API keys as tokens. A large store's snapshot
//! is cut into parts of [`PART_OBJECTS`] objects, kept by digest: a revision that changed one service adds one
//! part, and the row in `config_history` lists the parts.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_128;

use super::good_source::KeptSource;
use super::read::Layout;
use super::rows::{Bound, encode};
use super::schema::Present;
use crate::model::{
    Carried, Cause, Configuration, FieldId, Keepable, Kind, Object, Retention, Section, SourceDigest, Value,
    is_agent, push_json_string,
};
use crate::plan::{Plan, Step};

/// How many objects one part holds.
const PART_OBJECTS: usize = 512;

/// Who writes, why, and from what; recorded with the revision.
#[derive(Clone, Debug)]
pub struct Record {
    /// Who: a user name, or the program's.
    pub actor: String,
    /// Why, in a few words.
    pub reason: String,
    /// The source as the user named it.
    pub source: String,
    /// Where the source is, under the name that it has from everywhere; none for what is no pass over one.
    pub place: Option<String>,
    /// The source's digest.
    pub source_digest: SourceDigest,
    /// The carried sections of the source.
    pub carried: Carried,
    /// The source, to be kept as good.
    pub kept: Option<KeptSource>,
}

/// Gathers the state that a revision records, object by object. Of a large store only one part is in memory.
pub(super) struct SnapshotWriter<'c> {
    conn: &'c Connection,
    sections: Vec<(Section, Parts)>,
    open: String,
    objects: usize,
}

/// The closed parts of one section.
enum Parts {
    /// At most one, not yet written anywhere.
    Whole(String),
    /// Written to `operator_snapshot_part`; their digests.
    Kept(Vec<String>),
}

impl<'c> SnapshotWriter<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Self { conn, sections: Vec::new(), open: String::new(), objects: 0 }
    }

    /// Begins a section; the rows that are added next are its own.
    pub(super) fn begin(&mut self, section: Section) -> rusqlite::Result<()> {
        self.close_part()?;
        self.sections.push((section, Parts::Whole(String::new())));
        Ok(())
    }

    /// Adds a row; its columns are laid out as `layout` says.
    pub(super) fn add(&mut self, layout: &Layout, id: &str, row: &Row<'_>) -> rusqlite::Result<()> {
        self.name(layout.section, id)?;
        // The columns were selected by this layout: each is there.
        let cells = layout.fields.iter().enumerate().map(|(position, field)| {
            (*field, row.get_ref(Layout::FIRST + position).unwrap_or(ValueRef::Null))
        });
        push_object(&mut self.open, layout.section, cells);
        Ok(())
    }

    /// Adds an object as its row would be.
    fn add_object(&mut self, section: Section, id: &str, object: &Object) -> rusqlite::Result<()> {
        self.name(section, id)?;
        let cells: Vec<(FieldId, Bound<'_>)> = object
            .iter()
            .map(|(field, value)| match value {
                Value::Secret(secret) => {
                    (field, secret.token.as_deref().map_or(Bound::Null, |token| Bound::Text(token.into())))
                }
                value => (field, encode(section.spec(field), value)),
            })
            .collect();
        push_object(&mut self.open, section, cells.iter().map(|(field, cell)| (*field, cell.as_value())));
        Ok(())
    }

    /// Begins an object, in a part of its own where the open one is full.
    fn name(&mut self, section: Section, id: &str) -> rusqlite::Result<()> {
        if self.objects == PART_OBJECTS {
            self.close_part()?;
        }
        if self.objects > 0 {
            self.open.push(',');
        }
        if section != Section::Execution {
            push_json_string(&mut self.open, id);
            self.open.push(':');
        }
        self.objects += 1;
        Ok(())
    }

    fn close_part(&mut self) -> rusqlite::Result<()> {
        if std::mem::take(&mut self.objects) == 0 {
            return Ok(());
        }
        let part = std::mem::take(&mut self.open);
        let Some((_, parts)) = self.sections.last_mut() else { return Ok(()) };
        match parts {
            Parts::Whole(first) if first.is_empty() => *first = part,
            Parts::Whole(first) => {
                *parts = Parts::Kept(vec![keep(self.conn, first)?, keep(self.conn, &part)?])
            }
            Parts::Kept(digests) => digests.push(keep(self.conn, &part)?),
        }
        Ok(())
    }

    /// Returns the text for `config_history`.
    pub(super) fn finish(mut self) -> rusqlite::Result<String> {
        self.close_part()?;
        if self.sections.iter().all(|(_, parts)| matches!(parts, Parts::Whole(_))) {
            return Ok(self.whole());
        }
        let mut listed = serde_json::Map::new();
        for (section, parts) in &self.sections {
            let digests = match parts {
                Parts::Whole(part) if part.is_empty() => Vec::new(),
                Parts::Whole(part) => vec![keep(self.conn, part)?],
                Parts::Kept(digests) => digests.clone(),
            };
            listed.insert(section.name().to_owned(), json!(digests));
        }
        Ok(json!({"operator_snapshot_parts": listed}).to_string())
    }

    fn whole(&self) -> String {
        let mut text = String::from("{");
        for (section, parts) in &self.sections {
            let Parts::Whole(objects) = parts else { continue };
            if text.len() > 1 {
                text.push(',');
            }
            push_json_string(&mut text, section.name());
            text.push(':');
            match section {
                Section::Execution if !objects.is_empty() => text.push_str(objects),
                _ => {
                    text.push('{');
                    text.push_str(objects);
                    text.push('}');
                }
            }
        }
        text.push('}');
        text
    }
}

/// Keeps a part under its digest; the same part of an earlier revision serves again.
fn keep(conn: &Connection, part: &str) -> rusqlite::Result<String> {
    let digest = format!("{:032x}", xxh3_128(part.as_bytes()));
    conn.prepare_cached("INSERT OR IGNORE INTO operator_snapshot_part (digest, objects) VALUES (?1, ?2)")?
        .execute(params![digest, part])?;
    Ok(digest)
}

fn push_object<'v>(
    text: &mut String,
    section: Section,
    fields: impl Iterator<Item = (FieldId, ValueRef<'v>)>,
) {
    text.push('{');
    let mut first = true;
    for (field, raw) in fields.filter(|(_, raw)| *raw != ValueRef::Null) {
        let spec = section.spec(field);
        if !first {
            text.push(',');
        }
        first = false;
        // A token under the name of the key would read as a plain key.
        push_json_string(text, if spec.kind == Kind::Secret { spec.column } else { spec.name });
        text.push(':');
        match raw {
            ValueRef::Integer(number) if spec.kind == Kind::Flag => {
                text.push_str(if number == 0 { "false" } else { "true" });
            }
            ValueRef::Integer(number) => text.push_str(&number.to_string()),
            ValueRef::Text(raw) if spec.kind.is_list() && is_json(raw) => {
                text.push_str(&String::from_utf8_lossy(raw))
            }
            ValueRef::Text(raw) => push_json_string(text, &String::from_utf8_lossy(raw)),
            ValueRef::Real(number) => text.push_str(&json!(number).to_string()),
            _ => text.push_str("null"),
        }
    }
    text.push('}');
}

/// Returns the text for `config_history` of a state that was read earlier; none where a value of it could not be read.
pub(super) fn snapshot_of(
    conn: &Connection,
    present: &Present,
    state: &Configuration,
) -> rusqlite::Result<Option<String>> {
    let mut snapshot = SnapshotWriter::new(conn);
    for section in Section::ALL.into_iter().filter(|section| present.has_table(section.table())) {
        snapshot.begin(section)?;
        for (id, object) in state.section(section).into_iter().flatten() {
            if object.iter().any(|(_, value)| matches!(value, Value::Unreadable(_))) {
                return Ok(None);
            }
            snapshot.add_object(section, id, object)?;
        }
    }
    snapshot.finish().map(Some)
}

/// Whether a list's text is JSON as it stands.
fn is_json(raw: &[u8]) -> bool {
    raw == b"[]" || serde_json::from_slice::<serde::de::IgnoredAny>(raw).is_ok()
}

/// What an entry of the history says; the texts are as the database keeps them.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) snapshot: String,
    /// In seconds since the epoch.
    pub(super) recorded_at: f64,
    pub(super) actor: String,
    pub(super) reason: String,
    pub(super) source: String,
    pub(super) source_digest: String,
    pub(super) backup: Option<String>,
    /// The carried sections, as JSON.
    pub(super) carried: String,
    pub(super) summary: String,
    /// The [`journal`] of what was done.
    pub(super) changes: String,
}

/// Writes a revision; returns its number.
pub(super) fn write(
    conn: &Connection,
    snapshot: SnapshotWriter<'_>,
    plan: &Plan,
    record: &Record,
    carried: String,
    backup: Option<String>,
    now: f64,
) -> rusqlite::Result<i64> {
    let entry = Entry {
        snapshot: snapshot.finish()?,
        recorded_at: now,
        actor: record.actor.clone(),
        reason: record.reason.clone(),
        source: record.source.clone(),
        source_digest: record.source_digest.0.clone(),
        backup,
        carried,
        summary: plan.summary(),
        changes: journal(plan),
    };
    let revision = insert(conn, &entry)?;
    forget_old(conn, now)?;
    Ok(revision)
}

/// Writes an entry; returns its number.
pub(super) fn insert(conn: &Connection, entry: &Entry) -> rusqlite::Result<i64> {
    let description = format!("oxide-operator: {}", entry.reason);
    conn.prepare_cached(
        "INSERT INTO config_history (config_snapshot, change_description, created_at) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![entry.snapshot, description, entry.recorded_at])?;
    let history_id = conn.last_insert_rowid();
    conn.prepare_cached(
        "INSERT INTO operator_revision
         (history_id, recorded_at, actor, reason, source, source_digest, backup, carried, summary, changes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        history_id,
        entry.recorded_at,
        entry.actor,
        entry.reason,
        entry.source,
        entry.source_digest,
        entry.backup,
        entry.carried,
        entry.summary,
        entry.changes,
    ])?;
    Ok(conn.last_insert_rowid())
}

/// What was done, masked: created and deleted objects by path, changed fields with old and new.
pub(super) fn journal(plan: &Plan) -> String {
    let paths = |wanted: &str| -> Vec<String> {
        let steps = plan.steps.iter().filter(|step| step.op() == wanted);
        steps
            .map(|step| crate::model::ConfigPath::object(step.target().0, step.target().1).to_string())
            .collect()
    };
    let updated: Vec<serde_json::Value> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Update { section, id, changes } => Some((section, id, changes)),
            _ => None,
        })
        .flat_map(|(section, id, changes)| {
            changes.iter().map(move |change| {
                json!({
                    "path": crate::model::ConfigPath::field(*section, id, change.field),
                    "old": change.old.shown(),
                    "new": change.new.shown(),
                    "class": change.class,
                })
            })
        })
        .collect();
    json!({"created": paths("create"), "updated": updated, "deleted": paths("delete")}).to_string()
}

/// Drops the revisions that are no longer kept, their rows in `config_history`, and parts that nothing lists any more.
/// What people did is thinned out by itself, so that no program takes its place. Rows that the orchestrator wrote are
/// never touched.
pub(super) fn forget_old(conn: &Connection, now: f64) -> rusqlite::Result<()> {
    let mut query = conn.prepare_cached(
        "SELECT r.id, r.recorded_at, r.actor, e.revision IS NOT NULL
         FROM operator_revision r LEFT JOIN operator_edit e ON e.revision = r.id ORDER BY r.id",
    )?;
    let (mut people, mut programs) = (Vec::new(), Vec::new());
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let by_program = row.get(3)? || row.get_ref(2)?.as_str().is_ok_and(is_agent);
        let entry = Keepable { at: row.get(1)?, bytes: 0, cause: Cause::Automatic };
        if by_program { &mut programs } else { &mut people }.push((row.get::<_, i64>(0)?, entry));
    }
    let mut forgotten = Vec::new();
    for mut entries in [people, programs] {
        // The order in which they were recorded counts, even where the clock was set back between two.
        let mut latest = f64::MIN;
        for (_, entry) in &mut entries {
            latest = latest.max(entry.at);
            entry.at = latest;
        }
        let (numbers, times): (Vec<i64>, Vec<Keepable>) = entries.into_iter().unzip();
        let kept = crate::model::keep(&times, now, &Retention::REVISIONS);
        forgotten.extend(numbers.into_iter().zip(kept).filter(|(_, kept)| !kept).map(|(number, _)| number));
    }
    for number in &forgotten {
        let row =
            "DELETE FROM config_history WHERE id = (SELECT history_id FROM operator_revision WHERE id = ?1)";
        for sql in [
            row,
            "DELETE FROM operator_revision WHERE id = ?1",
            "DELETE FROM operator_edit WHERE revision = ?1",
        ] {
            conn.prepare_cached(sql)?.execute([number])?;
        }
    }
    if forgotten.is_empty() {
        return Ok(());
    }
    conn.prepare_cached(
        "DELETE FROM operator_snapshot_part WHERE NOT EXISTS (
            SELECT 1 FROM config_history h JOIN operator_revision r ON r.history_id = h.id
            WHERE h.config_snapshot LIKE '{\"operator_snapshot_parts\"%'
              AND instr(h.config_snapshot, operator_snapshot_part.digest) > 0)",
    )?
    .execute([])?;
    Ok(())
}
