//! The store's one connection: opened when it is first needed, with what is known of the database's structure.

use std::sync::Arc;

use rusqlite::Connection;

use super::error::Doing as _;
use super::key::KeyRing;
use super::schema::Present;
use super::{Store, StoreError, open, read, schema, suspect};
use crate::model::{MissingSchema, Section, StoreSnapshot};

impl Store {
    pub(super) fn is_open(&self) -> bool {
        self.conn.is_some()
    }

    /// Whether the file that is open is no longer the one at the path.
    pub fn has_moved(&self) -> bool {
        let Some(conn) = &self.conn else { return false };
        let mut moved = 0;
        let asked = conn.file_control(None::<&str>, rusqlite::FileControl::HasMoved(&mut moved));
        asked.is_err() || moved != 0
    }

    /// Closes the connections; the next use opens the file that is then at the path.
    pub fn close(&mut self) {
        self.reader = None;
        self.conn = None;
        self.present = None;
        self.saved = None;
        self.present_checked = false;
    }

    pub(super) fn connection(&mut self) -> Result<&Connection, StoreError> {
        if self.conn.is_none() {
            let conn = open::connect(&self.path, self.access)
                .map_err(|error| suspect::explain(&self.path, &self.backup_folder, error))?;
            schema::check_is_a_configuration(&conn, &self.path)?;
            self.conn = Some(conn);
        }
        self.conn.as_ref().ok_or_else(|| StoreError::Moved { path: self.path.clone() })
    }

    /// Whether the file holds nothing at all: just created, or left empty by somebody.
    pub(super) fn is_fresh(&mut self) -> Result<bool, StoreError> {
        let path = self.path.clone();
        let conn = self.connection()?;
        let tables: i64 = conn
            .prepare_cached("SELECT count(*) FROM sqlite_schema")
            .and_then(|mut query| query.query_row([], |row| row.get(0)))
            .doing("read", &path)?;
        Ok(tables == 0)
    }

    /// Returns the tables and columns of the database, read again only when its schema changed.
    pub(super) fn present(&mut self) -> Result<Arc<Present>, StoreError> {
        let path = self.path.clone();
        let conn = self.connection()?;
        let version = conn
            .prepare_cached("PRAGMA schema_version")
            .and_then(|mut query| query.query_row([], |row| row.get(0)))
            .doing("read", &path)?;
        match &self.present {
            Some((known, present)) if *known == version => Ok(Arc::clone(present)),
            _ => {
                let present = Arc::new(Present::read(self.connection()?).doing("read", &path)?);
                self.present = Some((version, Arc::clone(&present)));
                Ok(present)
            }
        }
    }

    /// Writes the log back into the database when it has grown and nobody else does, without waiting for anyone.
    pub fn checkpoint_when_large(&mut self, max_wal_bytes: u64) {
        let large = open::wal_bytes(&self.path) > max_wal_bytes;
        if let (true, Some(conn)) = (large, &self.conn) {
            let _ = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
    }

    pub(super) fn in_read_transaction<T>(
        &mut self,
        read: impl Fn(&Connection, &Present, &KeyRing) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let (path, keys) = (self.path.clone(), Arc::clone(&self.keys));
        let inside = !self.connection()?.is_autocommit();
        if !inside {
            self.connection()?.execute_batch("BEGIN").doing("read", &path)?;
        }
        let result =
            self.present().and_then(|present| read(self.connection()?, &present, &keys).doing("read", &path));
        if inside {
            return result;
        }
        if result.is_err() {
            // On a full disk SQLite has ended the transaction by itself; that it is over must not hide why.
            self.rollback();
            return result;
        }
        self.connection()?.execute_batch("COMMIT").doing("read", &path)?;
        result
    }

    /// Returns how long the write lock was held, each time since this was last called; at most the first 1,024.
    pub fn take_lock_times(&mut self) -> Vec<std::time::Duration> {
        std::mem::take(&mut self.lock_times)
    }
}

/// What a database that does not exist reads as.
pub(super) fn absent() -> StoreSnapshot {
    let mut snapshot = StoreSnapshot {
        missing: MissingSchema { tables: Section::ALL.into(), others: true, ..MissingSchema::default() },
        ..StoreSnapshot::default()
    };
    for section in Section::ALL {
        *snapshot.live.section_mut(section) = Some(crate::model::Objects::new());
    }
    snapshot.live.execution = Some(read::default_execution());
    snapshot
}

pub(super) fn ensure_wal(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("PRAGMA journal_mode=WAL")?.query_row([], |_| Ok(()))
}
