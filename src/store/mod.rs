//! The orchestrator's database: read in one moment, backed up, written in one transaction, verified.
//!
//! | file | its job |
//! | --- | --- |
//! | `open`, `connection` | the one connection, and the places where none is opened |
//! | `copied` | reading at such a place all the same |
//! | `schema` | the orchestrator's tables and ours |
//! | `rows` | columns to values and back |
//! | `read` | everything of one moment, and its fingerprint |
//! | `apply`, `read_back` | a plan into rows, and the rows compared with the plan |
//! | `history`, `revision` | revisions written, and read back |
//! | `edits`, `programs` | edits of other programs as entries of the history, and who may have made them |
//! | `backup`, `backup_record`, `drill` | copies, what they say of themselves, and whether they could be restored |
//! | `saved` | which copy holds just what the database does |
//! | `quarantine` | what to do when the original is broken |
//! | `retire` | back to YAML only, and the way back |
//! | `key`, `key_text`, `key_search` | the encryption key; a key as Python reads it; which other one opens what it does not |
//! | `decision`, `good_source` | what somebody decided about this store; the source as it was last good |
//! | `agent_lock` | one agent for one database |
//! | `files`, `temporary` | file operations beside the database; files in the making |
//! | `scrub` | plain keys out of the orchestrator's own snapshots |

#![expect(clippy::disallowed_methods, reason = "the store touches the world")]

mod agent_lock;
mod apply;
mod backup;
mod backup_record;
mod carried;
mod connection;
mod copied;
pub mod crash;
mod decision;
mod drill;
mod edits;
mod error;
pub(crate) mod files;
mod good_source;
mod hint;
mod history;
mod key;
mod key_search;
mod key_text;
mod open;
mod presence;
mod programs;
mod quarantine;
mod read;
mod read_back;
mod retain;
mod retire;
mod revision;
mod rotate;
mod rows;
mod saved;
mod schema;
mod scrub;
mod suspect;
mod temporary;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;

pub use crate::model::{KEY_FILE, KEY_VARIABLE, Retention};
pub use agent_lock::{AgentLock, Taken, agent_of};
pub use apply::Sealed;
pub use backup::{Backup, BackupFolder, BackupOptions, Listed, SourceCopy, backups_of_name as backups};
pub use backup_record::{BackupRecord, backup_record};
use connection::{absent, ensure_wal};
pub use decision::Decided;
pub use drill::{BackupCheck, Verdict, check_backup, read_backup};
pub use edits::SeenEdit;
use error::Doing as _;
pub use error::StoreError;
pub use good_source::KeptSource;
pub use history::Record;
pub use key::{KeyPlace, KeyRing, KeySources, generate_key, read_key_file, write_key_file};
pub use key_search::OtherKey;
pub use key_text::KeyText;
pub use open::{Access, caution};
pub use presence::{InPlace, WhenMissing};
pub use programs::Program;
pub use quarantine::Quarantined;
pub use retire::BroughtBack;
pub use revision::{RecordedState, Revision, RevisionId};
pub use rotate::{Resumed, Rotated};
use saved::Saved;
use schema::Present;
pub use scrub::{Mask, Scrubbed};
pub use suspect::Examined;

use crate::model::{StoreFingerprint, StoreSnapshot};
use crate::plan::Plan;
use crate::verify::Verified;

/// How many lock times are kept for whoever takes them: a library user may never.
const MAX_LOCK_TIMES: usize = 1024;

/// One database, its keys, and at most one connection for everything but backups.
///
/// A `Store` may exist before its database does: reading it then gives an empty [`StoreSnapshot`], and writing
/// creates it.
pub struct Store {
    path: PathBuf,
    /// Where the key is looked for: beside the path as it is named, as the orchestrator does, not beside what it links to.
    key_folder: PathBuf,
    access: Access,
    keys: Arc<KeyRing>,
    /// Dropped before `conn`: the last connection to close writes the log back, and this one cannot.
    reader: Option<Connection>,
    conn: Option<Connection>,
    /// The tables and columns, with the schema version for which they are right.
    present: Option<(i64, Arc<Present>)>,
    /// Whether this transaction fills a database that holds nothing yet.
    fresh: bool,
    /// Since when we hold the write lock.
    locked_at: Option<Instant>,
    /// How long we held it, each time since somebody last asked.
    lock_times: Vec<Duration>,
    /// The last backup that was taken, while the database may still be just that.
    saved: Option<Saved>,
    /// What to do when the database is gone while backups of it exist.
    when_missing: WhenMissing,
    /// Whether the database that is open is known to be the one that was there.
    present_checked: bool,
    /// Who had the database open when an edit was seen that has no entry yet.
    programs: Vec<Program>,
    /// Where the backups lie.
    backup_folder: BackupFolder,
    /// How many of them are kept.
    retention: Retention,
}

