//! The secrets that a source refers to: environment, files, and Secrets of Kubernetes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::desired::ResolveSecrets;
use crate::model::{KEY_FILE, KEY_VARIABLE, SecretReference, SecretText};
use crate::settings::{MAX_SECRETS, TOKEN_FILE};

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
            (SecretReference::Env(name), _) if is_ours(name) => {
                Err(format!("environment variable {name} is oxide-operator's own, and no API key"))
            }
            (SecretReference::Env(name), _) => match std::env::var(name) {
                // An empty variable is one that nobody gave a value to; removing a key takes `api_key: null`.
                Ok(text) if text.trim().is_empty() => Err(format!("environment variable {name} is empty")),
                Ok(text) => Ok(SecretText::new(text)),
                Err(std::env::VarError::NotPresent) => Err(format!("environment variable {name} is not set")),
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(format!("environment variable {name} is not UTF-8"))
                }
            },
            (SecretReference::File(file), Reach::Machine(folder)) => {
                read_file(&folder.join(super::at_home(Path::new(file))))
            }
            (SecretReference::File(_), Reach::Cluster(..)) => {
                Err("a source in Kubernetes may not name files of the agent; use secretKeyRef".to_owned())
            }
            (SecretReference::Token(_), _) => Err("a token is opened with the store's keys".to_owned()),
            (SecretReference::SecretKey { .. }, Reach::Machine(_)) => {
                Err("secretKeyRef is found only for a source in Kubernetes; use file or env here".to_owned())
            }
            (SecretReference::SecretKey { name, key }, Reach::Cluster(table, _)) => match table.get(name) {
                Some(Ok(entries)) => {
                    let entry =
                        entries.get(key).ok_or_else(|| format!("Secret {name} has no entry {key}"))?;
                    let empty = entry.expose().trim().is_empty();
                    if empty {
                        Err(format!("entry {key} of Secret {name} is empty"))
                    } else {
                        Ok(entry.clone())
                    }
                }
                Some(Err(why)) => Err(why.clone()),
                None => Err(format!("Secret {name} was not read; a source may name at most {MAX_SECRETS}")),
            },
        }
    }
}

/// Whether a variable is the program's own: whoever writes a source must not have the encryption key sent to an address
/// of their choice as an API key.
fn is_ours(variable: &str) -> bool {
    variable == KEY_VARIABLE || variable.starts_with("OXIDE_OPERATOR_")
}

/// Whether a file is the program's own, or no file but a view of the system, such as a process's environment.
fn is_out_of_reach(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let ours = name.starts_with(KEY_FILE) || name == TOKEN_FILE;
    ours || ["/proc", "/sys", "/dev"].iter().any(|folder| file.starts_with(folder))
}

fn read_file(path: &Path) -> Result<SecretText, String> {
    let fault = |what: String| format!("secret file {}: {what}", path.display());
    // As links resolve it: a name of the source's own may lead anywhere.
    let path = &std::fs::canonicalize(path).map_err(|error| fault(error.to_string()))?;
    if is_out_of_reach(path) {
        return Err(fault("a source may not name it".into()));
    }
    let metadata = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > MAX_SECRET_BYTES {
        return Err(fault("is not a small regular file".into()));
    }
    let text =
        zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?);
    if text.trim().is_empty() {
        return Err(fault("is empty".into()));
    }
    Ok(SecretText::new(text.trim_end_matches(['\n', '\r'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_programs_own_is_no_api_key_by_whatever_name() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "encryption.key",
            "encryption.key.next",
            "encryption.key.20260101T000000000Z.retired",
            "web.token",
            "mine",
        ] {
            std::fs::write(folder.path().join(name), "secret\n").expect("written");
        }
        std::os::unix::fs::symlink("encryption.key", folder.path().join("harmless")).expect("linked");
        let secrets = Secrets::new(folder.path());
        let file = |name: &str| secrets.resolve(&SecretReference::File(name.into()));
        assert_eq!(file("mine").expect("a secret").expose(), "secret");
        for name in [
            "encryption.key",
            "./encryption.key.next",
            "encryption.key.20260101T000000000Z.retired",
            "web.token",
            "harmless",
            "/proc/self/environ",
            "/proc/thread-self/environ",
            "/dev/null",
        ] {
            let refused = file(name).expect_err("out of reach");
            assert!(refused.contains("may not name it"), "{name}: {refused}");
        }
        for name in ["OXIDE_ENCRYPTION_KEY", "OXIDE_OPERATOR_RELOAD_TOKEN"] {
            let refused = secrets.resolve(&SecretReference::Env(name.into())).expect_err("ours");
            assert!(refused.contains("oxide-operator's own"), "{refused}");
        }
    }
}
