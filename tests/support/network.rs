//! A network of its own, with a name server that answers every name with the loopback address. Needs root.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// For `/etc/resolv.conf`.
pub(crate) const RESOLVER: &str = "nameserver 127.0.0.1\n";

/// Ends with its keeper's stdin, so with us.
pub(crate) struct Network(Child);

impl Network {
    pub(crate) fn new() -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut said = String::new();
        BufReader::new(keeper.stdout.as_mut().expect("piped")).read_line(&mut said).expect("text");
        assert_eq!(said, "up\n", "a network; this test needs root");
        let network = Self(keeper);
        let server = network.inside(|| UdpSocket::bind("127.0.0.1:53").expect("nobody else's port"));
        std::thread::spawn(move || answer_names(&server));
        network
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.0.id()))
    }

    /// Does `work` on a thread in this network. Sockets opened there stay in it.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let network = std::fs::File::open(self.path()).expect("the keeper lives");
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address for a question of type A, and no record for any other type.
fn answer_names(server: &UdpSocket) {
    const HEADER: usize = 12;
    const A: [u8; 4] = [0, 1, 0, 1];
    let mut packet = [0; 512];
    while let Ok((length, from)) = server.recv_from(&mut packet) {
        // The name, a label after another up to an empty one, then type and class.
        let Some(end) = packet[HEADER..length].iter().position(|byte| *byte == 0) else { continue };
        let question = packet[HEADER..HEADER + end + 5].to_vec();
        let is_address = question.ends_with(&A);
        let mut answer = packet[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
        answer.extend(&question);
        if is_address {
            answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        let _ = server.send_to(&answer, from);
    }
}
