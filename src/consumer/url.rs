//! The URL of the orchestrator's reload call.

use std::str::FromStr;

/// A URL that can be called. The chart refuses others with the same rule, `reloadUrl` in its `values.schema.json`, so that
/// no pod is admitted whose agent would end.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct ReloadUrl(String);

impl ReloadUrl {
    /// As it was given, without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.trim_end_matches('/')
    }
}

impl FromStr for ReloadUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check(text).map(|()| Self(text.to_owned())).map_err(str::to_owned)
    }
}

impl TryFrom<String> for ReloadUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    let rest = text.strip_prefix("http://").ok_or(
        "must begin with http://, as http://127.0.0.1:8000/api/config/reload; there is no TLS on the way to an orchestrator beside it",
    )?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err("must not hold a password; use --reload-token-file");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Err("names no host");
    }
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match in_brackets {
        Some(host) => is_all(host, |byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)),
        None => is_all(host, |byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    if !is_host {
        return Err("names a host that cannot be one");
    }
    if !port.is_none_or(is_port) {
        return Err("names a port that cannot be one");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds spaces or characters that must be percent-encoded");
    }
    Ok(())
}

fn is_all(text: &str, fits: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(fits)
}

/// From 1 to 65535, without zeros before it.
fn is_port(text: &str) -> bool {
    is_all(text, |byte| byte.is_ascii_digit()) && !text.starts_with('0') && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file of the chart, which the image is built without.
    #[expect(clippy::disallowed_methods, reason = "a test reads the chart")]
    fn chart(file: &str) -> String {
        let chart = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/oxide-operator");
        std::fs::read_to_string(chart.join(file)).expect("it is there")
    }

    /// What the chart's schema says of the value, `""` for none besides.
    fn pattern() -> String {
        let schema: serde_json::Value = serde_json::from_str(&chart("values.schema.json")).expect("JSON");
        let pattern = &schema["properties"]["orchestrator"]["properties"]["reloadUrl"]["pattern"];
        pattern.as_str().expect("a pattern").to_owned()
    }

    #[test]
    fn the_chart_and_the_program_take_the_same_urls() {
        let pattern = pattern();
        let in_policy = chart("templates/_injection.tpl");
        let alone = pattern.strip_prefix("^(").and_then(|it| it.strip_suffix(")?$")).expect("may be empty");
        // CEL escapes once more.
        let in_cel = format!("matches(r\"^{alone}$\")");
        assert!(in_policy.contains(&in_cel), "the policy does not say {in_cel}");
        let schema = jsonschema::validator_for(&serde_json::json!({"pattern": pattern})).expect("a pattern");
        let good = [
            "http://127.0.0.1:8000/api/config/reload",
            "http://orchestrator",
            "http://orchestrator.oxide.svc:65535/",
            "http://[::1]:1/reload?now=1",
            "http://a_b-c.d/%20~",
        ];
        let bad = [
            "https://x",
            "http://",
            "http:///reload",
            "http:// x",
            "http://x /",
            "http://u:p@h",
            "http://u@h/",
            "http://h:0",
            "http://h:65536",
            "http://h:080",
            "http://h:",
            "http://:80",
            "http://[]",
            "http://[::1",
            "http://::1/",
            "http://h/a b",
            "http://h/\u{1b}[31m",
            "http://h/\n",
            "http://h\nx",
            "http://h?x",
            "http://h#x",
            "http://h\"/",
            "http://ü/",
            "HTTP://x",
            "ftp://x",
            "x",
        ];
        for (urls, taken) in [(&good[..], true), (&bad[..], false)] {
            for url in urls {
                assert_eq!(url.parse::<ReloadUrl>().is_ok(), taken, "the program and {url:?}");
                assert_eq!(schema.is_valid(&serde_json::json!(url)), taken, "the chart and {url:?}");
            }
        }
    }
}
