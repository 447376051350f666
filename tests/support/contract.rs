//! Compares each answer with what the OpenAPI document says of it, and counts which calls were made.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::web::{Reply, Web};

const ROOT: &str = "/api/v1";

pub(crate) struct Contract<'a> {
    web: &'a Web,
    document: Json,
    called: BTreeSet<String>,
}

impl<'a> Contract<'a> {
    pub(crate) fn of(web: &'a Web) -> Self {
        let document = web.get("/api/v1/openapi.json").json();
        Self { web, document, called: BTreeSet::new() }
    }

    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, &[], "")
    }

    pub(crate) fn write(&mut self, method: &str, path: &str, tag: Option<&str>, body: &Json) -> Reply {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(tag.map(|tag| ("If-Match", tag)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(method, path, &headers, &body)
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let reply = self.web.ask(method, &format!("{ROOT}{path}"), headers, body);
        self.compare(method, path, &reply);
        reply
    }

    /// Calls the stream, whose answer does not end.
    pub(crate) fn has_heard_events(&mut self) {
        self.web.events().wait_for(|event| event["number"].is_u64());
        self.called.insert("streamEvents".into());
    }

    pub(crate) fn never_called(&self) -> Vec<String> {
        let paths = self.document["paths"].as_object().expect("paths");
        let calls = paths.values().flat_map(|path| path.as_object().expect("calls").values());
        let names = calls.map(|call| call["operationId"].as_str().expect("a name").to_owned());
        names.filter(|name| !self.called.contains(name)).collect()
    }

    fn compare(&mut self, method: &str, path: &str, reply: &Reply) {
        let plain = path.split('?').next().unwrap_or(path);
        let parts: Vec<&str> = plain.split('/').collect();
        let paths = self.document["paths"].as_object().expect("paths");
        let fits = |template: &str| {
            let wanted: Vec<&str> = template.trim_start_matches(ROOT).split('/').collect();
            wanted.len() == parts.len()
                && wanted.iter().zip(&parts).all(|(one, two)| one.starts_with('{') || one == two)
        };
        // What is named in full comes before what a parameter could be.
        let mut found: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
        found.sort_by_key(|template| template.matches('{').count());
        let template = found.first().unwrap_or_else(|| panic!("{path} is not in the document"));
        let call = &self.document["paths"][template.as_str()][method.to_lowercase()];
        let name =
            call["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} is not in the document"));
        let mut answer = &call["responses"][reply.status.to_string()];
        if let Some(shared) = answer["$ref"].as_str() {
            answer =
                self.document.pointer(shared.trim_start_matches('#')).expect("what it refers to is there");
        }
        assert!(
            answer.is_object(),
            "{name} answered {} and the document does not say so: {reply:?}",
            reply.status
        );
        if answer["headers"]["ETag"].is_object() && reply.status != 201 && method == "GET" {
            reply.etag();
        }
        match answer["content"].as_object().and_then(|content| content.iter().next()) {
            None => assert_eq!(reply.body, "", "{name}"),
            Some((media, content)) => {
                let kind = reply.header("content-type").unwrap_or_default();
                assert_eq!(kind.split(';').next(), Some(media.as_str()), "{name}: {reply:?}");
                let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [content["schema"]], "components": self.document["components"]});
                let validator =
                    jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
                let faults: Vec<String> = validator
                    .iter_errors(&reply.json())
                    .map(|fault| format!("{fault} at {}", fault.instance_path()))
                    .collect();
                assert!(faults.is_empty(), "{name} {}: {faults:?}\n{}", reply.status, reply.body);
            }
        }
        self.called.insert(name.to_owned());
    }
}
