//! Arguments of `get`, `set`, `add` and `remove`.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Subcommand};

use super::Format;
use crate::model::{FieldId, Kind, Section, reason_of};

/// Arguments of `get`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator get services                   every service, a line each
  oxide-operator get ollama_local               one of them, whole
  oxide-operator get execution.timeout_seconds  one value")]
pub struct Get {
    /// services, rules, execution, an id, or a path such as services.ID.FIELD
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
}

/// How an edit is made.
#[derive(Args, Clone, Debug)]
pub struct EditArgs {
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Why; recorded in the history
    #[arg(long, value_name = "TEXT", value_parser = reason_of)]
    pub reason: Option<String>,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
}

/// How much is restored, and how.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// Restore only this section, object or field; an object's id alone will do
    #[arg(long, value_name = "PATH")]
    pub only: Option<String>,
    /// Confirm exactly this many deletions, beyond the limit of 20 %
    #[arg(long, value_name = "N")]
    pub confirm_prune: Option<usize>,
    /// How the edit is made.
    #[command(flatten)]
    pub edit: EditArgs,
}

/// Arguments of `set`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator set services.ollama_local.enabled false
  oxide-operator set rules.code_review.fallback 'qwen, gemini'
  oxide-operator set services.lmstudio.default_model --unset
  oxide-operator set services.openrouter.api_key           asks for the key
  oxide-operator set services.openrouter.api_key --file -  from stdin

An API key is never taken from the command line, where other users and the shell's history would see it.")]
pub struct Set {
    /// ID.FIELD, or services.ID.FIELD, rules.TASK.FIELD, execution.FIELD
    #[arg(value_name = "PATH")]
    pub path: String,
    /// The new value; lists are separated by commas, or written as JSON
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    pub value: Option<String>,
    /// Read the value from a file, or from stdin with -
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    pub file: Option<PathBuf>,
    /// Take the value away, as null does
    #[arg(long, conflicts_with_all = ["value", "file"])]
    pub unset: bool,
    /// How the edit is made.
    #[command(flatten)]
    pub edit: EditArgs,
}

/// What `add` adds.
#[derive(Debug, Subcommand)]
pub enum Add {
    /// Add a service
    #[command(before_help = "\
Examples:
  oxide-operator add service local --type http --base-url http://localhost:8080
  oxide-operator add service cloud --type http --base-url https://example.com/v1 --api-key-file -
  printf 'type: cli\\nexecutable: gemini\\n' | oxide-operator add service gemini2 -f -")]
    Service(AddObject<ServiceFields>),
    /// Add a routing rule
    #[command(before_help = "\
Examples:
  oxide-operator add rule translation --primary gemini --fallback qwen
  oxide-operator add rule translation -f rule.yaml")]
    Rule(AddObject<RuleFields>),
}

/// Arguments of `add service` and `add rule`.
#[derive(Args, Debug)]
pub struct AddObject<F: Args> {
    /// The new object's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// A YAML snippet with its fields, as they stand below its id; - for stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The fields as flags; they go before those of the file.
    #[command(flatten)]
    pub fields: F,
    /// How the edit is made.
    #[command(flatten)]
    pub edit: EditArgs,
}

/// The fields of a service, a flag each.
#[derive(Debug, Default)]
pub struct ServiceFields {
    /// What was given, by field.
    pub values: Vec<(FieldId, String)>,
    /// The file with the API key.
    pub api_key_file: Option<PathBuf>,
}

/// The fields of a routing rule, a flag each.
#[derive(Debug, Default)]
pub struct RuleFields {
    /// What was given, by field.
    pub values: Vec<(FieldId, String)>,
}

/// Arguments of `remove`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator remove services.ollama_remote
  oxide-operator remove ollama_remote --cascade  and from the rules
  oxide-operator remove rules.documentation --dry-run")]
pub struct Remove {
    /// services.ID, rules.TASK, or the id alone
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// Take a removed service out of the rules that name it: the first fallback becomes primary, and a rule that is
    /// left without a service is removed
    #[arg(long)]
    pub cascade: bool,
    /// How the edit is made.
    #[command(flatten)]
    pub edit: EditArgs,
}

const FIELDS: &str = "Fields";

/// Adds a flag for every field but API keys: those never stand in a command line.
fn with_flags(section: Section, mut command: Command) -> Command {
    for field in section.field_ids() {
        let spec = section.spec(field);
        let value_name = match spec.kind {
            Kind::Secret => continue,
            Kind::Text | Kind::Choice(_) => "TEXT",
            Kind::Flag => "true|false",
            Kind::Integer => "NUMBER",
            Kind::Set | Kind::List => "A,B,…",
        };
        let help = match spec.kind {
            Kind::Choice(words) => words.join(" or "),
            _ => String::new(),
        };
        let flag = Arg::new(spec.name).long(spec.name.replace('_', "-")).value_name(value_name);
        command = command.arg(flag.help(help).help_heading(FIELDS).allow_hyphen_values(true));
    }
    command
}

fn given(section: Section, matches: &ArgMatches) -> Vec<(FieldId, String)> {
    let fields = section.field_ids().filter(|field| section.spec(*field).kind != Kind::Secret);
    fields
        .filter_map(|field| Some((field, matches.get_one::<String>(section.spec(field).name)?.clone())))
        .collect()
}

const API_KEY_FILE: &str = "api_key_file";

impl FromArgMatches for ServiceFields {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let api_key_file = matches.get_one::<String>(API_KEY_FILE).map(PathBuf::from);
        Ok(Self { values: given(Section::Services, matches), api_key_file })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ServiceFields {
    fn augment_args(command: Command) -> Command {
        let key = Arg::new(API_KEY_FILE).long("api-key-file").value_name("FILE").help_heading(FIELDS);
        with_flags(Section::Services, command)
            .arg(key.help("Reads the API key from a file, or from stdin with -"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RuleFields {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { values: given(Section::RoutingRules, matches) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for RuleFields {
    fn augment_args(command: Command) -> Command {
        with_flags(Section::RoutingRules, command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
