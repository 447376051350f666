//! What may be read for a source: as the operator says, never as the source does.
//!
//! Whoever writes a source names addresses, too: whatever is read for it may be sent anywhere.

use std::fs::{File, Metadata};
use std::os::fd::AsRawFd as _;
use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

use super::{SourceSpec, at_home};
use crate::model::{KEY_FILE, KEY_VARIABLE, SecretText};
use crate::place::{beside, identity};
use crate::settings::{MAX_TOKEN_FILE_BYTES, MIN_TOKEN_BYTES, SECRET_FOLDERS, TOKEN_FILE};
use crate::small_file;

/// A secret file larger than this is not one, in bytes.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// Folders below those of secrets that hold what a pod proves itself with, not what somebody put there for a source.
const OF_THE_POD: &[&str] = &["kubernetes.io", "eks.amazonaws.com", "azure"];

/// What the operator lets a source name.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The folders whose files it may name, besides its own and [`SECRET_FOLDERS`].
    pub folders: Vec<PathBuf>,
    /// The variables of the environment that it may name. For a file, all but the program's own when none are given; for
    /// an object of Kubernetes, none then.
    pub variables: Vec<String>,
    /// What it may not name, wherever it lies.
    pub own: Own,
}

/// What is the program's own, and no API key.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The database: opening it would drop the locks that are held on it.
    pub database: Option<PathBuf>,
    /// Files that hold keys and tokens.
    pub files: Vec<PathBuf>,
    /// Keys and tokens that lie in no file.
    pub texts: Vec<SecretText>,
}

impl Own {
    /// What belongs to a database, besides the files with its keys and what else is given.
    pub fn of(database: &Path, mut files: Vec<PathBuf>, texts: Vec<SecretText>) -> Self {
        let itself = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
        files.extend([database, &itself].map(|it| it.with_file_name(TOKEN_FILE)));
        files.extend([database, &itself].map(|it| it.with_file_name(KEY_FILE)));
        Self { database: Some(itself), files, texts }
    }

    /// Whether it is one of our files, whatever it is called.
    fn is(&self, file: &Metadata) -> bool {
        let database =
            self.database.iter().flat_map(|database| beside(database).into_iter().chain([database.clone()]));
        database
            .chain(self.files.iter().cloned())
            .any(|ours| std::fs::metadata(ours).is_ok_and(|there| identity(&there) == identity(file)))
    }

    /// Whether a text is, or has in it, a key or token of ours, whatever it came from.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let has = |ours: &str| {
            let ours = ours.trim();
            !ours.is_empty() && (text.trim() == ours || ours.len() >= MIN_TOKEN_BYTES && text.contains(ours))
        };
        self.texts.iter().any(|ours| has(ours.expose()))
            || self
                .files
                .iter()
                .any(|file| small_file::read_text(file, MAX_TOKEN_FILE_BYTES).is_ok_and(|ours| has(&ours)))
    }
}

/// Whether a variable is the program's own: whoever writes a source must not have the encryption key sent to an address
/// of their choice as an API key.
pub(super) fn is_our_variable(name: &str) -> bool {
    name == KEY_VARIABLE || name.starts_with("OXIDE_OPERATOR_")
}

