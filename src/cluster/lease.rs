//! The Lease: of all agents of one `OxideConfig`, one sums their stores up.
//!
//! Nothing depends on there being exactly one: two would write the same sum twice. So a Lease is enough, and clocks need
//! not agree: whether a holder is still there is judged by whether its Lease *changes*, on the clock of whoever watches.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::Error;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::Instant;

use super::within;
use crate::settings;

/// One agent's view of the Lease.
pub(super) struct Candidate<'a> {
    api: &'a Api<Lease>,
    name: String,
    identity: &'a str,
    /// What the Lease goes away with.
    pub(super) owner: Option<OwnerReference>,
    /// The version of the Lease that was seen last, and since when it is that one.
    seen: Option<(String, Instant)>,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(api: &'a Api<Lease>, name: String, identity: &'a str) -> Self {
        Self { api, name, identity, owner: None, seen: None }
    }

    /// Takes or renews the Lease; returns whether this agent holds it now.
    pub(super) async fn try_hold(&mut self) -> Result<bool, Error> {
        let Some(mut lease) = within(settings::API_ANSWERS_WITHIN, self.api.get_opt(&self.name)).await?
        else {
            let lease = self.held(None, Lease::default());
            let how = PostParams::default();
            let created = self.api.create(&how, &lease);
            return conflict_is_no(within(settings::API_ANSWERS_WITHIN, created).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        if holder.as_deref().is_some_and(|holder| holder != self.identity) && !self.has_expired(&lease, &spec)
        {
            return Ok(false);
        }
        let renews = holder.as_deref() == Some(self.identity);
        lease = self.held(renews.then_some(&spec), lease);
        let how = PostParams::default();
        let replaced = self.api.replace(&self.name, &how, &lease);
        conflict_is_no(within(settings::API_ANSWERS_WITHIN, replaced).await)
    }

    /// Gives the Lease up when this agent holds it, so that nobody waits until it has expired.
    pub(super) async fn give_up(&self) -> Result<(), Error> {
        let Some(mut lease) = within(settings::API_ANSWERS_WITHIN, self.api.get_opt(&self.name)).await?
        else {
            return Ok(());
        };
        match &mut lease.spec {
            Some(spec) if spec.holder_identity.as_deref() == Some(self.identity) => {
                spec.holder_identity = None;
            }
            _ => return Ok(()),
        }
        conflict_is_no(self.api.replace(&self.name, &PostParams::default(), &lease).await).map(|_| ())
    }

    /// Whether the Lease is as it was for as long as it lasts.
    fn has_expired(&mut self, lease: &Lease, spec: &LeaseSpec) -> bool {
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let lasts = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let lasts = lasts.map_or(settings::LEASE_LASTS, Duration::from_secs);
        match &self.seen {
            Some((known, since)) if *known == version => since.elapsed() > lasts,
            _ => {
                self.seen = Some((version, Instant::now()));
                false
            }
        }
    }

    fn held(&self, renewed: Option<&LeaseSpec>, lease: Lease) -> Lease {
        let now = MicroTime(Timestamp::now());
        let before = lease.spec.clone().unwrap_or_default();
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                owner_references: self.owner.clone().map(|owner| vec![owner]),
                ..lease.metadata
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.to_owned()),
                lease_duration_seconds: i32::try_from(settings::LEASE_LASTS.as_secs()).ok(),
                acquire_time: renewed
                    .and_then(|spec| spec.acquire_time.clone())
                    .or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(
                    before.lease_transitions.unwrap_or(0)
                        + i32::from(renewed.is_none() && lease_was_held(&before)),
                ),
                ..before
            }),
        }
    }
}

fn lease_was_held(spec: &LeaseSpec) -> bool {
    spec.holder_identity.as_deref().is_some_and(|holder| !holder.is_empty())
}

/// Somebody else was faster: this agent does not hold it.
fn conflict_is_no(written: Result<Lease, Error>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
