//! What much at once, or a want of something, must not do to a speaker.
#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use support::{DEADLINE, Host, Speaking, config, options, origins, peer, until, with_bfd};
use tombolo_bgp::Password;

const A: &str = "10.9.0.1";
const B: &str = "10.9.0.2";

/// The speaker and its peer on one host.
const US: &str = "127.0.0.1";
const THEM: &str = "127.0.0.2";

#[test]
fn a_large_table_that_comes_and_goes_lets_no_bfd_session_fail() {
    const PREFIXES: u32 = 100_000;
    let [host_a, host_b] = Host::pair();
    let a = host_a.start(options(config(65001, 1, &[(B, with_bfd(65002))]), &[]));
    let b = host_b.start(options(config(65002, 2, &[(A, with_bfd(65001))]), &[]));
    a.established(B);
    a.detects(B);
    b.detects(A);
    let many: Vec<String> = (0..PREFIXES)
        .map(|n| format!("20.{}.{}.{}/32", n >> 16, (n >> 8) & 255, n & 255))
        .collect();
    let all = origins(&many.iter().map(String::as_str).collect::<Vec<_>>());
    for told in [all.clone(), origins(&["10.2.0.0/24"]), all] {
        let count = told.len();
        b.handle.originate(told);
        a.routes("the table", |routes| routes.best.len() == count);
    }
    for (speaker, peer) in [(&a, B), (&b, A)] {
        let status = speaker.handle.status().wait().unwrap();
        let bfd = &status.bfd[&peer.parse().unwrap()];
        assert_eq!(status.sessions[0].flaps, 0, "{:?}", status.sessions[0]);
        assert_eq!(bfd.diagnostic, "nothing went wrong", "{bfd:?}");
        assert_eq!((bfd.state, bfd.remote_state), ("Up", "Up"), "{bfd:?}");
    }
}

fn passive() -> (Host, Speaking) {
    let host = Host::new();
    let mut them = peer(65002);
    them.passive = true;
    them.local_address = Some(US.parse().unwrap());
    let mut options = options(config(65001, 1, &[(THEM, them)]), &[]);
    options.listen = vec![US.parse().unwrap()];
    let speaker = host.start(options);
    (host, speaker)
}

/// A socket of the peer's that is not connected yet.
fn unconnected(host: &Host) -> Socket {
    let socket = host.netns.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let from: SocketAddr = format!("{THEM}:0").parse().unwrap();
        socket.bind(&from.into()).unwrap();
        socket
    });
    socket.unwrap()
}

fn connect(socket: Socket) -> TcpStream {
    let to: SocketAddr = format!("{US}:179").parse().unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Reads the OPEN that a speaker begins with.
fn greeted(stream: &mut TcpStream) {
    let mut head = [0; 19];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[18], 1, "an OPEN");
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[16], head[17]])) - 19];
    stream.read_exact(&mut body).unwrap();
}

/// What the thread of the speaker has worked, in hundredths of a second.
fn worked(stat: &File) -> u64 {
    let mut text = [0; 1024];
    let length = stat.read_at(&mut text, 0).unwrap();
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    // Behind the name, which is in brackets: the state, then ten numbers, then these two.
    let behind = text.rsplit_once(") ").unwrap().1;
    let fields = behind.split(' ').skip(11).take(2);
    fields.map(|field| field.parse::<u64>().unwrap()).sum()
}

fn stat_of_thread(name: &str) -> File {
    until("the thread has its name", || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let mut tasks = tasks.map(|task| task.unwrap().path());
        let named = tasks.find(|task| {
            let comm = std::fs::read_to_string(task.join("comm"));
            comm.is_ok_and(|comm| comm.trim() == name)
        });
        let named = named.ok_or_else(|| "it has none".to_owned())?;
        Ok(File::open(named.join("stat")).unwrap())
    })
}

fn set_limit(pid: u32, files: i32) -> Command {
    let mut command = Command::new("prlimit");
    command.args([format!("--pid={pid}"), format!("--nofile={files}:")]);
    command
}

#[test]
fn without_files_left_the_speaker_rests_says_so_and_takes_in_who_waited() {
    let (host, speaker) = passive();
    let pid = std::process::id();
    let stat = stat_of_thread("bgp");
    let socket = unconnected(&host);
    // What ends the want is begun before it, since a process takes files, too.
    let mut relief = Command::new("sh")
        .args([
            "-c",
            &format!("read line; prlimit --pid={pid} --nofile=4096:"),
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let free = File::open("/dev/null").unwrap().as_raw_fd();
    assert!(set_limit(pid, free).status().unwrap().success());
    let mut stream = connect(socket);
    let problems = || speaker.handle.status().wait().unwrap().problems;
    until("it says so", || {
        let said = problems().iter().any(|said| said.contains("open files"));
        said.then_some(()).ok_or_else(String::new)
    });
    let before = worked(&stat);
    std::thread::sleep(Duration::from_millis(600));
    let spent = worked(&stat) - before;
    relief.stdin.take().unwrap().write_all(b"now\n").unwrap();
    assert!(relief.wait().unwrap().success());
    assert!(spent < 20, "it worked for {spent} hundredths of a second");
    greeted(&mut stream);
    until("it says so no more", || {
        let problems = problems();
        problems
            .is_empty()
            .then_some(())
            .ok_or_else(|| format!("{problems:?}"))
    });
}

#[test]
fn a_peer_that_connects_again_and_again_does_not_use_up_the_files() {
    const TIMES: usize = 60;
    let (host, _speaker) = passive();
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = files();
    let streams: Vec<TcpStream> = (0..TIMES)
        .map(|_| {
            let mut stream = connect(unconnected(&host));
            greeted(&mut stream);
            stream
        })
        .collect();
    let beyond = files() - before - streams.len();
    assert!(beyond <= 8, "the speaker holds {beyond} of {TIMES}");
}

#[test]
fn two_links_with_a_peer_of_one_address_are_told_that_they_need_one_password() {
    let host = Host::new();
    let with = |password: &str| {
        let mut peer = peer(65002);
        peer.passive = true;
        peer.password = Some(Password::new(password).unwrap());
        peer
    };
    let told = |second: &str| {
        let peers = [
            ("fe80::1%one", with("first")),
            ("fe80::1%two", with(second)),
        ];
        let speaker = host.start(options(config(65001, 1, &peers), &[]));
        let problems = speaker.handle.status().wait().unwrap().problems;
        speaker
            .handle
            .stop(tombolo_speaker::Stop::Cease)
            .wait()
            .unwrap();
        problems
    };
    assert_eq!(told("first"), Vec::<String>::new());
    let problems = told("second");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("fe80::1%two") && problems[0].contains("same password"));
}
