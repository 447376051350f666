//! The objects that an edit names, and the findings for those that are not there.

use crate::model::{ConfigPath, Finding, Object, Section, StoreSnapshot};
use crate::plan::{Class, Step, rules_naming};

/// The step that adds an object because somebody asked for it.
pub(crate) fn create(section: Section, id: &str, object: Object) -> Step {
    Step::Create { section, id: id.into(), object: object.into(), class: Class::Pending }
}

/// The finding for an object that is not there, with the one that was perhaps meant.
pub(crate) fn not_there(section: Section, id: &str, live: &StoreSnapshot) -> Finding {
    let outer = id.rsplit_once('.').filter(|(object, _)| live.live.get(section, object).is_some());
    if let Some((object, field)) = outer {
        return no_such_field(section, object, field);
    }
    let ids = [Section::Services, Section::RoutingRules].into_iter().flat_map(|section| {
        live.live.section(section).into_iter().flatten().map(move |(id, _)| (section, &**id))
    });
    // The same section first, where two are equally near.
    let near =
        ids.map(|(other, known)| (strsim::osa_distance(id, known), other != section, other, known)).min();
    let finding = Finding::error(format!("there is no {} `{id}` in the database", section.noun()));
    match near {
        Some((0, _, other, known)) => {
            finding.suggest(format!("did you mean `{}`?", ConfigPath::object(other, known)))
        }
        Some((distance, _, _, known)) if distance * 2 <= id.len() && distance <= 2 + id.len() / 4 => {
            finding.suggest(format!("did you mean `{known}`?"))
        }
        _ => finding.suggest("`oxide-operator get services` and `get rules` list what there is"),
    }
}

/// The finding for a field that there is not, with the one that was perhaps meant.
pub(crate) fn no_such_field(section: Section, object: &str, field: &str) -> Finding {
    let finding = Finding::error(format!("`{field}` is not a field of a {}", section.noun()));
    let names: Vec<&str> = section.fields().iter().map(|spec| spec.name).collect();
    let near = crate::desired::closest(field, &names);
    let finding = finding.at_path(ConfigPath::object(section, object));
    finding.suggest(near.unwrap_or_else(|| format!("there are {}", section.field_names())))
}

/// The finding for a service that rules still name, unless none does.
pub(crate) fn named_by_rules(live: &StoreSnapshot, id: &str, hint: &str) -> Option<Finding> {
    let rules = rules_naming(&live.live, id);
    let message = format!("routing rules still name it: {}", rules.join(", "));
    let finding = Finding::error(message).at_path(ConfigPath::object(Section::Services, id).to_string());
    (!rules.is_empty()).then(|| finding.suggest(hint))
}
