//! What a process does to files, from strace's log.

#![expect(clippy::disallowed_methods, reason = "it runs strace")]

use std::fs;
use std::path::{Path, PathBuf};

use super::process::{BINARY, Place, Said, said};

/// Every call that changes a file, a name or what is durable of either.
const CALLS: &str = "openat,creat,close,dup,dup2,dup3,fcntl,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,\
                     copy_file_range,sendfile,lseek,fsync,fdatasync,sync_file_range,msync,rename,renameat,renameat2,\
                     link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,symlink,symlinkat";

/// One call that succeeded. Paths are as they were given.
#[derive(Debug)]
pub(crate) enum Call {
    Open {
        path: PathBuf,
        fd: i32,
        create: bool,
        truncate: bool,
        append: bool,
    },
    Close {
        fd: i32,
    },
    /// At the file's position where no other is given.
    Write {
        fd: i32,
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    Resize {
        fd: i32,
        bytes: usize,
    },
    Sync {
        fd: i32,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        exchange: bool,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    Mkdir {
        path: PathBuf,
    },
    /// One that this does not know what to make of.
    Unknown(String),
}

/// Runs a command of the program under strace; returns what it said and did.
pub(crate) fn record(place: &Place, arguments: &[&str]) -> (Said, Vec<Call>) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut command = place.program("strace");
    command.args([
        "-f",
        "-y",
        "-xx",
        "-s",
        "100000000",
        "--seccomp-bpf",
        "-e",
        &format!("trace={CALLS}"),
        "-o",
    ]);
    let run = said(command.arg(&log).arg(BINARY).args(arguments));
    let log =
        fs::read_to_string(&log).unwrap_or_else(|error| panic!("strace left no log: {error}: {run:#?}"));
    let mut processes: Vec<&str> = log.lines().filter_map(|line| line.split(' ').next()).collect();
    processes.dedup();
    assert_eq!(processes.len(), 1, "the order of the calls of several threads is not known");
    (run, log.lines().filter_map(|line| parse(line, place.root())).collect())
}

fn parse(line: &str, root: &Path) -> Option<Call> {
    let (_, line) = line.split_once(' ')?;
    let (call, rest) = line.trim_start().split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") ")?;
    let result: i32 = number(result.trim_start().strip_prefix("= ")?)?;
    if result < 0 {
        return None;
    }
    let arguments: Vec<&str> = arguments.split(", ").collect();
    let fd = arguments.first().and_then(|fd| number(fd));
    let path =
        |position: usize| PathBuf::from(String::from_utf8_lossy(&text(arguments[position])).into_owned());
    let here =
        arguments.iter().any(|it| String::from_utf8_lossy(&text(it)).contains(&*root.to_string_lossy()));
    Some(match (call, fd) {
        ("openat", _) => {
            let flag = |name| arguments[2].split('|').any(|flag| flag == name);
            let (create, truncate, append) = (flag("O_CREAT"), flag("O_TRUNC"), flag("O_APPEND"));
            Call::Open { path: path(1), fd: result, create, truncate, append }
        }
        ("close", Some(fd)) => Call::Close { fd },
        ("write", Some(fd)) => Call::Write { fd, at: None, bytes: text(arguments[1]) },
        ("pwrite64", Some(fd)) => Call::Write { fd, at: number(arguments[3]), bytes: text(arguments[1]) },
        ("ftruncate", Some(fd)) => Call::Resize { fd, bytes: number(arguments[1])? },
        ("fsync" | "fdatasync", Some(fd)) => Call::Sync { fd },
        ("rename", _) => Call::Rename { from: path(0), to: path(1), exchange: false },
        ("renameat" | "renameat2", _) => {
            let exchange = arguments.get(4).is_some_and(|flags| flags.contains("RENAME_EXCHANGE"));
            Call::Rename { from: path(1), to: path(3), exchange }
        }
        ("link", _) => Call::Link { from: path(0), to: path(1) },
        ("linkat", _) => Call::Link { from: path(1), to: path(3) },
        ("unlink", _) => Call::Unlink { path: path(0) },
        ("unlinkat", _) => Call::Unlink { path: path(1) },
        ("mkdir", _) => Call::Mkdir { path: path(0) },
        ("mkdirat", _) => Call::Mkdir { path: path(1) },
        // Where a file is read from next, and locks.
        ("lseek", _) => return None,
        ("fcntl", _) if !arguments[1].starts_with("F_DUPFD") => return None,
        _ if !here => return None,
        _ => Call::Unknown(line.chars().take(200).collect()),
    })
}

/// The number that a text begins with.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.split(|char: char| !char.is_ascii_digit() && char != '-').next()?.parse().ok()
}

/// The bytes between quotes or angle brackets, which strace writes in hexadecimal.
fn text(argument: &str) -> Vec<u8> {
    let mut codes = argument.split("\\x").skip(1);
    let byte = |code: &str| u8::from_str_radix(code.get(..2)?, 16).ok();
    std::iter::from_fn(|| byte(codes.next()?)).collect()
}
