//! The migration guide's programmatic use: [`load_config`], [`migrate_config`].
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let (yaml, db) = (folder.path().join("default.yaml"), folder.path().join("config.db"));
//! # std::fs::write(&yaml, include_str!("../../config/default.yaml"))?;
//! use oxide_operator::guide::{load_config, migrate_config};
//!
//! let result = migrate_config(&yaml, &db)?;
//! assert!(result.is_success());
//! println!("Migrated {} services", result.services_migrated);
//! println!("Backup: {:?}", result.backup_path);
//!
//! // Uses the database or the YAML by itself, as the orchestrator does.
//! let config = load_config(&yaml, &db)?;
//! assert_eq!(config.enabled_services().len(), 6);
//! # Ok(())
//! # }
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "names files by the clock, reads the key from the environment"
)]

mod storage;

pub(crate) use storage::object_as_json;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;

use crate::desired::DesiredConfig;
use crate::model::{
    Carried, Configuration, Finding, Policy, SecretText, Section, SourceSnapshot, StoreSnapshot, Value,
};
use crate::plan;
use crate::report::{Outcome, SyncReport};
use crate::source::{self, Own, Reach, Secrets, SourceError, SourceSpec};
use crate::store::{
    Access, BackupOptions, KEY_VARIABLE, KeyRing, KeySources, KeyText, Store, StoreError, WhenMissing,
};
use crate::sync::{Input, Pass, read_source, sync_once};

/// Why the guide's functions failed.
#[derive(Debug, Error)]
pub enum GuideError {
    /// The YAML cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The YAML is not a valid configuration. Every finding is in it.
    #[error("the configuration is not valid:\n{}", plan::findings_text(.0))]
    Invalid(Vec<Finding>),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a migration did.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MigrationResult {
    /// `success`, or `error` when the database does not hold what the YAML says afterwards.
    pub status: &'static str,
    /// Services in the YAML.
    pub services_migrated: usize,
    /// Routing rules in the YAML.
    pub routing_rules_migrated: usize,
    /// `migrated`, or `not declared`.
    pub execution_settings: &'static str,
    /// The copy of the YAML.
    pub backup_path: Option<PathBuf>,
    /// When, as ISO 8601.
    pub migrated_at: String,
    /// Everything else.
    pub report: SyncReport,
    /// What the YAML says, when it is valid.
    #[serde(skip)]
    pub desired: Option<Arc<DesiredConfig>>,
}

impl MigrationResult {
    /// Whether the database now holds what the YAML says.
    pub fn is_success(&self) -> bool {
        self.status == "success"
    }
}

/// How a migration is done.
#[derive(Debug)]
pub struct MigrationOptions<'a> {
    /// The source, for its name and folder.
    pub source: &'a SourceSpec,
    /// The database.
    pub db: &'a Path,
    /// Where the key may be.
    pub keys: &'a KeySources,
    /// What the source may name.
    pub reach: &'a Arc<Reach>,
    /// Where the database's backups lie, and how many are kept.
    pub backups: &'a BackupOptions,
    /// The answers to differences.
    pub policy: &'a Policy,
    /// Whether to copy the YAML first, beside it.
    pub backup: bool,
    /// Who is recorded.
    pub actor: &'a str,
}

/// Migrates with defaults: the YAML is copied, validated, written, verified. A second call writes nothing.
pub fn migrate_config(yaml: &Path, db: &Path) -> Result<MigrationResult, GuideError> {
    let (source, keys) = (SourceSpec::File(yaml.to_owned()), key_sources());
    let options = MigrationOptions {
        source: &source,
        db,
        keys: &keys,
        reach: &reach(db, &keys),
        backups: &BackupOptions::default(),
        policy: &Policy::default(),
        backup: true,
        actor: "oxide-operator",
    };
    migrate(&source::read(&source)?, &options)
}

/// Migrates a source that was read already.
pub fn migrate(
    snapshot: &SourceSnapshot,
    options: &MigrationOptions<'_>,
) -> Result<MigrationResult, GuideError> {
    let now = local_time();
    if options.source.reads(options.db) {
        return Err(StoreError::the_source_itself(options.db.to_owned()).into());
    }
    let mut store = Store::at(options.db, Access::Write, options.keys)?;
    store.set_backups(options.backups);
    // The guide's way to begin again is to remove the database and migrate.
    store.when_missing(WhenMissing::StartFresh);
    let pass = Pass {
        source_copy: options.source.path().filter(|_| options.backup).map(|path| backup_path(path, &now)),
        ..Pass::apply(options.policy, options.actor, "migrate")
    };
    let secrets = Secrets::of(options.source, options.reach);
    let passed = sync_once(&Input { source: snapshot, known: None, secrets: &secrets }, &mut store, &pass);
    let (report, desired) = (passed.report, passed.desired);
    let configuration = desired.as_ref().map(|desired| desired.configuration());
    let declared = |section| configuration.map_or(0, |configuration| configuration.count(section));
    let done = matches!(report.outcome, Outcome::InSync | Outcome::Applied);
    Ok(MigrationResult {
        status: if done { "success" } else { "error" },
        services_migrated: declared(Section::Services),
        routing_rules_migrated: declared(Section::RoutingRules),
        execution_settings: if declared(Section::Execution) > 0 { "migrated" } else { "not declared" },
        backup_path: report.source_copy.clone(),
        migrated_at: now.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
        desired,
        report,
    })
}

