//! Who may import whom, as data. Each finding names the file and the line.
//!
//! The compiler does not keep the modules of one crate apart; this file does. See `ARCHITECTURE.md`.

#![expect(clippy::disallowed_methods, reason = "it reads the sources")]

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

/// What a module may name of this crate, besides itself.
enum MayUse {
    Anything,
    Only(&'static [&'static str]),
}
use MayUse::{Anything, Only};

const MODULES: &[(&str, MayUse)] = &[
    // Pure.
    ("model", Only(&[])),
    ("settings", Only(&["model"])),
    ("desired", Only(&["model"])),
    ("plan", Only(&["model", "desired"])),
    ("verify", Only(&["model", "plan"])),
    ("report", Only(&["model", "desired", "plan", "verify"])),
    ("metrics", Only(&["model", "plan", "report"])),
    ("export", Only(&["model", "desired", "store"])),
    ("promotion", Only(&["model", "desired", "plan", "write_back"])),
    ("write_back", Only(&["model", "desired", "export"])),
    ("crd", Only(&["model"])),
    // Touch the world.
    ("actions", Only(&["model", "desired", "plan", "promotion", "report", "cluster", "source", "store"])),
    ("place", Only(&[])),
    ("small_file", Only(&[])),
    ("source", Only(&["model", "desired", "export", "place", "settings", "small_file"])),
    (
        "cluster",
        Only(&["model", "desired", "plan", "report", "export", "promotion", "crd", "source", "settings"]),
    ),
    ("store", Only(&["model", "place", "plan", "verify", "report", "small_file"])),
    ("consumer", Only(&["model", "desired", "small_file"])),
    ("sync", Only(&["model", "desired", "place", "plan", "verify", "report", "store"])),
    ("telemetry", Only(&["model"])),
    ("guide", Only(&["model", "desired", "plan", "verify", "report", "source", "store", "export", "sync"])),
    (
        "web",
        Only(&[
            "actions",
            "cluster",
            "model",
            "desired",
            "plan",
            "promotion",
            "report",
            "settings",
            "small_file",
            "source",
            "store",
            "export",
            "sync",
        ]),
    ),
    ("run", Anything),
    ("cli", Anything),
    ("fuzzing", Anything),
    ("lib", Anything),
    ("main", Anything),
];

/// Where an outside crate may be named. A folder ends in `/`.
const CRATES: &[(&str, &[&str])] = &[
    ("anyhow", &["cli/", "main.rs"]),
    ("askama", &["web/pages/"]),
    ("axum", &["run/", "web/"]),
    ("clap", &["cli/", "main.rs"]),
    ("clap_complete", &["cli/"]),
    ("clap_mangen", &["cli/"]),
    ("fernet", &["store/"]),
    ("form_urlencoded", &["web/"]),
    ("futures_util", &["cluster/", "web/"]),
    ("getrandom", &["source/replace.rs", "store/temporary.rs", "web/login.rs"]),
    ("granit_parser", &["write_back/"]),
    ("hyper", &["web/server.rs"]),
    ("hyper_util", &["web/server.rs"]),
    ("k8s_openapi", &["cluster/", "crd/", "cli/crd.rs"]),
    ("kube", &["cluster/", "crd/"]),
    ("notify", &["source/", "run/", "cli/doctor/"]),
    ("prometheus", &["metrics.rs"]),
    ("rusqlite", &["store/"]),
    ("similar", &["actions/"]),
    (
        "rustix",
        &[
            "cluster/",
            "consumer/",
            "place.rs",
            "small_file.rs",
            "source/",
            "store/",
            "run/",
            "web/server.rs",
            "telemetry.rs",
            "main.rs",
            "cli/actor.rs",
            "cli/doctor/",
            "cli/holder.rs",
            "cli/owner.rs",
        ],
    ),
    ("serde_yaml", &["desired/carried.rs", "export/"]),
    ("tokio", &["cluster/", "run/", "web/", "cli/", "main.rs"]),
    ("tower", &["web/fuzzing.rs", "web/server.rs"]),
    ("ureq", &["consumer/"]),
    ("tracing_subscriber", &["telemetry.rs", "main.rs"]),
];

/// Modules with the same output for the same input: no files, no clock, no environment, no threads, no log.
const PURE: &[&str] = &[
    "model",
    "settings",
    "desired",
    "plan",
    "verify",
    "report",
    "metrics",
    "export",
    "promotion",
    "write_back",
    "crd",
];
const WORLD: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tracing",
];
/// Two halves of one text, joined before returning: the result does not depend on the threads.
const PURE_ALL_THE_SAME: &[(&str, &str)] = &[("desired/split.rs", "std::thread::scope")];

