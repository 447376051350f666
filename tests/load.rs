//! Two hundred readers at once and twenty writers on one store, with the watcher running. Readers are compared with the
//! same number of readers of a static file in the same run: the machine's floor.

#![expect(clippy::disallowed_methods, reason = "tests touch the world and measure it")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/web.rs"]
mod web;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use web::{Client, Web};

const READERS: usize = 200;
const READS: usize = 10;
const WRITERS: usize = 20;
const WRITES: usize = 3;

/// How much longer than a static file the slowest hundredth of reads may take, and what is allowed in any case: below
/// it, how threads are scheduled is all there is to measure.
const TIMES_THE_FLOOR: u32 = 8;
const ALLOWED_ANYWAY: Duration = Duration::from_millis(250);

#[test]
fn under_load_every_answer_is_honest_and_no_edit_is_lost() {
    let web = Web::start(&[]);
    assert_eq!(web.write("PATCH", "/api/v1/settings", Some("*"), &json!({"max_retries": 0})).status, 200);
    let floor = crowd(&web, &["/assets/icon.svg"], 0);
    let busy = crowd(
        &web,
        &[
            "/api/v1/services",
            "/api/v1/drift",
            "/api/v1/services/gemini",
            "/api/v1/status",
            "/api/v1/settings",
        ],
        WRITERS,
    );
    println!(
        "p50 {:?} / {:?}, p99 {:?} / {:?} (load / floor); {} reads, {} writes, {} turned away",
        busy.at(50),
        floor.at(50),
        busy.at(99),
        floor.at(99),
        busy.times.len(),
        busy.written,
        busy.turned_away,
    );
    assert_eq!(
        web.get("/api/v1/settings").json()["max_retries"],
        json!(busy.written),
        "no acknowledged edit is lost"
    );
    assert_eq!(busy.written, WRITERS * WRITES);
    let bound = (floor.at(99) * TIMES_THE_FLOOR).max(ALLOWED_ANYWAY);
    assert!(busy.at(99) <= bound, "p99 {:?} is more than {bound:?}", busy.at(99));
}

/// What a crowd met.
struct Met {
    /// How long each read took, sorted.
    times: Vec<Duration>,
    written: usize,
    turned_away: usize,
}

impl Met {
    fn at(&self, percent: usize) -> Duration {
        self.times[(self.times.len() * percent / 100).min(self.times.len() - 1)]
    }
}

/// Lets readers and writers in at once.
fn crowd(web: &Client, paths: &[&str], writers: usize) -> Met {
    let (written, turned_away) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| add(web, &written, &turned_away));
        }
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let path = paths[reader % paths.len()];
                scope.spawn(move || read(web, path))
            })
            .collect();
        readers.into_iter().flat_map(|reader| reader.join().expect("a reader ends")).collect()
    });
    times.sort();
    Met { times, written: written.into_inner(), turned_away: turned_away.into_inner() }
}

/// Reads over one connection, as a browser does.
fn read(web: &Client, path: &str) -> Vec<Duration> {
    let mut connection = web.keep_connection();
    let one = |_| {
        let began = Instant::now();
        let status = connection.get(path);
        assert!(matches!(status, 200 | 429), "{path}: {status}");
        began.elapsed()
    };
    (0..READS).map(one).collect()
}

/// Adds one so many times, each until it is acknowledged.
fn add(web: &Client, written: &AtomicUsize, turned_away: &AtomicUsize) {
    let mut done = 0;
    while done < WRITES {
        let seen = web.get("/api/v1/settings");
        let next = seen.json()["max_retries"].as_u64().expect("a number") + 1;
        match web.write("PATCH", "/api/v1/settings", Some(seen.etag()), &json!({"max_retries": next})).status
        {
            200 => {
                done += 1;
                written.fetch_add(1, Ordering::Relaxed);
            }
            409 | 412 | 429 => {
                turned_away.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("not an honest answer: {other}"),
        }
    }
}
