//! What wakes a pass, and what happens between passes: events, settling, retries, shutdown.
//!
//! ```text
//! notify ──┐                    owner thread (the store's only connection)
//! cluster ─┼─▶ Wake ─▶ Agent ─▶ sync_once ─┬▶ Published ─▶ /metrics, /readyz, log
//! signals ─┤                               └▶ Feed ─▶ OxideStore
//! timers ──┘
//! ```
//!
//! A pass never learns what woke it.

#![expect(clippy::disallowed_methods, reason = "the loop waits, reads the clock and the environment")]

mod agent;
mod answer;
mod consumer;
mod health;
mod mounts;
mod schedule;
mod source;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::{self, Feed, Identity, Wish};
use crate::consumer::Consumer;
use crate::metrics::Metrics;
use crate::model::PolicyLayers;
use crate::plan::Fights;
use crate::report::SyncReport;
use crate::source::SourceSpec;
use crate::store::{KeySources, StoreError};
use agent::Agent;
use watch::Hint;

/// What `run` is to do.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The declared configuration.
    pub source: SourceSpec,
    /// The database.
    pub db: PathBuf,
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
    /// The orchestrator to tell of each change, when it is known.
    pub consumer: Option<Consumer>,
    /// Who is recorded in the history.
    pub actor: String,
    /// The variables of the environment that a source in Kubernetes may name.
    pub source_env: Vec<String>,
    /// The name of this agent's `OxideStore`; the pod's, or the host's, when none is given.
    pub store_name: Option<String>,
}

/// Why `run` could not start or go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// The store can never be used as it is named.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address for health and metrics cannot be had.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
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

/// What may have happened.
#[derive(Debug)]
enum Wake {
    /// Something about the source.
    Source(Hint),
    /// Something about the database.
    Store,
    /// A watched folder is gone.
    FolderGone,
    /// A file system was mounted or unmounted somewhere.
    Mounts,
    /// Events were lost, or somebody asked for a full comparison.
    Rescan,
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
}

impl Published {
    fn publish(&self, report: Arc<SyncReport>, holds_revision: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.holds_revision = holds_revision;
        state.compared |= report.outcome.compared();
        state.report = Some(report);
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
    let (wakes, woken) = mpsc::channel();
    let published = Published::default();
    let metrics = Arc::new(Metrics::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = options.listen_health;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(address))
        .map_err(|source| RunError::Listen { address, source })?;
    let api = options.source.object().cloned().map(|object| {
        let database = options.db.display().to_string();
        (object, feed(wakes.clone()), Identity::of_this_process(database, options.store_name.as_deref()))
    });
    let feed = api.as_ref().map(|(_, feed, _)| feed.clone());
    let mut agent = Agent::new(options, feed, wakes.clone(), published.clone(), Arc::clone(&metrics))?;
    mounts::watch(wakes.clone());
    let owner = std::thread::Builder::new().name("owner".into()).spawn(move || agent.run(&woken))?;
    runtime.block_on(async {
        tokio::spawn(health::serve(listener, published, metrics));
        let served = api.as_ref().map(|(object, feed, identity)| {
            tokio::spawn(cluster::serve(object.clone(), feed.clone(), identity.clone()))
        });
        wait_for_stop(&wakes, &owner).await?;
        let _ = wakes.send(Wake::Stop);
        if let (Some(served), Some((object, _, identity))) = (served, &api) {
            served.abort();
            cluster::leave(object, identity).await;
        }
        Ok::<(), std::io::Error>(())
    })?;
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

/// Forwards SIGHUP; returns on SIGTERM, SIGINT, or when the owner thread is gone.
async fn wait_for_stop(
    wakes: &mpsc::Sender<Wake>,
    owner: &std::thread::JoinHandle<()>,
) -> Result<(), std::io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                if wakes.send(Wake::Rescan).is_err() || owner.is_finished() {
                    break;
                }
            }
        }
    }
    tracing::info!("finishing the pass and leaving");
    Ok(())
}
