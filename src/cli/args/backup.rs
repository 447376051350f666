//! Arguments of `backup`.

use clap::Subcommand;

use super::Format;
use super::edit::RestoreArgs;
use crate::model::reason_of;

/// What `backup` does.
#[derive(Debug, Subcommand)]
pub enum Backup {
    /// List the backups, newest first
    #[command(before_help = "\
Examples:
  oxide-operator backup list  when, what is in each, and under which key
  oxide-operator backup list -o json")]
    List(Format),
    /// Take a backup now
    #[command(before_help = "\
Examples:
  oxide-operator backup create --reason 'before the upgrade'

One is taken before every write anyway.")]
    Create {
        /// Why; listed with the backup
        #[arg(long, value_name = "TEXT", value_parser = reason_of, default_value = "on request")]
        reason: String,
    },
    /// Prove that backups can be restored: every byte, every page, every API key
    #[command(before_help = "\
Examples:
  oxide-operator backup check  all of them; exit 1 when one would fail
  oxide-operator backup check config-20260108T193943123Z")]
    Check {
        /// Names as `backup list` shows them, or paths [default: all]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// The form of the output.
        #[command(flatten)]
        format: Format,
    },
    /// Bring the managed values back to those of a backup; without a database, the whole of it
    #[command(before_help = "\
Examples:
  oxide-operator backup restore config-20260108T193943123Z --dry-run
  oxide-operator backup restore config-20260108T193943123Z --only services.gemini

Rows of other machines and tables of others stay as they are. A backup under a retired key needs --old-key-file.")]
    Restore {
        /// A name as `backup list` shows it, or a path
        #[arg(value_name = "NAME")]
        name: String,
        /// Restore it although it is a backup of another database
        #[arg(long)]
        from_another_database: bool,
        /// How much, and how.
        #[command(flatten)]
        how: RestoreArgs,
    },
}
