//! What can only be judged over all objects: references between them, and that something can run at all.

use std::collections::HashSet;

use super::mask;
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

/// So many are looked at closely; there is no more room for them among the findings.
const MAX_BROKEN: usize = 100;

/// So often a name is compared with the others to suggest what was meant.
const MAX_COMPARISONS: usize = 100_000;

/// Checks the declared configuration by itself; a section out of scope is not judged here but with the state
/// that would result (`plan`). Returns the first of them, and how many more there are.
pub(super) fn references(configuration: &Configuration) -> (Vec<Broken>, usize) {
    let Some(services) = configuration.section(Section::Services) else { return (Vec::new(), 0) };
    let (mut broken, mut more) = (Vec::new(), 0);
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
    let suggested = MAX_COMPARISONS / names.len().max(1);
    let known: HashSet<&str> = names.iter().copied().collect();
    for (task, rule) in configuration.section(Section::RoutingRules).into_iter().flatten() {
        for (field, named) in services_named(rule) {
            if known.contains(named) {
                continue;
            }
            if broken.len() == MAX_BROKEN {
                more += 1;
                continue;
            }
            let path = ConfigPath::field(Section::RoutingRules, task, field);
            let mut finding =
                Finding::error(format!("no service is called `{}`", mask::word(named))).at_path(&path);
            let close = if broken.len() < suggested { closest(named, &names) } else { None };
            finding.suggestion = close.or_else(|| Some("declare the service, or name another".into()));
            broken.push(Broken { finding, path, text: Some(named.into()) });
        }
    }
    (broken, more)
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
