//! The command line: one file per command, results on stdout, everything else on stderr.

#![expect(clippy::disallowed_methods, reason = "the command line touches the world")]

mod actor;
mod adopt;
mod apply;
pub mod args;
mod backup;
mod completions;
mod config;
mod context;
mod crd;
mod decide;
mod destination;
mod doctor;
mod documents;
mod edit;
mod exit;
mod explain;
mod export;
#[cfg(debug_assertions)]
pub(crate) mod fuzzing;
mod get;
mod history;
mod holder;
mod key;
mod man;
mod migrate;
mod openapi;
mod operator_file;
mod output;
mod owner;
mod plan;
mod promote;
mod reload;
mod restore;
mod rollback;
mod run;
mod schema;
mod source;
mod status;
mod token;
mod undo;
mod verify;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;

use args::{Cli, Command};
use context::{Context, Hint};
pub use exit::Exit;
use operator_file::OperatorFile;

use crate::model::printable;
use crate::store::StoreError;

/// Runs the command line of this process.
pub fn main() -> Exit {
    crate::telemetry::harden();
    let parsed = args::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            output::note_loss(error.print());
            return unless_lost(Exit::Ok);
        }
        Err(error) => {
            output::note(usage(&error).trim_end());
            return Exit::Usage;
        }
    };
    output::set_colour(cli.common.color);
    unless_lost(match dispatch(&cli) {
        Ok(exit) => exit,
        Err(error) if error.is::<output::Invalid>() => {
            output::note(error.to_string());
            Exit::Invalid
        }
        Err(error) => {
            print_error(&error);
            match error.chain().find_map(|cause| cause.downcast_ref::<StoreError>()) {
                Some(StoreError::Missing { .. } | StoreError::OtherAgent { .. }) => Exit::Guarded,
                _ => Exit::Error,
            }
        }
    })
}

/// What is wrong with the command line, with what was given shown as it may be printed.
fn usage(error: &clap::Error) -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let variables = std::env::vars_os().map(|(_, value)| value.to_string_lossy().into_owned());
    let whole: Vec<String> = arguments.chain(variables).filter(|given| shown(given) != *given).collect();
    let values = whole.iter().filter_map(|given| Some(given.split_once('=')?.1));
    let mut text = error.render().ansi().to_string();
    for given in whole.iter().map(String::as_str).chain(values) {
        text = text.replace(given, &shown(given));
    }
    // Only now: it would take parts of what was given for colours.
    anstream::adapter::strip_str(&text).to_string()
}

/// An argument as it may be printed: on one line, and a URL without a password.
fn shown(given: &str) -> String {
    let printable = printable(given);
    let Some((before, rest)) = printable.split_once("://") else { return printable.into_owned() };
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    match authority.rfind('@') {
        Some(at) => format!("{before}://••••{}", &rest[at..]),
        None => printable.into_owned(),
    }
}

/// A result that could not be printed is no result, whatever was done.
fn unless_lost(exit: Exit) -> Exit {
    let Some(error) = output::lost() else { return exit };
    output::error(
        format!("write to stdout: {error}"),
        Some("what was printed is not whole; make room, and run it again"),
    );
    Exit::Error
}

