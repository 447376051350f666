//! A world in a temporary folder: a source, a database and a key, and the two sides that edit them.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![expect(clippy::disallowed_methods, reason = "a world is made of files")]

pub(crate) mod python;
pub(crate) mod rows;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxide_operator::export::{ExportOptions, ExportedSecrets, to_yaml};
use oxide_operator::model::{Policy, SourceSnapshot, StoreSnapshot};
use oxide_operator::plan::Plan;
use oxide_operator::report::{Outcome, SyncReport};
use oxide_operator::source::Secrets;
use oxide_operator::store::{Access, KeySources, KeyText, Store};
use oxide_operator::sync::{Input, Mode, Pass, sync_once};
use rusqlite::Connection;

use rows::Rows;

/// The key of the Fernet specification's own test vectors.
pub(crate) const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";

/// The sample that comes with the project: six services, nine rules.
pub(crate) const SAMPLE: &str = include_str!("../../config/default.yaml");

/// The schema as the orchestrator creates it, with the execution row and nothing else.
pub(crate) const ORCHESTRATOR_SCHEMA: &str = include_str!("orchestrator.sql");

/// A folder with `default.yaml`, `config.db` and a key, none of which need exist yet.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// Nothing is there yet.
    pub(crate) fn empty() -> Self {
        // In memory where there is such a place: the laws are about values, and a disk makes them wait.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { folder: folder.expect("a temporary folder") }
    }

    /// The sample, in the source and in the database.
    pub(crate) fn migrated() -> Self {
        Self::migrated_from(SAMPLE)
    }

    /// `source`, in the source and in the database.
    pub(crate) fn migrated_from(source: &str) -> Self {
        let world = Self::empty().with_source(source);
        let report = world.apply(&Policy::default());
        let done = matches!(report.outcome, Outcome::Applied | Outcome::InSync);
        assert!(done, "the migration did not succeed: {} {:#?}", report.summary, report.findings);
        world
    }

    /// A database that the orchestrator created and `sql` filled; the source is `source`.
    pub(crate) fn never_met(sql: &str, source: &str) -> Self {
        let world = Self::empty().with_source(source);
        world.as_the_orchestrator().execute_batch(ORCHESTRATOR_SCHEMA).expect("its own schema");
        world.edit_database(sql)
    }

    pub(crate) fn with_source(self, source: &str) -> Self {
        fs::write(self.source_path(), source).expect("the source is written");
        self
    }

    pub(crate) fn edit_source(&self, edit: impl FnOnce(String) -> String) -> &Self {
        let before = self.source_text();
        let after = edit(before.clone());
        assert_ne!(before, after, "the edit changes something");
        fs::write(self.source_path(), after).expect("the source is written");
        self
    }

    /// Edits as the orchestrator does: its pragmas, and `updated_at` moves with every update. `token('x')` is an
    /// encrypted API key.
    pub(crate) fn edit_database(self, sql: &str) -> Self {
        self.database(sql);
        self
    }

    /// [`edit_database`](Self::edit_database) on a world that is kept elsewhere.
    pub(crate) fn database(&self, sql: &str) {
        let bumped =
            ["services", "routing_rules", "execution_settings"].iter().fold(sql.to_owned(), |sql, table| {
                let set = format!("UPDATE {table} SET ");
                sql.replace(&set, &format!("{set}updated_at = updated_at + 1, "))
            });
        self.as_the_orchestrator()
            .execute_batch(&with_tokens(&bumped))
            .unwrap_or_else(|error| panic!("{error} in {bumped}"));
    }

    /// A connection as the orchestrator opens it.
    pub(crate) fn as_the_orchestrator(&self) -> Connection {
        let conn = Connection::open(self.database_path()).expect("the database opens");
        conn.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())).expect("it asks for WAL");
        // Python's SQLite leaves them off; the bundled one turns them on.
        conn.pragma_update(None, "foreign_keys", false).expect("a pragma");
        conn
    }

    pub(crate) fn plan(&self, policy: &Policy) -> Arc<Plan> {
        let report = self.pass(Mode::Plan, policy);
        report.plan.unwrap_or_else(|| panic!("no plan: {} {:?}", report.summary, report.findings))
    }

    pub(crate) fn apply(&self, policy: &Policy) -> SyncReport {
        self.pass(Mode::Apply, policy)
    }

    pub(crate) fn pass(&self, mode: Mode, policy: &Policy) -> SyncReport {
        let access = if mode == Mode::Plan { Access::Read } else { Access::Write };
        let source = SourceSnapshot::of("file:default.yaml", "default.yaml", self.source_text());
        let secrets = Secrets::new(self.path());
        let input = Input { source: &source, known: None, secrets: &secrets };
        let pass = Pass { mode, ..Pass::apply(policy, "test", "test") };
        sync_once(&input, &mut self.store(access), &pass).report
    }

    pub(crate) fn store(&self, access: Access) -> Store {
        Store::at(&self.database_path(), access, &keys()).expect("a store")
    }

    /// What the store holds, as the program reads it.
    pub(crate) fn snapshot(&self) -> StoreSnapshot {
        self.store(Access::Read).read().expect("a readable store")
    }

    /// The database as a YAML that is a source again.
    pub(crate) fn export(&self, minimal: bool, with_secrets: bool) -> String {
        let mut store = self.store(Access::Read);
        let snapshot = store.read().expect("a readable store");
        let keys = Arc::clone(store.keys());
        let open = move |token: &str| keys.open_token(token);
        let secrets = if with_secrets { ExportedSecrets::Plain(&open) } else { ExportedSecrets::Tokens };
        to_yaml(&snapshot.live, &snapshot.carried, &ExportOptions { minimal, secrets })
    }

    /// Every table, byte for byte.
    pub(crate) fn rows(&self) -> Rows {
        Rows::of(&self.as_the_orchestrator())
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn source_path(&self) -> PathBuf {
        self.path().join("default.yaml")
    }

    pub(crate) fn source_text(&self) -> String {
        fs::read_to_string(self.source_path()).expect("the source is readable")
    }

    pub(crate) fn database_path(&self) -> PathBuf {
        self.path().join("config.db")
    }

    /// The files beside the database whose names start with `prefix`, backups and quarantine included.
    pub(crate) fn files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join(folder)).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.sort();
        files
    }
}

/// A Fernet token of `plain` under the fixed key.
pub(crate) fn token(plain: &str) -> String {
    fernet::Fernet::new(KEY).expect("a key").encrypt(plain.as_bytes())
}

/// Replaces every `token('x')` by an SQL text with the Fernet token of `x`.
fn with_tokens(sql: &str) -> String {
    let mut parts = sql.split("token('");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (plain, rest) = part.split_once("')").expect("token('…') is closed");
        text += &format!("'{}'{rest}", token(plain));
    }
    text
}

/// The fixed key, as the environment gives it.
pub(crate) fn keys() -> KeySources {
    KeySources { environment: Some(KeyText::new(KEY.to_owned())), ..KeySources::default() }
}

/// A policy as the user writes it.
pub(crate) fn policy(json: &str) -> Policy {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}"))
}

/// The source wins, everywhere.
pub(crate) fn source_wins() -> Policy {
    policy(r#"{"onDrift": "revert", "onConflict": "source"}"#)
}
