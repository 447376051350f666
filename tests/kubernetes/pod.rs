//! A pod of the orchestrator: what its second container reads and writes, and what its sidecar says.

use std::fs;
use std::process::Command;

use serde_json::Value as Json;

use crate::agent::Served;
use crate::stage::Stage;

/// The database as the orchestrator reads it at its start.
const READ: &str = "
import io, json, os, sqlite3, sys
given = {'db': '/data/.oxide/config.db', 'key': os.environ['OXIDE_ENCRYPTION_KEY']}
sys.stdin = io.StringIO(json.dumps(given))
exec(open('/app/read_database.py').read())
";

/// An edit as the orchestrator makes it, which runs with it from then on.
const EDIT: &str = "
import sqlite3, sys, time, urllib.request
conn = sqlite3.connect('/data/.oxide/config.db', timeout=5)
conn.execute('PRAGMA journal_mode=WAL')
assert conn.execute(sys.argv[1], [time.time()]).rowcount == 1
conn.commit()
urllib.request.urlopen(urllib.request.Request('http://127.0.0.1:8000/api/config/reload', method='POST')).read()
";

/// Every row of what the orchestrator runs on, with its times.
const DUMP: &str = "
import sqlite3
conn = sqlite3.connect('/data/.oxide/config.db', timeout=5)
for table in ('services', 'routing_rules', 'execution_settings'):
    for row in conn.execute('SELECT * FROM ' + table + ' ORDER BY 1'):
        print(table, *map(repr, row))
";

const CONTAINER: &str = "orchestrator";

pub(crate) struct Pod<'a> {
    stage: &'a Stage,
    namespace: &'static str,
    pub(crate) object: Json,
}

impl<'a> Pod<'a> {
    pub(crate) fn new(stage: &'a Stage, namespace: &'static str, object: Json) -> Self {
        Self { stage, namespace, object }
    }

    pub(crate) fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().expect("a name")
    }

    /// What the orchestrator would run with, and the API keys that it opens.
    pub(crate) fn config(&self) -> Json {
        let read: Json = serde_json::from_str(&self.python(READ, &[])).expect("JSON");
        assert_eq!(read["integrity"], "ok");
        read["config"].clone()
    }

    /// Changes the database as the orchestrator does; `?1` is the time.
    pub(crate) fn edit(&self, statement: &str) {
        self.python(EDIT, &[statement]);
    }

    /// [`edit`](Self::edit), from the node: without an API server nobody gets in any other way.
    pub(crate) fn edit_from_the_node(&self, statement: &str) {
        let process = self.process("python3").to_string();
        let output = Command::new("nsenter")
            .args(["--target", &process, "--mount", "--net", "--setuid", "65532", "--setgid", "65532", "--"])
            .args(["/python/bin/python3", "-c", EDIT, statement])
            .env("PYTHONHOME", "/python")
            .output()
            .expect("nsenter runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn rows(&self) -> String {
        self.python(DUMP, &[])
    }

    fn python(&self, script: &str, arguments: &[&str]) -> String {
        let command = [&["python3", "-c", script], arguments].concat();
        self.stage.exec(self.namespace, self.name(), CONTAINER, &command)
    }

    /// Runs the sidecar's program beside itself.
    pub(crate) fn operator(&self, arguments: &[&str]) -> String {
        let command = [&["/oxide-operator"], arguments].concat();
        self.stage.exec(self.namespace, self.name(), "oxide-operator", &command)
    }

    /// The status of its store, once `wanted` accepts it.
    pub(crate) fn await_status(&self, what: &str, wanted: impl Fn(&Json) -> bool) -> Json {
        let store = self.stage.await_object(self.namespace, "oxidestores", what, |store| {
            store["metadata"]["name"] == self.name() && wanted(&store["status"])
        });
        store["status"].clone()
    }

    /// What its sidecar serves; to be asked from inside the cluster's network.
    pub(crate) fn served(&self) -> Served {
        let address = self.object["status"]["podIP"].as_str().expect("an address");
        Served((address.parse::<std::net::IpAddr>().expect("an address"), 8461).into())
    }

    /// A number that its sidecar measures.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let served = self.served();
        self.stage.inside(|| served.metric(name))
    }

    /// What its sidecar holds in memory, in bytes: all of it, and what is not a page of the program's file.
    pub(crate) fn resident(&self) -> (u64, u64) {
        let path = format!("/proc/{}/status", self.process("oxide-operator"));
        let status = fs::read_to_string(path).expect("it runs");
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a size");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
        };
        (bytes("VmRSS:"), bytes("RssAnon:"))
    }

    /// The process of this name in one of its containers, as the host counts them.
    fn process(&self, name: &str) -> u32 {
        let uid = self.object["metadata"]["uid"].as_str().expect("a uid");
        let found = fs::read_dir("/proc").expect("there").flatten().find(|process| {
            let read = |file: &str| fs::read_to_string(process.path().join(file)).unwrap_or_default();
            read("comm").trim() == name && read("cgroup").contains(uid)
        });
        let found = found.unwrap_or_else(|| panic!("no process {name} in {}", self.name()));
        found.file_name().to_string_lossy().parse().expect("a process")
    }
}
