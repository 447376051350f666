//! `OxideConfig.status`: the stores of one configuration, summed up by the agent that holds the Lease.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error, Resource as _, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::follow::{News, Selector, follow, is_forbidden, is_unauthorized};
use super::identity::{Identity, label_of};
use super::lease::Candidate;
use super::{FIELD_MANAGER, chain, jitter, within};
use crate::crd::{
    CONFIG_LABEL, Condition, OxideConfig, OxideConfigStatus, OxideStore, REQUESTED_AT, StoreCounts,
    conditions_with_times,
};
use crate::settings;
use crate::source::{ObjectKind, ObjectSpec};

/// Sums up while this agent holds the Lease; returns when this account is no longer known. A `ConfigMap` has no status,
/// so there is nothing to sum up into.
pub(super) async fn sum_up(client: &Client, object: &ObjectSpec, identity: &Identity) -> Error {
    if object.kind != ObjectKind::OxideConfig {
        return std::future::pending().await;
    }
    let leases: Api<Lease> = Api::namespaced(client.clone(), &object.namespace);
    let configs: Api<OxideConfig> = Api::namespaced(client.clone(), &object.namespace);
    let mut candidate = Candidate::new(&leases, lease_name(object), &identity.store);
    let mut stores = 0_i64;
    // A pod often comes before its configuration: that is looked for soon, then less and less often.
    let mut soon = settings::SUM_AT_MOST_EVERY;
    let mut forbidden = false;
    loop {
        match hold(&configs, object, &mut candidate, &mut stores).await {
            Ok(Hold::Nobodys) => {
                tokio::time::sleep(soon.min(look_again_after(stores))).await;
                soon *= 2;
                continue;
            }
            Ok(Hold::Ours) => {
                tracing::info!(
                    config = object.name,
                    "holding the Lease: summing up the stores of this configuration"
                );
                let error = lead(client, object, &configs, &mut candidate, &mut stores).await;
                match error {
                    Some(error) if is_unauthorized(&error) => return error,
                    Some(error) => tracing::warn!(error = %chain(&error), "no longer summing up"),
                    None => tracing::info!("another agent holds the Lease"),
                }
            }
            Ok(Hold::Anothers) => {}
            Err(error) if is_unauthorized(&error) => return error,
            Err(error) if is_forbidden(&error) => {
                if !std::mem::replace(&mut forbidden, true) {
                    tracing::warn!(
                        error = %chain(&error),
                        "the status of this configuration is not summed up: name it in the chart's rbac.oxideConfigNames"
                    );
                }
            }
            Err(error) => tracing::debug!(error = %chain(&error), "the Lease cannot be had"),
        }
        soon = settings::SUM_AT_MOST_EVERY;
        tokio::time::sleep(look_again_after(stores)).await;
    }
}

/// Whose the Lease is.
enum Hold {
    Ours,
    Anothers,
    /// There is no configuration to sum up.
    Nobodys,
}

/// Tries to hold the Lease of a configuration that is there, and notes how many stores it has.
async fn hold(
    configs: &Api<OxideConfig>,
    object: &ObjectSpec,
    candidate: &mut Candidate<'_>,
    stores: &mut i64,
) -> Result<Hold, Error> {
    let asked = within(settings::API_ANSWERS_WITHIN, configs.get_opt(&object.name));
    let Some(config) = asked.await? else { return Ok(Hold::Nobodys) };
    *stores = config.status.as_ref().map_or(0, |status| status.stores.total);
    candidate.owner = config.owner_ref(&());
    Ok(if candidate.try_hold().await? { Hold::Ours } else { Hold::Anothers })
}

/// Leaves the sum to another agent.
pub(super) async fn give_up(client: &Client, object: &ObjectSpec, identity: &Identity) -> Result<(), Error> {
    if object.kind != ObjectKind::OxideConfig {
        return Ok(());
    }
    let leases: Api<Lease> = Api::namespaced(client.clone(), &object.namespace);
    Candidate::new(&leases, lease_name(object), &identity.store).give_up().await
}

fn lease_name(object: &ObjectSpec) -> String {
    format!("oxide-operator-{}", object.name)
}

/// The more agents there are, the more seldom each looks whether the holder is still there: all together about ten
/// times a second at the most.
fn look_again_after(stores: i64) -> Duration {
    let usual = settings::LEASE_LASTS.max(Duration::from_millis(100) * u32::try_from(stores).unwrap_or(0));
    usual.mul_f64(0.75 + 0.5 * jitter())
}

