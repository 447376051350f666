//! `man`: the manual, one page for the program and one for each command.

use anyhow::{Context as _, Result};
use clap_mangen::Man;

use super::args;
use super::{Exit, output};

pub(super) fn run(args: &args::Man) -> Result<Exit> {
    // Manuals have an order of their own; the template is for the terminal.
    let mut command = args::command();
    command.build();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).context("write the page")?;
        output::result(String::from_utf8_lossy(&page));
        return Ok(Exit::Ok);
    };
    std::fs::create_dir_all(dir).with_context(|| format!("create the folder {}", dir.display()))?;
    clap_mangen::generate_to(command, dir).with_context(|| format!("write pages to {}", dir.display()))?;
    output::note(format!("Pages written to {}", dir.display()));
    Ok(Exit::Ok)
}
