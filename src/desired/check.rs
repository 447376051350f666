//! What can only be judged over all objects: references between them, and that something can run at all.

use std::collections::HashSet;

use super::scalar::closest;
use crate::model::{ConfigPath, Configuration, FieldId, Finding, Section, Value};

/// A finding about a value at a path, not yet located in the text.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) finding: Finding,
    pub(super) path: ConfigPath,
    /// The text within the field that is at fault.
    pub(super) text: Option<Box<str>>,
}

/// Checks the declared configuration by itself; a section out of scope is not judged here but with the state
/// that would result (`plan`).
pub(super) fn references(configuration: &Configuration) -> Vec<Broken> {
    let Some(services) = configuration.section(Section::Services) else { return Vec::new() };
    let mut broken = Vec::new();
    let enabled = Section::Services.field("enabled").expect("services have it");
    let any_enabled = services.values().any(|service| service.get(enabled) != Some(&Value::Flag(false)));
    if !services.is_empty() && !any_enabled {
        let path = ConfigPath::object(Section::Services, services.first().map_or("", |(id, _)| id));
        let finding = Finding::error("no service is enabled; the orchestrator refuses such a configuration")
            .at_path("services")
            .suggest("set `enabled: true` on at least one");
        broken.push(Broken { finding, path, text: None });
    }
    let names: Vec<&str> = services.keys().map(|id| &**id).collect();
    let known: HashSet<&str> = names.iter().copied().collect();
    for (task, rule) in configuration.section(Section::RoutingRules).into_iter().flatten() {
        for (field, named) in services_named(rule) {
            if !known.contains(named) {
                let path = ConfigPath::field(Section::RoutingRules, task, field);
                let mut finding = Finding::error(format!("no service is called `{named}`")).at_path(&path);
                // Only those that will be shown are worth a look at every name.
                let close = if broken.len() < super::MAX_FINDINGS { closest(named, &names) } else { None };
                finding.suggestion = close.or_else(|| Some("declare the service, or name another".into()));
                broken.push(Broken { finding, path, text: Some(named.into()) });
            }
        }
    }
    broken
}

/// Returns the services a rule names, with the field that names each.
fn services_named(rule: &crate::model::Object) -> impl Iterator<Item = (FieldId, &str)> {
    let named = |field: &str| {
        let field = Section::RoutingRules.field(field).expect("rules have it");
        let names: Vec<&str> = match rule.get(field) {
            Some(Value::Text(name)) => vec![name],
            Some(Value::List(names)) => names.iter().map(|name| &**name).collect(),
            _ => Vec::new(),
        };
        names.into_iter().map(move |name| (field, name))
    };
    named("primary").chain(named("fallback"))
}
