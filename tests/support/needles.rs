//! The forms that a secret may take in a file or an output.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Returns every form of every text, with its name.
pub(crate) fn of(texts: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut needles = Vec::new();
    for text in texts.iter().copied() {
        let mut add = |form: &str, bytes: Vec<u8>| needles.push((format!("{text} as {form}"), bytes));
        add("it is", text.into());
        let json = serde_json::to_string(text).expect("text");
        add("JSON", json.trim_matches('"').into());
        add("JSON in ASCII", json.trim_matches('"').replace('ü', "\\u00fc").into());
        let hex = |upper: bool| -> String {
            text.bytes()
                .map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") })
                .collect()
        };
        add("hex", hex(false).into());
        add("HEX", hex(true).into());
        let url = |keep: &[u8]| -> String {
            let piece = |byte: u8| match byte {
                byte if byte.is_ascii_alphanumeric() || keep.contains(&byte) => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            };
            text.bytes().map(piece).collect()
        };
        add("URL", url(b"-_.~").into());
        add("URL, strict", url(b"").into());
        add("UTF-16 LE", text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        add("UTF-16 BE", text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        for offset in 0..3 {
            let shifted = [&vec![0; offset][..], text.as_bytes()].concat();
            for (name, encoded) in
                [("", STANDARD_NO_PAD.encode(&shifted)), (" for URLs", URL_SAFE_NO_PAD.encode(&shifted))]
            {
                // The outer characters depend on the neighbours.
                let inner = &encoded[[0, 2, 3][offset]..encoded.len() - 1];
                add(&format!("base64{name} at {offset}"), inner.into());
            }
        }
    }
    needles
}
