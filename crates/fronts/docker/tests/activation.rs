//! The socket is systemd's: it is there while the plugin is started anew.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn start(folder: &Path, listener: &UnixListener) -> Child {
    let held: OwnedFd = listener.try_clone().unwrap().into();
    let place = |name: &str| folder.join(name).display().to_string();
    Command::new(env!("CARGO_BIN_EXE_tombolo-docker"))
        .args([
            "--socket",
            &place("tombolo.sock"),
            "--agent",
            &place("agent.sock"),
        ])
        .args([
            "--docker",
            &place("docker.sock"),
            "--state-dir",
            &place("state"),
        ])
        .stdin(Stdio::from(held))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn ask(socket: &Path) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = "POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_call_that_comes_while_the_plugin_is_away_is_answered_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("tombolo.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut first = start(folder.path(), &listener);
    assert!(ask(&socket).contains("NetworkDriver"));
    first.kill().unwrap();
    first.wait().unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| ask(&socket));
        let mut second = start(folder.path(), &listener);
        assert!(waits.join().unwrap().contains("NetworkDriver"));
        second.kill().unwrap();
        second.wait().unwrap();
    });
}
