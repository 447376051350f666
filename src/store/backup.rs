//! Backups: a faithful, durable, private copy of the database before every write, with a copy of the source.
//!
//! Source for the method: <https://www.sqlite.org/backup.html>, in one step, because a copy in several steps
//! starts over at every commit of the other side.

use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup as SqliteBackup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::backup_record::{self, BackupRecord};
use super::error::Doing as _;
use super::files::{self, Temporary};
use super::key::KeyRing;
use super::schema::Present;
use super::{StoreError, crash, read, revision};
use crate::model::{Cause, Retention, SourceSnapshot, StoreFingerprint};

/// What the folder is called that holds the backups, where nobody chose another.
const FOLDER: &str = "backups";

pub(super) const PREFIX: &str = "config-";
pub(super) const SUFFIX: &str = ".db";

/// The source that goes with a backup.
#[derive(Clone, Copy, Debug)]
pub struct SourceCopy<'a> {
    /// What to copy.
    pub snapshot: &'a SourceSnapshot,
    /// Whether anything in it may be a secret: then the copy is encrypted, and without a key there is none.
    pub may_hold_secrets: bool,
}

/// What is copied, and what the copy must hold.
pub(super) struct Original<'a> {
    pub(super) reader: &'a Connection,
    pub(super) database: &'a Path,
    pub(super) folder: &'a Path,
    pub(super) present: &'a Present,
    pub(super) rows: StoreFingerprint,
    /// Why the backup is taken.
    pub(super) why: &'a str,
    pub(super) cause: Cause,
}

/// A backup that was checked.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The copy of the database.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

impl Backup {
    /// Its name: the file's, without the ending.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Deletes a backup of a state that was not left: a full disk is not filled further by trying again, and no
    /// older backup gives way to it.
    pub(crate) fn discard(&self) {
        remove_with_source(&self.path);
    }
}

/// The folder in which the backups of a database lie, with those of others perhaps.
#[derive(Clone, Debug)]
pub struct BackupFolder {
    path: PathBuf,
    database: PathBuf,
}

impl BackupFolder {
    /// The usual one, beside the database.
    pub fn beside(database: &Path) -> Self {
        Self { path: files::folder_of(database).join(FOLDER), database: database.to_owned() }
    }

    /// One of the user's choice.
    fn at(path: &Path, database: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { path, database: database.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The backups of the database, newest first: those with its identity; where either has none, those of its name.
    pub(super) fn list(&self, identity: Option<&str>) -> Vec<Listed> {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return Vec::new() };
        let mut backups: Vec<Listed> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(is_ours))
            .filter_map(|entry| {
                Some((entry.metadata().ok().filter(std::fs::Metadata::is_file)?, entry.path()))
            })
            .map(|(metadata, path)| Listed {
                record: backup_record::peek(&path),
                backup: Backup { bytes: metadata.len(), path },
            })
            .filter(|listed| self.holds_as_own(listed.record.as_ref(), identity))
            .collect();
        backups.sort_by(|one, two| two.backup.path.cmp(&one.backup.path));
        backups
    }

    /// Whether a file name is that of another database beside this one.
    fn is_of_a_sibling(&self, name: &str) -> bool {
        let is_name = !name.contains('/');
        is_name && name != file_name(&self.database) && self.database.with_file_name(name).is_file()
    }

    /// Refuses to take a folder that cannot be read for one without backups.
    pub(super) fn ensure_readable(&self) -> Result<(), StoreError> {
        match std::fs::read_dir(&self.path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(source).doing("read the backups in", &self.path)
            }
            _ => Ok(()),
        }
    }

    /// Whether a backup with such a record is one of the database.
    pub(super) fn holds_as_own(&self, record: Option<&BackupRecord>, identity: Option<&str>) -> bool {
        let database = &self.database;
        let of_record = |part: fn(&BackupRecord) -> Option<&String>| record.and_then(part);
        match (of_record(|it| it.database.as_ref()), identity, of_record(|it| it.file.as_ref())) {
            // A copy of a database has its identity: what is recorded for the other one is not ours.
            (Some(its), Some(ours), file) => {
                its == ours && !file.is_some_and(|file| self.is_of_a_sibling(file))
            }
            (_, _, Some(file)) => *file == file_name(database),
            // Of 0.1.0, or no backup of ours: that of the usual database, or of the only one there is.
            (_, _, None) => file_name(database) == USUAL || !database.with_file_name(USUAL).exists(),
        }
    }
}

/// Where the backups lie, and how many are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupOptions {
    /// The folder; `backups` beside the database when there is none.
    pub folder: Option<PathBuf>,
    /// How many, and for how long.
    pub retention: Retention,
}

