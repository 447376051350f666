//! The OpenAPI 3.1 document, from the table of operations and the types' own schemas.

use axum::http::StatusCode;
use axum::response::Response;
use indexmap::IndexMap;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value as Json, json};

use super::{Answer, OPERATIONS, Operation, ParameterKind, Precondition, ROOT, TAGS};
use crate::actions::field_schema;
use crate::model::{Kind, Section};
use crate::web::asked::Asked;
use crate::web::problem::Problem;

/// What may go wrong: its name in the document, status and meaning.
type Fault = (&'static str, u16, &'static str);

/// Whatever the call.
const ALWAYS: [Fault; 6] = [
    ("Malformed", 400, "The request cannot be understood."),
    ("NotLoggedIn", 401, "No login, or a wrong token."),
    ("Forbidden", 403, "Another site's page, or a name that this server does not answer under."),
    ("TooMany", 429, "Too many requests; try again after what Retry-After says."),
    ("Failed", 500, "The database cannot be used; `detail` and `hint` say why and what to do."),
    ("NotNow", 503, "Not now: the database is busy, or the first comparison is not done."),
];

/// With reads.
const READS: [Fault; 2] = [
    ("NotFound", 404, "There is no such thing."),
    ("NoSource", 409, "The source cannot be read, so nothing can be compared."),
];

/// With writes.
const WRITES: [Fault; 7] = [
    ("NotFound", 404, "There is no such thing."),
    ("TooSlow", 408, "The body did not arrive in time."),
    (
        "Conflict",
        409,
        "It is there already, more would be deleted than was confirmed, or the source cannot be used.",
    ),
    ("Changed", 412, "It is no longer what the client was shown. Nothing was written."),
    ("TooLarge", 413, "The body is too large."),
    ("NotJson", 415, "The body is not JSON."),
    ("Invalid", 422, "What was asked for, or what would result, is not valid; `errors` has every finding."),
];

/// With writes that have to say what they expect to find.
const UNCONDITIONAL: Fault = ("Unconditional", 428, "The request does not say what it expects to find.");

pub(super) async fn serve(asked: Asked) -> Result<Response, Problem> {
    asked.query(&[])?;
    Ok(super::json(StatusCode::OK, &document()))
}

/// Returns the document.
pub(crate) fn document() -> Json {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator =
        settings.with(|it| it.definitions_path = "/components/schemas".into()).into_generator();
    let mut inputs = SchemaSettings::draft2020_12()
        .for_deserialize()
        .with(|it| it.definitions_path = "/components/schemas".into())
        .into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths: IndexMap<String, Map<String, Json>> = IndexMap::new();
    for operation in OPERATIONS {
        let path = paths.entry(format!("{ROOT}{}", operation.path)).or_default();
        path.insert(operation.method.to_owned(), call(operation, &mut generator, &mut inputs));
    }
    let content = json!({"application/problem+json": {"schema": problem}});
    let faults = ALWAYS.into_iter().chain(READS).chain(WRITES).chain([UNCONDITIONAL]);
    let responses: Map<String, Json> = faults
        .map(|(name, _, about)| (name.to_owned(), json!({"description": about, "content": content})))
        .collect();
    let mut schemas = generator.take_definitions(true);
    schemas.extend(inputs.take_definitions(true));
    schemas.sort_keys();
    let tags: Vec<Json> =
        TAGS.iter().map(|(name, about)| json!({"name": name, "description": about})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "oxide-operator",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Keeps the configuration database of the Oxide LLM orchestrator equal to a declared YAML. Every write \
                is planned, backed up, verified and recorded as on the command line; `dryRun=true` says what it would do. \
                API keys are written and never read.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The text of the file web.token beside the database."},
            },
            "responses": responses,
            "schemas": schemas,
        },
    })
}

