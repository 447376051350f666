//! Back to YAML only: the database set aside as a backup, and put back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::backup::{self, BackupFolder, PREFIX, SUFFIX};
use super::error::Doing as _;
use super::schema::Present;
use super::{Store, StoreError, connection, crash, files, quarantine, read, stamp};
use crate::model::StoreFingerprint;

/// What the name of a retired database has before its ending.
const RETIRED: &str = "-retired";

/// The same for one that gave way to a retired one.
const REPLACED: &str = "-replaced";

/// What was done to bring a retired database back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtBack {
    /// The copy that it came from, which stays.
    pub from: PathBuf,
    /// Where the database lies that was in its place, among the backups.
    pub set_aside: Option<PathBuf>,
}

impl Store {
    /// Moves the database among its backups, so that the orchestrator finds none and reads its YAML.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while anybody else has it open: what they wrote afterwards would be lost.
    /// [`StoreError::Stale`] when its rows are no longer those of `expected`. The database is then where it was.
    ///
    /// # Guarantees
    /// At every moment there is one whole copy, under the old name or the new one.
    pub fn retire(&mut self, expected: StoreFingerprint, now: SystemTime) -> Result<PathBuf, StoreError> {
        self.set_aside(RETIRED, expected, now)
    }

    fn set_aside(
        &mut self,
        ending: &str,
        expected: StoreFingerprint,
        now: SystemTime,
    ) -> Result<PathBuf, StoreError> {
        let path = self.path().to_owned();
        // Beside the database, wherever its backups lie: a file is renamed within one file system only.
        let folder = BackupFolder::beside(&path);
        files::create_folder(folder.path())?;
        let retired = folder.path().join(format!("{PREFIX}{}{ending}{SUFFIX}", stamp(now)));
        self.reader = None;
        let moved = self.move_to(&retired, expected);
        if moved.is_err() {
            self.rollback();
            if let Ok(conn) = self.connection() {
                let _ = connection::ensure_wal(conn);
            }
        }
        self.close();
        moved.map(|()| retired)
    }

    fn move_to(&mut self, retired: &Path, expected: StoreFingerprint) -> Result<(), StoreError> {
        let path = self.path().to_owned();
        let present = self.present()?;
        let conn = self.connection()?;
        // SQLite leaves WAL mode only when nobody else has the database open, and writes the log back first.
        let alone = conn.query_row("PRAGMA journal_mode=DELETE", [], |row| row.get::<_, String>(0));
        match alone.doing("retire", &path) {
            Ok(mode) if mode == "delete" => {}
            Ok(_) => return Err(StoreError::InUse { path }),
            Err(error) if error.reason() == "locked" => return Err(StoreError::InUse { path }),
            Err(error) => return Err(error),
        }
        conn.execute_batch("BEGIN EXCLUSIVE").doing("retire", &path)?;
        if read::fingerprint(conn, &present).doing("retire", &path)? != expected {
            return Err(StoreError::Stale);
        }
        crash::point("retire_locked");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).doing("protect", &path)?;
        std::fs::rename(&path, retired).doing("retire", &path)?;
        crash::point("retired");
        files::sync_folder(retired.parent().unwrap_or(Path::new(".")))?;
        files::sync_folder(path.parent().unwrap_or(Path::new(".")))
    }

    /// Puts a retired database back, as a copy: the one of this name, else the one that was retired last. A database
    /// that is in its place is set aside under a name of its own, so that the next call does not take it for a
    /// retired one.
    ///
    /// # Errors
    /// [`StoreError::Occupied`] when the database that is there is the one that was retired last: it is back already.
    /// [`StoreError::InUse`] while anybody has the present one open.
    pub fn bring_back(&mut self, name: Option<&str>, now: SystemTime) -> Result<BroughtBack, StoreError> {
        let path = self.path().to_owned();
        let from = retired(&path, name).ok_or_else(|| StoreError::NothingRetired {
            path: path.clone(),
            name: name.map(str::to_owned),
        })?;
        let mut set_aside = None;
        if self.exists() && !self.is_empty_file() {
            let live = self.read()?;
            // A database that was made again inherits the identity: only the history tells the two apart.
            let same = newest_in(&from).is_some_and(|newest| self.has_revision(newest));
            if live.has_configuration() && same && name.is_none() {
                return Err(StoreError::Occupied { path });
            }
            set_aside = Some(self.set_aside(REPLACED, live.fingerprint, now)?);
        }
        self.put_back(&from)?;
        Ok(BroughtBack { from, set_aside })
    }

    /// Whether the history has a revision of this number and time.
    fn has_revision(&mut self, (number, recorded_at): (i64, f64)) -> bool {
        let found = self.in_read_transaction(|conn, present, _| {
            if !present.has_table("operator_revision") {
                return Ok(false);
            }
            let sql = "SELECT EXISTS (SELECT 1 FROM operator_revision WHERE id = ?1 AND recorded_at = ?2)";
            conn.query_row(sql, (number, recorded_at), |row| row.get(0))
        });
        found.unwrap_or(false)
    }

    /// Puts a whole copy of a backup where no database is.
    ///
    /// # Errors
    /// There is a database: its rows are restored instead, in a transaction.
    pub fn put_back(&self, backup: &Path) -> Result<(), StoreError> {
        let path = self.path();
        if let Some(folder) = path.parent() {
            files::create_folder(folder)?;
        }
        let copy = quarantine::copy_beside(backup, path)?;
        // A log that outlived its database would be played into the one that is put back.
        quarantine::set_logs_aside(path, &quarantine::folder(path, &stamp(SystemTime::now())))?;
        if self.is_empty_file() {
            copy.replace(path).doing("put the backup at", path)?;
            return files::sync_folder(path.parent().unwrap_or(Path::new(".")));
        }
        // A database that was made meanwhile stays.
        copy.place(path).doing("put the backup at", path)?;
        files::sync_folder(path.parent().unwrap_or(Path::new(".")))
    }
}

/// Returns the newest retired database, or the database that was set aside under this name.
fn retired(database: &Path, name: Option<&str>) -> Option<PathBuf> {
    let backups = BackupFolder::beside(database).list(None).into_iter().map(|listed| listed.backup);
    let retired = format!("{RETIRED}{SUFFIX}");
    let mut wanted = backups.filter(|backup| match name {
        Some(name) => backup.name() == name.trim_end_matches(SUFFIX),
        None => backup.path.to_string_lossy().ends_with(&retired),
    });
    wanted.next().map(|backup| backup.path)
}

/// The newest revision in a copy, with its time; none where it has none.
fn newest_in(copy: &Path) -> Option<(i64, f64)> {
    let conn = backup::open(copy).ok()?;
    let present = Present::read(&conn).ok()?;
    let newest = "SELECT id, recorded_at FROM operator_revision ORDER BY id DESC LIMIT 1";
    present
        .has_table("operator_revision")
        .then(|| conn.query_row(newest, [], |row| Ok((row.get(0)?, row.get(1)?))).ok())?
}
