//! The command line as people type it.

mod answer;
mod backup;
mod common;
mod edit;
mod history;
mod keep;
mod key;
mod policy;
mod run;

use crate::model::reason_of;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use answer::{
    Accept, AcceptSource, Adopt, Explain, Pause, Promote, RestoreSource, Resume, Revert, Source, Take,
    Withdraw,
};
pub use backup::Backup;
pub use common::{ColourChoice, Common};
pub use edit::{Add, AddObject, EditArgs, Get, Remove, RestoreArgs, RuleFields, ServiceFields, Set};
pub use history::{Diff, History, HistoryCommand, Restore, Rollback, Show, Undo};
pub use keep::BackupSettings;
pub use key::Key;
pub use policy::PolicyArgs;
pub use run::{Address, Listen, LogFormat, Run};

/// Returns the command line, with the examples of each command above its options.
pub fn command() -> clap::Command {
    without_empty_variables(examples_first(Cli::command()))
}

/// An empty variable is an unset one: Compose and CI set what nobody gave a value to so.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let empty =
            arg.get_env().is_some_and(|name| std::env::var_os(name).is_some_and(|text| text.is_empty()));
        if empty { arg.env(clap::builder::Resettable::Reset) } else { arg }
    });
    command.mut_subcommands(without_empty_variables)
}

fn examples_first(command: clap::Command) -> clap::Command {
    const TEMPLATE: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";
    command.help_template(TEMPLATE).mut_subcommands(examples_first)
}

/// Keeps the Oxide configuration database equal to a declared YAML, and never loses an edit of either side.
#[derive(Debug, Parser)]
#[command(name = "oxide-operator", version, propagate_version = true)]
#[command(before_help = "\
Examples:
  oxide-operator plan                         what would be written, and why
  oxide-operator migrate                      the YAML into the database
  oxide-operator run --source dir:/etc/oxide  watch both sides and reconcile")]
#[command(after_help = "\
Exit codes: 0 in sync or done, 1 error, 2 differences, 3 comparison incomplete,
4 stale plan, 5 conflict held, 6 invalid, 7 guard refused, 64 usage.
`migrate` and `verify` keep the guide's 0 and 1.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Which source and which store.
    #[command(flatten)]
    pub common: Common,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch the source and the database, and reconcile whenever one of them changes
    Run(Run),
    /// Bring the YAML into the database: the migration guide's tool, flag for flag
    Migrate(Migrate),
    /// Show what a pass would write, what it leaves alone, and why
    Plan(PlanArgs),
    /// The same as `plan`; with revisions, what changed between them
    Diff(Diff),
    /// Write the plan: backed up before, verified after, in one transaction
    Apply(Apply),
    /// Compare every value of every managed field; exit 0 when all are equal, else 1
    #[command(
        before_help = "Examples:\n  oxide-operator verify && echo equal\n  oxide-operator verify -o json\n\nA value that only the database has is a difference here, and none to `plan`. Exit 0 equal, 1 not."
    )]
    Verify(Format),
    /// Write the whole configuration from the database to a YAML file
    Export(Export),
    /// Show the configuration that the orchestrator would load, and where from
    #[command(before_help = "Examples:\n  oxide-operator config\n  oxide-operator config -o json")]
    Config(Format),
    /// Source, store, differences, backups and key on one screen
    #[command(
        before_help = "Examples:\n  oxide-operator status\n  oxide-operator status -o json\n\nExit codes as of `plan`: 0 in sync, 2 differences, 5 conflict held, 6 invalid, 7 guard refused."
    )]
    Status(Format),
    /// Tell the orchestrator to read the database again, and ask what it runs with
    #[command(
        before_help = "Examples:\n  oxide-operator reload --reload-url http://127.0.0.1:8000/api/config/reload"
    )]
    Reload,
    /// Find what is wrong, say why it matters, and the command that mends it
    #[command(before_help = "Examples:\n  oxide-operator doctor\n  oxide-operator doctor -o json")]
    Doctor(Format),
    /// Why a value is as it is: three sides, who changed it, what happens next
    Explain(Explain),
    /// Write the source's values back into the database, where somebody changed them
    Revert(Revert),
    /// Write the database's values into the source, touching nothing else in it
    Promote(Promote),
    /// Keep values as the database has them, quietly, until either side moves
    Accept(Accept),
    /// Write nothing for a while; differences are still watched
    Pause(Pause),
    /// End a pause
    Resume(Resume),
    /// Take back a decision: an acceptance, a pause, a pin
    Withdraw(Withdraw),
    /// Meet a store that somebody else filled: identical, different, extra
    Adopt(Adopt),
    /// After another program has written the source anew: take over or put back
    #[command(subcommand)]
    Source(Source),
    /// Show services, rules, settings or one value of the database
    Get(Get),
    /// Change one value in the database
    Set(Set),
    /// Add a service or a routing rule to the database
    #[command(subcommand)]
    Add(Add),
    /// Remove a service or a routing rule from the database
    Remove(Remove),
    /// Who changed what in the database, when and why
    History(History),
    /// Show one revision
    Show(Show),
    /// Take the last write back, and keep what was changed since
    Undo(Undo),
    /// Bring the managed values back to what a revision recorded
    Restore(Restore),
    /// List, take, check and restore backups
    #[command(subcommand)]
    Backup(Backup),
    /// Make, check and change the encryption key
    #[command(subcommand)]
    Key(Key),
    /// Back to YAML only: export, then set the database aside; and the way back
    Rollback(Rollback),
    /// Print the script that completes commands in a shell
    Completions(Completions),
    /// Print the manual page, or write all of them to a folder
    Man(Man),
    /// Print the JSON schema of an output, or write all of them to a folder
    Schema(Schema),
    /// Print the resource definitions of `oxide.dev/v1alpha1`, for `kubectl apply -f -`
    Crd(Crd),
    /// Print the OpenAPI document of the API
    #[command(before_help = "Examples:\n  oxide-operator openapi > openapi.json")]
    Openapi,
    /// Print the token that the login of the web page asks for
    #[command(
        before_help = "Examples:\n  oxide-operator token\n  curl -H \"Authorization: Bearer $(oxide-operator token)\" http://127.0.0.1:8460/api/v1/status"
    )]
    Token,
}

