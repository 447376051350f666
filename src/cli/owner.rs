//! Whose a file is, and what helps when this process may not use it.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::doctor::quoted;
use crate::model::shown_path;
use crate::store::files;

/// What keeps this process from using a file or folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// What is so, in a sentence without a full stop.
    pub(super) what: String,
    /// What helps.
    pub(super) help: String,
    /// A command that helps and takes nothing from anybody; none where only a person can choose.
    pub(super) command: Option<String>,
}

/// Returns what keeps this process from reading and writing `path`; none when nothing does or nothing is there.
pub(super) fn obstacle(path: &Path) -> Option<Obstacle> {
    denied(path, Access::READ_OK | Access::WRITE_OK, "read and write")
}

/// Returns what keeps this process from writing a database: something about its folder, the file, or what SQLite keeps
/// beside it.
pub(super) fn around_database(database: &Path) -> Option<Obstacle> {
    obstacles_around_database(database).into_iter().next()
}

/// All of them, the folder's first.
pub(super) fn obstacles_around_database(database: &Path) -> Vec<Obstacle> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = ["-wal", "-shm"].map(|suffix| files::with_suffix(database, suffix));
    [folder, database].into_iter().chain(beside.iter().map(PathBuf::as_path)).filter_map(obstacle).collect()
}

/// The same for reading alone.
pub(super) fn obstacle_to_reading(path: &Path) -> Option<Obstacle> {
    denied(path, Access::READ_OK, "read")
}

fn denied(path: &Path, wanted: Access, verb: &str) -> Option<Obstacle> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return denied(path.parent()?, Access::READ_OK | Access::EXEC_OK, "look into");
        }
        Err(_) => return None,
    };
    let wanted = if metadata.is_dir() { wanted | Access::EXEC_OK } else { wanted };
    let error = access(path, wanted).err()?;
    Some(if error == Errno::ROFS {
        read_only(path)
    } else if metadata.uid() == geteuid().as_raw() {
        Obstacle {
            what: format!(
                "this user may not {verb} {}, which is its own ({:04o})",
                shown_path(path),
                metadata.mode() & 0o7777
            ),
            help: "Give its owner the permission.".to_owned(),
            command: Some(format!("chmod u+rwX {}", quoted(path))),
        }
    } else {
        of_another(path, verb, metadata.uid(), geteuid().as_raw())
    })
}

fn read_only(path: &Path) -> Obstacle {
    Obstacle {
        what: format!("{} lies on a file system that is mounted read-only", shown_path(path)),
        help: "Mount it writable: without `:ro` in Docker, without `readOnly: true` in a pod. Permissions have nothing to do with it."
            .to_owned(),
        command: None,
    }
}

fn of_another(path: &Path, verb: &str, owner: u32, user: u32) -> Obstacle {
    let chown = format!("sudo chown -R {user} {}", quoted(path));
    let ours = match owner {
        0 => format!(
            "A command that ran once with sudo leaves such files: give them to this user with `{chown}`."
        ),
        _ => format!(
            "Run oxide-operator as uid {owner}, as the orchestrator is run (`sudo -u '#{owner}'`); or, when uid {owner} no longer needs them, give the files to this user: `{chown}`."
        ),
    };
    Obstacle {
        what: format!(
            "{} belongs to uid {owner}, and uid {user}, which this process runs as, may not {verb} it",
            shown_path(path)
        ),
        help: format!(
            "{ours} In a pod: give both containers the same `runAsUser: {owner}`, or an `fsGroup` that owns the volume."
        ),
        command: (owner == 0).then_some(chown),
    }
}

/// Whether a file or folder belongs to the user that this process runs as.
pub(super) fn is_ours(metadata: &std::fs::Metadata) -> bool {
    metadata.uid() == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_owner_is_named_with_what_helps_and_no_chmod() {
        let found = of_another(Path::new("/srv/.oxide"), "read and write", 1000, 65532);
        assert!(found.what.contains("uid 1000") && found.what.contains("uid 65532"), "{found:?}");
        for word in ["chown -R 65532", "fsGroup", "runAsUser: 1000"] {
            assert!(found.help.contains(word), "{word}: {found:?}");
        }
        assert_eq!(found.command, None, "the other user may still need the files");
        let of_root = of_another(Path::new("/srv/.oxide"), "read", 0, 1000);
        assert_eq!(of_root.command.as_deref(), Some("sudo chown -R 1000 /srv/.oxide"));
    }

    #[test]
    fn what_is_not_there_is_no_obstacle() {
        assert_eq!(obstacle(Path::new("/nonexistent/config.db")), None);
    }
}
