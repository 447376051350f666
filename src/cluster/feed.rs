//! What passes between the API's side and the owner of the store: the newest source in, the newest findings out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::model::SourceDigest;
use crate::report::SyncReport;
use crate::source::{Declared, SourceError};

/// The newest that either side has for the other. What is older is of no use to anybody, so there is no queue.
#[derive(Clone)]
pub struct Feed {
    newest: Arc<Mutex<Newest>>,
    wake: Arc<dyn Fn(Wish) + Send + Sync>,
    seen: watch::Sender<Option<Arc<Seen>>>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

/// What the owner of the store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The source is another one, or not to be had.
    Look,
    /// Everything is to be compared anew.
    Compare,
}

#[derive(Default)]
struct Newest {
    source: Option<Result<Arc<Declared>, Arc<SourceError>>>,
    /// What the source asked for last; kept while it is not to be had.
    source_requested_at: Option<String>,
    store: StoreWishes,
    /// The request that came last, from whichever object.
    requested_at: Option<String>,
}

/// What the agent's own `OxideStore` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreWishes {
    pub(super) suspended: bool,
    pub(super) requested_at: Option<String>,
    pub(super) generation: Option<i64>,
}

/// What holds at the moment when a pass begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Whether the `OxideStore` asks to write nothing.
    pub store_suspended: bool,
    /// The generation of the `OxideStore` that says so.
    pub store_generation: Option<i64>,
    /// The last request for a full comparison.
    pub requested_at: Option<String>,
}

/// What a pass found, with what it was made for.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it found.
    pub report: Arc<SyncReport>,
    /// The source's generation and version.
    pub generation: Option<i64>,
    /// The source's version, as the API server counts them.
    pub resource_version: Option<String>,
    /// What held when the pass began; a request counts as answered only by a pass that compared.
    pub wishes: Wishes,
    /// The newest revision that the store has.
    pub revision: Option<i64>,
    /// The digest of the last source that was valid.
    pub digest: Option<SourceDigest>,
    /// Whether writes are suspended by an object.
    pub suspended: bool,
    /// Whether the orchestrator runs with what the database holds; none when nobody asks it.
    pub consumer: Option<bool>,
    /// What was written into the source last, and how many times something was: told once each.
    pub promoted: (u64, Vec<String>),
    /// Why edits could not be promoted.
    pub blocked: Vec<String>,
}

#[cfg(test)]
impl Seen {
    /// What a pass that ended so saw, and nothing else.
    pub(super) fn ended(outcome: crate::report::Outcome) -> Self {
        let mut report = SyncReport::new("oxideconfig:a/b", "/data/config.db", 0.0);
        report.outcome = outcome;
        Self {
            report: report.into(),
            generation: Some(2),
            resource_version: None,
            wishes: Wishes::default(),
            revision: None,
            digest: None,
            suspended: false,
            consumer: None,
            promoted: (0, Vec::new()),
            blocked: Vec::new(),
        }
    }
}

impl Feed {
    /// `wake` is called whenever the owner of the store should look.
    pub fn new(wake: impl Fn(Wish) + Send + Sync + 'static) -> Self {
        Self { newest: Arc::default(), wake: Arc::new(wake), seen: watch::channel(None).0 }
    }

    /// Hands over the source, or why there is none. The same words again wake nobody.
    pub(super) fn source(&self, found: Result<Declared, Arc<SourceError>>) {
        let found = found.map(Arc::new);
        let wish = {
            let mut newest = self.lock();
            if newest.source.as_ref().is_some_and(|known| same(known, &found)) {
                return;
            }
            let known = newest.source.is_some();
            let asked = found.as_ref().ok().and_then(|declared| declared.requested_at.clone());
            newest.source = Some(found);
            let is_new = asked.is_some() && asked != newest.source_requested_at;
            if is_new {
                newest.source_requested_at.clone_from(&asked);
                newest.requested_at = asked;
            }
            if is_new && known { Wish::Compare } else { Wish::Look }
        };
        (self.wake)(wish);
    }

