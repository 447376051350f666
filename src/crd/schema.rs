//! The schema of `spec.config`, made from the same table of fields that decoding, planning and storing use.
//!
//! Every optional value is nullable: an explicit null means "must be unset", and the API server drops nulls that a
//! schema does not allow.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value as Json, json};

use super::rules;
use crate::model::{FieldSpec, Kind, Section};

/// At most this many services, and as many rules. The API server bounds the cost of rules before it sees an object;
/// etcd takes no object above 1.5 MB, which is about 6 000 services.
const MAX_OBJECTS: u32 = 4_096;

/// At most this many entries in a list, such as the models of one service.
const MAX_ITEMS: u32 = 256;

/// At most this many services in the fallback of one rule: each is looked up at admission.
const MAX_FALLBACK: u32 = 32;

/// The longest name of a service or a task.
const MAX_NAME: u32 = 253;

/// The longest text, such as an address.
const MAX_TEXT: u32 = 2_048;

/// The sections that have no table, kept with each revision and given back by `export`.
const CARRIED: [&str; 4] = ["logging", "security", "storage", "cluster"];

/// Returns the schema of the orchestrator's YAML.
pub(super) fn configuration(_: &mut SchemaGenerator) -> Schema {
    let mut properties = Map::new();
    properties.insert("services".into(), services());
    properties.insert("routing_rules".into(), routing_rules());
    properties.insert("execution".into(), object(Section::Execution, "How requests are run."));
    for section in CARRIED {
        let description = format!("The section `{section}`: kept with each revision, and not compared.");
        let schema = json!({
            "description": description, "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        });
        properties.insert(section.into(), schema);
    }
    schema(json!({
        "description": "The orchestrator's YAML, word for word. A section that is absent is left alone.",
        "type": "object",
        "properties": properties,
        "x-kubernetes-validations": rules::configuration(),
    }))
}

fn services() -> Json {
    let mut service = object(Section::Services, "A model service.");
    service["properties"]["apiKeyFrom"] = key_reference();
    service["x-kubernetes-validations"] = rules::service();
    named("The services by name.", &service)
}

fn routing_rules() -> Json {
    let mut rule = object(Section::RoutingRules, "Which service does a task.");
    rule["properties"]["fallback"]["maxItems"] = MAX_FALLBACK.into();
    named("The routing rules by task.", &rule)
}

fn named(description: &str, item: &Json) -> Json {
    json!({
        "description": description, "type": "object", "additionalProperties": item, "maxProperties": MAX_OBJECTS,
    })
}

fn object(section: Section, description: &str) -> Json {
    let properties: Map<String, Json> =
        section.fields().iter().map(|spec| (spec.name.to_owned(), field(spec))).collect();
    let mut schema = json!({"description": description, "type": "object", "properties": properties});
    let required: &[&str] = match section {
        Section::Services => &["type"],
        Section::RoutingRules => &["primary"],
        Section::Execution => &[],
    };
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn field(spec: &FieldSpec) -> Json {
    let mut schema = match spec.kind {
        Kind::Text => json!({"type": "string", "maxLength": MAX_TEXT}),
        Kind::Secret => json!({
            "description": "Only a reference: `${NAME}` of an environment variable. Keys belong into a Secret; see `apiKeyFrom`.",
            "type": "string", "maxLength": MAX_NAME,
        }),
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Integer => json!({"type": "integer", "format": "int64", "minimum": 0}),
        Kind::Set | Kind::List => json!({
            "type": "array", "items": {"type": "string", "maxLength": MAX_TEXT}, "maxItems": MAX_ITEMS,
        }),
    };
    // A name of a service need not be longer than one can be: it is compared with all of them.
    if spec.name == "primary" {
        schema["maxLength"] = MAX_NAME.into();
    }
    if spec.name == "fallback" {
        schema["items"]["maxLength"] = MAX_NAME.into();
    }
    if !spec.required {
        schema["nullable"] = true.into();
        if let Kind::Choice(words) = spec.kind {
            // The API server refuses a null wherever there is an `enum`, so a rule takes its place.
            schema["x-kubernetes-validations"] = rules::one_of(words);
            schema["maxLength"] = MAX_NAME.into();
            schema["description"] = format!("One of {}.", words.join(", ")).into();
            schema.as_object_mut().map(|schema| schema.remove("enum"));
        }
    }
    schema
}

/// `apiKeyFrom`: where an API key is found, in one of these ways.
fn key_reference() -> Json {
    json!({
        "description": "Where the API key is found; exactly one way.",
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {
            "secretKeyRef": {
                "description": "An entry of a Secret in the namespace of this object.",
                "type": "object",
                "properties": {
                    "name": {"description": "The Secret.", "type": "string", "minLength": 1, "maxLength": MAX_NAME},
                    "key": {"description": "The entry.", "type": "string", "minLength": 1, "maxLength": MAX_NAME},
                },
                "required": ["name", "key"],
            },
            "env": {"description": "An environment variable that the agent was told to give away (`--source-env`).", "type": "string", "maxLength": MAX_NAME},
            "token": {
                "description": "A Fernet token that the store's key opens, as `export` and `promote` write them.",
                "type": "string", "maxLength": 8_192,
            },
        },
    })
}

fn schema(value: Json) -> Schema {
    Schema::try_from(value).expect("the value above is an object")
}
