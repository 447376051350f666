//! What the program costs, beside the floor of the same work measured in the same run. `README.md` explains.
//!
//! `cargo bench --bench ratios -- [commands|unchanged|startup|live|promote|adversary|idle|sizes|all] [--sizes 6,1000] [--runs N] [--edits N]`

#![expect(clippy::disallowed_methods, reason = "a benchmark touches the world")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

mod answers;
mod inputs;
mod live;
mod process;
mod sizes;
mod unchanged;

use std::path::{Path, PathBuf};
use std::process::Command;

use process::{Run, spread, sqlite_floor, syncs, timed};

const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let option = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let sizes: Vec<usize> = option("--sizes")
        .map_or("6,1000,10000", |sizes| sizes)
        .split(',')
        .filter_map(|size| size.parse().ok())
        .collect();
    let runs = option("--runs").and_then(|runs| runs.parse().ok()).unwrap_or(5);
    let what = words.first().filter(|word| !word.starts_with('-')).map_or("all", |word| word);
    let wants = |name: &str| what == "all" || what == name;
    let bin = binary();
    println!(
        "binary {} ({:.1} MB)",
        bin.display(),
        std::fs::metadata(&bin).map_or(0, |file| file.len()) as f64 / 1e6
    );
    if wants("commands") {
        println!(
            "\n| services | command | wall ms min/med/max | ratio to floor med | peak MiB | notes |\n|---|---|---|---|---|---|"
        );
        for size in sizes {
            commands(&bin, size, runs);
        }
    }
    if wants("unchanged") {
        unchanged::pass();
    }
    if wants("startup") {
        live::startup(&bin);
    }
    if wants("live") {
        let edits = option("--edits").and_then(|edits| edits.parse().ok()).unwrap_or(300);
        live::edits(&bin, edits);
        live::foreign_commits(&bin);
    }
    if wants("promote") {
        answers::promotion(&bin, 10_000, runs);
    }
    if wants("adversary") {
        answers::adversary(&bin);
    }
    if wants("sizes") {
        sizes::sources(&bin);
        sizes::requests(&bin);
    }
    if wants("idle") {
        live::idle(&bin);
    }
}

fn binary() -> PathBuf {
    std::env::var_os("OXIDE_OPERATOR_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_oxide-operator")), PathBuf::from)
}

/// The program with a key and a home of its own.
fn program(bin: &Path, folder: &Path) -> Command {
    let mut command = Command::new(bin);
    command.env("HOME", folder).env("OXIDE_ENCRYPTION_KEY", KEY);
    command
}

/// Times every command in turn with the floor, run by run, so that each ratio is of neighbours in time.
fn commands(bin: &Path, services: usize, runs: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let yaml = inputs::yaml(services);
    std::fs::write(path("c.yaml"), &yaml).expect("written");
    std::fs::write(path("floor.sql"), inputs::sql(services)).expect("written");
    let changed = yaml.replacen("timeout_seconds: 120", "timeout_seconds: 121", 1);
    std::fs::write(path("changed.yaml"), changed).expect("written");
    let source = format!("file:{}", path("c.yaml").display());
    let changed = format!("file:{}", path("changed.yaml").display());
    let db = path("db/config.db").display().to_string();
    let yaml = path("c.yaml").display().to_string();
    let out = path("out.yaml").display().to_string();
    let list: [(&str, Vec<&str>, i32); 6] = [
        ("migrate", vec!["migrate", "--yaml", &yaml, "--db", &db], 0),
        ("plan, no change", vec!["plan", "--source", &source, "--db", &db], 0),
        ("verify", vec!["verify", "--source", &source, "--db", &db], 0),
        ("export", vec!["export", &out, "--source", &source, "--db", &db], 0),
        ("apply, no change", vec!["apply", "--source", &source, "--db", &db], 0),
        ("apply, one field", vec!["apply", "--source", &changed, "--db", &db], 0),
    ];
    let mut results: Vec<Vec<(Run, f64)>> = vec![Vec::new(); list.len()];
    for round in 0..=runs {
        let _ = std::fs::remove_dir_all(path("db"));
        for (position, (name, words, exit)) in list.iter().enumerate() {
            let floor = sqlite_floor(&path("floor.sql"), &path("floor.db"));
            let run = timed(program(bin, folder.path()).args(words));
            assert_eq!(run.exit, *exit, "{name} of {services} services");
            if round > 0 {
                results[position].push((run, run.wall.as_secs_f64() / floor.wall.as_secs_f64()));
            }
        }
    }
    for ((name, words, _), runs) in list.iter().zip(&results) {
        let mut wall: Vec<f64> = runs.iter().map(|(run, _)| run.wall.as_secs_f64() * 1e3).collect();
        let mut ratios: Vec<f64> = runs.iter().map(|(_, ratio)| *ratio).collect();
        let peak = runs.iter().map(|(run, _)| run.peak_kib).max().unwrap_or_default();
        let note = match *name {
            "migrate" => {
                let _ = std::fs::remove_dir_all(path("db"));
                let count = syncs(program(bin, folder.path()).args(words));
                format!(
                    "{} fsyncs (target 16); ratio target 1.5, 2 for 6",
                    count.map_or("?".into(), |count| count.to_string())
                )
            }
            "plan, no change" | "verify" => "ratio target 1".into(),
            _ => String::new(),
        };
        let (wall, ratio) = (spread(&mut wall), spread(&mut ratios).1);
        let peak = peak as f64 / 1024.0;
        println!(
            "| {services} | {name} | {:.1} / {:.1} / {:.1} | {ratio:.2} | {peak:.1} | {note} |",
            wall.0, wall.1, wall.2
        );
    }
}
