//! Every call, as data. A row is all there is to say of it: the route, and what the OpenAPI document shows.

use axum::routing::{MethodRouter, delete, get, patch, post, put};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::answers::{BackupAnswer, Page};
use super::drift::{Accept, DriftAnswer, Promote, Revert, Sync};
use super::history::{BackupVerdict, Restore, RevisionAnswer};
use super::openapi::{
    any_object, created_object, execution, execution_input, rule, rule_input, rules, service, service_input,
    services, whole,
};
use super::parameters::{
    CASCADE, CLASS, CONFIRM_PRUNE, CONTINUE, DECIDED_FOR, DRY_RUN, KIND, LIMIT, REASON, REVISION, SCOPE,
    SEARCH, SECTION, START, TO,
};
use super::state::{Pause, StatusAnswer};
use super::{
    Answer, Operation, Parameter, Precondition, Shape, configuration, drift, history, objects, state,
};
use crate::actions::{DiffDocument, ExplainDocument};
use crate::model::Section;
use crate::plan::PlanDocument;
use crate::store::Revision;
use crate::web::board::Event;
use crate::web::desk::{DecisionMade, Done};
use crate::web::live;
use crate::web::site::Site;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn answer(status: u16, about: &'static str, shape: Shape) -> Answer {
    Answer { status, about, media: "application/json", tagged: false, shape: Some(shape) }
}

const fn with_tag(status: u16, about: &'static str, shape: Shape) -> Answer {
    Answer { tagged: true, ..answer(status, about, shape) }
}

/// A client that has it already gets nothing.
const NOT_MODIFIED: Answer = Answer {
    status: 304,
    about: "What the client has is what there is.",
    media: "",
    tagged: true,
    shape: None,
};

/// What the stream says of itself.
const EVENTS: &str =
    "One event for each pass that found something new. Send `id` as Last-Event-ID to hear what was missed.";

const STREAM: &[Answer] = &[Answer {
    status: 200,
    about: EVENTS,
    media: "text/event-stream",
    tagged: false,
    shape: Some(of::<Event>),
}];

/// What a write answers.
const DONE: &[Answer] = &[answer(200, "What was, or would be, done.", of::<Done>)];
const DONE_WITH_TAG: &[Answer] = &[with_tag(200, "What was, or would be, done.", of::<Done>)];
const CREATED: &[Answer] =
    &[with_tag(201, "What was done.", of::<Done>), answer(200, "What would be done.", of::<Done>)];

const fn call(
    method: &'static str,
    id: &'static str,
    path: &'static str,
    tag: &'static str,
    route: fn() -> MethodRouter<Site>,
) -> Operation {
    let (summary, query, body, precondition, answers): (_, &[Parameter], _, _, &[Answer]) =
        ("", &[], None, Precondition::None, &[]);
    Operation { id, method, path, tag, summary, query, body, precondition, answers, route }
}

