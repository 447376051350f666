//! `man`: the manual, one page for the program and one for each command.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Command;

use super::args;
use super::context::Context;
use super::{Exit, destination, output};
use crate::model::shown_path;

pub(super) fn run(context: &Context, args: &args::Man) -> Result<Exit> {
    let mut command = args::command().disable_help_flag(true);
    command.build();
    let Some(dir) = &args.dir else {
        output::result(String::from_utf8_lossy(&page(&command, None).context("write the page")?));
        return Ok(Exit::Ok);
    };
    let pages = pages(&command, None).context("write the pages")?;
    let files = pages.into_iter().map(|(name, page)| (format!("{name}.1"), page)).collect();
    destination::write_generated(context, dir, files)?;
    output::note(format!("Pages written to {}", shown_path(dir)));
    Ok(Exit::Ok)
}

/// Returns the pages of a command and of everything below it, by name.
fn pages(command: &Command, parent: Option<&Command>) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = vec![(name(command), page(command, parent)?)];
    for below in below(command) {
        all.extend(pages(below, Some(command))?);
    }
    Ok(all)
}

/// The commands below a command; `help` is no page of its own.
fn below(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| below.get_name() != "help")
}

/// Returns a page in roff. Manuals have an order of their own: examples stand behind the options.
fn page(command: &Command, parent: Option<&Command>) -> std::io::Result<Vec<u8>> {
    let man = clap_mangen::Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(examples) = command.get_before_help() {
        let examples = examples.to_string();
        writeln!(page, ".SH EXAMPLES\n.nf")?;
        for line in examples.lines().skip_while(|line| *line == "Examples:") {
            writeln!(page, "{}", escaped(line.trim_start()))?;
        }
        writeln!(page, ".fi")?;
    }
    if let Some(more) = command.get_after_help() {
        writeln!(page, ".SH EXIT STATUS\n{}", escaped(&more.to_string()))?;
    }
    let related = parent.into_iter().chain(below(command));
    let related: Vec<String> =
        related.map(|related| format!(".BR {} (1)", escaped(&name(related)))).collect();
    if !related.is_empty() {
        writeln!(page, ".SH SEE ALSO\n{}", related.join(" ,\n"))?;
    }
    Ok(page)
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

/// Keeps roff from reading a line of text as a request, and a hyphen as a place to break.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
