//! An API server that knows reviews and nothing else: whose a token is, and that they may do everything.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};

/// What begins like this is somebody's token, for this audience.
pub(crate) const GOOD: &str = "good-";
const AUDIENCE: &str = "oxide-operator";

pub(crate) struct Reviews {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Reviews {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let asked = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || while answer(&stream, &counted).is_some() {});
            }
        });
        Self { port, asked }
    }

    /// How many tokens were asked about.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Writes a kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self, file: &Path) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\nclusters: [{{name: it, cluster: {{server: 'http://127.0.0.1:{}'}}}}]\n\
             contexts: [{{name: it, context: {{cluster: it, user: it}}}}]\nusers: [{{name: it, user: {{}}}}]\n",
            self.port
        );
        std::fs::write(file, text).expect("written");
    }
}

fn answer(stream: &TcpStream, asked: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut review: Json = serde_json::from_slice(&body).ok()?;
    review["status"] = if review["kind"] == "TokenReview" {
        asked.fetch_add(1, Ordering::Relaxed);
        of_token(&review["spec"])
    } else {
        json!({"allowed": true})
    };
    let text = review.to_string();
    let length = text.len();
    let head =
        format!("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    let mut stream = stream;
    stream.write_all((head + &text).as_bytes()).ok()
}

/// As the API server does it: a token that is asked about for no audience must be one for the server itself.
fn of_token(spec: &Json) -> Json {
    let token = spec["token"].as_str().unwrap_or_default();
    let wanted = spec["audiences"].as_array();
    let ours = wanted.is_none_or(|all| all.iter().any(|one| one == AUDIENCE));
    if !token.starts_with(GOOD) || !ours {
        return json!({"authenticated": false});
    }
    let audience = if wanted.is_some() { AUDIENCE } else { "https://kubernetes.default.svc" };
    json!({"authenticated": true, "user": {"username": token}, "audiences": [audience]})
}