/// What a transaction wrote, not yet committed.
#[derive(Debug)]
pub struct Applied {
    /// The revision's number; none when only bookkeeping was written.
    pub revision: Option<i64>,
    /// What the rows are now; a watcher compares later reads with it.
    pub rows: StoreFingerprint,
    /// Proof that the rows are as promised.
    verified: Verified,
}

impl Store {
    /// Prepares to use the database at `path`. Opens nothing but the key.
    ///
    /// # Errors
    /// A key that is there and is not one, or a place where a database must not be written.
    pub fn at(path: &Path, access: Access, keys: &KeySources) -> Result<Self, StoreError> {
        let named = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let path = open::resolved(path);
        open::check_place(&path, access)?;
        let key_folder = files::folder_of(&named).to_owned();
        let keys = Arc::new(KeyRing::find(keys, &key_folder)?);
        Ok(Self {
            backup_folder: BackupFolder::beside(&path),
            path,
            key_folder,
            access,
            keys,
            conn: None,
            reader: None,
            present: None,
            fresh: false,
            locked_at: None,
            lock_times: Vec::new(),
            saved: None,
            when_missing: WhenMissing::default(),
            present_checked: false,
            programs: Vec::new(),
            retention: Retention::default(),
        })
    }

    /// The database, its folder resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys at hand.
    pub fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// Whether there is a database file.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Generates a key when there is none and none is needed for reading what is there.
    ///
    /// # Errors
    /// [`StoreError::NoKey`] when the store holds tokens: a new key would make them unreadable for good.
    pub fn ensure_key(&mut self, snapshot: &StoreSnapshot) -> Result<(), StoreError> {
        if self.keys.has_key() {
            return Ok(());
        }
        if snapshot.tokens > 0 {
            return Err(StoreError::NoKey { path: self.keys.file().to_owned() });
        }
        let mut keys = KeyRing::clone(&self.keys);
        keys.ensure()?;
        self.keys = Arc::new(keys);
        Ok(())
    }

    /// Looks for the key again, for a key that was mounted or changed since.
    pub fn reload_keys(&mut self, sources: &KeySources) -> Result<(), StoreError> {
        self.keys = Arc::new(KeyRing::find(sources, &self.key_folder)?);
        Ok(())
    }

    /// Reads everything of one moment. A database that does not exist reads as empty.
    pub fn read(&mut self) -> Result<StoreSnapshot, StoreError> {
        if !self.is_open() && !self.exists() {
            return Ok(absent());
        }
        self.connection()?;
        self.in_read_transaction(read::snapshot)
    }

    /// Reads just enough to know whether anything of interest changed.
    pub fn fingerprint(&mut self) -> Result<StoreFingerprint, StoreError> {
        if !self.is_open() && !self.exists() {
            return Ok(StoreFingerprint::default());
        }
        self.connection()?;
        self.in_read_transaction(|conn, present, _| read::fingerprint(conn, present))
    }

    /// Returns SQLite's counter of commits by others. It moves for every commit, of interest or not.
    pub fn data_version(&mut self) -> Result<i64, StoreError> {
        let path = self.path.clone();
        let conn = self.connection()?;
        conn.prepare_cached("PRAGMA data_version")
            .and_then(|mut query| query.query_row([], |row| row.get(0)))
            .doing("watch", &path)
    }

    /// Encrypts what a plan will write, before any lock is taken.
    pub fn seal(&self, plan: &Plan) -> Result<Sealed, StoreError> {
        apply::seal(plan, &self.keys)
    }

