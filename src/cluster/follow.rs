//! Following objects of the API server: all that fit a selector, from now on, whatever happens to the connection.
//!
//! Beside `kube::runtime::watcher` this does two things more. A watch that is refused with HTTP 410 begins anew from a
//! list (kube-rs/kube#1042: the stock watcher asks for the same version for ever). And a list that knows less than was
//! heard already is asked for once more before anybody believes it. See `docs/decisions/0012-watching-the-api.md`.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Error, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::within;
use crate::settings;

/// Which objects are followed.
#[derive(Clone, Debug)]
pub(super) enum Selector {
    /// The one with this name.
    Name(String),
    /// All with this label.
    Label(String),
}

/// What was heard.
#[derive(Debug)]
pub(super) enum News<K> {
    /// These are all, as of one moment.
    All(Vec<K>),
    /// This one is new, or changed.
    Changed(K),
    /// This one is gone.
    Gone(K),
    /// The API server does not answer, or refuses; it is asked again.
    Lost(Error),
    /// It answers again, and nothing was missed.
    Back,
}

/// Follows objects and tells what is heard. Ends only when this account is no longer known to the API server, so that
/// whoever called can log in anew.
pub(super) async fn follow<K>(api: &Api<K>, selector: &Selector, mut tell: impl FnMut(News<K>)) -> Error
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut known = Known::default();
    let mut wait = Wait::default();
    let mut lost = false;
    loop {
        let (began, watches) = (Instant::now(), known.version.is_some());
        let step = match known.version.clone() {
            None => list(api, selector, &mut known).await.map(|all| tell(News::All(all))),
            Some(version) => {
                let back = lost;
                watch(api, selector, &version, &mut known, &mut tell, back).await
            }
        };
        // Only a watch that lasted shows that all is well again: one that ends as soon as it begins, or is refused
        // because its version is gone already, would otherwise be asked for without a pause.
        let lasted = began.elapsed() >= settings::ASK_API_FIRST;
        if step.is_ok() {
            lost = false;
        }
        match step {
            Ok(()) if watches && lasted => wait = Wait::default(),
            Ok(()) if watches => wait.once(None).await,
            Ok(()) => {}
            Err(error) if watches && is_gone(&error) => {
                known.version = None;
                if !lasted {
                    wait.once(None).await;
                }
            }
            Err(error) if is_unauthorized(&error) && wait.count >= settings::LOGIN_AFTER => return error,
            // A connection that breaks is mended at once as a rule, and every agent breaks with its API server: only what
            // fails a second time is worth telling.
            Err(error) if watches && wait.count == 0 => wait.once(retry_after(&error)).await,
            Err(error) => {
                let asked_for = retry_after(&error);
                lost = true;
                tell(News::Lost(error));
                wait.once(asked_for).await;
            }
        }
    }
}

/// What was heard so far: the version up to which, and which version of which object.
#[derive(Default)]
struct Known {
    version: Option<String>,
    objects: BTreeMap<String, u64>,
}

impl Known {
    fn note(&mut self, name: String, version: Option<&str>) {
        if let Some(version) = version.and_then(|text| text.parse().ok()) {
            self.objects.insert(name, version);
        }
    }

    /// Whether a list knows less than was heard already.
    fn is_ahead_of<K: Resource>(&self, listed: &[K]) -> bool {
        let version = |name: &str| {
            let found = listed.iter().find(|object| object.meta().name.as_deref() == Some(name))?;
            found.meta().resource_version.as_ref()?.parse::<u64>().ok()
        };
        self.objects.iter().any(|(name, known)| version(name).is_none_or(|listed| listed < *known))
    }
}

/// Lists what fits, from the API server's own store (no version asked for means the newest there is).
async fn list<K>(api: &Api<K>, selector: &Selector, known: &mut Known) -> Result<Vec<K>, Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let parameters = match selector {
        Selector::Name(name) => ListParams::default().fields(&format!("metadata.name={name}")),
        Selector::Label(label) => ListParams::default().labels(label),
    };
    let ask = || within(settings::API_ANSWERS_WITHIN, api.list(&parameters));
    let mut listed = ask().await?;
    if known.is_ahead_of(&listed.items) {
        listed = ask().await?;
    }
    known.version = listed.metadata.resource_version;
    known.objects.clear();
    for object in &listed.items {
        known.note(object.name_any(), object.meta().resource_version.as_deref());
    }
    Ok(listed.items)
}

/// Watches from a version on, until the API server ends the watch (`Ok`), as it does every few minutes.
async fn watch<K>(
    api: &Api<K>,
    selector: &Selector,
    version: &str,
    known: &mut Known,
    mut tell: impl FnMut(News<K>),
    was_lost: bool,
) -> Result<(), Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let parameters = match selector {
        Selector::Name(name) => WatchParams::default().fields(&format!("metadata.name={name}")),
        Selector::Label(label) => WatchParams::default().labels(label),
    };
    let mut events = within(settings::API_ANSWERS_WITHIN, api.watch(&parameters, version)).await?.boxed();
    if was_lost {
        tell(News::Back);
    }
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version = object.meta().resource_version.clone();
                known.note(object.name_any(), version.as_deref());
                known.version = version.or(known.version.take());
                tell(News::Changed(object));
            }
            WatchEvent::Deleted(object) => {
                known.objects.remove(&object.name_any());
                known.version = object.meta().resource_version.clone().or(known.version.take());
                tell(News::Gone(object));
            }
            WatchEvent::Bookmark(bookmark) => known.version = Some(bookmark.metadata.resource_version),
            WatchEvent::Error(status) => return Err(Error::Api(status)),
        }
    }
    Ok(())
}

/// Whether the version that was asked for is no longer kept: in the stream, or as the answer to the request.
fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 410)
}

pub(super) fn is_unauthorized(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 401) || matches!(error, Error::Auth(_))
}

pub(super) fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 403)
}

/// How long the API server asks to be left alone.
fn retry_after(error: &Error) -> Option<Duration> {
    let Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)).min(settings::ASK_API_LIMIT))
}

/// Waits between two tries, longer each time, and not the same as everybody else who waits.
#[derive(Default)]
pub(super) struct Wait {
    count: u32,
}

impl Wait {
    /// Waits once; at least as long as was asked for.
    pub(super) async fn once(&mut self, at_least: Option<Duration>) {
        let usual = settings::ASK_API_FIRST * 2u32.pow(self.count.min(10));
        self.count += 1;
        let usual = usual.min(settings::ASK_API_LIMIT).mul_f64(0.75 + 0.25 * super::jitter());
        tokio::time::sleep(at_least.map_or(usual, |wait| wait.max(usual))).await;
    }
}
