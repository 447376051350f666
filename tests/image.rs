//! The container image: the final stage of the Dockerfile, around the static binary, built and run for real.

#![expect(clippy::disallowed_methods, reason = "it builds and runs an image")]

#[path = "support/container.rs"]
mod container;
#[path = "support/image.rs"]
mod image;
#[path = "support/network.rs"]
mod network;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use container::Container;
use image::Images;
use network::{Network, RESOLVER};
use serde_json::Value as Json;

const NAME: &str = "localhost/oxide-operator:test";
const USER: u32 = 65_532;
const SAMPLE: &str = include_str!("../config/default.yaml");

/// What the whole image may weigh.
const LARGEST: u64 = 20 << 20;

/// The image built, and a volume of its user that holds the sample.
struct Built {
    images: Images,
    volume: tempfile::TempDir,
}

/// Where a container ended, and what it said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Built {
    fn new() -> Self {
        let images = Images::new();
        images.build(NAME, &[]);
        let volume = tempfile::tempdir().expect("a folder");
        fs::write(volume.path().join("default.yaml"), SAMPLE).expect("written");
        for path in [volume.path().to_owned(), volume.path().join("default.yaml")] {
            chown(path, Some(USER), Some(USER)).expect("root may");
        }
        Self { images, volume }
    }

    fn container(&self, arguments: &[&str]) -> Container {
        let root = self.images.files(NAME);
        // Mount points are made by whoever runs the container, before the root is read-only.
        Container::new(&self.images.configuration(NAME), &root, self.volume.path(), arguments)
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let output = self.container(arguments).start().wait_with_output().expect("ended");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("readable").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn the_image_is_one_file_and_says_what_it_is() {
    let images = Images::new();
    images.build(NAME, &["--build-arg", "REVISION=0123abc"]);
    let root = images.files(NAME);
    assert_eq!(files_below(&root), [root.join("oxide-operator")]);

    let configuration = images.configuration(NAME);
    let config = &configuration["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/oxide-operator"]));
    assert_eq!(config["Cmd"], Json::Null, "no arguments that a pod would have to undo");
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str();
    assert_eq!(label("title"), Some(env!("CARGO_PKG_NAME")));
    assert_eq!(label("version"), Some(env!("CARGO_PKG_VERSION")), "the Dockerfile's VERSION");
    assert_eq!(label("licenses"), Some(env!("CARGO_PKG_LICENSE")));
    assert_eq!(label("source"), Some(env!("CARGO_PKG_REPOSITORY")));
    assert_eq!(label("revision"), Some("0123abc"));
    assert_eq!(configuration["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(1), "one layer");
}

#[test]
fn the_image_is_small_also_when_it_is_pulled() {
    let built = Built::new();
    let archive = built.volume.path().join("image.tar");
    built.images.archive(NAME, &archive);
    let bytes = fs::metadata(built.images.files(NAME).join("oxide-operator")).expect("there").len();
    let pulled = fs::metadata(archive).expect("written").len();
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!("image: {:.1} MiB, compressed {:.1} MiB", mebibytes(bytes), mebibytes(pulled));
    assert!(bytes < LARGEST, "{bytes} bytes");
    assert!(pulled < bytes, "layers are compressed");
}

#[test]
fn two_builds_of_the_same_files_are_the_same_image() {
    let (first, second) = (Images::new(), Images::new());
    assert_eq!(first.build(NAME, &[]), second.build(NAME, &[]));
}

#[test]
fn a_container_without_any_right_migrates_a_mounted_volume() {
    let built = Built::new();
    let said = built.run(&["--version"]);
    assert_eq!(said.stdout.trim(), concat!("oxide-operator ", env!("CARGO_PKG_VERSION")), "{said:?}");

    let migrate = ["migrate", "--yaml", "/data/default.yaml", "--db", "/data/.oxide/config.db"];
    let said = built.run(&migrate);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("Migration completed successfully"), "{said:?}");
    for file in files_below(&built.volume.path().join(".oxide")) {
        let of = fs::metadata(&file).expect("there");
        assert_eq!((of.uid(), of.mode() & 0o077), (USER, 0), "{}", file.display());
    }
    let conn = rusqlite::Connection::open(built.volume.path().join(".oxide/config.db")).expect("opens");
    let services: i64 = conn.query_row("SELECT COUNT(*) FROM services", [], |row| row.get(0)).expect("there");
    assert_eq!(services, 6);
}

#[test]
fn a_container_writes_nowhere_but_on_its_volume() {
    let built = Built::new();
    let said = built.run(&["migrate", "--yaml", "/data/default.yaml", "--db", "/elsewhere/config.db"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("ead-only file system"), "{said:?}");
}

#[test]
fn a_container_that_is_told_to_stop_ends_at_once() {
    let built = Built::new();
    let run = ["run", "--source", "file:/data/default.yaml", "--db", "/data/.oxide/config.db"];
    let container = built.container(&[&run[..], &["--log-format", "json"]].concat());
    let mut child = container.start();
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("\"outcome\":\"applied\"")), "it never applied");
    let told = Instant::now();
    container.signal("TERM");
    assert!(child.wait().expect("ended").success());
    let took = told.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
}

/// The stage that compiles is not run here, which takes minutes; what it lacks would be noticed by users first.
#[test]
fn whatever_the_sources_include_is_copied_into_the_build() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("committed");
    let dockerfile = read("Dockerfile");
    let statements = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")?.rsplit_once(' '));
    let copied: Vec<&str> = statements
        .filter(|(from, _)| !from.starts_with("--"))
        .flat_map(|(from, _)| from.split(' '))
        .collect();
    let let_through = read(".dockerignore");
    for name in &copied {
        assert!(
            let_through.lines().any(|line| line.strip_prefix('!') == Some(name)),
            ".dockerignore: {name}"
        );
    }
    for source in ["src", "benches"].iter().flat_map(|folder| files_below(&root.join(folder))) {
        let text = fs::read_to_string(&source).expect("a source");
        for included in text.lines().filter_map(|line| line.split_once("include_str!(\"")?.1.split_once('"'))
        {
            let path = source.parent().expect("a folder").join(included.0);
            // An example in a comment is included from another place.
            let Ok(path) = fs::canonicalize(path) else { continue };
            let path = path.strip_prefix(root).expect("of this repository");
            let covered = copied.iter().any(|name| path.starts_with(name));
            assert!(covered, "the Dockerfile does not copy {}, of {}", path.display(), source.display());
        }
    }
}

/// A static glibc brings its own name services: docs/decisions/0008-static-glibc.md stands or falls with this.
#[test]
fn a_name_is_resolved_from_within_an_empty_image() {
    let built = Built::new();
    let network = Network::new();
    let server = network.inside(|| TcpListener::bind("127.0.0.1:8000").expect("nobody else's port"));
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a connection");
        let lines = BufReader::new(stream.try_clone().expect("a socket")).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").expect("answered");
        let _ = sender.send(head);
    });
    let url = "http://orchestrator.oxide.test:8000/api/config/reload";
    let apply = ["apply", "--source", "file:/data/default.yaml", "--db", "/data/.oxide/config.db"];
    let container = built.container(&[&apply[..], &["--reload-url", url]].concat());
    let output = container.in_network(&network.path(), RESOLVER).start().wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let head = asked.recv_timeout(Duration::from_secs(5)).unwrap_or_else(|_| panic!("nobody asked: {said}"));
    assert!(head.iter().any(|line| line.to_lowercase() == "host: orchestrator.oxide.test:8000"), "{head:?}");
}