fn dispatch(cli: &Cli) -> anyhow::Result<Exit> {
    let file = match &cli.command {
        Command::Completions(_)
        | Command::Crd(_)
        | Command::Man(_)
        | Command::Schema(_)
        | Command::Openapi => Ok(Ok(OperatorFile::default())),
        _ => OperatorFile::find(
            cli.common.config.as_deref().map(crate::source::at_home).as_deref(),
            context::usual_settings().as_deref(),
        ),
    };
    let file = match (file, &cli.command) {
        // Settings that cannot be read are one of the troubles that it is asked about.
        (Err(error), Command::Doctor(_)) => {
            print_error(&error);
            Ok(OperatorFile::default())
        }
        (file, _) => file?,
    };
    let file = file.map_err(output::Invalid)?;
    let mut context = Context::new(&cli.common, file)?;
    if let Command::Migrate(args::Migrate { yaml: Some(yaml), .. }) = &cli.command {
        context.source = crate::source::SourceSpec::File(crate::source::at_home(yaml));
    }
    if writes_by_the_source(&cli.command) {
        context.ensure_agent_agrees()?;
    }
    match &cli.command {
        Command::Run(args) => run::run(context, args, cli.common.verbose, cli.common.color),
        Command::Migrate(args) => migrate::run(&context, args),
        Command::Plan(args) => plan::run(&context, args),
        Command::Apply(args) => apply::run(&mut context, args),
        Command::Verify(format) => verify::run(&context, *format),
        Command::Export(args) => export::run(&context, args),
        Command::Config(format) => config::run(&context, *format),
        Command::Status(format) => status::run(&context, *format),
        Command::Reload => reload::run(&context),
        Command::Doctor(format) => Ok(doctor::run(&context, *format)),
        Command::Completions(args) => Ok(completions::run(args)),
        Command::Man(args) => man::run(&context, args),
        Command::Schema(args) => schema::run(&context, args),
        Command::Crd(args) => crd::run(&context, args),
        Command::Openapi => Ok(openapi::run()),
        Command::Token => token::run(&context),
        Command::Diff(args) => history::diff(&context, args),
        Command::Explain(args) => explain::run(&context, args),
        Command::Revert(args) => explain::revert(&context, args),
        Command::Promote(args) => promote::run(&context, args),
        Command::Accept(args) => decide::accept(&context, args),
        Command::Pause(args) => decide::pause(&context, args),
        Command::Resume(args) => decide::resume(&context, args),
        Command::Adopt(args) => adopt::run(&context, args),
        Command::Source(args) => source::run(&context, args),
        Command::Get(args) => get::run(&context, args),
        Command::Set(args) => edit::set(&context, args),
        Command::Add(args) => edit::add(&context, args),
        Command::Remove(args) => edit::remove(&context, args),
        Command::History(args) => history::list(&context, args),
        Command::Show(args) => history::show(&context, args),
        Command::Undo(args) => undo::run(&context, args),
        Command::Withdraw(args) => decide::withdraw(&context, args),
        Command::Restore(args) => restore::run(&context, args),
        Command::Backup(args) => backup::run(&context, args),
        Command::Key(args) => key::run(&context, args),
        Command::Rollback(args) => rollback::run(&context, args),
    }
}

/// What only this machine can tell about an error: the process that has the database, or whose file it is.
fn in_the_way(error: &StoreError) -> Option<String> {
    match error {
        StoreError::InUse { path } => {
            let user = holder::user_of(path)?;
            Some(format!("{user} has it open: stop it the way it is usually stopped, then try again"))
        }
        StoreError::Sqlite { path, .. } if error.reason() == "locked" => {
            let holder = holder::of(path)?;
            Some(format!("{holder} holds it: wait for it, or stop it the way it is usually stopped"))
        }
        StoreError::Sqlite { path, .. } | StoreError::File { path, .. }
            if matches!(error.reason(), "read_only" | "cannot_open") =>
        {
            let obstacle = owner::around_database(path).or_else(|| owner::obstacle_to_reading(path))?;
            Some(format!("{}. {}", obstacle.what, obstacle.help))
        }
        _ => None,
    }
}

/// Whether a command writes what its source says, or into its source.
fn writes_by_the_source(command: &Command) -> bool {
    match command {
        Command::Migrate(args) => !args.dry_run && !args.verify && args.export.is_none(),
        Command::Apply(args) => !args.dry_run,
        Command::Promote(args) => !args.dry_run,
        Command::Revert(args) => !args.edit.dry_run,
        Command::Restore(args) => !args.how.edit.dry_run,
        Command::Adopt(args) => !args.plan,
        Command::Source(_) => true,
        _ => false,
    }
}

/// Prints an error with its causes, each said once, and what to do next.
fn print_error(error: &anyhow::Error) {
    let mut parts: Vec<String> = Vec::new();
    let mut hint = error.downcast_ref::<Hint>().map(ToString::to_string);
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<StoreError>() {
            hint = hint.or_else(|| in_the_way(error)).or(error.hint().map(str::to_owned));
        }
        if let Some(error) = cause.downcast_ref::<crate::run::RunError>() {
            hint = hint.or(error.hint());
        }
        // The findings of a configuration stand in lines of their own.
        let text = match cause.downcast_ref::<crate::guide::GuideError>() {
            Some(error) => error.to_string(),
            None => printable(&cause.to_string()).into_owned(),
        };
        if Some(&text) != hint.as_ref() && !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    output::error(parts.join(": "), hint.as_deref());
}
