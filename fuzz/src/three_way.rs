//! The plan says of each value what the three sides say of it: compared with the rule written down once more, as a table.
//!
//! An input is read byte by byte: first what the policy is, then for each of four services and each of three fields
//! what the source, the database and the last agreement hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oxide_operator::desired::read;
use oxide_operator::model::{
    BaseObject, Fingerprinter, Held, Object, Objects, OnConflict, OnDrift, Policy, Prune, SecretReference,
    Section, SourceSnapshot, StoreSnapshot, Value, canonical_json,
};
use oxide_operator::plan::{Circumstances, Class, Colour, Plan, Step, plan};

const SERVICES: [&str; 4] = ["a", "b", "c", "d"];
const FIELDS: [&str; 3] = ["max_retries", "site_name", "enabled"];
const SECTION: Section = Section::Services;

/// A side's word on a field: nothing, or a value.
type Word = Option<Value>;

/// One service on three sides; a side that lacks it is `None`.
struct Sides {
    declared: Option<[Word; 3]>,
    live: Option<[Word; 3]>,
    base: Option<([Word; 3], Held)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Written(Class),
    Left(Class),
    Deleted,
}

pub(crate) fn target(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut next = || bytes.next().unwrap_or_default();
    let policy = policy(next());
    let met = next() % 4 != 0;
    let services: Vec<Sides> = SERVICES.iter().map(|_| sides(&mut next)).collect();
    if services.iter().all(|service| service.declared.is_none()) {
        return;
    }
    let (source, store) = (source(&services), store(&services, met));
    let secrets = |_: &SecretReference| Err(String::new());
    let desired = read(&source, &secrets, &Fingerprinter::derived_from(b"fuzz"));
    let Ok(desired) = desired else {
        let on = |words: &[Word; 3]| words[2] != Some(Value::Flag(false));
        assert!(!services.iter().filter_map(|it| it.declared.as_ref()).any(on), "{desired:?}");
        return;
    };
    let planned = plan(&desired, &store, &policy, &Circumstances::default());
    let expected = expected(&services, &policy, !met && !store.is_untouched());
    assert_eq!(found(&planned), expected, "{}\n{}", yaml(&services), planned.to_text(Colour::Off));
}

fn policy(byte: u8) -> Policy {
    Policy {
        on_drift: if byte & 1 == 0 { OnDrift::Keep } else { OnDrift::Revert },
        prune: if byte & 2 == 0 { Prune::Never } else { Prune::Owned },
        on_conflict: [OnConflict::Hold, OnConflict::Source, OnConflict::Database][usize::from(byte >> 2) % 3],
        ..Policy::default()
    }
}

fn sides(next: &mut impl FnMut() -> u8) -> Sides {
    let there = next();
    let mut side = |is_there: bool| {
        let words = [0, 1, 2].map(|field| word(field, next()));
        is_there.then_some(words)
    };
    let (declared, live, base) = (side(there & 1 == 0), side(there & 2 == 0), side(there & 4 == 0));
    let held = match there >> 3 {
        0..=9 => Held::Nothing,
        10..=19 => Held::Absent,
        bits => {
            let fields = FIELDS.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
            Held::Fields(fields.filter_map(|(_, name)| SECTION.field(name)).collect())
        }
    };
    // A set of no field is written and read as nothing.
    let held = if held == Held::Fields(BTreeSet::new()) { Held::Nothing } else { held };
    Sides { declared, live, base: base.map(|words| (words, held)) }
}

fn word(field: usize, byte: u8) -> Word {
    let value = byte % 4;
    match field {
        _ if value == 0 => None,
        0 if value == 1 => Some(Value::Unset),
        0 => Some(Value::Integer(i64::from(value))),
        1 if value == 1 => Some(Value::Unset),
        1 => Some(Value::Text(format!("text {value}").into())),
        _ => Some(Value::Flag(value != 1)),
    }
}

fn object(words: &[Word; 3]) -> Object {
    let mut object = Object::default();
    for (name, word) in FIELDS.iter().zip(words) {
        if let (Some(field), Some(value)) = (SECTION.field(name), word) {
            object.set(field, value.clone());
        }
    }
    let needed = [("type", "cli"), ("executable", "x")];
    for (name, value) in needed {
        object.set(SECTION.field(name).expect("known"), Value::Text(value.into()));
    }
    object
}

fn yaml(services: &[Sides]) -> String {
    let mut yaml = String::from("services:\n");
    for (id, service) in SERVICES.iter().zip(services) {
        let Some(words) = &service.declared else { continue };
        yaml += &format!("  {id}:\n    type: cli\n    executable: x\n");
        for (name, word) in FIELDS.iter().zip(words) {
            match word {
                None => {}
                Some(value) => yaml += &format!("    {name}: {}\n", value.shown().0),
            }
        }
    }
    yaml
}

fn source(services: &[Sides]) -> SourceSnapshot {
    SourceSnapshot::of("file:fuzz.yaml", "fuzz.yaml", yaml(services))
}

