//! What the API server refuses at admission: everything that makes a configuration invalid and can be seen in the
//! object alone. The same faults are found by `desired` in every other source.
//!
//! Rules stand on objects, not on the field at fault: the API server prints the value of a text field that breaks a
//! rule, and that could be a key.

use serde_json::{Value as Json, json};

/// Rules for the whole configuration.
pub(super) fn configuration() -> Json {
    let primary = "(self.routing_rules[task].primary in self.services)";
    let fallback = "(!has(self.routing_rules[task].fallback) || self.routing_rules[task].fallback.all(name, name in self.services))";
    json!([
        {
            "rule": "!has(self.services) || size(self.services) == 0 || self.services.exists(name, !has(self.services[name].enabled) || self.services[name].enabled)",
            "message": "no service is enabled; the orchestrator refuses such a configuration: set `enabled: true` on at least one",
            "fieldPath": ".services",
        },
        every_rule(primary, "names a primary service that is not declared"),
        every_rule(fallback, "falls back to a service that is not declared"),
    ])
}

/// Wants `holds` of every routing rule `task`. The message names the first that fails: a list of all would cost more
/// than the API server allows a message.
fn every_rule(holds: &str, fault: &str) -> Json {
    json!({
        "rule": format!("!has(self.services) || !has(self.routing_rules) || self.routing_rules.all(task, {holds})"),
        "message": format!("a routing rule {fault}: declare it, or name another"),
        "messageExpression": format!("'routing rule ' + self.routing_rules.filter(task, !{holds})[0] + ' {fault}: declare it, or name another'"),
        "fieldPath": ".routing_rules",
    })
}

/// Rules for one service.
pub(super) fn service() -> Json {
    json!([
        {
            "rule": "self.type != 'cli' || (has(self.executable) && self.executable != '')",
            "message": "a service of type cli needs `executable`: the program to run",
        },
        {
            "rule": "self.type != 'http' || (has(self.base_url) && self.base_url != '')",
            "message": "a service of type http needs `base_url`: its address",
        },
        {
            "rule": "!has(self.api_key) || self.api_key == '' || (self.api_key.startsWith('${') && self.api_key.endsWith('}'))",
            "message": "`api_key` in plain text is refused, because every reader of this object would see it: put it into a Secret and name that with `apiKeyFrom: {secretKeyRef: {name: …, key: …}}`",
        },
        {
            "rule": "!(has(self.api_key) && has(self.apiKeyFrom))",
            "message": "`api_key` and `apiKeyFrom` exclude each other: keep one",
        },
    ])
}

/// Wants one of these words.
pub(super) fn one_of(words: &[&str]) -> Json {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    json!([{"rule": format!("self in [{}]", quoted.join(", ")), "message": format!("takes one of {}", words.join(", "))}])
}
