//! `OxideConfig.status`: the stores of one configuration, summed up by the agent that holds the Lease.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error, Resource as _, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::follow::{News, Selector, follow, is_unauthorized};
use super::identity::Identity;
use super::lease::Candidate;
use super::{FIELD_MANAGER, chain, jitter};
use crate::crd::{
    CONFIG_LABEL, Condition, OxideConfig, OxideConfigStatus, OxideStore, OxideStoreStatus, REQUESTED_AT,
    StoreCounts, conditions_with_times,
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
    loop {
        match hold(&configs, object, &mut candidate, &mut stores).await {
            Ok(true) => {
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
            Ok(false) => {}
            Err(error) if is_unauthorized(&error) => return error,
            Err(error) => tracing::debug!(error = %chain(&error), "the Lease cannot be had"),
        }
        tokio::time::sleep(look_again_after(stores)).await;
    }
}

/// Tries to hold the Lease of a configuration that is there, and notes how many stores it has.
async fn hold(
    configs: &Api<OxideConfig>,
    object: &ObjectSpec,
    candidate: &mut Candidate<'_>,
    stores: &mut i64,
) -> Result<bool, Error> {
    let Some(config) = configs.get_opt(&object.name).await? else { return Ok(false) };
    *stores = config.status.as_ref().map_or(0, |status| status.stores.total);
    candidate.owner = config.owner_ref(&());
    candidate.try_hold().await
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

/// Leads until the Lease is lost; `None` means that another agent has it.
async fn lead(
    client: &Client,
    object: &ObjectSpec,
    configs: &Api<OxideConfig>,
    candidate: &mut Candidate<'_>,
    total: &mut i64,
) -> Option<Error> {
    let stores: Api<OxideStore> = Api::namespaced(client.clone(), &object.namespace);
    let (sender, mut heard) = mpsc::unbounded_channel();
    let selector = Selector::Label(format!("{CONFIG_LABEL}={}", object.name));
    let to_sum = sender.clone();
    let followed = follow(&stores, &selector, move |news| {
        let _ = to_sum.send(Heard::Stores(news));
    });
    let name = Selector::Name(object.name.clone());
    let config = follow(configs, &name, move |news| {
        let _ = sender.send(Heard::Config(news));
    });
    let summed = async {
        let mut sum = Sum::default();
        let mut renew = Instant::now() + settings::LEASE_RENEWED_EVERY;
        let mut write: Option<Instant> = None;
        loop {
            tokio::select! {
                Some(news) = heard.recv() => {
                    sum.hear(news);
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
    Stores(News<OxideStore>),
    Config(News<OxideConfig>),
}

#[derive(Default)]
struct Sum {
    stores: BTreeMap<String, OxideStoreStatus>,
    config: Option<OxideConfig>,
}

impl Sum {
    fn hear(&mut self, heard: Heard) {
        let status = |store: OxideStore| (store.name_any(), store.status.unwrap_or_default());
        match heard {
            Heard::Stores(News::All(all)) => self.stores = all.into_iter().map(status).collect(),
            Heard::Stores(News::Changed(store)) => {
                let (name, status) = status(store);
                self.stores.insert(name, status);
            }
            Heard::Stores(News::Gone(store)) => {
                self.stores.remove(&store.name_any());
            }
            Heard::Config(News::All(mut all)) => self.config = all.pop(),
            Heard::Config(News::Changed(config)) => self.config = Some(config),
            Heard::Config(News::Gone(_)) => self.config = None,
            Heard::Stores(News::Lost(_) | News::Back) | Heard::Config(News::Lost(_) | News::Back) => {}
        }
    }

    fn total(&self) -> i64 {
        i64::try_from(self.stores.len()).unwrap_or(i64::MAX)
    }

    async fn write(&mut self, configs: &Api<OxideConfig>, object: &ObjectSpec) -> Result<(), Error> {
        let Some(config) = &self.config else { return Ok(()) };
        let before = config.status.clone().unwrap_or_default();
        let generation = config.metadata.generation;
        let mut status = summed(&self.stores, generation, config.annotations().get(REQUESTED_AT));
        status.last_handled_reconcile_at =
            status.last_handled_reconcile_at.or_else(|| before.last_handled_reconcile_at.clone());
        status.conditions =
            conditions_with_times(status.conditions, &before.conditions, &super::store::now());
        if status == before {
            return Ok(());
        }
        let patch =
            serde_json::json!({"apiVersion": "oxide.dev/v1alpha1", "kind": "OxideConfig", "status": status});
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.config = Some(configs.patch_status(&object.name, &parameters, &Patch::Apply(&patch)).await?);
        Ok(())
    }
}

/// Returns what the stores have in common. Pure; conditions without their times.
fn summed(
    stores: &BTreeMap<String, OxideStoreStatus>,
    generation: Option<i64>,
    requested_at: Option<&String>,
) -> OxideConfigStatus {
    let is = |status: &OxideStoreStatus, kind: &str| {
        status.conditions.iter().any(|condition| condition.kind == kind && condition.status == "True")
    };
    let current = |status: &OxideStoreStatus| status.source_generation == generation;
    let count = |holds: &dyn Fn(&OxideStoreStatus) -> bool| {
        i64::try_from(stores.values().filter(|status| holds(status)).count()).unwrap_or(i64::MAX)
    };
    let counts = StoreCounts {
        total: count(&|_| true),
        ready: count(&|status| current(status) && is(status, "Ready")),
        synced: count(&|status| current(status) && is(status, "Synced")),
        drifted: count(&|status| is(status, "Drifted")),
        conflicted: count(&|status| is(status, "Conflicted")),
    };
    let handled = |requested: &&String| {
        stores.values().all(|status| status.last_handled_reconcile_at.as_ref() == Some(*requested))
    };
    let condition = |kind: &str, holding: i64, yes: &str, no: &str, what: &str| {
        let all = holding == counts.total;
        let waits = stores.iter().find(|(_, status)| !(current(status) && is(status, kind)));
        let first = waits.map(|(name, status)| match status.summary.as_str() {
            "" => format!("; {name} has not reported yet"),
            summary => format!("; {name}: {summary}"),
        });
        Condition {
            kind: kind.to_owned(),
            status: if all { "True" } else { "False" }.to_owned(),
            reason: if counts.total == 0 {
                "NoStores"
            } else if all {
                yes
            } else {
                no
            }
            .to_owned(),
            message: format!("{holding} of {} stores {what}{}", counts.total, first.unwrap_or_default()),
            observed_generation: generation,
            last_transition_time: String::new(),
        }
    };
    OxideConfigStatus {
        observed_generation: generation,
        conditions: vec![
            condition("Ready", counts.ready, "AllWritten", "NotYetWritten", "have what is declared"),
            condition("Synced", counts.synced, "AllInSync", "Differences", "differ in nothing"),
        ],
        stores: counts,
        last_handled_reconcile_at: requested_at.filter(handled).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(generation: i64, conditions: &[(&str, &str)]) -> OxideStoreStatus {
        let conditions = conditions.iter().map(|(kind, status)| Condition {
            kind: (*kind).into(),
            status: (*status).into(),
            ..Condition::default()
        });
        OxideStoreStatus {
            source_generation: Some(generation),
            conditions: conditions.collect(),
            summary: "1 drift".into(),
            ..OxideStoreStatus::default()
        }
    }

    #[test]
    fn a_configuration_is_ready_once_every_store_has_its_generation() {
        let fine = [("Ready", "True"), ("Synced", "True")];
        let stores = [("a".into(), store(2, &fine)), ("b".into(), store(1, &fine))].into();
        let status = summed(&stores, Some(2), None);
        assert_eq!((status.stores.ready, status.stores.total), (1, 2));
        assert_eq!(status.conditions[0].status, "False");
        assert!(status.conditions[0].message.ends_with("b: 1 drift"), "{}", status.conditions[0].message);
        let stores = [("a".into(), store(2, &fine))].into();
        assert_eq!(summed(&stores, Some(2), None).conditions[0].status, "True");
    }

    #[test]
    fn a_drifted_store_is_ready_and_not_in_sync() {
        let drifted = [("Ready", "True"), ("Synced", "False"), ("Drifted", "True")];
        let status = summed(&[("a".into(), store(1, &drifted))].into(), Some(1), None);
        assert_eq!(status.stores, StoreCounts { total: 1, ready: 1, synced: 0, drifted: 1, conflicted: 0 });
    }
}
