//! Where the declared configuration comes from: a file or a folder of YAML files.
//!
//! Reading makes a [`SourceSnapshot`](crate::model::SourceSnapshot): bytes and names, nothing parsed. Watching is in `run`.

#![expect(clippy::disallowed_methods, reason = "a source is read from the world")]

mod file;
mod git;
mod replace;
mod secrets;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

pub use file::{is_yaml, read};
pub use git::{Branch, GitError, Repository};
pub use replace::{ReplaceError, replace};
pub use secrets::Secrets;

/// A source as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// `file:PATH`: one YAML file.
    File(PathBuf),
    /// `dir:PATH`: the `*.yaml` and `*.yml` files of one folder, merged by section.
    Folder(PathBuf),
}

impl SourceSpec {
    /// The file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Folder(path) => path,
        }
    }

    /// The folder against which relative paths in the source are read.
    pub fn folder(&self) -> &Path {
        match self {
            Self::File(path) => {
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
            }
            Self::Folder(path) => path,
        }
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Folder(path) => write!(f, "dir:{}", path.display()),
        }
    }
}

impl FromStr for SourceSpec {
    type Err = String;

    /// Reads `file:PATH`, `dir:PATH`, or a bare path to whatever is there.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path_of = |rest: &str| match rest {
            "" => Err(format!("`{text}` names no path")),
            path => Ok(PathBuf::from(path)),
        };
        match text.split_once(':') {
            Some(("file", path)) => path_of(path).map(Self::File),
            Some(("dir", path)) => path_of(path).map(Self::Folder),
            Some((kind @ ("configmap" | "oxideconfig"), _)) => Err(format!(
                "sources of kind `{kind}` are not supported yet; mount it as a folder and use dir:PATH"
            )),
            _ => path_of(text).map(|path| if path.is_dir() { Self::Folder(path) } else { Self::File(path) }),
        }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_as_the_command_line_names_it() {
        assert_eq!("file:a.yaml".parse(), Ok(SourceSpec::File("a.yaml".into())));
        assert_eq!("dir:conf".parse(), Ok(SourceSpec::Folder("conf".into())));
        assert_eq!("a.yaml".parse(), Ok(SourceSpec::File("a.yaml".into())));
        assert!("file:".parse::<SourceSpec>().is_err());
        assert!("configmap:ns/name".parse::<SourceSpec>().is_err());
    }
}
