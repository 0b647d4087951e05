//! containerd runs containers on our networks by `ctr run --cni`: the real daemon, one on each of
//! two hosts, inside the hosts' namespaces, with its state in the hosts' memory.
//!
//! `ctr` calls DEL at its own end, which is the container's or the daemon's; with `-d` it never does.
//! It publishes no ports. Containers are started by crun without a cgroup, for the reason that stands in `podman.rs`.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_lab::Running;
use tombolo_tests::{Cluster, Shape, runtime};

const SOCKET: &str = "/run/containerd/containerd.sock";
/// What containerd is told to start containers with.
const CRUN: &str = "/run/containerd/crun-without-cgroup";

/// containerd on a host.
struct Containerd<'a> {
    cluster: &'a Cluster,
    host: &'a str,
    daemon: Option<Running>,
}

impl Containerd<'_> {
    fn on<'a>(cluster: &'a Cluster, host: &'a str) -> Containerd<'a> {
        let lab = &cluster.lab;
        runtime::prepare(lab, host);
        let list = runtime::conflist("tombolo", "default");
        runtime::write(lab, host, "/etc/cni/net.d/10-tombolo.conflist", &list);
        let settings = format!(
            "version = 2
root = '/run/containerd/root'
state = '/run/containerd/state'
disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.snapshotter.v1.btrfs',
    'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.zfs']
[grpc]
address = '{SOCKET}'
[ttrpc]
address = '{SOCKET}.ttrpc'"
        );
        runtime::write(lab, host, "/run/containerd/config.toml", &settings);
        let crun = "#!/bin/sh\nexec crun --cgroup-manager=disabled \"$@\"";
        runtime::write(lab, host, CRUN, crun);
        let _ = cluster.sh(host, &format!("chmod +x {CRUN}"));
        let mut containerd = Containerd {
            cluster,
            host,
            daemon: None,
        };
        containerd.start();
        containerd
    }

    /// Starts the daemon; one that runs is killed, its containers are not.
    fn start(&mut self) {
        drop(self.daemon.take());
        let argv = ["containerd", "--config", "/run/containerd/config.toml"];
        self.daemon = Some(self.cluster.lab.spawn(self.host, &argv).unwrap());
        self.cluster.until("containerd answers", || {
            let answer = self.try_run(&["version"]);
            answer.status.success().then_some(())
        });
    }

    fn try_run(&self, words: &[&str]) -> std::process::Output {
        let mut argv = vec!["ctr", "--address", SOCKET];
        argv.extend(words);
        self.cluster.lab.exec(self.host, &argv).unwrap()
    }

    /// Runs a web server, and answers when it has its addresses.
    fn serve(&self, name: &str, words: &[&str]) -> (Running, Vec<String>) {
        let mut argv = vec!["ctr", "--address", SOCKET, "run", "--cni"];
        argv.extend(words);
        argv.extend(["--runc-binary", CRUN, "--rootfs", runtime::ROOT, name]);
        argv.extend(["/bin/httpd", "-f", "-p", "80", "-h", "/www"]);
        let running = self.cluster.lab.spawn(self.host, &argv).unwrap();
        let addresses = self.cluster.until(&format!("{name} is attached"), || {
            Some(self.addresses(name)).filter(|addresses| !addresses.is_empty())
        });
        (running, addresses)
    }

    /// The addresses of a container of this host; none where it is not attached.
    fn addresses(&self, name: &str) -> Vec<String> {
        let endpoints = self
            .cluster
            .json(self.host, &["get", "endpoints", "-o", "json"]);
        let id = format!("default-{name}");
        let items = endpoints["items"].as_array().unwrap();
        let mine = items
            .iter()
            .find(|e| e["spec"]["containerID"] == id.as_str() && e["spec"]["node"] == self.host);
        let addresses = mine.and_then(|e| e["spec"]["addresses"].as_array());
        let text = addresses.into_iter().flatten().filter_map(|a| a.as_str());
        text.map(str::to_owned).collect()
    }

    /// Kills a container's process, and waits until ctr has cleaned up behind it.
    fn end(&self, name: &str, running: Running) {
        let told = self.try_run(&["task", "kill", "-s", "SIGKILL", name]);
        assert!(told.status.success(), "{told:?}");
        let status = running.wait().unwrap();
        assert_eq!(status.code(), Some(137), "ctr tells how the process ended");
    }

    /// Asserts that a container gets the page of a host, at each address.
    fn reaches(&self, from: &str, addresses: &[String], page: &str) {
        for address in addresses {
            let url = if address.contains(':') {
                format!("http://[{address}]/")
            } else {
                format!("http://{address}/")
            };
            let mut number = 0;
            let what = format!("{from} on {} gets {page}'s page of {address}", self.host);
            self.cluster.until(&what, || {
                number += 1;
                let exec = format!("{}-{number}", address.replace(':', "."));
                let mut argv = vec!["task", "exec", "--exec-id", &exec, from];
                argv.extend(["/bin/timeout", "2", "/bin/wget", "-q", "-O", "-", &url]);
                let output = self.try_run(&argv);
                (String::from_utf8_lossy(&output.stdout).trim() == page).then_some(())
            });
        }
    }
}

