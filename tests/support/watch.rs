//! Objects as they change, by `kubectl get --watch`.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::Value as Json;

use super::PATIENCE;

pub(crate) struct Watch {
    child: Child,
    objects: Receiver<Json>,
}

impl Watch {
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
        let stdout = child.stdout.take().expect("piped");
        let (sender, objects) = channel();
        std::thread::spawn(move || {
            let events = serde_json::Deserializer::from_reader(stdout).into_iter::<Json>();
            for mut event in events.map_while(Result::ok) {
                if event["type"] != "DELETED" {
                    let _ = sender.send(event["object"].take());
                }
            }
        });
        Self { child, objects }
    }

    /// Waits for an object that `wanted` accepts; fails with the last one seen.
    pub(crate) fn wait_for(&mut self, what: &str, mut wanted: impl FnMut(&Json) -> bool) -> Json {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Json::Null;
        while let Ok(object) = self.objects.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if wanted(&object) {
                return object;
            }
            last = object;
        }
        panic!("never saw {what}; the last object was {last:#}");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
