//! The agent's own `OxideStore`: made when it is missing, its status written when it changed, its wishes heard.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use kube::{Client, Error, Resource as _, ResourceExt as _};
use tokio::sync::{mpsc, watch};

use super::event::{Events, between};
use super::feed::{Feed, Seen};
use super::follow::{News, Selector, Wait, follow, is_unauthorized};
use super::identity::Identity;
use super::status::status_of;
use super::{FIELD_MANAGER, chain};
use crate::crd::{
    CONFIG_LABEL, OxideStore, OxideStoreSpec, OxideStoreStatus, REQUESTED_AT, conditions_with_times,
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
    let mut own = Own { client, api: &api, object, feed, identity, known: None, told: None };
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
    client: &'a Client,
    api: &'a Api<OxideStore>,
    object: &'a ObjectSpec,
    feed: &'a Feed,
    identity: &'a Identity,
    /// The object as the API server has it.
    known: Option<OxideStore>,
    /// What was last told in full, so that events tell only what is new.
    told: Option<OxideStoreStatus>,
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
            let requested = store.annotations().get(REQUESTED_AT).cloned();
            self.feed.store(store.spec.suspend == Some(true), requested);
        }
    }

    /// Makes the object and its status what was seen. Writes nothing when they are.
    async fn write(&mut self, seen: &Seen) -> Result<(), Error> {
        let store = match self.known.take() {
            Some(store) if self.is_ours(&store) => store,
            _ => self.create().await?,
        };
        let before = store.status.clone().unwrap_or_default();
        let mut status = status_of(seen);
        status.observed_generation = store.metadata.generation;
        status.revision = status.revision.or(before.revision);
        let now = now();
        status.conditions = conditions_with_times(status.conditions, &before.conditions, &now);
        for condition in &mut status.conditions {
            condition.observed_generation = store.metadata.generation;
        }
        let told = self.told.as_ref().or(store.status.as_ref());
        let happened = between(told, &status, seen);
        if status == before {
            self.known = Some(store);
        } else {
            let patch = serde_json::json!({
                "apiVersion": OxideStore::api_version(&()), "kind": OxideStore::kind(&()), "status": status,
            });
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            self.known =
                Some(self.api.patch_status(&self.identity.store, &parameters, &Patch::Apply(&patch)).await?);
        }
        if !happened.is_empty()
            && let Some(store) = &self.known
        {
            Events::new(self.client, &self.identity.store, store.object_ref(&())).send(happened).await;
        }
        self.told = Some(status);
        // A burst of passes is one status: the newest.
        tokio::time::sleep(settings::STATUS_AT_MOST_EVERY).await;
        Ok(())
    }

    /// Whether the object says what it should: another pod of the same name left one behind, or somebody changed it.
    fn is_ours(&self, store: &OxideStore) -> bool {
        let wanted = self.wanted();
        store.spec.source == wanted.spec.source
            && store.spec.database == wanted.spec.database
            && store.labels().get(CONFIG_LABEL) == wanted.labels().get(CONFIG_LABEL)
            && wanted.owner_references().iter().all(|owner| store.owner_references().contains(owner))
    }

    async fn create(&self) -> Result<OxideStore, Error> {
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.api.patch(&self.identity.store, &parameters, &Patch::Apply(&self.wanted())).await
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
            labels: Some([(CONFIG_LABEL.to_owned(), self.object.name.clone())].into()),
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
