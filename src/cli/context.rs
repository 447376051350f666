//! What every command needs: the source, the store, the keys, from flags and environment.

use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use zeroize::Zeroizing;

use super::args::{Common, PolicyArgs};
use super::operator_file::OperatorFile;
use super::output::Invalid;
use crate::actions::Names;
use crate::consumer::{Consumer, TokenSource};
use crate::desired::DesiredConfig;
use crate::model::{
    Finding, PathPattern, Policy, PolicyLayers, PolicyPart, SecretText, SourceSnapshot, printable, shown_path,
};
use crate::place::{absolute_source, is_same_source, lasting_path};
use crate::plan::Circumstances;
use crate::report::{Outcome, SyncReport};
use crate::settings;
use crate::source::{self, Declared, Own, Reach, Secrets, SourceError, SourceSpec, at_home};
use crate::store::{
    Access, BackupFolder, BackupOptions, InPlace, KEY_VARIABLE, KeySources, Store, StoreError, WhenMissing,
    agent_of,
};
use crate::sync::{Input, Pass, Passed, read_source, sync_once};

/// The source, the store and the keys of one invocation.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) source: SourceSpec,
    pub(super) db: PathBuf,
    pub(super) keys: KeySources,
    pub(super) consumer: Option<Consumer>,
    pub(super) file: OperatorFile,
    /// Where the settings were read from, if they were named.
    pub(super) settings: Option<PathBuf>,
    /// What the source may name.
    pub(super) reach: Arc<Reach>,
    /// What to do when the database is gone while backups of it exist.
    pub(super) when_missing: Cell<WhenMissing>,
    /// Who is recorded as the author of a change, where somebody said so.
    named_actor: Option<String>,
    /// Where the backups lie, and how many are kept.
    pub(super) backups: BackupOptions,
    declared: OnceCell<Declared>,
    /// What was said of the database's place.
    cautioned: OnceCell<()>,
}

