//! `completions`: the script that completes commands in a shell.

use super::args::{self, Completions};
use super::{Exit, output};

pub(super) fn run(args: &Completions) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "oxide-operator", &mut script);
    output::result(String::from_utf8_lossy(&script));
    Exit::Ok
}
