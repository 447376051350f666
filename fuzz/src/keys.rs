//! An encryption key is read as Python reads it: the same texts are keys, and the same keys.

use std::path::Path;

use oxide_operator::store::{KeyRing, KeySources, KeyText};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const KEY_BYTES: usize = 32;

pub(crate) fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let ours = ring(text).map(|ring| ring.present_fingerprint());
    let theirs = as_python_decodes(text.as_bytes()).filter(|key| key.len() == KEY_BYTES);
    let theirs = theirs.map(|key| ring(&encoded(&key)).and_then(|ring| ring.present_fingerprint()));
    assert_eq!(ours, theirs, "{text:?}");
    if let Some(ring) = ring("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=") {
        let opened = ring.open_token(text);
        assert!(opened.is_none_or(|plain| plain.expose() == "hello"), "a token that nobody made");
    }
}

fn ring(text: &str) -> Option<KeyRing> {
    let key = KeyText::new(text.to_owned());
    let sources = KeySources { environment: Some(key), ..KeySources::default() };
    KeyRing::find(&sources, Path::new("/nonexistent")).ok()
}

/// `base64.urlsafe_b64decode`, as `binascii.a2b_base64` is written.
fn as_python_decodes(text: &[u8]) -> Option<Vec<u8>> {
    let (mut decoded, mut left, mut place, mut padding) = (Vec::new(), 0_u8, 0, 0);

    for byte in text {
        let byte = match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => *byte,
        };
        if byte == b'=' {
            padding += 1;
            if place >= 2 && place + padding >= 4 {
                return Some(decoded);
            }
            continue;
        }
        let Some(value) = ALPHABET.iter().position(|known| *known == byte) else { continue };
        let value = u8::try_from(value).expect("less than 64");
        padding = 0;
        match place {
            0 => {}
            1 => decoded.push(left << 2 | value >> 4),
            2 => decoded.push(left << 4 | value >> 2),
            _ => decoded.push(left << 6 | value),
        }
        left = value;
        place = (place + 1) % 4;
    }
    (place == 0).then_some(decoded)
}

fn encoded(key: &[u8]) -> String {
    let mut text = String::new();
    for three in key.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).expect("less than 64");
            text.push(char::from(ALPHABET[index]));
        }
    }
    text + &"=".repeat((3 - key.len() % 3) % 3)
}
