//! A panic in a request is an answer of 500, and no other request notices. Everywhere else it ends the process, see
//! `run/panic.rs`: half an agent is worse than none.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;

thread_local! {
    /// Whether this thread is at work for a request that is caught.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread, now, is caught.
pub(crate) fn is_caught() -> bool {
    AT_WORK.get()
}

/// Does a part of a request; none when it panicked. What it shares with others stands behind locks that are looked into all
/// the same.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    let outer = AT_WORK.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    AT_WORK.set(outer);
    done.ok()
}

/// Answers a request, whatever happens.
pub(crate) async fn answered(answer: impl Future<Output = Response>) -> Response {
    unless_it_panics(answer).await.unwrap_or_else(|| broken().into_response())
}

/// Goes on with a future until it is ready; none once it panicked.
pub(crate) async fn unless_it_panics<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let caught = std::future::poll_fn(|context| match catch(|| work.as_mut().poll(context)) {
        Some(Poll::Ready(done)) => Poll::Ready(Some(done)),
        Some(Poll::Pending) => Poll::Pending,
        None => Poll::Ready(None),
    });
    caught.await
}

/// What is said of a panic: where it was stands in the log.
pub(crate) fn broken() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", "this server made a mistake")
        .hint("its log says where; please report it")
}