impl Context {
    pub(super) fn new(common: &Common, file: OperatorFile) -> Result<Self> {
        let db = match common.db.as_ref().or(file.db.as_ref()) {
            Some(db) => at_home(db),
            None => default_store()?,
        };
        let source = match (&common.source, &file.source) {
            (Some(source), _) => source.clone(),
            (None, named) => {
                let named = named.as_deref().unwrap_or(settings::DEFAULT_SOURCE);
                named.parse().map_err(anyhow::Error::msg).context("source")?
            }
        };
        if source.reads(&db) {
            return Err(StoreError::the_source_itself(db).into());
        }
        let environment = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty()).map(Zeroizing::new);
        let retired = if common.old_key_file.is_empty() { &file.old_key_files } else { &common.old_key_file };
        let keys = KeySources {
            environment,
            file: common.key_file.as_ref().or(file.key_file.as_ref()).map(|path| at_home(path)),
            retired: retired.iter().map(|path| at_home(path)).collect(),
        };
        let backups = common.backups.above(&file.backups);
        ensure_apart(&source, &backups)?;
        let consumer = consumer(common, &file)?;
        let reach = Arc::new(reach(common, &file, own(&db, &keys, consumer.as_ref())));
        Ok(Self {
            source,
            db,
            keys,
            consumer,
            backups,
            file,
            settings: common.config.as_deref().map(at_home),
            reach,
            when_missing: Cell::default(),
            named_actor: common.actor.clone().filter(|name| !name.is_empty()),
            declared: OnceCell::new(),
            cautioned: OnceCell::new(),
        })
    }

    /// Where the backups lie.
    pub(super) fn backup_folder(&self) -> BackupFolder {
        self.backups.folder_of(&self.db)
    }

    /// Who is recorded as the author of a change that a command makes.
    pub(super) fn actor(&self) -> String {
        super::actor::person(self.named_actor.as_deref())
    }

    /// Who is recorded as the author of what `run` does by itself.
    pub(super) fn agent(&self) -> String {
        super::actor::agent(self.named_actor.as_deref())
    }

    /// The answers to differences: flags and environment first, then `operator.yaml`, then the defaults.
    pub(super) fn policy(&self, args: Option<&PolicyArgs>) -> Result<Policy> {
        let declared = match self.source.object() {
            Some(_) => self.declared().map_err(with_hint)?.policy.clone(),
            None => None,
        };
        let given = args.map(PolicyArgs::part).unwrap_or_default();
        let parts = [Some(&given), declared.as_ref(), Some(&self.file.policy())];
        self.ensure_named(&given)?;
        let mut policy = Policy::of(&parts.into_iter().flatten().collect::<Vec<_>>());
        policy.confirm_prune = args.and_then(|args| args.confirm_prune);
        match policy.tied().first() {
            Some(tie) => bail!("{}", tie.message),
            None => Ok(policy),
        }
    }

    /// Refuses an answer for a path that names nothing: a misspelt one would answer nothing, and nobody would notice.
    fn ensure_named(&self, given: &PolicyPart) -> Result<()> {
        let patterns: Vec<&PathPattern> =
            given.overrides.iter().map(|it| &it.path).chain(&given.ignore).collect();
        if patterns.is_empty() {
            return Ok(());
        }
        let mut store = self.store(Access::Read)?;
        let live = store.read()?;
        let source = self.read_source().ok();
        let desired = source.and_then(|source| read_source(&source, &self.secrets(), store.keys()).ok());
        let names = Names::of(&live).and(desired.as_ref().map(DesiredConfig::configuration));
        let unknown = patterns.iter().filter_map(|pattern| names.pattern(&pattern.to_string()).err());
        let unknown: Vec<Finding> = unknown.flatten().collect();
        if unknown.is_empty() { Ok(()) } else { Err(Invalid(unknown).into()) }
    }

    /// The answers that flags and environment give, and those of `operator.yaml`: what a source says stands between.
    pub(super) fn policy_parts(&self, args: &PolicyArgs) -> Result<PolicyLayers> {
        let layers = PolicyLayers { above: args.part(), below: self.file.policy() };
        match layers.with(None).tied().first() {
            Some(tie) => bail!("{}", tie.message),
            None => Ok(layers),
        }
    }

    /// What the source in Kubernetes says, asked for once.
    fn declared(&self) -> Result<&Declared, SourceError> {
        if let Some(declared) = self.declared.get() {
            return Ok(declared);
        }
        let declared = crate::cluster::read(&self.source)?;
        Ok(self.declared.get_or_init(|| declared))
    }

    /// Finds the secrets that the source refers to.
    pub(super) fn secrets(&self) -> Secrets {
        match self.declared.get() {
            Some(declared) => Secrets::of_cluster(Arc::clone(&declared.secrets), &self.reach),
            None => Secrets::of(&self.source, &self.reach),
        }
    }

    /// Warns, once, where what is read from the database may not be what the orchestrator has.
    pub(super) fn warn_of_place(&self) {
        self.cautioned.get_or_init(|| {
            if let Some(caution) = crate::store::caution(&self.db) {
                super::output::note(format!("warning: {}", printable(&caution)));
            }
        });
    }

    pub(super) fn store(&self, access: Access) -> Result<Store> {
        if access == Access::Read {
            self.warn_of_place();
        }
        let mut store = Store::at(&self.db, access, &self.keys)?;
        store.set_backups(&self.backups);
        store.when_missing(self.when_missing.get());
        if access == Access::Write
            && let Some(resumed) = store.finish_rotation(std::time::SystemTime::now())?
        {
            super::output::note(super::key::resumed(&resumed));
        }
        Ok(store)
    }

    /// Refuses to write by a source while an agent keeps the database equal to another one.
    pub(super) fn ensure_agent_agrees(&self) -> Result<()> {
        let path = Store::at(&self.db, Access::Read, &self.keys)?.path().to_owned();
        let here = absolute_source(&self.source.to_string());
        match agent_of(&path)?.filter(|holder| !is_same_source(&holder.source, &here)) {
            Some(holder) => {
                Err(StoreError::OtherAgent { path, holder: Box::new(holder), source_here: here }.into())
            }
            None => Ok(()),
        }
    }

    /// The store, which must be there already.
    pub(super) fn existing_store(&self, access: Access) -> Result<Store> {
        let mut store = self.store(access)?;
        // Where backups of it exist, that is the first thing to know. Another database can be looked at.
        match store.ensure_present() {
            Err(StoreError::Missing { in_place: InPlace::Another, .. }) if access == Access::Read => {}
            present => present?,
        }
        if store.exists() {
            return Ok(store);
        }
        let hint = "`oxide-operator migrate` makes it from the YAML; another one is named with --db";
        Err(error_with_help(format!("{} does not exist", shown_path(store.path())), hint))
    }

    /// The file or folder of the source, for what makes no sense with an object of Kubernetes.
    pub(super) fn source_path(&self) -> Result<&Path> {
        self.source.path().ok_or_else(|| {
            let hint = "name a file with --source file:PATH; `apply` and `promote` work with objects, too";
            error_with_help(format!("{} is no file", self.source), hint)
        })
    }

    /// Reads the source; a source that cannot be read stops the command.
    pub(super) fn read_source(&self) -> Result<SourceSnapshot, SourceError> {
        match self.source.object() {
            Some(_) => self.declared().map(|declared| SourceSnapshot::clone(&declared.snapshot)),
            None => source::read(&self.source),
        }
    }

    /// One pass over the source and the store.
    pub(super) fn pass(&self, store: &mut Store, what: &Pass<'_>) -> Result<Passed> {
        let source = self.read_source().map_err(with_hint)?;
        Ok(self.pass_over(&source, store, what))
    }

    /// One pass over a source that was read already.
    pub(super) fn pass_over(&self, source: &SourceSnapshot, store: &mut Store, what: &Pass<'_>) -> Passed {
        let secrets = self.secrets();
        sync_once(&Input { source, known: None, secrets: &secrets }, store, what)
    }

    /// What would be written; nothing is.
    pub(super) fn dry_pass(&self, policy: &Policy) -> Result<Passed> {
        let mut store = self.store(Access::Read)?;
        self.pass(&mut store, &Pass::plan(policy))
    }
}