impl BackupOptions {
    /// The folder of a database's backups.
    pub fn folder_of(&self, database: &Path) -> BackupFolder {
        match &self.folder {
            Some(folder) => BackupFolder::at(folder, database),
            None => BackupFolder::beside(database),
        }
    }
}

/// Copies the database, checks the copy against the rows that were read, makes it durable, and puts the
/// source beside it.
///
/// # Errors
/// [`StoreError::Stale`] when the database moved since then; anything else means there is no
/// backup, and the caller must not write.
pub(super) fn create(
    original: &Original<'_>,
    source: &SourceCopy<'_>,
    keys: &KeyRing,
    stamp: &str,
) -> Result<Backup, StoreError> {
    let folder = original.folder;
    files::create_folder(folder)?;
    let temporary = Temporary::beside(&numbered(folder, stamp, 0))?;
    copy(original.reader, original.database, temporary.path())?;
    let record = check(temporary.path(), original, keys)?;
    backup_record::append(temporary.path(), &record)?;
    let path = name(temporary.path(), folder, stamp)?;
    keep(&path, source, keys).inspect_err(|_| remove_with_source(&path))?;
    let bytes = std::fs::metadata(&path).doing("look at the backup", &path)?.len();
    Ok(Backup { path, bytes })
}

fn copy(reader: &Connection, database: &Path, temporary: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(temporary, flags).doing("create the backup", temporary)?;
    // Made durable once, below, instead of by SQLite at every step.
    target
        .execute_batch("PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF; PRAGMA locking_mode=EXCLUSIVE")
        .doing("create the backup", temporary)?;
    let copied = SqliteBackup::new(reader, &mut target).and_then(|backup| backup.step(-1));
    match copied.doing("back up", database)? {
        StepResult::Done => {}
        other => {
            let why = format!("copying ended with {other:?}");
            return Err(StoreError::Backup { path: database.to_owned(), why });
        }
    }
    crash::point("backup_copied");
    target.close().map_err(|(_, source)| source).doing("close the backup", temporary)
}

/// Opens a backup without leaving `-wal` or `-shm` files behind.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    super::open::open_immutable(path).doing("open the backup", path)
}

/// Compares the copy with the rows that were read; returns what it holds.
fn check(temporary: &Path, original: &Original<'_>, keys: &KeyRing) -> Result<BackupRecord, StoreError> {
    let copy = open(temporary)?;
    let sound: String =
        copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).doing("check the backup", temporary)?;
    // It is a copy page for page: what is wrong with it is wrong with the database.
    if let Some(why) = (sound != "ok").then_some(sound).or_else(|| header_fault(temporary)) {
        return Err(StoreError::unsound(original.database, why));
    }
    // An empty file passes every integrity check: the rows must be those the plan was made on.
    let rows = read::fingerprint(&copy, original.present).doing("check the backup", temporary)?;
    if rows != original.rows {
        return Err(StoreError::Stale);
    }
    crash::point("backup_checked");
    let record = record(&copy, original, keys).doing("check the backup", temporary)?;
    copy.close().map_err(|(_, source)| source).doing("close the backup", temporary)?;
    Ok(record)
}

/// What is wrong with the header of a copy, of which the checks of SQLite say nothing: with another version of the file
/// format than its two, it reads the file and refuses every write. Never asked of the database itself.
pub(super) fn header_fault(copy: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut header = [0; 20];
    crate::small_file::open_itself(copy).and_then(|mut file| file.read_exact(&mut header)).ok()?;
    let version = header[18];
    (!(1..=2).contains(&version)).then(|| format!("its header asks for version {version} of the file format"))
}

