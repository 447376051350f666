//! The Kubernetes API: sources that are objects, and the objects that say what was found.
//!
//! ```text
//! ConfigMap, OxideConfig ─┐                                  ┌─▶ OxideStore.status, Events
//! Secrets that they name ─┼─ follow ─▶ Feed ─▶ run ─▶ Seen ──┤
//! own OxideStore ─────────┘                                  └─▶ OxideConfig.status (who holds the Lease)
//! ```
//!
//! Nothing here decides anything about a configuration: an object arrives as the same bytes that a file would hold, and
//! a report leaves as it was made. Everything is asynchronous and shares the one thread that also serves health; the
//! owner of the store takes from the [`Feed`] what is newest whenever it is woken.

#![expect(
    clippy::disallowed_methods,
    reason = "it talks to the API server, reads the clock and the pod's environment"
)]

mod declared;
mod event;
mod feed;
mod follow;
mod identity;
mod lease;
mod promote;
mod review;
mod status;
mod store;
mod summary;

use std::time::{Duration, SystemTime};

use kube::{Client, Config, Error};

use crate::settings;
use crate::source::{ObjectSpec, SourceError};
pub use declared::read;
pub use feed::{Feed, Seen, Wish, Wishes};
pub use identity::Identity;
pub use promote::{PromoteError, replace};
pub use review::{Reviewed, Reviewer};

/// The name under which the API server knows what this program sets.
pub const FIELD_MANAGER: &str = "oxide-operator";

/// Follows the source, reports the store; until the process ends.
pub async fn serve(object: ObjectSpec, feed: Feed, identity: Identity) {
    let mut wait = follow::Wait::default();
    loop {
        match client().await {
            Ok(client) => {
                let error = tokio::select! {
                    error = declared::watch(&client, &object, &feed) => error,
                    error = store::report(&client, &object, &feed, &identity) => error,
                    error = summary::sum_up(&client, &object, &identity) => error,
                };
                tracing::warn!(error = %chain(&error), "the API server no longer knows this account; logging in anew");
            }
            Err(error) => {
                feed.source(Err(source_error(&object, &error).into()));
            }
        }
        wait.once(None).await;
    }
}

/// Leaves to others what they may take over at once. Whoever cannot be told in time finds out.
pub async fn leave(object: &ObjectSpec, identity: &Identity) {
    let told = async { summary::give_up(&client().await?, object, identity).await };
    match tokio::time::timeout(settings::LEAVE_WITHIN, told).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = %chain(&error), "the Lease could not be given up"),
        Err(_) => tracing::debug!("the Lease could not be given up in time"),
    }
}

/// Logs in as the kubeconfig says, or as the pod's service account.
async fn client() -> Result<Client, Error> {
    let mut config = Config::infer().await.map_err(Error::InferConfig)?;
    // A connection that says nothing any more ends a watch, and a call with it: see `within` for calls.
    config.read_timeout = Some(settings::API_SILENT_FOR);
    Client::try_from(config)
}

/// Waits for an answer of the API server, but not for ever: a connection may be half open.
async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Error::Service(format!("no answer within {} s", limit.as_secs()).into());
    tokio::time::timeout(limit, call).await.map_err(late)?
}

/// Runs one errand at the API server, from code that is not asynchronous.
fn block_on<T>(errand: impl Future<Output = T>) -> std::io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(errand))
}

/// An error with everything that caused it, on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(Error::Api(status)) = error.downcast_ref() {
        return status.message.clone();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What an error of the API server means for a source.
fn source_error(object: &ObjectSpec, error: &Error) -> SourceError {
    let (object, why) = (object.clone(), chain(error));
    match error {
        Error::Api(status) if status.code == 404 => SourceError::NoObject { object },
        Error::Api(status) if matches!(status.code, 401 | 403) => SourceError::Refused { object, why },
        Error::InferConfig(error) => SourceError::NoLogin { object, why: error.to_string() },
        _ => SourceError::Unreachable { object, why },
    }
}

/// A number from 0 to 1 that differs between agents and moments.
fn jitter() -> f64 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    f64::from(nanos.wrapping_mul(2_654_435_761) ^ std::process::id().wrapping_mul(40_503))
        / f64::from(u32::MAX)
}
