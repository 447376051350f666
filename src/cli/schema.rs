//! `schema`: the JSON schemas of what `-o json` prints.

use anyhow::{Context as _, Result};

use super::args::Schema;
use super::documents::{SCHEMAS, schema};
use super::{Exit, output};

pub(super) fn run(args: &Schema) -> Result<Exit> {
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).with_context(|| format!("create the folder {}", dir.display()))?;
        for name in SCHEMAS {
            let file = dir.join(format!("{name}.json"));
            std::fs::write(&file, text(name)).with_context(|| format!("write {}", file.display()))?;
        }
        output::note(format!("Schemas written to {}", dir.display()));
        return Ok(Exit::Ok);
    }
    match &args.name {
        Some(name) => output::result(text(name)),
        None => output::result(SCHEMAS.join("\n")),
    }
    Ok(Exit::Ok)
}

fn text(name: &str) -> String {
    schema(name).and_then(|schema| serde_json::to_string_pretty(&schema).ok()).unwrap_or_default() + "\n"
}
