//! The real binary in a folder of its own, and the database as the orchestrator sees it: through raw SQL.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_oxide-operator");

/// The reference sample of the migration guide.
pub(crate) const SAMPLE: &str = include_str!("../../config/default.yaml");

/// Where a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

/// A folder that is home and working folder at once: `config/default.yaml` and `.oxide/config.db` in it are the
/// defaults of every command.
pub(crate) struct Place {
    _dir: Option<TempDir>,
    root: PathBuf,
}

impl Place {
    pub(crate) fn new(yaml: &str) -> Self {
        let place = Self::empty();
        place.write_yaml(yaml);
        place
    }

    pub(crate) fn empty() -> Self {
        Self::within(tempfile::tempdir().expect("a folder"))
    }

    /// Uses a folder, and removes it in the end.
    pub(crate) fn within(dir: TempDir) -> Self {
        let root = fs::canonicalize(dir.path()).expect("resolves");
        Self { _dir: Some(dir), root }
    }

    /// A migrated store, and a source that has moved on since.
    pub(crate) fn edited() -> Self {
        let place = Self::new(SAMPLE);
        place.expect(0, &["migrate", "--no-backup"]);
        let edited =
            SAMPLE.replace("timeout_seconds: 45", "timeout_seconds: 46").replace("key-0000", "key-1111");
        place.write_yaml(&edited);
        place
    }

    /// Uses a folder that somebody else removes.
    pub(crate) fn at(root: &Path) -> Self {
        Self { _dir: None, root: fs::canonicalize(root).expect("resolves") }
    }

    /// A copy of a folder whose database nobody has open.
    pub(crate) fn copy_of(other: &Self) -> Self {
        let place = Self::empty();
        other.copy_into(&place.root);
        place
    }

    pub(crate) fn copy_into(&self, target: &Path) {
        copy_folder(&self.root, target);
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn yaml(&self) -> PathBuf {
        self.root.join("config/default.yaml")
    }

    pub(crate) fn oxide(&self) -> PathBuf {
        self.root.join(".oxide")
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.oxide().join("config.db")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.oxide().join("encryption.key")
    }

    pub(crate) fn write_yaml(&self, text: &str) {
        fs::create_dir_all(self.root.join("config")).expect("a folder");
        fs::write(self.yaml(), text).expect("written");
    }

    /// A program with this folder as its home, and nothing else in its environment.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(&self.root).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.root).env("USER", "alice").env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
        command
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(BINARY);
        command.args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// Runs a command that must end with `code`.
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code(), Some(code), "{arguments:?} ended otherwise: {said:#?}");
        said
    }

    /// Opens the database as the orchestrator's connections do.
    pub(crate) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(self.db(), flags)?;
        conn.busy_timeout(std::time::Duration::from_secs(5))?;
        conn.pragma_update(None, "foreign_keys", false)?;
        Ok(conn)
    }

    /// What SQLite says about the database's soundness.
    pub(crate) fn integrity(&self) -> String {
        let conn = self.connect().expect("opens");
        conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("answers")
    }

    /// Every managed value as text, by path; keys decrypted. Rows of other machines and times are left out. Empty
    /// for a database that is not there or holds no table yet.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        self.values_under(&[self.key_file()])
    }

    /// The same where a token may be under any key that lies beside the database: a new one, a retired one.
    pub(crate) fn values_under_any_key(&self) -> BTreeMap<String, String> {
        let of_key = |path: &PathBuf| {
            path.parent() == Some(&self.oxide())
                && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("encryption.key"))
        };
        self.values_under(&self.files().into_iter().filter(of_key).collect::<Vec<_>>())
    }

    fn values_under(&self, keys: &[PathBuf]) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        if !self.db().exists() {
            return values;
        }
        let conn = self.connect().expect("opens");
        for (table, id) in [("services", "id"), ("routing_rules", "task_type"), ("execution_settings", "id")]
        {
            values.extend(table_values(&conn, table, id, keys));
        }
        values
    }

    /// Every row of every table, as text: two equal dumps mean that nothing was written.
    pub(crate) fn dump(&self) -> Vec<String> {
        let conn = self.connect().expect("opens");
        let mut tables = conn
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .expect("a query");
        let tables: Vec<String> = tables
            .query_map([], |row| row.get(0))
            .expect("a query")
            .collect::<Result<_, _>>()
            .expect("names");
        let mut dump = Vec::new();
        for table in tables {
            let mut query = conn.prepare(&format!("SELECT * FROM {table}")).expect("a query");
            let columns = query.column_count();
            let mut rows = query.query([]).expect("a query");
            while let Some(row) = rows.next().expect("a row") {
                let cells: Vec<String> =
                    (0..columns).map(|at| text(row.get_ref(at).expect("a cell"))).collect();
                dump.push(format!("{table}: {}", cells.join("|")));
            }
        }
        dump
    }

    /// Every file below the folder.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        walk(&self.root, &mut |path| files.push(path.to_owned()));
        files.retain(|path| !path.is_dir());
        files.sort();
        files
    }

    /// Every folder below the folder.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        walk(&self.root, &mut |path| folders.push(path.to_owned()));
        folders.retain(|path| path.is_dir());
        folders
    }

    /// What a killed or failed process left half-made: temporary files, and copies of a source whose backup is
    /// not there.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files = self.files();
        let orphan = |path: &Path| {
            let in_backups = path.parent().is_some_and(|folder| folder.ends_with("backups"));
            let stem = name(path).split('.').next().unwrap_or_default().to_owned();
            in_backups && !path.with_file_name(format!("{stem}.db")).exists()
        };
        let temporary =
            |path: &Path| [".tmp-", ".restore-", "-journal"].iter().any(|part| name(path).contains(part));
        files.into_iter().filter(|path| temporary(path) || orphan(path)).collect()
    }
}

fn table_values(conn: &Connection, table: &str, id: &str, keys: &[PathBuf]) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let local = if table == "services" { "WHERE node_id IS NULL" } else { "" };
    let Ok(mut query) = conn.prepare(&format!("SELECT * FROM {table} {local}")) else { return values };
    let columns: Vec<String> = query.column_names().map(str::to_owned).collect();
    let mut rows = query.query([]).expect("a query");
    while let Some(row) = rows.next().expect("a row") {
        let name = text(row.get_ref(id).expect("an id"));
        for column in columns.iter().filter(|column| !column.ends_with("_at")) {
            let raw = row.get_ref(column.as_str()).expect("a value");
            let value = match (column.as_str(), raw) {
                ("api_key_encrypted", ValueRef::Text(token)) => decrypt(token, keys),
                (_, raw) => text(raw),
            };
            values.insert(format!("{table}.{name}.{column}"), value);
        }
    }
    values
}

/// Opens a token as the orchestrator would, with the first of some key files that does.
fn decrypt(token: &[u8], keys: &[PathBuf]) -> String {
    let token = std::str::from_utf8(token).expect("text");
    let opened = keys.iter().find_map(|key| {
        let key = fs::read_to_string(key).expect("a key file beside a store with tokens");
        fernet::Fernet::new(key.trim()).expect("a Fernet key").decrypt(token).ok()
    });
    String::from_utf8(opened.unwrap_or_else(|| panic!("a token does not decrypt: {token}"))).expect("text")
}

/// Runs a command to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.output().expect("starts");
    Said {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
    }
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("an entry").path();
        visit(&path);
        if path.is_dir() {
            walk(&path, visit);
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("created");
            fs::set_permissions(&target, entry.metadata().expect("there").permissions()).expect("set");
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}
