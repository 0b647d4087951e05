//! The lab itself: it comes up, its wires do what they say, and nothing of it is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tombolo_lab::measure::{self, Flow};
use tombolo_lab::{Lab, LabSpec, ProcessRef, Topology};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tombolo-lab-reexec");

fn spec(name: &str) -> LabSpec {
    LabSpec {
        tombolo: PathBuf::from(PROGRAM),
        ..LabSpec::for_test(name)
    }
}

fn names(count: usize) -> Vec<String> {
    LabSpec::new("names", count).hosts
}

/// Whether a packet of so many bytes, headers and all, comes through and back.
fn pings(lab: &Lab, from: &str, to: &str, bytes: u32) -> bool {
    let size = (bytes - 28).to_string();
    let argv = ["ping", "-c1", "-W5", "-Mdo", "-s", &size, to];
    lab.exec(from, &argv)
        .expect("the host is there")
        .status
        .success()
}

/// All of a lab's processes that the registry knows of.
fn processes(lab: &Lab) -> Vec<ProcessRef> {
    let hosts = lab.record().hosts.values().map(|host| host.process);
    hosts.chain([lab.record().root]).collect()
}

/// Waits until none of them runs; panics if one still does after ten seconds.
fn all_end(processes: &[ProcessRef]) {
    let end = Instant::now() + Duration::from_secs(10);
    while processes.iter().any(|process| process.runs()) {
        assert!(Instant::now() < end, "left behind: {processes:?}");
        std::thread::yield_now();
    }
}

#[test]
fn two_hosts_reach_each_other_and_the_internet() {
    let lab = Lab::up(spec("reach")).unwrap();
    let b = lab.address("b").unwrap().to_string();
    assert!(pings(&lab, "a", &b, 1500));
    assert!(!pings(&lab, "a", &b, 1501));
    assert!(pings(&lab, "a", "203.0.113.1", 1500));
    lab.output("a", &["ping", "-c1", "-W1", "2001:db8:113::1"])
        .unwrap();
    lab.output("a", &["ping", "-c1", "-W1", "fd50::c"]).unwrap();
    assert_eq!(lab.output("b", &["hostname"]).unwrap().trim(), "b");
    let all = processes(&lab);
    lab.down().unwrap();
    assert!(all.iter().all(|process| !process.runs()));
}

#[test]
fn every_topology_carries_its_mtu() {
    for (topology, mtu) in [
        (Topology::Switch, 9000),
        (Topology::Subnets, 1400),
        (Topology::Line, 1500),
    ] {
        let lab = Lab::up(LabSpec {
            hosts: names(4),
            topology,
            mtu,
            ..spec("mtu")
        })
        .unwrap();
        let last = lab.address("d").unwrap().to_string();
        assert!(!pings(&lab, "a", &last, mtu + 1), "{topology}");
        for from in lab.hosts() {
            for to in lab.hosts().iter().filter(|to| *to != from) {
                let address = lab.address(to).unwrap().to_string();
                assert!(
                    pings(&lab, from, &address, mtu),
                    "{topology} {from} to {to}"
                );
            }
            assert!(
                pings(&lab, from, "203.0.113.1", mtu),
                "{topology} {from} to the internet"
            );
            let six = lab.host("d").unwrap().addresses[1].to_string();
            lab.output(from.as_str(), &["ping", "-c1", "-W2", &six])
                .unwrap();
        }
    }
}

