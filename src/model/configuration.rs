//! Objects with their declared fields, and the three managed sections of one side.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{FieldId, Section, Value};

/// One service, one routing rule or the execution settings: the fields that a side mentions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Sorted by field; a field that is not here is absent on this side.
    fields: Vec<(FieldId, Value)>,
}

impl Object {
    /// Returns the value of `field`, or `None` where this side does not mention it.
    pub fn get(&self, field: FieldId) -> Option<&Value> {
        self.fields.binary_search_by_key(&field, |(id, _)| *id).ok().map(|at| &self.fields[at].1)
    }

    /// Sets `field`, replacing what was there.
    pub fn set(&mut self, field: FieldId, value: Value) {
        match self.fields.binary_search_by_key(&field, |(id, _)| *id) {
            Ok(at) => self.fields[at].1 = value,
            Err(at) => self.fields.insert(at, (field, value)),
        }
    }

    /// Returns the fields this side mentions, in table order.
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &Value)> {
        self.fields.iter().map(|(field, value)| (*field, value))
    }

    /// Returns the number of fields this side mentions.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether this side mentions no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Frees memory that a later `set` would need.
    pub fn shrink(&mut self) {
        self.fields.shrink_to_fit();
    }
}

/// The objects of one section by id, in the order of their side.
pub type Objects = IndexMap<Box<str>, Arc<Object>>;

/// The managed sections of one side. A section that is `None` is out of that side's scope.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// By id.
    pub services: Option<Objects>,
    /// By task.
    pub routing_rules: Option<Objects>,
    /// At most one object, whose id is the empty string.
    pub execution: Option<Objects>,
}

impl Configuration {
    /// The id of the only object in [`Section::Execution`].
    pub const EXECUTION_ID: &'static str = "";

    /// Returns the objects of `section`, or `None` when it is out of scope.
    pub fn section(&self, section: Section) -> Option<&Objects> {
        match section {
            Section::Services => self.services.as_ref(),
            Section::RoutingRules => self.routing_rules.as_ref(),
            Section::Execution => self.execution.as_ref(),
        }
    }

    /// Returns a place for the objects of `section`.
    pub fn section_mut(&mut self, section: Section) -> &mut Option<Objects> {
        match section {
            Section::Services => &mut self.services,
            Section::RoutingRules => &mut self.routing_rules,
            Section::Execution => &mut self.execution,
        }
    }

    /// Whether no section is in scope.
    pub fn is_out_of_scope(&self) -> bool {
        Section::ALL.iter().all(|section| self.section(*section).is_none())
    }

    /// Returns one object.
    pub fn get(&self, section: Section, id: &str) -> Option<&Arc<Object>> {
        self.section(section)?.get(id)
    }

    /// Returns the number of objects in `section`; 0 when it is out of scope.
    pub fn count(&self, section: Section) -> usize {
        self.section(section).map_or(0, Objects::len)
    }

    /// Returns the value of a field, found by its YAML name.
    pub fn value(&self, section: Section, id: &str, field: &str) -> Option<&Value> {
        self.get(section, id)?.get(section.field(field)?)
    }
}
