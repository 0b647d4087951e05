//! `tombolo bench`: what it finds, what it says, and what it leaves behind, which is nothing.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tombolo_bench::{Kind, Measured};
use tombolo_tests::measuring::Measuring;
use tombolo_tests::{Shape, lab, programs};

const DEADLINE: Duration = Duration::from_secs(60);

/// `tombolo bench` with a folder of its own for labs.
fn bench(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(programs().join("tombolo"));
    command
        .arg("bench")
        .args(words)
        .env("TOMBOLO_LAB_DIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The names of the labs that run, by that folder.
fn labs(folder: &Path) -> String {
    let mut command = Command::new(programs().join("tombolo"));
    command.args(["lab", "list"]).env("TOMBOLO_LAB_DIR", folder);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// A folder that goes with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tombolo-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How wide and high a picture is (PNG, section 11.2.2).
fn size(png: &Path) -> (u32, u32) {
    let bytes = std::fs::read(png).unwrap();
    assert_eq!(&bytes[1..4], b"PNG");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// One bench measures at a time on a machine, so all that needs one is here.
#[test]
fn a_study_of_the_lab_from_its_beginning_to_its_end() {
    let folder = Folder::new("bench");
    let page = folder.0.join("report.html");
    let page_text = page.to_str().unwrap();
    let plots = folder.0.join("plots");
    let networks = "routed-direct,routed-vxlan,routed-bgp,overlay-vxlan,macvlan,vlan,routed-gre";
    let words = [
        "--quick",
        "--rounds",
        "2",
        "--milliseconds",
        "10",
        "--network",
        networks,
    ];
    let words = [
        &words[..],
        &[
            "-o",
            "json",
            "--html",
            page_text,
            "--svg",
            plots.to_str().unwrap(),
        ],
    ];
    let mut command = bench(&folder.0, &words.concat());
    let first = command.spawn().unwrap();
    // While it runs, another is refused.
    let begun = Instant::now();
    while !labs(&folder.0).contains("bench-") {
        assert!(begun.elapsed() < DEADLINE, "no lab comes up");
    }
    let second = bench(&folder.0, &["--quick"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(
        text(&second).contains("another `tombolo bench` measures"),
        "{}",
        text(&second)
    );
    let output = first.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("no report: {}", text(&output)));
    assert_eq!(report["failures"], Value::Array(vec![]));
    assert!(output.status.success());
    // Whoever is not compared is named with a reason; this much every kernel has.
    let named = |list: &str| -> Vec<String> {
        let all = report[list].as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (there, absent) = (named("contenders"), named("skipped"));
    assert_eq!(there[0], "bare hosts");
    for name in [
        "routed, direct",
        "routed, vxlan",
        "routed, bgp",
        "overlay, vxlan",
        "macvlan",
    ] {
        assert!(
            there.iter().any(|one| one == name),
            "{name} is not compared: {}",
            report["skipped"]
        );
    }
    assert_eq!(there.len() + absent.len(), 8, "{there:?} {absent:?}");
    for skipped in report["skipped"].as_array().unwrap() {
        assert!(
            skipped["why"]
                .as_str()
                .unwrap()
                .contains("the kernel has no"),
            "{skipped}"
        );
    }
    // Each contender has each trial: five sizes of four kinds, and three more.
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), there.len() * 23);
    assert!(rows.iter().all(|row| {
        let figures = row["figures"].as_object().unwrap();
        figures.values().all(|figure| figure["rounds"] == 2)
    }));
    assert!(!labs(&folder.0).contains("bench-"), "{}", labs(&folder.0));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("<svg") && html.contains("routed, vxlan"));
    assert!(
        !html.contains("src=") && !html.contains("<link"),
        "the page needs something else"
    );
    for plot in [
        "ranking",
        "tcp-bandwidth",
        "tcp-latency",
        "udp-latency",
        "tcp-cpu",
    ] {
        let svg = std::fs::read_to_string(plots.join(format!("{plot}.svg"))).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.ends_with("</svg>\n"),
            "{plot}"
        );
    }
    a_browser_shows_it(&folder.0, &page);
    what_is_interrupted_leaves_nothing(&folder.0);
}

/// Real Chromium draws the page: a picture that is not of one colour, which compresses to nothing.
fn a_browser_shows_it(folder: &Path, page: &Path) {
    let picture = folder.join("page.png");
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("chromium").display()
        ))
        .arg("--window-size=1240,3000")
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("chromium is there: deploy/setup-debian.sh test");
    assert!(picture.exists(), "{}", text(&output));
    assert_eq!(size(&picture), (1240, 3000));
    let bytes = std::fs::metadata(&picture).unwrap().len();
    assert!(
        bytes > 100_000,
        "a page with plots is no picture of {bytes} bytes"
    );
}

