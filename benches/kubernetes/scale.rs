//! Many agents on one API server and one `OxideConfig`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Agent, declare, server, workers};
use crate::cluster::Api;

pub(crate) fn agents(count: usize) {
    let api = server();
    declare(&api);
    let clock = Instant::now();
    let agents: Vec<Agent> = (0..count)
        .map(|number| Agent::start(&api, "oxideconfig:default/default", &format!("agent-{number}")))
        .collect();
    api.await_object("default", "oxideconfigs", "all stores in sync", |config| {
        config["status"]["stores"]["synced"].as_u64() == u64::try_from(count).ok()
    });
    println!("\n{count} agents started, migrated and summed up after {:.1} s", clock.elapsed().as_secs_f64());
    let resident: u64 = agents.iter().map(Agent::resident_kib).sum();
    println!("resident: {:.1} MiB an agent", resident as f64 / 1024.0 / count as f64);
    println!(
        "\n| one edit | all databases committed s | all stores summed up s | requests an agent | payload KiB an agent | API server processor s |\n|---|---|---|---|---|---|"
    );
    for edit in 1..=5_i64 {
        let (used, before) = (api.server_time(), Load::of(&api));
        let clock = Instant::now();
        let patch =
            format!(r#"{{"spec":{{"config":{{"execution":{{"max_parallel_workers":{}}}}}}}}}"#, 1_000 + edit);
        api.kubectl(&["patch", "oxideconfig", "default", "--type=merge", "-p", &patch]);
        let databases: Vec<_> = agents.iter().filter_map(Agent::database).collect();
        for database in &databases {
            while workers(database) != Some(1_000 + edit) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let committed = clock.elapsed();
        let generation = edit + 1;
        api.await_object("default", "oxideconfigs", "the sum", |config| {
            let status = &config["status"];
            status["observedGeneration"].as_i64() == Some(generation)
                && status["stores"]["synced"].as_u64() == u64::try_from(count).ok()
        });
        let summed = clock.elapsed();
        let load = Load::of(&api).since(&before);
        println!(
            "| {edit} | {:.2} | {:.2} | {:.2} | {:.1} | {:.2} |",
            committed.as_secs_f64(),
            summed.as_secs_f64(),
            load.requests / count as f64,
            load.bytes / 1024.0 / count as f64,
            api.server_time().saturating_sub(used).as_secs_f64()
        );
    }
    let (used, before) = (api.server_time(), Load::of(&api));
    std::thread::sleep(Duration::from_mins(1));
    let load = Load::of(&api).since(&before);
    println!(
        "\nat rest for 60 s: {:.2} requests and {:.2} KiB an agent, API server {:.2} s of processor",
        load.requests / count as f64,
        load.bytes / 1024.0 / count as f64,
        api.server_time().saturating_sub(used).as_secs_f64()
    );
}

/// What the API server has answered, by its own count.
struct Load {
    requests: f64,
    bytes: f64,
}

impl Load {
    fn of(api: &Api) -> Self {
        let text = api.kubectl(&["get", "--raw", "/metrics"]);
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let ours = ["oxideconfigs", "oxidestores", "leases", "events", "secrets"]
                .iter()
                .any(|resource| line.contains(&format!("resource=\"{resource}\"")));
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            if let (true, Some(value)) =
                (ours, line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()))
            {
                *sums.entry(name).or_default() += value;
            }
        }
        let sum = |name: &str| sums.get(name).copied().unwrap_or_default();
        Self {
            requests: sum("apiserver_request_total"),
            bytes: sum("apiserver_response_sizes_sum") + sum("apiserver_watch_events_sizes_sum"),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self { requests: self.requests - before.requests, bytes: self.bytes - before.bytes }
    }
}