#[test]
fn wires_are_cut_and_healed() {
    let lab = Lab::up(LabSpec {
        hosts: names(3),
        ..spec("cut")
    })
    .unwrap();
    let b = lab.address("b").unwrap().to_string();
    let c = lab.address("c").unwrap().to_string();
    assert!(pings(&lab, "a", &b, 100));
    lab.cut("b").unwrap();
    lab.cut("b").unwrap();
    assert!(!pings(&lab, "a", &b, 100));
    assert!(pings(&lab, "a", &c, 100));
    lab.heal("b").unwrap();
    assert!(pings(&lab, "a", &b, 100));
    lab.cut_between("a", "b").unwrap();
    assert!(!pings(&lab, "a", &b, 100));
    assert!(pings(&lab, "a", &c, 100));
    assert!(pings(&lab, "c", &b, 100));
    lab.heal_between("a", "b").unwrap();
    assert!(pings(&lab, "a", &b, 100));
    lab.kill("b").unwrap();
    assert!(!pings(&lab, "a", &b, 100));
    assert!(pings(&lab, "a", &c, 100));
    assert!(lab.output("b", &["true"]).is_err());
}

#[test]
fn a_flow_counts_what_a_cut_loses() {
    let lab = Lab::up(spec("flow")).unwrap();
    let b = lab.address("b").unwrap();
    assert!(measure::throughput(&lab, "a", "b", b, 1000).unwrap() > 1e6);
    let ping = measure::ping(&lab, "a", b, 5).unwrap();
    assert_eq!((ping.sent, ping.received), (5, 5));
    assert!(ping.median_us.unwrap() > 0.0);

    let flow = Flow::start(&lab, "a", "b", b, 1000).unwrap();
    let time = ["ping", "-q", "-c", "20", "-i", "0.01", &b.to_string()];
    lab.output("a", &time).unwrap();
    let count = flow.stop().unwrap();
    assert!(count.sent > 50, "{count:?}");
    assert_eq!(
        (count.lost(), count.twice, count.late),
        (0, 0, 0),
        "{count:?}"
    );

    let flow = Flow::start(&lab, "a", "b", b, 1000).unwrap();
    lab.output("a", &time).unwrap();
    lab.cut("b").unwrap();
    measure::ping(&lab, "a", b, 1).unwrap();
    lab.heal("b").unwrap();
    lab.output("a", &time).unwrap();
    let count = flow.stop().unwrap();
    assert!(count.lost() > 100 && count.received > 50, "{count:?}");
}

#[test]
fn a_host_writes_to_itself_only() {
    let lab = Lab::up(spec("mounts")).unwrap();
    for folder in [
        "/etc",
        "/etc/tombolo",
        "/var/lib",
        "/var/lib/tombolo",
        "/etc/cni",
        "/run",
    ] {
        let file = format!("{folder}/{}", lab.record().spec.name);
        lab.output("a", &["touch", &file]).unwrap();
        lab.output("a", &["test", "-e", &file]).unwrap();
        assert!(!Path::new(&file).exists(), "{file}");
        assert!(lab.output("b", &["test", "-e", &file]).is_err(), "{file}");
    }
    assert!(
        lab.output("a", &["cat", "/etc/passwd"])
            .unwrap()
            .contains("root")
    );
    let status = lab.exec("a", &["sh", "-c", "kill -9 $$"]).unwrap().status;
    assert_eq!(status.code(), Some(137));
    assert_eq!(
        lab.exec("a", &["sh", "-c", "exit 7"])
            .unwrap()
            .status
            .code(),
        Some(7)
    );
    lab.container("a", "c1").unwrap();
    let links = lab.output("a/c1", &["ip", "-o", "link"]).unwrap();
    assert!(links.contains("lo") && !links.contains("eth0"), "{links}");
    lab.remove_container("a", "c1").unwrap();
    assert!(lab.output("a/c1", &["true"]).is_err());
}

#[test]
fn labs_stand_side_by_side_and_a_name_is_taken_once() {
    let one = spec("side");
    let first = Lab::up(one.clone()).unwrap();
    let second = Lab::up(spec("side")).unwrap();
    assert!(
        Lab::up(one)
            .unwrap_err()
            .to_string()
            .contains("is up already")
    );
    assert!(Lab::find(&second.record().spec.name).is_ok());
    second.down().unwrap();
    let b = first.address("b").unwrap().to_string();
    assert!(pings(&first, "a", &b, 100));
}