/// The form of the output.
#[derive(Args, Clone, Copy, Debug)]
pub struct Format {
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Table, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// The forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// Arguments of `migrate`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the guide")]
#[command(before_help = "\
Examples:
  oxide-operator migrate                       the YAML into the database
  oxide-operator migrate --verify              compare them, value by value
  oxide-operator migrate --export backup.yaml  the database back to YAML")]
pub struct Migrate {
    /// The YAML file [default: that of --source]
    #[arg(long, value_name = "FILE")]
    pub yaml: Option<PathBuf>,
    /// Do not copy the YAML file first
    #[arg(long)]
    pub no_backup: bool,
    /// Do not say that the configuration is valid; an invalid one is refused all the same
    #[arg(long)]
    pub no_validate: bool,
    /// Compare the YAML with the database instead of migrating
    #[arg(long, conflicts_with_all = ["export", "dry_run"])]
    pub verify: bool,
    /// Write the database to a YAML file instead of migrating
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub export: Option<PathBuf>,
    /// With --export: write API keys in plain text, so that the orchestrator can use the file by itself
    #[arg(long, requires = "export")]
    pub with_secrets: bool,
    /// With --export: replace a file that exists
    #[arg(long, requires = "export")]
    pub force: bool,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
    /// The answers to differences.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Arguments of `plan`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator plan                 for people
  oxide-operator plan -o markdown     for a comment on a pull request
  oxide-operator plan --out change.plan  save it for `apply`")]
pub struct PlanArgs {
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = PlanFormat::Table, value_name = "FORMAT")]
    pub output: PlanFormat,
    /// Save the plan to a file, for `apply FILE`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// With --out: replace a file that exists
    #[arg(long, requires = "out")]
    pub force: bool,
    /// The answers to differences.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// The forms of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
    /// For a comment on a pull request.
    Markdown,
}

/// Arguments of `apply`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(before_help = "\
Examples:
  oxide-operator apply                    write what `plan` shows
  oxide-operator apply change.plan        a saved plan, or nothing
  oxide-operator apply --on-drift revert  undo edits of others")]
pub struct Apply {
    /// A saved plan; refused when the source or the database moved since
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Why; recorded in the history
    #[arg(long, value_name = "TEXT", value_parser = reason_of, default_value = "apply")]
    pub reason: String,
    /// Write although somebody paused it
    #[arg(long)]
    pub while_paused: bool,
    /// Write what a restore rejected, too
    #[arg(long)]
    pub release_pin: bool,
    /// Begin a new database where the old one is gone, although backups of it exist
    #[arg(long)]
    pub fresh: bool,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
    /// The answers to differences.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Arguments of `export`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator export whole.yaml   everything; API keys encrypted
  oxide-operator export - --minimal  to stdout, without defaults")]
pub struct Export {
    /// The file to write, 0600; - for stdout
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Leave out what the orchestrator assumes anyway
    #[arg(long)]
    pub minimal: bool,
    /// Write API keys in plain text, so that the orchestrator can use the file by itself
    #[arg(long)]
    pub with_secrets: bool,
    /// Replace a file that exists
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `completions`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator completions bash > ~/.local/share/bash-completion/completions/oxide-operator
  oxide-operator completions zsh > ~/.zfunc/_oxide-operator
  oxide-operator completions fish > ~/.config/fish/completions/oxide-operator.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Arguments of `crd`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator crd | kubectl apply --server-side -f -
  oxide-operator crd --dir crds")]
pub struct Crd {
    /// Write a file for every definition into this folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Print a page that explains every field instead, as Markdown
    #[arg(long, conflicts_with = "dir")]
    pub page: bool,
}

/// Arguments of `man`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator man | man -l -
  oxide-operator man --dir ~/.local/share/man/man1")]
pub struct Man {
    /// Write a page for every command into this folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Arguments of `schema`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator schema                   what there is
  oxide-operator schema report            of `plan -o json` and `apply -o json`
  oxide-operator schema --dir docs/schemas")]
pub struct Schema {
    /// The output
    #[arg(value_name = "NAME", value_parser = super::documents::SCHEMAS.map(|(name, _)| name), conflicts_with = "dir")]
    pub name: Option<String>,
    /// Write a file for every output into this folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