    /// Takes the write lock, creating the database where there is none.
    ///
    /// # Errors
    /// A database that stays locked for 3 s, that was replaced under us, or that is gone while backups of it exist.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        self.ensure_present()?;
        if !self.is_open() && !self.exists() {
            open::create(&self.path)?;
        }
        let path = self.path.clone();
        let fresh = self.is_fresh()?;
        let conn = self.connection()?;
        if !fresh {
            ensure_wal(conn).doing("open", &path)?;
        }
        conn.execute_batch("BEGIN IMMEDIATE").doing("lock", &path)?;
        open::refuse_unwritable(conn, &path)?;
        self.locked_at = Some(Instant::now());
        crash::point("transaction_begun");
        if self.has_moved() {
            self.rollback();
            return Err(StoreError::Moved { path });
        }
        // Only the lock makes it certain: the orchestrator may have filled the database since.
        self.fresh = fresh && self.is_fresh()?;
        Ok(())
    }

    /// Gives up what was written since [`begin`](Self::begin).
    pub fn rollback(&mut self) {
        // The schema's version goes back, too, and somebody else's change may reach the same number again.
        self.present = None;
        if let Some(conn) = &self.conn
            && !conn.is_autocommit()
            && conn.execute_batch("ROLLBACK").is_err()
        {
            // A connection that cannot roll back is not to be trusted; closing it rolls back.
            self.close();
        }
        self.note_unlocked();
    }

    fn note_unlocked(&mut self) {
        self.lock_times.extend(self.locked_at.take().map(|since| since.elapsed()));
        self.lock_times.truncate(MAX_LOCK_TIMES);
    }

    /// Writes a plan into the open transaction, reads it back, and records the revision.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the rows are not those the plan was made on. On any error the caller rolls
    /// back, and the store is as it was.
    pub fn apply(
        &mut self,
        plan: &Plan,
        sealed: &Sealed,
        record: &Record,
        backup: Option<&Backup>,
        now: SystemTime,
    ) -> Result<Applied, StoreError> {
        let path = self.path.clone();
        let planned_on_nothing = self.fresh && plan.store == StoreFingerprint::default();
        let seconds = seconds(now);
        let before = self.present()?;
        let conn = self.connection()?;
        let rows = read::fingerprint(conn, &before).doing("read", &path)?;
        if !planned_on_nothing && rows != plan.store {
            return Err(StoreError::Stale);
        }
        if !edits::is_recorded(conn, &before, rows).doing("read", &path)? {
            self.record_edit(None, None, now)?;
        }
        let conn = self.connection()?;
        apply::write_schema(conn, &before, plan, seconds).doing("write", &path)?;
        if !before.has_our_tables() {
            let inherited = self.inherited_identity();
            read::identify(self.connection()?, inherited.as_deref()).doing("write", &path)?;
        }
        let present = self.present()?;
        let Some(conn) = &self.conn else { return Err(StoreError::Moved { path }) };
        apply::write_steps(conn, &present, plan, sealed, seconds).doing("write", &path)?;
        let sections =
            plan.carried.as_ref().map(|carried| carried::to_text(carried, &self.keys)).transpose()?;
        apply::write_base(conn, plan, sections).doing("write", &path)?;
        if let Some(place) = &record.place {
            read::note_place(conn, place).doing("write", &path)?;
        }
        if let Some(kept) = &record.kept {
            good_source::write(conn, kept).doing("write", &path)?;
        }
        if plan.steps.is_empty() {
            let verified =
                crate::verify::Checker::default().finish(plan).map_err(StoreError::Verification)?;
            let rows = read::fingerprint(conn, &present).doing("read back", &path)?;
            edits::remember(conn, rows).doing("record", &path)?;
            return Ok(Applied { revision: None, rows, verified });
        }
        let (checker, read_back::Scanned { snapshot, rows }) =
            read_back::read_back(conn, &present, plan, &self.keys).doing("read back", &path)?;
        let verified = checker.finish(plan).map_err(StoreError::Verification)?;
        crash::point("verified");
        let backup = backup.map(|backup| backup.path.display().to_string());
        let carried = carried::to_text(&record.carried, &self.keys)?;
        let revision =
            history::write(conn, snapshot, plan, record, carried, backup, seconds).doing("record", &path)?;
        edits::remember(conn, rows).doing("record", &path)?;
        crash::point("history_written");
        Ok(Applied { revision: Some(revision), rows, verified })
    }

    /// Makes what was applied durable. Demands the proof that it was read back as promised.
    ///
    /// # Errors
    /// Whatever SQLite says; the rows are then as they were, unless a crash brings them back from the log: what the new
    /// ones need is not to be deleted. [`StoreError::Moved`] when the file at the path is no
    /// longer the one that was written.
    pub fn commit(&mut self, applied: &Applied) -> Result<usize, StoreError> {
        let path = self.path.clone();
        if self.has_moved() {
            self.rollback();
            return Err(StoreError::Moved { path });
        }
        let fresh = std::mem::take(&mut self.fresh);
        let conn = self.connection()?;
        conn.execute_batch("COMMIT").doing(error::COMMIT, &path)?;
        crash::point("committed");
        self.note_unlocked();
        if fresh {
            let conn = self.connection()?;
            // Filled before it is switched to WAL, a new database is written once instead of twice.
            ensure_wal(conn).doing("open", &path)?;
            files::sync_folder(path.parent().unwrap_or(Path::new(".")))?;
        }
        if self.has_moved() {
            return Err(StoreError::Moved { path });
        }
        Ok(applied.verified.rows)
    }
}

/// Seconds since the epoch, as the orchestrator writes times.
fn seconds(now: SystemTime) -> f64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A moment as part of a file name: sorts by time, in UTC.
fn stamp(now: SystemTime) -> String {
    jiff::Timestamp::try_from(now)
        .map_or_else(|_| "unknown".to_owned(), |now| now.strftime("%Y%m%dT%H%M%S%3fZ").to_string())
}
