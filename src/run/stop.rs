//! The signals that are ours to answer, on a thread of their own: whatever holds the others up, the process ends in time.

use std::sync::mpsc::Sender;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Wake;
use crate::settings;

pub(super) struct Signals {
    /// One of its own: the agent's may be held up by a file or by a log that nobody reads.
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Whether the agent was started in a terminal, and so ends with it.
    in_terminal: bool,
}

impl Signals {
    pub(super) fn caught() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let caught = |kind| {
            let _inside = runtime.enter();
            signal(kind)
        };
        Ok(Self {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
            hangup: caught(SignalKind::hangup())?,
            in_terminal: has_terminal(),
            runtime,
        })
    }

    /// Forwards SIGHUP; the receiver is told of the end. Whoever is told has [`settings::END_WITHIN`] for it: nothing is
    /// lost then, since what a pass has not committed is not written.
    pub(super) fn forward(mut self, wakes: Sender<Wake>) -> std::io::Result<oneshot::Receiver<()>> {
        let (tell, told) = oneshot::channel();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            self.wait_for_stop(&wakes);
            let _ = tell.send(());
            std::thread::sleep(settings::END_WITHIN);
            // Without a word: the log may be what does not end.
            std::process::exit(0);
        })?;
        Ok(told)
    }

    /// Returns on SIGTERM, SIGINT, or when the owner of the store is gone.
    fn wait_for_stop(&mut self, wakes: &Sender<Wake>) {
        let Self { runtime, terminate, interrupt, hangup, in_terminal } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    // A terminal that is closed hangs up; otherwise it asks for a full comparison, as of any daemon.
                    _ = hangup.recv() => {
                        if *in_terminal && !has_terminal() || wakes.send(Wake::Rescan).is_err() {
                            break;
                        }
                    }
                }
            }
        });
    }
}

/// Whether this process has a terminal that controls it. One that was closed cannot be opened any more.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
