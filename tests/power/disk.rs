//! A disk that forgets at a power cut what nobody made durable: the calls of a process, done on files in memory.
//!
//! As strict as POSIX lets a file system be. `fsync` of a file keeps its bytes and not its name; `fsync` of a folder keeps the
//! names in it and not their bytes. What is not kept survives in any part, but for names, which survive in their order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::record::Call;
use super::survive::Survive;

/// What lies on the disk, by path: the bytes of a file; none for a folder.
pub(crate) type Files = BTreeMap<PathBuf, Option<Vec<u8>>>;

type NodeId = usize;

/// The folder that everything is in.
const ROOT: NodeId = 0;

pub(crate) struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    /// What is where for a process that asks now.
    names: BTreeMap<PathBuf, NodeId>,
    /// Names that were given and taken since, in order.
    journal: Vec<Vec<Name>>,
    open: BTreeMap<i32, Open>,
}

enum Node {
    File {
        durable: Vec<u8>,
        since: Vec<Change>,
    },
    /// The durable names in it.
    Folder(BTreeMap<String, NodeId>),
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

/// A name in a folder, and what it stands for then; what one call does to names is done at once.
type Name = (NodeId, String, Option<NodeId>);

struct Open {
    /// None for a file that is not on this disk.
    node: Option<NodeId>,
    append: bool,
    position: usize,
}

impl Disk {
    /// A disk on which a folder lies as it is, all of it durable.
    pub(crate) fn holding(root: &Path) -> Self {
        let names = BTreeMap::from([(root.to_owned(), ROOT)]);
        let nodes = vec![Node::Folder(BTreeMap::new())];
        let mut disk =
            Self { root: root.to_owned(), nodes, names, journal: Vec::new(), open: BTreeMap::new() };
        disk.take_in(root);
        for name in std::mem::take(&mut disk.journal).into_iter().flatten() {
            disk.keep(name);
        }
        disk
    }