impl Operation {
    const fn about(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    const fn query(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    const fn body(self, shape: Shape) -> Self {
        Self { body: Some(shape), ..self }
    }

    const fn needs(self, precondition: Precondition) -> Self {
        Self { precondition, ..self }
    }

    const fn answers(self, answers: &'static [Answer]) -> Self {
        Self { answers, ..self }
    }
}

/// Every call.
pub(crate) const OPERATIONS: &[Operation] = &[
    call("get", "getStatus", "/status", "state", || get(state::status))
        .about("How the two sides stand: source, database, differences, key, backups")
        .answers(&[answer(200, "What the last pass found.", of::<StatusAnswer<'_>>)]),
    call("get", "streamEvents", "/events", "state", || get(live::events))
        .about("What happens, as it happens (Server-Sent Events)")
        .answers(STREAM),
    call("get", "listDecisions", "/decisions", "state", || get(state::decisions))
        .about("What somebody decided: accepted differences, pauses, pins")
        .query(&[KIND])
        .answers(&[
            with_tag(200, "The decisions that are recorded.", of::<Page<DecisionMade>>),
            NOT_MODIFIED,
        ]),
    call("delete", "withdraw", "/decisions", "state", || delete(state::withdraw))
        .about("End decisions: what was accepted is a difference again, what was paused or pinned is written again")
        .query(&[DRY_RUN, REASON, KIND, DECIDED_FOR])
        .needs(Precondition::Match)
        .answers(DONE),
    call("post", "pause", "/pauses", "state", || post(state::pause))
        .about("Write nothing for a while; differences are still watched")
        .query(&[DRY_RUN])
        .body(of::<Pause>)
        .answers(CREATED),
    call("delete", "resume", "/pauses", "state", || delete(state::resume))
        .about("End a pause")
        .query(&[DRY_RUN, REASON, SCOPE])
        .needs(Precondition::Match)
        .answers(DONE),
    call("get", "listDrift", "/drift", "drift", || get(drift::list))
        .about("What differs, with all three sides")
        .query(&[LIMIT, START, CLASS, SECTION])
        .answers(&[
            with_tag(200, "The differences, the most urgent first.", of::<DriftAnswer>),
            NOT_MODIFIED,
        ]),
    call("get", "getPlan", "/plan", "drift", || get(drift::plan))
        .about("What a pass would write, what it leaves alone, and why")
        .answers(&[with_tag(200, "The plan.", of::<PlanDocument>), NOT_MODIFIED]),
    call("get", "explain", "/explain/{path}", "drift", || get(drift::explanation))
        .about("Why a value is as it is, who changed it, what happens next")
        .answers(&[
            with_tag(
                200,
                "An explanation of each value that differs, or of the whole.",
                of::<Vec<ExplainDocument>>,
            ),
            NOT_MODIFIED,
        ]),
    call("post", "revert", "/drift/revert", "drift", || post(drift::revert))
        .about("Write the source's values back into the database")
        .query(&[DRY_RUN, REASON])
        .body(of::<Revert>)
        .needs(Precondition::Match)
        .answers(DONE),
    call("post", "promote", "/drift/promote", "drift", || post(drift::promote))
        .about("Write the database's values into the source, touching nothing else in it")
        .query(&[DRY_RUN, REASON])
        .body(of::<Promote>)
        .needs(Precondition::Match)
        .answers(DONE),
    call("post", "accept", "/drift/accept", "drift", || post(drift::accept))
        .about("Leave differences as they are, quietly, until either side moves")
        .query(&[DRY_RUN])
        .body(of::<Accept>)
        .needs(Precondition::Match)
        .answers(DONE),
    call("post", "sync", "/sync", "drift", || post(drift::sync))
        .about("One pass, now: write what the plan says")
        .query(&[DRY_RUN, REASON])
        .body(of::<Sync>)
        .needs(Precondition::Match)
        .answers(DONE),
    call("get", "listServices", "/services", "objects", || {
        get(|asked| objects::list(asked, Section::Services))
    })
    .about("Services, a page at a time")
    .query(&[LIMIT, CONTINUE, SEARCH])
    .answers(&[with_tag(200, "A page, sorted by name.", services), NOT_MODIFIED]),
    call("post", "createService", "/services", "objects", || {
        post(|asked| objects::create(asked, Section::Services))
    })
    .about("Add a service")
    .query(&[DRY_RUN, REASON])
    .body(|generator| created_object(generator, Section::Services))
    .answers(CREATED),
    call("get", "getService", "/services/{id}", "objects", || {
        get(|asked| objects::read(asked, Section::Services))
    })
    .about("One service")
    .answers(&[with_tag(200, "What the database holds; never its API key.", service), NOT_MODIFIED]),
    call("put", "replaceService", "/services/{id}", "objects", || {
        put(|asked| objects::replace(asked, Section::Services))
    })
    .about("Create or replace a service; an API key that is left out stays")
    .query(&[DRY_RUN, REASON])
    .body(service_input)
    .needs(Precondition::MatchOrNone)
    .answers(DONE_WITH_TAG),
    call("patch", "changeService", "/services/{id}", "objects", || {
        patch(|asked| objects::change(asked, Section::Services))
    })
    .about("Change single fields of a service; null unsets one")
    .query(&[DRY_RUN, REASON])
    .body(service_input)
    .needs(Precondition::Match)
    .answers(DONE_WITH_TAG),
    call("delete", "deleteService", "/services/{id}", "objects", || {
        delete(|asked| objects::delete(asked, Section::Services))
    })
    .about("Remove a service")
    .query(&[DRY_RUN, REASON, CASCADE])
    .needs(Precondition::Match)
    .answers(DONE),
    call("get", "listRules", "/rules", "objects", || {
        get(|asked| objects::list(asked, Section::RoutingRules))
    })
    .about("Routing rules, a page at a time")
    .query(&[LIMIT, CONTINUE, SEARCH])
    .answers(&[with_tag(200, "A page, sorted by name.", rules), NOT_MODIFIED]),
    call("post", "createRule", "/rules", "objects", || {
        post(|asked| objects::create(asked, Section::RoutingRules))
    })
    .about("Add a routing rule")
    .query(&[DRY_RUN, REASON])
    .body(|generator| created_object(generator, Section::RoutingRules))
    .answers(CREATED),
    call("get", "getRule", "/rules/{id}", "objects", || {
        get(|asked| objects::read(asked, Section::RoutingRules))
    })
    .about("One routing rule")
    .answers(&[with_tag(200, "What the database holds.", rule), NOT_MODIFIED]),
    call("put", "replaceRule", "/rules/{id}", "objects", || {
        put(|asked| objects::replace(asked, Section::RoutingRules))
    })
    .about("Create or replace a routing rule")
    .query(&[DRY_RUN, REASON])
    .body(rule_input)
    .needs(Precondition::MatchOrNone)
    .answers(DONE_WITH_TAG),
    call("patch", "changeRule", "/rules/{id}", "objects", || {
        patch(|asked| objects::change(asked, Section::RoutingRules))
    })
    .about("Change single fields of a routing rule; null unsets one")
    .query(&[DRY_RUN, REASON])
    .body(rule_input)
    .needs(Precondition::Match)
    .answers(DONE_WITH_TAG),
    call("delete", "deleteRule", "/rules/{id}", "objects", || {
        delete(|asked| objects::delete(asked, Section::RoutingRules))
    })
    .about("Remove a routing rule")
    .query(&[DRY_RUN, REASON, CASCADE])
    .needs(Precondition::Match)
    .answers(DONE),
    call("get", "getSettings", "/settings", "objects", || {
        get(|asked| objects::read(asked, Section::Execution))
    })
    .about("The settings of execution")
    .answers(&[with_tag(200, "What the database holds.", execution), NOT_MODIFIED]),
    call("put", "replaceSettings", "/settings", "objects", || {
        put(|asked| objects::replace(asked, Section::Execution))
    })
    .about("Replace the settings; what is left out gets its default")
    .query(&[DRY_RUN, REASON])
    .body(execution_input)
    .needs(Precondition::MatchOrNone)
    .answers(DONE_WITH_TAG),
    call("patch", "changeSettings", "/settings", "objects", || {
        patch(|asked| objects::change(asked, Section::Execution))
    })
    .about("Change single settings")
    .query(&[DRY_RUN, REASON])
    .body(execution_input)
    .needs(Precondition::Match)
    .answers(DONE_WITH_TAG),
    call("get", "getConfiguration", "/config", "configuration", || get(configuration::read))
        .about("Everything in the database, without API keys")
        .answers(&[with_tag(200, "Services and rules by name, and the settings.", whole), NOT_MODIFIED]),
    call("put", "replaceConfiguration", "/config", "configuration", || put(configuration::replace))
        .about("Replace whole sections; a section that is left out stays, API keys stay")
        .query(&[DRY_RUN, REASON, CONFIRM_PRUNE])
        .body(any_object)
        .needs(Precondition::Match)
        .answers(DONE),
    call("patch", "changeConfiguration", "/config", "configuration", || patch(configuration::change))
        .about("Change several objects at once; null removes one")
        .query(&[DRY_RUN, REASON, CONFIRM_PRUNE])
        .body(any_object)
        .needs(Precondition::Match)
        .answers(DONE),
    call("get", "listHistory", "/history", "history", || get(history::list))
        .about("Who changed what, newest first")
        .query(&[LIMIT, REVISION])
        .answers(&[with_tag(200, "A page of revisions.", of::<Page<Revision>>), NOT_MODIFIED]),
    call("get", "getRevision", "/history/{revision}", "history", || get(history::read))
        .about("One revision, with the configuration after it")
        .answers(&[answer(200, "The revision; API keys masked.", of::<RevisionAnswer>)]),
    call("get", "diffRevision", "/history/{revision}/diff", "history", || get(history::diff))
        .about("What changed since a revision")
        .query(&[TO])
        .answers(&[answer(200, "What changed.", of::<DiffDocument>)]),
    call("post", "restoreRevision", "/history/{revision}/restore", "history", || post(history::restore))
        .about("The values of a revision; the source is kept out until it changes")
        .query(&[DRY_RUN, REASON])
        .body(of::<Restore>)
        .needs(Precondition::Match)
        .answers(DONE),
    call("get", "listBackups", "/backups", "backups", || get(history::backups))
        .about("The backups, newest first")
        .answers(&[answer(200, "The backups.", of::<Page<BackupAnswer>>)]),
    call("post", "createBackup", "/backups", "backups", || post(history::back_up))
        .about("Take a backup now")
        .query(&[DRY_RUN, REASON])
        .answers(DONE),
    call("get", "checkBackup", "/backups/{name}", "backups", || get(history::check))
        .about("Whether a backup could be restored: all of it but the last step")
        .answers(&[answer(200, "What a restore would find.", of::<BackupVerdict>)]),
    call("post", "restoreBackup", "/backups/{name}/restore", "backups", || post(history::restore_backup))
        .about("The values of a backup; the source is kept out until it changes")
        .query(&[DRY_RUN, REASON])
        .body(of::<Restore>)
        .needs(Precondition::Match)
        .answers(DONE),
    call("get", "getOpenapi", "/openapi.json", "state", || get(super::openapi::serve))
        .about("This document")
        .answers(&[answer(200, "OpenAPI 3.1.", any_object)]),
];
