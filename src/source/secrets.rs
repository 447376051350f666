//! The secrets that a source refers to: environment and files.

use std::path::{Path, PathBuf};

use crate::desired::ResolveSecrets;
use crate::model::{SecretReference, SecretText};

/// A secret file larger than this is not one, in bytes.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// Finds secrets in the environment and in files. Tokens are the store's to open: see `sync::read_source`.
#[derive(Clone, Debug)]
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// Relative files are looked for in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }
}

impl ResolveSecrets for Secrets {
    fn resolve(&self, reference: &SecretReference) -> Result<SecretText, String> {
        match reference {
            SecretReference::Env(name) => match std::env::var(name) {
                Ok(text) => Ok(SecretText::new(text)),
                Err(std::env::VarError::NotPresent) => Err(format!("environment variable {name} is not set")),
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(format!("environment variable {name} is not UTF-8"))
                }
            },
            SecretReference::File(file) => read_file(&self.folder.join(file)),
            SecretReference::Token(_) => Err("a token is opened with the store's keys".to_owned()),
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
