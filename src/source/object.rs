//! Objects of Kubernetes as sources: what they are called, and what they say.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{SecretTable, SourceError, is_yaml};
use crate::export::object_to_yaml;
use crate::model::{PolicyPart, SourceDocument, SourceSnapshot};

/// An object of Kubernetes that declares a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSpec {
    /// Of which kind it is.
    pub kind: ObjectKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The kinds of objects that declare a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A `ConfigMap`: its entries that end in `.yaml` or `.yml`, or the one that is named.
    ConfigMap(Option<String>),
    /// An `OxideConfig`.
    OxideConfig,
}

impl ObjectSpec {
    pub(super) fn config_map(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (namespace, name, key) = match parts[..] {
            [namespace, name] => (namespace, name, None),
            [namespace, name, key] if !key.is_empty() => (namespace, name, Some(key.to_owned())),
            _ => ("", "", None),
        };
        Self::named(ObjectKind::ConfigMap(key), namespace, name).ok_or_else(|| {
            format!("write it as configmap:NAMESPACE/NAME or configmap:NAMESPACE/NAME/KEY, not `{text}`")
        })
    }

    pub(super) fn oxide_config(text: &str) -> Result<Self, String> {
        let (namespace, name) = text.split_once('/').unwrap_or_default();
        let name = if name.contains('/') { "" } else { name };
        Self::named(ObjectKind::OxideConfig, namespace, name)
            .ok_or_else(|| format!("write it as oxideconfig:NAMESPACE/NAME, not `{text}`"))
    }

    fn named(kind: ObjectKind, namespace: &str, name: &str) -> Option<Self> {
        let whole = !namespace.is_empty() && !name.is_empty();
        whole.then(|| Self { kind, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The kind as Kubernetes writes it.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            ObjectKind::ConfigMap(_) => "ConfigMap",
            ObjectKind::OxideConfig => "OxideConfig",
        }
    }

    /// Returns what a `ConfigMap` with these entries declares.
    ///
    /// # Errors
    /// When it has no entry that could be a YAML file, or not the one that is named.
    pub fn from_config_map(&self, entries: &BTreeMap<String, String>) -> Result<SourceSnapshot, SourceError> {
        let wanted = match &self.kind {
            ObjectKind::ConfigMap(key) => key.as_deref(),
            ObjectKind::OxideConfig => None,
        };
        let belongs = |name: &str| wanted.map_or_else(|| is_yaml(Path::new(name)), |wanted| wanted == name);
        let documents: Vec<SourceDocument> = entries
            .iter()
            .filter(|(name, _)| belongs(name))
            .map(|(name, text)| SourceDocument {
                name: format!("configmap:{}/{}/{name}", self.namespace, self.name),
                bytes: text.clone().into_bytes(),
            })
            .collect();
        if documents.is_empty() {
            let lacks = wanted.map_or_else(
                || "no entry that ends in .yaml or .yml".to_owned(),
                |wanted| format!("no entry {wanted}"),
            );
            return Err(SourceError::EmptyObject { object: self.clone(), lacks });
        }
        Ok(SourceSnapshot { origin: self.to_string(), documents })
    }

    /// Returns what an `OxideConfig` with this `spec.config` declares: the same as a file with the same words.
    ///
    /// # Errors
    /// When it declares nothing.
    pub fn from_config(&self, config: &Json) -> Result<SourceSnapshot, SourceError> {
        match config {
            Json::Object(sections) if !sections.is_empty() => {
                let document =
                    SourceDocument { name: self.to_string(), bytes: object_to_yaml(config).into_bytes() };
                Ok(SourceSnapshot { origin: self.to_string(), documents: vec![document] })
            }
            _ => {
                let lacks = "nothing in spec.config".to_owned();
                Err(SourceError::EmptyObject { object: self.clone(), lacks })
            }
        }
    }
}

impl fmt::Display for ObjectSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        match kind {
            ObjectKind::ConfigMap(None) => write!(f, "configmap:{namespace}/{name}"),
            ObjectKind::ConfigMap(Some(key)) => write!(f, "configmap:{namespace}/{name}/{key}"),
            ObjectKind::OxideConfig => write!(f, "oxideconfig:{namespace}/{name}"),
        }
    }
}

/// What an object declares, with everything that it refers to.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The configuration.
    pub snapshot: Arc<SourceSnapshot>,
    /// The Secrets that it names.
    pub secrets: Arc<SecretTable>,
    /// Its answers to differences.
    pub policy: Option<PolicyPart>,
    /// Whether writes are to stop.
    pub suspended: bool,
    /// The last request for a full comparison.
    pub requested_at: Option<String>,
    /// Its generation; a `ConfigMap` has none.
    pub generation: Option<i64>,
    /// Its version, as the API server counts them.
    pub resource_version: Option<String>,
}

impl Declared {
    /// Whether both say the same. A version changes with the object's status, too, and says nothing by itself.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let Self { snapshot, secrets, policy, suspended, requested_at, generation, resource_version: _ } =
            self;
        *snapshot == other.snapshot
            && *secrets == other.secrets
            && *policy == other.policy
            && *suspended == other.suspended
            && *requested_at == other.requested_at
            && *generation == other.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> ObjectSpec {
        ObjectSpec::config_map(text).expect("a name")
    }

    #[test]
    fn the_yaml_entries_of_a_config_map_are_its_documents() {
        let entries = [("a.yaml", "services: {}"), ("b.yml", "execution: {}"), ("README", "x")];
        let entries = entries.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let all = spec("ns/c").from_config_map(&entries).expect("documents");
        assert_eq!(all.documents.len(), 2);
        let one = spec("ns/c/README").from_config_map(&entries).expect("a document");
        assert_eq!(one.documents[0].bytes, b"x");
        assert!(spec("ns/c/c.yaml").from_config_map(&entries).is_err());
    }

    #[test]
    fn an_object_that_declares_nothing_is_an_error_and_never_an_empty_configuration() {
        let object = ObjectSpec::oxide_config("ns/c").expect("a name");
        assert!(object.from_config(&serde_json::json!({})).is_err());
        assert!(object.from_config(&Json::Null).is_err());
        assert!(spec("ns/c").from_config_map(&BTreeMap::new()).is_err());
    }
}
