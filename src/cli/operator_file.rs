//! `operator.yaml`: settings below flags and environment, above the defaults.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::args::{Address, BackupSettings, Listen, LogFormat};
use super::context::error_with_help;
use crate::consumer::ReloadUrl;
use crate::desired;
use crate::model::{
    Finding, OnConflict, OnDrift, Override, PathPattern, Policy, PolicyPart, Prune, Seconds, shown_path,
};
use crate::plan::Fights;
use crate::settings::MAX_SETTINGS_BYTES;
use crate::small_file;

/// The settings of oxide-operator. Flags and environment variables come before them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct OperatorFile {
    /// The declared configuration: `file:PATH` or `dir:PATH`.
    pub(super) source: Option<String>,
    /// Folders whose files the source may name as API keys, besides its own, `/run/secrets` and `/var/run/secrets`.
    pub(super) secrets_folders: Vec<PathBuf>,
    /// The variables of the environment that the source may name. For a file any but oxide-operator's own, for an object
    /// of Kubernetes none, when none are given.
    pub(super) source_env: Vec<String>,
    /// The database.
    pub(super) db: Option<PathBuf>,
    /// The encryption key's file.
    pub(super) key_file: Option<PathBuf>,
    /// Files with retired keys, still used for reading.
    pub(super) old_key_files: Vec<PathBuf>,
    /// How the orchestrator is told of changes.
    pub(super) reload: Reload,
    /// Where `run` serves the web page and the API, as `127.0.0.1:8460`, or `off`.
    #[schemars(with = "Option<String>")]
    pub(super) listen: Option<Listen>,
    /// Names under which the web page may be asked for, besides localhost.
    pub(super) allow_hosts: Vec<String>,
    /// Where `run` serves health and metrics, as `127.0.0.1:8461`.
    #[schemars(with = "Option<String>")]
    pub(super) listen_health: Option<Address>,
    /// The form of the log of `run`.
    pub(super) log_format: Option<LogFormat>,
    /// What to do where only the database moved.
    pub(super) on_drift: Option<OnDrift>,
    /// How long an edit must be quiet before `run` answers it by itself, as `30s` or `5m`.
    pub(super) grace: Option<Seconds>,
    /// What to do where both sides moved apart, or differed when they met.
    pub(super) on_conflict: Option<OnConflict>,
    /// Whether to delete what the source no longer declares.
    pub(super) prune: Option<Prune>,
    /// Other answers for some paths; the most specific one counts.
    pub(super) overrides: Vec<Override>,
    /// Paths that are left out of every comparison, as `services.*.models`.
    #[schemars(with = "Vec<String>")]
    pub(super) ignore: Vec<PathPattern>,
    /// After how long `run` backs up what no backup has; `24h` by default. Every write is backed up besides.
    pub(super) backup_every: Option<Seconds>,
    /// How many backups are kept. What somebody asked for is always kept.
    pub(super) backups: BackupSettings,
    /// When reverts of one field are a fight, and what then happens.
    pub(super) fights: FightSettings,
}

/// How the orchestrator is told of changes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Reload {
    /// Its reload call.
    #[schemars(with = "Option<String>")]
    pub(super) url: Option<ReloadUrl>,
    /// A file with the bearer token for it.
    pub(super) token_file: Option<PathBuf>,
    /// A file with the process id to signal instead.
    pub(super) pid_file: Option<PathBuf>,
    /// The signal; HUP when none is named.
    pub(super) signal: Option<String>,
}

/// When reverts of one field are a fight, and what then happens.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct FightSettings {
    /// So many reverts within a minute are one; 5 by default.
    after: Option<usize>,
    /// How long the next revert waits then, three times as long each time; `2s` by default.
    back_off: Option<Seconds>,
    /// After so many waits the field is held; 5 by default.
    rounds: Option<u32>,
}

