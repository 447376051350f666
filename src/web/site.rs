//! What all requests share: the board, a reader, the way to the owner of the store, and the login.

#![expect(clippy::disallowed_methods, reason = "whether a pause is over depends on the clock")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use super::board::{Board, Seen};
use super::caught;
use super::compared::Compared;
use super::desk::{Ask, Done, Order};
use super::guard::Bucket;
use super::login::Login;
use super::places::Places;
use super::problem::Problem;
use super::view::{Reader, View};
use crate::settings;
use crate::store::{Store, StoreError};

/// Sends an order to the owner; false when it is gone.
pub(crate) type Send = Box<dyn Fn(Order) -> bool + std::marker::Send + Sync>;

/// What all requests share.
#[derive(Clone)]
pub(crate) struct Site(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) board: Arc<Board>,
    pub(crate) login: Login,
    /// Names under which this site may be asked for, besides the loopback ones.
    pub(crate) hosts: Vec<String>,
    /// The database's path, for people to read.
    pub(crate) database: PathBuf,
    /// How many writes may be waiting.
    writes: Semaphore,
    /// How many writes may begin in a while.
    pub(crate) write_rate: Bucket,
    /// How many requests may be under way.
    pub(crate) requests: Places,
    reader: Mutex<Reader>,
    /// How often the database was looked at, and whether somebody waits for that to end.
    reads: AtomicU64,
    watched: AtomicBool,
    compared: Mutex<Option<Arc<Compared>>>,
    send: Send,
}

impl std::ops::Deref for Site {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Site {
    pub(crate) fn new(
        board: Arc<Board>,
        login: Login,
        hosts: Vec<String>,
        reader: Reader,
        database: PathBuf,
        send: Send,
    ) -> Self {
        Self(Arc::new(Shared {
            board,
            login,
            hosts,
            database,
            writes: Semaphore::new(settings::MAX_WAITING_WRITES),
            write_rate: Bucket::new(settings::WRITES_PER_SECOND, settings::WRITES_AT_ONCE),
            requests: Places::new(),
            reader: Mutex::new(reader),
            reads: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            compared: Mutex::default(),
            send,
        }))
    }

    /// The database as it is now.
    pub(crate) async fn view(&self) -> Result<Arc<View>, Problem> {
        self.forget_when_idle();
        self.blocking(Reader::look).await
    }

    /// Both sides as they are now, compared.
    pub(crate) async fn compared(&self) -> Result<Arc<Compared>, Problem> {
        let (seen, view) = (self.seen()?, self.view().await?);
        let held = self.compared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(held) = held.filter(|held| held.is_of(&seen, &view)) {
            return Ok(held);
        }
        let compared = Arc::new(self.apart(move || Compared::of(seen, view, now())).await?);
        *self.compared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&compared));
        Ok(compared)
    }

    /// Reads of the store what a view does not hold.
    pub(crate) async fn store<T: std::marker::Send + 'static>(
        &self,
        read: impl FnOnce(&mut Store) -> Result<T, StoreError> + std::marker::Send + 'static,
    ) -> Result<T, Problem> {
        self.blocking(|reader| read(reader.store())).await
    }

    /// Runs what takes time away from the threads that answer.
    pub(crate) async fn apart<T: std::marker::Send + 'static>(
        &self,
        work: impl FnOnce() -> T + std::marker::Send + 'static,
    ) -> Result<T, Problem> {
        let done = tokio::task::spawn_blocking(|| caught::catch(work)).await;
        done.map_err(|_| Problem::too_many("this server is stopping"))?.ok_or_else(caught::broken)
    }

    async fn blocking<T: std::marker::Send + 'static>(
        &self,
        read: impl FnOnce(&mut Reader) -> Result<T, StoreError> + std::marker::Send + 'static,
    ) -> Result<T, Problem> {
        let site = self.clone();
        let read = move || read(&mut site.reader.lock().unwrap_or_else(PoisonError::into_inner));
        self.apart(read).await?.map_err(|error| super::desk::Refused::from(error).into())
    }

    /// What the last pass saw.
    pub(crate) fn seen(&self) -> Result<Arc<Seen>, Problem> {
        self.board.seen().ok_or_else(|| {
            let status = axum::http::StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "starting", "the first comparison is not done yet")
        })
    }

    /// Has the owner of the store do something, and waits for how it went.
    pub(crate) async fn order(&self, ask: Ask) -> Result<Done, Problem> {
        let crowded = || Problem::too_many("more writes are waiting than are taken at once");
        let _place = self.writes.try_acquire().map_err(|_| crowded())?;
        if !self.write_rate.take() {
            return Err(Problem::too_many("more writes than are taken in a second"));
        }
        let (reply, answer) = oneshot::channel();
        let gone = || Problem::too_many("this server is stopping");
        if !(self.send)(Order { ask, reply }) {
            return Err(gone());
        }
        Ok(answer.await.map_err(|_| gone())??)
    }

    /// A view of 100,000 services is large: it is not kept while nobody looks.
    fn forget_when_idle(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.watched.swap(true, Ordering::Relaxed) {
            return;
        }
        let site = self.clone();
        tokio::spawn(async move {
            let mut before = None;
            while before != Some(site.reads.load(Ordering::Relaxed)) {
                before = Some(site.reads.load(Ordering::Relaxed));
                tokio::time::sleep(settings::FORGET_VIEW_AFTER).await;
            }
            site.watched.store(false, Ordering::Relaxed);
            site.reader.lock().unwrap_or_else(PoisonError::into_inner).forget();
            *site.compared.lock().unwrap_or_else(PoisonError::into_inner) = None;
        });
    }
}

/// Seconds since the epoch.
pub(crate) fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