#[test]
fn containerd_on_two_hosts() {
    let cluster = Cluster::up("ctr", &Shape::hosts(2));
    let a = Containerd::on(&cluster, "a");
    let b = Containerd::on(&cluster, "b");
    let (web_a, on_a) = a.serve("web", &["--rm"]);
    let (web_b, on_b) = b.serve("web", &["--rm"]);
    assert_eq!((on_a.len(), on_b.len()), (2, 2));
    for containerd in [&a, &b] {
        containerd.reaches("web", &on_a, "a");
        containerd.reaches("web", &on_b, "b");
    }

    a.end("web", web_a);
    assert_eq!(a.addresses("web"), [""; 0]);
    assert!(!cluster.sh("a", "ip -o link").contains("tbv"));
    let (web_a, again) = a.serve("web", &["--rm"]);
    assert_eq!(again, on_a, "its address, when it comes back");
    b.reaches("web", &on_a, "a");

    a.end("web", web_a);
    b.end("web", web_b);
    let usage = cluster.json("a", &["ipam", "show", "-o", "json"]);
    // Each node has one address of its own.
    assert_eq!(usage["pools"][0]["inUse"], 2, "{usage}");
    let _ = cluster.lab.tombolo("a", &["ipam", "check"]).unwrap();
}

#[test]
fn containers_outlive_both_daemons() {
    let cluster = Cluster::up("ctraway", &Shape::hosts(2));
    let mut a = Containerd::on(&cluster, "a");
    let b = Containerd::on(&cluster, "b");
    let (ctr, on_a) = a.serve("web", &["-d"]);
    assert!(ctr.wait().unwrap().success());
    let (_ctr, on_b) = b.serve("web", &["--rm"]);
    b.reaches("web", &on_a, "a");
    cluster.lab.kill_agent("a").unwrap();
    a.reaches("web", &on_b, "b");
    // It looks for lost addresses every second.
    let script = "TOMBOLO_SWEEP_SECONDS=1 exec tombolo agent 2>> /run/tombolo/agent.log";
    let _agent = cluster.lab.spawn("a", &["sh", "-c", script]).unwrap();
    cluster.lab.ready("a").unwrap();
    cluster.settle();
    a.start();
    a.reaches("web", &on_b, "b");
    b.reaches("web", &on_a, "a");
    assert_eq!(a.addresses("web"), on_a);

    let told = a.try_run(&["task", "kill", "-s", "SIGKILL", "web"]);
    assert!(told.status.success(), "{told:?}");
    cluster.until("what ctr left behind is freed", || {
        a.addresses("web").is_empty().then_some(())
    });
}
