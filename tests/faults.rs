//! Every file operation of an apply fails once, with each error that a disk gives: the store stays exactly the
//! state before or after, the message says what failed, and the next undisturbed apply converges.
//!
//! Needs strace. `OXIDE_TEST_FAULTS` sets how many of the faults are tried.

#![expect(clippy::disallowed_methods, reason = "it makes files and processes fail")]

#[path = "support/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use process::{BINARY, Place, Said, said, setting};

const DEFAULT_FAULTS: u64 = 1_000;

const CALLS: &str = "openat,creat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,mkdirat,\
                     ftruncate,unlink,unlinkat";

/// One call of the fault-free run, and the error it is to end with.
#[derive(Clone, Debug)]
struct Fault {
    call: String,
    /// Which of the process's calls of this name, from 1.
    number: usize,
    path: String,
    error: &'static str,
}

/// The errors that a disk gives for a call.
fn errors(call: &str) -> &'static [&'static str] {
    match call {
        "write" | "pwrite64" | "ftruncate" => &["ENOSPC", "EIO", "EROFS"],
        "fsync" | "fdatasync" => &["EIO", "ENOSPC"],
        "unlink" | "unlinkat" => &["EACCES", "EROFS", "EIO"],
        _ => &["ENOSPC", "EACCES", "EROFS", "EIO"],
    }
}

/// A store with an edit to apply, and the states on both sides of it.
struct Scenario {
    template: Place,
    before: BTreeMap<String, String>,
    after: BTreeMap<String, String>,
}

impl Scenario {
    fn new(template: Place) -> Self {
        let applied = Place::copy_of(&template);
        applied.expect(0, &["apply"]);
        Self { before: template.values(), after: applied.values(), template }
    }

    /// Lists the calls on files of the store and its source, from a run without faults.
    fn faults(&self) -> Vec<Fault> {
        let place = Place::copy_of(&self.template);
        let (run, log) = trace(&place, "");
        assert_eq!(run.code(), Some(0), "{run:#?}");
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let mut faults = Vec::new();
        let mut processes: Vec<&str> = Vec::new();
        for line in log.lines() {
            let (process, rest) = line.split_once(' ').expect("a process and its call");
            let Some((call, arguments)) = rest.trim_start().split_once('(') else { continue };
            if !processes.contains(&process) {
                processes.push(process);
            }
            let number = numbers.entry(format!("{process} {call}")).or_default();
            *number += 1;
            // strace counts calls thread by thread; those of the first one can be told apart.
            if let (Some(path), 1) = (path_below(arguments, place.root()), processes.len()) {
                let fault = |error| Fault { call: call.into(), number: *number, path: path.clone(), error };
                faults.extend(errors(call).iter().copied().map(fault));
            }
        }
        faults
    }

    /// Injects one fault; returns whether it was hit and made the command fail.
    fn try_once(&self, fault: &Fault) -> Tried {
        let place = Place::copy_of(&self.template);
        let Fault { call, number, error, .. } = fault;
        let (run, log) = trace(&place, &format!("{call}:error={error}:when={number}"));
        let values = place.values();
        let label = format!("{fault:?}: {run:#?}");
        assert_eq!(place.integrity(), "ok", "{label}");
        assert!(values == self.before || values == self.after, "neither before nor after: {label}");
        match run.code() {
            Some(0) => assert_eq!(values, self.after, "nothing was written, and it said nothing: {label}"),
            Some(1) => check_message(fault, &run, values == self.after),
            _ => panic!("{label}"),
        }
        place.expect(0, &["apply"]);
        assert_eq!(place.values(), self.after, "the next apply: {label}");
        let rows = place.dump();
        place.expect(0, &["apply"]);
        assert_eq!(place.dump(), rows, "one more apply: {label}");
        assert_eq!(place.leftovers(), Vec::<PathBuf>::new(), "{label}");
        match (log.contains("(INJECTED)"), run.code() == Some(0), values == self.after) {
            (false, ..) => Tried::Missed,
            (true, true, _) => Tried::Survived,
            (true, false, false) => Tried::Refused,
            (true, false, true) => Tried::FailedAfterwards,
        }
    }
}