/// The only files of `store` that may make plain file calls. None of them does so on the open database, its
/// `-wal` or its `-shm`: closing such a handle drops the locks that SQLite holds for the whole process.
const STORE_FILES_WITH_FILE_CALLS: &[&str] = &[
    "store/agent_lock.rs",
    "store/backup.rs",
    "store/backup_record.rs",
    "store/copied.rs",
    "store/drill.rs",
    "store/files.rs",
    "store/key.rs",
    "store/open.rs",
    "store/presence.rs",
    "store/programs.rs",
    "store/quarantine.rs",
    "store/retain.rs",
    "store/retire.rs",
    "store/rotate.rs",
    "store/suspect.rs",
    "store/temporary.rs",
];

const MAX_LINES: usize = 400;

#[test]
fn every_module_imports_only_what_the_table_allows() {
    check(|file| {
        let Some((_, allowed)) = MODULES.iter().find(|(module, _)| *module == file.module()) else {
            return vec![file.at(1, format!("the module `{}` is not in the table", file.module()))];
        };
        let Only(allowed) = allowed else { return Vec::new() };
        let foreign = file.paths.iter().filter_map(|(line, path)| {
            let other = path.strip_prefix("crate::")?.split("::").next()?;
            // A path to an item at the crate's root is none to a module.
            let is_module = MODULES.iter().any(|(module, _)| *module == other);
            (is_module && other != file.module() && !allowed.contains(&other)).then_some((line, other))
        });
        foreign
            .map(|(line, other)| file.at(*line, format!("`{}` must not use `{other}`", file.module())))
            .collect()
    });
}

#[test]
fn every_outside_crate_stays_behind_its_module() {
    check(|file| {
        let named = |(line, path): &(usize, String)| {
            let (name, places) = CRATES.iter().find(|(name, _)| lies_in(path, name))?;
            (!file.is_in(places))
                .then(|| file.at(*line, format!("`{name}` belongs to {}", places.join(", "))))
        };
        file.paths.iter().filter_map(named).collect()
    });
}

#[test]
fn pure_modules_do_not_touch_the_world() {
    check(|file| {
        if !PURE.contains(&file.module()) {
            return Vec::new();
        }
        let excused = |path: &str| PURE_ALL_THE_SAME.contains(&(file.name.as_str(), path));
        let named = |(line, path): &(usize, String)| {
            let touches = WORLD.iter().any(|world| lies_in(path, world)) && !excused(path);
            touches.then(|| file.at(*line, format!("`{}` is pure and must not name `{path}`", file.module())))
        };
        file.paths.iter().filter_map(named).collect()
    });
}

#[test]
fn the_store_makes_file_calls_in_few_files() {
    check(|file| {
        if file.module() != "store" || file.is_in(STORE_FILES_WITH_FILE_CALLS) {
            return Vec::new();
        }
        let calls = file.paths.iter().filter(|(_, path)| lies_in(path, "std::fs"));
        calls
            .map(|(line, path)| {
                file.at(*line, format!("`{path}` belongs to one of the store's file modules"))
            })
            .collect()
    });
}

#[test]
fn outside_the_store_no_file_call_comes_near_the_database() {
    check(|file| {
        let calls_files = file.paths.iter().any(|(_, path)| lies_in(path, "std::fs"));
        if file.module() == "store" || !calls_files {
            return Vec::new();
        }
        let lines = file.code.lines().enumerate().filter(|(_, line)| line.contains("config.db"));
        lines
            .map(|(number, _)| file.at(number + 1, "names the database in a file that uses `std::fs`"))
            .collect()
    });
}

/// A path is named by others, and may hold what a terminal obeys. For a document it is made a text first.
#[test]
fn the_command_line_prints_no_path_as_it_is() {
    check(|file| {
        if file.module() != "cli" {
            return Vec::new();
        }
        let raw =
            |line: &str| line.matches(".display()").count() > line.matches(".display().to_string()").count();
        let lines = file.code.lines().enumerate().filter(|(_, line)| raw(line));
        lines.map(|(number, _)| file.at(number + 1, "prints a path: use `shown_path`")).collect()
    });
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    check(|file| {
        let lines = file.code.lines().count();
        let long = lines > MAX_LINES;
        long.then(|| file.at(MAX_LINES + 1, format!("{lines} lines before the tests; at most {MAX_LINES}")))
            .into_iter()
            .collect()
    });
}

#[test]
fn the_tables_name_only_what_exists() {
    let sources = sources();
    let modules: BTreeSet<&str> = sources.iter().map(File::module).collect();
    for (module, _) in MODULES {
        assert!(modules.contains(module), "the table has `{module}`, and src/ does not");
    }
    let places = CRATES.iter().flat_map(|(_, places)| *places).chain(STORE_FILES_WITH_FILE_CALLS);
    for place in places {
        assert!(
            sources.iter().any(|file| file.is_in(&[*place])),
            "the tables name src/{place}, which does not exist"
        );
    }
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let paths_of = |name: &str, code: &str| {
        File::new(name, code).paths.into_iter().map(|(_, path)| path).collect::<Vec<_>>()
    };
    assert_eq!(
        paths_of("plan/mod.rs", "use std::{fs, time::{self, Instant}};"),
        ["std::fs", "std::time", "std::time::Instant"]
    );
    assert_eq!(
        paths_of("plan/mod.rs", "let x = rusqlite::Connection::open(y); // std::fs::read"),
        ["rusqlite::Connection::open"]
    );
    assert_eq!(paths_of("plan/display.rs", "use super::super::store::Store;"), ["crate::store::Store"]);
    assert_eq!(paths_of("plan/display.rs", "use super::Plan;"), ["crate::plan::Plan"]);
    assert_eq!(paths_of("verify.rs", "use super::store;\nuse notify;"), ["crate::store", "notify"]);
    assert!(
        paths_of("verify.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::cli::X;\n}\n").is_empty()
    );
}