fn record(copy: &Connection, original: &Original<'_>, keys: &KeyRing) -> rusqlite::Result<BackupRecord> {
    let present = original.present;
    let count = |table: &str, filter: &str| -> rusqlite::Result<usize> {
        if !present.has_table(table) {
            return Ok(0);
        }
        let count: i64 =
            copy.query_row(&format!("SELECT count(*) FROM {table} {filter}"), [], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    };
    let local = if present.has_column("services", "node_id") { "node_id IS NULL" } else { "1" };
    let mut tokens = 0;
    if present.has_column("services", "api_key_encrypted") {
        tokens = count("services", &format!("WHERE {local} AND api_key_encrypted <> ''"))?;
    }
    Ok(BackupRecord {
        database: if present.has_table("operator_meta") { read::identity(copy)? } else { None },
        file: Some(file_name(original.database)),
        revision: revision::newest(copy, present)?,
        why: original.why.to_owned(),
        cause: original.cause,
        key_fingerprint: keys.present_fingerprint(),
        rows: original.rows.to_string(),
        services: count("services", &format!("WHERE {local}"))?,
        rules: count("routing_rules", "")?,
        tokens,
        sqlite: rusqlite::version().to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Gives the checked copy its name, puts the source beside it, and makes all of it durable.
///
/// The name comes before the syncs, so that the file system writes its journal once: that is most of what a backup
/// costs. A killed process leaves either no name or a whole copy; a power cut before the syncs can leave a name
/// without content, before anything was written to the database, and restoring checks a backup first anyway.
fn keep(path: &Path, source: &SourceCopy<'_>, keys: &KeyRing) -> Result<(), StoreError> {
    let copies = copy_source(source, path, keys)?;
    crash::point("source_copied");
    files::sync_file(path)?;
    for (copy, path) in &copies {
        copy.sync_all().doing("sync", path)?;
    }
    files::sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    crash::point("backup_synced");
    Ok(())
}

/// Copies the source's documents beside a backup. A document that may hold API keys in plain text is
/// encrypted whole, so that no copy of ours shows one.
fn copy_source(
    source: &SourceCopy<'_>,
    path: &Path,
    keys: &KeyRing,
) -> Result<Vec<(std::fs::File, PathBuf)>, StoreError> {
    use std::io::Write as _;
    let stem = path.with_extension("");
    let mut copies = Vec::new();
    if source.may_hold_secrets && !keys.has_key() {
        return Ok(copies);
    }
    for document in &source.snapshot.documents {
        let name = document.name.rsplit('/').next().unwrap_or("source.yaml");
        let sealed = source.may_hold_secrets.then(|| keys.seal_bytes(&document.bytes)).transpose()?;
        let (bytes, ending) = match &sealed {
            Some(token) => (token.as_bytes(), ".fernet"),
            None => (&document.bytes[..], ""),
        };
        let copy = PathBuf::from(format!("{}.{name}{ending}", stem.display()));
        let mut file = files::create_private(&copy)?;
        file.write_all(bytes).doing("copy the source to", &copy)?;
        copies.push((file, copy));
    }
    Ok(copies)
}

/// How many backups may be named by the same millisecond.
const SAME_MOMENT: u32 = 1_000;

/// Gives a copy a name that no other process has taken in the same millisecond: neither may delete the other's.
fn name(temporary: &Path, folder: &Path, stamp: &str) -> Result<PathBuf, StoreError> {
    let mut taken = Ok(());
    for number in 0..SAME_MOMENT {
        let path = numbered(folder, stamp, number);
        taken = rename_to_free(temporary, &path);
        match &taken {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            _ => {
                taken.doing("rename the backup", &path)?;
                crash::point("backup_renamed");
                return Ok(path);
            }
        }
    }
    taken.doing("rename the backup", temporary).map(|()| temporary.to_owned())
}

fn rename_to_free(from: &Path, to: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot do this, as some in user space.
        Err(rustix::io::Errno::INVAL) if to.exists() => Err(std::io::ErrorKind::AlreadyExists.into()),
        Err(rustix::io::Errno::INVAL) => std::fs::rename(from, to),
        done => Ok(done?),
    }
}

fn numbered(folder: &Path, stamp: &str, number: u32) -> PathBuf {
    let number = if number == 0 { String::new() } else { format!("-{number}") };
    folder.join(format!("{PREFIX}{stamp}{number}{SUFFIX}"))
}

/// Whether a name is one that we give: a time, and letters, digits and hyphens behind it. Whoever may write into the folder
/// may put other files there, whose names are printed in commands.
fn is_ours(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) else {
        return false;
    };
    let Some((stamp, ending)) = rest.split_once('Z') else { return false };
    let shape = stamp.bytes().map(|byte| if byte.is_ascii_digit() { b'd' } else { byte });
    shape.eq(*b"ddddddddTddddddddd")
        && (ending.is_empty() || ending.starts_with('-'))
        && ending.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A backup, and what it says of itself.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The file.
    pub backup: Backup,
    /// What it says of itself; none in one without a record. Not compared with its bytes.
    pub record: Option<BackupRecord>,
}

/// The usual name of the database.
pub(super) const USUAL: &str = "config.db";

fn file_name(database: &Path) -> String {
    database.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Lists the backups beside a database that are of its name, newest first, without asking the database who it is.
pub fn backups_of_name(database: &Path) -> Vec<Backup> {
    BackupFolder::beside(database).list(None).into_iter().map(|listed| listed.backup).collect()
}

fn remove_with_source(backup: &Path) {
    let Some(folder) = backup.parent() else { return };
    let stem = format!("{}.", backup.with_extension("").file_name().unwrap_or_default().to_string_lossy());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(&stem) && entry.path() != backup {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    let _ = std::fs::remove_file(backup);
}