/// Refuses backups in the folder of the source, which would read the copies of itself that lie with them.
fn ensure_apart(source: &SourceSpec, backups: &BackupOptions) -> Result<()> {
    let (SourceSpec::Folder(source), Some(folder)) = (source, &backups.folder) else { return Ok(()) };
    if lasting_path(source) != lasting_path(folder) {
        return Ok(());
    }
    let message = format!("{} is the folder of the source, and cannot hold the backups", shown_path(folder));
    Err(error_with_help(message, "name another folder as `backups.folder` or OXIDE_OPERATOR_BACKUP_FOLDER"))
}

/// Adds what to do next to an error.
pub(super) fn with_hint(error: SourceError) -> anyhow::Error {
    let hint = error.hint();
    anyhow::Error::new(error).context(Hint(hint.to_owned()))
}

/// An error with what to do next.
pub(super) fn error_with_help(message: impl Into<String>, help: impl Into<String>) -> anyhow::Error {
    anyhow::Error::msg(message.into()).context(Hint(help.into()))
}

/// A hint travels as the outermost context and is printed last.
#[derive(Debug)]
pub(super) struct Hint(pub(super) String);

impl std::fmt::Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says why a guard refused the pass, if one did.
pub(super) fn refused(report: &SyncReport) -> Option<super::Exit> {
    let guarded = matches!(report.outcome, Outcome::SourceClobbered | Outcome::StoreMissing);
    let failure = report.failure.as_ref().filter(|_| guarded)?;
    super::output::error(&failure.message, failure.hint.as_deref());
    Some(super::Exit::Guarded)
}

/// A report that failed becomes an error with its hint.
pub(super) fn ensure_not_failed(report: &SyncReport) -> Result<()> {
    let Some(failure) = &report.failure else { return Ok(()) };
    match &failure.hint {
        Some(hint) => Err(error_with_help(&failure.message, hint)),
        None => bail!("{}", failure.message),
    }
}

/// What the source may name.
fn reach(common: &Common, file: &OperatorFile, own: Own) -> Reach {
    let folders =
        if common.secrets_folder.is_empty() { &file.secrets_folders } else { &common.secrets_folder };
    let variables = if common.source_env.is_empty() { &file.source_env } else { &common.source_env };
    Reach {
        folders: folders.iter().map(|folder| at_home(folder)).collect(),
        variables: variables.clone(),
        own,
    }
}

/// What it may not name, wherever it lies.
fn own(db: &Path, keys: &KeySources, consumer: Option<&Consumer>) -> Own {
    let (mut files, mut texts) = (keys.files(db), Vec::new());
    texts.extend(keys.environment.iter().map(|key| SecretText::new(key.as_str())));
    match consumer.and_then(Consumer::token_source) {
        Some(TokenSource::File(file)) => files.push(file.clone()),
        Some(TokenSource::Text(token)) => texts.push(SecretText::new(token.as_str())),
        None => {}
    }
    Own::of(db, files, texts)
}

/// The token in the environment; a flag would show it to everybody who lists processes.
const TOKEN_VARIABLE: &str = "OXIDE_OPERATOR_RELOAD_TOKEN";

fn consumer(common: &Common, file: &OperatorFile) -> Result<Option<Consumer>> {
    let pid_file =
        common.reload_pid_file.as_ref().or(file.reload.pid_file.as_ref()).map(|path| at_home(path));
    let Some(url) = common.reload_url.as_ref().or(file.reload.url.as_ref()) else {
        let signal = common.reload_signal.as_ref().or(file.reload.signal.as_ref());
        let signalled = |file: PathBuf| Consumer::signalled(file, signal.map_or("HUP", String::as_str));
        return pid_file.map(signalled).transpose().map_err(|why| anyhow::anyhow!("--reload-signal: {why}"));
    };
    let text = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()).map(Zeroizing::new);
    let token = match (common.reload_token_file.as_ref().or(file.reload.token_file.as_ref()), text) {
        (Some(file), _) => Some(TokenSource::File(at_home(file))),
        (None, text) => text.map(TokenSource::Text),
    };
    Ok(Some(Consumer::new(url, token)))
}

/// What a plan depends on when somebody asks for it now.
pub(super) fn circumstances() -> Circumstances<'static> {
    Circumstances { now: super::decide::now(), ..Circumstances::default() }
}

/// Where the settings are looked for when none are named.
pub(super) fn usual_settings() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(Path::new(&home).join(settings::DEFAULT_SETTINGS))
}

fn default_store() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let home = home.context("HOME is not set, so the default database has no place; name one with --db")?;
    Ok(Path::new(&home).join(settings::DEFAULT_STORE))
}
