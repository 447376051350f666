//! A planted API key, and the search for it in every form that it may take in a file or an output.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::process::{Place, SAMPLE};

/// With characters that YAML, JSON, URLs and shells write differently.
pub(crate) const KEY: &str = "sk-canary-one,\"two\"/+={three}: %ü-4711";
pub(crate) const NEXT_KEY: &str = "sk-canary-next,\"two\"/+={three}: %ü-4712";
/// What both begin with: a part of a key is a leak, too.
pub(crate) const STEM: &str = "sk-canary";

/// A place whose every output is kept.
pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) outputs: Vec<(String, Vec<u8>)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { place: Place::new(&yaml(KEY)), outputs: Vec::new() }
    }

    pub(crate) fn run(&mut self, arguments: &[&str]) {
        self.run_with(arguments, &[]);
    }

    pub(crate) fn run_with(&mut self, arguments: &[&str], environment: &[(&str, &str)]) {
        let mut command = self.place.command(arguments);
        let output = command.envs(environment.iter().copied()).output().expect("starts");
        self.outputs.push((format!("stdout of {arguments:?}"), output.stdout));
        self.outputs.push((format!("stderr of {arguments:?}"), output.stderr));
    }

    /// Every command that only reads, in every form.
    pub(crate) fn look(&mut self, environment: &[(&str, &str)]) {
        for command in ["plan", "verify", "config", "status"] {
            for format in ["table", "json", "yaml", "markdown"] {
                self.run_with(&[command, "-o", format, "-vv", "--color", "always"], environment);
            }
        }
        let others: [&[&str]; 9] = [
            &["export", "-"],
            &["export", "-", "--minimal"],
            &["apply", "--dry-run", "-o", "json"],
            &["promote", "--all", "--dry-run"],
            &["promote", "--all", "--keys-as-tokens", "--dry-run", "-o", "json"],
            &["explain", "services.openrouter"],
            &["adopt", "--plan", "-o", "json"],
            &["source", "accept", "--dry-run"],
            &["source", "restore", "--dry-run"],
        ];
        for arguments in others {
            self.run_with(arguments, environment);
        }
    }

    pub(crate) fn found(&self) -> Vec<String> {
        let needles = forms(&[KEY, NEXT_KEY, STEM]);
        let mut found = Vec::new();
        let mut search = |place: &str, bytes: &[u8]| {
            for (form, needle) in &needles {
                if bytes.windows(needle.len()).any(|window| window == needle) {
                    found.push(format!("{place}: {form}"));
                }
            }
        };
        for (name, bytes) in &self.outputs {
            search(name, bytes);
        }
        for file in self.place.files() {
            let name = file.strip_prefix(self.place.root()).expect("below").display().to_string();
            if !may_hold_keys(&name) {
                search(&name, &fs::read(&file).expect("readable"));
            }
        }
        found
    }
}

/// The source, its copies under the guide's name, finished or not, and exports that were asked for.
fn may_hold_keys(name: &str) -> bool {
    name.starts_with("config/") && name.contains(".yaml") || name == "with-secrets.yaml"
}

pub(crate) fn yaml(key: &str) -> String {
    let quoted = format!("'{key}'");
    SAMPLE.replace("sk-or-v1-not-a-real-key-0000", &quoted)
}

/// Returns every form of every text, with its name.
pub(crate) fn forms(texts: &[&str]) -> Vec<(String, Vec<u8>)> {
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
