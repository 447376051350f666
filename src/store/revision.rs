//! The history read back: who wrote what, when and why, and the state that a revision recorded.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

use super::edits::SeenEdit;
use super::key::KeyRing;
use super::rows::{TokenTally, decode};
use super::schema::Present;
use super::{Store, StoreError};
use crate::model::{Carried, Configuration, Kind, Object, Objects, Section};

/// Names one entry of the history: `7` for a revision of ours, `o7` for a snapshot of the orchestrator's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevisionId {
    /// A revision that this program recorded.
    Ours(i64),
    /// A row that the orchestrator wrote into `config_history`.
    Orchestrator(i64),
}

impl RevisionId {
    fn number(self) -> i64 {
        match self {
            Self::Ours(number) | Self::Orchestrator(number) => number,
        }
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(number) => write!(f, "{number}"),
            Self::Orchestrator(number) => write!(f, "o{number}"),
        }
    }
}

impl FromStr for RevisionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, of): (&str, fn(i64) -> Self) = match text.strip_prefix('o') {
            Some(digits) => (digits, Self::Orchestrator),
            None => (text, Self::Ours),
        };
        let number = digits.parse().ok().filter(|number| *number > 0);
        number.map(of).ok_or_else(|| format!("`{text}` is not a revision: `history` lists them, as 7 or o7"))
    }
}

impl Serialize for RevisionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One entry of the history. It holds no secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Its name.
    #[schemars(with = "String")]
    pub revision: RevisionId,
    /// When, in seconds since the epoch.
    pub recorded_at: f64,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// From what: the source as its user named it, or the command.
    pub source: String,
    /// The source's digest; empty for an edit.
    pub source_digest: String,
    /// The backup that was taken before.
    pub backup: Option<String>,
    /// What was done, masked: paths created and deleted, fields changed with old and new.
    pub changes: Json,
    /// What is known of the edit, when it is one that another program made in the database; null for a write of ours.
    pub edit: Option<SeenEdit>,
}

/// What a revision recorded.
#[derive(Clone, Debug)]
pub struct RecordedState {
    /// Who, when, why.
    pub revision: Revision,
    /// The managed values after it; every field of every object is there. A section that the database had no table
    /// for is `None`.
    pub configuration: Configuration,
    /// The carried sections of the source at that time.
    pub carried: Carried,
}

impl Store {
    /// Returns the history, newest first: our revisions, and the orchestrator's own snapshots.
    pub fn revisions(&mut self) -> Result<Vec<Revision>, StoreError> {
        self.read_history(|conn, present, _| list(conn, present)).map(Option::unwrap_or_default)
    }

    /// Returns the number of the newest revision of ours.
    pub fn newest_revision(&mut self) -> Result<Option<i64>, StoreError> {
        self.read_history(|conn, present, _| newest(conn, present)).map(Option::flatten)
    }

    /// Returns the latest time that anything in the store says it was written at, in seconds since the epoch.
    pub fn newest_time(&mut self) -> Result<Option<f64>, StoreError> {
        self.in_read_transaction(|conn, present, _| {
            let tables =
                Section::ALL.into_iter().map(Section::table).filter(|table| present.has_table(table));
            let times: rusqlite::Result<Vec<Option<f64>>> = tables
                .map(|table| {
                    let numbers = "typeof(updated_at) IN ('real', 'integer')";
                    let sql = format!("SELECT max(updated_at) FROM {table} WHERE {numbers}");
                    conn.query_row(&sql, [], |row| row.get(0))
                })
                .collect();
            Ok(times?.into_iter().flatten().reduce(f64::max))
        })
    }

    /// Returns the state that a revision of ours recorded; `None` when there is no such revision, or no longer.
    pub fn recorded_state(&mut self, number: i64) -> Result<Option<RecordedState>, StoreError> {
        self.read_history(|conn, present, keys| state(conn, present, keys, number)).map(Option::flatten)
    }

