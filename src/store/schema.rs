//! The orchestrator's tables and our own.
//!
//! Source: `_init_schema` in the orchestrator's `config_storage_sqlite.py`. Both sides create what is missing
//! and leave what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use super::StoreError;
use super::error::Doing as _;
use crate::model::{MissingSchema, Section};

/// Creates the orchestrator's schema where it is missing, exactly as the orchestrator does.
pub(super) const ORCHESTRATOR: &str = "
CREATE TABLE IF NOT EXISTS services (
    id TEXT PRIMARY KEY, name TEXT, type TEXT NOT NULL, enabled BOOLEAN DEFAULT 1,
    executable TEXT,
    base_url TEXT, api_type TEXT, api_key_encrypted TEXT, default_model TEXT,
    max_context_tokens INTEGER, capabilities TEXT, models TEXT,
    preferred_models TEXT, fallback_models TEXT, use_free_only BOOLEAN, max_retries INTEGER,
    retry_delay INTEGER, site_url TEXT, site_name TEXT, auto_start BOOLEAN, auto_detect_model BOOLEAN,
    created_at REAL NOT NULL, updated_at REAL NOT NULL,
    node_id TEXT,
    FOREIGN KEY (node_id) REFERENCES discovered_nodes(node_id) ON DELETE CASCADE
);
CREATE TABLE IF NOT EXISTS routing_rules (
    task_type TEXT PRIMARY KEY, primary_service TEXT NOT NULL, fallback_services TEXT,
    parallel_threshold_files INTEGER, timeout_seconds INTEGER,
    created_at REAL NOT NULL, updated_at REAL NOT NULL,
    FOREIGN KEY (primary_service) REFERENCES services(id)
);
CREATE TABLE IF NOT EXISTS execution_settings (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    max_parallel_workers INTEGER DEFAULT 3, timeout_seconds INTEGER DEFAULT 120,
    streaming BOOLEAN DEFAULT 1, retry_on_failure BOOLEAN DEFAULT 1, max_retries INTEGER DEFAULT 2,
    updated_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS discovered_nodes (
    node_id TEXT PRIMARY KEY, hostname TEXT NOT NULL, ip_address TEXT NOT NULL, port INTEGER NOT NULL,
    services TEXT NOT NULL, cpu_percent REAL, memory_percent REAL,
    active_tasks INTEGER DEFAULT 0, total_tasks INTEGER DEFAULT 0,
    healthy BOOLEAN DEFAULT 1, enabled BOOLEAN DEFAULT 1,
    first_seen REAL NOT NULL, last_seen REAL NOT NULL, oxide_version TEXT, features TEXT,
    UNIQUE (ip_address, port)
);
CREATE TABLE IF NOT EXISTS config_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, config_snapshot TEXT NOT NULL,
    change_description TEXT, created_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_services_enabled ON services(enabled);
CREATE INDEX IF NOT EXISTS idx_services_type ON services(type);
CREATE INDEX IF NOT EXISTS idx_routing_primary ON routing_rules(primary_service);
CREATE INDEX IF NOT EXISTS idx_nodes_healthy ON discovered_nodes(healthy);
CREATE INDEX IF NOT EXISTS idx_nodes_enabled ON discovered_nodes(enabled);
CREATE INDEX IF NOT EXISTS idx_nodes_last_seen ON discovered_nodes(last_seen DESC);
CREATE INDEX IF NOT EXISTS idx_history_created ON config_history(created_at DESC);
";

/// The index on a column that an older `services` table may lack.
pub(super) const NODE_INDEX: &str = "CREATE INDEX IF NOT EXISTS idx_services_node ON services(node_id)";

/// Inserts the execution row with its defaults where there is none, as the orchestrator does.
pub(super) const EXECUTION_ROW: &str = "INSERT INTO execution_settings (id, updated_at)
    SELECT 1, ?1 WHERE NOT EXISTS (SELECT 1 FROM execution_settings)";

/// Creates our own tables. They hold no plain text of any secret.
pub(super) const OPERATOR: &str = "
CREATE TABLE IF NOT EXISTS operator_meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS operator_base (
    section TEXT NOT NULL, id TEXT NOT NULL, agreed TEXT NOT NULL, held TEXT,
    PRIMARY KEY (section, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS operator_revision (
    id INTEGER PRIMARY KEY AUTOINCREMENT, history_id INTEGER NOT NULL, recorded_at REAL NOT NULL,
    actor TEXT NOT NULL, reason TEXT NOT NULL, source TEXT NOT NULL, source_digest TEXT NOT NULL,
    backup TEXT, carried TEXT NOT NULL, summary TEXT NOT NULL, changes TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS operator_edit (
    revision INTEGER PRIMARY KEY, programs TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS operator_snapshot_part (
    digest TEXT PRIMARY KEY, objects TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS operator_decision (
    kind TEXT NOT NULL, scope TEXT NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
    until REAL, detail TEXT NOT NULL, PRIMARY KEY (kind, scope)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS operator_source (
    position INTEGER PRIMARY KEY, origin TEXT NOT NULL, digest TEXT NOT NULL, name TEXT NOT NULL,
    content TEXT NOT NULL, sealed INTEGER NOT NULL, comments INTEGER NOT NULL, plaintext_secrets INTEGER NOT NULL
) STRICT;
";

/// Refuses a SQLite database that holds tables, and none of the orchestrator's or ours: it is another program's.
pub(super) fn check_is_a_configuration(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let names: Vec<String> = conn
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
        .doing("read", path)?;
    let known: Vec<&str> = names
        .iter()
        .map(|name| &**name)
        .filter(|name| TABLES.contains(name) || name.starts_with("operator_"))
        .collect();
    // Others call a table `services`, too.
    let is_ours = match known[..] {
        [] => names.is_empty(),
        ["services"] => has_column(conn, "services", "type").doing("read", path)?,
        _ => true,
    };
    if is_ours {
        return Ok(());
    }
    let shown: Vec<String> = names.iter().take(3).map(|name| format!("{name:?}")).collect();
    let looks_like = format!("a SQLite database of another program, with the tables {}", shown.join(", "));
    Err(StoreError::NotADatabase { path: path.to_owned(), looks_like })
}

fn has_column(conn: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)";
    conn.query_row(sql, (table, column), |row| row.get(0))
}

/// The orchestrator's tables.
const TABLES: [&str; 5] =
    ["services", "routing_rules", "execution_settings", "discovered_nodes", "config_history"];

/// The tables and columns that a database has.
#[derive(Debug, Default)]
pub(super) struct Present {
    columns: BTreeMap<String, BTreeSet<String>>,
}

impl Present {
    /// Reads the database's structure.
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut query = conn.prepare_cached(
            "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            columns.entry(row.get(0)?).or_default().insert(row.get(1)?);
        }
        Ok(Self { columns })
    }

    pub(super) fn has_table(&self, table: &str) -> bool {
        self.columns.contains_key(table)
    }

    /// Whether every table of ours is there.
    pub(super) fn has_our_tables(&self) -> bool {
        ["base", "decision", "edit", "meta", "revision", "snapshot_part", "source"]
            .into_iter()
            .all(|table| self.has_table(&format!("operator_{table}")))
    }

    pub(super) fn has_column(&self, table: &str, column: &str) -> bool {
        self.columns.get(table).is_some_and(|columns| columns.contains(column))
    }

    /// Returns what the orchestrator's schema has and this database lacks.
    pub(super) fn missing(&self) -> MissingSchema {
        let mut missing = MissingSchema::default();
        for section in Section::ALL {
            if !self.has_table(section.table()) {
                missing.tables.insert(section);
                continue;
            }
            let lacking = section
                .field_ids()
                .filter(|field| !self.has_column(section.table(), section.spec(*field).column))
                .map(|field| (section, field));
            missing.columns.extend(lacking);
        }
        missing.others = !self.has_table("discovered_nodes") || !self.has_table("config_history");
        missing
    }
}
