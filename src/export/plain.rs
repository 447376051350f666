//! Plain data as YAML in block style, as a person would write it.

use serde_json::Value as Json;

use super::scalar;

/// Returns an object as a YAML document.
///
/// # Guarantees
/// The project's own reader reads the same data from it, in the same order.
pub fn object_to_yaml(object: &Json) -> String {
    let mut text = String::new();
    push_entries(&mut text, object, 0);
    text
}

fn push_entries(text: &mut String, value: &Json, indent: usize) {
    match value {
        Json::Object(entries) => {
            for (key, value) in entries {
                text.push_str(&format!("{:indent$}{}:", "", scalar(key)));
                push_value(text, value, indent);
            }
        }
        Json::Array(items) => {
            for item in items {
                text.push_str(&format!("{:indent$}-", ""));
                push_value(text, item, indent);
            }
        }
        _ => {}
    }
}

/// Writes what stands behind a key or a dash, and ends the line.
fn push_value(text: &mut String, value: &Json, indent: usize) {
    match value {
        Json::String(value) => text.push_str(&format!(" {}\n", one_line(value))),
        Json::Object(entries) if entries.is_empty() => text.push_str(" {}\n"),
        Json::Array(items) if items.is_empty() => text.push_str(" []\n"),
        Json::Object(_) | Json::Array(_) => {
            text.push('\n');
            push_entries(text, value, indent + 2);
        }
        other => text.push_str(&format!(" {other}\n")),
    }
}

fn one_line(text: &str) -> String {
    let scalar = scalar(text);
    if scalar.contains('\n') { Json::from(text).to_string() } else { scalar.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_as_the_same_data() {
        let data = serde_json::json!({
            "services": {
                "a": {"type": "http", "base_url": "http://a:1", "enabled": false, "models": ["m: 1", "on", "x\ny"], "retry_delay": 3},
                "yes": {"site_name": null, "fallback_models": []},
            },
            "logging": {"level": "INFO", "handlers": [{"a": 1}, [2, [3]]], "ratio": 1.5, "empty": {}},
        });
        let yaml = object_to_yaml(&data);
        assert_eq!(crate::desired::value_of(&yaml), Ok(data), "{yaml}");
    }
}
