//! The API through a real `run`: every call against what the document says of it, two clients at once, foreign writes.

#![expect(clippy::disallowed_methods, reason = "tests touch the world")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/contract.rs"]
mod contract;
#[path = "support/web.rs"]
mod web;

use std::time::Instant;

use agent::folder_with_yaml;
use contract::Contract;
use serde_json::{Value as Json, json};
use web::{Client, Web, until};

#[test]
fn the_committed_document_is_that_of_the_program() {
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_oxide-operator")).arg("openapi").output();
    let generated = String::from_utf8(program.expect("runs").stdout).expect("text");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("OXIDE_BLESS").is_some() {
        std::fs::write(file, &generated).expect("written");
    }
    let committed = std::fs::read_to_string(file).expect("openapi.json is committed");
    assert!(committed == generated, "openapi.json is old: `oxide-operator openapi > openapi.json`");
    let web = Web::start(&[]);
    let served: Json = web.get("/api/v1/openapi.json").json();
    assert_eq!(served, serde_json::from_str::<Json>(&committed).expect("JSON"));
}

/// Whatever is there.
const ANY: Option<&str> = Some("*");

/// Every call of the document is made at least once, and each answer is compared with what the document says of it.
#[test]
fn every_call_answers_as_the_document_says() {
    let web = Web::start(&[]);
    let mut api = Contract::of(&web);
    state(&mut api);
    services(&mut api);
    rules_and_settings(&mut api);
    drift(&mut api, &web);
    the_whole(&mut api);
    history_and_backups(&mut api);
    assert_eq!(api.get("/openapi.json").status, 200);
    api.has_heard_events();
    assert_eq!(api.never_called(), Vec::<String>::new(), "each call of the document is tried");
}

fn state(api: &mut Contract<'_>) {
    assert_eq!(api.get("/status").json()["report"]["outcome"], "applied");
    assert_eq!(api.get("/decisions?kind=pause").json()["total"], 0);
    let pause = json!({"scope": "services.lm*", "reason": "tried out", "until": "2h"});
    assert_eq!(api.write("POST", "/pauses?dryRun=true", None, &pause).status, 200);
    assert_eq!(api.write("POST", "/pauses", None, &pause).status, 201);
    assert_eq!(api.write("POST", "/pauses", None, &pause).status, 409);
    let tag = api.get("/decisions").etag().to_owned();
    assert_eq!(api.write("DELETE", "/pauses?scope=services.lm*", Some("\"x\""), &Json::Null).status, 412);
    assert_eq!(api.write("DELETE", "/pauses?scope=services.lm*", Some(&tag), &Json::Null).status, 200);
    assert_eq!(api.write("DELETE", "/pauses", ANY, &Json::Null).status, 404);
}

