//! What takes a write back: its own changes, where the database still has what it wrote.

use std::sync::Arc;

use super::chosen::{Refusal, towards};
use super::{Change, Class, Step};
use crate::model::{ConfigPath, Configuration, Finding, Object, Section, Value};

/// Returns the steps that take back what a write made of `before`, which was `after` once it was done. What was
/// changed since, and what is as before already, is not touched.
///
/// # Errors
/// A finding for each value that is no longer what the write made of it: taking that back would lose a later edit.
pub fn undo(
    before: &Configuration,
    after: &Configuration,
    live: &Configuration,
) -> Result<Vec<Step>, Refusal> {
    let (mut steps, mut findings) = (Vec::new(), Vec::new());
    for own in towards(after, before, None).into_iter().rev() {
        let (section, id) = (own.target().0, own.target().1.to_owned());
        let row = live.get(section, &id);
        match own {
            Step::Update { changes, .. } => {
                let mut back = Vec::new();
                for change in changes {
                    let kind = section.spec(change.field).kind;
                    let now = row.map(|row| row.get(change.field).cloned().unwrap_or(Value::Unset));
                    match now {
                        Some(now) if now.same(&change.old, kind) => {}
                        Some(now) if now.same(&change.new, kind) => {
                            let (old, new) = (change.new, change.old);
                            back.push(Change { field: change.field, old, new, class: Class::Pending });
                        }
                        _ => findings.push(changed_since(ConfigPath::field(section, &id, change.field))),
                    }
                }
                if !back.is_empty() {
                    steps.push(Step::Update { section, id: id.into(), changes: back });
                }
            }
            Step::Create { object, .. } => match row {
                None => {}
                Some(row) if same(section, row, &object) => {
                    steps.push(Step::Delete { section, id: id.into() });
                }
                Some(_) => findings.push(changed_since(ConfigPath::object(section, &id))),
            },
            Step::Delete { .. } => {
                let Some(object) = before.get(section, &id) else { continue };
                match row {
                    None => steps.push(Step::Create {
                        section,
                        id: id.into(),
                        object: Arc::clone(object),
                        class: Class::Pending,
                    }),
                    Some(row) if same(section, row, object) => {}
                    Some(_) => findings.push(changed_since(ConfigPath::object(section, &id))),
                }
            }
        }
    }
    if findings.is_empty() { Ok(steps) } else { Err(Refusal::Invalid(findings)) }
}

fn same(section: Section, one: &Object, other: &Object) -> bool {
    section.field_ids().all(|field| {
        let value = |object: &Object| object.get(field).cloned().unwrap_or(Value::Unset);
        value(one).same(&value(other), section.spec(field).kind)
    })
}

fn changed_since(path: ConfigPath) -> Finding {
    let finding = Finding::error("was changed since, so taking the write back would lose that edit");
    finding
        .at_path(path)
        .suggest("`history` lists the revisions; `restore REV --only PATH` takes back a part")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(count: i64) -> Configuration {
        let field = Section::Execution.field("max_parallel_workers").expect("known");
        let mut object = Object::default();
        object.set(field, Value::Integer(count));
        let mut configuration = Configuration::default();
        *configuration.section_mut(Section::Execution) =
            Some([(Configuration::EXECUTION_ID.into(), Arc::new(object))].into_iter().collect());
        configuration
    }

    #[test]
    fn a_write_is_taken_back_only_where_its_value_still_stands() {
        let steps = undo(&workers(3), &workers(5), &workers(5)).expect("nobody wrote since");
        assert!(matches!(&steps[..], [Step::Update { changes, .. }] if changes[0].new == Value::Integer(3)));
        assert!(undo(&workers(3), &workers(5), &workers(3)).expect("it is so already").is_empty());
        let refused = undo(&workers(3), &workers(5), &workers(9)).expect_err("somebody wrote since");
        assert!(refused.findings()[0].message.contains("changed since"), "{refused}");
    }
}