fn call(operation: &Operation, generator: &mut SchemaGenerator, inputs: &mut SchemaGenerator) -> Json {
    let mut call = Map::new();
    call.insert("operationId".into(), operation.id.into());
    call.insert("tags".into(), json!([operation.tag]));
    call.insert("summary".into(), operation.summary.into());
    call.insert("parameters".into(), Json::Array(parameters(operation)));
    if let Some(body) = operation.body {
        let content = json!({"application/json": {"schema": body(inputs)}});
        call.insert("requestBody".into(), json!({"required": true, "content": content}));
    }
    let mut answers: Vec<(u16, Json)> =
        operation.answers.iter().map(|it| (it.status, good(it, generator))).collect();
    let shared =
        |(name, status, _): Fault| (status, json!({"$ref": format!("#/components/responses/{name}")}));
    answers.extend(faults(operation).into_iter().map(shared));
    answers.sort_by_key(|(status, _)| *status);
    let answers: Map<String, Json> =
        answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
    call.insert("responses".into(), Json::Object(answers));
    Json::Object(call)
}

fn parameters(operation: &Operation) -> Vec<Json> {
    let in_path = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Json> = in_path
        .map(|name| {
            let (about, schema) = match name {
                "revision" => {
                    ("`7` for a revision, `o7` for a snapshot of the orchestrator's own.", revision())
                }
                "path" => (
                    "An object or a field, as `services.openai.enabled`.",
                    json!({"type": "string", "minLength": 1}),
                ),
                _ => ("Its name.", json!({"type": "string", "minLength": 1})),
            };
            json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema})
        })
        .collect();
    parameters.extend(operation.query.iter().map(|it| {
        let schema = match it.kind {
            ParameterKind::Flag => json!({"type": "boolean"}),
            ParameterKind::Number(least, most) => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            ParameterKind::Text if it.name == "reason" => {
                json!({"type": "string", "minLength": 1, "maxLength": 300})
            }
            ParameterKind::Text => json!({"type": "string"}),
            ParameterKind::Choice(words) => json!({"type": "string", "enum": words}),
            ParameterKind::Revision => revision(),
        };
        json!({"name": it.name, "in": "query", "required": false, "description": it.about, "schema": schema})
    }));
    let header = |name: &str, about: &str, required: bool| json!({"name": name, "in": "header", "required": required, "description": about, "schema": {"type": "string"}});
    match operation.precondition {
        Precondition::None => {}
        Precondition::Match => {
            let about = "The ETag that you were shown, or `*` for whatever is there.";
            parameters.push(header("If-Match", about, true));
        }
        Precondition::MatchOrNone => {
            let about = "The ETag that you were shown, or `*` for whatever is there. Needed, unless If-None-Match is sent.";
            parameters.push(header("If-Match", about, false));
            parameters.push(header("If-None-Match", "`*`: there is none yet.", false));
        }
    }
    parameters
}

fn revision() -> Json {
    json!({"type": "string", "pattern": "^o?[1-9][0-9]{0,17}$"})
}

fn good(answer: &Answer, generator: &mut SchemaGenerator) -> Json {
    let mut described = Map::new();
    described.insert("description".into(), answer.about.into());
    if answer.tagged {
        let tag = json!({"description": "What to send as If-Match.", "schema": {"type": "string"}});
        described.insert("headers".into(), json!({"ETag": tag}));
    }
    if let Some(shape) = answer.shape {
        described.insert("content".into(), json!({answer.media: {"schema": shape(generator)}}));
    }
    Json::Object(described)
}

/// What may go wrong with a call.
fn faults(operation: &Operation) -> Vec<Fault> {
    let mut faults = ALWAYS.to_vec();
    match operation.method {
        "get" => faults.extend(READS),
        _ => faults.extend(WRITES),
    }
    faults.extend((operation.precondition != Precondition::None).then_some(UNCONDITIONAL));
    faults
}