fn check_message(fault: &Fault, run: &Said, written: bool) {
    let message = &run.stderr;
    assert!(message.contains("error: "), "{fault:?}: {run:#?}");
    let named = message.contains(".oxide/") || message.contains("default.yaml");
    assert!(named, "does not say which file: {fault:?}: {run:#?}");
    if fault.error == "ENOSPC" {
        assert!(message.contains("help: "), "no hint: {fault:?}: {run:#?}");
    }
    let denied = message.contains("nothing was written");
    assert!(!(written && denied), "says that nothing was written: {fault:?}: {run:#?}");
}

/// What came of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tried {
    /// The call did not come.
    Missed,
    /// The command succeeded all the same.
    Survived,
    /// The command failed, and the store is as it was.
    Refused,
    /// The command failed, and the store holds the edit.
    FailedAfterwards,
}

/// Runs `apply` under strace; returns what it said and the log of its calls.
fn trace(place: &Place, inject: &str) -> (Said, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let calls = inject.split(':').next().filter(|call| !call.is_empty()).unwrap_or(CALLS);
    let mut command = place.program("strace");
    command.args(["-f", "-y", "--seccomp-bpf", "-s", "200", "-e", &format!("trace={calls}"), "-o"]).arg(&log);
    if !inject.is_empty() {
        command.args(["-e", &format!("inject={inject}")]);
    }
    let run = said(command.args([BINARY, "apply"]));
    let log =
        fs::read_to_string(&log).unwrap_or_else(|error| panic!("strace left no log: {error}: {run:#?}"));
    (run, log)
}

/// The first path below `root` among a call's arguments, relative to it.
fn path_below(arguments: &str, root: &Path) -> Option<String> {
    let root = root.to_str().expect("text");
    let arguments = arguments.replace(&format!("AT_FDCWD<{root}>"), "");
    // What is written is no path: only the file is.
    let arguments = match arguments.split_once('>') {
        Some((file, _)) if arguments.starts_with(|first: char| first.is_ascii_digit()) => file.to_owned(),
        _ => arguments,
    };
    if arguments.contains("\"config/default.yaml\"") {
        return Some("config/default.yaml".into());
    }
    let rest = &arguments[arguments.find(root)? + root.len()..];
    Some(rest.split(['"', '>']).next().unwrap_or_default().trim_start_matches('/').to_owned())
}

/// The same with as many backups as are kept, so that the oldest is deleted.
fn edited_with_many_backups() -> Place {
    let place = Place::edited();
    let backups = place.oxide().join("backups");
    fs::create_dir(&backups).expect("created");
    for day in 1..=20 {
        fs::copy(place.db(), backups.join(format!("config-202601{day:02}T000000000Z.db"))).expect("copied");
    }
    place
}

#[test]
fn no_file_operation_may_fail_badly() {
    let strace = Command::new("strace").arg("-V").output();
    assert!(
        strace.is_ok_and(|strace| strace.status.success()),
        "strace is missing: `make tools` installs it"
    );
    let scenarios = [Scenario::new(Place::edited()), Scenario::new(edited_with_many_backups())];
    let all: Vec<(usize, Fault)> = scenarios
        .iter()
        .enumerate()
        .flat_map(|(at, scenario)| scenario.faults().into_iter().map(move |fault| (at, fault)))
        .collect();
    assert!(all.len() > 200, "only {} faults were found: the log was not understood", all.len());
    let wanted =
        usize::try_from(setting("OXIDE_TEST_FAULTS", DEFAULT_FAULTS)).expect("small").clamp(1, all.len());
    let chosen: Vec<&(usize, Fault)> = (0..wanted).map(|number| &all[number * all.len() / wanted]).collect();
    println!("{} of {} faults", chosen.len(), all.len());

    let (next, tried) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<(Tried, &str, &str), usize>::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((scenario, fault)) = chosen.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let came = scenarios[*scenario].try_once(fault);
                    let file = fault.path.trim_end_matches(|end: char| end == '-' || end.is_ascii_digit());
                    let file = file.rsplit('.').next().unwrap_or_default();
                    *tried.lock().expect("whole").entry((came, &fault.call, file)).or_default() += 1;
                }
            });
        }
    });
    let tried = tried.into_inner().expect("whole");
    for ((came, call, file), count) in &tried {
        println!("{came:?} {call} {file}: {count}");
    }
    let missed: usize =
        tried.iter().filter(|((came, ..), _)| *came == Tried::Missed).map(|(_, count)| count).sum();
    assert!(missed * 20 <= chosen.len(), "{missed} faults were not hit");
}
