//! What wakes a pass, and what happens between passes: events, settling, retries, shutdown.
//!
//! ```text
//! notify ──┐                    owner thread (the store's only writing connection)
//! cluster ─┤
//! signals ─┼─▶ Wake ─▶ Agent ─▶ sync_once ─┬▶ Published ─▶ /metrics, /readyz, log
//! timers ──┤             │                 ├▶ Board ─▶ web page, API, event stream
//! orders ──┘             │                 └▶ Feed ─▶ OxideStore
//!                        └─▶ carry_out ─▶ the answer
//! ```
//!
//! A pass never learns what woke it.

#![expect(clippy::disallowed_methods, reason = "the loop waits, reads the clock and the environment")]

mod agent;
mod answer;
mod backup;
mod consumer;
mod edits;
mod health;
mod mounts;
mod orders;
mod panic;
mod poll;
mod say;
mod schedule;
mod source;
mod standby;
mod stop;
mod watch;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::cluster::{self, Feed, Identity, Reviewer, Wish};
use crate::consumer::Consumer;
use crate::metrics::Metrics;
use crate::model::PolicyLayers;
use crate::plan::Fights;
use crate::report::SyncReport;
use crate::settings;
use crate::source::{Reach, SourceSpec};
use crate::store::{AgentLock, BackupOptions, KeySources, StoreError};
use crate::web::{self, Board, Order, Web};
use agent::Agent;
use watch::Hint;

/// What `run` is to do.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The declared configuration.
    pub source: SourceSpec,
    /// The database.
    pub db: PathBuf,
    /// Where the backups lie, and how many are kept.
    pub backups: BackupOptions,
    /// Where the key may be.
    pub keys: KeySources,
    /// The answers to differences; what the source says of them stands between.
    pub policy: PolicyLayers,
    /// When reverts of one field are a fight.
    pub fights: Fights,
    /// After how long what no backup has is backed up, in seconds.
    pub backup_every: f64,
    /// Where health and metrics are served.
    pub listen_health: SocketAddr,
    /// Where the web page and the API are served; nowhere when there is none.
    pub listen: Option<SocketAddr>,
    /// Names under which they may be asked for, besides the loopback ones.
    pub allow_hosts: Vec<String>,
    /// The orchestrator to tell of each change, when it is known.
    pub consumer: Option<Consumer>,
    /// Who is recorded in the history.
    pub actor: String,
    /// Whether accounts of a cluster may log in to the page.
    pub token_review: bool,
    /// What the source may name.
    pub reach: Arc<Reach>,
    /// The name of this agent's `OxideStore`; the pod's, or the host's, when none is given.
    pub store_name: Option<String>,
}

/// Why `run` could not start or go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// The store can never be used as it is named.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address cannot be had.
    #[error("listen on {address} ({flag})")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that names another.
        flag: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The runtime or its signal handlers could not be set up.
    #[error("set up the runtime")]
    Runtime(#[from] std::io::Error),
    /// The owner thread ended by itself.
    #[error("the thread that owns the store ended unexpectedly")]
    OwnerGone,
}

impl RunError {
    /// What the user can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::Listen { flag, source, .. } => match source.kind() {
                ErrorKind::AddrInUse => Some(format!(
                    "another program listens there, most often another `oxide-operator run`: stop it, or name another port with {flag}"
                )),
                ErrorKind::AddrNotAvailable => {
                    Some(format!("no interface of this machine has that address; name another with {flag}"))
                }
                ErrorKind::PermissionDenied => {
                    Some(format!("this user may not listen there; name a port from 1024 on with {flag}"))
                }
                _ => None,
            },
            Self::Runtime(_) | Self::OwnerGone => None,
        }
    }
}

/// What may have happened.
enum Wake {
    /// Something about the source.
    Source(Hint),
    /// Something about a file that the source takes an API key from.
    Secrets,
    /// Something about the database.
    Store,
    /// A watched folder is gone.
    FolderGone,
    /// A file system was mounted or unmounted somewhere.
    Mounts,
    /// Events were lost, or somebody asked for a full comparison.
    Rescan,
    /// The agent that held the database has ended: its lock is ours.
    Lock(AgentLock),
    /// Something that the web page or the API asks for.
    Order(Box<Order>),
    /// Finish and leave.
    Stop,
}

/// What the last pass found, for everybody who shows it.
#[derive(Clone, Default)]
pub(crate) struct Published(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    report: Option<Arc<SyncReport>>,
    /// Whether source and database were compared to the end at least once.
    compared: bool,
    /// Whether the database holds what an earlier pass wrote.
    holds_revision: bool,
    /// Since when the owner of the store has not come back to wait for a wake.
    at_work_since: Option<Instant>,
}

