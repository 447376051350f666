//! `crd`: the resource definitions, as `crds/` holds them.

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::args::Crd;
use super::{Exit, output};
use crate::crd::{definitions, page};
use crate::export::value_to_yaml;

pub(super) fn run(args: &Crd) -> Result<Exit> {
    let definitions = definitions();
    if args.page {
        output::result(page(&definitions).trim_end());
        return Ok(Exit::Ok);
    }
    let Some(dir) = &args.dir else {
        let texts: Vec<String> = definitions.iter().map(text).collect::<Result<_>>()?;
        output::result(texts.concat().trim_end());
        return Ok(Exit::Ok);
    };
    std::fs::create_dir_all(dir).with_context(|| format!("create the folder {}", dir.display()))?;
    for definition in &definitions {
        let name = definition.metadata.name.as_deref().unwrap_or_default();
        let file = dir.join(format!("{name}.yaml"));
        std::fs::write(&file, text(definition)?).with_context(|| format!("write {}", file.display()))?;
    }
    output::note(format!("Definitions written to {}", dir.display()));
    Ok(Exit::Ok)
}

fn text(definition: &CustomResourceDefinition) -> Result<String> {
    // Through JSON, which knows no difference between a field that is absent and one that is none.
    Ok(format!("---\n{}", value_to_yaml(&serde_json::to_value(definition)?)))
}
