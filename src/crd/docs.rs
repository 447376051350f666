//! The definitions as a page for people.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value as Json;

/// Returns a Markdown page with a table for each object of both resources, and what is refused at admission.
pub fn page(definitions: &[CustomResourceDefinition]) -> String {
    let mut page = String::from(
        "# Resources of `oxide.dev/v1alpha1`\n\n\
         Printed by `oxide-operator crd --page` from the definitions in [`crds/`](../crds). `kubectl explain` says the same.\n",
    );
    for definition in definitions {
        let names = &definition.spec.names;
        let short =
            names.short_names.iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let schema = definition.spec.versions.first().and_then(|version| version.schema.as_ref());
        let schema = serde_json::to_value(schema).unwrap_or_default();
        let root = &schema["openAPIV3Schema"];
        let _ = write!(page, "\n## {}\n\n{} Short name {short}; category `oxide`.\n", names.kind, text(root));
        for part in ["spec", "status"] {
            object(&mut page, part, &root["properties"][part]);
        }
    }
    page
}

/// Writes the table of one object, then those of the objects in it.
fn object(page: &mut String, path: &str, schema: &Json) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let _ = write!(page, "\n### `{path}`\n\n| field | type | what it is |\n| --- | --- | --- |\n");
    for (name, field) in properties {
        let required = schema["required"].as_array().is_some_and(|names| names.iter().any(|it| it == name));
        let needed = if required { " (required)" } else { "" };
        let _ = writeln!(page, "| `{name}`{needed} | {} | {} |", kind(field), text(field));
    }
    let rules: Vec<&str> = rules(schema).collect();
    if !rules.is_empty() {
        page.push_str("\nRefused at admission:\n");
        for rule in rules {
            let _ = writeln!(page, "- {rule}");
        }
    }
    for (name, field) in properties {
        object(page, &format!("{path}.{name}"), field);
        object(page, &format!("{path}.{name}[]"), &field["items"]);
        object(page, &format!("{path}.{name}.<name>"), &field["additionalProperties"]);
    }
}

fn rules(schema: &Json) -> impl Iterator<Item = &str> {
    schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["message"].as_str())
}

fn kind(schema: &Json) -> String {
    let nullable = if schema["nullable"] == true { " or null" } else { "" };
    let kind = match schema["type"].as_str() {
        Some("array") => format!("list of {}", schema["items"]["type"].as_str().unwrap_or("values")),
        Some("object") if schema["additionalProperties"].is_object() => "objects by name".to_owned(),
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    };
    kind + nullable
}

fn text(schema: &Json) -> String {
    let words = schema["enum"].as_array().map(|words| {
        let words: Vec<String> =
            words.iter().filter_map(Json::as_str).map(|word| format!("`{word}`")).collect();
        format!("One of {}.", words.join(", "))
    });
    let description =
        schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
    [Some(description), words]
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
