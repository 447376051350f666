//! The `oxide-operator` binary; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    oxide_operator::cli::main().into()
}
