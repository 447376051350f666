//! Options of every command: which source, which store, which key, and whom to tell.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::keep::BackupSettings;
use crate::consumer::ReloadUrl;
use crate::source::SourceSpec;

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The settings below flags and environment [default: ~/.oxide/operator.yaml]
    #[arg(long, global = true, env = "OXIDE_OPERATOR_CONFIG", value_name = "PATH", help_heading = "Where")]
    pub config: Option<PathBuf>,
    /// The declared configuration: `file:PATH`, `dir:PATH`, `configmap:NS/NAME[/KEY]` or `oxideconfig:NS/NAME` [default: `file:config/default.yaml`]
    #[arg(long, global = true, env = "OXIDE_OPERATOR_SOURCE", value_name = "SOURCE", help_heading = "Where")]
    pub source: Option<SourceSpec>,
    /// A variable of the environment that the source may name; may be given several times [default: for a file any but
    /// oxide-operator's own, for an object of Kubernetes none]
    #[arg(
        long,
        global = true,
        env = "OXIDE_OPERATOR_SOURCE_ENV",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Where"
    )]
    pub source_env: Vec<String>,
    /// A folder whose files the source may name as API keys, besides its own, `/run/secrets` and `/var/run/secrets`; may be
    /// given several times
    #[arg(
        long,
        global = true,
        env = "OXIDE_OPERATOR_SECRETS_FOLDER",
        value_name = "PATH",
        value_delimiter = ',',
        help_heading = "Where"
    )]
    pub secrets_folder: Vec<PathBuf>,
    /// The database [default: ~/.oxide/config.db]
    #[arg(long, global = true, env = "OXIDE_OPERATOR_DB", value_name = "PATH", help_heading = "Where")]
    pub db: Option<PathBuf>,
    /// The encryption key's file, when `OXIDE_ENCRYPTION_KEY` is not set [default: encryption.key beside the database]
    #[arg(long, global = true, env = "OXIDE_OPERATOR_KEY_FILE", value_name = "PATH", help_heading = "Where")]
    pub key_file: Option<PathBuf>,
    /// A file with a retired key, still used for reading; may be given several times
    #[arg(
        long,
        global = true,
        env = "OXIDE_OPERATOR_OLD_KEY_FILE",
        value_name = "PATH",
        value_delimiter = ','
    )]
    #[arg(help_heading = "Where")]
    pub old_key_file: Vec<PathBuf>,
    /// The orchestrator's reload call, told after each write; see `reload`
    #[arg(
        long,
        global = true,
        env = "OXIDE_OPERATOR_RELOAD_URL",
        value_name = "URL",
        help_heading = "Where"
    )]
    pub reload_url: Option<ReloadUrl>,
    /// A file with the bearer token for it; or set `OXIDE_OPERATOR_RELOAD_TOKEN`
    #[arg(
        long,
        global = true,
        env = "OXIDE_OPERATOR_RELOAD_TOKEN_FILE",
        value_name = "PATH",
        help_heading = "Where"
    )]
    pub reload_token_file: Option<PathBuf>,
    /// A file with the orchestrator's process id, to signal it after each write instead. The orchestrator as shipped handles
    /// none of these signals and ends: only for one that you made to
    #[arg(
        long,
        global = true,
        env = "OXIDE_OPERATOR_RELOAD_PID_FILE",
        value_name = "PATH",
        conflicts_with = "reload_url",
        help_heading = "Where"
    )]
    pub reload_pid_file: Option<PathBuf>,
    /// The signal: HUP, USR1 or USR2 [default: HUP]
    #[arg(
        long,
        global = true,
        env = "OXIDE_OPERATOR_RELOAD_SIGNAL",
        value_name = "NAME",
        help_heading = "Where"
    )]
    pub reload_signal: Option<String>,
    /// Who is recorded as the author of a change [default: the user; for `run`, the agent on this host]
    #[arg(
        long,
        global = true,
        env = "OXIDE_OPERATOR_ACTOR",
        value_name = "NAME",
        value_parser = actor,
        help_heading = "Where"
    )]
    pub actor: Option<String>,
    /// How many backups are kept.
    #[command(flatten)]
    pub backups: BackupSettings,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColourChoice::Auto, value_name = "WHEN")]
    pub color: ColourChoice,
    /// Say more on stderr; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// A person's name.
fn actor(text: &str) -> Result<String, String> {
    if crate::model::is_agent(text.trim()) {
        return Err("names that begin with `agent@` are those of agents".into());
    }
    Ok(crate::model::person_name(text))
}

/// When output carries colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColourChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