fn services(api: &mut Contract<'_>) {
    let page = api.get("/services?limit=2&q=o");
    assert_eq!(page.json()["items"].as_array().map(Vec::len), Some(2));
    let next = page.json()["continue"].as_str().expect("another page").to_owned();
    assert_ne!(
        api.get(&format!("/services?limit=2&q=o&continue={next}")).json()["items"],
        page.json()["items"]
    );
    let new = json!({"id": "new one/ü", "type": "http", "base_url": "http://x", "api_type": "ollama", "api_key": "sk-canary"});
    assert_eq!(api.write("POST", "/services?dryRun=true", None, &new).status, 200);
    let created = api.write("POST", "/services?reason=tried", None, &new);
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(api.write("POST", "/services", None, &new).status, 409);
    assert_eq!(api.write("POST", "/services", None, &json!({"id": "x", "type": "colour"})).status, 422);
    assert_eq!(api.write("POST", "/services", None, &json!({"type": "cli"})).status, 400);
    let place = created.header("location").expect("a place").trim_start_matches("/api/v1").to_owned();
    let one = api.get(&place);
    assert_eq!((&one.json()["id"], &one.json()["apiKeySet"]), (&json!("new one/ü"), &json!(true)));
    assert_eq!(one.etag(), created.etag());
    let known = [("If-None-Match", one.etag())];
    assert_eq!(api.ask("GET", &place, &known, "").status, 304);
    let body = one.json();
    let same = api.write("PUT", &place, Some(one.etag()), &body);
    assert_eq!(
        (same.status, &same.json()["written"]),
        (200, &Json::Null),
        "what was read is sent back: {same:?}"
    );
    let less = json!({"type": "http", "base_url": "http://y", "api_type": "ollama", "max_retries": 2});
    assert_eq!(api.write("PUT", &place, Some(one.etag()), &less).status, 200);
    assert_eq!(api.write("PUT", &place, Some(one.etag()), &less).status, 412);
    assert_eq!(api.write("PATCH", &place, ANY, &json!({"max_retries": null})).status, 200);
    assert_eq!(api.get(&place).json()["max_retries"], Json::Null);
    assert_eq!(api.get(&place).json()["apiKeySet"], true, "a key that is not mentioned stays");
    assert_eq!(api.write("PATCH", &place, ANY, &json!({"api_key": null})).status, 200);
    assert_eq!(api.get(&place).json()["apiKeySet"], false);
    assert_eq!(api.write("DELETE", &place, ANY, &Json::Null).status, 200);
    assert_eq!(api.write("DELETE", &place, ANY, &Json::Null).status, 404);
    assert_eq!(api.write("DELETE", "/services/gemini", ANY, &Json::Null).status, 422, "rules name it");
    assert_eq!(
        api.write("DELETE", "/services/gemini?cascade=true&dryRun=true", ANY, &Json::Null).status,
        200
    );
}

fn rules_and_settings(api: &mut Contract<'_>) {
    assert_eq!(api.get("/rules").json()["total"], 9);
    assert_eq!(
        api.write("POST", "/rules", None, &json!({"task_type": "echo", "primary": "gemini"})).status,
        201
    );
    assert_eq!(api.write("PUT", "/rules/echo", ANY, &json!({"primary": "nobody"})).status, 422);
    assert_eq!(api.write("PUT", "/rules/echo", ANY, &json!({"primary": "qwen"})).status, 200);
    assert_eq!(api.get("/rules/echo").json()["primary"], "qwen");
    assert_eq!(api.write("PATCH", "/rules/echo", ANY, &json!({"fallback": ["gemini"]})).status, 200);
    assert_eq!(api.write("DELETE", "/rules/echo", ANY, &Json::Null).status, 200);
    let settings = api.get("/settings");
    assert_eq!(
        api.write("PATCH", "/settings", Some(settings.etag()), &json!({"timeout_seconds": 77})).status,
        200
    );
    assert_eq!(api.write("PUT", "/settings", ANY, &settings.json()).status, 200);
    assert_eq!(api.get("/settings").json(), settings.json());
}

