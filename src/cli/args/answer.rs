//! Arguments of `explain`, `revert`, `promote`, `accept`, `pause` and `resume`.

use clap::{Args, Subcommand, ValueEnum};

use super::{EditArgs, Format, PolicyArgs};
use crate::model::{DecisionKind, reason_of};
use crate::source::Branch;

/// Arguments of `explain`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator explain services.lmstudio.enabled
  oxide-operator explain lmstudio  every value of it that differs

Exit 0 in sync, 2 when the value differs in any way, 6 when the path names nothing.")]
pub struct Explain {
    /// services.ID.FIELD, rules.TASK.FIELD or execution.FIELD; an object, or its id alone
    #[arg(value_name = "PATH")]
    pub path: String,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
    /// The answers to differences.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Arguments of `revert`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator revert services.lmstudio.enabled
  oxide-operator revert services.lmstudio execution.timeout_seconds --dry-run")]
pub struct Revert {
    /// Objects or fields that the source declares; an object's id alone will do
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<String>,
    /// How the edit is made.
    #[command(flatten)]
    pub edit: EditArgs,
}

/// Arguments of `promote`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator promote services.lmstudio.enabled
  oxide-operator promote --all --dry-run
  oxide-operator promote services.lmstudio --git --reason 'it is too slow'
  oxide-operator promote --all --git=drift    a commit on another branch")]
pub struct Promote {
    /// Sections, objects or fields in which the database says something else; an object's id alone will do
    #[arg(value_name = "PATH", required_unless_present = "all", conflicts_with = "all")]
    pub paths: Vec<String>,
    /// Everything in which it does
    #[arg(long)]
    pub all: bool,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write API keys, encrypted: they open only with the encryption key
    #[arg(long)]
    pub keys_as_tokens: bool,
    /// Commit the edit in the repository that holds the file: on the branch that is checked out, or on another one,
    /// which leaves the work tree as it is
    #[arg(long, value_name = "BRANCH", num_args = 0..=1, require_equals = true)]
    pub git: Option<Option<String>>,
    /// Why; recorded in the commit
    #[arg(long, value_name = "TEXT", value_parser = reason_of)]
    pub reason: Option<String>,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
}

impl Promote {
    /// All of it.
    pub fn everything(keys_as_tokens: bool, format: Format) -> Self {
        let (paths, git, reason) = (Vec::new(), None, None);
        Self { paths, all: true, dry_run: false, keys_as_tokens, git, reason, format }
    }

    /// Where the commit goes, if one is wanted.
    pub fn branch(&self) -> Option<Branch> {
        self.git.as_ref().map(|name| name.clone().map_or(Branch::CheckedOut, Branch::Named))
    }
}

/// Arguments of `accept`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator accept services.lmstudio.enabled --reason 'being repaired' --until 7d
  oxide-operator accept services.lmstudio --reason 'set by hand'
  oxide-operator accept --list")]
pub struct Accept {
    /// Objects or fields that stay as the database has them, until either side moves; `*` stands for any text
    #[arg(value_name = "PATH", required_unless_present = "list")]
    pub paths: Vec<String>,
    /// Why; shown wherever the difference is
    #[arg(long, value_name = "TEXT", value_parser = reason_of, required_unless_present = "list")]
    pub reason: Option<String>,
    /// List what was decided: acceptances, pauses, pins
    #[arg(long, conflicts_with_all = ["paths", "reason", "until"])]
    pub list: bool,
    /// Until when: 2h, 7d, 2026-12-31, 2026-12-31T18:00Z
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
}

/// Arguments of `pause`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator pause --reason 'maintenance' --until 2h
  oxide-operator pause 'services.lm*' --reason 'being tried out'")]
pub struct Pause {
    /// Paths in which nothing is written; everything when none is named
    #[arg(value_name = "PATH")]
    pub scope: Option<String>,
    /// Why; shown wherever something waits
    #[arg(long, value_name = "TEXT", value_parser = reason_of)]
    pub reason: String,
    /// Until when: 2h, 7d, 2026-12-31, 2026-12-31T18:00Z
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
}

/// Arguments of `resume`.
#[derive(Args, Debug)]
#[command(before_help = "Examples:\n  oxide-operator resume\n  oxide-operator resume 'services.lm*'")]
pub struct Resume {
    /// What was paused; everything when none is named
    #[arg(value_name = "PATH")]
    pub scope: Option<String>,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
}

/// Arguments of `withdraw`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator withdraw services.lmstudio.enabled  what was decided there
  oxide-operator withdraw --all --kind pin           the source that a restore rejected counts again
  oxide-operator accept --list                       what could be withdrawn")]
pub struct Withdraw {
    /// Paths as `accept --list` shows them, or patterns that cover them
    #[arg(value_name = "PATH", required_unless_present = "all", conflicts_with = "all")]
    pub paths: Vec<String>,
    /// Everything that was decided
    #[arg(long)]
    pub all: bool,
    /// Only decisions of this kind
    #[arg(long, value_name = "KIND", value_parser = DecisionKind::NAMES)]
    pub kind: Option<String>,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
}

/// Arguments of `adopt`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator adopt --plan           what is identical, different, extra
  oxide-operator adopt --take source    the YAML is right
  oxide-operator adopt --take database  the database is right: into the YAML")]
pub struct Adopt {
    /// Show the groups, and write nothing
    #[arg(long)]
    pub plan: bool,
    /// Which side is right where they differ
    #[arg(long, value_enum, value_name = "SIDE")]
    pub take: Option<Take>,
    /// With `--take database`: write API keys, encrypted
    #[arg(long)]
    pub keys_as_tokens: bool,
    /// The form of the output.
    #[command(flatten)]
    pub format: Format,
}

/// A side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Take {
    /// The source's values go into the database.
    Source,
    /// The database's values go into the source.
    Database,
}

/// What to do with a source that another program wrote anew.
#[derive(Debug, Subcommand)]
pub enum Source {
    /// Put the source back as it was when last good, with only what was really changed
    #[command(before_help = "\
Examples:
  oxide-operator source accept --dry-run
  oxide-operator source accept --as-is    it was meant so")]
    Accept(AcceptSource),
    /// Put the source back as it was when last good
    #[command(
        before_help = "Examples:\n  oxide-operator source restore --dry-run\n  oxide-operator source restore"
    )]
    Restore(RestoreSource),
    /// List the files that `accept` and `restore` replaced, which are kept beside the source
    #[command(before_help = "Examples:\n  oxide-operator source list")]
    List,
}

/// Arguments of `source accept`.
#[derive(Args, Debug)]
pub struct AcceptSource {
    /// Take the source whole, as it is now
    #[arg(long)]
    pub as_is: bool,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `source restore`.
#[derive(Args, Debug)]
pub struct RestoreSource {
    /// Say what would be put back, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}
