//! `config`: what the orchestrator would load, and from where.

use anyhow::Result;

use super::args::{Format, OutputFormat};
use super::context::Context;
use super::documents::ConfigDocument;
use super::{Exit, output};
use crate::export::{ExportOptions, ExportedSecrets, to_yaml, yaml_to_json};
use crate::guide::{Backend, load};
use crate::model::shown_path;

pub(super) fn run(context: &Context, format: Format) -> Result<Exit> {
    context.warn_of_place();
    let loaded = load(&context.source, &context.db, &context.keys, &context.reach)?;
    let options = ExportOptions { minimal: false, secrets: ExportedSecrets::Masked };
    let yaml = to_yaml(&loaded.configuration, &loaded.carried, &options);
    let (backend, why) = match &loaded.backend {
        Backend::Database => ("database", None),
        Backend::Yaml(why) => ("yaml", Some(why.to_string())),
    };
    match (format.output, &why) {
        (OutputFormat::Table | OutputFormat::Yaml, None) => {
            output::note(format!("from the database {}", shown_path(&context.db)));
            output::data(&yaml);
        }
        (OutputFormat::Table | OutputFormat::Yaml, Some(why)) => {
            output::note(format!("from the YAML {}, because {why}", context.source));
            output::data(&yaml);
        }
        (OutputFormat::Json, _) => {
            let parsed = yaml_to_json(&yaml);
            let document = ConfigDocument { backend, because: why, config: parsed };
            output::value(&document, OutputFormat::Json);
        }
    }
    Ok(Exit::Ok)
}
