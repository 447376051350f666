//! `crd`: the resource definitions, as `crds/` holds them.

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::args::Crd;
use super::context::Context;
use super::{Exit, destination, output};
use crate::crd::{definitions, page};
use crate::export::value_to_yaml;
use crate::model::shown_path;

pub(super) fn run(context: &Context, args: &Crd) -> Result<Exit> {
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
    let file = |definition: &CustomResourceDefinition| {
        let name = definition.metadata.name.as_deref().unwrap_or_default();
        text(definition).map(|text| (format!("{name}.yaml"), text.into_bytes()))
    };
    destination::write_generated(context, dir, definitions.iter().map(file).collect::<Result<_>>()?)?;
    output::note(format!("Definitions written to {}", shown_path(dir)));
    Ok(Exit::Ok)
}

fn text(definition: &CustomResourceDefinition) -> Result<String> {
    // Through JSON, which knows no difference between a field that is absent and one that is none.
    Ok(format!("---\n{}", value_to_yaml(&serde_json::to_value(definition)?)))
}
