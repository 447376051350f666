//! Edits that another program made in the database, recorded as entries of the history of their own.
//!
//! The newest entry says what the rows were when they were last recorded. Rows that differ from it were edited since.
//! Their entry is written before anything else is, so that no state that we saw is lost to the next write, whoever
//! makes it. Only the history is written: no row of the orchestrator's, and nothing of what both sides agreed on.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::Doing as _;
use super::history::{self, Entry};
use super::key::KeyRing;
use super::programs::{self, Program};
use super::read_back::Scanned;
use super::schema::{self, Present};
use super::{Store, StoreError, open, read, read_back, revision, seconds};
use crate::model::{Configuration, Section, StoreFingerprint, Value};
use crate::plan::{Class, Plan, Step, towards};

/// The key in `operator_meta` that holds the fingerprint of the rows that the newest entry recorded.
const RECORDED: &str = "recorded";

/// Of so many changed rows the times are looked at: they are there to date the edit.
const DATED_ROWS: usize = 256;

/// What is known of an edit that another program made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeenEdit {
    /// The programs that had the database open when the edit was seen; one of them made it. Empty when none had it open
    /// any more.
    pub programs: Vec<Program>,
}

impl SeenEdit {
    /// Who made it, as far as that can be told.
    fn author(&self) -> String {
        let named: Vec<String> =
            self.programs.iter().map(|it| format!("{} (process {})", it.name, it.pid)).collect();
        match &named[..] {
            [] => "another program".to_owned(),
            [.., _] if named.len() > 3 => format!("one of {} programs", named.len()),
            _ => named.join(" or "),
        }
    }
}

/// The newest entry of the history, as it lies in the database.
struct Newest {
    recorded_at: f64,
    carried: String,
    snapshot: String,
}

impl Store {
    /// Looks who has the database open, for the entry of the edit that was seen just now: a program that edits and ends
    /// is gone a moment later.
    pub fn look_who_has_it_open(&mut self) {
        self.programs = programs::with_open(&self.path);
    }

    /// Records an edit that another program made, when there is one that no entry has; returns the entry's number. `rows`
    /// is the fingerprint of the rows as they were read last, and `seen` what they were: where they were edited again since,
    /// both states get an entry. A store that was filled before it was first seen gets an entry of what it was then, under
    /// the name of `actor`.
    ///
    /// # Errors
    /// A database that somebody else is writing just now, for which nobody waits; nothing was recorded then.
    pub fn record_edits(
        &mut self,
        rows: StoreFingerprint,
        seen: Option<&Configuration>,
        actor: &str,
        now: SystemTime,
    ) -> Result<Option<i64>, StoreError> {
        if !self.lacks_entry(rows)? {
            return Ok(None);
        }
        let path = self.path.clone();
        self.when_busy(None).doing("lock", &path)?;
        let begun = self.begin();
        self.when_busy(Some(open::wait_a_little)).doing("lock", &path)?;
        begun?;
        let entry = self.record_edit(Some(actor), seen.map(|seen| (rows, seen)), now);
        if !matches!(entry, Ok(Some(_))) {
            self.rollback();
            return entry;
        }
        self.connection()?.execute_batch("COMMIT").doing(super::error::COMMIT, &path)?;
        self.note_unlocked();
        entry
    }

    fn when_busy(&mut self, wait: Option<fn(i32) -> bool>) -> rusqlite::Result<()> {
        self.conn.as_mut().map_or(Ok(()), |conn| conn.busy_handler(wait))
    }

    /// Whether the rows may be others than the newest entry has.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn lacks_entry(&mut self, rows: StoreFingerprint) -> Result<bool, StoreError> {
        if !self.is_open() && !self.exists() {
            return Ok(false);
        }
        self.in_read_transaction(|conn, present, _| {
            Ok(!is_recorded(conn, present, rows)? && read::meta::<i64>(conn, read::MET)?.is_some())
        })
    }

    /// Within the open transaction: records what the rows are, when another program changed a managed value since the
    /// newest entry. Without any entry, what they are is the first one where `first` names its author.
    pub(super) fn record_edit(
        &mut self,
        first: Option<&str>,
        seen: Option<(StoreFingerprint, &Configuration)>,
        now: SystemTime,
    ) -> Result<Option<i64>, StoreError> {
        let (path, keys) = (self.path.clone(), std::sync::Arc::clone(&self.keys));
        let present = self.present()?;
        if !present.has_table("operator_revision") || !present.has_table("config_history") {
            return Ok(None);
        }
        if !present.has_our_tables() {
            let inherited = self.inherited_identity();
            let conn = self.connection()?;
            conn.execute_batch(schema::OPERATOR)
                .and_then(|()| read::identify(conn, inherited.as_deref()))
                .doing("record", &path)?;
        }
        let programs = std::mem::take(&mut self.programs);
        let look = || if programs.is_empty() { programs::with_open(&path) } else { programs };
        let edits = Edits { conn: self.connection()?, present: &present, keys: &keys, now: seconds(now) };
        edits.record(first, seen, look).doing("record", &path)
    }
}

/// A transaction in which edits are recorded.
struct Edits<'a> {
    conn: &'a Connection,
    present: &'a Present,
    keys: &'a KeyRing,
    now: f64,
}

