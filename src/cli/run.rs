//! `run`: watch both sides and reconcile.

use std::io::IsTerminal as _;

use anyhow::Result;

use super::Exit;
use super::args::{Address, ColourChoice, Listen, LogFormat, Run};
use super::context::Context;
use crate::run::{RunOptions, run as run_agent};
use crate::telemetry::{LogForm, start_log};

pub(super) fn run(context: Context, args: &Run, verbosity: u8, colour: ColourChoice) -> Result<Exit> {
    let form = match args.log_format.or(context.file.log_format).unwrap_or(LogFormat::Text) {
        LogFormat::Text => LogForm::Text,
        LogFormat::Json => LogForm::Json,
    };
    let colour = match colour {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    start_log(form, verbosity, colour);
    let policy = context.policy_parts(&args.policy)?;
    let listen = args.listen_health.or(context.file.listen_health);
    let listen_health = match listen {
        Some(Address(address)) => address,
        None => crate::settings::DEFAULT_HEALTH_ADDRESS.parse()?,
    };
    let listen = match args.listen.or(context.file.listen) {
        Some(Listen::Off) => None,
        Some(Listen::At(address)) => Some(address),
        None => Some(crate::settings::DEFAULT_WEB_ADDRESS.parse()?),
    };
    let named = &args.allow_host;
    let allow_hosts = if named.is_empty() { context.file.allow_hosts.clone() } else { named.clone() };
    let actor = context.agent();
    run_agent(RunOptions {
        listen,
        allow_hosts,
        fights: context.file.fights(),
        backup_every: context.file.backup_every.map_or(crate::settings::BACKUP_EVERY_SECONDS, |it| it.0),
        source: context.source,
        db: context.db,
        backups: context.backups,
        keys: context.keys,
        policy,
        consumer: context.consumer,
        listen_health,
        actor,
        token_review: args.token_review,
        reach: context.reach,
        store_name: args.store_name.clone(),
    })?;
    Ok(Exit::Ok)
}
