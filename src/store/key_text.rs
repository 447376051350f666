//! A key as text, read as Python reads it.

use fernet::Fernet;
use zeroize::Zeroizing;

use super::StoreError;

/// 32 bytes are 43 characters of 6 bits, and one of padding.
pub(super) const KEY_CHARACTERS: usize = 43;

/// A key as text, wiped when dropped.
pub type KeyText = Zeroizing<String>;

pub(super) fn parse(key: &KeyText, origin: &str) -> Result<(Fernet, KeyText), StoreError> {
    let bad = |why| StoreError::BadKey { origin: origin.to_owned(), why };
    if key.trim().is_empty() {
        return Err(bad("it is empty"));
    }
    let text = as_python_decodes(key).ok_or_else(|| bad("it is not 44 characters that end in ="))?;
    let fernet = Fernet::new(&text).ok_or_else(|| bad("it does not decode to 32 bytes"))?;
    Ok((fernet, text))
}

/// Returns a key as Python's decoder takes it, with which the orchestrator reads it: characters that are not in the
/// alphabet (the quotes of an env file, a line break) are passed over, both alphabets are taken, and what follows the
/// padding is not read. `None` when that is not 32 bytes.
///
/// Source: `base64.urlsafe_b64decode`, `binascii.a2b_base64` without `strict_mode`.
fn as_python_decodes(key: &str) -> Option<KeyText> {
    let mut text = Zeroizing::new(String::with_capacity(KEY_CHARACTERS));
    let mut padding = 0;
    for char in key.chars() {
        let place = text.len() % 4;
        let char = match char {
            '+' => '-',
            '/' => '_',
            // Padding ends the key where it fills a group of four, and is passed over elsewhere.
            '=' if place >= 2 && place + padding == 3 => {
                return (text.len() == KEY_CHARACTERS).then(|| without_spare_bits(&text));
            }
            '=' => {
                padding += usize::from(place >= 2);
                continue;
            }
            char if char.is_ascii_alphanumeric() || matches!(char, '-' | '_') => char,
            _ => continue,
        };
        text.push(char);
        padding = 0;
        if text.len() > KEY_CHARACTERS {
            return None;
        }
    }
    None
}

/// The last character has four bits of the key, and two that Python does not look at and the crate wants to be zero.
fn without_spare_bits(characters: &str) -> KeyText {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (start, last) = characters.split_at(characters.len() - 1);
    let last = ALPHABET.find(last).map_or(last, |at| &ALPHABET[at & !3..=at & !3]);
    Zeroizing::new(format!("{start}{last}="))
}
