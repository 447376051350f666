//! What the user wants done with differences.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigPath, Finding, PathPattern, Seconds};

/// The answers to drift, conflict and objects removed from the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// What to do where only the database moved.
    pub on_drift: OnDrift,
    /// How long an edit must be quiet before `run` reverts or promotes it by itself, in seconds. A command that
    /// somebody gives does not wait.
    pub grace: f64,
    /// What to do where both sides moved apart.
    pub on_conflict: OnConflict,
    /// What to do with our objects that the source no longer declares.
    pub prune: Prune,
    /// The exact number of deletions that the user confirmed, which lifts the limit of 20 %.
    pub confirm_prune: Option<usize>,
    /// Other answers for some paths. The most specific one counts.
    pub overrides: Vec<Override>,
    /// What is left out of every comparison, and never written but when its object is created.
    pub ignore: Vec<PathPattern>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            on_drift: OnDrift::default(),
            grace: 30.0,
            on_conflict: OnConflict::default(),
            prune: Prune::default(),
            confirm_prune: None,
            overrides: Vec::new(),
            ignore: Vec::new(),
        }
    }
}

/// The answers that one place gives: flags, an `OxideConfig`, `operator.yaml`. What it leaves out is answered elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicyPart {
    /// What to do where only the database moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_drift: Option<OnDrift>,
    /// How long an edit must be quiet before it is answered, as `30s` or `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "Option<String>",
        length(max = 32),
        regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h)? ?)+$")
    )]
    pub grace: Option<Seconds>,
    /// What to do where both sides moved apart, or differed when they met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// Whether to delete what the source no longer declares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
    /// Other answers for some paths; the most specific one counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// Paths that are left out of every comparison, as `services.*.models`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub ignore: Vec<PathPattern>,
}

/// The parts between which the policy of a source stands.
#[derive(Clone, Debug, Default)]
pub struct PolicyLayers {
    /// Flags and environment: they count before what the source says.
    pub above: PolicyPart,
    /// `operator.yaml`: it counts after.
    pub below: PolicyPart,
}

impl PolicyLayers {
    /// Returns the policy for a source that says `between`.
    pub fn with(&self, between: Option<&PolicyPart>) -> Policy {
        let parts = [Some(&self.above), between, Some(&self.below)];
        Policy::of(&parts.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// Other answers for the paths that fit a pattern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// The paths, as `services.*.enabled`.
    #[schemars(with = "String")]
    pub path: PathPattern,
    /// The answer to drift there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_drift: Option<OnDrift>,
    /// The answer to a conflict there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// The answer to removal there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
}

impl Policy {
    /// Returns what the parts say together; for each answer the first part that gives one counts.
    pub fn of(parts: &[&PolicyPart]) -> Self {
        fn first<T: Copy>(parts: &[&PolicyPart], answer: impl Fn(&PolicyPart) -> Option<T>) -> Option<T> {
            parts.iter().find_map(|part| answer(part))
        }
        fn list<T: Clone>(parts: &[&PolicyPart], answers: impl Fn(&PolicyPart) -> &Vec<T>) -> Vec<T> {
            parts.iter().map(|part| answers(part)).find(|list| !list.is_empty()).cloned().unwrap_or_default()
        }
        let usual = Self::default();
        Self {
            on_drift: first(parts, |part| part.on_drift).unwrap_or_default(),
            grace: first(parts, |part| part.grace).map_or(usual.grace, |seconds| seconds.0),
            on_conflict: first(parts, |part| part.on_conflict).unwrap_or_default(),
            prune: first(parts, |part| part.prune).unwrap_or_default(),
            confirm_prune: None,
            overrides: list(parts, |part| &part.overrides),
            ignore: list(parts, |part| &part.ignore),
        }
    }

    /// The answer to drift at a path.
    pub fn on_drift(&self, path: &ConfigPath) -> OnDrift {
        self.overridden(path, |it| it.on_drift).unwrap_or(self.on_drift)
    }

    /// The answer to a conflict at a path.
    pub fn on_conflict(&self, path: &ConfigPath) -> OnConflict {
        self.overridden(path, |it| it.on_conflict).unwrap_or(self.on_conflict)
    }

    /// The answer to the removal of an object.
    pub fn prune(&self, path: &ConfigPath) -> Prune {
        self.overridden(path, |it| it.prune).unwrap_or(self.prune)
    }

    /// Whether a path is left out.
    pub fn ignores(&self, path: &ConfigPath) -> bool {
        self.ignore.iter().any(|pattern| pattern.covers(path))
    }

    fn overridden<T>(&self, path: &ConfigPath, answer: impl Fn(&Override) -> Option<T>) -> Option<T> {
        let fitting = self.overrides.iter().filter(|it| it.path.covers(path));
        let answers = fitting.filter_map(|it| Some((it.path.specificity(), answer(it)?)));
        answers.max_by_key(|(specificity, _)| *specificity).map(|(_, answer)| answer)
    }

    /// Returns a finding for each two overrides of which nobody could tell which counts.
    pub fn tied(&self) -> Vec<Finding> {
        let finding = |(one, two): (&Override, &Override)| {
            let message = format!(
                "overrides for {} and {} are equally specific and give different answers",
                one.path, two.path
            );
            let help = "name the paths on which they overlap in a third one, or narrow one of them";
            Finding::error(message).suggest(help)
        };
        self.ties().into_iter().map(finding).collect()
    }

    /// Returns pairs of overrides that give different answers to one path and are equally specific: nobody could tell
    /// which counts.
    pub fn ties(&self) -> Vec<(&Override, &Override)> {
        let differ = |one: &Override, two: &Override| {
            fn apart<T: PartialEq + Copy>(one: Option<T>, two: Option<T>) -> bool {
                one.is_some() && two.is_some() && one != two
            }
            apart(one.on_drift, two.on_drift)
                || apart(one.on_conflict, two.on_conflict)
                || apart(one.prune, two.prune)
        };
        let mut ties = Vec::new();
        for (position, one) in self.overrides.iter().enumerate() {
            for two in &self.overrides[position + 1..] {
                let equal = one.path.specificity() == two.path.specificity();
                if equal && one.path.overlaps(&two.path) && differ(one, two) {
                    ties.push((one, two));
                }
            }
        }
        ties
    }
}

/// The answer to drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDrift {
    /// Leave the database's value and report it.
    #[default]
    Keep,
    /// Write the source's value back.
    Revert,
    /// Write the database's value into the source.
    Promote,
}

/// The answer to a conflict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Write nothing until somebody chooses.
    #[default]
    Hold,
    /// The source wins; the overwritten value stays in the history.
    Source,
    /// The database wins; the value is left as it is.
    Database,
}

/// Whether objects that we own and the source no longer declares are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Prune {
    /// Never.
    #[default]
    Never,
    /// Those we own and nobody changed, within the limits of `plan`.
    Owned,
}
