//! The secrets that a source refers to: environment, files, and Secrets of Kubernetes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::desired::ResolveSecrets;
use crate::model::{SecretReference, SecretText};
use crate::settings::MAX_SECRETS;

/// A secret file larger than this is not one, in bytes.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// The Secrets of Kubernetes that a source refers to, by name: their entries, or why they cannot be had.
pub type SecretTable = BTreeMap<String, Result<BTreeMap<String, SecretText>, String>>;

/// Finds secrets. Tokens are the store's to open: see `sync::read_source`.
#[derive(Clone, Debug)]
pub struct Secrets(Reach);

/// What a source may refer to.
#[derive(Clone, Debug)]
enum Reach {
    /// A file: the environment, and files beside it.
    Machine(PathBuf),
    /// An object: the Secrets beside it, and the variables that the agent was told to give away. Who may write a source
    /// is not thereby one who may read the agent's environment.
    Cluster(Arc<SecretTable>, Arc<[String]>),
}

impl Secrets {
    /// Relative files are looked for in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self(Reach::Machine(folder.to_owned()))
    }

    /// Finds what a source in Kubernetes refers to.
    pub fn of_cluster(table: Arc<SecretTable>, variables: &[String]) -> Self {
        Self(Reach::Cluster(table, variables.into()))
    }
}

impl ResolveSecrets for Secrets {
    fn resolve(&self, reference: &SecretReference) -> Result<SecretText, String> {
        match (reference, &self.0) {
            (SecretReference::Env(name), Reach::Cluster(_, variables)) if !variables.contains(name) => {
                Err(format!(
                    "environment variable {name} is the agent's own: use secretKeyRef, or name it in --source-env"
                ))
            }
            (SecretReference::Env(name), _) => match std::env::var(name) {
                Ok(text) => Ok(SecretText::new(text)),
                Err(std::env::VarError::NotPresent) => Err(format!("environment variable {name} is not set")),
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(format!("environment variable {name} is not UTF-8"))
                }
            },
            (SecretReference::File(file), Reach::Machine(folder)) => read_file(&folder.join(file)),
            (SecretReference::File(_), Reach::Cluster(..)) => {
                Err("a source in Kubernetes may not name files of the agent; use secretKeyRef".to_owned())
            }
            (SecretReference::Token(_), _) => Err("a token is opened with the store's keys".to_owned()),
            (SecretReference::SecretKey { .. }, Reach::Machine(_)) => {
                Err("secretKeyRef is found only for a source in Kubernetes; use file or env here".to_owned())
            }
            (SecretReference::SecretKey { name, key }, Reach::Cluster(table, _)) => match table.get(name) {
                Some(Ok(entries)) => {
                    entries.get(key).cloned().ok_or_else(|| format!("Secret {name} has no entry {key}"))
                }
                Some(Err(why)) => Err(why.clone()),
                None => Err(format!("Secret {name} was not read; a source may name at most {MAX_SECRETS}")),
            },
        }
    }
}

fn read_file(path: &Path) -> Result<SecretText, String> {
    let fault = |what: String| format!("secret file {}: {what}", path.display());
    let metadata = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > MAX_SECRET_BYTES {
        return Err(fault("is not a small regular file".into()));
    }
    let text =
        zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?);
    Ok(SecretText::new(text.trim_end_matches(['\n', '\r'])))
}