    fn take_in(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.make(&path, Node::Folder(BTreeMap::new()));
                self.take_in(&path);
            } else {
                let durable = std::fs::read(&path).expect("readable");
                self.make(&path, Node::File { durable, since: Vec::new() });
            }
        }
    }

    /// Does what a process did.
    pub(crate) fn run(&mut self, call: &Call) {
        match call {
            Call::Open { path, fd, create, truncate, append } => {
                let path = self.root.join(path);
                if !self.names.contains_key(&path) && *create && self.holds(&path) {
                    self.make(&path, Node::File { durable: Vec::new(), since: Vec::new() });
                }
                let node = self.names.get(&path).copied();
                self.open.insert(*fd, Open { node, append: *append, position: 0 });
                if *truncate {
                    self.change(*fd, Change::Resize(0));
                }
            }
            Call::Close { fd } => drop(self.open.remove(fd)),
            Call::Write { fd, at, bytes } => self.write(*fd, *at, bytes),
            Call::Resize { fd, bytes } => self.change(*fd, Change::Resize(*bytes)),
            Call::Sync { fd } => {
                if let Some(node) = self.open.get(fd).and_then(|open| open.node) {
                    self.sync(node);
                }
            }
            Call::Rename { from, to, exchange } => {
                let (from, to) = (self.root.join(from), self.root.join(to));
                let replaced = if *exchange { self.names.get(&to).copied() } else { None };
                let renamed = self.names.get(&from).copied();
                self.name(&[(&from, replaced), (&to, renamed)]);
            }
            Call::Link { from, to } => {
                let linked = self.names.get(&self.root.join(from)).copied();
                self.name(&[(&self.root.join(to), linked)]);
            }
            Call::Unlink { path } => self.name(&[(&self.root.join(path), None)]),
            Call::Mkdir { path } => {
                let path = self.root.join(path);
                if self.holds(&path) {
                    self.make(&path, Node::Folder(BTreeMap::new()));
                }
            }
            Call::Unknown(line) => panic!("a call on this disk that it does not know: {line}"),
        }
    }

    fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    fn make(&mut self, path: &Path, node: Node) {
        self.nodes.push(node);
        self.name(&[(path, Some(self.nodes.len() - 1))]);
    }

    fn name(&mut self, changes: &[(&Path, Option<NodeId>)]) {
        let mut names = Vec::new();
        for (path, node) in changes.iter().filter(|(path, _)| self.holds(path)) {
            let folder = self.names[path.parent().expect("a folder")];
            names.push((folder, last(path), *node));
        }
        for (path, node) in changes {
            match node {
                Some(node) => self.names.insert((*path).to_owned(), *node),
                None => self.names.remove(*path),
            };
        }
        self.journal.push(names);
    }

    fn write(&mut self, fd: i32, at: Option<usize>, bytes: &[u8]) {
        let Some(Open { node: Some(node), append, position }) = self.open.get(&fd) else { return };
        let at = match at {
            Some(at) => at,
            None if *append => self.now(*node).len(),
            None => *position,
        };
        self.change(fd, Change::Write(at, bytes.to_owned()));
        if let Some(open) = self.open.get_mut(&fd) {
            open.position = at + bytes.len();
        }
    }

    fn change(&mut self, fd: i32, change: Change) {
        let node = self.open.get(&fd).and_then(|open| open.node);
        if let Some(Node::File { since, .. }) = node.map(|node| &mut self.nodes[node]) {
            since.push(change);
        }
    }

    fn now(&self, node: NodeId) -> Vec<u8> {
        match &self.nodes[node] {
            Node::File { durable, since } => since.iter().fold(durable.clone(), with),
            Node::Folder(_) => Vec::new(),
        }
    }

    fn sync(&mut self, node: NodeId) {
        if let Node::File { durable, since } = &mut self.nodes[node] {
            *durable = std::mem::take(since).iter().fold(std::mem::take(durable), with);
            return;
        }
        for mut names in std::mem::take(&mut self.journal) {
            for kept in names.extract_if(.., |(folder, ..)| *folder == node) {
                self.keep(kept);
            }
            if !names.is_empty() {
                self.journal.push(names);
            }
        }
    }

    fn keep(&mut self, (folder, name, node): Name) {
        if let Node::Folder(durable) = &mut self.nodes[folder] {
            rename(durable, &name, node);
        }
    }

    /// What lies on the disk once the power is back.
    pub(crate) fn after_a_cut(&self, survive: &mut dyn Survive) -> Files {
        let journal = &self.journal[..survive.names(self.journal.len())];
        let mut files = Files::new();
        let mut left = vec![(ROOT, PathBuf::new())];
        while let Some((node, path)) = left.pop() {
            match &self.nodes[node] {
                Node::File { durable, since } => {
                    let changed = since.iter().filter_map(|change| survivor(change, survive));
                    let bytes = changed.fold(durable.clone(), |bytes, change| with(bytes, &change));
                    files.insert(path, Some(bytes));
                }
                Node::Folder(durable) => {
                    let mut inside = durable.clone();
                    for (_, name, named) in journal.iter().flatten().filter(|(folder, ..)| *folder == node) {
                        rename(&mut inside, name, *named);
                    }
                    left.extend(inside.into_iter().map(|(name, node)| (node, path.join(name))));
                    files.insert(path, None);
                }
            }
        }
        files
    }
}

fn rename(folder: &mut BTreeMap<String, NodeId>, name: &str, node: Option<NodeId>) {
    match node {
        Some(node) => folder.insert(name.to_owned(), node),
        None => folder.remove(name),
    };
}

/// The part of a change that survives; a length survives with the first byte that it makes room for.
fn survivor(change: &Change, survive: &mut dyn Survive) -> Option<Change> {
    match change {
        Change::Write(at, bytes) => match survive.bytes(bytes.len()).min(bytes.len()) {
            0 => None,
            kept => Some(Change::Write(*at, bytes[..kept].to_owned())),
        },
        Change::Resize(_) => (survive.bytes(1) > 0).then(|| change.clone()),
    }
}

fn with(mut bytes: Vec<u8>, change: &Change) -> Vec<u8> {
    match change {
        Change::Write(at, written) => {
            bytes.resize(bytes.len().max(at + written.len()), 0);
            bytes[*at..at + written.len()].copy_from_slice(written);
        }
        Change::Resize(length) => bytes.resize(*length, 0),
    }
    bytes
}

fn last(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}
