//! Random sequences of what happens to a store, against a simple model of it: edits of either side, passes, crashes,
//! pauses, restores, key rotations. The model is a few maps; the store is real.
//!
//! `MODEL_SEED=N MODEL_SEQUENCES=M cargo test --test model` repeats or lengthens a run; a failure prints its seed.

#![expect(clippy::disallowed_methods, reason = "a store is made of files")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use fernet::Fernet;
use oxide_operator::model::{
    Decision, DecisionKind, OnConflict, OnDrift, Policy, Section, SourceDigest, SourceSnapshot, Value,
};
use oxide_operator::plan::{self, Circumstances};
use oxide_operator::source::Secrets;
use oxide_operator::store::{Access, Decided, KeySources, Record, Store, generate_key};
use oxide_operator::sync::{Edit, Input, Mode, Pass, edit, read_source, sync_once};
use rusqlite::Connection;

/// What a sequence does at most.
const STEPS: usize = 8;
/// Seeds that once failed; they run first.
const REGRESSIONS: &[u64] = &[];

/// The fields that the sequences touch: section, id, name.
const FIELDS: [(Section, &str, &str); 5] = [
    (Section::Services, "a", "max_retries"),
    (Section::Services, "a", "site_name"),
    (Section::Services, "a", "api_key"),
    (Section::Services, "b", "retry_delay"),
    (Section::RoutingRules, "r", "timeout_seconds"),
];

/// The field that is an API key.
const KEY: usize = 2;

/// A value by its number; none is unset.
type Val = Option<u8>;

fn text(field: usize, value: u8) -> String {
    match FIELDS[field].2 {
        "site_name" => format!("site {value}"),
        "api_key" => format!("sk-model-{value}"),
        _ => value.to_string(),
    }
}

#[derive(Clone, Debug, Default)]
struct Model {
    source: [Val; 5],
    live: [Val; 5],
    /// What was agreed; none when nothing ever was.
    agreed: [Option<Val>; 5],
    /// Differed when the field was first declared, and waits for a choice.
    held: [bool; 5],
    paused: bool,
    pin: Option<SourceDigest>,
    /// What revisions recorded.
    recorded: BTreeMap<i64, [Val; 5]>,
}

impl Model {
    /// What a pass does, by the table of the design.
    fn pass(&mut self, policy: &Policy, digest: &SourceDigest) {
        if self.paused {
            return;
        }
        let pinned = self.pin.as_ref() == Some(digest);
        for field in 0..FIELDS.len() {
            let (source, live) = (self.source[field], self.live[field]);
            if source.is_none() {
                (self.agreed[field], self.held[field]) = (None, false);
                continue;
            }
            if source == live {
                (self.agreed[field], self.held[field]) = (Some(source), false);
                continue;
            }
            let met = self.agreed[field].is_none() && (self.held[field] || live.is_some());
            let wants = match self.agreed[field] {
                None if met => policy.on_conflict == OnConflict::Source,
                None => true,
                Some(agreed) if agreed == live => true,
                Some(agreed) if agreed == source => policy.on_drift == OnDrift::Revert,
                Some(_) => policy.on_conflict == OnConflict::Source,
            };
            if wants && !pinned {
                (self.live[field], self.agreed[field], self.held[field]) = (source, Some(source), false);
            } else {
                self.held[field] = met;
            }
        }
        if !pinned {
            self.pin = None;
        }
    }

    /// A key that the two sides did not agree on is known by its fingerprint only, and that goes with the old
    /// encryption key: what was agreed is then like nothing any more, and a difference waits for somebody's choice.
    fn rotate(&mut self) {
        if self.agreed[KEY].is_some_and(|agreed| agreed.is_some() && agreed != self.live[KEY]) {
            self.agreed[KEY] = Some(Some(u8::MAX));
        }
    }

    fn restore(&mut self, to: [Val; 5], digest: SourceDigest) {
        if self.live == to {
            return;
        }
        for (field, value) in to.into_iter().enumerate() {
            if self.live[field] != value {
                self.live[field] = value;
                self.agreed[field] = self.agreed[field].map(|_| value);
            }
        }
        self.pin = Some(digest);
    }
}

/// Xorshift: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn value(&mut self) -> Val {
        u8::try_from(self.below(4)).ok().filter(|value| *value > 0)
    }
}

struct World {
    folder: tempfile::TempDir,
    store: Store,
    model: Model,
    done: Vec<String>,
}

