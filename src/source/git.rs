//! A commit of edited source files, with git as it is installed.
//!
//! On the branch that is checked out it is git's own commit, with its hooks. On another branch it is made beside the work
//! tree, from a tree of its own, and the branch moves only from the commit that was looked at: whoever pushed or committed
//! meanwhile wins.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

/// Why nothing was committed.
#[derive(Debug, Error)]
pub enum GitError {
    /// The repository is not in a state to commit to.
    #[error("{0}")]
    Refused(String),
    /// git said no.
    #[error("git {command}: {answer}")]
    Failed {
        /// The command.
        command: String,
        /// Its words.
        answer: String,
    },
    /// There is no git.
    #[error("run git")]
    Missing(#[from] std::io::Error),
}

/// Where a commit goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Branch {
    /// The branch that is checked out; its work tree is edited, too.
    CheckedOut,
    /// Another one, made from the one that is checked out where it does not exist. The work tree stays.
    Named(String),
}

/// The repository that holds a source, clean, at one commit.
#[derive(Debug)]
pub struct Repository {
    root: PathBuf,
    /// The branch that the commit goes to, and what it was at; none when it is new.
    reference: String,
    tip: Option<String>,
    /// The commit that the new one builds on.
    parent: String,
}

impl Repository {
    /// Looks at the repository that holds `file`.
    ///
    /// # Errors
    /// No repository, a dirty tree, no branch checked out, or another branch on which the file is another one.
    pub fn of(file: &Path, branch: &Branch) -> Result<Self, GitError> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let root = PathBuf::from(git(folder, &["rev-parse", "--show-toplevel"])?);
        let dirty = git(&root, &["status", "--porcelain", "--untracked-files=no"])?;
        if !dirty.is_empty() {
            let names: Vec<&str> = dirty.lines().filter_map(|line| line.get(2..)).map(str::trim).collect();
            return Err(GitError::Refused(format!(
                "the work tree has changes that are not committed: {}",
                names.join(", ")
            )));
        }
        let lock = root.join(git(&root, &["rev-parse", "--git-path", "index.lock"])?);
        if lock.exists() {
            return Err(GitError::Refused(format!(
                "another git process holds the index ({} is there)",
                lock.display()
            )));
        }
        let head = git(&root, &["symbolic-ref", "--quiet", "HEAD"])
            .map_err(|_| GitError::Refused("no branch is checked out".into()))?;
        let commit = git(&root, &["rev-parse", "HEAD"])?;
        let reference = match branch {
            Branch::CheckedOut => head,
            Branch::Named(name) => {
                git(&root, &["check-ref-format", "--branch", name])?;
                format!("refs/heads/{name}")
            }
        };
        let tip = git(&root, &["rev-parse", "--quiet", "--verify", &reference]).ok();
        let parent = tip.clone().unwrap_or_else(|| commit.clone());
        let repository = Self { root, reference, tip, parent };
        if repository.blob(&repository.parent, file)? != repository.blob(&commit, file)? {
            let branch = repository.branch();
            return Err(GitError::Refused(format!(
                "on branch {branch} {} is another file than here",
                file.display()
            )));
        }
        Ok(repository)
    }

    /// The branch's name.
    pub fn branch(&self) -> &str {
        self.reference.strip_prefix("refs/heads/").unwrap_or(&self.reference)
    }

    /// Commits files that the work tree has already, on the branch that is checked out; returns the commit's short name.
    /// It is git's own commit: hooks run, and what is configured to be signed is.
    ///
    /// # Errors
    /// A branch that moved since it was looked at, a hook that refuses, an index that another process holds. Nothing was
    /// committed then.
    pub fn commit_work_tree(&self, files: &[&Path], message: &str) -> Result<String, GitError> {
        if git(&self.root, &["rev-parse", "HEAD"])? != self.parent {
            return Err(GitError::Refused(format!("branch {} moved meanwhile", self.branch())));
        }
        let paths = files.iter().map(|file| self.inside(file)).collect::<Result<Vec<_>, _>>()?;
        let mut args = vec!["commit", "--quiet", "--only", "--file=-", "--"];
        args.extend(paths.iter().map(String::as_str));
        run(&self.root, &args, message.as_bytes(), None)?;
        // The commit is made: not to know its name is no failure.
        Ok(git(&self.root, &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|_| "HEAD".to_owned()))
    }

    /// Commits files with their new bytes on another branch; returns the commit's short name. The work tree stays, so no
    /// hook is run.
    ///
    /// # Errors
    /// A branch that moved since it was looked at. Nothing was committed then.
    pub fn commit(&self, files: &[(&Path, &[u8])], message: &str) -> Result<String, GitError> {
        let index = self.root.join(git(&self.root, &["rev-parse", "--git-path", "oxide-operator-index"])?);
        let made = self.commit_with(&index, files, message);
        let _ = std::fs::remove_file(&index);
        let commit = made?;
        let tip = self.tip.as_deref().unwrap_or("0000000000000000000000000000000000000000");
        let update = ["update-ref", "-m", "oxide-operator promote", &self.reference, &commit, tip];
        git(&self.root, &update).map_err(|error| {
            GitError::Refused(format!("branch {} moved meanwhile ({error})", self.branch()))
        })?;
        git(&self.root, &["rev-parse", "--short", &commit])
    }

    fn commit_with(&self, index: &Path, files: &[(&Path, &[u8])], message: &str) -> Result<String, GitError> {
        let own = |args: &[&str]| run(&self.root, args, &[], Some(index));
        own(&["read-tree", &self.parent])?;
        for (file, bytes) in files {
            let path = self.inside(file)?;
            let entry = git(&self.root, &["ls-tree", &self.parent, "--", &path])?;
            let mode = entry.split(' ').next().unwrap_or("100644").to_owned();
            let filter = format!("--path={path}");
            let blob = run(&self.root, &["hash-object", "-w", "--stdin", &filter], bytes, None)?;
            own(&["update-index", "--cacheinfo", &format!("{mode},{blob},{path}")])?;
        }
        let tree = own(&["write-tree"])?;
        let signed = git(&self.root, &["config", "--bool", "commit.gpgsign"]).is_ok_and(|it| it == "true");
        let mut args = vec!["commit-tree", &tree, "-p", &self.parent];
        args.extend(signed.then_some("-S"));
        run(&self.root, &args, message.as_bytes(), None)
    }

    fn blob(&self, commit: &str, file: &Path) -> Result<String, GitError> {
        let path = self.inside(file)?;
        git(&self.root, &["rev-parse", "--quiet", "--verify", &format!("{commit}:{path}")])
            .map_err(|_| GitError::Refused(format!("{} is not in the repository", file.display())))
    }

    /// The file's path as the repository names it.
    fn inside(&self, file: &Path) -> Result<String, GitError> {
        let file = std::fs::canonicalize(file)?;
        let root = std::fs::canonicalize(&self.root)?;
        let inside = file.strip_prefix(&root).ok().and_then(Path::to_str);
        inside
            .map(str::to_owned)
            .ok_or_else(|| GitError::Refused(format!("{} is not in the repository", file.display())))
    }
}

fn git(folder: &Path, args: &[&str]) -> Result<String, GitError> {
    run(folder, args, &[], None)
}

fn run(folder: &Path, args: &[&str], input: &[u8], index: Option<&Path>) -> Result<String, GitError> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // git may end without reading it all; what it says then counts.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = text(&output.stderr);
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let answer = lines.collect::<Vec<_>>().join("\n    ");
    let code = output.status.code().map_or_else(|| "a signal".to_owned(), |code| format!("exit {code}"));
    let answer = if answer.is_empty() { format!("it ended with {code}, and said nothing") } else { answer };
    Err(GitError::Failed { command: args.first().copied().unwrap_or_default().to_owned(), answer })
}
