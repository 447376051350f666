//! What is fuzzed: each target takes any bytes, and panics on what must never be. `README.md` says how they are run.

mod backup;
mod database;
mod http;
mod keys;
mod mutate;
mod operator_yaml;
mod paths;
mod python;
mod saved_plan;
mod three_way;
mod world;
mod write_back;
mod yaml_to_plan;

pub use mutate::{Random, mutated};

/// A target: its name, which its folder in `corpus/` has too, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("backup", backup::target),
    ("database", database::target),
    ("http", http::target),
    ("keys", keys::target),
    ("operator_yaml", operator_yaml::target),
    ("paths", paths::target),
    ("saved_plan", saved_plan::target),
    ("three_way", three_way::target),
    ("write_back", write_back::target),
    ("yaml_to_plan", yaml_to_plan::target),
];
