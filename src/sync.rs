//! One pass, from the source's bytes to the report. Read this file first.
//!
//! ```text
//! SourceSnapshot ─▶ DesiredConfig ─▶ StoreSnapshot ─▶ Plan ─▶ Applied ─▶ Verified ─▶ SyncReport
//!
//!        this file (touches the world)                 the decisions (pure)
//!   1    read the source and the store         ──▶     desired::read
//!   2                                                  plan::plan
//!   3    back up, checked and durable
//!   4    take the write lock; rows moved? ─▶ 1
//!   5    write, read back                      ──▶     verify::Checker
//!   6    commit, which demands the proof
//!   7                                                  report::SyncReport
//! ```
//!
//! The loop of `run`, the command line and the tests all call [`sync_once`], so there is one behaviour. It never
//! learns what woke it: every pass starts from the facts.

#![expect(clippy::disallowed_methods, reason = "a pass waits for a busy store and measures itself")]

mod edit;
mod reading;
mod recover;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::desired::{self, DesiredConfig, ResolveSecrets};
use crate::model::{
    Configuration, Finding, Policy, Section, SourceDigest, SourceSnapshot, StoreFingerprint, StoreSnapshot,
};
use crate::plan::{self, Circumstances, Patience, Plan};
use crate::report::{Failure, Objects, Outcome, SyncReport};
use crate::store::{Examined, KeptSource, Record, SourceCopy, Store, StoreError, files};
pub use edit::{Edit, EditError, Edited, edit};
use reading::{place, read_both, refuse_clobbered};
pub use reading::{read_source, with_tokens};
use write::Order;

/// How often a pass starts over because the rows moved between planning and writing.
const MAX_ATTEMPTS: u32 = 8;

/// From this attempt on the write lock is taken before reading, so that a busy other side cannot starve us.
const LOCK_EARLY_FROM: u32 = 4;

/// What a pass is to do.
#[derive(Clone, Debug)]
pub struct Pass<'a> {
    /// Whether to write.
    pub mode: Mode,
    /// The answers to drift, conflict and removal.
    pub policy: &'a Policy,
    /// Who is recorded as the author of the revision.
    pub actor: &'a str,
    /// Why, in a few words.
    pub reason: &'a str,
    /// The source and the rows that a saved plan was made for; anything else is stale.
    pub expected: Option<(SourceDigest, StoreFingerprint)>,
    /// Whether to write although somebody paused it.
    pub while_paused: bool,
    /// Whether to write what a restore rejected.
    pub release_pin: bool,
    /// What waits for quiet; none where somebody asked for the pass.
    pub patience: Option<&'a Patience>,
    /// Where to copy the source's file before anything is written, as `migrate` does.
    pub source_copy: Option<PathBuf>,
}

impl<'a> Pass<'a> {
    /// A pass that says what would be done.
    pub fn plan(policy: &'a Policy) -> Self {
        Self { mode: Mode::Plan, ..Self::apply(policy, "", "") }
    }

    /// A pass that does it.
    pub fn apply(policy: &'a Policy, actor: &'a str, reason: &'a str) -> Self {
        Self {
            mode: Mode::Apply,
            policy,
            actor,
            reason,
            expected: None,
            while_paused: false,
            release_pin: false,
            patience: None,
            source_copy: None,
        }
    }
}

/// Whether a pass writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Say what would be done.
    Plan,
    /// Do it.
    Apply,
    /// Record what both sides agree on, and write nothing else.
    Agree,
}

/// The source of a pass.
#[derive(Clone)]
pub struct Input<'a> {
    /// Its bytes.
    pub source: &'a SourceSnapshot,
    /// What the same bytes read as in an earlier pass, to spare reading them again.
    pub known: Option<Arc<DesiredConfig>>,
    /// Finds the secrets that the source refers to, but for tokens, which the store's keys open.
    pub secrets: &'a (dyn ResolveSecrets + Sync),
}

/// What a pass found, and what it read the source as.
pub struct Passed {
    /// The report.
    pub report: SyncReport,
    /// The declared configuration, when it is valid.
    pub desired: Option<Arc<DesiredConfig>>,
    /// What the database held when it was read, with its fingerprint, where no entry of the history has it: another program
    /// may edit it again before it gets one.
    pub seen: Option<(StoreFingerprint, Configuration)>,
}