impl Edits<'_> {
    fn record(
        &self,
        first: Option<&str>,
        seen: Option<(StoreFingerprint, &Configuration)>,
        programs: impl FnOnce() -> Vec<Program>,
    ) -> rusqlite::Result<Option<i64>> {
        let conn = self.conn;
        let before = newest(conn)?;
        if before.is_none() && first.is_none() {
            return Ok(None);
        }
        let Scanned { snapshot, rows } = read_back::state(conn, self.present)?;
        let snapshot = snapshot.finish()?;
        let Some(before) = before else {
            let first = self.entry("the database as it was first seen", first.unwrap_or_default().to_owned());
            let changes = history::journal(&Plan::default());
            let number = history::insert(conn, &Entry { snapshot, changes, ..first })?;
            remember(conn, rows)?;
            return Ok(Some(number));
        };
        let edit = SeenEdit { programs: programs() };
        let mut numbers = Vec::new();
        if let Some((_, seen)) = seen.filter(|(read, _)| *read != rows)
            && let Some(between) = history::snapshot_of(conn, self.present, seen)?
        {
            numbers.extend(self.record_between(&before, between, &edit)?);
        }
        let before = if numbers.is_empty() { before } else { newest(conn)?.unwrap_or(before) };
        numbers.extend(self.record_between(&before, snapshot, &edit)?);
        if numbers.is_empty() {
            return Ok(None);
        }
        history::forget_old(conn, self.now)?;
        remember(conn, rows)?;
        Ok(numbers.pop())
    }

    /// Records what changed between the newest entry and a state; nothing where nothing did.
    fn record_between(
        &self,
        before: &Newest,
        snapshot: String,
        edit: &SeenEdit,
    ) -> rusqlite::Result<Option<i64>> {
        let (old, new) = revision::differing(self.conn, self.keys, &before.snapshot, &snapshot)?;
        let steps = edited(towards(&new, &old, None));
        if steps.is_empty() {
            return Ok(None);
        }
        let plan = Plan { steps, ..Plan::default() };
        let entry = Entry {
            snapshot,
            recorded_at: written_at(self.conn, &plan.steps, before.recorded_at, self.now)?,
            carried: before.carried.clone(),
            summary: "edited in the database".to_owned(),
            changes: history::journal(&plan),
            ..self.entry("edited in the database", edit.author())
        };
        let number = history::insert(self.conn, &entry)?;
        let programs = serde_json::to_string(&edit.programs).unwrap_or_default();
        self.conn.execute(
            "INSERT INTO operator_edit (revision, programs) VALUES (?1, ?2)",
            params![number, programs],
        )?;
        Ok(Some(number))
    }

    fn entry(&self, reason: &str, actor: String) -> Entry {
        Entry {
            recorded_at: self.now,
            actor,
            reason: reason.to_owned(),
            source: "database".to_owned(),
            ..Entry::default()
        }
    }
}

/// The newest entry that can be read: the orchestrator's table takes anything for a snapshot, and one that is none counts for
/// none, or nothing could be recorded, and so nothing written, ever again.
fn newest(conn: &Connection) -> rusqlite::Result<Option<Newest>> {
    let mut query = conn.prepare_cached(
        "SELECT r.recorded_at, r.carried, h.config_snapshot
         FROM operator_revision r JOIN config_history h ON h.id = r.history_id ORDER BY r.id DESC",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if let (Ok(recorded_at), Ok(carried), Ok(snapshot)) = (row.get(0), row.get(1), row.get(2)) {
            let newest = Newest { recorded_at, carried, snapshot };
            if newest.snapshot.starts_with('{') {
                return Ok(Some(newest));
            }
        }
    }
    Ok(None)
}

/// Leaves out what is no edit: a value that could not be read then, as an API key of before a rotation, tells nothing.
fn edited(steps: Vec<Step>) -> Vec<Step> {
    let steps = steps.into_iter().filter_map(|step| match step {
        Step::Update { section, id, mut changes } => {
            changes.retain_mut(|change| {
                change.class = Class::Drift;
                let told = matches!(change.new, Value::Secret(_) | Value::Unreadable(_));
                !(told && matches!(change.old, Value::Unreadable(_)))
            });
            (!changes.is_empty()).then_some(Step::Update { section, id, changes })
        }
        other => Some(other),
    });
    steps.collect()
}

/// When the edit was made: the newest time in the rows that it changed, where that lies between the newest entry and
/// now. Not every program writes it, and a deleted row has none.
fn written_at(conn: &Connection, steps: &[Step], after: f64, now: f64) -> rusqlite::Result<f64> {
    let mut newest: Option<f64> = None;
    for step in steps.iter().take(DATED_ROWS) {
        let (section, id) = step.target();
        let sql = format!(
            "SELECT updated_at FROM {} WHERE {} = ?1 AND typeof(updated_at) IN ('real', 'integer')",
            section.table(),
            section.id_column()
        );
        let mut query = conn.prepare_cached(&sql)?;
        let at: Option<f64> = match section {
            Section::Execution => query.query_row([1], |row| row.get(0)),
            _ => query.query_row([id], |row| row.get(0)),
        }
        .optional()?;
        newest = [newest, at].into_iter().flatten().reduce(f64::max);
    }
    Ok(newest.filter(|at| *at > after && *at <= now).unwrap_or(now))
}

/// The fingerprint of the rows that the newest entry recorded, as text.
fn recorded(conn: &Connection) -> rusqlite::Result<Option<String>> {
    read::meta(conn, RECORDED)
}

/// Whether no edit is to be recorded: the newest entry has just these rows, or there can be no entry.
pub(super) fn is_recorded(
    conn: &Connection,
    present: &Present,
    rows: StoreFingerprint,
) -> rusqlite::Result<bool> {
    Ok(!present.has_table("operator_revision") || recorded(conn)? == Some(rows.to_string()))
}

/// Notes that the newest entry, when there is one, has these rows.
pub(super) fn remember(conn: &Connection, rows: StoreFingerprint) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO operator_meta (key, value) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM operator_revision)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute((RECORDED, rows.to_string()))
    .map(|_| ())
}
