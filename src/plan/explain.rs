//! Why a value is as it is: three sides, what they mean together, what happens next, and what somebody can do.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Class, LeftAlone, Plan, Reason, Step};
use crate::desired::DesiredConfig;
use crate::model::{ConfigPath, FieldId, Section, Shown, StoreSnapshot, Value};

/// One value, or one object, explained. It holds no secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// What is explained.
    #[schemars(with = "String")]
    pub path: ConfigPath,
    /// How the sides stand to each other; null when they say the same.
    pub class: Option<Class>,
    /// What the source says; null when it does not mention it.
    pub source: Option<Shown>,
    /// What both sides last agreed on; null when they never did.
    pub agreed: Option<Shown>,
    /// What the database holds; null when it holds nothing.
    pub database: Option<Shown>,
    /// What that means, in a sentence.
    pub meaning: &'static str,
    /// What happens next, in a sentence.
    pub next: String,
    /// What somebody can do about it.
    pub answers: Vec<Answer>,
}

/// Something that can be done about a difference.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Answer {
    /// The command; empty where it is an edit of the source.
    pub command: String,
    /// What it does.
    pub effect: String,
}

/// Explains an object, or one field of it: each field that differs, or the whole when none does.
pub fn explain(
    desired: &DesiredConfig,
    store: &StoreSnapshot,
    plan: &Plan,
    section: Section,
    id: &str,
    field: Option<FieldId>,
) -> Vec<Explanation> {
    let sides = Sides { desired, store, plan, section, id };
    if let Some(field) = field {
        return vec![sides.whole().filter(|it| it.class.is_some()).unwrap_or_else(|| sides.field(field))];
    }
    let differing: Vec<Explanation> =
        section.field_ids().map(|field| sides.field(field)).filter(|it| it.class.is_some()).collect();
    match sides.whole() {
        Some(whole) => vec![whole],
        None if differing.is_empty() => vec![in_sync(ConfigPath::object(section, id))],
        None => differing,
    }
}

struct Sides<'a> {
    desired: &'a DesiredConfig,
    store: &'a StoreSnapshot,
    plan: &'a Plan,
    section: Section,
    id: &'a str,
}

impl Sides<'_> {
    /// The explanation of an object that only one side has.
    fn whole(&self) -> Option<Explanation> {
        let path = ConfigPath::object(self.section, self.id);
        let declared = self.desired.configuration().get(self.section, self.id).is_some();
        let held = self.store.live.get(self.section, self.id).is_some();
        if declared && held {
            return None;
        }
        let mut it = in_sync(path.clone());
        let left = self.plan.left_alone.iter().find(|left| left.path == path);
        let step = self.plan.steps.iter().find(|step| step.target() == (self.section, self.id));
        let class = match (left, step) {
            (Some(left), _) => left.class,
            (None, Some(Step::Create { class, .. })) => *class,
            (None, Some(_)) => Class::Pending,
            (None, None) => {
                it.meaning = if declared {
                    "The source declares it; its section cannot be compared."
                } else if held {
                    "The database has it; its section is not in the source, so it is nobody's business."
                } else {
                    "Neither side has it."
                };
                return Some(it);
            }
        };
        it.class = Some(class);
        it.meaning = match (declared, class) {
            (true, Class::Pending) => "The source declares it; the database does not have it yet.",
            (true, Class::Drift) => "Somebody deleted it in the database; the source still declares it.",
            (true, _) => "The source declares it and the database lacks it, since this store was first met.",
            (false, Class::Extra) => "Somebody added it to the database; the source never declared it.",
            (false, Class::Conflict) => {
                "The source no longer declares it, and somebody edited it in the database."
            }
            (false, _) => "The source no longer declares it; the database still has it.",
        };
        it.next = next(left, "It is written at the next pass.");
        it.answers = released(left).unwrap_or_else(|| answers(&path, class, declared));
        Some(it)
    }

    /// Whether the sides differ at a field of which the plan says nothing.
    fn is_ignored(&self, field: FieldId) -> bool {
        let (section, id) = (self.section, self.id);
        let value = |object: Option<&std::sync::Arc<crate::model::Object>>| {
            object.and_then(|object| object.get(field)).cloned().unwrap_or(Value::Unset)
        };
        let source = value(self.desired.configuration().get(section, id));
        !source.same(&value(self.store.live.get(section, id)), section.spec(field).kind)
    }

    fn field(&self, field: FieldId) -> Explanation {
        let (section, id) = (self.section, self.id);
        let path = ConfigPath::field(section, id, field);
        let mut it = in_sync(path.clone());
        let shown = |value: Option<&Value>| value.filter(|value| **value != Value::Unset).map(Value::shown);
        let source = self.desired.configuration().get(section, id).and_then(|object| object.get(field));
        let agreed = self.store.base.get(section, id).map(|base| base.fields(section));
        it.source = source.map(Value::shown);
        it.agreed = agreed.as_ref().and_then(|fields| fields.get(field)).map(Value::shown);
        it.database = shown(self.store.live.get(section, id).and_then(|object| object.get(field)));
        let left = self.plan.left_alone.iter().find(|left| left.path == path);
        let change = self.plan.steps.iter().find_map(|step| match step {
            Step::Update { changes, .. } if step.target() == (section, id) => {
                changes.iter().find(|change| change.field == field)
            }
            _ => None,
        });
        let Some(class) = left.map(|left| left.class).or(change.map(|change| change.class)) else {
            if it.source.is_some() && it.source != it.database && self.is_ignored(field) {
                it.meaning = "The sides differ, and the policy ignores this path.";
                it.next = "Nothing: it is left out of every comparison.".into();
            }
            return it;
        };
        it.class = Some(class);
        it.meaning = match class {
            Class::Pending => "The source moved; the database still holds what both agreed on.",
            Class::Drift => "Somebody changed it in the database; the source did not move.",
            Class::Conflict if it.agreed.is_some() => "Both sides moved, to different values.",
            Class::Conflict => {
                "The two differed when this store was first met: nobody can tell which is newer."
            }
            Class::Undeclared => "The database has a value; the source does not mention it.",
            Class::Extra => "The database has it; the source never declared it.",
            Class::Unknown => "One side cannot be read, so nobody can tell.",
        };
        it.next = next(left, "The source's value is written at the next pass.");
        it.answers = released(left).unwrap_or_else(|| answers(&path, class, true));
        it
    }
}

