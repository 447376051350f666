//! What every command needs: the source, the store, the keys, from flags and environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use zeroize::Zeroizing;

use super::args::Common;
use crate::desired::ResolveSecrets;
use crate::model::{Policy, SourceSnapshot};
use crate::report::SyncReport;
use crate::settings;
use crate::source::{self, Secrets, SourceError, SourceSpec};
use crate::store::{Access, KEY_VARIABLE, KeyRing, KeySources, Retention, Store};
use crate::sync::{Input, Mode, Pass, Passed, sync_once};

/// The source, the store and the keys of one invocation.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) source: SourceSpec,
    pub(super) db: PathBuf,
    pub(super) keys: KeySources,
}

impl Context {
    pub(super) fn new(common: &Common) -> Result<Self> {
        let db = match &common.db {
            Some(db) => db.clone(),
            None => default_store()?,
        };
        let environment = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty()).map(Zeroizing::new);
        let keys =
            KeySources { environment, file: common.key_file.clone(), retired: common.old_key_file.clone() };
        Ok(Self { source: common.source.clone(), db, keys })
    }

    pub(super) fn store(&self, access: Access) -> Result<Store> {
        Ok(Store::at(&self.db, access, &self.keys)?)
    }

    /// Reads the source; a source that cannot be read stops the command.
    pub(super) fn read_source(&self) -> Result<SourceSnapshot, SourceError> {
        source::read(&self.source)
    }

    /// One pass over the source and the store.
    pub(super) fn pass(&self, store: &mut Store, what: &Pass<'_>) -> Result<Passed> {
        let source = self.read_source().map_err(with_hint)?;
        let make = secrets(self.source.folder().to_owned());
        Ok(sync_once(&Input { source: &source, known: None, secrets: &make }, store, what))
    }

    /// What would be written; nothing is.
    pub(super) fn dry_pass(&self, policy: &Policy) -> Result<Passed> {
        let mut store = self.store(Access::Read)?;
        let pass = Pass {
            mode: Mode::Plan,
            policy,
            actor: "",
            reason: "",
            expected: None,
            retention: Retention::default(),
            source_copy: None,
        };
        self.pass(&mut store, &pass)
    }
}

/// Finds the secrets that a source in `folder` refers to, tokens with the store's keys.
fn secrets(folder: PathBuf) -> impl Fn(Arc<KeyRing>) -> Box<dyn ResolveSecrets + Sync> {
    move |keys| {
        let open = move |token: &str| keys.open_token(token);
        Box::new(Secrets::new(&folder, Box::new(open)))
    }
}

/// Adds what to do next to an error.
pub(super) fn with_hint(error: SourceError) -> anyhow::Error {
    let hint = error.hint();
    anyhow::Error::new(error).context(hint_marker(hint))
}

/// A hint travels as the outermost context and is printed last.
#[derive(Debug)]
pub(super) struct Hint(pub(super) String);

impl std::fmt::Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn hint_marker(hint: &str) -> Hint {
    Hint(hint.to_owned())
}

/// Who is recorded in the history: the user's name, or the program's.
pub(super) fn actor() -> String {
    ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "oxide-operator".into())
}

/// A report that failed becomes an error with its hint.
pub(super) fn ensure_not_failed(report: &SyncReport) -> Result<()> {
    let Some(failure) = &report.failure else { return Ok(()) };
    match &failure.hint {
        Some(hint) => Err(anyhow::anyhow!("{}", failure.message).context(Hint(hint.clone()))),
        None => bail!("{}", failure.message),
    }
}

fn default_store() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let home = home.context("HOME is not set, so the default database has no place; name one with --db")?;
    Ok(Path::new(&home).join(settings::DEFAULT_STORE))
}
