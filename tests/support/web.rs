//! The web page and the API of a real `run`, as their clients meet them: over a socket, byte by byte.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::agent::{Agent, PATIENCE, folder_with_yaml};

/// `run` with its web page.
pub(crate) struct Web {
    pub(crate) agent: Agent,
    pub(crate) client: Client,
    /// What was printed of where it is.
    pub(crate) said: Json,
    /// The address that was printed; a link that lets one person in at a terminal.
    pub(crate) link: String,
}

/// Somebody who asks; there may be many.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) port: u16,
    pub(crate) token: String,
}

impl std::ops::Deref for Web {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn etag(&self) -> &str {
        self.header("etag").unwrap_or_else(|| panic!("no tag in {self:?}"))
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl Web {
    /// Starts on the guide's sample, and waits until it is applied.
    pub(crate) fn start(more: &[&str]) -> Self {
        Self::start_in(folder_with_yaml(), more)
    }

    pub(crate) fn start_in(folder: tempfile::TempDir, more: &[&str]) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let arguments: Vec<&str> = [&["--listen", &listen], more].concat();
        Self::once_applied(Agent::start(folder, "file:default.yaml", &arguments), port)
    }

    /// Starts through another program, or with what is around it set.
    pub(crate) fn start_with(program: Command, more: &[&str]) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let arguments: Vec<&str> = [&["--listen", &listen], more].concat();
        let agent = Agent::start_with(program, folder_with_yaml(), "file:default.yaml", &arguments);
        Self::once_applied(agent, port)
    }

    /// Starts as a person does, whose terminal shows the log.
    pub(crate) fn start_at_a_terminal() -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let agent =
            Agent::start_at_a_terminal(folder_with_yaml(), "file:default.yaml", &["--listen", &listen]);
        Self::once_applied(agent, port)
    }

    fn once_applied(mut agent: Agent, port: u16) -> Self {
        let said = agent.wait_for("where the page is", |line| line["url"].is_string());
        agent.wait_for_outcome("applied");
        let token = std::fs::read_to_string(agent.folder.path().join("store/web.token")).expect("a token");
        let link = said["url"].as_str().expect("a link").to_owned();
        Self { agent, client: Client { port, token: token.trim().to_owned() }, said, link }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.agent.folder.path().join("store/config.db")
    }
}

impl Client {
    /// Sends a request with the token.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let authorization = format!("Bearer {}", self.token);
        let all: Vec<(&str, &str)> = [&[("Authorization", authorization.as_str())], headers].concat();
        self.send(method, path, &all, body)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], "")
    }

    /// Sends JSON, expecting what `tag` says.
    pub(crate) fn write(&self, method: &str, path: &str, tag: Option<&str>, body: &Json) -> Reply {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(tag.map(|tag| ("If-Match", tag)));
        self.ask(method, path, &headers, &body.to_string())
    }

    /// Sends a request exactly as it is given.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str(&format!("Host: 127.0.0.1:{}\r\n", self.port));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        // A server that refuses may close before it has read all.
        let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        read_reply(stream)
    }

    /// Logs in with the token, as a browser does; returns the cookie.
    pub(crate) fn log_in(&self, name: &str) -> String {
        let reply = self.form("/login", "", &[("token", &self.token), ("name", name)]);
        assert_eq!(reply.status, 303, "{reply:?}");
        let cookie = reply.header("set-cookie").expect("a cookie");
        cookie.split(';').next().expect("a value").to_owned()
    }

    /// Sends a form as a browser does.
    pub(crate) fn form(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Reply {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let origin = format!("http://127.0.0.1:{}", self.port);
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Cookie", cookie),
            ("Origin", origin.as_str()),
            ("Sec-Fetch-Site", "same-origin"),
        ];
        self.send("POST", path, &headers, &body.finish())
    }

    /// Looks at a page as a browser does.
    pub(crate) fn page(&self, path: &str, cookie: &str) -> Reply {
        self.send("GET", path, &[("Cookie", cookie)], "")
    }

    /// A connection for many requests.
    pub(crate) fn keep_connection(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Connection { reader: BufReader::new(stream), token: self.token.clone() }
    }

    /// Listens to events.
    pub(crate) fn events(&self) -> Events {
        self.listen("")
    }

    /// Listens to what happened since an event.
    pub(crate) fn events_after(&self, number: u64) -> Events {
        self.listen(&format!("Last-Event-ID: {number}\r\n"))
    }

    fn listen(&self, header: &str) -> Events {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let request = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{header}\r\n",
            self.token
        );
        stream.write_all(request.as_bytes()).expect("sent");
        Events { lines: BufReader::new(stream) }
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
    token: String,
}

impl Connection {
    /// Reads a path to its end; returns the status.
    pub(crate) fn get(&mut self, path: &str) -> u16 {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", self.token);
        self.reader.get_mut().write_all(request.as_bytes()).expect("sent");
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).expect("answered") > 0, "the connection was closed");
            let line = line.trim_end().to_ascii_lowercase();
            if line.starts_with("http/1.1 ") {
                status = line[9..12].parse().expect("a status");
            } else if let Some(text) = line.strip_prefix("content-length: ") {
                length = text.parse().expect("a length");
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).expect("a body");
        status
    }
}

/// The event stream.
pub(crate) struct Events {
    lines: BufReader<TcpStream>,
}

impl Events {
    /// Waits until the server ends the stream.
    pub(crate) fn wait_for_end(mut self) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("the server ends the stream");
    }

    /// Waits for an event that `wanted` accepts.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Json) -> bool) -> Json {
        let deadline = Instant::now() + PATIENCE;
        let mut line = String::new();
        while Instant::now() < deadline {
            line.clear();
            if self.lines.read_line(&mut line).expect("the stream goes on") == 0 {
                break;
            }
            if let Some(data) = line.strip_prefix("data: ")
                && let Ok(event) = serde_json::from_str::<Json>(data.trim())
                && wanted(&event)
            {
                return event;
            }
        }
        panic!("no such event came");
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port()
}

fn read_reply(stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let mut reader = BufReader::new(stream);
    // What came before a connection was cut is what counts.
    let _ = reader.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} never came");
    }
}