/// Why one attempt ended without an answer.
enum Stop {
    Invalid(Vec<Finding>),
    /// Another program wrote the source anew; by which signs that is seen.
    Clobbered(String),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Makes the store equal to the source, as far as the policy allows, and says what was found and done.
///
/// # Guarantees
/// - Before the commit, any failure leaves the store as it was; after it, every written row was read back.
/// - No write without a checked backup, unless the store holds nothing.
/// - A pass over two equal sides writes nothing.
pub fn sync_once(input: &Input<'_>, store: &mut Store, pass: &Pass<'_>) -> Passed {
    let (clock, now) = (Instant::now(), SystemTime::now());
    let mut passed = Passed { report: begin(input, store, now), desired: input.known.clone(), seen: None };
    for attempt in 0..MAX_ATTEMPTS {
        let stop = match attempt_pass(input, store, pass, now, attempt, &mut passed) {
            Ok(()) => break,
            Err(stop) => stop,
        };
        store.rollback();
        match stop {
            Stop::Invalid(findings) => {
                passed.report.invalid(findings);
                break;
            }
            Stop::Clobbered(signs) => {
                passed.report.failed(Outcome::SourceClobbered, clobbered(&signs));
                break;
            }
            Stop::Store(StoreError::Stale) if attempt + 1 < MAX_ATTEMPTS && pass.expected.is_none() => {
                pause(attempt)
            }
            Stop::Store(StoreError::Moved { .. }) if attempt + 1 < MAX_ATTEMPTS => store.close(),
            Stop::Store(error) if recover::may_recover(pass, &passed.report, store, &error) => {
                match recover::recover(store, now, &mut passed.report) {
                    Ok(Examined::Sound) if attempt + 1 == MAX_ATTEMPTS => {
                        passed.report.failed(Outcome::Failed, failure(&error));
                    }
                    Ok(_) => {}
                    Err(why) => {
                        passed.report.failed(Outcome::Failed, failure(&why));
                        break;
                    }
                }
            }
            Stop::Store(error) => {
                let outcome = match error {
                    StoreError::Stale => Outcome::Stale,
                    StoreError::Missing { .. } => Outcome::StoreMissing,
                    _ => Outcome::Failed,
                };
                passed.report.failed(outcome, failure(&error));
                break;
            }
        }
    }
    passed.report.duration_seconds = clock.elapsed().as_secs_f64();
    passed
}

/// The pass itself.
fn attempt_pass(
    input: &Input<'_>,
    store: &mut Store,
    pass: &Pass<'_>,
    now: SystemTime,
    attempt: u32,
    passed: &mut Passed,
) -> Result<(), Stop> {
    store.ensure_present()?;
    let lock_early = attempt >= LOCK_EARLY_FROM;
    if lock_early {
        store.begin()?;
    }
    let (desired, live) = read_both(input, store, passed)?; //              reads both sides
    passed.seen = store.lacks_entry(live.fingerprint)?.then(|| (live.fingerprint, live.live.clone()));
    store.keys().ensure_fits(&live)?;
    refuse_clobbered(input, store, &desired, &live)?;
    let mut plan = plan::plan(&desired, &live, pass.policy, &circumstances(pass, now)); // pure
    if pass.mode == Mode::Agree {
        plan = plan.agreements();
    }
    let kept = kept(input, store, pass, &desired, &live, &plan)?;
    plan.keeps_source = kept.is_some();
    let plan = Arc::new(plan);
    note(&mut passed.report, input.source, &desired, &live, &plan);
    if let Some(expected) = &pass.expected
        && (plan.source.as_ref() != Some(&expected.0) || plan.store != expected.1)
    {
        return Err(StoreError::Stale.into());
    }
    if pass.mode == Mode::Plan || plan.is_noop() || !plan.refused.is_empty() {
        store.rollback();
        return Ok(());
    }
    if !store.keys().has_key() && plan.writes_secrets() {
        store.rollback();
        store.ensure_key(&live)?;
        passed.desired = None; // its fingerprints were made without the key
        return Err(StoreError::Stale.into());
    }
    copy_source(input, pass, &plan, &mut passed.report)?;
    let order = Order {
        plan: &plan,
        record: &record(input, pass, &desired, kept),
        source: SourceCopy {
            snapshot: input.source,
            may_hold_secrets: desired::may_hold_secrets(input.source),
        },
        locked: lock_early,
        now,
    };
    let (written, rows) = write::write(store, &order)?; // sealed, backed up, written, verified, committed
    passed.seen = None; // whoever writes records it
    passed.report.fingerprint = Some(rows);
    passed.report.applied(written);
    Ok(())
}

fn circumstances<'a>(pass: &Pass<'a>, now: SystemTime) -> Circumstances<'a> {
    Circumstances {
        now: now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        while_paused: pass.while_paused,
        release_pin: pass.release_pin,
        patience: pass.patience,
    }
}