fn drift(api: &mut Contract<'_>, web: &Web) {
    assert_eq!(api.write("PATCH", "/services/gemini", ANY, &json!({"enabled": false})).status, 200);
    assert_eq!(api.write("PATCH", "/services/qwen", ANY, &json!({"enabled": false})).status, 200);
    assert_eq!(api.write("PATCH", "/settings", ANY, &json!({"max_retries": 9})).status, 200);
    let drift = api.get("/drift?class=drift&limit=2");
    assert_eq!((&drift.json()["total"], &drift.json()["compared"]), (&json!(3), &json!(true)));
    assert_eq!(api.get("/drift?section=execution").json()["total"], 1);
    let of_one = api.get("/drift").json()["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|it| it["path"] == "execution.max_retries")
        .cloned();
    let tag = format!("\"{}\"", of_one.expect("it differs")["etag"].as_str().expect("a tag"));
    let paths = json!({"paths": ["execution.max_retries"]});
    assert_eq!(api.write("POST", "/drift/revert", None, &paths).status, 428);
    assert_eq!(api.write("POST", "/drift/revert", Some("\"old\""), &paths).status, 412);
    assert_eq!(api.write("POST", "/drift/revert?dryRun=true", Some(&tag), &paths).status, 200);
    assert_eq!(api.write("POST", "/drift/revert", Some(&tag), &paths).json()["written"]["updated"], 1);
    assert_eq!(api.write("POST", "/drift/revert", ANY, &json!({"paths": ["services.nobody"]})).status, 422);
    let explained = api.get("/explain/services.gemini.enabled");
    assert_eq!(explained.json()[0]["class"], "drift");
    assert_eq!(api.get("/explain/services.nobody").status, 404);
    let accept = json!({"paths": ["services.gemini.enabled"], "reason": "being repaired", "until": "7d"});
    assert_eq!(api.write("POST", "/drift/accept", Some(explained.etag()), &accept).status, 200);
    assert_eq!(api.get("/decisions").json()["items"][0]["reason"], "being repaired");
    let accepted = "/decisions?kind=accept&scope=services.gemini.enabled";
    assert_eq!(api.write("DELETE", "/decisions", ANY, &Json::Null).status, 400, "everything is never meant");
    assert_eq!(api.write("DELETE", accepted, Some("\"old\""), &Json::Null).status, 412);
    assert_eq!(api.write("DELETE", accepted, ANY, &Json::Null).status, 200);
    assert_eq!(api.write("DELETE", accepted, ANY, &Json::Null).status, 404);
    assert_eq!(api.get("/decisions").json()["total"], 0);
    assert_eq!(api.write("POST", "/drift/accept", ANY, &accept).status, 200);
    let promote = json!({"paths": ["services.qwen.enabled"]});
    let preview = api.write("POST", "/drift/promote?dryRun=true", ANY, &promote);
    assert!(
        preview.json()["promoted"]["diff"].as_str().is_some_and(|diff| diff.contains("+    enabled: false"))
    );
    assert_eq!(api.write("POST", "/drift/promote", ANY, &promote).status, 200);
    let yaml = std::fs::read_to_string(web.agent.yaml()).expect("there");
    assert_eq!(yaml.matches("enabled: false").count(), agent::YAML.matches("enabled: false").count() + 1);
    let plan = api.get("/plan");
    assert_eq!(api.write("POST", "/sync", Some("\"old\""), &json!({})).status, 412);
    assert_eq!(api.write("POST", "/sync?dryRun=true", Some(plan.etag()), &json!({})).status, 200);
    assert_eq!(api.write("POST", "/sync", ANY, &json!({"releasePin": true})).status, 200);
}

fn the_whole(api: &mut Contract<'_>) {
    let whole = api.get("/config");
    let body = whole.json();
    assert_eq!(
        api.write("PUT", "/config?dryRun=true", Some(whole.etag()), &body).json()["plan"]["steps"],
        json!([])
    );
    let two = json!({"services": {"gemini": {"max_retries": 1}}, "routing_rules": {"quick_query": null}});
    assert_eq!(api.write("PATCH", "/config", Some(whole.etag()), &two).status, 200);
    assert_eq!(api.write("PATCH", "/config", Some(whole.etag()), &two).status, 412);
    assert_eq!(api.write("PUT", "/config", ANY, &json!({"services": {}})).status, 409, "a guard");
    assert_eq!(api.write("PUT", "/config", ANY, &json!({"services": {"a": {"type": "?"}}})).status, 422);
    assert_eq!(api.write("PUT", "/config", ANY, &body).status, 200);
    assert_eq!(api.get("/config").json(), body);
}

fn history_and_backups(api: &mut Contract<'_>) {
    let history = api.get("/history?limit=2").json();
    assert!(history["total"].as_u64() > Some(5));
    let last = history["continue"].as_str().expect("more").to_owned();
    assert_eq!(api.get(&format!("/history?continue={last}")).status, 200);
    assert!(
        api.get("/history/1").json()["configuration"].as_str().is_some_and(|yaml| yaml.contains("gemini"))
    );
    assert_eq!(api.get("/history/1/diff").status, 200);
    assert_eq!(api.get("/history/1/diff?to=2").json()["from"], "1");
    assert_eq!(api.get("/history/999").status, 404);
    let tag = api.get("/config").etag().to_owned();
    assert_eq!(api.write("POST", "/history/1/restore", Some("\"old\""), &json!({})).status, 412);
    let restored = api.write("POST", "/history/1/restore", Some(&tag), &json!({"only": "services.gemini"}));
    assert_eq!(restored.status, 200, "{restored:?}");
    assert_eq!(api.write("POST", "/history/999/restore", ANY, &json!({})).status, 404);
    assert_eq!(api.write("POST", "/backups?reason=by+hand", None, &Json::Null).status, 200);
    let name = api.get("/backups").json()["items"][0]["name"].as_str().expect("one").to_owned();
    assert_eq!(api.get(&format!("/backups/{name}")).json()["verdict"]["is"], "good");
    assert_eq!(api.get("/backups/..%2F..%2Fetc").status, 404);
    assert_eq!(
        api.write("POST", &format!("/backups/{name}/restore?dryRun=true"), ANY, &json!({})).status,
        200
    );
}

#[test]
fn a_misspelt_parameter_writes_nothing() {
    let web = Web::start(&[]);
    for path in [
        "services/gemini?dryrun=true",
        "services/gemini?dryRun=yes",
        "services/gemini?dryRun=true&dryRun=false",
    ] {
        let reply = web.write("PATCH", &format!("/api/v1/{path}"), Some("*"), &json!({"enabled": false}));
        assert_eq!(reply.status, 400, "{path}");
    }
    assert_eq!(web.get("/api/v1/services/gemini").json()["enabled"], true);
    assert_eq!(web.get("/api/v1/history").json()["total"], 1);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let web = Web::start(&[]);
    let before = std::fs::read(web.agent.yaml()).expect("there");
    let reply =
        web.write("DELETE", "/api/v1/services/gemini?cascade=true&dryRun=true", Some("*"), &Json::Null);
    assert!(reply.json()["plan"]["steps"].as_array().is_some_and(|steps| steps.len() > 1), "{reply:?}");
    assert_eq!(reply.json()["dryRun"], true);
    web.agent
        .orchestrator()
        .execute_batch("UPDATE services SET enabled = 0 WHERE id = 'gemini'")
        .expect("written");
    until("the drift", || web.get("/api/v1/drift").json()["total"] == 1);
    let backups = || web.get("/api/v1/backups").json()["total"].clone();
    until("the backup after the first write", || backups() == 1);
    let history = || web.get("/api/v1/history").json()["total"].clone();
    until("the edit's entry", || history() == 2);
    let paths = json!({"paths": ["services.gemini.enabled"]});
    for answer in ["revert", "promote"] {
        let reply = web.write("POST", &format!("/api/v1/drift/{answer}?dryRun=true"), Some("*"), &paths);
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(history(), 2);
    assert_eq!(backups(), 1);
    assert_eq!(std::fs::read(web.agent.yaml()).expect("there"), before);
}

#[test]
fn of_two_who_edit_the_same_service_the_second_is_told_and_nothing_is_lost() {
    let web = Web::start(&[]);
    let path = "/api/v1/services/gemini";
    let seen = web.get(path);
    let first = web.write("PATCH", path, Some(seen.etag()), &json!({"max_retries": 1}));
    let second = web.write("PATCH", path, Some(seen.etag()), &json!({"max_retries": 2}));
    assert_eq!((first.status, second.status), (200, 412));
    assert_eq!(second.json()["type"], "urn:oxide-operator:changed");
    // The orchestrator's own edit counts as much.
    let seen = web.get(path);
    web.agent
        .orchestrator()
        .execute_batch("UPDATE services SET max_retries = 7 WHERE id = 'gemini'")
        .expect("written");
    assert_eq!(web.write("PATCH", path, Some(seen.etag()), &json!({"max_retries": 2})).status, 412);
    assert_eq!(web.get(path).json()["max_retries"], 7);
}

#[test]
fn twenty_writers_of_one_value_lose_no_acknowledged_edit() {
    const WRITERS: usize = 20;
    const EACH: usize = 5;
    let web = Web::start(&[]);
    let path = "/api/v1/settings";
    assert_eq!(web.write("PATCH", path, Some("*"), &json!({"max_retries": 0})).status, 200);
    let client: &Client = &web;
    let refused: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(|| add_one(client, path, EACH))).collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer ends")).sum()
    });
    assert!(refused > 0, "they never met, so nothing was tested");
    assert_eq!(web.get(path).json()["max_retries"], json!(WRITERS * EACH), "each acknowledged edit counts");
}

