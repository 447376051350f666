//! File events to hints: something may have happened to the source, or to the database.
//!
//! Folders are watched, never files: an editor's rename and kubelet's `..data` swap replace the file, and a watch on
//! it would be deaf from then on. An event is only ever a hint; what counts is what is then read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Wake;
use crate::source::{self, SourceSpec, is_yaml};

/// The name of the link that kubelet swaps when a mounted `ConfigMap` changes.
const KUBELET_DATA: &str = "..data";

/// How many symbolic links are followed to the source's file.
const MAX_LINKS: usize = 8;

/// What an event says about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// It is another file now, or gone: complete as it is.
    Replaced,
    /// It was created or written, and closed.
    Closed(PathBuf),
    /// It is being written.
    Writing(PathBuf),
}

/// Watches the folders of the source and of the database.
pub(super) struct Watcher {
    /// None as long as the system grants no watch at all; asked for again whenever the watches are armed.
    inner: Option<RecommendedWatcher>,
    wakes: Sender<Wake>,
    spec: SourceSpec,
    database: PathBuf,
    /// The files that the source takes API keys from.
    secrets: BTreeSet<PathBuf>,
    interest: Arc<Mutex<Interest>>,
    watched: BTreeSet<PathBuf>,
    /// Why events cannot be had, when they cannot.
    pub(super) fault: Option<String>,
}

/// Which names matter in which folders; shared with the thread that receives the events.
#[derive(Debug, Default)]
struct Interest {
    /// The folder, when the source is one.
    source_folder: Option<PathBuf>,
    /// Folder and name of every hop from the source's path to its file.
    source: BTreeSet<(PathBuf, PathBuf)>,
    /// Folder and name of every hop to a secret file.
    secrets: BTreeSet<(PathBuf, PathBuf)>,
    database: (PathBuf, PathBuf),
}

impl Watcher {
    pub(super) fn new(spec: &SourceSpec, database: &Path, wakes: Sender<Wake>) -> Self {
        let mut watcher = Self {
            inner: None,
            wakes,
            spec: spec.clone(),
            database: database.to_owned(),
            secrets: BTreeSet::new(),
            interest: Arc::default(),
            watched: BTreeSet::new(),
            fault: None,
        };
        watcher.arm();
        watcher
    }

    /// Watches these secret files, too, from when it is next armed.
    pub(super) fn name_secrets(&mut self, secrets: BTreeSet<PathBuf>) {
        self.secrets = secrets;
    }

    /// Watches the folders that matter now. Cheap when nothing changed.
    pub(super) fn arm(&mut self) {
        let interest = Interest::now(&self.spec, &self.secrets, &self.database);
        let mut wanted: BTreeSet<PathBuf> =
            interest.source.iter().map(|(folder, _)| folder.clone()).collect();
        wanted.extend(interest.source_folder.clone());
        wanted.insert(interest.database.0.clone());
        // Where a secret's folder cannot be watched, or is not there, the file is looked at instead.
        let mut optional: BTreeSet<PathBuf> =
            interest.secrets.iter().map(|(folder, _)| folder.clone()).collect();
        optional.retain(|folder| !wanted.contains(folder) && folder.is_dir());
        wanted.extend(optional.iter().cloned());
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) = interest;
        let mut inner = match self.inner.take().map_or_else(|| self.open(), Ok) {
            Ok(inner) => inner,
            Err(error) => {
                self.fault = Some(error.to_string());
                return;
            }
        };
        let mut fault = None;
        for folder in self.watched.difference(&wanted) {
            let _ = inner.unwatch(folder);
        }
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if self.watched.contains(&folder) {
                continue;
            }
            match inner.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder);
                }
                Err(_) if optional.contains(&folder) => {}
                Err(error) => fault = Some(format!("{}: {error}", folder.display())),
            }
        }
        self.inner = Some(inner);
        self.fault = fault;
    }

    /// Asks the system for events.
    fn open(&self) -> notify::Result<RecommendedWatcher> {
        let (interest, wakes) = (Arc::clone(&self.interest), self.wakes.clone());
        notify::recommended_watcher(move |event: notify::Result<Event>| {
            let interest = interest.lock().unwrap_or_else(PoisonError::into_inner);
            for wake in wakes_of(event, &interest) {
                let _ = wakes.send(wake);
            }
        })
    }

    /// Watches everything anew: under a name that is watched there may be another folder by now.
    pub(super) fn rearm(&mut self) {
        if let Some(inner) = &mut self.inner {
            for folder in std::mem::take(&mut self.watched) {
                let _ = inner.unwatch(&folder);
            }
        }
        self.arm();
    }

    /// Whether the database's folder is watched.
    pub(super) fn sees_database(&self) -> bool {
        self.watched.contains(&folder_and_name(&self.database).0)
    }

    /// Whether every folder on the way to a secret file is watched.
    pub(super) fn sees_secrets(&self) -> bool {
        let interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
        interest.secrets.iter().all(|(folder, _)| self.watched.contains(folder))
    }

    /// Whether the source's folder is watched.
    pub(super) fn sees_source(&self) -> bool {
        let interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
        let hops_are_watched = interest.source.iter().all(|(folder, _)| self.watched.contains(folder));
        hops_are_watched && interest.source_folder.iter().all(|folder| self.watched.contains(folder))
    }
}