/// The explanation of what needs none.
fn in_sync(path: ConfigPath) -> Explanation {
    Explanation {
        path,
        class: None,
        source: None,
        agreed: None,
        database: None,
        meaning: "Both sides say the same.",
        next: "Nothing.".into(),
        answers: Vec::new(),
    }
}

/// What can be done about a write that somebody's decision keeps waiting.
fn released(left: Option<&LeftAlone>) -> Option<Vec<Answer>> {
    let answer =
        |command: &str, effect: &str| Answer { command: command.to_owned(), effect: effect.to_owned() };
    match &left?.reason {
        Reason::Paused { .. } => Some(vec![
            answer("oxide-operator resume", "ends the pause"),
            answer("oxide-operator apply --while-paused", "writes it all the same"),
        ]),
        Reason::Pinned(_) => Some(vec![
            answer("", "edit the source: any change of it releases the pin"),
            answer("oxide-operator apply --release-pin", "takes the source as it is"),
        ]),
        _ => None,
    }
}

/// What can be done about a difference.
fn answers(path: &ConfigPath, class: Class, declared: bool) -> Vec<Answer> {
    let answer = |command: String, effect: &str| Answer { command, effect: effect.to_owned() };
    let ours = |command: &str| format!("oxide-operator {command}");
    // An id is whatever somebody wrote: pasted into a shell, it must stay one word.
    let path_text = path.to_string();
    let path_word = shlex::try_quote(&path_text).map_or_else(|_| path_text.clone(), Cow::into_owned);
    let has_field = path.field.is_some();
    let path = path_word;
    match class {
        Class::Unknown => vec![answer(ours("doctor"), "says why it cannot be read, and what mends it")],
        Class::Pending if declared => vec![answer(ours("apply"), "writes it now")],
        Class::Pending | Class::Conflict if !declared => vec![
            answer(ours(&format!("remove {path}")), "deletes it from the database"),
            answer(String::new(), "declare it in the source again, to keep it"),
        ],
        Class::Extra => vec![
            answer(ours(&format!("promote {path}")), "declares it in the source, to own it"),
            answer(ours(&format!("remove {path}")), "deletes it from the database"),
        ],
        Class::Undeclared => vec![
            answer(ours(&format!("promote {path}")), "writes the value into the source, to own it"),
            answer(ours(&format!("set {path} null")), "unsets it in the database"),
        ],
        _ if !has_field => vec![
            answer(ours(&format!("revert {path}")), "creates it in the database as the source declares it"),
            answer(ours(&format!("promote {path}")), "takes it out of the source, to leave it at that"),
        ],
        Class::Drift | Class::Conflict | Class::Pending => vec![
            answer(ours(&format!("revert {path}")), "writes the source's value into the database"),
            answer(
                ours(&format!("promote {path}")),
                "writes the database's value into the source, to keep it",
            ),
            answer(ours(&format!("accept {path} --reason WHY")), "leaves it so, quietly, until either moves"),
        ],
    }
}

fn next(left: Option<&LeftAlone>, written: &str) -> String {
    match left.map(|left| &left.reason) {
        None => written.to_owned(),
        Some(Reason::DriftKept | Reason::DeletionKept) => {
            "It stays as it is and is reported (onDrift: keep).".into()
        }
        Some(Reason::ConflictHeld | Reason::AdoptionHeld) => {
            "Nothing is written until somebody chooses (onConflict: hold).".into()
        }
        Some(Reason::PruneNever) => "It stays in the database (prune: never).".into(),
        Some(reason @ (Reason::Paused { .. } | Reason::Pinned(_))) => format!("It {reason}."),
        Some(reason) => format!("It stays: {reason}."),
    }
}
