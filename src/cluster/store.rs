//! The agent's own `OxideStore`: made when it is missing, its status written when it changed, its wishes heard.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use kube::{Client, Error, Resource as _, ResourceExt as _};
use tokio::sync::{mpsc, watch};

use super::event::{Events, between};
use super::feed::{Feed, Seen, StoreWishes};
use super::follow::{News, Selector, Wait, follow, is_unauthorized};
use super::identity::{Identity, label_of};
use super::status::status_of;
use super::{FIELD_MANAGER, chain, within};
use crate::crd::{
    CONFIG_LABEL, INSTANCE, OxideStore, OxideStoreSpec, OxideStoreStatus, REQUESTED_AT, conditions_with_times,
};
use crate::settings;
use crate::source::ObjectSpec;

/// Reports what passes find, until this account is no longer known.
pub(super) async fn report(client: &Client, object: &ObjectSpec, feed: &Feed, identity: &Identity) -> Error {
    let namespace = identity.namespace.as_deref().unwrap_or(&object.namespace);
    let api: Api<OxideStore> = Api::namespaced(client.clone(), namespace);
    let (sender, mut heard) = mpsc::unbounded_channel();
    let selector = Selector::Name(identity.store.clone());
    let followed = follow(&api, &selector, |news| {
        let _ = sender.send(news);
    });
    let events = Events::new(client, &identity.store);
    let mut own = Own {
        api: &api,
        object,
        feed,
        identity,
        events,
        known: None,
        met: false,
        holds: false,
        said_taken: false,
        told: None,
    };
    let mut seen = feed.follow();
    let told = async {
        let (mut wait, mut said) = (Wait::default(), None);
        loop {
            match own.turn(&mut heard, &mut seen).await {
                Ok(()) => (wait, said) = (Wait::default(), None),
                Err(error) if is_unauthorized(&error) => return error,
                Err(error) => {
                    let why = chain(&error);
                    if said.as_ref() != Some(&why) {
                        tracing::warn!(
                            store = identity.store,
                            why,
                            "the OxideStore could not be written; tried again"
                        );
                    }
                    said = Some(why);
                    wait.once(None).await;
                }
            }
        }
    };
    tokio::select! {
        error = followed => error,
        error = told => error,
    }
}

struct Own<'a> {
    api: &'a Api<OxideStore>,
    object: &'a ObjectSpec,
    feed: &'a Feed,
    identity: &'a Identity,
    events: Events,
    /// The object as the API server has it.
    known: Option<OxideStore>,
    /// Whether the object was heard of before.
    met: bool,
    /// Whether this process reports in the object, and whether it was said that another one does.
    holds: bool,
    said_taken: bool,
    /// What was last told in full, so that events tell only what is new.
    told: Option<(OxideStoreStatus, Arc<Seen>)>,
}