impl Interest {
    fn now(spec: &SourceSpec, secrets: &BTreeSet<PathBuf>, database: &Path) -> Self {
        // An object of Kubernetes is watched elsewhere.
        let mut source: BTreeSet<_> = spec.path().map(hops).into_iter().flatten().collect();
        let source_folder = match spec {
            SourceSpec::Folder(path) => {
                // A link in the folder may lead to a file elsewhere.
                let links = source::files(spec).into_iter().filter(|file| file.is_symlink());
                source.extend(links.flat_map(|link| hops(&link)));
                Some(canonical(path))
            }
            SourceSpec::File(_) | SourceSpec::Object(_) => None,
        };
        let secrets = secrets.iter().flat_map(|path| hops(path)).collect();
        Self { source_folder, source, secrets, database: folder_and_name(database) }
    }

    fn is_secret(&self, path: &Path) -> bool {
        let (folder, name) = folder_and_name(path);
        let swapped = name.as_os_str() == KUBELET_DATA;
        let beside = self.secrets.iter().any(|(parent, _)| *parent == folder);
        (swapped && beside) || self.secrets.contains(&(folder, name))
    }

    fn is_source(&self, path: &Path) -> bool {
        let (folder, name) = folder_and_name(path);
        let swapped = name.as_os_str() == KUBELET_DATA;
        let in_folder = self.source_folder.is_some()
            && self.source.iter().any(|(parent, name)| parent.join(name) == folder)
            && (swapped || is_yaml(path));
        let beside = self.source.iter().any(|(parent, _)| *parent == folder);
        in_folder || (swapped && beside) || self.source.contains(&(folder, name))
    }

    /// The database itself or its log. The `-shm` changes with every reader and says nothing.
    fn is_database(&self, path: &Path) -> bool {
        let (folder, name) = folder_and_name(path);
        folder == self.database.0
            && name.to_str().zip(self.database.1.to_str()).is_some_and(|(name, database)| {
                name.strip_prefix(database).is_some_and(|suffix| matches!(suffix, "" | "-wal"))
            })
    }
}

/// Folder and name of every link on the way to a file, and of the file itself.
fn hops(path: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut hops = Vec::new();
    let mut next = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..MAX_LINKS {
        // The folder behind kubelet's link is deleted at the next swap; the swap itself is seen beside it.
        if let Some(data) = next.ancestors().skip(1).find(|folder| folder.ends_with(KUBELET_DATA)) {
            hops.push(folder_and_name(data));
            break;
        }
        let link = next.ancestors().filter(|part| part.is_symlink()).last().map(Path::to_owned);
        let target = link.as_ref().and_then(|link| std::fs::read_link(link).ok());
        let Some((link, target)) = link.zip(target) else {
            hops.push(folder_and_name(&next));
            break;
        };
        hops.push(folder_and_name(&link));
        let behind = next.strip_prefix(&link).unwrap_or(Path::new("")).to_owned();
        next = link.parent().unwrap_or(Path::new(".")).join(target);
        if behind != Path::new("") {
            next.push(behind);
        }
    }
    hops
}

fn wakes_of(event: notify::Result<Event>, interest: &Interest) -> Vec<Wake> {
    let Ok(event) = event else { return vec![Wake::Rescan] };
    if event.need_rescan() {
        return vec![Wake::Rescan];
    }
    let mut wakes = Vec::new();
    for path in &event.paths {
        if interest.is_source(path)
            && let Some(hint) = hint(event.kind, path)
        {
            wakes.push(Wake::Source(hint));
        }
        let touched = matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)));
        if interest.is_secret(path) && (touched || hint(event.kind, path).is_some()) {
            wakes.push(Wake::Secrets);
        }
        if interest.is_database(path) && !matches!(event.kind, EventKind::Access(AccessKind::Open(_))) {
            wakes.push(Wake::Store);
        }
        if is_gone(event.kind) && interest.is_a_folder(path) {
            wakes.push(Wake::FolderGone);
        }
    }
    wakes
}

impl Interest {
    fn is_a_folder(&self, path: &Path) -> bool {
        let hops = self.source.iter().chain(&self.secrets);
        self.database.0 == path || hops.into_iter().any(|(folder, _)| folder == path)
    }
}

/// A folder that is renamed away takes its watch along: it would go on reporting what happens there.
fn is_gone(kind: EventKind) -> bool {
    matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
}

fn hint(kind: EventKind, path: &Path) -> Option<Hint> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Hint::Closed(path.to_owned())),
        EventKind::Create(CreateKind::Folder) => None,
        EventKind::Create(_) => Some(Hint::Closed(path.to_owned())),
        EventKind::Modify(ModifyKind::Data(_)) => Some(Hint::Writing(path.to_owned())),
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None,
        EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => Some(Hint::Replaced),
        _ => None,
    }
}

fn folder_and_name(path: &Path) -> (PathBuf, PathBuf) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (canonical(folder), path.file_name().map(PathBuf::from).unwrap_or_default())
}

fn canonical(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
