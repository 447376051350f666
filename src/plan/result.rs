//! The state that would result: a plan is refused when the orchestrator would not accept it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Plan, Step};
use crate::model::{ConfigPath, Configuration, Finding, Object, Section, StoreSnapshot, Value};

/// Returns what the steps would break. What is broken already stays somebody else's: it is no reason to refuse.
pub(super) fn findings(store: &StoreSnapshot, steps: &[Step]) -> Vec<Finding> {
    if steps.is_empty() {
        return Vec::new();
    }
    let mut findings = collisions(store, steps);
    let after = broken(&State::after(&store.live, steps));
    if !after.is_empty() {
        let before = broken(&State::after(&store.live, &[]));
        findings.extend(
            after.into_iter().filter(|(key, _)| !before.contains_key(key)).map(|(_, finding)| finding),
        );
    }
    findings
}

/// Completes a plan whose steps somebody chose: what they need of the schema, and why they may not be written.
pub fn check(mut plan: Plan, store: &StoreSnapshot) -> Plan {
    plan.schema = super::three_way::schema_steps(store, &plan.steps);
    plan.refused = findings(store, &plan.steps);
    plan
}

/// Returns what the orchestrator would not accept of a configuration as it is.
pub fn faults(live: &Configuration) -> Vec<Finding> {
    broken(&State::after(live, &[])).into_values().collect()
}

/// Returns, for each service, one rule that names it and would remain.
pub(super) fn rules_by_service(
    live: &Configuration,
    steps: &[Step],
    deleted_rules: &HashSet<&str>,
) -> HashMap<Box<str>, Box<str>> {
    let state = State::after(live, steps);
    let remaining = state.rules.iter().filter(|(task, _)| !deleted_rules.contains(*task));
    remaining
        .flat_map(|(task, services)| services.iter().map(|service| (Box::from(*service), Box::from(*task))))
        .collect()
}

fn collisions(store: &StoreSnapshot, steps: &[Step]) -> Vec<Finding> {
    let created = steps.iter().filter_map(|step| match step {
        Step::Create { section: Section::Services, id, .. } => Some(id),
        _ => None,
    });
    created
        .filter(|id| store.remote_services.contains(*id))
        .map(|id| {
            Finding::error("a service of another machine, found at run time, already has this id")
                .at_path(ConfigPath::object(Section::Services, id))
                .suggest("give the declared service another id")
        })
        .collect()
}

/// The parts of the resulting state that validity depends on.
struct State<'a> {
    /// Enabled, and complete for its type.
    services: HashMap<&'a str, Service>,
    /// The services each rule names.
    rules: Vec<(&'a str, Vec<&'a str>)>,
}

struct Service {
    enabled: bool,
    lacks: Option<&'static str>,
}

impl<'a> State<'a> {
    fn after(live: &'a Configuration, steps: &'a [Step]) -> Self {
        let mut state = Self { services: HashMap::new(), rules: Vec::new() };
        let existing = steps.iter().filter(|step| !matches!(step, Step::Create { .. }));
        let touched: HashMap<(Section, &str), &Step> = existing.map(|step| (step.target(), step)).collect();
        for section in [Section::Services, Section::RoutingRules] {
            for (id, object) in live.section(section).into_iter().flatten() {
                match touched.get(&(section, &**id)) {
                    Some(Step::Delete { .. }) => {}
                    step => state.put(section, id, &View { object, step: step.copied() }),
                }
            }
        }
        for step in steps {
            if let Step::Create { section, id, object, .. } = step {
                state.put(*section, id, &View { object, step: None });
            }
        }
        state
    }

    fn put(&mut self, section: Section, id: &'a str, view: &View<'a>) {
        match section {
            Section::Services => {
                let text =
                    |name| matches!(view.get(section, name), Some(Value::Text(text)) if !text.is_empty());
                let lacks = match view.get(section, "type") {
                    Some(Value::Text(kind)) if **kind == *"cli" && !text("executable") => Some("executable"),
                    Some(Value::Text(kind)) if **kind == *"http" && !text("base_url") => Some("base_url"),
                    Some(Value::Text(_)) => None,
                    _ => Some("type"),
                };
                let enabled = view.get(section, "enabled") != Some(&Value::Flag(false));
                self.services.insert(id, Service { enabled, lacks });
            }
            Section::RoutingRules => {
                let mut named = vec![match view.get(section, "primary") {
                    Some(Value::Text(primary)) => &**primary,
                    _ => "",
                }];
                if let Some(Value::List(fallback)) = view.get(section, "fallback") {
                    named.extend(fallback.iter().map(|service| &**service));
                }
                self.rules.push((id, named));
            }
            Section::Execution => {}
        }
    }
}

/// An object as it will be after its step.
struct View<'a> {
    object: &'a Object,
    step: Option<&'a Step>,
}

impl<'a> View<'a> {
    fn get(&self, section: Section, name: &str) -> Option<&'a Value> {
        let field = section.field(name)?;
        if let Some(Step::Update { changes, .. }) = self.step
            && let Some(change) = changes.iter().find(|change| change.field == field)
        {
            return Some(&change.new);
        }
        self.object.get(field)
    }
}

/// Returns what the orchestrator would not accept, by path and fault.
///
/// Source: `loader.py` of the orchestrator: its validators run over the local services only.
fn broken(state: &State<'_>) -> BTreeMap<(String, String), Finding> {
    let mut broken = BTreeMap::new();
    let mut note = |path: String, fault: &str, suggestion: &str| {
        let finding = Finding::error(fault).at_path(&path).suggest(suggestion);
        broken.insert((path, fault.to_owned()), finding);
    };
    if !state.services.is_empty() && state.services.values().all(|service| !service.enabled) {
        note("services".into(), "no service would be enabled", "enable at least one");
    }
    for (id, service) in &state.services {
        if let Some(field) = service.lacks {
            let path = ConfigPath::object(Section::Services, id).to_string();
            note(path, &format!("would lack `{field}`, which it needs"), "declare it");
        }
    }
    for (task, named) in &state.rules {
        for service in named.iter().filter(|service| !state.services.contains_key(*service)) {
            let path = ConfigPath::object(Section::RoutingRules, task).to_string();
            note(
                path,
                &format!("would name `{service}`, which is not a service"),
                "declare the service, or name another",
            );
        }
    }
    broken
}
