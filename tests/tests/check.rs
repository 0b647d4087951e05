//! `tombolo check`: each fault is made, found, mended as the finding says, and gone.

use serde_json::Value;
use tombolo_tests::{Cluster, Shape};

/// All findings on a host, and the exit status.
fn check(cluster: &Cluster, host: &str) -> (Vec<Value>, i32) {
    let output = cluster.try_sh(host, "tombolo check -o json");
    let text = String::from_utf8_lossy(&output.stdout);
    let findings = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    (findings, output.status.code().unwrap_or(-1))
}

/// The findings of one check that are not ok.
fn faults<'a>(findings: &'a [Value], name: &str) -> Vec<&'a Value> {
    let of_check = findings.iter().filter(|finding| finding["check"] == name);
    of_check
        .filter(|finding| finding["status"] != "ok")
        .collect()
}

/// The one failure of a check on `a`, with the exit status 1 that belongs to it.
fn failure(cluster: &Cluster, name: &str) -> Value {
    let (findings, code) = check(cluster, "a");
    let found = faults(&findings, name);
    assert_eq!(found.len(), 1, "{name}: {findings:#?}");
    assert_eq!(
        (&found[0]["status"], code),
        (&"failed".into(), 1),
        "{found:#?}"
    );
    found[0].clone()
}

/// The commands of a remedy, which stand between backquotes.
fn commands(finding: &Value) -> String {
    let remedy = finding["remedy"].as_str().expect("there is a remedy");
    let commands: Vec<&str> = remedy.split('`').skip(1).step_by(2).collect();
    commands.join("\n")
}

fn is_well(cluster: &Cluster, name: &str) {
    let (findings, _) = check(cluster, "a");
    assert!(faults(&findings, name).is_empty(), "{findings:#?}");
}

#[test]
fn a_sound_cluster_has_no_findings() {
    let cluster = Cluster::up("sound", &Shape::hosts(3));
    for host in ["a", "c"] {
        let (findings, code) = check(&cluster, host);
        let wrong: Vec<&Value> = findings.iter().filter(|f| f["status"] != "ok").collect();
        assert!(wrong.is_empty() && code == 0, "{wrong:#?}");
        // Each other node by IPv4, its clock, and both tunnels.
        let count = |name: &str| findings.iter().filter(|f| f["check"] == name).count();
        assert_eq!((count("peers"), count("tunnels")), (2, 4), "{findings:#?}");
        for name in [
            "agent", "kernel", "filters", "store", "clock", "disk", "ranges",
        ] {
            assert!(count(name) > 0, "{name} looked at nothing: {findings:#?}");
        }
    }
    let text = cluster.sh("a", "tombolo check");
    assert!(text.contains("0 failed, 0 warnings"), "{text}");
    assert!(
        !text.contains("asking"),
        "progress is for terminals: {text}"
    );
    let terminal = cluster.sh("a", "script -qec 'tombolo check' /dev/null");
    assert!(terminal.contains("asking the other nodes"), "{terminal}");
}

/// A foreign chain drops what is forwarded; the finding's own remedy lets it pass.
fn dropped(name: &str, fault: &str, sign: &str) {
    let cluster = Cluster::up(name, &Shape::hosts(2));
    let _ = cluster.container("a", "c1", "default");
    let there = cluster.container("b", "c1", "default");
    let address = there
        .iter()
        .find(|a| a.contains('.'))
        .expect("an IPv4 address");
    assert!(
        cluster.pings("a/c1", address),
        "before anything\n{}",
        cluster.logs()
    );
    let _ = cluster.sh("a", fault);
    assert!(!cluster.pings("a/c1", address), "the fault is none");
    let finding = failure(&cluster, "filters");
    assert!(finding["subject"].to_string().contains(sign), "{finding:#}");
    let _ = cluster.sh("a", &commands(&finding));
    assert!(
        cluster.pings("a/c1", address),
        "the remedy is none: {finding:#}"
    );
    is_well(&cluster, "filters");
}

#[test]
fn a_chain_of_nftables_that_drops_is_found_and_mended() {
    dropped(
        "fwnft",
        "nft add table inet fw; nft add chain inet fw forward '{type filter hook forward priority 10; policy drop;}'; nft add rule inet fw forward ct state established,related accept; nft add rule inet fw forward iifname docker0 accept",
        "inet fw forward",
    );
}

#[test]
fn dockers_forward_policy_is_found_and_mended() {
    dropped(
        "fwdocker",
        "iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER; iptables-nft -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables-nft -A FORWARD -i docker0 -j ACCEPT",
        "ip filter FORWARD",
    );
}

#[test]
fn iptables_legacy_is_found_and_mended() {
    dropped(
        "fwlegacy",
        "iptables-legacy -P FORWARD DROP",
        "iptables-legacy filter FORWARD",
    );
}

