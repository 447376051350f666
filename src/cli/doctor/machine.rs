//! What the machine around the database allows: permissions, leftovers, clocks, file events.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use notify::Watcher as _;
use rustix::fs::{Access, access};

use super::Check;
use crate::place::{Mounted, Place};
use crate::source::Silent;
use crate::store::{KeyRing, folder_of};

/// Ahead by more than this, a time was not written by a clock like ours, in seconds.
const SKEW: f64 = 60.0;

pub(super) fn permissions(database: &Path, key_file: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    let folder = database.parent().unwrap_or(Path::new("."));
    for path in [folder, database] {
        if path.exists() && access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
            let what = format!("this user may not read and write {}", path.display());
            let why = "SQLite needs to write the database, and files beside it in the same folder.";
            checks
                .push(Check::problem("permissions", what, why).mend(format!("chmod u+rwX {}", quoted(path))));
        }
    }
    let private = [
        (key_file.to_owned(), "0600", "Whoever can read it can decrypt every API key."),
        (database.to_owned(), "0600", "It holds your configuration and encrypted API keys."),
        (folder_of(database), "0700", "Backups hold everything that the database does."),
    ];
    for (path, wanted, why) in private {
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o777;
            let what = format!("{} is open to other users ({mode:04o})", path.display());
            let mend = format!("chmod {wanted} {}", quoted(&path));
            let check = if path == key_file { Check::problem } else { Check::warning };
            checks.push(check("permissions", what, why).mend(mend));
        }
    }
    if checks.is_empty() {
        checks.push(Check::fine("permissions", "files are private and writable"));
    }
    checks
}

/// Whether SQLite's locks hold where the database lies.
pub(super) fn place(database: &Path, place: Place) -> Check {
    let what = format!("{} {place}", database.display());
    if place.suits_a_database() {
        return Check::fine("place", what);
    }
    let why = match place.mounted {
        Mounted::Not => {
            "SQLite's locks do not work there, so nothing is written, and what is read is a copy made without a lock. Put it on a local disk."
        }
        Mounted::ByItself => {
            "Its -wal lies beside the original, so nothing is written, and the orchestrator may have newer values than can be read here. Mount its folder instead."
        }
        Mounted::ButGone => {
            "The original was deleted or replaced since: the orchestrator has another database. Mount its folder instead, and restart what it is mounted into."
        }
    };
    Check::problem("place", what, why)
}

/// Says that a file is looked at by the clock, and what never shows there.
pub(super) fn silent(it: &Silent) -> Check {
    let every = it.looked_at_every().as_secs();
    let what = format!("{it}: no event tells of its changes, so `run` looks at it every {every} s");
    match it.caution() {
        Some(caution) => Check::warning("events", what, caution),
        None => Check::fine("events", what),
    }
}

/// Files that a killed process left half-made.
pub(super) fn leftovers(database: &Path) -> Check {
    let folders = [database.parent().unwrap_or(Path::new(".")).to_owned(), folder_of(database)];
    let found: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp-oxide-")))
        .collect();
    if found.is_empty() {
        return Check::fine("leftovers", "no half-made files");
    }
    let what = format!("{} half-made files of killed processes", found.len());
    let why = "They are never read, and take up room; the next write removes them.";
    let names: Vec<String> = found.iter().map(|path| quoted(path)).collect();
    Check::warning("leftovers", what, why).mend(format!("rm {}", names.join(" ")))
}

/// Compares the newest time in the store with the clock.
pub(super) fn clock(newest: Option<f64>) -> Check {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    match newest {
        Some(newest) if newest > now + SKEW => {
            let what = format!("the newest change is {:.0} minutes in the future", (newest - now) / 60.0);
            let why = "This clock is behind, or that of the machine that wrote it was ahead. Nothing depends on it but ages shown to you.";
            Check::warning("clock", what, why).mend("timedatectl status")
        }
        _ => Check::fine("clock", "agrees with the times in the database"),
    }
}

/// Tries to get file events, as `run` does.
pub(super) fn events(folder: &Path) -> Check {
    let watched = notify::recommended_watcher(|_: notify::Result<notify::Event>| {})
        .and_then(|mut watcher| watcher.watch(folder, notify::RecursiveMode::NonRecursive));
    let Err(error) = watched else { return Check::fine("events", "file events are to be had") };
    let limit = match error.kind {
        notify::ErrorKind::MaxFilesWatch => Some("max_user_watches"),
        notify::ErrorKind::Io(ref error) if error.raw_os_error() == Some(TOO_MANY_FILES) => {
            Some("max_user_instances")
        }
        _ => None,
    };
    let why = "`run` then looks by the clock, up to a second later and at some cost.";
    let check = Check::warning("events", format!("no file events for {}: {error}", folder.display()), why);
    match limit {
        Some(limit) => check.mend(format!("sudo sysctl fs.inotify.{limit}=524288")),
        None => check,
    }
}

/// EMFILE on Linux.
const TOO_MANY_FILES: i32 = 24;

pub(super) fn key(keys: &KeyRing, tokens: usize, undecryptable: usize, under_retired: usize) -> Check {
    let origin = keys.origin();
    if keys.has_key() && undecryptable == 0 && under_retired > 0 {
        let what = format!("{under_retired} of {tokens} stored API keys are encrypted under a retired key");
        let why = "The orchestrator knows only the present key: it cannot read them, and falls back to its YAML as a whole. Most often it was not restarted after a rotation.";
        return Check::problem("key", what, why).mend("oxide-operator key rotate");
    }
    match (keys.has_key(), tokens, undecryptable) {
        (_, 0, _) => Check::fine("key", "no API key is stored, so none is needed"),
        (true, _, 0) => Check::fine("key", format!("{origin} opens every stored API key ({tokens})")),
        (true, _, bad) => {
            let what = format!("{bad} of {tokens} stored API keys do not open with {origin}");
            let why = "The orchestrator cannot read them, and falls back to its YAML as a whole. Put the right key back, in OXIDE_ENCRYPTION_KEY or the key file. Only if it is lost for good: set the database aside, make a new one, and enter the API keys again.";
            reset(Check::problem("key", what, why))
        }
        (false, ..) => {
            let what =
                format!("no encryption key: neither OXIDE_ENCRYPTION_KEY nor {}", keys.file().display());
            let why = "Put the key file back, or set the variable. Only if it is lost for good: set the database aside, make a new one, and enter the API keys again.";
            reset(Check::problem("key", what, why))
        }
    }
}

/// The guide's way when the key is lost; the database is kept.
fn reset(check: Check) -> Check {
    check.mend("oxide-operator key reset --yes").mend("oxide-operator migrate")
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-".contains(char);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
