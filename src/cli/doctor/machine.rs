//! What the machine around the database allows: permissions, leftovers, clocks, file events.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use notify::Watcher as _;

use super::Check;
use crate::cli::owner::{self, Obstacle};
use crate::model::{StoreSnapshot, printable, shown_path};
use crate::place::{Mounted, Place};
use crate::source::Silent;
use crate::store::KeyRing;

/// Ahead by more than this, a time was not written by a clock like ours, in seconds.
const SKEW: f64 = 60.0;

pub(super) fn permissions(database: &Path, backups: &Path, key_file: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    let obstacles = owner::obstacles_around_database(database)
        .into_iter()
        .chain(owner::obstacle_to_reading(key_file))
        .chain(owner::obstacle(backups));
    for Obstacle { what, help, command } in obstacles {
        let check = Check::problem("permissions", what, help);
        checks.push(command.into_iter().fold(check, Check::mend));
    }
    let shared = is_shared(database.parent().unwrap_or(Path::new(".")));
    let private = [
        (key_file.to_owned(), "0600", "Whoever can read it can decrypt every API key."),
        (database.to_owned(), "0600", "It holds your configuration and encrypted API keys."),
        (backups.to_owned(), "0700", "Backups hold everything that the database does."),
    ];
    for (path, wanted, why) in private {
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        // What belongs to somebody else is theirs to close, and closing it could lock them or us out.
        if !owner::is_ours(&metadata) {
            continue;
        }
        let closed = if shared { 0o007 } else { 0o077 };
        if metadata.mode() & closed != 0 {
            let mode = metadata.mode() & 0o777;
            let what = format!("{} is open to other users ({mode:04o})", shown_path(&path));
            let wanted = if shared { "o-rwx" } else { wanted };
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
    let what = format!("{} {place}", shown_path(database));
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

/// Whether a folder hands its group on to what is made in it, as Kubernetes' `fsGroup` sets it up.
fn is_shared(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.mode() & 0o2000 != 0)
}

/// With less room than this, in bytes, the next write may fail.
const LITTLE_ROOM: u64 = 1 << 20;

/// Whether there is room for the next write.
pub(super) fn room(folder: &Path) -> Check {
    let Ok(disk) = rustix::fs::statvfs(folder) else {
        return Check::fine("room", "the folder of the database is made when it is needed");
    };
    let free = disk.f_bavail * disk.f_frsize;
    let no_more_files = disk.f_files > 0 && disk.f_favail == 0;
    if free >= LITTLE_ROOM && !no_more_files {
        return Check::fine("room", format!("there is room on the disk that holds {}", shown_path(folder)));
    }
    let left = if no_more_files {
        "no more files fit on it".to_owned()
    } else {
        format!("{} KiB are free", free >> 10)
    };
    let what = format!("the disk that holds {} is full: {left}", shown_path(folder));
    let why = "Each write takes a backup first, and needs room for the database once more.";
    Check::problem("room", what, why).mend(format!("df -h {}", quoted(folder)))
}

/// Files that a killed process left half-made.
pub(super) fn leftovers(database: &Path, backups: &Path) -> Check {
    let folders = [crate::store::files::folder_of(database), backups];
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
    let check = Check::warning("events", format!("no file events for {}: {error}", shown_path(folder)), why);
    match limit {
        Some(limit) => check.mend(format!("sudo sysctl fs.inotify.{limit}=524288")),
        None => check,
    }
}

/// EMFILE on Linux.
const TOO_MANY_FILES: i32 = 24;

pub(super) fn key(keys: &KeyRing, live: &StoreSnapshot) -> Check {
    let origin = keys.origin();
    let (tokens, undecryptable, under_retired) = (live.tokens, live.undecryptable, live.under_retired_key);
    if undecryptable > 0 && undecryptable == live.damaged_tokens {
        let what = format!("{undecryptable} of {tokens} stored API keys are damaged: no key opens them");
        let why = "`backup restore NAME --only ID.api_key` brings one back, `set ID.api_key` takes a new one. Nothing is wrong with the encryption key.";
        return Check::problem("key", what, why).mend("oxide-operator backup list");
    }
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
            let why = "The orchestrator cannot read them, and falls back to its YAML as a whole. No key that can be reached opens them. Put the right key back, in OXIDE_ENCRYPTION_KEY or the key file, or name its file with --old-key-file. Only if it is lost for good: `key reset` sets the database aside, and the API keys are entered again.";
            reset(Check::problem("key", what, why))
        }
        (false, ..) => {
            let what =
                format!("no encryption key: neither OXIDE_ENCRYPTION_KEY nor {}", shown_path(keys.file()));
            let why = "Put the key file back, or set the variable. Only if it is lost for good: `key reset` sets the database aside, and the API keys are entered again.";
            reset(Check::problem("key", what, why))
        }
    }
}

/// The guide's way when the key is lost. Without `--yes` it only says what it would do.
fn reset(check: Check) -> Check {
    check.mend("oxide-operator key reset")
}

/// A path as a shell takes it.
pub(in crate::cli) fn quoted(path: &Path) -> String {
    quoted_text(&path.to_string_lossy())
}

/// A word as a shell takes it. What a terminal would obey stands as `$'\xHH'` has it, which bash and zsh read.
pub(in crate::cli) fn quoted_text(text: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-:".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if printable(text) == text {
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    let escaped = text.chars().map(|char| match char {
        '\'' | '\\' => format!("\\{char}"),
        char if printable(char.encode_utf8(&mut [0; 4])) != char.to_string() => {
            char.to_string().bytes().map(|byte| format!("\\x{byte:02x}")).collect()
        }
        char => char.to_string(),
    });
    format!("$'{}'", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_or_a_terminal_would_obey_is_quoted() {
        for (text, quoted) in [
            ("a/b-c_d.e", "a/b-c_d.e"),
            ("", "''"),
            ("s;touch PWN.yaml", "'s;touch PWN.yaml'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("a\nb\u{1b}[31m'\\", r"$'a\x0ab\x1b[31m\'\\'"),
            ("\u{202e}é", r"$'\xe2\x80\xaeé'"),
        ] {
            assert_eq!(quoted_text(text), quoted);
        }
    }
}