/// What an object looks like when it is read.
fn read(section: Section) -> Json {
    let mut properties = Map::new();
    if section != Section::Execution {
        properties.insert(section.id_column().into(), json!({"type": "string"}));
    }
    properties.insert("etag".into(), json!({"type": "string", "description": "Its tag, for If-Match."}));
    if section == Section::Services {
        properties.insert(
            "apiKeySet".into(),
            json!({"type": "boolean", "description": "Whether it has an API key."}),
        );
    }
    let shown = section.fields().iter().filter(|spec| spec.kind != Kind::Secret);
    properties.extend(shown.map(|spec| {
        // What is there may be wrong, and is shown as it is.
        let mut schema = field_schema(spec);
        if let Some(kind) = schema.get_mut("type")
            && kind.is_string()
            && *kind != "array"
        {
            *kind = json!([kind.clone(), "string", "null"]);
        }
        if schema["type"] == "array" {
            schema = json!({"type": ["array", "string"], "items": {"type": "string"}});
        }
        (spec.name.to_owned(), unique(schema))
    }));
    let required: Vec<&String> = properties.keys().collect();
    json!({"type": "object", "required": required, "properties": properties})
}

/// Names each type once.
fn unique(mut schema: Json) -> Json {
    if let Some(Json::Array(kinds)) = schema.get_mut("type") {
        let mut seen = Vec::new();
        kinds.retain(|kind| {
            !seen.contains(kind) && {
                seen.push(kind.clone());
                true
            }
        });
    }
    schema
}

/// What may be written of an object. An API key is written only.
fn written(section: Section) -> Json {
    let fields = section.fields().iter().map(|spec| {
        let mut schema = field_schema(spec);
        if let Kind::Choice(words) = spec.kind {
            schema = json!({"enum": words.iter().map(|word| json!(word)).chain((!spec.required).then_some(Json::Null)).collect::<Vec<_>>()});
        }
        if spec.kind == Kind::Integer {
            schema["minimum"] = json!(0);
        }
        if spec.kind == Kind::Secret {
            schema["writeOnly"] = json!(true);
            schema["description"] = json!("Written and never read. Leave it out to keep the one there is; null removes it.");
        }
        (spec.name.to_owned(), schema)
    });
    let properties: Map<String, Json> = fields.collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn named(generator: &mut SchemaGenerator, name: &str, schema: Json) -> Schema {
    let schemas = generator.definitions_mut();
    schemas.entry(name.to_owned()).or_insert(schema);
    json_schema!({"$ref": format!("#/components/schemas/{name}")})
}

pub(super) fn service(generator: &mut SchemaGenerator) -> Schema {
    named(generator, "Service", read(Section::Services))
}

pub(super) fn rule(generator: &mut SchemaGenerator) -> Schema {
    named(generator, "Rule", read(Section::RoutingRules))
}

pub(super) fn execution(generator: &mut SchemaGenerator) -> Schema {
    named(generator, "Settings", read(Section::Execution))
}

pub(super) fn service_input(generator: &mut SchemaGenerator) -> Schema {
    named(generator, "ServiceFields", written(Section::Services))
}

pub(super) fn rule_input(generator: &mut SchemaGenerator) -> Schema {
    named(generator, "RuleFields", written(Section::RoutingRules))
}

pub(super) fn execution_input(generator: &mut SchemaGenerator) -> Schema {
    named(generator, "SettingsFields", written(Section::Execution))
}

/// The fields of a new object, and its name.
pub(super) fn created_object(_: &mut SchemaGenerator, section: Section) -> Schema {
    let mut schema = written(section);
    schema["properties"][section.id_column()] = json!({"type": "string", "minLength": 1, "maxLength": 200});
    schema["required"] = json!([section.id_column()]);
    Schema::try_from(schema).unwrap_or_default()
}

pub(super) fn services(generator: &mut SchemaGenerator) -> Schema {
    let item = service(generator);
    page(&item)
}

pub(super) fn rules(generator: &mut SchemaGenerator) -> Schema {
    let item = rule(generator);
    page(&item)
}

fn page(item: &Schema) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["items", "total", "continue"],
        "properties": {
            "items": {"type": "array", "items": item},
            "total": {"type": "integer"},
            "continue": {"type": ["string", "null"]},
        },
    })
}

pub(super) fn whole(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["services", "routing_rules", "execution"],
        "properties": {
            "services": {"type": "object", "additionalProperties": {"type": "object"}},
            "routing_rules": {"type": "object", "additionalProperties": {"type": "object"}},
            "execution": {"type": "object"},
        },
    })
}

pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object"})
}
