//! Every switch of the values, from their schema: each boolean both ways, each word of a choice.

use serde_json::{Value as Json, json};

use crate::helm::read;

/// One value in one place.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) path: Vec<String>,
    pub(crate) value: Json,
}

impl Switch {
    /// The values that set only this.
    pub(crate) fn values(&self) -> Json {
        self.path.iter().rev().fold(self.value.clone(), |inner, name| json!({name: inner}))
    }
}

pub(crate) fn schema() -> Json {
    serde_json::from_str(&read("charts/oxide-operator/values.schema.json")).expect("JSON")
}

pub(crate) fn all() -> Vec<Switch> {
    let schema = schema();
    let mut found = Vec::new();
    walk(&schema, &mut |path, node| {
        let choices = |node: &Json| match node["type"].as_str() {
            Some("boolean") => vec![json!(true), json!(false)],
            _ => node["enum"].as_array().cloned().unwrap_or_default(),
        };
        for value in choices(node) {
            found.push(Switch { path: path.to_vec(), value });
        }
        if node["type"] == "array" {
            for value in choices(resolve(&schema, &node["items"])) {
                found.push(Switch { path: path.to_vec(), value: json!([value]) });
            }
        }
    });
    found
}

/// Calls back for each value and each group of values, with its path.
pub(crate) fn walk(schema: &Json, visit: &mut impl FnMut(&[String], &Json)) {
    fn below(schema: &Json, node: &Json, path: &mut Vec<String>, visit: &mut impl FnMut(&[String], &Json)) {
        for (name, child) in node["properties"].as_object().into_iter().flatten() {
            path.push(name.clone());
            let child = resolve(schema, child);
            visit(path, child);
            below(schema, child, path, visit);
            path.pop();
        }
    }
    below(schema, schema, &mut Vec::new(), visit);
}

/// What a reference refers to.
fn resolve<'a>(schema: &'a Json, node: &'a Json) -> &'a Json {
    match node["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).expect("it is there"),
        None => node,
    }
}
