//! `run`: watch both sides and reconcile.

use std::io::IsTerminal as _;

use anyhow::Result;

use super::args::{ColourChoice, LogFormat, Run};
use super::context::Context;
use super::{Exit, context};
use crate::model::Policy;
use crate::run::{RunOptions, run as run_agent};
use crate::telemetry::{LogForm, start_log};

pub(super) fn run(context: Context, args: &Run, verbosity: u8, colour: ColourChoice) -> Result<Exit> {
    let form = match args.log_format {
        LogFormat::Text => LogForm::Text,
        LogFormat::Json => LogForm::Json,
    };
    let colour = match colour {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    start_log(form, verbosity, colour);
    run_agent(RunOptions {
        source: context.source,
        db: context.db,
        keys: context.keys,
        policy: Policy::from(&args.policy),
        consumer: context.consumer,
        listen_health: args.listen_health,
        actor: context::actor(),
    })?;
    Ok(Exit::Ok)
}
