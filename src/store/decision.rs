//! Decisions about this store: accepted values, pauses, pins. They live in it, so that a backup has them, too.

use rusqlite::{Connection, params};

use super::error::Doing as _;
use super::read;
use super::schema::{self, Present};
use super::{Store, StoreError};
use crate::model::Decision;

/// What was decided, and what no longer holds.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// To record, in the place of what was decided in the same kind and scope.
    pub decide: Vec<Decision>,
    /// To forget: kind and scope.
    pub forget: Vec<(String, String)>,
}

impl Store {
    /// Records decisions, and nothing else.
    ///
    /// # Errors
    /// A database that cannot be written, or whose API keys the key in use does not open; nothing was recorded then.
    pub fn decide(&mut self, decided: &Decided) -> Result<(), StoreError> {
        self.record_alone(|conn| write(conn, &decided.decide, &decided.forget))
    }

    /// Writes into our own tables, in a transaction of its own, and nothing else.
    pub(super) fn record_alone(
        &mut self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let path = self.path().to_owned();
        let live = self.read()?;
        self.keys().ensure_fits(&live)?;
        self.begin()?;
        let inherited = self.inherited_identity();
        let recorded = self.connection().and_then(|conn| {
            conn.execute_batch(schema::OPERATOR)
                .and_then(|()| read::identify(conn, inherited.as_deref()))
                .and_then(|()| write(conn))
                .and_then(|()| read::next_generation(conn))
                .doing("record", &path)?;
            conn.execute_batch("COMMIT").doing(super::error::COMMIT, &path)
        });
        self.rollback();
        recorded
    }
}

/// Writes decisions into the open transaction.
pub(super) fn write(
    conn: &Connection,
    decide: &[Decision],
    forget: &[(String, String)],
) -> rusqlite::Result<()> {
    for (kind, scope) in forget {
        conn.prepare_cached("DELETE FROM operator_decision WHERE kind = ?1 AND scope = ?2")?
            .execute((kind, scope))?;
    }
    for decision in decide {
        let detail = serde_json::to_string(&decision.kind).unwrap_or_default();
        let Decision { by, reason, at, until, .. } = decision;
        let row = params![decision.kind.name(), decision.scope_text(), by, reason, at, until, detail];
        conn.prepare_cached("INSERT OR REPLACE INTO operator_decision VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(row)?;
    }
    Ok(())
}

/// Reads every decision, in the order of its scope.
pub(super) fn all(conn: &Connection, present: &Present) -> rusqlite::Result<Vec<Decision>> {
    if !present.has_table("operator_decision") {
        return Ok(Vec::new());
    }
    let mut query = conn.prepare_cached(
        "SELECT scope, by, reason, at, until, detail FROM operator_decision ORDER BY kind, scope",
    )?;
    let mut rows = query.query([])?;
    let mut decisions = Vec::new();
    while let Some(row) = rows.next()? {
        // One that cannot be read was written by somebody else.
        decisions.extend(decision(row));
    }
    Ok(decisions)
}

fn decision(row: &rusqlite::Row<'_>) -> Option<Decision> {
    let scope: String = row.get(0).ok()?;
    let detail: String = row.get(5).ok()?;
    Some(Decision {
        kind: serde_json::from_str(&detail).ok()?,
        scope: if scope.is_empty() { None } else { Some(scope.parse().ok()?) },
        by: row.get(1).ok()?,
        reason: row.get(2).ok()?,
        at: row.get(3).ok()?,
        until: row.get(4).ok()?,
    })
}