#[test]
fn a_narrow_wire_is_found_to_the_byte() {
    let cluster = Cluster::up("narrowwire", &Shape::hosts(2));
    // The switch's port drops in silence what is larger than it takes.
    let _ = cluster.sh(".", "ip link set sw-b mtu 1400");
    let (findings, code) = check(&cluster, "a");
    let found = faults(&findings, "peers");
    assert_eq!((found.len(), code), (1, 1), "{findings:#?}");
    let text = found[0]["finding"].to_string();
    assert!(
        text.contains("1500 bytes are lost") && text.contains("up to 1400 pass"),
        "{text}"
    );
    assert!(
        found[0]["remedy"].to_string().contains("spec.mtu: 1350"),
        "{found:#?}"
    );
    assert_eq!(faults(&findings, "tunnels").len(), 2, "{findings:#?}");
    let _ = cluster.sh(".", "ip link set sw-b mtu 1500");
    is_well(&cluster, "peers");
}

#[test]
fn a_blocked_tunnel_port_is_told_from_a_dead_node() {
    let cluster = Cluster::up("blocked", &Shape::hosts(2));
    let _ = cluster.sh("b", "nft add table inet fw; nft add chain inet fw in '{type filter hook input priority 0;}'; nft add rule inet fw in udp dport 4789 drop");
    let (findings, _) = check(&cluster, "a");
    let found = faults(&findings, "tunnels");
    assert!(
        faults(&findings, "peers").is_empty() && found.len() == 2,
        "{findings:#?}"
    );
    assert!(
        found[0]["remedy"].to_string().contains("UDP 4789"),
        "{found:#?}"
    );
    let _ = cluster.sh("b", "nft delete table inet fw");
    is_well(&cluster, "tunnels");
    cluster.lab.cut("b").expect("the wire is cut");
    let (findings, code) = check(&cluster, "a");
    assert!(
        code == 1 && faults(&findings, "peers").len() == 1,
        "{findings:#?}"
    );
}

#[test]
fn what_others_set_up_in_our_way_is_found() {
    let cluster = Cluster::up("inourway", &Shape::hosts(2));
    let (findings, _) = check(&cluster, "a");
    let pool = findings
        .iter()
        .find(|f| f["check"] == "ranges" && f["subject"].to_string().contains('.'))
        .expect("a pool of IPv4");
    let inside = pool["subject"]
        .as_str()
        .expect("text")
        .replace(".0.0/16", ".250.0/24");
    let _ = cluster.sh(
        "a",
        &format!("ip route add {inside} via 192.168.50.1 proto static"),
    );
    let finding = failure(&cluster, "ranges");
    assert!(
        finding["finding"].to_string().contains("static"),
        "{finding:#}"
    );
    let _ = cluster.sh("a", &format!("ip route del {inside}"));
    is_well(&cluster, "ranges");
    // Answers to b leave by another interface than b's packets come in by, which strict filtering drops.
    let _ = cluster.sh("a", "ip link add other type veth peer name other2; ip link set other up; ip link set other2 up; ip addr add 192.0.2.1/24 dev other; ip route add 192.168.50.12/32 dev other; sysctl -qw net.ipv4.conf.all.rp_filter=1");
    let finding = failure(&cluster, "rp_filter");
    assert!(
        finding["finding"].to_string().contains("rp_filter is 1"),
        "{finding:#}"
    );
    let _ = cluster.sh(
        "a",
        "ip link del other; sysctl -qw net.ipv4.conf.all.rp_filter=0",
    );
    is_well(&cluster, "rp_filter");
}

#[test]
fn without_an_agent_the_host_is_checked() {
    let cluster = Cluster::up("noagent", &Shape::hosts(1));
    cluster.lab.stop_agent("a").expect("the agent ends");
    let _ = cluster.sh("a", "sysctl -qw net.ipv4.ip_forward=0; nft add table inet fw; nft add chain inet fw f '{type filter hook forward priority 0; policy drop;}'");
    let (findings, code) = check(&cluster, "a");
    assert_eq!(code, 1, "{findings:#?}");
    for name in ["agent", "settings", "filters"] {
        assert_eq!(faults(&findings, name).len(), 1, "{name}: {findings:#?}");
    }
    assert!(faults(&findings, "kernel").is_empty(), "{findings:#?}");
    let agent = faults(&findings, "agent")[0];
    assert!(
        agent["finding"].to_string().contains("does not answer"),
        "{agent:#}"
    );
    let forward = faults(&findings, "settings")[0];
    let first = commands(forward)
        .lines()
        .next()
        .expect("a command")
        .to_owned();
    let _ = cluster.sh("a", &first);
    assert!(faults(&check(&cluster, "a").0, "settings").is_empty());
}

#[test]
fn a_store_that_does_not_answer_is_found() {
    let cluster = Cluster::up("nostore", &Shape::hosts(2));
    cluster
        .lab
        .stop_agent("a")
        .expect("the agent with the store ends");
    let (findings, code) = check(&cluster, "b");
    let store = faults(&findings, "store");
    assert_eq!((store.len(), code), (1, 1), "{findings:#?}");
    assert!(
        store[0]["finding"].to_string().contains("does not answer"),
        "{store:#?}"
    );
    // Nothing else is wrong: what is in place goes on.
    for name in ["agent", "peers", "tunnels"] {
        assert!(faults(&findings, name).is_empty(), "{name}: {findings:#?}");
    }
}
