//! Podman with its CNI backend runs containers on our networks: the real program, one on each of two
//! hosts, inside the hosts' namespaces, with images and state in the hosts' memory.
//!
//! Its containers have no cgroup: hosts of the lab share the machine's hierarchy, where what one
//! test makes would be in the way of another and outlive both.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use serde_json::Value;
use tombolo_tests::{Cluster, Shape, runtime};

const SETTINGS: &str = "/run/podman/containers.conf";

/// Podman on a host.
struct Podman<'a> {
    cluster: &'a Cluster,
    host: &'a str,
}

impl Podman<'_> {
    /// Sets podman up on a host, with the image `web`.
    fn on<'a>(cluster: &'a Cluster, host: &'a str) -> Podman<'a> {
        let lab = &cluster.lab;
        runtime::prepare(lab, host);
        let list = runtime::conflist("tombolo", "default");
        runtime::write(lab, host, "/etc/cni/net.d/10-tombolo.conflist", &list);
        let settings = "[containers]
cgroups = 'disabled'
log_driver = 'none'
[engine]
lock_type = 'file'
cgroup_manager = 'cgroupfs'
events_logger = 'none'
runtime = 'crun'
[network]
network_backend = 'cni'
cni_plugin_dirs = ['/opt/cni/bin']
network_config_dir = '/etc/cni/net.d'";
        runtime::write(lab, host, SETTINGS, settings);
        let podman = Podman { cluster, host };
        let _ = cluster.sh(
            host,
            &format!("tar -C {0} -cf /run/web.tar .", runtime::ROOT),
        );
        let _ = podman.run(&["import", "/run/web.tar", "web"]);
        podman
    }

    fn try_run(&self, words: &[&str]) -> std::process::Output {
        let mut argv = vec![
            "env",
            "CONTAINERS_CONF=/run/podman/containers.conf",
            "podman",
        ];
        argv.extend(["--root", "/run/podman/root", "--runroot", "/run/podman/run"]);
        argv.extend(["--tmpdir", "/run/podman/tmp", "--storage-driver", "vfs"]);
        argv.extend(words);
        self.cluster.lab.exec(self.host, &argv).unwrap()
    }

    fn run(&self, words: &[&str]) -> String {
        let output = self.try_run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "podman {words:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Starts a web server, and answers its addresses.
    fn serve(&self, name: &str, words: &[&str]) -> Vec<String> {
        let mut argv = vec!["run", "-d", "--name", name, "--network", "tombolo"];
        argv.extend(words);
        argv.extend([
            "localhost/web",
            "/bin/httpd",
            "-f",
            "-p",
            "80",
            "-h",
            "/www",
        ]);
        let _ = self.run(&argv);
        self.addresses(name)
    }

    /// A container's addresses, as podman understood our result.
    fn addresses(&self, name: &str) -> Vec<String> {
        let seen: Value = serde_json::from_str(&self.run(&["inspect", name])).unwrap();
        let network = &seen[0]["NetworkSettings"]["Networks"]["tombolo"];
        let both = [&network["IPAddress"], &network["GlobalIPv6Address"]];
        both.map(|a| a.as_str().unwrap().to_owned()).to_vec()
    }

    /// What a web server answers a container.
    fn ask(&self, from: &str, authority: &str) -> String {
        let url = format!("http://{authority}/");
        let output = self.try_run(&["exec", from, "timeout", "2", "wget", "-q", "-O", "-", &url]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Asserts that a container gets the page of a host, at each address.
    fn reaches(&self, from: &str, addresses: &[String], page: &str) {
        for address in addresses {
            let authority = if address.contains(':') {
                format!("[{address}]")
            } else {
                address.clone()
            };
            let what = format!("{from} on {} gets {page}'s page of {address}", self.host);
            self.cluster
                .until(&what, || (self.ask(from, &authority) == page).then_some(()));
        }
    }
}

/// What a host's port answers a host.
fn port(cluster: &Cluster, from: &str, to: &str) -> String {
    let script = format!("curl -s -m 2 http://{to}/ || true");
    cluster.sh(from, &script).trim().to_owned()
}

/// How many addresses containers hold, and how many are kept for those that had them.
fn held(cluster: &Cluster) -> (u64, u64) {
    let usage = cluster.json("a", &["ipam", "show", "-o", "json"]);
    let pool = &usage["pools"][0];
    // Each node has one of its own.
    (
        pool["inUse"].as_u64().unwrap() - 2,
        pool["kept"].as_u64().unwrap(),
    )
}

#[test]
fn podman_on_two_hosts() {
    let cluster = Cluster::up("podman", &Shape::hosts(2));
    let (a, b) = (Podman::on(&cluster, "a"), Podman::on(&cluster, "b"));
    let on_a = a.serve("web", &[]);
    let on_b = b.serve("web", &["--ip", "10.244.9.9"]);
    assert_eq!(on_b[0], "10.244.9.9", "the address that was asked for");
    for podman in [&a, &b] {
        podman.reaches("web", &on_a, "a");
        podman.reaches("web", &on_b, "b");
    }
    assert_eq!(held(&cluster), (2, 0));

    let _ = a.run(&["restart", "-t", "0", "web"]);
    assert_eq!(a.addresses("web"), on_a, "its address after a restart");
    b.reaches("web", &on_a, "a");

    let _ = a.run(&["stop", "-t", "0", "web"]);
    assert_eq!(
        held(&cluster),
        (1, 1),
        "a stopped container holds no address"
    );
    assert_eq!(a.serve("other", &[]).len(), 2);
    let _ = a.run(&["start", "web"]);
    assert_eq!(a.addresses("web"), on_a, "its address, though another came");
    assert_eq!(held(&cluster).0, 3);

    let _ = a.run(&["rm", "-f", "-t", "0", "web", "other"]);
    let _ = b.run(&["rm", "-f", "-t", "0", "web"]);
    assert_eq!(held(&cluster).0, 0, "who is removed holds no address");
    for host in ["a", "b"] {
        assert!(!cluster.sh(host, "ip -o link").contains("tbv"));
        assert_eq!(cluster.sh(host, "ls /run/netns"), "");
    }
    let _ = cluster.lab.tombolo("a", &["ipam", "check"]).unwrap();
}

#[test]
fn podman_publishes_ports() {
    let cluster = Cluster::up("podports", &Shape::hosts(2));
    let (a, b) = (Podman::on(&cluster, "a"), Podman::on(&cluster, "b"));
    let _ = a.serve("web", &["-p", "8080:80"]);
    let _ = b.serve("web", &[]);
    let there = "192.168.50.11:8080";
    cluster.until("the server listens", || {
        (port(&cluster, "b", there) == "a").then_some(())
    });
    assert_eq!(port(&cluster, "b", "[fd50::b]:8080"), "a");
    assert_eq!(port(&cluster, "a", there), "a");
    assert_eq!(port(&cluster, "a", "127.0.0.1:8080"), "a");
    assert_eq!(b.ask("web", there), "a", "from a container elsewhere");
    assert_eq!(a.ask("web", there), "a", "from the container itself");

    let refused = a.try_run(&[
        "run",
        "--rm",
        "--network",
        "tombolo",
        "-p",
        "8080:81",
        "localhost/web",
        "/bin/sh",
        "-c",
        ":",
    ]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("8080"), "{said}");

    let _ = a.run(&["rm", "-f", "-t", "0", "web"]);
    assert_eq!(port(&cluster, "b", there), "");
    assert!(!cluster.sh("a", "nft list ruleset").contains("8080"));
}

#[test]
fn podman_while_the_agent_is_away() {
    let cluster = Cluster::up("podaway", &Shape::hosts(2));
    let (a, b) = (Podman::on(&cluster, "a"), Podman::on(&cluster, "b"));
    let on_a = a.serve("web", &["-p", "8080:80"]);
    let on_b = b.serve("web", &[]);
    b.reaches("web", &on_a, "a");
    cluster.lab.kill_agent("a").unwrap();
    a.reaches("web", &on_b, "b");
    b.reaches("web", &on_a, "a");
    assert_eq!(port(&cluster, "b", "192.168.50.11:8080"), "a");
    let refused = a.try_run(&[
        "run",
        "--rm",
        "--network",
        "tombolo",
        "localhost/web",
        "/bin/sh",
    ]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("agent"),
        "podman tells what is missing: {said}"
    );

    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.settle();
    let _ = a.run(&["restart", "-t", "0", "web"]);
    assert_eq!(a.addresses("web"), on_a);
    b.reaches("web", &on_a, "a");
    assert_eq!(held(&cluster).0, 2, "the refused one has no address");
}