impl Own<'_> {
    /// Waits for something to do, and does it.
    async fn turn(
        &mut self,
        heard: &mut mpsc::UnboundedReceiver<News<OxideStore>>,
        seen: &mut watch::Receiver<Option<Arc<Seen>>>,
    ) -> Result<(), Error> {
        tokio::select! {
            Some(news) = heard.recv() => self.hear(news),
            Ok(()) = seen.changed() => {}
        }
        while let Ok(news) = heard.try_recv() {
            self.hear(news);
        }
        let Some(newest) = seen.borrow_and_update().clone() else { return Ok(()) };
        let written = self.write(&newest).await;
        if written.is_err() {
            // What could not be told is still to be told.
            seen.mark_changed();
        }
        written
    }

    fn hear(&mut self, news: News<OxideStore>) {
        match news {
            News::All(mut all) => self.known = all.pop(),
            News::Changed(store) => self.known = Some(store),
            News::Gone(_) => self.known = None,
            News::Lost(_) | News::Back => return,
        }
        if let Some(store) = &self.known {
            if self.is_taken(store) && !std::mem::replace(&mut self.said_taken, true) {
                tracing::error!(
                    store = self.identity.store,
                    "another agent reports under this name; this one falls silent: start one of them with another --store-name"
                );
            }
            let wishes = StoreWishes {
                suspended: store.spec.suspend == Some(true),
                requested_at: store.annotations().get(REQUESTED_AT).cloned(),
                generation: store.metadata.generation,
            };
            self.feed.store(wishes, !std::mem::replace(&mut self.met, true));
        }
    }

    /// Makes the object and its status what was seen. Writes nothing when they are.
    async fn write(&mut self, seen: &Arc<Seen>) -> Result<(), Error> {
        if self.known.as_ref().is_some_and(|store| self.is_taken(store)) {
            return Ok(());
        }
        let store = match self.known.take() {
            Some(store) if self.is_ours(&store) => store,
            _ => self.create().await?,
        };
        self.holds = true;
        let before = store.status.clone().unwrap_or_default();
        let mut status = status_of(seen);
        // A store that was only just made asks for nothing that a pass could have missed.
        status.observed_generation = status.observed_generation.or(store.metadata.generation);
        status.revision = status.revision.or(before.revision);
        status.last_handled_reconcile_at =
            status.last_handled_reconcile_at.or_else(|| before.last_handled_reconcile_at.clone());
        let now = now();
        status.conditions = conditions_with_times(status.conditions, &before.conditions, &now);
        for condition in &mut status.conditions {
            condition.observed_generation = status.observed_generation;
        }
        let told = self.told.as_ref();
        let happened = between(
            told.map(|(status, _)| status).or(store.status.as_ref()),
            &status,
            (told.map(|(_, seen)| &**seen), seen),
        );
        if status == before {
            self.known = Some(store);
        } else {
            let patch = serde_json::json!({
                "apiVersion": OxideStore::api_version(&()), "kind": OxideStore::kind(&()), "status": status,
            });
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            let patch = Patch::Apply(&patch);
            let patched = self.api.patch_status(&self.identity.store, &parameters, &patch);
            self.known = Some(within(settings::API_ANSWERS_WITHIN, patched).await?);
        }
        if !happened.is_empty()
            && let Some(store) = &self.known
        {
            self.events.send(&store.object_ref(&()), happened).await;
        }
        self.told = Some((status, Arc::clone(seen)));
        // A burst of passes is one status: the newest.
        tokio::time::sleep(settings::STATUS_AT_MOST_EVERY).await;
        Ok(())
    }

    /// Whether another process began to report in the object after this one did: two would write against each other.
    fn is_taken(&self, store: &OxideStore) -> bool {
        let instance = store.annotations().get(INSTANCE);
        self.holds && instance.is_some_and(|instance| *instance != self.identity.instance)
    }

    /// Whether the object says what it should: another pod of the same name left one behind, or somebody changed it.
    fn is_ours(&self, store: &OxideStore) -> bool {
        let wanted = self.wanted();
        store.annotations().get(INSTANCE) == Some(&self.identity.instance)
            && store.spec.source == wanted.spec.source
            && store.spec.database == wanted.spec.database
            && store.labels().get(CONFIG_LABEL) == wanted.labels().get(CONFIG_LABEL)
            && wanted.owner_references().iter().all(|owner| store.owner_references().contains(owner))
    }

    async fn create(&self) -> Result<OxideStore, Error> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let (wanted, limit) = (self.wanted(), settings::API_ANSWERS_WITHIN);
        within(limit, self.api.patch(&self.identity.store, &parameters, &Patch::Apply(&wanted))).await
    }

    fn wanted(&self) -> OxideStore {
        let spec = OxideStoreSpec {
            source: self.object.to_string(),
            database: self.identity.database.clone(),
            suspend: None,
        };
        let mut store = OxideStore::new(&self.identity.store, spec);
        store.metadata = ObjectMeta {
            name: Some(self.identity.store.clone()),
            annotations: Some([(INSTANCE.to_owned(), self.identity.instance.clone())].into()),
            labels: Some([(CONFIG_LABEL.to_owned(), label_of(self.object))].into()),
            owner_references: self.identity.owner().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        store
    }
}

/// Now, as Kubernetes writes times: to the second.
pub(super) fn now() -> String {
    let second = Duration::from_secs(1).as_nanos();
    let now = Timestamp::now();
    Timestamp::from_nanosecond(
        now.as_nanosecond() - now.as_nanosecond() % i128::try_from(second).unwrap_or(1),
    )
    .unwrap_or(now)
    .to_string()
}