fn what_is_interrupted_leaves_nothing(folder: &Path) {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let mut running = bench(folder, &["--network", "routed-vxlan"])
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !labs(folder).contains("bench-") {
            assert!(begun.elapsed() < DEADLINE, "no lab comes up");
        }
        kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), signal).unwrap();
        running.wait().unwrap();
        let begun = Instant::now();
        while labs(folder).contains("bench-") {
            assert!(begun.elapsed() < DEADLINE, "{signal} leaves a lab");
        }
    }
}

#[test]
fn what_there_is_to_compare_is_listed_and_what_there_is_not_is_refused() {
    let folder = Folder::new("bench-list");
    let list = bench(&folder.0, &["--list"]).output().unwrap();
    for network in [
        "routed-direct",
        "routed-vxlan",
        "overlay-vxlan",
        "fan-vxlan",
        "macvlan",
    ] {
        assert!(text(&list).contains(network), "{}", text(&list));
    }
    let unknown = bench(&folder.0, &["--network", "routed-pigeon"])
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    let said = text(&unknown);
    assert!(
        said.contains("routed-pigeon") && said.contains("routed-vxlan"),
        "{said}"
    );
    let nowhere = bench(&folder.0, &["--html", "/nowhere/report.html"])
        .output()
        .unwrap();
    assert!(
        text(&nowhere).contains("--html /nowhere/report.html"),
        "{}",
        text(&nowhere)
    );
    assert_eq!(
        bench(&folder.0, &["--rounds", "0"])
            .status()
            .unwrap()
            .code(),
        Some(2)
    );
}

/// What a packet filter on the way does, and what is said of it.
fn filtered(name: &str, rule: &str, kind: Kind) -> Result<Measured, String> {
    let lab = lab(name, &Shape::hosts(2));
    let mut measuring = Measuring::between_hosts(&lab);
    let rules = format!(
        "table inet wall {{ chain wall {{ type filter hook input priority 0; {rule}; }}; }}"
    );
    let control = measuring.server.port().to_string();
    let rules = rules.replace("CONTROL", &control);
    lab.output("b", &["nft", &rules]).unwrap();
    measuring
        .try_once(kind, 64, 20)
        .map_err(|error| error.to_string())
}

#[test]
fn a_packet_filter_between_is_named_with_protocol_port_and_direction() {
    let all = "tcp dport CONTROL drop";
    let why = filtered("wall-all", all, Kind::TcpLatency).unwrap_err();
    assert!(
        why.contains("no connection to the server at 192.168.50.12"),
        "{why}"
    );
    for (name, verdict) in [("wall-drop", "drop"), ("wall-reject", "reject")] {
        let rule = format!("ct state established accept; tcp dport != CONTROL {verdict}");
        let why = filtered(name, &rule, Kind::TcpLatency).unwrap_err();
        assert!(why.contains("TCP does not come through to port"), "{why}");
    }
    let why = filtered("wall-udp", "meta l4proto udp drop", Kind::UdpLatency).unwrap_err();
    assert!(why.contains("UDP does not come through to port"), "{why}");
    // What one does not need is not missed.
    filtered("wall-else", "meta l4proto udp drop", Kind::TcpLatency).unwrap();
}
