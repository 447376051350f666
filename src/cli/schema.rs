//! `schema`: the JSON schemas of what `-o json` prints.

use anyhow::Result;

use super::args::Schema;
use super::context::Context;
use super::documents::SCHEMAS;
use super::{Exit, destination, output};
use crate::model::shown_path;

pub(super) fn run(context: &Context, args: &Schema) -> Result<Exit> {
    let Some(dir) = &args.dir else {
        let named = SCHEMAS.iter().find(|(name, _)| args.name.as_deref() == Some(*name));
        output::result(
            named.map_or_else(|| SCHEMAS.map(|(name, _)| name).join("\n"), |(_, schema)| text(*schema)),
        );
        return Ok(Exit::Ok);
    };
    let files = SCHEMAS.map(|(name, schema)| (format!("{name}.json"), text(schema).into_bytes())).into();
    destination::write_generated(context, dir, files)?;
    output::note(format!("Schemas written to {}", shown_path(dir)));
    Ok(Exit::Ok)
}

fn text(schema: fn() -> schemars::Schema) -> String {
    serde_json::to_string_pretty(&schema()).unwrap_or_default() + "\n"
}
