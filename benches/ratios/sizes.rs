//! What an input costs by its size: straight lines, whatever is in it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use super::live::Agent;
use super::process::timed;
use super::program;

type Shape = (&'static str, fn(usize) -> String);

/// Texts of about so many bytes.
const SOURCES: [Shape; 6] = [
    ("services", |size| {
        let service = |it| {
            format!("  s{it}:\n    type: http\n    base_url: http://h{it}:1/v1\n    models:\n    - a{it}\n")
        };
        "services:\n".to_owned() + &(0..=size / 72).map(service).collect::<String>()
    }),
    ("services in one line, a fault at its end", |size| {
        let service = |it| format!("s{it}: {{type: cli, executable: run}}, ");
        format!("{{services: {{{}}}, servces: {{a: 1}}}}\n", (0..=size / 38).map(service).collect::<String>())
    }),
    ("a fault in every line", |size| {
        let rule = |it| format!("  t{it}: {{primary: nope{it}}}\n");
        let rules: String = (0..=size / 32).map(rule).collect();
        format!("services:\n  a: {{type: cli, executable: run}}\nrouting_rules:\n{rules}")
    }),
    ("aliases of a long text", |size| {
        format!("x-a: &a '{}'\nx-l:\n{}", "x".repeat(size / 2), "- *a\n".repeat(size / 10 + 1))
    }),
    ("an object too large", |size| format!("services: {{a: {{models: [{}b]}}}}\n", "a,".repeat(size / 2))),
    ("comments and sections that are kept", |size| {
        let line = "# a comment of forty characters, no more\n".repeat(size / 82 + 1);
        format!("{line}logging:\n  level: INFO\n{line}services:\n  a: {{type: cli, executable: run}}\n")
    }),
];

/// Reads and plans sources of 1 kB to 100 MB; the largest that is read has 64 MiB.
pub(crate) fn sources(bin: &Path) {
    println!(
        "\n| source | MB | plan: ms | ms a MB | peak MiB | times its size | exit |\n|---|---|---|---|---|---|---|"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.yaml");
    let db = folder.path().join("none.db").display().to_string();
    let source = format!("file:{}", file.display());
    let plan = || timed(program(bin, folder.path()).args(["plan", "--source", &source, "--db", &db]));
    std::fs::write(&file, SOURCES[0].1(1)).expect("written");
    let rest = plan().peak_kib;
    for (name, text) in SOURCES {
        for size in [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000] {
            let text = text(size);
            std::fs::write(&file, &text).expect("written");
            let runs: Vec<_> = (0..3).map(|_| plan()).collect();
            let wall = runs.iter().map(|run| run.wall.as_secs_f64() * 1e3).fold(f64::INFINITY, f64::min);
            let peak = runs.iter().map(|run| run.peak_kib).max().unwrap_or_default();
            let (mega, more) = (text.len() as f64 / 1e6, peak.saturating_sub(rest) as f64 / 1024.0);
            println!(
                "| {name} | {mega:.3} | {wall:.1} | {:.0} | {:.1} | {:.1} | {} |",
                wall / mega,
                peak as f64 / 1024.0,
                more * 1.048_576 / mega,
                runs[0].exit
            );
        }
    }
}

const EDITS: [Shape; 3] = [
    ("unknown fields", |size| {
        let fields: String = (0..=size / 12).map(|it| format!("\"u{it}\": 1, ")).collect();
        format!("{{{fields}\"type\": \"cli\"}}")
    }),
    ("blanks, and a fault", |size| format!("{{\"site_name\": \"{}\", \"z\": 1}}", " ".repeat(size))),
    ("a long value", |size| format!("{{\"site_name\": \"{}\"}}", "x".repeat(size))),
];

/// Sends edits of 1 kB to 100 MB to a running agent, and asks it for pages of databases of any size.
pub(crate) fn requests(bin: &Path) {
    println!("\n| PATCH | MB | ms | ms a MB | peak MiB of the agent | answer |\n|---|---|---|---|---|---|");
    let agent = Agent::with_page(bin, &SOURCES[0].1(72));
    for (name, body) in EDITS {
        for size in [1_000, 10_000, 100_000, 1_000_000, 7_000_000, 100_000_000] {
            let body = body(size);
            let clock = Instant::now();
            let status = agent.ask("PATCH", "/api/v1/services/s0?dryRun=true", &body);
            let (ms, mega) = (clock.elapsed().as_secs_f64() * 1e3, body.len() as f64 / 1e6);
            println!("| {name} | {mega:.3} | {ms:.1} | {:.0} | {:.1} | {status} |", ms / mega, agent.peak());
        }
    }
    println!("\n| page of | MB of YAML | ms | peak MiB of the agent | answer |\n|---|---|---|---|---|");
    for size in [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000] {
        let yaml = SOURCES[0].1(size);
        let agent = Agent::with_page(bin, &yaml);
        for path in ["/", "/services", "/drift", "/api/v1/status"] {
            let clock = Instant::now();
            let status = agent.ask("GET", path, "");
            let (ms, mega) = (clock.elapsed().as_secs_f64() * 1e3, yaml.len() as f64 / 1e6);
            println!("| {path} | {mega:.3} | {ms:.1} | {:.1} | {status} |", agent.peak());
        }
    }
}

/// Sends a request with a token, and returns the status of the answer.
pub(crate) fn ask(port: u16, token: &str, method: &str, path: &str, body: &str) -> String {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nIf-Match: *\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return "no connection".into() };
    // A body that is too large is refused before it was sent.
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let status = String::from_utf8_lossy(&answer);
    match status.split(' ').nth(1) {
        Some(status) => status.to_owned(),
        None => sent.err().map_or_else(|| "none".to_owned(), |error| error.kind().to_string()),
    }
}
