//! Written rows read back: every value compared with the plan, every token decrypted, before anything is committed.
//!
//! The rows are scanned once, for the comparison and for the revision's snapshot. After a migration the comparison
//! is as much work as the scan, so it runs on the other core.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use xxhash_rust::xxh3::Xxh3;

use super::history::SnapshotWriter;
use super::key::KeyRing;
use super::read::{self, Layout};
use super::rows::{TokenTally, decode};
use super::schema::Present;
use crate::model::{FieldId, Object, Section, StoreFingerprint};
use crate::plan::{Plan, Step};
use crate::verify::Checker;

/// From this many steps on the comparison runs on a thread of its own.
const PARALLEL_FROM: usize = 256;

/// How many rows are handed over at once, and how many such batches may wait.
const BATCH_ROWS: usize = 256;
const BATCHES: usize = 4;

/// Reads every touched row back and gathers the state for the revision.
pub(super) fn read_back<'c>(
    conn: &'c Connection,
    present: &Present,
    plan: &Plan,
    keys: &KeyRing,
) -> rusqlite::Result<(Checker, Scanned<'c>)> {
    if plan.steps.len() < PARALLEL_FROM {
        let mut checker = Checker::default();
        let scanned = scan(conn, present, plan, |batch| compare(&batch, keys, &mut checker))?;
        return Ok((checker, scanned));
    }
    std::thread::scope(|scope| {
        let (sender, receiver): (SyncSender<Batch<'_>>, Receiver<Batch<'_>>) = sync_channel(BATCHES);
        let checking = scope.spawn(move || {
            let mut checker = Checker::default();
            for batch in receiver {
                compare(&batch, keys, &mut checker);
            }
            checker
        });
        // A batch that cannot be sent stays unchecked, and the checker then never gives its proof.
        let scanned = scan(conn, present, plan, move |batch| drop(sender.send(batch)));
        Ok((checking.join().unwrap_or_default(), scanned?))
    })
}

/// Rows of one section as they lie in the database, copied out of SQLite.
struct Batch<'p> {
    section: Section,
    fields: Vec<FieldId>,
    steps: Vec<&'p Step>,
    /// Whether there are cells for each step: a row that was not found has none.
    found: bool,
    cells: Vec<Cell>,
    bytes: Vec<u8>,
}

enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Range<usize>),
    Blob(Range<usize>),
}

impl<'p> Batch<'p> {
    fn new(section: Section, fields: &[FieldId], found: bool) -> Self {
        let fields = fields.to_vec();
        Self { section, fields, steps: Vec::new(), found, cells: Vec::new(), bytes: Vec::new() }
    }

    fn add(&mut self, step: &'p Step, row: &Row<'_>) -> rusqlite::Result<()> {
        self.steps.push(step);
        for position in 0..self.fields.len() {
            let cell = match row.get_ref(Layout::FIRST + position)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(number) => Cell::Integer(number),
                ValueRef::Real(number) => Cell::Real(number),
                ValueRef::Text(text) => Cell::Text(self.keep(text)),
                ValueRef::Blob(blob) => Cell::Blob(self.keep(blob)),
            };
            self.cells.push(cell);
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn value(&self, cell: &Cell) -> ValueRef<'_> {
        match cell {
            Cell::Null => ValueRef::Null,
            Cell::Integer(number) => ValueRef::Integer(*number),
            Cell::Real(number) => ValueRef::Real(*number),
            Cell::Text(range) => ValueRef::Text(&self.bytes[range.clone()]),
            Cell::Blob(range) => ValueRef::Blob(&self.bytes[range.clone()]),
        }
    }
}

/// What the rows are, for the history and for whoever compares later reads with it.
pub(super) struct Scanned<'c> {
    pub(super) snapshot: SnapshotWriter<'c>,
    /// What [`read::fingerprint`] would say.
    pub(super) rows: StoreFingerprint,
}

/// Gathers the state as it is, with no plan.
pub(super) fn state<'c>(conn: &'c Connection, present: &Present) -> rusqlite::Result<Scanned<'c>> {
    scan(conn, present, &Plan::default(), |_| ())
}

/// Scans every managed row once; hands over those that the plan touched.
fn scan<'c, 'p>(
    conn: &'c Connection,
    present: &Present,
    plan: &'p Plan,
    mut hand_over: impl FnMut(Batch<'p>),
) -> rusqlite::Result<Scanned<'c>> {
    let mut snapshot = SnapshotWriter::new(conn);
    let (mut hasher, mut buffer) = (Xxh3::new(), Vec::with_capacity(1024));
    for section in Section::ALL {
        let mut steps: HashMap<&str, &Step> = HashMap::new();
        steps.extend(
            plan.steps.iter().filter(|step| step.target().0 == section).map(|step| (step.target().1, step)),
        );
        if let Some(layout) = Layout::of(section, present) {
            snapshot.begin(section)?;
            let mut query = conn.prepare_cached(&layout.select(""))?;
            let mut rows = query.query([])?;
            let mut batch = Batch::new(section, &layout.fields, true);
            while let Some(row) = rows.next()? {
                read::hash_row(row, layout.fields.len(), &mut buffer, &mut hasher)?;
                if !Layout::is_local(row)? {
                    continue;
                }
                let id = layout.id(row)?;
                snapshot.add(&layout, id, row)?;
                if let Some(step) = steps.remove(id) {
                    batch.add(step, row)?;
                }
                if batch.steps.len() == BATCH_ROWS {
                    hand_over(std::mem::replace(&mut batch, Batch::new(section, &layout.fields, true)));
                }
            }
            hand_over(batch);
        }
        let mut gone = Batch::new(section, &[], false);
        gone.steps = steps.into_values().collect();
        hand_over(gone);
    }
    let rows = read::finished(conn, present, hasher)?;
    Ok(Scanned { snapshot, rows })
}

fn compare(batch: &Batch<'_>, keys: &KeyRing, checker: &mut Checker) {
    let mut tally = TokenTally::default();
    for (position, step) in batch.steps.iter().enumerate() {
        if !batch.found {
            checker.check(step, None);
            continue;
        }
        let first = position * batch.fields.len();
        let mut row = Object::default();
        for (field, cell) in batch.fields.iter().zip(&batch.cells[first..]) {
            let value = decode(batch.section.spec(*field), batch.value(cell), keys, &mut tally);
            row.set(*field, value);
        }
        checker.check(step, Some(&row));
    }
}
