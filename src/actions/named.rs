//! What a path, a pattern or the id of an object alone names, among the objects that some side knows.

use std::collections::BTreeSet;

use super::edit::{no_such_field, not_there};
use crate::model::{ConfigPath, Configuration, Finding, PathPattern, Section, Selection, StoreSnapshot};

/// The objects that can be named.
pub(crate) struct Names<'a> {
    live: &'a StoreSnapshot,
    known: BTreeSet<(Section, &'a str)>,
}

impl<'a> Names<'a> {
    /// The objects of the database, and those that both sides agreed on once.
    pub(crate) fn of(live: &'a StoreSnapshot) -> Self {
        let base = live.base.objects.iter().filter(|(section, _)| **section != Section::Execution);
        let known = base
            .flat_map(|(section, objects)| objects.keys().map(|id| (*section, &**id)))
            .chain(objects(&live.live))
            .collect();
        Self { live, known }
    }

    /// Those of another side as well, where there is one.
    pub(crate) fn and(mut self, side: Option<&'a Configuration>) -> Self {
        self.known.extend(side.into_iter().flat_map(objects));
        self
    }

    /// Reads a pattern, a path, or the id of an object alone with or without a field.
    ///
    /// # Errors
    /// What is wrong with it, or that it names nothing, and what was perhaps meant.
    pub(crate) fn pattern(&self, text: &str) -> Result<PathPattern, Vec<Finding>> {
        match text.parse::<PathPattern>() {
            Ok(pattern) if self.names_something(&pattern, text) => Ok(pattern),
            parsed => match self.alone(text)? {
                Some(path) => Ok(PathPattern::exactly(&path)),
                None => Err(vec![self.unknown(text, parsed.map(|pattern| pattern.section()))]),
            },
        }
    }

    /// Reads a section, a path, or the id of an object alone with or without a field.
    ///
    /// # Errors
    /// As for [`pattern`](Self::pattern).
    pub(crate) fn selection(&self, text: &str) -> Result<Selection, Vec<Finding>> {
        let parsed = text.parse::<Selection>();
        let names_something = |it: &Selection| match &it.id {
            Some(id) => it.section == Section::Execution || self.known.contains(&(it.section, &**id)),
            None => true,
        };
        match parsed {
            Ok(selection) if names_something(&selection) => Ok(selection),
            parsed => match self.alone(text)? {
                Some(path) => Ok(Selection::from(&path)),
                None => Err(vec![self.unknown(text, parsed.map(|selection| selection.section))]),
            },
        }
    }

    /// Reads the path of one service or routing rule, or its id alone.
    ///
    /// # Errors
    /// As for [`pattern`](Self::pattern), and for a path of anything else.
    pub(crate) fn object(&self, text: &str) -> Result<(Section, Box<str>), Vec<Finding>> {
        match self.selection(text)? {
            Selection { section, id: Some(id), field: None } if section != Section::Execution => {
                Ok((section, id))
            }
            _ => {
                let finding = Finding::error("is not one service or routing rule").at_path(text);
                Err(vec![finding.suggest("a single value is taken away with `set PATH --unset`")])
            }
        }
    }

    fn names_something(&self, pattern: &PathPattern, text: &str) -> bool {
        pattern.section() == Section::Execution
            || !text.contains('.')
            || self.known.iter().any(|(section, id)| pattern.covers_object(*section, id))
    }

    /// The path that an id alone names, or an id with a field; none where no object has it.
    fn alone(&self, text: &str) -> Result<Option<ConfigPath>, Vec<Finding>> {
        let sections = |id: &str| -> Vec<Section> {
            self.known.iter().filter(|(_, known)| *known == id).map(|(section, _)| *section).collect()
        };
        let (id, field) = match text.rsplit_once('.') {
            Some((id, field)) if sections(text).is_empty() => (id, Some(field)),
            _ => (text, None),
        };
        match (sections(id)[..].as_ref(), field) {
            ([], _) => Ok(None),
            ([section], None) => Ok(Some(ConfigPath::object(*section, id))),
            ([section], Some(name)) => match section.field(name) {
                Some(field) => Ok(Some(ConfigPath::field(*section, id, field))),
                None => Err(vec![no_such_field(*section, id, name)]),
            },
            ([one, two, ..], _) => {
                let finding = Finding::error("is the id of a service and of a routing rule").at_path(id);
                let (one, two) = (ConfigPath::object(*one, id), ConfigPath::object(*two, id));
                Err(vec![finding.suggest(format!("write {one} or {two}"))])
            }
        }
    }

    /// The finding for a text that names nothing; `section` is the one that it lies in, or why it is no path.
    fn unknown(&self, text: &str, section: Result<Section, String>) -> Finding {
        let begins_with_a_section = matches!(text.split('.').next(), Some(first)
            if first == "rules" || Section::named(first).is_some());
        let (section, id) = match section {
            Err(why) if begins_with_a_section => return Finding::error(why).at_path(text),
            Err(_) => {
                let is_field = |name: &str| Section::ALL.iter().any(|it| it.field(name).is_some());
                let object = text.rsplit_once('.').filter(|(_, name)| is_field(name));
                return not_there(Section::Services, object.map_or(text, |(id, _)| id), self.live);
            }
            Ok(section) => (section, text.split_once('.').map_or(text, |(_, id)| id)),
        };
        // Of a path with a field the object is what is not there.
        let object = text.parse::<Selection>().ok().and_then(|path| path.id);
        not_there(section, object.as_deref().unwrap_or(id), self.live)
    }
}

fn objects(side: &Configuration) -> impl Iterator<Item = (Section, &str)> {
    [Section::Services, Section::RoutingRules]
        .into_iter()
        .flat_map(|section| side.section(section).into_iter().flatten().map(move |(id, _)| (section, &**id)))
}
