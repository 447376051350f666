//! Where the declared configuration comes from: a file, a folder of YAML files, an object of Kubernetes.
//!
//! Reading makes a [`SourceSnapshot`]: bytes and names, nothing parsed. Files are watched
//! in `run`; objects are read and watched in `cluster`.

#![expect(clippy::disallowed_methods, reason = "a source is read from the world")]

mod file;
mod git;
mod object;
mod reach;
mod replace;
mod secrets;
mod silent;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use crate::model::SourceSnapshot;
use crate::place::identity;

pub use file::{changed, files, is_yaml, read};
pub use git::{Branch, GitError, Repository};
pub use object::{Declared, ObjectKind, ObjectSpec};
pub use reach::{Own, Reach};
pub use replace::{ReplaceError, replace};
pub use secrets::{SecretTable, Secrets};
pub use silent::{Silent, silent};

/// A source as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// `file:PATH`: one YAML file.
    File(PathBuf),
    /// `dir:PATH`: the `*.yaml` and `*.yml` files of one folder, merged by section.
    Folder(PathBuf),
    /// `configmap:NAMESPACE/NAME[/KEY]` or `oxideconfig:NAMESPACE/NAME`: an object of Kubernetes.
    Object(ObjectSpec),
}

impl SourceSpec {
    /// The file or folder, when it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Folder(path) => Some(path),
            Self::Object(_) => None,
        }
    }

    /// The object of Kubernetes, when it is one.
    pub fn object(&self) -> Option<&ObjectSpec> {
        match self {
            Self::File(_) | Self::Folder(_) => None,
            Self::Object(object) => Some(object),
        }
    }

    /// The files that a source takes API keys from; an object of Kubernetes may name none.
    pub fn secret_files(&self, source: &SourceSnapshot) -> BTreeSet<PathBuf> {
        if self.object().is_some() {
            return BTreeSet::new();
        }
        let named = crate::desired::secret_files_named(source);
        named.iter().map(|file| self.folder().join(at_home(Path::new(file)))).collect()
    }

    /// Whether a file is the source itself, or one of its files, under whatever name.
    pub fn reads(&self, file: &Path) -> bool {
        let identity = |path: &Path| std::fs::metadata(path).ok().map(|it| identity(&it));
        let same = |path: &Path| {
            let there = identity(path).filter(|_| path.is_file());
            path == file || (there.is_some() && there == identity(file))
        };
        match self {
            Self::File(path) => same(path),
            Self::Folder(folder) => std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| is_yaml(&entry.path()) && same(&entry.path())),
            Self::Object(_) => false,
        }
    }

    /// The folder against which relative paths in the source are read.
    pub fn folder(&self) -> &Path {
        match self {
            Self::File(path) => {
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
            }
            Self::Folder(path) => path,
            Self::Object(_) => Path::new("."),
        }
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Folder(path) => write!(f, "dir:{}", path.display()),
            Self::Object(object) => write!(f, "{object}"),
        }
    }
}

impl FromStr for SourceSpec {
    type Err = String;

    /// Reads `file:PATH`, `dir:PATH`, an object of Kubernetes, or a bare path to whatever is there.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path_of = |rest: &str| match rest {
            "" => Err(format!("`{text}` names no path")),
            path => Ok(at_home(Path::new(path))),
        };
        match text.split_once(':') {
            Some(("file", path)) => path_of(path).map(Self::File),
            Some(("dir", path)) => path_of(path).map(Self::Folder),
            Some(("configmap", name)) => ObjectSpec::config_map(name).map(Self::Object),
            Some(("oxideconfig", name)) => ObjectSpec::oxide_config(name).map(Self::Object),
            _ => path_of(text).map(|path| if path.is_dir() { Self::Folder(path) } else { Self::File(path) }),
        }
    }
}