    /// Returns a snapshot of the orchestrator's own, with everything masked that is named like a secret.
    pub fn orchestrators_snapshot(&mut self, row: i64) -> Result<Option<Json>, StoreError> {
        let text: Option<String> = self
            .read_history(|conn, _, _| {
                let sql = "SELECT config_snapshot FROM config_history WHERE id = ?1";
                conn.query_row(sql, [row], |row| Ok(text(row, 0))).optional()
            })?
            .flatten();
        Ok(text.map(|text| masked(serde_json::from_str(&text).unwrap_or_default(), false)))
    }

    fn read_history<T>(
        &mut self,
        read: impl Fn(&Connection, &Present, &KeyRing) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        if !self.is_open() && !self.exists() {
            return Ok(None);
        }
        self.in_read_transaction(|conn, present, keys| {
            present.has_table("config_history").then(|| read(conn, present, keys)).transpose()
        })
    }
}

const COLUMNS: &str =
    "r.id, r.recorded_at, r.actor, r.reason, r.source, r.source_digest, r.backup, r.changes";

/// The columns of a revision, with what is known of the edit that it is.
fn columns(present: &Present) -> String {
    let programs = "(SELECT e.programs FROM operator_edit e WHERE e.revision = r.id)";
    format!("{COLUMNS}, {}", if present.has_table("operator_edit") { programs } else { "NULL" })
}

/// Returns the number of the newest revision of ours.
pub(super) fn newest(conn: &Connection, present: &Present) -> rusqlite::Result<Option<i64>> {
    if !present.has_table("operator_revision") {
        return Ok(None);
    }
    conn.query_row("SELECT max(id) FROM operator_revision", [], |row| row.get(0))
}

fn list(conn: &Connection, present: &Present) -> rusqlite::Result<Vec<Revision>> {
    let mut revisions: Vec<Revision> = Vec::new();
    let with_ours = present.has_table("operator_revision");
    if with_ours {
        let sql = format!("SELECT {} FROM operator_revision r", columns(present));
        let mut query = conn.prepare(&sql)?;
        revisions = query.query_map([], revision)?.collect::<rusqlite::Result<_>>()?;
    }
    let not_ours = if with_ours { "WHERE id NOT IN (SELECT history_id FROM operator_revision)" } else { "" };
    let mut query =
        conn.prepare(&format!("SELECT id, created_at, change_description FROM config_history {not_ours}"))?;
    let others = query.query_map([], |row| {
        Ok(Revision {
            revision: RevisionId::Orchestrator(row.get(0)?),
            recorded_at: row.get(1).unwrap_or_default(),
            actor: "orchestrator".into(),
            reason: text(row, 2),
            source: "its own snapshot".into(),
            source_digest: String::new(),
            backup: None,
            changes: Json::Null,
            edit: None,
        })
    })?;
    for other in others {
        revisions.push(other?);
    }
    Ok(newest_first(revisions))
}

/// Sorts by time. Ours stay in the order in which they were recorded even where the clock was set back between two.
fn newest_first(mut revisions: Vec<Revision>) -> Vec<Revision> {
    revisions.sort_by_key(|entry| entry.revision.number());
    let mut latest = f64::MIN;
    let mut timed: Vec<(f64, Revision)> = revisions
        .into_iter()
        .map(|entry| {
            let ours = matches!(entry.revision, RevisionId::Ours(_));
            latest = if ours { latest.max(entry.recorded_at) } else { latest };
            (if ours { latest } else { entry.recorded_at }, entry)
        })
        .collect();
    timed.reverse();
    timed.sort_by(|(one, _), (two, _)| two.total_cmp(one));
    timed.into_iter().map(|(_, entry)| entry).collect()
}

fn revision(row: &Row<'_>) -> rusqlite::Result<Revision> {
    let given = |column| row.get_ref(column).is_ok_and(|value| value != ValueRef::Null);
    let json = |column| text(row, column);
    Ok(Revision {
        revision: RevisionId::Ours(row.get(0)?),
        recorded_at: row.get(1).unwrap_or_default(),
        actor: text(row, 2),
        reason: text(row, 3),
        source: text(row, 4),
        source_digest: text(row, 5),
        backup: given(6).then(|| text(row, 6)),
        changes: serde_json::from_str(&json(7)).unwrap_or_default(),
        edit: given(8).then(|| SeenEdit { programs: serde_json::from_str(&json(8)).unwrap_or_default() }),
    })
}