/// Applies a rule to every file and fails with all it found.
fn check(rule: impl Fn(&File) -> Vec<String>) {
    let found: Vec<String> = sources().iter().flat_map(rule).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Whether `path` is `name` or something inside it.
fn lies_in(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// A source file without its comments and tests.
struct File {
    /// Relative to `src/`.
    name: String,
    code: String,
    /// Every path that the code names, with its line.
    paths: Vec<(usize, String)>,
}

impl File {
    fn new(name: &str, text: &str) -> Self {
        let tests = text.find("\n#[cfg(test)]\nmod tests {").map_or(text.len(), |at| at + 1);
        let code: String =
            text[..tests].lines().map(|line| without_comment(line).to_owned() + "\n").collect();
        let mut file = Self { name: name.to_owned(), code, paths: Vec::new() };
        let paths = paths_in(&file.code);
        file.paths =
            paths.into_iter().filter_map(|(line, path)| Some((line, file.absolute(&path)?))).collect();
        file
    }

    fn module(&self) -> &str {
        self.name.split('/').next().map_or("", |first| first.trim_end_matches(".rs"))
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.name == *place || place.ends_with('/') && self.name.starts_with(place))
    }

    fn at(&self, line: usize, what: impl Display) -> String {
        format!("src/{}:{line}: {what}", self.name)
    }

    /// Resolves leading `super`s against this file's own module; `None` for `self`, which leads nowhere else.
    fn absolute(&self, path: &str) -> Option<String> {
        let mut module: Vec<&str> =
            self.name.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
        let mut rest = path;
        while let Some(after) = rest.strip_prefix("super::") {
            module.pop();
            rest = after;
        }
        match () {
            () if rest.starts_with("self") => None,
            () if rest.len() == path.len() => Some(path.to_owned()),
            () => Some(["crate"].into_iter().chain(module).chain([rest]).collect::<Vec<_>>().join("::")),
        }
    }
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line.split(" //").next().unwrap_or(line) }
}

/// Finds `a::b` anywhere, `use a;`, and each leaf of `a::{b, c::{self, d}}`.
fn paths_in(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut previous = "";
    while let Some(start) = code[at..].find(starts_identifier).map(|offset| at + offset) {
        let mut leaves = Vec::new();
        let word = &code[start..end_of_identifier(code, start)];
        at = read_path(code, start, String::new(), &mut leaves);
        let line = code[..start].matches('\n').count() + 1;
        found.extend(
            leaves
                .into_iter()
                .filter(|path| path.contains("::") || previous == "use")
                .map(|path| (line, path)),
        );
        previous = word;
    }
    found
}

/// Reads the path or group at `at` behind `prefix`; returns where it ends.
fn read_path(code: &str, mut at: usize, prefix: String, leaves: &mut Vec<String>) -> usize {
    let mut path = prefix;
    loop {
        if code[at..].starts_with('{') {
            at += 1;
            while let Some(offset) = code[at..].find(|c: char| starts_identifier(c) || c == '}' || c == '{') {
                at += offset;
                if code[at..].starts_with('}') {
                    return at + 1;
                }
                at = read_path(code, at, format!("{path}::"), leaves);
            }
            return code.len();
        }
        let end = end_of_identifier(code, at);
        match &code[at..end] {
            "self" if path.ends_with("::") => path.truncate(path.len() - 2),
            word => path.push_str(word),
        }
        at = end;
        let continues = code[at..].strip_prefix("::").and_then(|rest| rest.chars().next());
        match continues {
            Some('{') => at += 2,
            Some(next) if starts_identifier(next) => {
                path.push_str("::");
                at += 2;
            }
            _ => {
                leaves.push(path);
                return at;
            }
        }
    }
}

fn starts_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_identifier(code: &str, start: usize) -> usize {
    code[start..].find(|c: char| !starts_identifier(c)).map_or(code.len(), |offset| start + offset)
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("it lies there").to_string_lossy().into_owned();
                if name.ends_with("/tests.rs") {
                    continue;
                }
                files.push(File::new(&name, &fs::read_to_string(&path).expect("sources are text")));
            }
        }
    }
    files.sort_by(|one, two| one.name.cmp(&two.name));
    files
}
