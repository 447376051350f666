//! Secrets as a type of their own: compared by keyed fingerprint, wiped when dropped, never printed.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The name of the encryption key's file beside the database.
///
/// Source: `_setup_encryption` in the orchestrator's `config_storage_sqlite.py`.
pub const KEY_FILE: &str = "encryption.key";

/// The environment variable that holds the encryption key.
pub const KEY_VARIABLE: &str = "OXIDE_ENCRYPTION_KEY";

/// The plain text of a secret. It is wiped from memory when dropped; `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<Box<str>>);

impl SecretText {
    /// Takes ownership of a plain text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the plain text. Callers encrypt it, fingerprint it or write it where the user asked for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(••••)")
    }
}

/// A secret value of one side: its fingerprint, and whatever else that side knows of it.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Equal for equal plain texts, under one key.
    pub fingerprint: Fingerprint,
    /// The plain text: known for a declared secret.
    pub plain: Option<SecretText>,
    /// The Fernet token: known for a secret read from the database.
    pub token: Option<Box<str>>,
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Secret {}

/// A keyed hash of a secret: tells equal from different, and nothing else without the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Returns the fingerprint as 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(32), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Reads what [`to_hex`](Self::to_hex) wrote.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        if hex.len() != 32 || !hex.is_ascii() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", &self.to_hex()[..8])
    }
}

/// Makes fingerprints under a key that is derived from the encryption key.
#[derive(Clone)]
pub struct Fingerprinter(Hmac<Sha256>);

impl Fingerprinter {
    /// Derives the fingerprint key from `key_material`.
    ///
    /// # Guarantees
    /// The same material always gives the same fingerprints; the material cannot be recovered from them.
    pub fn derived_from(key_material: &[u8]) -> Self {
        let mut mac = Self::keyed(key_material);
        mac.update(b"oxide-operator secret fingerprint v1");
        Self(Self::keyed(&mac.finalize().into_bytes()))
    }

    /// Returns the fingerprint of `plain`.
    pub fn fingerprint(&self, plain: &str) -> Fingerprint {
        let mut mac = self.0.clone();
        mac.update(plain.as_bytes());
        let full = mac.finalize().into_bytes();
        let mut short = [0; 16];
        short.copy_from_slice(&full[..16]);
        Fingerprint(short)
    }

    fn keyed(key: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(key).expect("HMAC accepts keys of any length")
    }
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprinter(••••)")
    }
}

/// Where the source says a secret is to be found, instead of giving it in plain text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretReference {
    /// `api_key: ${NAME}` or `apiKeyFrom: {env: NAME}`.
    Env(String),
    /// `apiKeyFrom: {file: PATH}`; relative to the folder of the source.
    File(String),
    /// `apiKeyFrom: {token: gAAAA…}`: a Fernet token, as exports without secrets carry it.
    Token(String),
    /// `apiKeyFrom: {secretKeyRef: {name: …, key: …}}`: an entry of a Kubernetes Secret, in the namespace of the source.
    SecretKey {
        /// The Secret.
        name: String,
        /// The entry.
        key: String,
    },
}

impl SecretReference {
    /// Returns what its author wrote to say where the secret is.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Env(name) | Self::File(name) => vec![name],
            Self::Token(_) => Vec::new(),
            Self::SecretKey { name, key } => vec![name, key],
        }
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Token(_) => f.write_str("token"),
            Self::SecretKey { name, key } => write!(f, "entry {key} of Secret {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_secret() {
        let secret = Secret {
            fingerprint: Fingerprinter::derived_from(b"key").fingerprint("sk-canary"),
            plain: Some(SecretText::new("sk-canary")),
            token: None,
        };
        assert!(!format!("{secret:?}").contains("canary"));
    }

    #[test]
    fn fingerprints_tell_equal_from_different_and_depend_on_the_key() {
        let one = Fingerprinter::derived_from(b"one");
        let two = Fingerprinter::derived_from(b"two");
        assert_eq!(one.fingerprint("a"), one.fingerprint("a"));
        assert_ne!(one.fingerprint("a"), one.fingerprint("b"));
        assert_ne!(one.fingerprint("a"), two.fingerprint("a"));
    }

    #[test]
    fn a_fingerprint_survives_its_hex_form() {
        let print = Fingerprinter::derived_from(b"key").fingerprint("x");
        assert_eq!(Fingerprint::from_hex(&print.to_hex()), Some(print));
        assert_eq!(Fingerprint::from_hex("zz"), None);
    }
}
