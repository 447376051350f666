//! The secrets that a source refers to: environment, files, and Secrets of Kubernetes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::SourceSpec;
use super::reach::{self, Reach};
use crate::desired::ResolveSecrets;
use crate::model::{SecretReference, SecretText};
use crate::settings::MAX_SECRETS;

/// The Secrets of Kubernetes that a source refers to, by name: their entries, or why they cannot be had.
pub type SecretTable = BTreeMap<String, Result<BTreeMap<String, SecretText>, String>>;

/// Finds secrets. Tokens are the store's to open: see `sync::read_source`.
#[derive(Clone, Debug)]
pub struct Secrets {
    from: From,
    reach: Arc<Reach>,
}

/// Where a source lies, and with it where its secrets do.
#[derive(Clone, Debug)]
enum From {
    /// A file: the environment, and files beside it.
    Machine(SourceSpec),
    /// An object: the Secrets beside it, and the variables that the agent was told to give away. Who may write a source
    /// is not thereby one who may read the agent's environment.
    Cluster(Arc<SecretTable>),
}

impl Secrets {
    /// Finds what a source in `folder` refers to, where the operator said nothing else.
    pub fn new(folder: &Path) -> Self {
        Self::of(&SourceSpec::Folder(folder.to_owned()), &Arc::default())
    }

    /// Finds what a source on this machine refers to.
    pub fn of(source: &SourceSpec, reach: &Arc<Reach>) -> Self {
        Self { from: From::Machine(source.clone()), reach: Arc::clone(reach) }
    }

    /// Finds what a source in Kubernetes refers to.
    pub fn of_cluster(table: Arc<SecretTable>, reach: &Arc<Reach>) -> Self {
        Self { from: From::Cluster(table), reach: Arc::clone(reach) }
    }
}

impl ResolveSecrets for Secrets {
    fn resolve(&self, reference: &SecretReference) -> Result<SecretText, String> {
        let found = match (reference, &self.from) {
            (SecretReference::Env(name), _) => self.variable(name),
            (SecretReference::File(file), From::Machine(source)) => {
                reach::read_file(Path::new(file), source, &self.reach)
            }
            (SecretReference::File(_), From::Cluster(_)) => {
                Err("a source in Kubernetes may not name files of the agent; use secretKeyRef".to_owned())
            }
            (SecretReference::Token(_), _) => Err("a token is opened with the store's keys".to_owned()),
            (SecretReference::SecretKey { .. }, From::Machine(_)) => {
                Err("secretKeyRef is found only for a source in Kubernetes; use file or env here".to_owned())
            }
            (SecretReference::SecretKey { name, key }, From::Cluster(table)) => entry(table, name, key),
        }?;
        if self.reach.own.is_in(found.expose()) {
            return Err(format!("{reference} holds a key or token of oxide-operator's own, and no API key"));
        }
        Ok(found)
    }
}

impl Secrets {
    fn variable(&self, name: &String) -> Result<SecretText, String> {
        let allowed = &self.reach.variables;
        match &self.from {
            From::Cluster(_) if !allowed.contains(name) => {
                return Err(format!(
                    "environment variable {name} is the agent's own: use secretKeyRef, or name it in --source-env"
                ));
            }
            From::Machine(_) if !allowed.is_empty() && !allowed.contains(name) => {
                return Err(format!("environment variable {name} is not among those of --source-env"));
            }
            _ => {}
        }
        if reach::is_our_variable(name) {
            return Err(format!("environment variable {name} is oxide-operator's own, and no API key"));
        }
        match std::env::var(name) {
            // An empty variable is one that nobody gave a value to; removing a key takes `api_key: null`.
            Ok(text) if text.trim().is_empty() => Err(format!("environment variable {name} is empty")),
            Ok(text) => Ok(SecretText::new(text)),
            Err(std::env::VarError::NotPresent) => Err(format!("environment variable {name} is not set")),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(format!("environment variable {name} is not UTF-8"))
            }
        }
    }
}

