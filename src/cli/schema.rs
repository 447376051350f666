//! `schema`: the JSON schemas of what `-o json` prints.

use anyhow::{Context as _, Result};

use super::args::Schema;
use super::documents::SCHEMAS;
use super::{Exit, output};

pub(super) fn run(args: &Schema) -> Result<Exit> {
    let Some(dir) = &args.dir else {
        let named = SCHEMAS.iter().find(|(name, _)| args.name.as_deref() == Some(*name));
        output::result(
            named.map_or_else(|| SCHEMAS.map(|(name, _)| name).join("\n"), |(_, schema)| text(*schema)),
        );
        return Ok(Exit::Ok);
    };
    std::fs::create_dir_all(dir).with_context(|| format!("create the folder {}", dir.display()))?;
    for (name, schema) in SCHEMAS {
        let file = dir.join(format!("{name}.json"));
        std::fs::write(&file, text(schema)).with_context(|| format!("write {}", file.display()))?;
    }
    output::note(format!("Schemas written to {}", dir.display()));
    Ok(Exit::Ok)
}

fn text(schema: fn() -> schemars::Schema) -> String {
    serde_json::to_string_pretty(&schema()).unwrap_or_default() + "\n"
}
