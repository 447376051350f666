//! Arguments of `key`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Format;

/// What `key` does.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a new encryption key
    #[command(before_help = "\
Examples:
  oxide-operator key generate         print it, for a Secret
  oxide-operator key generate new.key")]
    Generate {
        /// The file to write, 0600; never overwritten [default: stdout]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Which key is used, and which of the stored API keys it opens
    #[command(before_help = "\
Examples:
  oxide-operator key check  exit 1 when some API key does not open
  oxide-operator key check -o json")]
    Check(Format),
    /// Encrypt every stored API key under a new encryption key
    #[command(before_help = "\
Examples:
  oxide-operator key rotate                         to a key made now
  oxide-operator key rotate --new-key-file new.key  to this one
  oxide-operator key rotate --dry-run")]
    Rotate {
        /// The key to rotate to [default: a new one]
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Begin anew when the key is lost for good: the stored API keys are lost with it
    #[command(before_help = "\
Examples:
  oxide-operator key reset        what would be done
  oxide-operator key reset --yes  do it")]
    Reset {
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}
