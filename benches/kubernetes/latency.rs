//! A PATCH of the source to the row committed and verified, beside a raw watch of the same object in the same run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api as Objects, ApiResource, DynamicObject, Patch, PatchParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value as Json, json};

use super::{Agent, configuration, declare, percentiles, server, workers};
use crate::cluster::Api;

/// Between two looks at the database.
const LOOK: Duration = Duration::from_micros(50);

/// Between two edits.
const GAP: Duration = Duration::from_millis(20);

/// When an edit counts as lost.
const LOST: Duration = Duration::from_secs(5);

/// At rest for so long.
const REST: Duration = Duration::from_mins(1);

type Seen = Arc<Mutex<HashMap<i64, Instant>>>;

pub(crate) fn edits(count: usize) {
    let api = server();
    declare(&api);
    let config = configuration()["config"].to_string();
    let metadata = json!({"name": "oxide", "namespace": "default"});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"default.yaml": config}});
    api.apply(&map.to_string());
    println!(
        "\n| {count} PATCHes, 6 services | raw watch p50, p99 ms | committed and verified p50, p99 ms | after the raw event p50, p99 ms | lost |\n|---|---|---|---|---|"
    );
    let served = &api;
    let row = |kind: &str, source: &str, resource: ApiResource, name: &str, patch: fn(i64) -> Json| {
        let agent = Agent::start(served, source, "bench");
        let database = await_database(&agent, |workers| workers == 4);
        let (raw, committed, after, lost) =
            api.inside(move || measure(served, &resource, name, patch, count, &database));
        let show = |mut times: Vec<f64>| {
            let (p50, p99) = percentiles(&mut times);
            format!("{p50:.2}, {p99:.2}")
        };
        println!("| {kind} | {} | {} | {} | {lost} |", show(raw), show(committed), show(after));
    };
    let of_map = ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&());
    row("ConfigMap", "configmap:default/oxide", of_map, "oxide", |workers| {
        let mut config = configuration()["config"].clone();
        config["execution"]["max_parallel_workers"] = workers.into();
        json!({"data": {"default.yaml": config.to_string()}})
    });
    let of_config = ApiResource::erase::<oxide_operator::crd::OxideConfig>(&());
    row(
        "OxideConfig",
        "oxideconfig:default/default",
        of_config,
        "default",
        |workers| json!({"spec": {"config": {"execution": {"max_parallel_workers": workers}}}}),
    );
    println!("\ntargets: raw + 1.5 ms at p50, + 5 ms at p99");
}

fn await_database(agent: &Agent, wanted: impl Fn(i64) -> bool) -> rusqlite::Connection {
    let clock = Instant::now();
    loop {
        if let Some(database) = agent.database().filter(|database| workers(database).is_some_and(&wanted)) {
            return database;
        }
        assert!(clock.elapsed() < Duration::from_mins(1), "the agent never wrote its database");
        std::thread::sleep(Duration::from_millis(5));
    }
}

type Times = (Vec<f64>, Vec<f64>, Vec<f64>, usize);

fn measure(
    api: &Api,
    resource: &ApiResource,
    name: &str,
    patch: fn(i64) -> Json,
    count: usize,
    database: &rusqlite::Connection,
) -> Times {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seen = Seen::default();
    let objects = || objects(api, resource);
    std::thread::scope(|scope| {
        let heard = Arc::clone(&seen);
        let watch = objects();
        scope.spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(listen(watch, name, &heard));
        });
        let objects = runtime.block_on(async { self::connect(api, resource).await });
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        let (mut raw, mut committed, mut after, mut lost) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for number in 1_000..1_000 + i64::try_from(count).unwrap_or_default() {
            std::thread::sleep(GAP);
            let patch = Patch::Merge(patch(number));
            let clock = Instant::now();
            runtime.block_on(objects.patch(name, &PatchParams::default(), &patch)).expect("a patch");
            while workers(database) != Some(number) && clock.elapsed() < LOST {
                std::thread::sleep(LOOK);
            }
            let done = Instant::now();
            lost += usize::from(clock.elapsed() >= LOST);
            let event = loop {
                if let Some(event) = seen.lock().expect("nobody panics with it").get(&number).copied() {
                    break event;
                }
                std::thread::sleep(LOOK);
            };
            raw.push(milliseconds(event - clock));
            committed.push(milliseconds(done - clock));
            after.push(milliseconds(done.saturating_duration_since(event)));
        }
        let end = Patch::Merge(json!({"metadata": {"annotations": {"bench": "done"}}}));
        runtime.block_on(objects.patch(name, &PatchParams::default(), &end)).expect("a patch");
        (raw, committed, after, lost)
    })
}

fn objects(api: &Api, resource: &ApiResource) -> (std::path::PathBuf, ApiResource) {
    (api.kubeconfig(), resource.clone())
}

async fn connect(api: &Api, resource: &ApiResource) -> Objects<DynamicObject> {
    client(&objects(api, resource)).await
}

async fn client((kubeconfig, resource): &(std::path::PathBuf, ApiResource)) -> Objects<DynamicObject> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a login");
    Objects::namespaced_with(Client::try_from(config).expect("a client"), "default", resource)
}

/// A raw watch: notes when each edit is heard.
async fn listen(at: (std::path::PathBuf, ApiResource), name: &str, seen: &Seen) {
    let objects = client(&at).await;
    let version = objects.get(name).await.expect("there").metadata.resource_version.unwrap_or_default();
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = objects.watch(&only, &version).await.expect("a watch").boxed();
    while let Ok(Some(event)) = events.try_next().await {
        let now = Instant::now();
        let WatchEvent::Modified(object) = event else { continue };
        if object.metadata.annotations.iter().flatten().any(|(key, _)| key == "bench") {
            return;
        }
        if let Some(number) = number(&object.data) {
            seen.lock().expect("nobody panics with it").entry(number).or_insert(now);
        }
    }
}

fn number(data: &Json) -> Option<i64> {
    let direct = data.pointer("/spec/config/execution/max_parallel_workers").and_then(Json::as_i64);
    let of_text = || {
        let text = data["data"]["default.yaml"].as_str()?;
        serde_json::from_str::<Json>(text).ok()?.pointer("/execution/max_parallel_workers")?.as_i64()
    };
    direct.or_else(of_text)
}

/// What an agent holds and does while nothing happens.
pub(crate) fn rest() {
    let api = server();
    declare(&api);
    let agent = Agent::start(&api, "oxideconfig:default/default", "bench");
    await_database(&agent, |workers| workers == 4);
    api.wait(&["--for=condition=Synced", "oxideconfig/default"]);
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", agent.child.id())).unwrap_or_default();
        let fields: Vec<u64> =
            stat.rsplit(')').next().unwrap_or_default().split(' ').filter_map(|it| it.parse().ok()).collect();
        fields.get(10).copied().unwrap_or_default() + fields.get(11).copied().unwrap_or_default()
    };
    let before = ticks();
    std::thread::sleep(REST);
    let used = ticks() - before;
    println!(
        "\nat rest for {} s, holding the Lease: resident {:.1} MiB (target 16), processor {} ms a minute",
        REST.as_secs(),
        agent.resident_kib() as f64 / 1024.0,
        used * 10
    );
}