fn store(services: &[Sides], met: bool) -> StoreSnapshot {
    let mut store = StoreSnapshot::default();
    for section in Section::ALL {
        *store.live.section_mut(section) = Some(Objects::new());
    }
    store.base.met = met;
    for (id, service) in SERVICES.iter().zip(services) {
        if let Some(words) = &service.live {
            let live = Arc::new(object(words));
            store.live.section_mut(SECTION).get_or_insert_default().insert((*id).into(), live);
        }
        if let Some((words, held)) = &service.base {
            let agreed = canonical_json(SECTION, &object(words)).into();
            let record = BaseObject { agreed, held: held.clone() };
            store.base.objects.entry(SECTION).or_default().insert((*id).into(), record);
        }
    }
    store
}

/// What the rule says, by path.
fn expected(services: &[Sides], policy: &Policy, adopting: bool) -> BTreeMap<String, Fate> {
    let mut fates = BTreeMap::new();
    let mut removed = Vec::new();
    let reverts = policy.on_drift == OnDrift::Revert;
    let source_wins = policy.on_conflict == OnConflict::Source;
    let fate = |class, written| if written { Fate::Written(class) } else { Fate::Left(class) };
    for (id, service) in SERVICES.iter().zip(services) {
        let path = format!("services.{id}");
        let owned = service.base.as_ref().map(|(_, held)| *held != Held::Absent);
        match (&service.declared, &service.live) {
            (None, None) => {}
            (Some(_), None) => {
                let fate = match owned {
                    Some(true) => fate(Class::Drift, reverts),
                    Some(false) => fate(Class::Conflict, source_wins),
                    None if adopting => fate(Class::Conflict, source_wins),
                    None => Fate::Written(Class::Pending),
                };
                fates.insert(path, fate);
            }
            (None, Some(_)) if owned != Some(true) => drop(fates.insert(path, Fate::Left(Class::Extra))),
            (None, Some(live)) => {
                let base = &service.base.as_ref().expect("it is owned").0;
                let edited = base.iter().zip(live).any(|(base, live)| {
                    base.as_ref().is_some_and(|base| base != live.as_ref().unwrap_or(&Value::Unset))
                });
                match (policy.prune, edited) {
                    (Prune::Never, _) => drop(fates.insert(path, Fate::Left(Class::Pending))),
                    (Prune::Owned, true) => drop(fates.insert(path, Fate::Left(Class::Conflict))),
                    (Prune::Owned, false) => removed.push(path),
                }
            }
            (Some(declared), Some(live)) => {
                for (at, name) in FIELDS.iter().enumerate() {
                    let base = service.base.as_ref().and_then(|(words, _)| words[at].as_ref());
                    let held = service.base.as_ref().is_some_and(|(_, held)| match held {
                        Held::Nothing => false,
                        Held::Absent => true,
                        Held::Fields(fields) => SECTION.field(name).is_some_and(|it| fields.contains(&it)),
                    });
                    let usual = if at == 2 { Value::Flag(true) } else { Value::Unset };
                    let now = live[at].as_ref().unwrap_or(&Value::Unset);
                    let untouched = *now == usual || *now == Value::Unset;
                    let fate = match (&declared[at], base) {
                        (None, _) if *now == usual || live[at].is_none() => continue,
                        (None, _) => Fate::Left(Class::Undeclared),
                        (Some(declared), _) if declared == now => continue,
                        (Some(_), None) if !adopting && !held && untouched => Fate::Written(Class::Pending),
                        (Some(_), None) => fate(Class::Conflict, source_wins),
                        (Some(_), Some(base)) if base == now => Fate::Written(Class::Pending),
                        (Some(declared), Some(base)) if base == declared => fate(Class::Drift, reverts),
                        (Some(_), Some(_)) => fate(Class::Conflict, source_wins),
                    };
                    fates.insert(format!("{path}.{name}"), fate);
                }
            }
        }
    }
    let owned = services.iter().filter(|it| it.base.as_ref().is_some_and(|(_, held)| *held != Held::Absent));
    // A fifth of four is none, and one is always allowed, but never all.
    let guarded = removed.len() > 1.min(owned.count() - usize::from(!removed.is_empty()));
    for path in removed {
        fates.insert(path, if guarded { Fate::Left(Class::Pending) } else { Fate::Deleted });
    }
    fates
}

/// What the plan says, by path.
fn found(plan: &Plan) -> BTreeMap<String, Fate> {
    let mut fates: BTreeMap<String, Fate> =
        plan.left_alone.iter().map(|left| (left.path.to_string(), Fate::Left(left.class))).collect();
    for step in &plan.steps {
        let (section, id) = step.target();
        let path = format!("{}.{id}", section.name());
        match step {
            Step::Create { class, .. } => drop(fates.insert(path, Fate::Written(*class))),
            Step::Delete { .. } => drop(fates.insert(path, Fate::Deleted)),
            Step::Update { changes, .. } => fates.extend(changes.iter().map(|change| {
                let name = section.spec(change.field).name;
                (format!("{path}.{name}"), Fate::Written(change.class))
            })),
        }
    }
    fates
}