/// Reads a file that a source names.
///
/// Which file a name leads to is settled once: what is judged is what is open, not what the name leads to at another moment.
pub(super) fn read_file(named: &Path, source: &SourceSpec, reach: &Reach) -> Result<SecretText, String> {
    let path = source.folder().join(at_home(named));
    let fault = |what: String| format!("secret file {}: {what}", path.display());
    let folders = Folders::of(source, reach);
    let real = match std::fs::canonicalize(&path) {
        Ok(real) => real,
        // What is not there is told only where it might be.
        Err(error) if folders.hold(&nearest(&path)) => return Err(fault(error.to_string())),
        Err(_) => return Err(fault(folders.refusal())),
    };
    // Looked at before anything is opened: opening the database drops locks, opening a device may do anything.
    let there = std::fs::metadata(&real).map_err(|error| fault(error.to_string()))?;
    judge(&real, &there, source, reach, &folders).map_err(fault)?;
    let file = small_file::open_itself(&real).map_err(|error| fault(error.to_string()))?;
    let real = path_of(&file).map_err(|error| fault(format!("where it lies cannot be told: {error}")))?;
    let there = file.metadata().map_err(|error| fault(error.to_string()))?;
    judge(&real, &there, source, reach, &folders).map_err(fault)?;
    let bytes =
        small_file::read_open(&file, MAX_SECRET_BYTES).map_err(|_| fault("is not a small file".into()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| fault("is not UTF-8".into()))?;
    let text = Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned());
    if text.trim().is_empty() {
        return Err(fault("is empty".into()));
    }
    if text.contains('\0') {
        return Err(fault("is not text".into()));
    }
    Ok(SecretText::new(&**text))
}

fn judge(
    real: &Path,
    there: &Metadata,
    source: &SourceSpec,
    reach: &Reach,
    folders: &Folders<'_>,
) -> Result<(), String> {
    if !folders.hold(real) {
        return Err(folders.refusal());
    }
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let is_ours = name.starts_with(KEY_FILE) || name == TOKEN_FILE || reach.own.is(there);
    let of_the_system = ["/proc", "/sys", "/dev"].iter().any(|folder| real.starts_with(folder));
    let of_the_pod = || real.components().any(|it| OF_THE_POD.iter().any(|name| it.as_os_str() == *name));
    if is_ours || of_the_system || of_the_pod() || source.reads(real) {
        return Err("a source may not name it".into());
    }
    Ok(())
}

/// Where what is open lies now.
fn path_of(file: &File) -> std::io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// What a path leads to, as far as there is anything.
fn nearest(path: &Path) -> PathBuf {
    path.ancestors().skip(1).find_map(|folder| std::fs::canonicalize(folder).ok()).unwrap_or_default()
}

/// The folders below which a source may name files, links followed.
struct Folders<'a> {
    source: &'a SourceSpec,
    reach: &'a Reach,
    of_source: Option<PathBuf>,
    others: Vec<PathBuf>,
}

impl<'a> Folders<'a> {
    fn of(source: &'a SourceSpec, reach: &'a Reach) -> Self {
        let named = reach.folders.iter().cloned();
        let others = SECRET_FOLDERS.iter().map(PathBuf::from).chain(named);
        let others = others.filter_map(|folder| std::fs::canonicalize(folder).ok()).collect();
        Self { source, reach, of_source: std::fs::canonicalize(source.folder()).ok(), others }
    }

    fn hold(&self, real: &Path) -> bool {
        self.of_source.as_ref().is_some_and(|folder| holds_in_the_open(folder, real))
            || self.others.iter().any(|folder| real.starts_with(folder))
    }

    fn refusal(&self) -> String {
        let named = self.reach.folders.iter().map(|folder| folder.display().to_string());
        let mut all = vec![self.source.folder().display().to_string()];
        all.extend(SECRET_FOLDERS.iter().map(|&folder| folder.to_owned()).chain(named));
        format!(
            "lies in no folder whose files a source may name ({}); allow another with --secrets-folder",
            all.join(", ")
        )
    }
}

/// Whether a file lies below a folder, and in no hidden one: beside a source in a home lie `.ssh` and `.aws`. Those of a
/// volume of Kubernetes begin with two dots.
fn holds_in_the_open(folder: &Path, real: &Path) -> bool {
    let Ok(below) = real.strip_prefix(folder) else { return false };
    let hidden = |part: Component<'_>| {
        let name = part.as_os_str().as_encoded_bytes();
        name.starts_with(b".") && !name.starts_with(b"..")
    };
    !below.parent().is_some_and(|parent| parent.components().any(hidden))
}
