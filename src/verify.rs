//! Promised against re-read: what a plan said a row will hold, against what the row holds.

use crate::model::{ConfigPath, FieldDefault, Object, Section, Value};
use crate::plan::{Plan, Step};

/// Proof that every row a plan touched was read back and is as promised. `store::apply` commits only with it.
#[derive(Debug)]
pub struct Verified {
    /// How many rows were read back.
    pub rows: usize,
}

/// A row that is not as promised. It holds no values: they may be secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The object or field.
    pub path: ConfigPath,
    /// What is wrong with it.
    pub fault: &'static str,
}

/// Compares re-read rows with a plan, one by one.
#[derive(Debug, Default)]
pub struct Checker {
    rows: usize,
    mismatches: Vec<Mismatch>,
}

impl Checker {
    /// Compares one step with the row as it was read back; `None` when there is no such row.
    pub fn check(&mut self, step: &Step, row: Option<&Object>) {
        self.rows += 1;
        let (section, id) = step.target();
        match (step, row) {
            (Step::Delete { .. }, None) => {}
            (Step::Delete { .. }, Some(_)) => self.note(ConfigPath::object(section, id), "is still there"),
            (_, None) => self.note(ConfigPath::object(section, id), "is not there"),
            (Step::Create { object, .. }, Some(row)) => self.check_create(section, id, object, row),
            (Step::Update { changes, .. }, Some(row)) => {
                for change in changes {
                    self.check_field(section, id, change.field, &change.new, row);
                }
            }
        }
    }

    fn check_create(&mut self, section: Section, id: &str, object: &Object, row: &Object) {
        for field in section.field_ids() {
            if let Some(promised) = object.get(field) {
                self.check_field(section, id, field, promised, row)
            } else {
                let default = Value::from(section.spec(field).default);
                if row.get(field).is_some() || section.spec(field).default != FieldDefault::Unset {
                    self.check_field(section, id, field, &default, row);
                }
            }
        }
    }

    fn check_field(
        &mut self,
        section: Section,
        id: &str,
        field: crate::model::FieldId,
        promised: &Value,
        row: &Object,
    ) {
        let found = row.get(field).unwrap_or(&Value::Unset);
        if !promised.same(found, section.spec(field).kind) {
            let fault = match found {
                Value::Unreadable(why) => why,
                _ => "reads back with another value",
            };
            self.note(ConfigPath::field(section, id, field), fault);
        }
    }

    fn note(&mut self, path: ConfigPath, fault: &'static str) {
        self.mismatches.push(Mismatch { path, fault });
    }

    /// Ends the comparison.
    ///
    /// # Errors
    /// Returns every mismatch, or the missing comparison when not every step was checked.
    pub fn finish(mut self, plan: &Plan) -> Result<Verified, Vec<Mismatch>> {
        if self.rows != plan.steps.len() {
            let path = ConfigPath::object(Section::Services, "");
            self.mismatches.push(Mismatch { path, fault: "not every row was read back" });
        }
        if self.mismatches.is_empty() { Ok(Verified { rows: self.rows }) } else { Err(self.mismatches) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::FieldId;
    use crate::plan::{Change, Class};

    fn update(old: i64, new: i64) -> Plan {
        let field = Section::Execution.field("max_retries").unwrap_or(FieldId(0));
        let change =
            Change { field, old: Value::Integer(old), new: Value::Integer(new), class: Class::Pending };
        let step = Step::Update { section: Section::Execution, id: "".into(), changes: vec![change] };
        Plan { steps: vec![step], ..Plan::default() }
    }

    fn row(number: i64) -> Object {
        let mut row = Object::default();
        row.set(Section::Execution.field("max_retries").unwrap_or(FieldId(0)), Value::Integer(number));
        row
    }

    fn checked(plan: &Plan, row: Option<&Object>) -> Result<Verified, Vec<Mismatch>> {
        let mut checker = Checker::default();
        checker.check(&plan.steps[0], row);
        checker.finish(plan)
    }

    #[test]
    fn a_row_as_promised_is_verified() {
        assert_eq!(checked(&update(1, 2), Some(&row(2))).expect("as promised").rows, 1);
    }

    #[test]
    fn any_other_value_and_a_missing_row_are_mismatches() {
        let plan = update(1, 2);
        assert_eq!(
            checked(&plan, Some(&row(1))).expect_err("old value")[0].path.to_string(),
            "execution.max_retries"
        );
        assert_eq!(checked(&plan, None).expect_err("no row")[0].fault, "is not there");
    }

    #[test]
    fn a_value_that_cannot_be_read_is_called_so() {
        let mut unreadable = row(2);
        let field = Section::Execution.field("max_retries").expect("a field");
        unreadable.set(field, Value::Unreadable("is a token that no key opens"));
        let mismatches = checked(&update(1, 2), Some(&unreadable)).expect_err("unreadable");
        assert_eq!(mismatches[0].fault, "is a token that no key opens");
    }

    #[test]
    fn a_created_row_must_hold_the_defaults_of_what_was_not_declared() {
        let step = Step::Create {
            section: Section::Execution,
            id: "".into(),
            object: Arc::new(row(2)),
            class: Class::Pending,
        };
        let plan = Plan { steps: vec![step], ..Plan::default() };
        assert!(checked(&plan, Some(&row(2))).is_err(), "max_parallel_workers must be 3");
    }

    #[test]
    fn a_step_that_was_not_read_back_is_never_verified() {
        assert!(Checker::default().finish(&update(1, 2)).is_err());
    }
}