/// Leads until the Lease is lost or the configuration is gone; `None` means that another agent may have it.
async fn lead(
    client: &Client,
    object: &ObjectSpec,
    configs: &Api<OxideConfig>,
    candidate: &mut Candidate<'_>,
    total: &mut i64,
) -> Option<Error> {
    let stores: Api<OxideStore> = Api::namespaced(client.clone(), &object.namespace);
    let (sender, mut heard) = mpsc::unbounded_channel();
    let selector = Selector::Label(format!("{CONFIG_LABEL}={}", label_of(object)));
    let to_sum = sender.clone();
    let source = object.to_string();
    let followed = follow(&stores, &selector, move |news| {
        let _ = to_sum.send(Heard::Stores(of_source(news, &source)));
    });
    let name = Selector::Name(object.name.clone());
    let config = follow(configs, &name, move |news| {
        let _ = sender.send(Heard::Config(Box::new(news)));
    });
    let summed = async {
        let mut sum = Sum::default();
        let mut renew = Instant::now() + settings::LEASE_RENEWED_EVERY;
        let mut write: Option<Instant> = None;
        loop {
            tokio::select! {
                Some(news) = heard.recv() => {
                    if let Known::Gone = sum.hear(news) {
                        return None;
                    }
                    write.get_or_insert(Instant::now() + write_after(*total));
                }
                () = sleep_until(renew) => {
                    match candidate.try_hold().await {
                        Ok(true) => renew = Instant::now() + settings::LEASE_RENEWED_EVERY,
                        Ok(false) => return None,
                        Err(error) => return Some(error),
                    }
                }
                () = sleep_until(write.unwrap_or(renew)), if write.is_some() => {
                    write = None;
                    *total = sum.total();
                    if let Err(error) = sum.write(configs, object).await {
                        return Some(error);
                    }
                }
            }
        }
    };
    tokio::select! {
        error = followed => Some(error),
        error = config => Some(error),
        ended = summed => ended,
    }
}

/// Every status of an `OxideConfig` goes to all of its agents, so the more there are, the more seldom it is written.
fn write_after(stores: i64) -> Duration {
    settings::SUM_AT_MOST_EVERY.max(Duration::from_millis(1) * u32::try_from(stores).unwrap_or(0))
}

enum Heard {
    Stores(News<(String, Told)>),
    Config(Box<News<OxideConfig>>),
}

/// What a sum needs of a store; there may be thousands.
#[expect(clippy::struct_excessive_bools, reason = "independent of each other: they are counted one by one")]
#[derive(Clone, Debug, Default)]
struct Told {
    generation: Option<i64>,
    ready: bool,
    synced: bool,
    drifted: bool,
    conflicted: bool,
    summary: Box<str>,
    handled: Option<Box<str>>,
    /// Whether it belongs to another source of the same name.
    foreign: bool,
}

impl Told {
    fn of(store: OxideStore, source: &str) -> (String, Self) {
        let name = store.name_any();
        let status = store.status.unwrap_or_default();
        let is = |kind: &str| {
            status.conditions.iter().any(|condition| condition.kind == kind && condition.status == "True")
        };
        let told = Self {
            generation: status.source_generation,
            ready: is("Ready"),
            synced: is("Synced"),
            drifted: is("Drifted"),
            conflicted: is("Conflicted"),
            summary: status.summary.as_str().into(),
            handled: status.last_handled_reconcile_at.as_deref().map(Box::from),
            foreign: store.spec.source != source,
        };
        (name, told)
    }
}

fn of_source(news: News<OxideStore>, source: &str) -> News<(String, Told)> {
    match news {
        News::All(all) => News::All(all.into_iter().map(|store| Told::of(store, source)).collect()),
        News::Changed(store) => News::Changed(Told::of(store, source)),
        News::Gone(store) => News::Gone(Told::of(store, source)),
        News::Lost(error) => News::Lost(error),
        News::Back => News::Back,
    }
}

/// Whether the configuration is still there.
enum Known {
    There,
    Gone,
}

#[derive(Default)]
struct Sum {
    /// None before they were heard of: no store and none known yet are not the same.
    stores: Option<BTreeMap<String, Told>>,
    config: Option<OxideConfig>,
}

impl Sum {
    fn hear(&mut self, heard: Heard) -> Known {
        let ours = |(_, told): &(String, Told)| !told.foreign;
        match heard {
            Heard::Stores(News::All(all)) => self.stores = Some(all.into_iter().filter(ours).collect()),
            Heard::Stores(News::Changed((name, told))) => {
                let stores = self.stores.get_or_insert_default();
                if told.foreign {
                    stores.remove(&name);
                } else {
                    stores.insert(name, told);
                }
            }
            Heard::Stores(News::Gone((name, _))) => {
                self.stores.get_or_insert_default().remove(&name);
            }
            Heard::Config(news) => match *news {
                News::All(mut all) => match all.pop() {
                    Some(config) => self.config = Some(config),
                    None => return Known::Gone,
                },
                News::Changed(config) => self.config = Some(config),
                News::Gone(_) => return Known::Gone,
                News::Lost(_) | News::Back => {}
            },
            Heard::Stores(News::Lost(_) | News::Back) => {}
        }
        Known::There
    }

    fn total(&self) -> i64 {
        i64::try_from(self.stores.as_ref().map_or(0, BTreeMap::len)).unwrap_or(i64::MAX)
    }