fn entry(table: &SecretTable, name: &str, key: &str) -> Result<SecretText, String> {
    match table.get(name) {
        Some(Ok(entries)) => {
            let entry = entries.get(key).ok_or_else(|| format!("Secret {name} has no entry {key}"))?;
            if entry.expose().trim().is_empty() {
                return Err(format!("entry {key} of Secret {name} is empty"));
            }
            Ok(entry.clone())
        }
        Some(Err(why)) => Err(why.clone()),
        None => Err(format!("Secret {name} was not read; a source may name at most {MAX_SECRETS}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::reach::Own;
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn a_source_names_files_below_the_folders_that_the_operator_allows_and_no_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in [
            "conf/mine",
            "conf/below/mine",
            "conf/.ssh/id_rsa",
            "conf/kubernetes.io/serviceaccount/token",
            "conf/..v1/swapped",
            "keys/theirs",
            "elsewhere/passwd",
        ] {
            write(&at(name), "secret\n");
        }
        write(&at("conf/s.yaml"), "services: {}\n");
        std::fs::hard_link(at("conf/s.yaml"), at("conf/itself")).expect("linked");
        symlink("..v1", at("conf/..data")).expect("linked");
        symlink("..data/swapped", at("conf/swapped")).expect("linked");
        symlink("../elsewhere/passwd", at("conf/out")).expect("linked");
        symlink("/", at("conf/root")).expect("linked");
        symlink("conf", at("linked")).expect("linked");
        let resolve = |source: &str, folders: &[&str], name: &str| {
            let reach = Reach { folders: folders.iter().map(|it| at(it)).collect(), ..Reach::default() };
            let secrets = Secrets::of(&SourceSpec::File(at(source)), &Arc::new(reach));
            secrets.resolve(&SecretReference::File(name.into()))
        };
        let outside = at("elsewhere/passwd").display().to_string();
        for name in ["mine", "./below/../mine", "below/mine", "swapped"] {
            for source in ["conf/s.yaml", "linked/s.yaml"] {
                assert_eq!(resolve(source, &[], name).expect("a secret").expose(), "secret", "{name}");
            }
        }
        assert!(resolve("conf/s.yaml", &["keys"], "../keys/theirs").is_ok());
        assert!(resolve("conf/s.yaml", &["conf/.ssh"], ".ssh/id_rsa").is_ok(), "it was named");
        for name in [
            "../keys/theirs",
            "../keys/there-is-no-such-file",
            "../nowhere/at/all",
            &outside,
            "out",
            "root/etc/hostname",
            "root/proc/self/environ",
            "/etc/passwd",
            "/proc/self/root/etc/hostname",
            "/proc/self/environ",
            ".ssh/id_rsa",
        ] {
            let refused = resolve("conf/s.yaml", &[], name).expect_err("out of reach");
            assert!(refused.contains("--secrets-folder"), "{name}: {refused}");
            assert!(!refused.contains("No such file"), "{name}: {refused}");
        }
        for name in ["s.yaml", "itself", "kubernetes.io/serviceaccount/token"] {
            let refused = resolve("conf/s.yaml", &[], name).expect_err("not a secret");
            assert!(refused.contains("may not name it"), "{name}: {refused}");
        }
        let missing = resolve("conf/s.yaml", &[], "none").expect_err("not there");
        assert!(missing.contains("No such file"), "{missing}");
        for allowed in ["/proc", "/dev"] {
            let reach = Reach { folders: vec![allowed.into()], ..Reach::default() };
            let secrets = Secrets::of(&SourceSpec::Folder(at("conf")), &Arc::new(reach));
            let refused = secrets.resolve(&SecretReference::File(format!("{allowed}/self/environ")));
            assert!(refused.is_err());
        }
    }

    #[test]
    fn what_is_the_programs_own_is_no_api_key_by_whatever_name() {
        const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["encryption.key", "encryption.key.next", "encryption.key.20260101T000000000Z.retired"] {
            write(&at(name), "secret\n");
        }
        write(&at("web.token"), "a-token-of-the-page\n");
        write(&at("my.key"), KEY);
        write(&at("copy"), &format!("# the key\nKEY={KEY}\n"));
        write(&at("copied-token"), " a-token-of-the-page");
        write(&at("config.db"), "SQLite format 3");
        write(&at("config.db-wal"), "log");
        write(&at("mine"), "sk-mine\n");
        write(&at("short"), "the word reload is in it");
        symlink("encryption.key", at("harmless")).expect("linked");
        std::fs::hard_link(at("my.key"), at("hard")).expect("linked");
        std::fs::hard_link(at("config.db"), at("database")).expect("linked");
        let texts = vec![SecretText::new("reload"), SecretText::new("0123456789abcdef0123")];
        let own = Own::of(&at("config.db"), vec![at("my.key")], texts);
        let reach = Arc::new(Reach { own, ..Reach::default() });
        let secrets = Secrets::of(&SourceSpec::Folder(folder.path().to_owned()), &reach);
        let file = |name: &str| secrets.resolve(&SecretReference::File(name.into()));
        assert_eq!(file("mine").expect("a secret").expose(), "sk-mine");
        assert!(file("short").is_ok());
        for name in [
            "encryption.key",
            "./encryption.key.next",
            "encryption.key.20260101T000000000Z.retired",
            "web.token",
            "harmless",
            "my.key",
            "hard",
            "config.db",
            "config.db-wal",
            "database",
        ] {
            let refused = file(name).expect_err("out of reach");
            assert!(refused.contains("may not name it"), "{name}: {refused}");
        }
        for name in ["copy", "copied-token"] {
            let refused = file(name).expect_err("ours");
            assert!(refused.contains("of oxide-operator's own"), "{name}: {refused}");
            assert!(!refused.contains(KEY), "{refused}");
        }
        for name in ["OXIDE_ENCRYPTION_KEY", "OXIDE_OPERATOR_RELOAD_TOKEN"] {
            let refused = secrets.resolve(&SecretReference::Env(name.into())).expect_err("ours");
            assert!(refused.contains("oxide-operator's own"), "{refused}");
        }
        let table = SecretTable::from([(
            "keys".to_owned(),
            Ok(BTreeMap::from([("one".to_owned(), SecretText::new("0123456789abcdef0123"))])),
        )]);
        let of_cluster = Secrets::of_cluster(Arc::new(table), &reach);
        let entry = SecretReference::SecretKey { name: "keys".into(), key: "one".into() };
        assert!(of_cluster.resolve(&entry).expect_err("ours").contains("of oxide-operator's own"));
    }

    #[test]
    fn variables_are_limited_to_those_that_are_named() {
        let with = |variables: &[&str]| {
            let variables = variables.iter().map(|&name| name.to_owned()).collect();
            let reach = Arc::new(Reach { variables, ..Reach::default() });
            Secrets::of(&SourceSpec::Folder(".".into()), &reach).resolve(&SecretReference::Env("PATH".into()))
        };
        assert!(with(&[]).is_ok() && with(&["HOME", "PATH"]).is_ok());
        assert!(with(&["HOME"]).expect_err("not named").contains("--source-env"));
    }
}
