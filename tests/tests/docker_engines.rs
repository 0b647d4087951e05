//! Docker Engines in the lab, with what they bring themselves: that scenarios stand on real ground.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::fs;

use tombolo_tests::Shape;
use tombolo_tests::docker::Docker;

/// Folders of control groups that bear a lab's name.
fn groups(lab: &str) -> usize {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let inner = hierarchies.filter_map(|entry| fs::read_dir(entry.path()).ok());
    let names = inner.flatten().flatten().map(|entry| entry.file_name());
    names
        .filter(|name| name.to_string_lossy().ends_with(lab))
        .count()
}

#[test]
fn engines_live_side_by_side_and_leave_nothing() {
    let docker = Docker::alone("engines", &Shape::hosts(2), &["--live-restore"]);
    let lab = docker.cluster.lab.record().spec.name.clone();
    let (a, b) = (docker.engine("a"), docker.engine("b"));
    let httpd = ["httpd", "-f", "-h", "/www"];
    for engine in [a, b] {
        let words = ["-p", "8080:80", "--restart", "always"];
        engine.run_with("web", &words, &httpd);
    }
    assert!(groups(&lab) > 0);
    // Same names and same addresses, and each its own: a page says whose it is.
    assert_eq!(a.address("web", "bridge"), b.address("web", "bridge"));
    for (from, to) in [(a, b), (b, a)] {
        let there = docker.cluster.lab.address(to.host).unwrap();
        let url = format!("http://{there}:8080/");
        assert_eq!(from.exec("web", &["wget", "-qO-", &url]), to.host);
    }

    let begun = a.look("web", "{{.State.StartedAt}}");
    a.kill();
    assert!(
        docker.cluster.pings("a/web", "172.17.0.1"),
        "a container outlives its engine"
    );
    a.start(&["--live-restore"]);
    a.ready();
    assert_eq!(a.look("web", "{{.State.StartedAt}}"), begun);
    b.stop();
    b.start(&[]);
    b.ready();
    b.running("web");

    drop(docker);
    assert_eq!(groups(&lab), 0);
}