/// Adds one, so many times, each time anew until it is acknowledged; returns how often it was turned away.
fn add_one(web: &Client, path: &str, times: usize) -> usize {
    let (mut done, mut refused) = (0, 0);
    while done < times {
        let seen = web.get(path);
        let next = seen.json()["max_retries"].as_u64().expect("a number") + 1;
        match web.write("PATCH", path, Some(seen.etag()), &json!({"max_retries": next})).status {
            200 => done += 1,
            409 | 412 | 429 => refused += 1,
            other => panic!("not an honest answer: {other}"),
        }
    }
    refused
}

#[test]
fn a_foreign_write_is_heard_and_seen_in_under_a_second() {
    let web = Web::start(&[]);
    let mut events = web.events();
    events.wait_for(|event| event["outcome"] == "applied");
    for number in 1..=5 {
        let began = Instant::now();
        let sql = format!("UPDATE services SET max_retries = {number}0 WHERE id = 'openrouter'");
        web.agent.orchestrator().execute_batch(&sql).expect("written");
        events.wait_for(|event| event["outcome"] == "differences");
        assert_eq!(web.get("/api/v1/services/openrouter").json()["max_retries"], number * 10);
        assert!(began.elapsed().as_millis() < 1_000, "it took {:?}", began.elapsed());
    }
}

