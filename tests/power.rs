//! The power fails at every moment at which the program makes something durable, and whatever was not durable yet is lost,
//! kept or torn. Afterwards the database holds the old configuration or the new one, every API key opens with a key that is
//! there, and what was said to be done is done.
//!
//! Needs strace. `OXIDE_TEST_SEED` repeats a run's random numbers.

#![expect(clippy::disallowed_methods, reason = "it starts processes and lays out what a disk holds")]

#[path = "power/disk.rs"]
mod disk;
#[path = "support/process.rs"]
mod process;
#[path = "power/record.rs"]
mod record;
#[path = "power/survive.rs"]
mod survive;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use disk::{Disk, Files};
use process::{Place, SAMPLE, setting};
use record::Call;
use survive::{Flat, Sample, Survive};

/// How many parts of what is not durable are tried at each moment, besides all and nothing of it.
const SAMPLES: u64 = 16;

/// What a command does, and every disk that a power cut during it leaves.
struct Scenario {
    name: &'static str,
    before: BTreeMap<String, String>,
    after: BTreeMap<String, String>,
    /// The tokens before, as they lie in the rows.
    tokens: Vec<String>,
    /// The source before and after.
    sources: [Option<Vec<u8>>; 2],
    /// The files that are there in the end, but for the database.
    made: Files,
    /// What is done once the power is back, and what the database holds then.
    again: &'static [&'static str],
    settled: BTreeMap<String, String>,
    cuts: Vec<Cut>,
}

/// One power cut.
struct Cut {
    label: String,
    files: Files,
    /// Whether the database was written to before it.
    written: bool,
    /// Whether the command had ended, and said so.
    ended: bool,
}

impl Scenario {
    /// Records a command in a folder, and cuts the power before each of its syncs and after its end.
    fn new(
        name: &'static str,
        place: &Place,
        arguments: &[&str],
        again: &'static [&'static str],
        seed: u64,
    ) -> Self {
        let source = || fs::read(place.yaml()).ok();
        let (before, tokens, declared) = (place.values(), tokens(place), source());
        let mut disk = Disk::holding(place.root());
        let (said, calls) = record::record(place, arguments);
        assert_eq!(said.code(), Some(0), "{name}: {said:#?}");
        let mut cuts = Cuts { name, seed, known: BTreeSet::new(), found: Vec::new() };
        let (mut open, mut written) = (BTreeMap::new(), false);
        for (number, call) in calls.iter().enumerate() {
            match call {
                Call::Sync { .. } => cuts.cut(&disk, &format!("call {number}"), written, false),
                Call::Open { path, fd, .. } => drop(open.insert(*fd, path)),
                Call::Write { fd, .. } => {
                    written |= open.get(fd).is_some_and(|path| is_database(path));
                }
                _ => {}
            }
            disk.run(call);
        }
        cuts.cut(&disk, "the end", written, true);
        let made = disk.after_a_cut(&mut Flat { names: true, bytes: true });
        for (path, bytes) in &made {
            let real = fs::read(place.root().join(path)).ok();
            assert!(is_memory(path) || *bytes == real, "{name}: {} was not followed", path.display());
        }
        let made = made.into_iter().filter(|(path, _)| !is_of_database(path)).collect();
        let (after, sources) = (place.values(), [declared, source()]);
        place.run(again);
        let settled = place.values();
        Self { name, before, after, tokens, sources, made, again, settled, cuts: cuts.found }
    }

    fn check(&self, cut: &Cut) {
        let label = format!("{}, the power cut before {}", self.name, cut.label);
        let place = laid_out(&cut.files);
        if place.db().exists() {
            assert_eq!(place.integrity(), "ok", "{label}");
        }
        let (values, moved) = (place.values_under_any_key(), tokens(&place) != self.tokens);
        let entire = values == self.after || values == self.before && !cut.ended;
        assert!(entire, "{label}: neither the old configuration nor the new one: {values:#?}");
        let source = fs::read(place.yaml()).ok();
        assert!(self.sources.contains(&source), "{label}: half a source");
        self.check_backups(cut, &place, moved, &label);
        if cut.ended {
            for (path, bytes) in &self.made {
                assert_eq!(cut.files.get(path), Some(bytes), "{label}: {} is not durable", path.display());
            }
            assert_eq!(place.values(), self.after, "{label}: under the key that is there");
        }
        let again = place.run(self.again);
        assert_eq!(place.values(), self.settled, "{label}: what is done next: {again:#?}");
    }

    /// A backup is whole before the first byte of a change is written: before that one that is not is told from it.
    fn check_backups(&self, cut: &Cut, place: &Place, moved: bool, label: &str) {
        let said = place.run(&["backup", "check", "-o", "json"]);
        let checks: Vec<serde_json::Value> = serde_json::from_str(&said.stdout).unwrap_or_default();
        let good = |check: &&serde_json::Value| {
            check["verdict"]["is"].as_str().is_some_and(|verdict| verdict.starts_with("good"))
        };
        let whole = checks.iter().filter(good).count();
        assert!(whole == checks.len() || !cut.written && !cut.ended, "{label}: {said:#?}");
        let wanted = self.made.keys().filter(|path| is_backup(path)).count();
        assert!(whole >= wanted || !moved, "{label}: changed without a backup: {said:#?}");
    }
}

/// Collects what power cuts leave; each disk once.
struct Cuts {
    name: &'static str,
    seed: u64,
    known: BTreeSet<(Files, bool, bool)>,
    found: Vec<Cut>,
}