impl Published {
    /// Whom this agent waits for, in words; none for the one that writes.
    fn waits_for(&self) -> Option<String> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = state.report.as_ref()?.waits_for.as_ref()?;
        Some(format!("ok, standing by for {holder}"))
    }

    fn publish(&self, report: Arc<SyncReport>, holds_revision: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.holds_revision = holds_revision;
        state.compared |= report.outcome.compared();
        state.report = Some(report);
    }

    /// Notes that the owner of the store is at work since a moment, or waits.
    fn at_work(&self, since: Option<Instant>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).at_work_since = since;
    }

    /// Whether the owner of the store still answers; else since how long it does not.
    fn liveness(&self, now: Instant) -> Result<(), String> {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner).at_work_since;
        let busy = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if busy < settings::STUCK_AFTER {
            return Ok(());
        }
        Err(format!("the thread that owns the database has not answered for {} s", busy.as_secs()))
    }

    /// Whether the orchestrator may start: once both sides were compared, or, when they cannot be, with a database that an
    /// earlier pass wrote. It must not depend on a source that is away.
    fn start(&self) -> Result<(), String> {
        let may = {
            let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.report.is_some() && state.holds_revision
        };
        if may { Ok(()) } else { self.readiness() }
    }

    /// Whether the first full comparison is done; else why not.
    fn readiness(&self) -> Result<(), String> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&state.report, state.compared) {
            (_, true) => Ok(()),
            (Some(report), false) => Err(format!("not compared yet: {}", report.summary)),
            (None, false) => Err("the first comparison is not done".into()),
        }
    }
}

/// Watches both sides and reconciles until told to stop.
///
/// # Errors
/// Only what keeps it from starting at all; everything later is reported and tried again.
pub fn run(options: RunOptions) -> Result<(), RunError> {
    panic::watch();
    let (wakes, woken) = mpsc::channel();
    let published = Published::default();
    let metrics = Arc::new(Metrics::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything begins: whoever reads the first line of the log may already ask us to stop.
    let signals = stop::Signals::caught()?;
    let listen = |address, flag| {
        let bound = runtime.block_on(tokio::net::TcpListener::bind(address));
        bound.map_err(|source| RunError::Listen { address, flag, source })
    };
    let listener = listen(options.listen_health, "--listen-health")?;
    let page = options.listen.map(|address| listen(address, "--listen")).transpose()?;
    let board = page.is_some().then(Arc::<Board>::default);
    let keys = options.keys.clone();
    let mut hosts = options.allow_hosts.clone();
    hosts.extend(options.listen.map(|address| web::host_of(address.ip())));
    let database = options.db.display().to_string();
    let identity = Identity::of_this_process(database, options.store_name.as_deref());
    let reviewer = options.token_review.then(|| {
        let beside = options.source.object().map(|object| object.namespace.clone());
        let namespace = identity.namespace.clone().or(beside).unwrap_or_else(|| "default".to_owned());
        Reviewer::new(namespace, identity.store.clone())
    });
    let api = options.source.object().cloned().map(|object| (object, feed(wakes.clone()), identity));
    let feed = api.as_ref().map(|(_, feed, _)| feed.clone());
    let mut agent =
        Agent::new(options, feed, wakes.clone(), published.clone(), Arc::clone(&metrics), board.clone())?;
    let web = board.map(|board| {
        let wakes = wakes.clone();
        let send = Box::new(move |order| wakes.send(Wake::Order(Box::new(order))).is_ok());
        Web::new(agent.database(), keys, hosts, board, send, reviewer)
    });
    let web = web.transpose()?;
    let told = signals.forward(wakes.clone())?;
    mounts::watch(wakes.clone());
    let (ending, ended) = mpsc::channel::<()>();
    let owner = std::thread::Builder::new().name("owner".into()).spawn(move || {
        let _ending = ending;
        agent.run(&woken);
    })?;
    runtime.block_on(async {
        tokio::spawn(health::serve(listener, published, metrics));
        let served = api.as_ref().map(|(object, feed, identity)| {
            tokio::spawn(cluster::serve(object.clone(), feed.clone(), identity.clone()))
        });
        if let (Some(web), Some(page)) = (web, page) {
            if let Ok(address) = page.local_addr() {
                web.say_where(address);
            }
            tokio::spawn(web.serve(page));
        }
        let _ = told.await;
        tracing::info!("finishing the pass and leaving");
        let _ = wakes.send(Wake::Stop);
        if let (Some(served), Some((object, _, identity))) = (served, &api) {
            served.abort();
            cluster::leave(object, identity).await;
        }
    });
    // What a pass has not committed is not written, so it may be left wherever it is.
    if ended.recv_timeout(settings::STOP_WITHIN) == Err(mpsc::RecvTimeoutError::Timeout) {
        tracing::warn!("the pass under way is left unfinished; it has written nothing, or all it says");
        return Ok(());
    }
    owner.join().map_err(|_| RunError::OwnerGone)?;
    tracing::info!("stopped");
    Ok(())
}

/// What passes between the API's side and the owner of the store, who is woken by it.
fn feed(wakes: mpsc::Sender<Wake>) -> Feed {
    Feed::new(move |wish| {
        let wake = match wish {
            Wish::Look => Wake::Source(Hint::Replaced),
            Wish::Compare => Wake::Rescan,
        };
        // An owner that is gone needs no waking.
        let _ = wakes.send(wake);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_does_not_come_back_is_not_alive() {
        let (published, now) = (Published::default(), Instant::now());
        assert_eq!(published.liveness(now), Ok(()));
        published.at_work(Some(now));
        assert_eq!(published.liveness(now + settings::STUCK_AFTER / 2), Ok(()));
        let stuck = published.liveness(now + settings::STUCK_AFTER).expect_err("stuck");
        assert!(stuck.contains("has not answered for 30 s"), "{stuck}");
        published.at_work(None);
        assert_eq!(published.liveness(now + 2 * settings::STUCK_AFTER), Ok(()));
    }
}