#[test]
fn who_was_away_hears_what_was_missed() {
    let web = Web::start(&[]);
    let first = web.events().wait_for(|_| true)["number"].as_u64().expect("a number");
    for count in 1..=3 {
        assert_eq!(
            web.write("PATCH", "/api/v1/settings", Some("*"), &json!({"max_retries": 10 + count})).status,
            200
        );
    }
    let mut events = web.events_after(first);
    let numbers: Vec<u64> =
        (0..3).map(|_| events.wait_for(|_| true)["number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, [first + 1, first + 2, first + 3]);
}

#[test]
fn every_service_of_a_large_store_is_on_exactly_one_page() {
    const COUNT: usize = 2_345;
    let mut yaml = String::from("services:\n");
    for number in 0..COUNT {
        yaml.push_str(&format!("  s{number:05}:\n    type: cli\n    executable: x\n"));
    }
    let folder = folder_with_yaml();
    std::fs::write(folder.path().join("default.yaml"), yaml).expect("written");
    let web = Web::start_in(folder, &[]);
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = web.get(&format!("/api/v1/services?limit=500{next}")).json();
        seen.extend(page["items"].as_array().expect("items").iter().map(|it| it["id"].to_string()));
        assert_eq!(page["total"], COUNT);
        match page["continue"].as_str() {
            Some(name) => next = format!("&continue={name}"),
            None => break,
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), COUNT);
    assert_eq!(web.get("/api/v1/services?limit=1001").status, 400);
}

#[test]
fn what_was_written_is_recorded_with_who_and_why() {
    let web = Web::start(&[]);
    let headers = [("Content-Type", "application/json"), ("If-Match", "*"), ("Oxide-Actor", "alice")];
    let reply = web.ask("PATCH", "/api/v1/services/gemini?reason=too+slow", &headers, r#"{"enabled":false}"#);
    assert_eq!(reply.status, 200, "{reply:?}");
    let newest = web.get("/api/v1/history?limit=1").json()["items"][0].clone();
    assert_eq!(
        (&newest["actor"], &newest["reason"], &newest["source"]),
        (&json!("alice"), &json!("too slow"), &json!("API"))
    );
    assert!(newest["backup"].is_string(), "backed up before: {newest}");
}

#[test]
fn while_the_source_cannot_be_used_reads_and_edits_still_work() {
    let web = Web::start(&[]);
    std::fs::remove_file(web.agent.yaml()).expect("removed");
    until("the fault", || web.get("/api/v1/status").json()["report"]["outcome"] == "sourceUnavailable");
    assert_eq!(
        web.write("PATCH", "/api/v1/services/gemini", Some("*"), &json!({"enabled": false})).status,
        200
    );
    let reply =
        web.write("POST", "/api/v1/drift/revert", Some("*"), &json!({"paths": ["services.gemini.enabled"]}));
    assert_eq!((reply.status, &reply.json()["type"]), (409, &json!("urn:oxide-operator:no-source")));
}

#[test]
fn a_busy_database_is_said_to_be_busy() {
    let web = Web::start(&[]);
    let other = web.agent.orchestrator();
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let reply = web.write("PATCH", "/api/v1/services/gemini", Some("*"), &json!({"enabled": false}));
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{reply:?}");
    other.execute_batch("ROLLBACK").expect("unlocked");
    assert_eq!(
        web.write("PATCH", "/api/v1/services/gemini", Some("*"), &json!({"enabled": false})).status,
        200
    );
}

#[test]
fn the_first_page_with_all_it_needs_is_small() {
    let web = Web::start(&[]);
    let cookie = web.log_in("alice");
    let page = web.page("/", &cookie);
    let mut bytes = page.body.len();
    for part in page.body.split('"').filter(|part| part.starts_with("/assets/")) {
        let asset = web.page(part, "");
        assert_eq!(asset.status, 200, "{part}");
        assert!(asset.header("cache-control").is_some_and(|text| text.contains("immutable")), "{part}");
        bytes += asset.body.len();
    }
    assert!(bytes < 50_000, "{bytes} bytes, uncompressed");
}

#[test]
fn a_list_of_ten_thousand_services_is_answered_at_once() {
    let mut yaml = String::from("services:\n");
    for number in 0..10_000 {
        yaml.push_str(&format!("  s{number:05}:\n    type: cli\n    executable: x\n"));
    }
    let folder = folder_with_yaml();
    std::fs::write(folder.path().join("default.yaml"), yaml).expect("written");
    let web = Web::start_in(folder, &[]);
    let cookie = web.log_in("alice");
    web.agent
        .orchestrator()
        .execute_batch("UPDATE services SET enabled = 0 WHERE id LIKE 's00%'")
        .expect("written");
    until("the drift", || web.get("/api/v1/drift?limit=1").json()["total"] == 1_000);
    for path in ["/services", "/services?q=777", "/drift", "/services/of/s00001", "/"] {
        let began = Instant::now();
        let page = web.page(path, &cookie);
        assert!(page.status == 200 && page.body.len() < 200_000, "{path}: {} bytes", page.body.len());
        assert!(began.elapsed().as_secs() < 3, "{path} took {:?}", began.elapsed());
    }
}

#[test]
fn a_rule_that_left_the_source_can_be_kept_or_removed() {
    let web = Web::start(&[]);
    let cookie = web.log_in("alice");
    let (before, rest) = agent::YAML.split_once("  refactoring:\n").expect("a rule");
    let after = rest.find("\n\n").map_or("", |at| &rest[at..]);
    std::fs::write(web.agent.yaml(), format!("{before}{after}")).expect("written");
    until("the difference", || web.get("/api/v1/drift").json()["total"] == 1);
    let page = web.page("/drift", &cookie).body;
    assert!(page.contains("href=\"/rules/of/refactoring/remove\"") && !page.contains("as=revert"), "{page}");
    let preview = web.page("/rules/of/refactoring/remove", &cookie).body;
    let tag = preview
        .split("name=\"etag\" value=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a tag");
    let fields = [("etag", tag), ("reason", "no longer needed")];
    assert_eq!(web.form("/rules/of/refactoring/remove", &cookie, &fields).status, 303);
    until("agreement", || web.get("/api/v1/drift").json()["total"] == 0);
    assert_eq!(web.get("/api/v1/rules/refactoring").status, 404);
}
