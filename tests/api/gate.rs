//! A gate before a real API server: it answers some requests itself, and lets the rest through `kubectl proxy`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::cluster::Api;

/// Where the gate and `kubectl proxy` listen, in the network of the API server.
const GATE: &str = "127.0.0.1:8001";
const BEHIND: &str = "127.0.0.1:8002";

pub(crate) struct Gate {
    proxy: Child,
    /// Leads through the gate.
    pub(crate) kubeconfig: PathBuf,
}

impl Gate {
    /// `answers` sees the head of each request: the first of a connection, and there is one for each.
    pub(crate) fn before(
        api: &Api,
        answers: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let mut proxy = api.tool("kubectl");
        let mut proxy =
            proxy.args(["proxy", "--port=8002"]).stdout(Stdio::piped()).spawn().expect("kubectl runs");
        let mut said = String::new();
        BufReader::new(proxy.stdout.as_mut().expect("piped")).read_line(&mut said).expect("text");
        assert!(said.contains("Starting to serve"), "{said}");
        // A thread is in the network of the one that starts it.
        api.inside(move || {
            let listener = TcpListener::bind(GATE).expect("nobody else's port");
            std::thread::spawn(move || {
                std::thread::scope(|scope| {
                    for client in listener.incoming().map_while(Result::ok) {
                        let answers = &answers;
                        scope.spawn(move || pass(client, answers));
                    }
                });
            });
        });
        let kubeconfig = api.folder().join("kubeconfig-gate");
        let cluster = format!("clusters: [{{name: gate, cluster: {{server: 'http://{GATE}'}}}}]");
        let rest =
            "users: [{name: none, user: {}}]\ncontexts: [{name: gate, context: {cluster: gate, user: none}}]";
        let text = format!("apiVersion: v1\nkind: Config\n{cluster}\n{rest}\ncurrent-context: gate\n");
        std::fs::write(&kubeconfig, text).expect("written");
        Self { proxy, kubeconfig }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

/// Answers one request, or passes a whole connection on. Each request has a connection of its own, because every answer
/// that is passed on says so.
fn pass(mut client: TcpStream, answers: &(impl Fn(&str) -> Option<String> + Sync)) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if let Some(answer) = answers(&head) {
        let _ = client.write_all(answer.as_bytes());
        let _ = client.shutdown(Shutdown::Both);
        return;
    }
    let Ok(mut server) = TcpStream::connect(BEHIND) else { return };
    // Asked to close, the server ends the connection with its answer, and the next request is seen here again.
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let _ = server.write_all(head.as_bytes());
    let (Ok(mut up), Ok(mut down)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = std::io::copy(&mut up, &mut server);
            let _ = server.shutdown(Shutdown::Write);
        });
        let _ = std::io::copy(&mut down, &mut client);
        let _ = client.shutdown(Shutdown::Both);
    });
}
