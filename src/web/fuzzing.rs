//! The page and the API without a network, for `fuzz/`: a request as bytes in, an answer out.

#![expect(clippy::disallowed_methods, reason = "it stands in for the owner of the store")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use tower::ServiceExt as _;

use super::desk::{Desk, Order, carry_out};
use super::{Board, Seen, Web, site, token_beside};
use crate::model::{Policy, SourceSnapshot};
use crate::source::{Secrets, SourceSpec};
use crate::store::{Access, KeySources, Store, StoreError};
use crate::sync::{Input, Mode, Pass, sync_once};

/// What stands for the token in a request.
const TOKEN: &str = "TOKEN";
/// An event stream has no end.
const ENDLESS: &str = "text/event-stream";

/// The page of a store that is kept equal to a `default.yaml`.
pub struct Page {
    owner: Arc<Owner>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: String,
    /// The body; nothing of an event stream.
    pub body: Vec<u8>,
}

struct Owner {
    folder: PathBuf,
    database: PathBuf,
    board: Arc<Board>,
    store: Mutex<Store>,
    wrote: AtomicBool,
}

impl Page {
    /// Brings `default.yaml` in a folder into a database.
    pub fn of(folder: &Path, database: &Path) -> Result<Self, StoreError> {
        let store = Store::at(database, Access::Write, &KeySources::default())?;
        let owner = Arc::new(Owner {
            folder: folder.to_owned(),
            database: database.to_owned(),
            board: Arc::default(),
            store: Mutex::new(store),
            wrote: AtomicBool::new(false),
        });
        owner.pass(Mode::Apply);
        Ok(Self { owner })
    }

    /// Whether a request changed something since.
    pub fn wrote(&self) -> bool {
        self.owner.wrote.load(Ordering::Relaxed)
    }

    /// Answers a request that is written as HTTP/1.1 writes it; `None` for bytes that are no request. The word `TOKEN`
    /// stands for the token.
    pub fn answer(&self, request: &[u8]) -> Option<Answer> {
        let (owner, database) = (Arc::clone(&self.owner), &self.owner.database);
        let send: site::Send = Box::new(move |order| owner.take(order));
        let board = Arc::clone(&self.owner.board);
        let web = Web::new(database, KeySources::default(), Vec::new(), board, send, None).ok()?;
        let token = token_beside(database)?;
        let request = parsed(request, &token)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async {
            let Ok(answer) = web.routes().oneshot(request).await;
            let content_type = answer.headers().get(header::CONTENT_TYPE);
            let content_type = content_type
                .map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned())
                .unwrap_or_default();
            let status = answer.status().as_u16();
            let body = if content_type.starts_with(ENDLESS) {
                Vec::new()
            } else {
                to_bytes(answer.into_body(), usize::MAX).await.ok()?.to_vec()
            };
            Some(Answer { status, content_type, body })
        })
    }
}

impl Owner {
    fn take(&self, order: Order) -> bool {
        let applies = order.ask.mode == Mode::Apply;
        let (at, secrets) = (SourceSpec::File(self.folder.join("default.yaml")), Secrets::new(&self.folder));
        let source = self.source().map(Arc::new);
        let done = {
            let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            let mut desk = Desk {
                store: &mut store,
                at: &at,
                source,
                policy: &Policy::default(),
                secrets: &secrets,
                now: site::now(),
            };
            carry_out(&mut desk, &order.ask)
        };
        if applies {
            self.wrote.store(true, Ordering::Relaxed);
            self.pass(Mode::Plan);
        }
        order.reply.send(done).is_ok()
    }

    fn pass(&self, mode: Mode) {
        let Some(source) = self.source() else { return };
        let (policy, secrets) = (Policy::default(), Secrets::new(&self.folder));
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let input = Input { source: &source, known: None, secrets: &secrets };
        let passed = sync_once(&input, &mut store, &Pass { mode, ..Pass::apply(&policy, "fuzz", "fuzz") });
        let (report, source) = (Arc::new(passed.report), Some(Arc::new(source)));
        self.board.post(Seen { report, source, desired: passed.desired, policy });
    }

    fn source(&self) -> Option<SourceSnapshot> {
        let path = self.folder.join("default.yaml");
        let bytes = std::fs::read(&path).ok()?;
        Some(SourceSnapshot::of(format!("file:{}", path.display()), "default.yaml", bytes))
    }
}

/// Reads the head line by line and takes the rest as the body. Without a host, it is asked for as `localhost`.
fn parsed(request: &[u8], token: &str) -> Option<Request<Body>> {
    let end = request.windows(2).position(|two| two == b"\n\n").unwrap_or(request.len());
    let head = std::str::from_utf8(&request[..end]).ok()?.replace(TOKEN, token);
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let mut built = Request::builder().method(first.next()?).uri(first.next()?);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        built = built.header(name, value.trim());
    }
    if built.headers_ref().is_some_and(|headers| !headers.contains_key(header::HOST)) {
        built = built.header(header::HOST, "localhost");
    }
    let body = request.get(end + 2..).unwrap_or_default();
    built.body(Body::from(body.to_vec())).ok()
}