impl Cuts {
    fn cut(&mut self, disk: &Disk, before: &str, written: bool, ended: bool) {
        let flat = |names, bytes| Box::new(Flat { names, bytes }) as Box<dyn Survive>;
        let mut kinds = vec![
            ("nothing survives", flat(false, false)),
            ("names survive", flat(true, false)),
            ("bytes survive", flat(false, true)),
            ("everything survives", flat(true, true)),
        ];
        for _ in 0..SAMPLES {
            self.seed += 1;
            kinds.push(("a part survives", Box::new(Sample(self.seed))));
        }
        for (kind, mut survive) in kinds {
            let mut files = disk.after_a_cut(&mut *survive);
            files.retain(|path, _| !is_memory(path));
            if self.known.insert((files.clone(), written, ended)) {
                let label = format!("{before}; {kind}, seed {}", self.seed);
                self.found.push(Cut { label, files, written, ended });
            }
        }
        assert!(!self.found.is_empty(), "{} does not make anything durable", self.name);
    }
}

fn is_database(path: &Path) -> bool {
    path.ends_with("config.db") || path.ends_with("config.db-wal")
}

fn is_of_database(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("config.db"))
}

/// The file by which processes share memory; whoever opens the database first makes it anew.
fn is_memory(path: &Path) -> bool {
    path.ends_with("config.db-shm")
}

fn is_backup(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("backups"))
        && path.extension().is_some_and(|ending| ending == "db")
}

/// A folder in memory where there is such a place: what is tried is what the disk lost, not how long it takes.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder")
}

fn laid_out(files: &Files) -> Place {
    let place = Place::within(folder());
    for (path, bytes) in files {
        let path = place.root().join(path);
        match bytes {
            Some(bytes) => fs::write(&path, bytes).expect("written"),
            None => fs::create_dir_all(&path).expect("created"),
        }
    }
    place
}

fn tokens(place: &Place) -> Vec<String> {
    let sql = "SELECT api_key_encrypted FROM services WHERE api_key_encrypted <> '' ORDER BY id";
    let conn = if place.db().exists() { place.connect().ok() } else { None };
    let read = conn.and_then(|conn| {
        let mut query = conn.prepare(sql).ok()?;
        query.query_map([], |row| row.get(0)).ok()?.collect::<Result<_, _>>().ok()
    });
    read.unwrap_or_default()
}

/// Another process that has the database open, so that its log stays.
struct Beside(Child);

impl Beside {
    fn edits(place: &Place) -> Self {
        let mut shell = place.program("sqlite3");
        shell.arg(place.db()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shell.spawn().expect("sqlite3 starts: `make tools` installs it");
        let orders = child.stdin.as_mut().expect("piped");
        writeln!(orders, "UPDATE services SET max_retries = 7 WHERE id = 'gemini'; SELECT 'done';")
            .expect("sent");
        orders.flush().expect("sent");
        let mut answer = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut answer).expect("text");
        assert_eq!(answer, "done\n");
        Self(child)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn edited() -> Place {
    let place = Place::within(folder());
    Place::edited().copy_into(place.root());
    place
}

/// A store whose edit was applied.
fn applied() -> Place {
    let place = edited();
    place.expect(0, &["apply"]);
    place
}

fn scenarios(seed: u64) -> Vec<Scenario> {
    const APPLY: &[&str] = &["apply"];
    const UNDO: &[&str] = &["rollback", "--undo"];
    let place = Place::within(folder());
    place.write_yaml(SAMPLE);
    let mut all = vec![Scenario::new("first migration", &place, &["migrate"], APPLY, seed)];
    all.push(Scenario::new("edit", &edited(), APPLY, APPLY, seed));
    for (name, place, arguments) in
        [("edit beside it", edited(), APPLY), ("rotation beside it", applied(), &["key", "rotate"])]
    {
        let _orchestrator = Beside::edits(&place);
        all.push(Scenario::new(name, &place, arguments, APPLY, seed));
    }
    for (name, arguments) in [("rotation", ["key", "rotate"]), ("backup", ["backup", "create"])] {
        all.push(Scenario::new(name, &applied(), &arguments, APPLY, seed));
    }
    let place = applied();
    all.push(Scenario::new("back to YAML", &place, &["rollback", "--to-yaml", "--with-secrets"], UNDO, seed));
    place.expect(0, &["rollback", "--to-yaml", "again.yaml"]);
    all.push(Scenario::new("the way back", &place, UNDO, UNDO, seed));
    let place = applied();
    let edit = "UPDATE execution_settings SET max_parallel_workers = 9";
    place.connect().and_then(|conn| conn.execute(edit, [])).expect("edited");
    all.push(Scenario::new("promotion", &place, &["promote", "--all"], APPLY, seed));
    all
}

#[test]
fn no_power_cut_loses_what_was_there_or_what_was_said_to_be_done() {
    let seed = setting("OXIDE_TEST_SEED", u64::from(std::process::id()) << 16);
    let scenarios = scenarios(seed);
    let cuts: Vec<(&Scenario, &Cut)> =
        scenarios.iter().flat_map(|scenario| scenario.cuts.iter().map(move |cut| (scenario, cut))).collect();
    println!("{} power cuts, OXIDE_TEST_SEED={seed}", cuts.len());
    assert!(cuts.len() > 100, "only {} power cuts were found: the log was not understood", cuts.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((scenario, cut)) = cuts.get(next.fetch_add(1, Ordering::SeqCst)) {
                    scenario.check(cut);
                }
            });
        }
    });
}
