//! Connections: how many, and how long each may take to say what it wants.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use super::caught;
use crate::settings;

/// What clients may take of us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once; one more closes the oldest, so that nobody shuts others out by holding many.
    pub(crate) connections: usize,
    /// How long the head of a request may take to arrive; also how long a connection may be idle.
    pub(crate) header_timeout: Duration,
    /// The largest head of a request, in bytes.
    pub(crate) header_bytes: usize,
}

impl Limits {
    /// Those of the web page.
    pub(crate) fn of_page() -> Self {
        Self {
            connections: share_of_descriptors(settings::MAX_CONNECTIONS),
            header_timeout: settings::HEADER_TIMEOUT,
            header_bytes: settings::MAX_HEADER_BYTES,
        }
    }

    /// Those of health and metrics, which everybody may ask for.
    pub(crate) fn of_health() -> Self {
        Self {
            connections: share_of_descriptors(settings::MAX_HEALTH_CONNECTIONS),
            header_timeout: settings::HEALTH_HEADER_TIMEOUT,
            header_bytes: settings::MAX_HEALTH_HEADER_BYTES,
        }
    }
}

/// So many connections, and at most a quarter of the process's descriptors: the store and the watches need the others.
fn share_of_descriptors(wanted: usize) -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let quarter = descriptors.map_or(usize::MAX, |all| usize::try_from(all / 4).unwrap_or(usize::MAX));
    wanted.min(quarter).max(1)
}

/// Serves until the process ends. A client that is slow to ask is cut off.
pub(crate) async fn serve(listener: TcpListener, routes: Router, limits: Limits) {
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files, for instance: others will close theirs.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(settings::ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        if open.len() >= limits.connections {
            open.retain(|connection| !connection.is_finished());
        }
        if open.len() >= limits.connections
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(connection(stream, routes.clone(), limits)));
    }
}

async fn connection(stream: TcpStream, routes: Router, limits: Limits) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let routes = routes.clone();
        let answer = caught::answered(answer(routes, request.map(axum::body::Body::new)));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let _ = stream.set_nodelay(true);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes)
        .serve_connection(TokioIo::new(stream), service);
    // What panics while an answer is being sent, as in an event stream, ends that answer.
    let _ = caught::unless_it_panics(served).await;
}

async fn answer(routes: Router, request: Request) -> axum::response::Response {
    match routes.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use axum::routing::get;

    use super::*;

    /// How many panics would not have ended the process.
    static CAUGHT: AtomicUsize = AtomicUsize::new(0);

    fn mistake() -> ! {
        CAUGHT.fetch_add(usize::from(caught::is_caught()), Ordering::Relaxed);
        panic!("what only the log says")
    }

    async fn panics() -> &'static str {
        mistake()
    }

    async fn panics_later() -> &'static str {
        tokio::task::yield_now().await;
        mistake()
    }

    async fn panics_while_sending() -> axum::body::Body {
        let parts =
            futures_util::stream::poll_fn(|_| -> Poll<Option<Result<&str, Infallible>>> { mistake() });
        axum::body::Body::from_stream(parts)
    }

    #[test]
    fn a_panic_in_a_request_is_answered_and_so_is_the_next_request() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("bound");
        let routes = Router::new()
            .route("/now", get(panics))
            .route("/later", get(panics_later))
            .route("/sending", get(panics_while_sending))
            .route("/fine", get(|| async { "fine" }));
        let asked = runtime.block_on(async {
            tokio::spawn(serve(listener, routes, Limits::of_health()));
            tokio::task::spawn_blocking(move || ask(address)).await
        });
        let answers = asked.expect("asked");
        let statuses: Vec<&str> =
            answers.matches("HTTP/1.1 500").chain(answers.matches("HTTP/1.1 200")).collect();
        assert_eq!(statuses, ["HTTP/1.1 500", "HTTP/1.1 500", "HTTP/1.1 200", "HTTP/1.1 200"], "{answers}");
        assert!(
            answers.contains("urn:oxide-operator:broken") && !answers.contains("only the log"),
            "{answers}"
        );
        assert_eq!(CAUGHT.load(Ordering::Relaxed), 3);
        assert!(!caught::is_caught(), "only while a request is at work");
    }

    /// Asks on one connection, which is kept, too; returns all that was answered.
    fn ask(address: std::net::SocketAddr) -> String {
        let mut sending = TcpStream::connect(address).expect("listens");
        write!(sending, "GET /sending HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        sending.read_to_end(&mut Vec::new()).expect("ended");
        let mut stream = TcpStream::connect(address).expect("listens");
        for path in ["/now", "/fine", "/later"] {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        }
        write!(stream, "GET /fine HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answers = String::new();
        stream.read_to_string(&mut answers).expect("answered");
        answers
    }
}
