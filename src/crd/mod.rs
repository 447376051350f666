//! The custom resources of `oxide.dev/v1alpha1`: what people declare, and what agents report.
//!
//! [`OxideConfig`] is a source: the orchestrator's YAML as a typed object. [`OxideStore`] is the state of one
//! database, made by the agent beside it. `oxide-operator crd` prints their definitions; `crds/` holds what it
//! prints.

mod config;
mod docs;
mod rules;
mod schema;
mod status;
mod store;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

pub use config::{OxideConfig, OxideConfigSpec, OxideConfigStatus, StoreCounts};
pub use docs::page;
pub use status::{Condition, Difference, DifferenceCounts, ObjectCount, conditions_with_times};
pub use store::{OxideStore, OxideStoreSpec, OxideStoreStatus};

/// The API group.
pub const GROUP: &str = "oxide.dev";

/// Asks for a full comparison whenever its value changes; any text will do, by custom the time.
pub const REQUESTED_AT: &str = "oxide.dev/reconcile-requested-at";

/// `"true"` on a `ConfigMap` stops writes, as `spec.suspend` does on an [`OxideConfig`].
pub const SUSPEND: &str = "oxide.dev/suspend";

/// On an [`OxideStore`]: the name of its source, so that all stores of one configuration are found.
pub const CONFIG_LABEL: &str = "oxide.dev/config";

/// On an [`OxideStore`]: the process that reports in it. The one that began last does; an earlier one falls silent.
pub const INSTANCE: &str = "oxide.dev/agent-instance";

/// On a definition: the version of the program that it came with.
pub const VERSION: &str = "oxide.dev/version";

/// Returns both definitions, marked with the program's version.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![OxideConfig::crd(), OxideStore::crd()];
    for definition in &mut definitions {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        definition.metadata.annotations.get_or_insert_default().insert(VERSION.to_owned(), version);
    }
    definitions
}