    /// Notes what the agent's own `OxideStore` asks for. What it asked for before we met was asked of somebody else.
    pub(super) fn store(&self, wishes: StoreWishes, first: bool) {
        let compare = {
            let mut newest = self.lock();
            let asks = wishes.requested_at.is_some() && wishes.requested_at != newest.store.requested_at;
            let edited = !first && wishes.generation != newest.store.generation;
            let changed = edited || wishes.suspended != newest.store.suspended;
            if asks && !first {
                newest.requested_at.clone_from(&wishes.requested_at);
            }
            newest.store = wishes;
            changed || (asks && !first)
        };
        if compare {
            (self.wake)(Wish::Compare);
        }
    }

    /// The newest source; none before the API server answered or failed to for the first time.
    pub fn newest(&self) -> Option<Result<Arc<Declared>, Arc<SourceError>>> {
        self.lock().source.clone()
    }

    /// What is asked for now, besides what the source says.
    pub fn wishes(&self) -> Wishes {
        let newest = self.lock();
        Wishes {
            store_suspended: newest.store.suspended,
            store_generation: newest.store.generation,
            requested_at: newest.requested_at.clone(),
        }
    }

    /// Hands over what a pass found. Of the orchestrator only its own thread knows.
    pub fn found(&self, seen: Seen) {
        self.seen.send_modify(|newest| {
            let consumer = newest.as_ref().and_then(|newest| newest.consumer);
            *newest = Some(Arc::new(Seen { consumer, ..seen }));
        });
    }

    /// Notes whether the orchestrator runs with what the database holds.
    pub fn consumer(&self, in_sync: bool) {
        self.seen.send_if_modified(|seen| match seen {
            Some(seen) if seen.consumer != Some(in_sync) => {
                *seen = Arc::new(Seen { consumer: Some(in_sync), ..Seen::clone(seen) });
                true
            }
            _ => false,
        });
    }

    pub(super) fn follow(&self) -> watch::Receiver<Option<Arc<Seen>>> {
        self.seen.subscribe()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether both say the same. A source's version changes with its status, too, and is no news by itself.
fn same(
    one: &Result<Arc<Declared>, Arc<SourceError>>,
    two: &Result<Arc<Declared>, Arc<SourceError>>,
) -> bool {
    match (one, two) {
        (Ok(one), Ok(two)) => one.says_the_same_as(two),
        (Err(one), Err(two)) => one.to_string() == two.to_string(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::model::SourceSnapshot;

    fn declared(text: &str, version: &str, requested_at: Option<&str>) -> Declared {
        Declared {
            snapshot: SourceSnapshot::of("oxideconfig:a/b", "oxideconfig:a/b", text).into(),
            secrets: Arc::default(),
            policy: None,
            suspended: false,
            requested_at: requested_at.map(str::to_owned),
            generation: Some(1),
            resource_version: Some(version.to_owned()),
        }
    }

    fn feed() -> (Feed, mpsc::Receiver<Wish>) {
        let (wishes, asked) = mpsc::channel();
        (Feed::new(move |wish| wishes.send(wish).expect("somebody listens")), asked)
    }

    #[test]
    fn only_another_source_wakes_the_owner() {
        let (feed, asked) = feed();
        feed.source(Ok(declared("a", "1", None)));
        feed.source(Ok(declared("a", "2", None)));
        feed.source(Ok(declared("b", "3", None)));
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), [Wish::Look, Wish::Look]);
    }

    #[test]
    fn a_request_asks_for_a_comparison_once() {
        let (feed, asked) = feed();
        feed.source(Ok(declared("a", "1", Some("then"))));
        feed.source(Ok(declared("a", "2", Some("now"))));
        let store = |at: &str| StoreWishes { requested_at: Some(at.into()), ..StoreWishes::default() };
        feed.store(store("before we met"), true);
        feed.store(store("now on the store"), false);
        feed.store(store("now on the store"), false);
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), [Wish::Look, Wish::Compare, Wish::Compare]);
        assert_eq!(feed.wishes().requested_at.as_deref(), Some("now on the store"));
    }

    #[test]
    fn a_source_that_was_away_does_not_ask_again_for_what_it_asked_for() {
        let (feed, asked) = feed();
        feed.source(Ok(declared("a", "1", Some("then"))));
        let object = "oxideconfig:a/b".parse::<crate::source::SourceSpec>().expect("a source");
        let object = object.object().expect("an object").clone();
        feed.source(Err(Arc::new(SourceError::NoObject { object })));
        feed.source(Ok(declared("a", "1", Some("then"))));
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), [Wish::Look, Wish::Look, Wish::Look]);
    }
}
