//! All tables of a database, byte for byte, ready to be compared and read.

use std::collections::BTreeMap;

use rusqlite::Connection;

/// Table by table: one text per row, each column with its type and bytes as an SQL literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows(BTreeMap<String, Vec<String>>);

impl Rows {
    pub(crate) fn of(conn: &Connection) -> Self {
        let tables = texts(conn, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
        Self(tables.into_iter().map(|table| (table.clone(), rows(conn, &table))).collect())
    }

    /// The rows of one table; none when it does not exist.
    pub(crate) fn table(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Everything but our own bookkeeping and the history: what the orchestrator runs on.
    pub(crate) fn of_the_orchestrator(&self) -> Self {
        let ours = |table: &str| {
            table.starts_with("operator_") || table == "config_history" || table == "sqlite_sequence"
        };
        Self(
            self.0
                .iter()
                .filter(|(table, _)| !ours(table))
                .map(|(table, rows)| (table.clone(), rows.clone()))
                .collect(),
        )
    }

    /// The rows of one table that contain `text`.
    pub(crate) fn with(&self, table: &str, text: &str) -> Vec<&str> {
        self.table(table).iter().filter(|row| row.contains(text)).map(String::as_str).collect()
    }
}

fn rows(conn: &Connection, table: &str) -> Vec<String> {
    let columns = texts(conn, &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"));
    let quoted: Vec<String> =
        columns.iter().map(|column| format!("'{column}=' || quote(\"{column}\")")).collect();
    texts(conn, &format!("SELECT {} FROM \"{table}\"", quoted.join(" || ' ' || ")))
}

/// The first column of a query.
pub(crate) fn texts(conn: &Connection, sql: &str) -> Vec<String> {
    let mut query = conn.prepare(sql).unwrap_or_else(|error| panic!("{error} in {sql}"));
    let rows = query.query_map([], |row| row.get(0)).expect("a query without parameters");
    rows.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error} in {sql}"))
}