/// What stands in a column, as text as far as it is some: one row that somebody wrote over hides none of the others.
fn text(row: &Row<'_>, column: usize) -> String {
    let bytes = row.get_ref(column).ok().and_then(|value| value.as_bytes_or_null().ok().flatten());
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

fn state(
    conn: &Connection,
    present: &Present,
    keys: &KeyRing,
    number: i64,
) -> rusqlite::Result<Option<RecordedState>> {
    if !present.has_table("operator_revision") {
        return Ok(None);
    }
    let sql = format!(
        "SELECT {}, r.carried, h.config_snapshot
         FROM operator_revision r JOIN config_history h ON h.id = r.history_id WHERE r.id = ?1",
        columns(present)
    );
    let found = conn.query_row(&sql, [number], |row| Ok((revision(row)?, text(row, 9), text(row, 10))));
    let Some((revision, carried, snapshot)) = found.optional()? else { return Ok(None) };
    // What is no snapshot is a state of which nothing is known, and not one without anything in it.
    let Ok(snapshot @ Json::Object(_)) = serde_json::from_str::<Json>(&snapshot) else { return Ok(None) };
    let mut configuration = Configuration::default();
    let mut tally = TokenTally::default();
    for section in Section::ALL {
        let Some(entries) = entries(conn, &snapshot, section, &[])? else { continue };
        *configuration.section_mut(section) = Some(objects(section, &entries, keys, &mut tally));
    }
    let carried = super::carried::from_text(&carried, keys);
    Ok(Some(RecordedState { revision, configuration, carried }))
}

/// Returns the objects that two snapshots do not have in common, as far as both have their sections. A part that both
/// list is not even read.
pub(super) fn differing(
    conn: &Connection,
    keys: &KeyRing,
    old: &str,
    new: &str,
) -> rusqlite::Result<(Configuration, Configuration)> {
    let [old, new] = [old, new].map(|text| serde_json::from_str::<Json>(text).unwrap_or_default());
    let (mut one, mut two) = (Configuration::default(), Configuration::default());
    let mut tally = TokenTally::default();
    for section in Section::ALL {
        let listed = parts(&new, section).unwrap_or_default();
        let common: Vec<&str> =
            parts(&old, section).unwrap_or_default().into_iter().filter(|it| listed.contains(it)).collect();
        let before = entries(conn, &old, section, &common)?;
        let Some((mut before, mut after)) = before.zip(entries(conn, &new, section, &common)?) else {
            continue;
        };
        if section != Section::Execution {
            before.retain(|id, entry| {
                let same = after.get(id) == Some(&*entry);
                if same {
                    after.remove(id);
                }
                !same
            });
        }
        *one.section_mut(section) = Some(objects(section, &before, keys, &mut tally));
        *two.section_mut(section) = Some(objects(section, &after, keys, &mut tally));
    }
    Ok((one, two))
}

/// The digests of a section's parts, when the snapshot is cut into parts.
fn parts(snapshot: &Json, section: Section) -> Option<Vec<&str>> {
    let listed = snapshot.get("operator_snapshot_parts")?.get(section.name())?.as_array()?;
    Some(listed.iter().filter_map(Json::as_str).collect())
}

/// The objects of a section, whole in the snapshot or gathered from its parts, but for those that are `skipped`. See
/// `history`.
fn entries(
    conn: &Connection,
    snapshot: &Json,
    section: Section,
    skipped: &[&str],
) -> rusqlite::Result<Option<Map<String, Json>>> {
    if snapshot.get("operator_snapshot_parts").is_none() {
        return Ok(snapshot.get(section.name()).and_then(Json::as_object).cloned());
    }
    let Some(digests) = parts(snapshot, section) else { return Ok(None) };
    let mut gathered = Map::new();
    let mut query = conn.prepare_cached("SELECT objects FROM operator_snapshot_part WHERE digest = ?1")?;
    for digest in digests.iter().filter(|digest| !skipped.contains(digest)) {
        // Without one of its parts a section is not known, as one that the snapshot does not have.
        let Ok(part) = query.query_row([digest], |row| row.get::<_, String>(0)) else { return Ok(None) };
        // The part of execution is its object; those of other sections are `"id":{…},…`.
        let text = if section == Section::Execution { part } else { format!("{{{part}}}") };
        if let Ok(Json::Object(objects)) = serde_json::from_str(&text) {
            gathered.extend(objects);
        }
    }
    Ok(Some(gathered))
}

fn objects(section: Section, entries: &Map<String, Json>, keys: &KeyRing, tally: &mut TokenTally) -> Objects {
    match section {
        Section::Execution if entries.is_empty() => Objects::new(),
        Section::Execution => Objects::from_iter([(
            Configuration::EXECUTION_ID.into(),
            Arc::new(object(section, entries, keys, tally)),
        )]),
        _ => entries
            .iter()
            .filter_map(|(id, entry)| {
                Some((id.as_str().into(), Arc::new(object(section, entry.as_object()?, keys, tally))))
            })
            .collect(),
    }
}

/// Reads an object as a row with these columns reads; what is not there was NULL.
fn object(section: Section, entry: &Map<String, Json>, keys: &KeyRing, tally: &mut TokenTally) -> Object {
    let mut object = Object::default();
    for field in section.field_ids() {
        let spec = section.spec(field);
        let name = if spec.kind == Kind::Secret { spec.column } else { spec.name };
        let text;
        let raw = match entry.get(name) {
            None | Some(Json::Null) => ValueRef::Null,
            Some(Json::Bool(flag)) => ValueRef::Integer(i64::from(*flag)),
            Some(Json::Number(number)) => match number.as_i64() {
                Some(number) => ValueRef::Integer(number),
                None => ValueRef::Real(number.as_f64().unwrap_or_default()),
            },
            Some(Json::String(value)) => ValueRef::Text(value.as_bytes()),
            Some(list) => {
                text = list.to_string();
                ValueRef::Text(text.as_bytes())
            }
        };
        object.set(field, decode(spec, raw, keys, tally));
    }
    object
}

fn masked(json: Json, secret: bool) -> Json {
    match json {
        Json::Object(entries) => entries
            .into_iter()
            .map(|(name, value)| {
                let lower = name.to_lowercase();
                let secret = ["key", "token", "secret", "password"].iter().any(|word| lower.contains(word))
                    && !lower.starts_with("max_");
                (name, masked(value, secret))
            })
            .collect(),
        Json::Array(items) => items.into_iter().map(|item| masked(item, secret)).collect(),
        Json::String(text) if secret && !text.is_empty() => Json::from("••••"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_like_a_secret_is_masked_at_any_depth() {
        let json = serde_json::json!({"services": {"a": {"api_key": "sk", "max_context_tokens": 8, "token": ["x"]}}});
        let shown = masked(json, false).to_string();
        assert_eq!(shown, r#"{"services":{"a":{"api_key":"••••","max_context_tokens":8,"token":["••••"]}}}"#);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_mix_up_the_history() {
        let entry = |revision, recorded_at| Revision {
            revision,
            recorded_at,
            actor: String::new(),
            reason: String::new(),
            source: String::new(),
            source_digest: String::new(),
            backup: None,
            changes: Json::Null,
            edit: None,
        };
        let (ours, theirs) = (RevisionId::Ours, RevisionId::Orchestrator);
        let entries =
            vec![entry(theirs(4), 40.0), entry(ours(1), 10.0), entry(ours(2), 50.0), entry(ours(3), 20.0)];
        let order: Vec<String> =
            newest_first(entries).iter().map(|entry| entry.revision.to_string()).collect();
        assert_eq!(order, ["3", "2", "o4", "1"]);
    }

    #[test]
    fn revisions_are_named_by_number_or_as_the_orchestrators() {
        assert_eq!("7".parse(), Ok(RevisionId::Ours(7)));
        assert_eq!("o7".parse(), Ok(RevisionId::Orchestrator(7)));
        for text in ["", "o", "-1", "0", "x"] {
            assert!(text.parse::<RevisionId>().is_err(), "{text}");
        }
    }
}
