//! Files that the user asks to be written: never over what they did not mean.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::context::{Context, error_with_help};
use super::source::REPLACED;
use crate::model::shown_path;
use crate::place::{beside, followed, identity};
use crate::settings::TOKEN_FILE;
use crate::source::{SourceSpec, at_home};
use crate::store::{KEY_FILE, StoreError, files};

/// Whether a file that is there may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overwrite {
    No,
    Yes,
}

impl Overwrite {
    /// What `--force` says.
    pub(super) fn if_forced(force: bool) -> Self {
        if force { Self::Yes } else { Self::No }
    }
}

/// Refuses a file that must not be written: one that is there, or one that this program or the orchestrator lives on.
pub(super) fn check(context: &Context, file: &Path, overwrite: Overwrite) -> Result<()> {
    let file = &at_home(file);
    let Some(there) = std::fs::metadata(file).ok() else {
        return refuse_ours(context, file, &followed(file), None);
    };
    if there.is_file() {
        refuse_ours(context, file, &followed(file), Some(&there))?;
    }
    if is_written_through(file, &there) {
        return Ok(());
    }
    if there.is_dir() {
        return Err(error_with_help(format!("{} is a folder", shown_path(file)), "name a file in it"));
    }
    if overwrite == Overwrite::No {
        let message = format!("{} exists, and is not overwritten", shown_path(file));
        return Err(error_with_help(message, "name another file, or replace this one with --force"));
    }
    Ok(())
}

/// Writes a file, 0600, whole or not at all; what is no regular file is written through. A link stays one.
pub(super) fn write(context: &Context, file: &Path, bytes: &[u8], overwrite: Overwrite) -> Result<()> {
    let file = &at_home(file);
    check(context, file, overwrite)?;
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("write {}: {error}", shown_path(file));
        error_with_help(message, "name a file in a folder that this user may write in and that has room")
    };
    if std::fs::metadata(file).is_ok_and(|there| is_written_through(file, &there)) {
        let written = std::fs::OpenOptions::new().write(true).open(file).and_then(|mut through| {
            std::io::Write::write_all(&mut through, bytes)?;
            std::io::Write::flush(&mut through)
        });
        return written.map_err(|error| failed(&error));
    }
    files::write_private(&followed(file), bytes).map_err(|error| match &error {
        StoreError::File { source, .. } => failed(source),
        error => failed(error),
    })
}

/// Writes generated files into a folder, over those of an earlier run and never through a link. Anyone may read them, as
/// far as the umask allows.
pub(super) fn write_generated(context: &Context, dir: &Path, files: Vec<(String, Vec<u8>)>) -> Result<()> {
    let dir = &at_home(dir);
    std::fs::create_dir_all(dir).with_context(|| format!("create the folder {}", shown_path(dir)))?;
    for (name, bytes) in files {
        let file = dir.join(name);
        if file.is_symlink() {
            let message = format!("{} is a link, and is not written through", shown_path(&file));
            return Err(error_with_help(message, "name another folder, or remove the link"));
        }
        check(context, &file, Overwrite::Yes)?;
        std::fs::write(&file, bytes).with_context(|| format!("write {}", shown_path(&file)))?;
    }
    Ok(())
}

/// Whether what is there is a pipe, a socket or a device; or a way to one, which a redirection may make a file of.
fn is_written_through(file: &Path, there: &Metadata) -> bool {
    let system = ["/dev", "/proc"].iter().any(|folder| file.starts_with(folder));
    (!there.is_file() && !there.is_dir()) || (system && there.is_file())
}

fn refuse_ours(context: &Context, named: &Path, file: &Path, there: Option<&Metadata>) -> Result<()> {
    let same = |ours: &Path| {
        let same_file =
            std::fs::metadata(ours).ok().zip(there).is_some_and(|(a, b)| identity(&a) == identity(b));
        same_file || followed(ours) == file
    };
    let found = ours(context).into_iter().find(|(path, _)| same(path)).map(|(_, what)| what);
    let found = found.or_else(|| in_our_folders(context, file));
    match found {
        None => Ok(()),
        Some(what) => {
            let message = format!("{} is {what}, and is never overwritten", shown_path(named));
            Err(error_with_help(message, "name another file"))
        }
    }
}

/// The files that this program and the orchestrator live on.
fn ours(context: &Context) -> Vec<(PathBuf, &'static str)> {
    let db = &context.db;
    let folder = files::folder_of(db);
    let mut ours = vec![(db.clone(), "the database")];
    let beside = beside(db).into_iter().chain([files::with_suffix(db, ".agent")]);
    ours.extend(beside.map(|it| (it, "part of the database")));
    let key = context.keys.file.clone().unwrap_or_else(|| folder.join(KEY_FILE));
    ours.extend(files_beside(&key).map(|key| (key, "an encryption key")));
    ours.push((key, "the encryption key"));
    ours.extend(context.keys.retired.iter().map(|key| (key.clone(), "a retired encryption key")));
    ours.push((folder.join(TOKEN_FILE), "the web page's token"));
    let settings = context.settings.iter().cloned().chain(super::context::usual_settings());
    ours.extend(settings.map(|settings| (settings, "the settings of this program")));
    ours.extend(of_the_source(context));
    ours
}

/// The files of the source, the copies of them that are kept beside them, and the secrets that they refer to.
fn of_the_source(context: &Context) -> Vec<(PathBuf, &'static str)> {
    let is_copy = |file: &Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.contains(".backup.") || name.contains(REPLACED)
    };
    let mut ours = Vec::new();
    match &context.source {
        SourceSpec::File(path) => {
            let copies = files_beside(path).filter(|copy| is_copy(copy));
            ours.extend(copies.map(|copy| (copy, "a backup of the source")));
            ours.push((path.clone(), "the source"));
        }
        SourceSpec::Folder(path) => {
            let files = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
            let files = files.filter(|file| crate::source::is_yaml(file) || is_copy(file));
            ours.extend(files.map(|file| (file, "a file of the source")));
        }
        SourceSpec::Object(_) => return ours,
    }
    let secrets = context.read_source().map(|source| context.source.secret_files(&source));
    ours.extend(
        secrets.unwrap_or_default().into_iter().map(|file| (file, "a secret that the source refers to")),
    );
    ours
}

/// The files whose names begin with that of `file` and a dot.
fn files_beside(file: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let name = format!("{}.", file.file_name().unwrap_or_default().to_string_lossy());
    let files = std::fs::read_dir(files::folder_of(file)).into_iter().flatten().flatten();
    files
        .map(|entry| entry.path())
        .filter(move |path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&name)))
}

/// What a file in one of our folders is; and in a folder source, where a new file would be part of the source.
fn in_our_folders(context: &Context, file: &Path) -> Option<&'static str> {
    let within = |folder: &Path| std::fs::canonicalize(folder).is_ok_and(|folder| file.starts_with(folder));
    if within(context.backup_folder().path()) {
        return Some("among the backups");
    }
    if within(&files::folder_of(&context.db).join("quarantine")) {
        return Some("among the damaged databases that are kept");
    }
    let source = match &context.source {
        SourceSpec::Folder(path) => std::fs::canonicalize(path).ok(),
        _ => None,
    };
    let of_source = source.is_some_and(|folder| file.parent() == Some(&folder));
    (of_source && crate::source::is_yaml(file)).then_some("in the folder of the source, which would read it")
}
