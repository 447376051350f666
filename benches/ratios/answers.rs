//! Answers to drift: what a promotion costs, and what an adversary does.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::live::{Agent, cpu_nanos};
use super::process::{spread, timed};
use super::{inputs, program};

/// One value of the database into a large YAML. The floor reads the same rows with the `sqlite3` shell and edits the same
/// line with `sed`.
pub(crate) fn promotion(bin: &Path, services: usize, runs: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let yaml = inputs::yaml(services);
    std::fs::write(path("c.yaml"), &yaml).expect("written");
    let (source, db) = (format!("file:{}", path("c.yaml")), path("db/config.db"));
    let place = ["--source", &source, "--db", &db];
    let migrated = timed(program(bin, folder.path()).arg("migrate").args(place));
    assert_eq!(migrated.exit, 0, "migrate");
    let (mut wall, mut ratios, mut peak) = (Vec::new(), Vec::new(), 0);
    for round in 0..=runs {
        std::fs::write(path("c.yaml"), &yaml).expect("written");
        std::fs::write(path("floor.yaml"), &yaml).expect("written");
        let conn = Connection::open(&db).expect("opens");
        let value = 1_000 + i64::try_from(round).expect("small");
        conn.execute("UPDATE execution_settings SET timeout_seconds = ?1", [value]).expect("written");
        drop(conn);
        let script = format!(
            "sqlite3 '{db}' 'SELECT * FROM services; SELECT * FROM routing_rules' > /dev/null; \
             sed -i 's/timeout_seconds: 120/timeout_seconds: {value}/' '{}'; sync '{}'",
            path("floor.yaml"),
            path("floor.yaml")
        );
        let floor = timed(Command::new("sh").args(["-c", &script]));
        let run = timed(program(bin, folder.path()).args(["promote", "execution"]).args(place));
        assert_eq!(run.exit, 0, "promote");
        let edited = std::fs::read_to_string(path("c.yaml")).expect("there");
        assert_eq!(edited, yaml.replacen("timeout_seconds: 120", &format!("timeout_seconds: {value}"), 1));
        if round > 0 {
            wall.push(run.wall.as_secs_f64() * 1e3);
            ratios.push(run.wall.as_secs_f64() / floor.wall.as_secs_f64());
            peak = peak.max(run.peak_kib);
        }
    }
    let (wall, ratio) = (spread(&mut wall), spread(&mut ratios).1);
    println!(
        "\npromote one value into a YAML of {services} services: {:.1} / {:.1} / {:.1} ms, {ratio:.2} times the floor, peak {:.1} MiB",
        wall.0,
        wall.1,
        wall.2,
        peak as f64 / 1024.0
    );
}

/// Somebody rewrites a field every 50 ms. The floor is an agent that only reports it.
pub(crate) fn adversary(bin: &Path) {
    let measured: Vec<f64> = [&["--on-drift", "revert", "--grace", "0"][..], &["--on-drift", "keep"]]
        .into_iter()
        .map(|policy| {
            let agent = Agent::start_with(bin, policy);
            let over = Arc::new(AtomicBool::new(false));
            let conn = Connection::open(agent.db()).expect("opens");
            let stop = Arc::clone(&over);
            let adversary = std::thread::spawn(move || {
                let mut value = 1_000;
                while !stop.load(Ordering::Relaxed) {
                    value += 1;
                    let _ = conn.execute("UPDATE execution_settings SET timeout_seconds = ?1", [value]);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            std::thread::sleep(Duration::from_secs(5));
            let before = cpu_nanos(agent.process());
            std::thread::sleep(Duration::from_secs(20));
            let share = (cpu_nanos(agent.process()) - before) / 20e9 * 100.0;
            over.store(true, Ordering::Relaxed);
            adversary.join().expect("no panic");
            share
        })
        .collect();
    println!(
        "\nadversary, a field every 50 ms: {:.2} % of a core while it is fought and held, {:.2} % where it is only reported; ratio {:.2}",
        measured[0],
        measured[1],
        measured[0] / measured[1]
    );
}
