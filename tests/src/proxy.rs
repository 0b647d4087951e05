//! A network that is slow, by a proxy that holds back every piece of bytes for a while.
//!
//! The kernel's own way (netem) is a module that not every kernel has.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

/// Serves `port` in a network namespace until the process ends: what comes is sent on to
/// `127.0.0.1:to`, and what comes back is sent back, each piece after `delay`.
///
/// # Panics
/// The namespace cannot be entered, or the port is taken.
pub fn delay(netns: &Path, port: u16, to: u16, delay: Duration) {
    let netns = File::open(netns).expect("a host has a network namespace");
    // A namespace belongs to a thread, and to those that it starts.
    let (ready, wait) = std::sync::mpsc::channel();
    thread::spawn(move || {
        setns(netns, CloneFlags::CLONE_NEWNET).expect("root enters namespaces");
        let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
        ready.send(()).expect("it is waited for");
        for client in listener.incoming().flatten() {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", to)) {
                pump(&client, &server, delay);
                pump(&server, &client, delay);
            }
        }
    });
    wait.recv().expect("the proxy listens");
}

fn pump(from: &TcpStream, to: &TcpStream, delay: Duration) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
        return;
    };
    thread::spawn(move || {
        let mut piece = [0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            thread::sleep(delay);
            if to.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        // The other direction may go on; an end that is gone is no fault.
        let _ = to.shutdown(Shutdown::Write);
    });
}
