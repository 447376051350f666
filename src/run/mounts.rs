//! Mounts that come and go. File events say nothing of them: a watch stays with the file system that is covered or gone.

use std::fs::File;
use std::sync::mpsc::Sender;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::Wake;

/// The kernel flags this file whenever a mount of this process's namespace changes; see `proc_pid_mountinfo(5)`.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Sends a wake whenever a mount changes, until nobody listens. Where the kernel does not tell, the full comparison
/// finds it later.
pub(super) fn watch(wakes: Sender<Wake>) {
    let Ok(mounts) = File::open(MOUNTS) else { return };
    let told = std::thread::Builder::new().name("mounts".into()).spawn(move || {
        loop {
            match poll(&mut [PollFd::new(&mounts, PollFlags::PRI)], None) {
                Ok(_) if wakes.send(Wake::Mounts).is_ok() => {}
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    });
    if let Err(error) = told {
        tracing::debug!(%error, "mounts are not watched");
    }
}
