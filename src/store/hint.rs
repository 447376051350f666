//! What to do next about what went wrong with a store.

use std::io::ErrorKind;

use super::StoreError;
use super::error::DiskFault;

impl StoreError {
    /// What the user can do next.
    pub fn hint(&self) -> Option<&'static str> {
        let read_only_mount = match self {
            Self::Sqlite { disk, .. } => *disk == Some(DiskFault::ReadOnly),
            Self::File { source, .. } => source.kind() == ErrorKind::ReadOnlyFilesystem,
            _ => false,
        };
        if read_only_mount {
            return Some("it lies on a file system that is mounted read-only: mount it writable");
        }
        Some(match self.reason() {
            "locked" => {
                "another process holds the database; see who with `lsof` on it, or wait and try again"
            }
            "disk_full" => "free some space and try again",
            "disk_error" => "the disk is full or failing: look at `df` and the kernel's log",
            "read_only" => "make the database and its folder writable for this user",
            "cannot_open" => "check that the folder exists and this user may read and write in it",
            "corrupt" => "`oxide-operator apply` moves it aside and restores the newest good backup",
            "not_a_database" => {
                "name the database with --db; what lies there is yours to move away if a database is to take its place"
            }
            "in_the_way" => {
                "move it away: nothing of the database is in it, and SQLite makes a file of its own"
            }
            "missing" => {
                "bring it back with `oxide-operator backup restore NAME`, or begin a new one with `oxide-operator apply --fresh`"
            }
            "other_agent" => "name that source with --source, or end the agent first",
            "being_replaced" => "wait until the copy is done, and try again",
            "damaged_in_use" => {
                "stop the orchestrator, then `oxide-operator apply` moves the database aside and restores the newest good backup"
            }
            "unsafe_place" => {
                "put the database on a local disk and mount its folder, not the file; commands that only read work as it is"
            }
            "source_copy" => {
                "--no-backup migrates without the copy, where Git has the YAML anyway; or make its folder writable"
            }
            "key_elsewhere" => {
                "stop the orchestrator, put the key into the key file, rotate, and put the new key where the old one came from"
            }
            "backup" => {
                "mend the row that is named; or stop the orchestrator and put a backup in the database's place with `oxide-operator backup restore NAME`"
            }
            "key_linked" => {
                "find the other name with `find DIR -samefile KEYFILE`, make it a symbolic link, and rotate again"
            }
            "unreadable_token" => {
                "pass the key it was written with as --old-key-file, or set or remove that API key, and try again"
            }
            "wrong_key" => {
                "set OXIDE_ENCRYPTION_KEY to the key the store was written with, or pass it as --old-key-file; `oxide-operator key check` tries every key it can reach"
            }
            "no_key" => {
                "set OXIDE_ENCRYPTION_KEY, or put the key file back; `oxide-operator key check` tries every key it can reach"
            }
            "in_use" => "stop the orchestrator and `oxide-operator run`, then try again",
            "occupied" => {
                "it is the one that was set aside, and is back already; `oxide-operator restore REV` or `backup restore NAME` bring back an earlier state of it"
            }
            "backups_full" => {
                "those are never deleted to make room: delete what nobody needs any more, or allow more with `backups.bytes`"
            }
            "nothing_retired" => "`oxide-operator backup list` shows what could be restored instead",
            "bad_key" => "a Fernet key is 32 bytes as 44 characters of urlsafe base64",
            _ => return None,
        })
    }
}