/// Returns a path with `~` in front of it resolved, as a shell does where it sees one: not in variables, not in files, and
/// not behind an equals sign.
pub fn at_home(path: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => PathBuf::from(home),
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

/// Why a source could not be read. Nothing is changed then, ever.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The file or folder is not there.
    #[error("{path} does not exist", path = path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("read {path}", path = path.display())]
    Unreadable {
        /// What was to be read.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It is not what it should be, for instance a folder instead of a file.
    #[error("{path} is {found}", path = path.display())]
    WrongKind {
        /// What was to be read.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A folder without a YAML file in it.
    #[error("{path} holds no .yaml or .yml file", path = path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// More bytes than are read.
    #[error("{path} is {size} MB; at most {limit} MB are read", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// What is read at most.
        limit: usize,
    },
    /// It was written to at every attempt to read it.
    #[error("{path} kept changing while it was read", path = path.display())]
    Unstable {
        /// The file.
        path: PathBuf,
    },
    /// The object of Kubernetes is not there.
    #[error("{object} does not exist")]
    NoObject {
        /// What was looked for.
        object: ObjectSpec,
    },
    /// The object is there and declares nothing.
    #[error("{object} holds {lacks}")]
    EmptyObject {
        /// The object.
        object: ObjectSpec,
        /// What it lacks.
        lacks: String,
    },
    /// The object's policy cannot be read.
    #[error("{object}: spec.policy: {why}")]
    Policy {
        /// The object.
        object: ObjectSpec,
        /// What is wrong with it.
        why: String,
    },
    /// The API server does not answer.
    #[error("{object}: the API server does not answer: {why}")]
    Unreachable {
        /// What was asked for.
        object: ObjectSpec,
        /// What happened.
        why: String,
    },
    /// Nothing says where the API server is.
    #[error("{object}: nothing says where the API server is: {why}")]
    NoLogin {
        /// What was asked for.
        object: ObjectSpec,
        /// Where it was looked for.
        why: String,
    },
    /// The API server refuses to answer.
    #[error("{object}: the API server refuses: {why}")]
    Refused {
        /// What was asked for.
        object: ObjectSpec,
        /// Its words.
        why: String,
    },
}

impl SourceError {
    /// A word from a fixed set: label of metrics, reason of conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Unreadable { .. } => "unreadable",
            Self::WrongKind { .. } => "wrong_kind",
            Self::Empty { .. } => "empty",
            Self::TooLarge { .. } => "too_large",
            Self::Unstable { .. } => "unstable",
            Self::NoObject { .. } => "missing",
            Self::EmptyObject { .. } => "empty",
            Self::Policy { .. } => "policy",
            Self::Unreachable { .. } => "unreachable",
            Self::NoLogin { .. } => "no_login",
            Self::Refused { .. } => "refused",
        }
    }

    /// Whether it is about an object of Kubernetes: then its watch tells when that is over.
    pub fn is_of_object(&self) -> bool {
        match self {
            Self::NoObject { .. }
            | Self::EmptyObject { .. }
            | Self::Policy { .. }
            | Self::Unreachable { .. }
            | Self::NoLogin { .. }
            | Self::Refused { .. } => true,
            Self::Missing { .. }
            | Self::Unreadable { .. }
            | Self::WrongKind { .. }
            | Self::Empty { .. }
            | Self::TooLarge { .. }
            | Self::Unstable { .. } => false,
        }
    }

    /// What the user can do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => {
                "name another with --source; nothing is changed while the source is missing"
            }
            Self::Unreadable { .. } => "check that this user may read it",
            Self::WrongKind { .. } => "use file:PATH for a file and dir:PATH for a folder",
            Self::Empty { .. } => "an empty source changes nothing; put a YAML file into it",
            Self::TooLarge { .. } => "is this the right file?",
            Self::Unstable { .. } => "it is read again once it is quiet",
            Self::NoObject { .. } => {
                "create it, or name another with --source; nothing is changed while it is missing"
            }
            Self::EmptyObject { .. } => "an empty source changes nothing; declare something in it",
            Self::Policy { .. } => "mend the policy; nothing is changed until then",
            Self::Unreachable { .. } => {
                "`run` asks again and again, and meanwhile watches the last good source for drift"
            }
            Self::NoLogin { .. } => "name a kubeconfig in KUBECONFIG, or run it in a pod",
            Self::Refused { .. } => {
                "this account needs get, list and watch on it: see `rbac` in the chart, or the kubeconfig"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_is_named_from_the_folder_of_the_source_or_from_home() {
        let text = "services:\n  a: {apiKeyFrom: {file: k}}\n  b: {apiKeyFrom: {file: ~/k}}\n";
        let document = crate::model::SourceDocument { name: "conf/x.yaml".into(), bytes: text.into() };
        let source = SourceSnapshot { origin: "file:conf/x.yaml".into(), documents: vec![document] };
        let spec = SourceSpec::File("conf/x.yaml".into());
        assert_eq!(spec.secret_files(&source), BTreeSet::from(["conf/k".into(), at_home(Path::new("~/k"))]));
    }

    #[test]
    fn a_source_is_named_as_the_command_line_names_it() {
        assert_eq!("file:a.yaml".parse(), Ok(SourceSpec::File("a.yaml".into())));
        assert_eq!("dir:conf".parse(), Ok(SourceSpec::Folder("conf".into())));
        assert_eq!("a.yaml".parse(), Ok(SourceSpec::File("a.yaml".into())));
        assert!("file:".parse::<SourceSpec>().is_err());
        for object in ["configmap:ns/name", "configmap:ns/name/default.yaml", "oxideconfig:ns/name"] {
            let spec: SourceSpec = object.parse().expect("an object");
            assert_eq!(spec.to_string(), object);
        }
        for wrong in ["configmap:name", "oxideconfig:ns/", "oxideconfig:ns/a/b", "configmap:a/b/c/d"] {
            assert!(wrong.parse::<SourceSpec>().is_err(), "{wrong}");
        }
    }
}
