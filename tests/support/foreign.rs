//! The other side: a thread that writes as the orchestrator does, and remembers what was acknowledged.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// A cell that the orchestrator wrote: table, id column, id, column.
pub(crate) type Cell = (&'static str, &'static str, &'static str, &'static str);

/// The last acknowledged value of each cell.
pub(crate) type Acknowledged = BTreeMap<Cell, i64>;

/// A field that the sample does not declare.
const UNDECLARED: Cell = ("services", "id", "gemini", "max_retries");
/// A field that the sample declares; the policy keeps what the orchestrator wrote.
const DRIFTED: Cell = ("routing_rules", "task_type", "quick_query", "timeout_seconds");
/// A service of another machine.
const REMOTE: Cell = ("services", "id", "ollama@node-2", "max_context_tokens");
/// A service that only the database has.
const EXTRA: Cell = ("services", "id", "from_the_ui", "max_context_tokens");
const HEARTBEAT: Cell = ("discovered_nodes", "node_id", "node-2", "active_tasks");

/// Paths, as `Place::values` names them, that this side moves.
pub(crate) fn is_foreign(path: &str) -> bool {
    path == "services.gemini.max_retries"
        || path == "routing_rules.quick_query.timeout_seconds"
        || path.starts_with("services.from_the_ui.")
}

/// What the orchestrator does about a schema that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Schema {
    /// It was not started before; it finds whatever is there.
    Await,
    /// It creates database and tables itself, at any moment.
    Create,
}

/// The writing thread.
pub(crate) struct Orchestrator {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Acknowledged>,
}

impl Orchestrator {
    pub(crate) fn start(db: PathBuf, schema: Schema) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || write_until(&db, schema, &seen));
        Self { stop, thread }
    }

    /// Ends after the write under way; returns what was acknowledged.
    pub(crate) fn stop(self) -> Acknowledged {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the orchestrator's thread")
    }
}

/// Reads back what was acknowledged; returns the cells that hold something else.
pub(crate) fn lost(conn: &Connection, acknowledged: &Acknowledged) -> Vec<String> {
    let mut lost = Vec::new();
    for ((table, id_column, id, column), value) in acknowledged {
        let sql = format!("SELECT {column} FROM {table} WHERE {id_column} = ?1");
        let found: rusqlite::Result<i64> = conn.query_row(&sql, [id], |row| row.get(0));
        if found.as_ref() != Ok(value) {
            lost.push(format!("{table}.{id}.{column}: {value} was acknowledged, found {found:?}"));
        }
    }
    lost
}

fn write_until(db: &std::path::Path, schema: Schema, stop: &AtomicBool) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let mut conn = None;
    let mut value = 1_000;
    while !stop.load(Ordering::SeqCst) {
        value += 1;
        if conn.is_none() {
            conn = open(db, schema).ok();
        }
        if let Some(conn) = &conn {
            for (cell, written) in writes(conn, value) {
                if written == Ok(1) {
                    acknowledged.insert(cell, value);
                }
            }
        }
        // Every other round ends with a close: the last one to close checkpoints and removes the log.
        if value % 2 == 0 {
            conn = None;
        }
        // The pace of its writes.
        std::thread::sleep(Duration::from_micros(300));
    }
    acknowledged
}

fn open(db: &std::path::Path, schema: Schema) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if schema == Schema::Create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
        std::fs::create_dir_all(db.parent().expect("a folder")).expect("created");
    }
    let conn = Connection::open_with_flags(db, flags)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "foreign_keys", false)?;
    if schema == Schema::Create {
        conn.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
        conn.execute_batch(&schema_if_missing())?;
    }
    Ok(conn)
}

/// Statement by statement, each its own commit, as Python's `executescript` does it.
fn schema_if_missing() -> String {
    include_str!("orchestrator.sql")
        .replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ")
        .replace("CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ")
        .replace("INSERT INTO execution_settings", "INSERT OR IGNORE INTO execution_settings")
}

/// One round of writes, each its own commit, with the orchestrator's own statements.
fn writes(conn: &Connection, value: i64) -> Vec<(Cell, rusqlite::Result<usize>)> {
    let now = 1_700_000_000.0 + value as f64;
    let mut done = vec![(
        HEARTBEAT,
        conn.execute(
            "INSERT INTO discovered_nodes (node_id, hostname, ip_address, port, services, active_tasks, first_seen, last_seen)
             VALUES ('node-2', 'node-2', '192.0.2.2', 8000, '{}', ?1, ?2, ?2)
             ON CONFLICT(node_id) DO UPDATE SET active_tasks = excluded.active_tasks, last_seen = excluded.last_seen",
            (value, now),
        ),
    )];
    let edited = conn
        .execute("UPDATE services SET max_retries = ?1, updated_at = ?2 WHERE id = 'gemini'", (value, now));
    let configured = edited == Ok(1);
    done.push((UNDECLARED, edited));
    if !configured {
        // An orchestrator without services has nobody who edits them.
        return done;
    }
    done.push((
        DRIFTED,
        conn.execute(
            "UPDATE routing_rules SET timeout_seconds = ?1, updated_at = ?2 WHERE task_type = 'quick_query'",
            (value, now),
        ),
    ));
    for (cell, node) in [(REMOTE, Some("node-2")), (EXTRA, None)] {
        let written = conn.execute(
            "INSERT OR REPLACE INTO services (id, name, type, base_url, max_context_tokens, created_at, updated_at, node_id)
             VALUES (?1, ?1, 'http', 'http://192.0.2.2:11434', ?2, ?3, ?3, ?4)",
            (cell.2, value, now, node),
        );
        done.push((cell, written));
    }
    done
}