fn copy_source(
    input: &Input<'_>,
    pass: &Pass<'_>,
    plan: &Plan,
    report: &mut SyncReport,
) -> Result<(), StoreError> {
    if let (Some(path), Some(document), None) =
        (&pass.source_copy, input.source.documents.first(), &report.source_copy)
        && plan.changes_store()
    {
        files::write_private(path, &document.bytes)
            .map_err(|error| StoreError::SourceCopy { path: path.clone(), why: failure(&error).message })?;
        report.source_copy = Some(path.clone());
    }
    Ok(())
}

fn begin(input: &Input<'_>, store: &Store, now: SystemTime) -> SyncReport {
    let started = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    SyncReport::new(&input.source.origin, store.path().display().to_string(), started)
}

fn note(
    report: &mut SyncReport,
    source: &SourceSnapshot,
    desired: &DesiredConfig,
    live: &StoreSnapshot,
    plan: &Arc<Plan>,
) {
    report.declared(desired);
    if live.under_retired_key > 0 {
        let count = live.under_retired_key;
        let finding = Finding::warning(format!("{count} API keys are encrypted under a retired key"));
        report.findings.push(finding.suggest("the orchestrator cannot read them until they are rotated"));
    }
    // Where both say the same, it does not matter which it was.
    report.findings.extend(reading::another_source(source, live).filter(|_| !plan.is_in_sync()));
    report.undecryptable = live.undecryptable;
    report.objects = Section::ALL
        .into_iter()
        .map(|section| Objects {
            section,
            source: desired.configuration().section(section).map(crate::model::Objects::len),
            database: live.live.count(section),
        })
        .collect();
    report.fingerprint = Some(live.fingerprint);
    report.planned(Arc::clone(plan));
}

/// The source, when it is another one than the one that is kept as good, and something may be written.
fn kept(
    input: &Input<'_>,
    store: &Store,
    pass: &Pass<'_>,
    desired: &DesiredConfig,
    live: &StoreSnapshot,
    plan: &Plan,
) -> Result<Option<KeptSource>, StoreError> {
    let paused = !pass.while_paused && plan.standing("pause").is_some_and(|pause| pause.scope.is_none());
    let writes = pass.mode == Mode::Apply || (pass.mode == Mode::Agree && live.base.met);
    if !writes || paused || !plan.refused.is_empty() || known_good(live) == Some(desired.digest()) {
        return Ok(None);
    }
    let known = desired::known(input.source, desired);
    KeptSource::of(input.source, known, store.keys(), desired::may_hold_secrets)
}

fn known_good(live: &StoreSnapshot) -> Option<&SourceDigest> {
    live.good_source.as_ref().map(|known| &known.digest)
}

fn clobbered(signs: &str) -> Failure {
    Failure {
        reason: "source_clobbered",
        message: format!(
            "SourceClobbered: another program wrote the source anew ({signs}); it is not applied"
        ),
        hint: Some(
            "`source accept` takes over only what it changed, `source restore` puts the file back as it was, and `source accept --as-is` takes it whole; each keeps what it replaces"
                .into(),
        ),
        transient: false,
    }
}

fn record(input: &Input<'_>, pass: &Pass<'_>, desired: &DesiredConfig, kept: Option<KeptSource>) -> Record {
    Record {
        actor: pass.actor.to_owned(),
        reason: pass.reason.to_owned(),
        source: input.source.origin.clone(),
        place: Some(place(input.source)),
        source_digest: desired.digest().clone(),
        carried: desired.carried().clone(),
        kept,
    }
}

/// An error of the store as a report carries it: with every cause, and what to do next.
pub(crate) fn failure(error: &StoreError) -> Failure {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !message.contains(&cause_text) {
            message = format!("{message}: {cause_text}");
        }
        source = cause.source();
    }
    Failure {
        reason: error.reason(),
        message,
        hint: error.hint().map(str::to_owned),
        transient: error.is_transient(),
    }
}

/// Waits a little longer each time, and not the same as everybody else who waits.
fn pause(attempt: u32) {
    let jitter = u64::from(
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos() % 1_000,
    );
    std::thread::sleep(Duration::from_micros((200 << attempt.min(6)) + jitter));
}
