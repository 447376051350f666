//! The fuzz targets of `fuzz/`, each for a few seconds: its corpus, and what is made of it at random.
//!
//! `FUZZ_SECONDS` says how many, `FUZZ_SEED` which random numbers; both are printed.

#![cfg(debug_assertions)]
#![expect(clippy::disallowed_methods, reason = "the corpus is files, and the run is timed")]
#![expect(clippy::print_stdout, reason = "it says what was run, and what hangs")]

#[expect(unreachable_pub, reason = "it is a library for the fuzzer")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use targets::{Random, TARGETS, mutated};

/// A minute over all targets.
const SECONDS: u64 = 6;
/// What takes longer hangs, whatever else the machine does.
const PATIENCE: Duration = Duration::from_mins(2);
const LONGEST: usize = 16 << 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("readable")).collect()
}

/// Gives one input to a target; panics with the input when it panics or hangs.
fn give(target: fn(&[u8]), input: &[u8]) {
    let (done, is_done) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                println!("it hangs on {:?}", String::from_utf8_lossy(input));
                std::process::abort();
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
        drop(done);
        assert!(outcome.is_ok(), "it fails on {:?}", String::from_utf8_lossy(input));
    });
}

fn run(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
    let corpus = corpus(name);
    assert!(corpus.len() >= 5, "a corpus of {} is no corpus", corpus.len());
    for input in &corpus {
        give(*target, input);
    }
    let (seconds, seed) = (number("FUZZ_SECONDS").unwrap_or(SECONDS), number("FUZZ_SEED").unwrap_or(1));
    let (mut random, begun, mut count) = (Random::new(seed), Instant::now(), 0);
    while begun.elapsed().as_secs() < seconds {
        give(*target, &mutated(&corpus, &mut random, LONGEST));
        count += 1;
    }
    println!("{name}: {} of the corpus and {count} random inputs, FUZZ_SEED={seed}", corpus.len());
}

macro_rules! smoke {
    ($($name:ident),*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*

        #[test]
        fn every_target_is_run() {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}
smoke!(backup, database, http, keys, operator_yaml, paths, saved_plan, three_way, write_back, yaml_to_plan);