    async fn write(&mut self, configs: &Api<OxideConfig>, object: &ObjectSpec) -> Result<(), Error> {
        let (Some(config), Some(stores)) = (&self.config, &self.stores) else { return Ok(()) };
        let before = config.status.clone().unwrap_or_default();
        let generation = config.metadata.generation;
        let mut status = summed(stores, generation, config.annotations().get(REQUESTED_AT));
        status.last_handled_reconcile_at =
            status.last_handled_reconcile_at.or_else(|| before.last_handled_reconcile_at.clone());
        status.conditions =
            conditions_with_times(status.conditions, &before.conditions, &super::store::now());
        if status == before {
            return Ok(());
        }
        let patch =
            serde_json::json!({"apiVersion": "oxide.dev/v1alpha1", "kind": "OxideConfig", "status": status});
        let (patch, parameters) = (Patch::Apply(&patch), PatchParams::apply(FIELD_MANAGER).force());
        let patched = configs.patch_status(&object.name, &parameters, &patch);
        self.config = Some(within(settings::API_ANSWERS_WITHIN, patched).await?);
        Ok(())
    }
}

/// Returns what the stores have in common. Pure; conditions without their times.
fn summed(
    stores: &BTreeMap<String, Told>,
    generation: Option<i64>,
    requested_at: Option<&String>,
) -> OxideConfigStatus {
    let current = |told: &Told| told.generation == generation;
    let ready = |told: &Told| current(told) && told.ready;
    let synced = |told: &Told| current(told) && told.synced;
    let count = |holds: &dyn Fn(&Told) -> bool| {
        i64::try_from(stores.values().filter(|told| holds(told)).count()).unwrap_or(i64::MAX)
    };
    let counts = StoreCounts {
        total: count(&|_| true),
        ready: count(&ready),
        synced: count(&synced),
        drifted: count(&|told| told.drifted),
        conflicted: count(&|told| told.conflicted),
    };
    let handled = |requested: &&String| {
        counts.total > 0 && stores.values().all(|told| told.handled.as_deref() == Some(requested.as_str()))
    };
    let condition = |kind: &str, holds: &dyn Fn(&Told) -> bool, yes: &str, no: &str, what: &str| {
        let holding = count(holds);
        let (status, reason) = match (counts.total, holding == counts.total) {
            (0, _) => ("Unknown", "NoStores"),
            (_, true) => ("True", yes),
            (_, false) => ("False", no),
        };
        let waits = stores.iter().find(|(_, told)| !holds(told));
        let first = waits.map(|(name, told)| match &*told.summary {
            "" => format!("; {name} has not reported yet"),
            summary => format!("; {name}: {summary}"),
        });
        Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: format!("{holding} of {} stores {what}{}", counts.total, first.unwrap_or_default()),
            observed_generation: generation,
            last_transition_time: String::new(),
        }
    };
    OxideConfigStatus {
        observed_generation: generation,
        conditions: vec![
            condition("Ready", &ready, "AllWritten", "NotYetWritten", "have what is declared"),
            condition("Synced", &synced, "AllInSync", "Differences", "differ in nothing"),
        ],
        stores: counts,
        last_handled_reconcile_at: requested_at.filter(handled).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(generation: i64, synced: bool) -> Told {
        let summary = "1 drift".into();
        Told {
            generation: Some(generation),
            ready: true,
            synced,
            drifted: !synced,
            summary,
            ..Told::default()
        }
    }

    #[test]
    fn a_configuration_is_ready_once_every_store_has_its_generation() {
        let stores = [("a".into(), told(2, true)), ("b".into(), told(1, true))].into();
        let status = summed(&stores, Some(2), None);
        assert_eq!((status.stores.ready, status.stores.total), (1, 2));
        assert_eq!(status.conditions[0].status, "False");
        assert!(status.conditions[0].message.ends_with("b: 1 drift"), "{}", status.conditions[0].message);
        let stores = [("a".into(), told(2, true))].into();
        assert_eq!(summed(&stores, Some(2), None).conditions[0].status, "True");
    }

    #[test]
    fn a_configuration_that_nobody_has_is_not_ready() {
        assert_eq!(summed(&BTreeMap::new(), Some(1), None).conditions[0].status, "Unknown");
    }

    #[test]
    fn a_drifted_store_is_ready_and_not_in_sync() {
        let status = summed(&[("a".into(), told(1, false))].into(), Some(1), None);
        assert_eq!(status.stores, StoreCounts { total: 1, ready: 1, synced: 0, drifted: 1, conflicted: 0 });
    }

    #[test]
    fn the_store_of_a_config_map_of_the_same_name_is_not_summed_up() {
        let mut sum = Sum::default();
        let foreign = Told { foreign: true, ..told(1, true) };
        sum.hear(Heard::Stores(News::All(vec![("a".into(), told(1, true)), ("b".into(), foreign)])));
        assert_eq!(sum.total(), 1);
    }
}
