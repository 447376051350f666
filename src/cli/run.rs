//! `run`: watch both sides and reconcile.
use anyhow::Result;

use super::args::Run;
use super::context::Context;
use super::Exit;

pub(super) fn run(_context: Context, _args: &Run, _verbose: u8) -> Result<Exit> {
    anyhow::bail!("not yet")
}