/// `default.yaml.backup.YYYYMMDD_HHMMSS` beside the YAML, in local time; the guide's name.
fn backup_path(yaml: &Path, now: &jiff::ZonedDateTime) -> PathBuf {
    let stem = yaml.with_extension("");
    let name = format!("{}.yaml.backup.{}", stem.display(), now.strftime("%Y%m%d_%H%M%S"));
    let later = (1..1000).map(|number| PathBuf::from(format!("{name}_{number}")));
    let path = PathBuf::from(&name);
    std::iter::once(path.clone()).chain(later).find(|path| !path.exists()).unwrap_or(path)
}

fn local_time() -> jiff::ZonedDateTime {
    let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    now.to_zoned_datetime(jiff::tz::TimeZone::system())
}

/// The configuration that the orchestrator would load.
#[derive(Debug)]
pub struct LoadedConfig {
    /// The managed sections.
    pub configuration: Configuration,
    /// The sections without a table.
    pub carried: Carried,
    /// Where it came from.
    pub backend: Backend,
}

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The database.
    Database,
    /// The YAML, because the database cannot be used.
    Yaml(Fallback),
}

/// Why the orchestrator would fall back to the YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// There is no database file.
    Missing,
    /// It has no service and no rule.
    Empty,
    /// It is corrupt, locked or cannot be opened; with SQLite's words.
    Unusable(String),
    /// A stored API key does not decrypt with the key that the orchestrator would use.
    Undecryptable(usize),
    /// The orchestrator's own checks refuse what is in it.
    Invalid(String),
}

impl std::fmt::Display for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("the database does not exist"),
            Self::Empty => f.write_str("the database has no services and no rules"),
            Self::Unusable(why) => write!(f, "the database cannot be used: {why}"),
            Self::Undecryptable(count) => {
                write!(f, "{count} stored API keys do not decrypt with the key the orchestrator would use")
            }
            Self::Invalid(why) => write!(f, "the orchestrator refuses what is in the database: {why}"),
        }
    }
}

impl LoadedConfig {
    /// Returns the ids of the enabled services, in order.
    pub fn enabled_services(&self) -> Vec<&str> {
        let enabled = Section::Services.field("enabled").unwrap_or(crate::model::FieldId(0));
        let services = self.configuration.section(Section::Services).into_iter().flatten();
        services
            .filter(|(_, service)| service.get(enabled) != Some(&Value::Flag(false)))
            .map(|(id, _)| &**id)
            .collect()
    }
}

/// Loads the configuration by the orchestrator's rule: the database when it has services or rules and can be
/// read to the last token, else the YAML.
pub fn load_config(yaml: &Path, db: &Path) -> Result<LoadedConfig, GuideError> {
    let keys = key_sources();
    load(&SourceSpec::File(yaml.to_owned()), db, &keys, &reach(db, &keys))
}

/// [`load_config`] with a source and keys of the caller's choice, and what the source may name.
pub fn load(
    source: &SourceSpec,
    db: &Path,
    keys: &KeySources,
    reach: &Arc<Reach>,
) -> Result<LoadedConfig, GuideError> {
    let why = match from_database(db, keys) {
        Ok(Ok(snapshot)) => {
            let carried = if snapshot.base.met {
                snapshot.carried
            } else {
                // They are in no table: the orchestrator takes its defaults, we know better from the YAML.
                from_yaml(source, keys, db, reach)
                    .map(|desired| desired.carried().clone())
                    .unwrap_or_default()
            };
            return Ok(LoadedConfig { configuration: snapshot.live, carried, backend: Backend::Database });
        }
        Ok(Err(why)) => why,
        Err(error) => Fallback::Unusable(error.to_string()),
    };
    let desired = from_yaml(source, keys, db, reach)?;
    Ok(LoadedConfig {
        configuration: desired.configuration().clone(),
        carried: desired.carried().clone(),
        backend: Backend::Yaml(why),
    })
}

fn from_database(db: &Path, keys: &KeySources) -> Result<Result<StoreSnapshot, Fallback>, StoreError> {
    // The orchestrator knows one key only.
    let present = KeySources { retired: Vec::new(), ..keys.clone() };
    let mut store = Store::at(db, Access::Read, &present)?;
    if !store.exists() {
        return Ok(Err(Fallback::Missing));
    }
    let snapshot = store.read()?;
    Ok(if !snapshot.has_configuration() {
        Err(Fallback::Empty)
    } else if snapshot.undecryptable > 0 {
        Err(Fallback::Undecryptable(snapshot.undecryptable))
    } else if let Some(fault) = plan::faults(&snapshot.live).into_iter().next() {
        Err(Fallback::Invalid(format!("{}: {}", fault.path.unwrap_or_default(), fault.message)))
    } else if snapshot.live.count(Section::Services) == 0 {
        Err(Fallback::Invalid("it has rules and no service of this machine".into()))
    } else {
        Ok(snapshot)
    })
}

fn from_yaml(
    source: &SourceSpec,
    keys: &KeySources,
    db: &Path,
    reach: &Arc<Reach>,
) -> Result<DesiredConfig, GuideError> {
    let snapshot = source::read(source)?;
    let keys = KeyRing::find(keys, db.parent().unwrap_or(Path::new(".")))?;
    read_source(&snapshot, &Secrets::of(source, reach), &keys).map_err(GuideError::Invalid)
}

/// What a source may name where nobody said more.
fn reach(db: &Path, keys: &KeySources) -> Arc<Reach> {
    let texts = keys.environment.iter().map(|key| SecretText::new(key.as_str())).collect();
    Arc::new(Reach { own: Own::of(db, keys.files(db), texts), ..Reach::default() })
}

fn key_sources() -> KeySources {
    let key = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
    KeySources { environment: key.map(KeyText::new), ..KeySources::default() }
}
