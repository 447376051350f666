//! The secrets that a source refers to: environment, files, tokens.

use std::path::{Path, PathBuf};

use crate::desired::ResolveSecrets;
use crate::model::{SecretReference, SecretText};

/// A secret file larger than this is not one, in bytes.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// Decrypts a token with the keys at hand.
type OpenToken = dyn Fn(&str) -> Option<SecretText> + Send + Sync;

/// Finds secrets where the source says they are.
pub struct Secrets {
    folder: PathBuf,
    open_token: Box<OpenToken>,
}

impl Secrets {
    /// Relative files are looked for in `folder`; tokens are opened by `open_token`.
    pub fn new(folder: &Path, open_token: Box<OpenToken>) -> Self {
        Self { folder: folder.to_owned(), open_token }
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
            SecretReference::Token(token) => {
                (self.open_token)(token).ok_or_else(|| "no key at hand decrypts this token".to_owned())
            }
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