/// Ends a lab that is bound to nobody, and removes a folder, also when the test fails.
struct Ended {
    name: String,
    folder: PathBuf,
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Ok(lab) = Lab::find(&self.name) {
            let _ = lab.down();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn an_agent_outlives_its_starter_and_ends_when_told() {
    let folder = std::env::temp_dir().join(spec("agent").name);
    std::fs::create_dir(&folder).unwrap();
    let tombolo = folder.join("tombolo");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = agent ] && exec cat /dev/zero >/dev/null\nexec {PROGRAM} \"$@\"\n"
    );
    std::fs::write(&tombolo, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&tombolo, mode).unwrap();

    let spec = LabSpec {
        tombolo,
        bound_to_parent: false,
        ..spec("agent")
    };
    let name = spec.name.clone();
    let _ended = Ended {
        name: name.clone(),
        folder,
    };
    drop(Lab::up(spec).unwrap());
    let lab = Lab::find(&name).unwrap();
    let all = processes(&lab);
    for _ in 0..2 {
        lab.start_agent("a", &[]).unwrap();
        assert!(lab.start_agent("a", &[]).is_err(), "two agents in one host");
        lab.stop_agent("a").unwrap();
        lab.start_agent("a", &[]).unwrap();
        lab.kill_agent("a").unwrap();
    }
    lab.start_agent("a", &[]).unwrap();
    lab.down().unwrap();
    assert!(all.iter().all(|process| !process.runs()));
}

#[test]
fn a_panic_leaves_nothing() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let lab = Lab::up(spec("panic")).unwrap();
        sender.send(processes(&lab)).unwrap();
        panic!("as a failing test would");
    });
    let all = receiver.recv().unwrap();
    assert!(thread.join().is_err());
    all_end(&all);
}

/// Not a test of its own: the program that the next one kills, run as this binary.
#[test]
fn creator_that_is_killed() {
    let Some(name) = std::env::var_os("TOMBOLO_LAB_TEST_CREATOR") else {
        return;
    };
    let name = name.into_string().unwrap();
    let lab = Lab::up(LabSpec {
        name,
        ..spec("creator")
    })
    .unwrap();
    let _running = lab.spawn("a", &["cat"]).unwrap();
    println!("up");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_killed_creator_leaves_nothing() {
    for signal in ["KILL", "INT"] {
        let name = spec("killed").name;
        let mut creator = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "creator_that_is_killed", "--nocapture"])
            .env("TOMBOLO_LAB_TEST_CREATOR", &name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(creator.stdout.take().unwrap()));
        assert!(lines.any(|line| line.unwrap().ends_with("up")));
        let all = processes(&Lab::find(&name).unwrap());
        let pid = creator.id().to_string();
        Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status()
            .unwrap();
        creator.wait().unwrap();
        all_end(&all);
        // Its record is stale, is taken for that, and goes.
        assert!(Lab::find(&name).is_err());
    }
}

#[test]
fn no_root_is_needed_or_the_error_says_what_is() {
    let folder = std::env::temp_dir().join(spec("rootless").name);
    std::fs::create_dir(&folder).unwrap();
    // Readable by all, unlike a build folder may be.
    let program = folder.join("lab");
    std::fs::copy(PROGRAM, &program).unwrap();
    let spec = LabSpec {
        tombolo: program.clone(),
        ..spec("rootless")
    };
    let mut command = Command::new("setpriv");
    if std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
    {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    let mut root = command
        .arg(&program)
        .args(["__lab", "root", &serde_json::to_string(&spec).unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(root.stdout.take().unwrap()));
    let (_, hosts) = (lines.next(), lines.next());
    drop(root.stdin.take());
    let mut said = String::new();
    std::io::Read::read_to_string(root.stderr.as_mut().unwrap(), &mut said).unwrap();
    root.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    match hosts {
        Some(line) => assert!(line.unwrap().contains("\"a\":"), "{said}"),
        None => assert!(
            said.contains("run as root") || said.contains("privileged"),
            "{said}"
        ),
    }
}
