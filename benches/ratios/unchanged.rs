//! What `run` does when the database changed and nothing of interest did, beside merely reading those rows.

use std::time::Instant;

use oxide_operator::guide::migrate_config;
use oxide_operator::store::{Access, KeySources, Store};
use rusqlite::Connection;

use super::inputs;
use super::process::spread;

const SERVICES: usize = 10_000;
const RUNS: usize = 21;

/// Times the look of `run` at an unchanged store, and a scan of the same rows with plain SQL, in turn.
pub(crate) fn pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let (yaml, db) = (folder.path().join("c.yaml"), folder.path().join("config.db"));
    std::fs::write(&yaml, inputs::yaml(SERVICES)).expect("written");
    assert!(migrate_config(&yaml, &db).expect("migrated").is_success());
    let mut store = Store::at(&db, Access::Write, &KeySources::default()).expect("a store");
    let plain = Connection::open(&db).expect("opens");
    let (mut look, mut scan) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let clock = Instant::now();
        read_rows(&plain);
        scan.push(clock.elapsed().as_secs_f64() * 1e3);
        let clock = Instant::now();
        store.fingerprint().expect("reads");
        look.push(clock.elapsed().as_secs_f64() * 1e3);
    }
    let (look, scan) = (spread(&mut look).1, spread(&mut scan).1);
    println!(
        "\nlook at {SERVICES} unchanged services and their rules: {look:.1} ms, reading the rows {scan:.1} ms, ratio {:.2} (target 1.5)",
        look / scan
    );
}

fn read_rows(conn: &Connection) -> usize {
    let mut bytes = 0;
    for table in ["services", "routing_rules", "execution_settings"] {
        let mut query = conn.prepare_cached(&format!("SELECT * FROM {table}")).expect("prepared");
        let columns = query.column_count();
        let mut rows = query.query([]).expect("runs");
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..columns {
                bytes += row
                    .get_ref(column)
                    .expect("a value")
                    .as_bytes_or_null()
                    .ok()
                    .flatten()
                    .map_or(8, <[u8]>::len);
            }
        }
    }
    bytes
}
