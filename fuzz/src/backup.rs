//! A backup in which anything was changed is never taken for what was written.
//!
//! The first byte of an input says what is done to a backup: 0 puts the rest behind the pages in place of the record
//! and the footer; anything else changes single bytes, counted from the end: two bytes say where, one says to what.

use std::fs;
use std::sync::OnceLock;

use oxide_operator::model::SourceSnapshot;
use oxide_operator::store::{Access, BackupRecord, SourceCopy, backup_record, check_backup, read_backup};

use super::world::{World, in_proportion};

/// The mark, 8 digits, 32 digits, two spaces and a line end: the checksum is over everything before it.
const FOOTER_BYTES: usize = 66;

struct Original {
    world: World,
    bytes: Vec<u8>,
    pages: usize,
    record: Option<BackupRecord>,
}

pub(crate) fn target(data: &[u8]) {
    static ORIGINAL: OnceLock<Original> = OnceLock::new();
    let original = ORIGINAL.get_or_init(original);
    let Some((how, changes)) = data.split_first() else { return };
    let mut bytes = original.bytes.clone();
    if *how == 0 {
        bytes.truncate(original.pages);
        bytes.extend(changes);
    } else {
        for change in changes.chunks_exact(3) {
            let from_end = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
            let at = bytes.len() - 1 - from_end;
            bytes[at] = change[2];
        }
    }
    let file = original.world.file("backup.db");
    fs::write(&file, &bytes).expect("it is written");
    let keys = original.world.store(Access::Read).keys().clone();
    in_proportion(bytes.len(), "checking", || {
        let content = original.bytes.len() - FOOTER_BYTES;
        if let Some(record) = backup_record(&file).filter(|_| *how != 0) {
            assert_eq!(bytes[..content], original.bytes[..content], "a changed byte is not noticed");
            assert_eq!(Some(record), original.record);
        }
        let _ = (check_backup(&file, &keys), read_backup(&file, &keys));
    });
}

fn original() -> Original {
    let world = World::migrated();
    let mut store = world.store(Access::Write);
    let rows = store.read().expect("readable").fingerprint;
    let now = std::time::SystemTime::now();
    let nothing = SourceSnapshot { origin: String::new(), documents: Vec::new() };
    let source = SourceCopy { snapshot: &nothing, may_hold_secrets: false };
    let backup = store.back_up(rows, source, "fuzz", now).expect("backed up").expect("there is something");
    let bytes = fs::read(&backup.path).expect("readable");
    let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let count = u32::from_be_bytes([bytes[28], bytes[29], bytes[30], bytes[31]]);
    let pages = page * usize::try_from(count).expect("fits");
    let record = backup_record(&backup.path);
    Original { world, bytes, pages, record }
}
