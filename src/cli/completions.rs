//! `completions`: the script that completes commands in a shell.

use super::args::{self, Completions};
use super::{Exit, output};

pub(super) fn run(args: &Completions) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "oxide-operator", &mut script);
    // clap_complete 4.6 splits the hyphen of the name in one half of its bash script only, so that no subcommand is
    // ever found; a test completes with the result.
    output::result(String::from_utf8_lossy(&script).replace("oxide__subcmd__operator", "oxide__operator"));
    Exit::Ok
}
