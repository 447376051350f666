//! How many requests are under way, counted apart for those who are logged in and for strangers.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::response::{IntoResponse as _, Response};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::problem::Problem;
use crate::settings;

/// The places of all requests.
#[derive(Debug)]
pub(crate) struct Places {
    known: Semaphore,
    /// Those of strangers, oldest first. What is sent to nobody any more has ended.
    strangers: Mutex<VecDeque<oneshot::Sender<()>>>,
}

/// The place of one request, for as long as it is answered.
#[derive(Debug)]
pub(crate) enum Place<'a> {
    /// Of somebody who is logged in.
    Known { _permit: SemaphorePermit<'a> },
    /// Of a stranger, until another one needs it.
    Stranger(oneshot::Receiver<()>),
}

impl Places {
    pub(crate) fn new() -> Self {
        Self { known: Semaphore::new(settings::MAX_REQUESTS), strangers: Mutex::default() }
    }

    /// Takes a place for somebody who is logged in.
    pub(crate) fn known(&self) -> Result<Place<'_>, Problem> {
        let crowded = |_| Problem::too_many("more requests are under way than are answered at once");
        Ok(Place::Known { _permit: self.known.try_acquire().map_err(crowded)? })
    }

    /// Takes a place for a stranger. One too many ends the oldest: a way in that is held by those who send nothing would
    /// be closed to all others.
    pub(crate) fn stranger(&self) -> Place<'static> {
        let (held, ended) = oneshot::channel();
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if strangers.len() >= settings::MAX_STRANGERS {
            strangers.retain(|stranger| !stranger.is_closed());
        }
        if strangers.len() >= settings::MAX_STRANGERS {
            strangers.pop_front();
        }
        strangers.push_back(held);
        Place::Stranger(ended)
    }
}

impl Place<'_> {
    /// Answers a request for as long as it has its place.
    pub(crate) async fn while_held(self, answer: impl Future<Output = Response>) -> Response {
        match self {
            Self::Known { .. } => answer.await,
            Self::Stranger(ended) => tokio::select! {
                answer = answer => answer,
                _ = ended => Problem::too_many("others who are not logged in came after this request").into_response(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn strangers_take_places_from_each_other_only() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let places = Places::new();
            let slow: Vec<_> = (0..=settings::MAX_STRANGERS).map(|_| places.stranger()).collect();
            let mut slow = slow.into_iter();
            let oldest = slow.next().expect("one").while_held(std::future::pending());
            assert_eq!(oldest.await.status(), StatusCode::TOO_MANY_REQUESTS);
            let newest = slow.next_back().expect("one").while_held(async { StatusCode::OK.into_response() });
            assert_eq!(newest.await.status(), StatusCode::OK);
            assert!(places.known().is_ok());
        });
    }
}