impl World {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let store = Store::at(&folder.path().join("config.db"), Access::Write, &KeySources::default())
            .expect("a store");
        let mut world = Self { folder, store, model: Model::default(), done: Vec::new() };
        world.model.source[2] = Some(1);
        world.pass(&Policy::default());
        world
    }

    fn yaml(&self) -> String {
        let field = |at: usize| {
            let value = self.model.source[at].map(|value| text(at, value));
            value.map(|value| format!("    {}: {value}\n", FIELDS[at].2)).unwrap_or_default()
        };
        let fields: Vec<String> = (0..FIELDS.len()).map(field).collect();
        format!(
            "services:\n  a:\n    type: cli\n    executable: a\n{}{}{}  b:\n    type: cli\n    executable: b\n{}routing_rules:\n  r:\n    primary: a\n{}",
            fields[0], fields[1], fields[2], fields[3], fields[4]
        )
    }

    fn source(&self) -> SourceSnapshot {
        SourceSnapshot::of("file:model.yaml", "model.yaml", self.yaml())
    }

    fn key(&self) -> Fernet {
        let key = std::fs::read_to_string(self.folder.path().join("encryption.key")).expect("a key");
        Fernet::new(key.trim()).expect("a key")
    }

    /// An edit as the orchestrator makes it.
    fn edit_database(&mut self, field: usize, value: Val, committed: bool) {
        let (section, id, name) = FIELDS[field];
        let column = section.spec(section.field(name).expect("known")).column;
        let text = value.map(|value| text(field, value));
        let text =
            if name == "api_key" { text.map(|text| self.key().encrypt(text.as_bytes())) } else { text };
        let mut conn = Connection::open(self.folder.path().join("config.db")).expect("opens");
        let transaction = conn.transaction().expect("begins");
        let sql = format!(
            "UPDATE {} SET {column} = ?1, updated_at = updated_at + 1 WHERE {} = ?2",
            section.table(),
            section.id_column()
        );
        assert_eq!(transaction.execute(&sql, (text, id)).expect("written"), 1);
        if committed {
            transaction.commit().expect("committed");
            self.model.live[field] = value;
        }
    }

    fn pass(&mut self, policy: &Policy) {
        let (source, secrets) = (self.source(), Secrets::new(self.folder.path()));
        let input = Input { source: &source, known: None, secrets: &secrets };
        let report = sync_once(&input, &mut self.store, &Pass::apply(policy, "model", "model")).report;
        assert!(
            report.failure.is_none() && report.plan.is_some(),
            "{:?} {:?}",
            report.failure,
            report.findings
        );
        self.model.pass(policy, &source.digest());
        if let Some(revision) = report.written.and_then(|written| written.revision) {
            self.model.recorded.insert(revision, self.model.live);
        }
        let again = sync_once(
            &input,
            &mut self.store,
            &Pass { mode: Mode::Apply, ..Pass::apply(policy, "model", "again") },
        );
        assert!(again.report.plan.is_some_and(|plan| plan.is_noop()), "a pass after a pass did something");
    }

    /// A pass that dies before its commit.
    fn crash(&mut self, policy: &Policy) {
        let (source, secrets) = (self.source(), Secrets::new(self.folder.path()));
        let keys = KeySources::default();
        let mut store = Store::at(self.store.path(), Access::Write, &keys).expect("a store");
        let desired = read_source(&source, &secrets, store.keys()).expect("valid");
        let live = store.read().expect("readable");
        let plan = plan::plan(&desired, &live, policy, &Circumstances::default());
        let sealed = store.seal(&plan).expect("sealed");
        let record = Record {
            place: None,
            actor: "model".into(),
            reason: "crash".into(),
            source: source.origin.clone(),
            source_digest: source.digest(),
            carried: desired.carried().clone(),
            kept: None,
        };
        store.begin().expect("locked");
        store.apply(&plan, &sealed, &record, None, SystemTime::now()).expect("applied");
        drop(store);
    }

    fn pause(&mut self, pause: bool) {
        let decision = Decision {
            kind: DecisionKind::Pause,
            scope: None,
            by: "model".into(),
            reason: "model".into(),
            at: 0.0,
            until: None,
        };
        let decided = if pause {
            Decided { decide: vec![decision], forget: Vec::new() }
        } else {
            Decided { decide: Vec::new(), forget: vec![("pause".into(), String::new())] }
        };
        self.store.decide(&decided).expect("decided");
        self.model.paused = pause;
    }

    fn restore(&mut self, pick: u64) {
        let kept: Vec<i64> = self.model.recorded.keys().rev().take(8).copied().collect();
        let Some(revision) = kept.get(usize::try_from(pick).unwrap_or(0) % kept.len().max(1)).copied() else {
            return;
        };
        let state = self.store.recorded_state(revision).expect("readable").expect("kept").configuration;
        let digest = self.source().digest();
        let pin = DecisionKind::Pin { digest: digest.clone() };
        let pin = [Decision {
            kind: pin,
            scope: None,
            by: "model".into(),
            reason: "model".into(),
            at: 0.0,
            until: None,
        }];
        let how =
            Edit { mode: Mode::Apply, actor: "model", reason: "restore", origin: "model", decide: &pin };
        let edited = edit(&mut self.store, &how, |live, _| plan::restore(&state, &live.live, None, None))
            .expect("restored");
        self.model.restore(self.model.recorded[&revision], digest);
        if let Some(revision) = edited.written.and_then(|written| written.revision) {
            self.model.recorded.insert(revision, self.model.live);
        }
    }

    fn rotate(&mut self) {
        self.store.rotate(&generate_key(), "model", SystemTime::now()).expect("rotated");
        self.model.rotate();
    }

    /// Does something; returns its name.
    fn step(&mut self, random: &mut Random) {
        let field = usize::try_from(random.below(5)).expect("small");
        let policy = match random.below(3) {
            0 => Policy::default(),
            1 => Policy { on_drift: OnDrift::Revert, on_conflict: OnConflict::Source, ..Policy::default() },
            _ => Policy { on_conflict: OnConflict::Database, ..Policy::default() },
        };
        let what = random.below(100);
        self.done.push(format!("{what} field {field} {:?} {:?}", policy.on_drift, policy.on_conflict));
        match what {
            0..=29 => self.model.source[field] = random.value(),
            30..=57 => self.edit_database(field, random.value(), true),
            58..=61 => self.edit_database(field, random.value(), false),
            62..=85 => self.pass(&policy),
            86..=89 => self.crash(&policy),
            90..=92 => self.pause(true),
            93..=96 => self.pause(false),
            97..=98 => self.restore(random.below(8)),
            _ => self.rotate(),
        }
        self.check();
    }

    /// The store is what the model says it is.
    fn check(&mut self) {
        let snapshot = self.store.read().expect("readable");
        assert_eq!((snapshot.undecryptable, snapshot.under_retired_key), (0, 0), "a token nobody reads");
        for (at, (section, id, name)) in FIELDS.into_iter().enumerate() {
            let field = section.field(name).expect("known");
            let print = self.store.keys().fingerprinter();
            let expected = |value: Val| match (value, name) {
                (None, _) => Value::Unset,
                (Some(value), "api_key") => Value::Secret(Box::new(oxide_operator::model::Secret {
                    fingerprint: print.fingerprint(&text(at, value)),
                    plain: None,
                    token: None,
                })),
                (Some(value), "site_name") => Value::Text(text(at, value).into()),
                (Some(value), _) => Value::Integer(i64::from(value)),
            };
            let same = |one: &Value, two: &Value| match (one, two) {
                (Value::Secret(one), Value::Secret(two)) => one.fingerprint == two.fingerprint,
                (one, two) => one == two,
            };
            let live = snapshot.live.value(section, id, name).expect("there");
            assert!(
                same(live, &expected(self.model.live[at])),
                "{id}.{name}: {live:?}, not {:?}",
                self.model.live[at]
            );
            // Fingerprints are keyed: what was agreed of a key is known anew after a rotation.
            if name != "api_key" {
                let agreed =
                    snapshot.base.get(section, id).and_then(|base| base.fields(section).get(field).cloned());
                let wanted = self.model.agreed[at].map(expected);
                assert_eq!(agreed, wanted, "agreed on {id}.{name}");
            }
        }
    }
}

/// Runs sequences from one seed on one store; panics with the seed and what was done.
fn run(seed: u64, sequences: usize) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut world = World::new();
    for sequence in 0..sequences {
        world.done.clear();
        let steps = 1 + random.below(STEPS as u64);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..steps {
                world.step(&mut random);
            }
        }));
        assert!(
            outcome.is_ok(),
            "MODEL_SEED={seed}, sequence {sequence}: {:#?}\n{:?}",
            world.done,
            world.model
        );
    }
}

#[test]
fn ten_thousand_sequences_leave_the_store_as_the_model_says() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let all = usize::try_from(number("MODEL_SEQUENCES").unwrap_or(10_000)).expect("fits");
    let first = number("MODEL_SEED").unwrap_or(1);
    for seed in REGRESSIONS {
        run(*seed, 500);
    }
    let worlds = 20;
    println!("seeds {first} to {}, {all} sequences", first + worlds - 1);
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for seed in (first..first + worlds).filter(|seed| seed % 2 == half) {
                    run(seed, all / usize::try_from(worlds).expect("fits"));
                }
            });
        }
    });
}