impl OperatorFile {
    /// Reads the file that is named, or the one in its usual place when there is one.
    pub(super) fn find(
        named: Option<&Path>,
        usual: Option<&Path>,
    ) -> anyhow::Result<Result<Self, Vec<Finding>>> {
        let (path, must_exist) = match (named, usual) {
            (Some(path), _) => (path, true),
            (None, Some(path)) => (path, false),
            (None, None) => return Ok(Ok(Self::default())),
        };
        match small_file::read_text(path, MAX_SETTINGS_BYTES) {
            Ok(text) => Ok(Self::read(&path.display().to_string(), &text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
                Ok(Ok(Self::default()))
            }
            Err(error) => {
                let message = format!("read {}: {error}", shown_path(path));
                let help = match super::owner::obstacle_to_reading(path) {
                    Some(obstacle) => format!("{}. {}", obstacle.what, obstacle.help),
                    None => "the settings are needed: make the file readable, or name another with --config"
                        .into(),
                };
                Err(error_with_help(message, help))
            }
        }
    }

    /// Reads settings; every fault is found at once.
    pub(super) fn read(name: &str, text: &str) -> Result<Self, Vec<Finding>> {
        let value = desired::value_of(text).map_err(|why| vec![Finding::error(format!("{name}: {why}"))])?;
        let entries = match value {
            Json::Null => Map::new(),
            Json::Object(entries) => entries,
            _ => return Err(vec![Finding::error(format!("{name}: expected settings by name"))]),
        };
        let mut findings = unknown(&entries);
        for (key, value) in &entries {
            for (path, part) in parts(key, value) {
                let known = !findings.iter().any(|(at, _)| at.starts_with(&path));
                if let (true, Err(error)) = (known, serde_json::from_value::<Self>(part)) {
                    findings.push((path, Finding::error(error.to_string())));
                }
            }
        }
        let read = serde_json::from_value::<Self>(Json::Object(entries));
        if let (Err(error), true) = (&read, findings.is_empty()) {
            findings.push((String::new(), Finding::error(error.to_string())));
        }
        let read = read.ok();
        if let Some(read) = &read {
            let policy = Policy { overrides: read.overrides.clone(), ..Policy::default() };
            findings.extend(policy.tied().into_iter().map(|finding| ("overrides".to_owned(), finding)));
        }
        let places = desired::places_of(name, text, &findings.iter().map(|(path, _)| path.clone()).collect());
        let located = |(path, finding): (String, Finding)| {
            let location = places.get(&path).cloned();
            let finding = if path.is_empty() { finding } else { finding.at_path(path) };
            Finding { location, ..finding }
        };
        let findings: Vec<Finding> = findings.into_iter().map(located).collect();
        match read {
            Some(read) if findings.is_empty() => Ok(read),
            _ => Err(findings),
        }
    }

    /// The answers to differences that the file gives.
    pub(super) fn policy(&self) -> PolicyPart {
        PolicyPart {
            on_drift: self.on_drift,
            grace: self.grace,
            on_conflict: self.on_conflict,
            prune: self.prune,
            overrides: self.overrides.clone(),
            ignore: self.ignore.clone(),
        }
    }

    pub(super) fn fights(&self) -> Fights {
        let usual = Fights::default();
        Fights {
            after: self.fights.after.unwrap_or(usual.after).max(1),
            back_off: self.fights.back_off.map_or(usual.back_off, |seconds| seconds.0),
            rounds: self.fights.rounds.unwrap_or(usual.rounds),
        }
    }
}

/// A setting as settings of its own, so that each is judged by itself: the items of `overrides` and `ignore`, too.
fn parts(key: &str, value: &Json) -> Vec<(String, Json)> {
    let alone = |value: Json| Json::Object(Map::from_iter([(key.to_owned(), value)]));
    match value {
        Json::Array(items) if !items.is_empty() => items
            .iter()
            .enumerate()
            .map(|(position, item)| (format!("{key}.{position}"), alone(Json::Array(vec![item.clone()]))))
            .collect(),
        value => vec![(key.to_owned(), alone(value.clone()))],
    }
}

/// The names that are not settings, with the one that was perhaps meant.
fn unknown(entries: &Map<String, Json>) -> Vec<(String, Finding)> {
    let schema = schemars::schema_for!(OperatorFile).to_value();
    let names = |of: &Json| -> Vec<String> {
        of.get("properties")
            .and_then(Json::as_object)
            .map(|it| it.keys().cloned().collect())
            .unwrap_or_default()
    };
    let definition = |name: &str| names(schema.pointer(&format!("/$defs/{name}")).unwrap_or(&Json::Null));
    let mut found = Vec::new();
    let mut check = |path: &str, entries: &Map<String, Json>, known: &[String]| {
        for key in entries.keys().filter(|key| !known.contains(key)) {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let words: Vec<&str> = known.iter().map(String::as_str).collect();
            let finding = Finding::error(format!("`{key}` is not a setting"));
            let help =
                desired::closest(key, &words).unwrap_or_else(|| format!("there are {}", words.join(", ")));
            found.push((at, finding.suggest(help)));
        }
    };
    check("", entries, &names(&schema));
    for (key, of) in [
        ("reload", "Reload"),
        ("backups", "BackupSettings"),
        ("fights", "FightSettings"),
        ("overrides", "Override"),
    ] {
        match entries.get(key) {
            Some(Json::Object(inner)) => check(key, inner, &definition(of)),
            Some(Json::Array(items)) => {
                for (position, item) in items.iter().enumerate() {
                    if let Json::Object(inner) = item {
                        check(&format!("{key}.{position}"), inner, &definition(of));
                    }
                }
            }
            _ => {}
        }
    }
    found
}
