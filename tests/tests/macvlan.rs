//! Containers directly on the physical network of the hosts: driver `macvlan`, by the real plugin.
//!
//! The lab's hosts are on one segment, 192.168.50.0/24 and fd50::/64, with a router `.1`; the
//! interface to it is `eth0`, by which the nodes reach each other too.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use serde_json::{Value, json};
use tombolo_lab::{CniVerb, Lab};
use tombolo_tests::plugin::nothing_left;
use tombolo_tests::{Cluster, Shape, addresses};

/// The hosts' own segment as pools, and a network on it.
fn segment(macvlan: &str) -> String {
    format!(
        "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {{name: lan4}}
spec: {{cidr: 192.168.50.0/24, blockSize: 28}}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {{name: lan6}}
spec: {{cidr: 'fd50::/64', blockSize: 124}}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {{name: lan}}
spec: {{driver: macvlan, macvlan: {macvlan}, gateway: [192.168.50.1, 'fd50::1'], pools: [lan4, lan6]}}
"
    )
}

/// A network of another subnet, on an interface of its own.
fn other(macvlan: &str) -> String {
    format!(
        "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {{name: own}}
spec: {{cidr: 10.77.0.0/24, blockSize: 28}}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {{name: own}}
spec: {{driver: macvlan, macvlan: {macvlan}, pools: [own]}}
"
    )
}

fn hosts(name: &str, count: usize, resources: &str) -> Cluster {
    let cluster = Cluster::up(name, &Shape::hosts(count));
    cluster.apply("a", resources);
    cluster.settle();
    cluster
}

/// Calls the plugin for a new container, and answers what it said.
fn refused(cluster: &Cluster, name: &str, config: &Value) -> String {
    cluster.lab.container("a", name).unwrap();
    let refused = cluster.lab.attach("a", name, config);
    refused.unwrap_err().to_string()
}

fn reaches(cluster: &Cluster, from: &str, to: &[String]) {
    for address in to {
        assert!(
            cluster.pings(from, address),
            "{from} does not reach {address}\n{}",
            cluster.logs()
        );
    }
}

fn is_cut_off(cluster: &Cluster, from: &str, to: &[String]) {
    for address in to {
        assert!(!cluster.pings(from, address), "{from} reaches {address}");
    }
}

fn own_addresses(cluster: &Cluster, place: &str, link: &str) -> Vec<String> {
    let text = cluster.sh(place, &format!("ip -j addr show {link}"));
    let shown: Value = serde_json::from_str(&text).unwrap();
    let all = shown[0]["addr_info"].as_array().unwrap().iter();
    let global = all.filter(|a| a["scope"] == "global");
    global
        .map(|a| a["local"].as_str().unwrap().to_owned())
        .collect()
}

/// The host's interface among its containers.
fn shim(cluster: &Cluster) -> String {
    cluster
        .sh("a", "ip -o link | grep -o 'tbm[0-9a-f]*' | head -n1")
        .trim()
        .to_owned()
}

#[test]
fn containers_hosts_and_the_router_reach_each_other_with_a_shim() {
    let cluster = hosts("mv-shim", 2, &segment("{parent: eth0, hostAccess: true}"));
    cluster.lab.container("a", "c1").unwrap();
    let result = cluster.lab.attach("a", "c1", &Lab::config("lan")).unwrap();
    let first = addresses(&result);
    // At once, and with the address that the host has for it.
    reaches(&cluster, "a", &first);
    let link = shim(&cluster);
    let shim = own_addresses(&cluster, "a", &link);
    assert_eq!(shim.len(), 2, "{shim:?}");
    for (container, host) in first.iter().zip(&shim) {
        let way = cluster.sh("a", &format!("ip route get {container}"));
        for part in [format!("dev {link} "), format!("src {host} ")] {
            assert!(way.contains(&part), "no {part}in {way}");
        }
    }
    let second = cluster.container("a", "c2", "lan");
    let there = cluster.container("b", "c1", "lan");
    let containers = [
        ("a/c1".to_owned(), first.clone()),
        ("a/c2".to_owned(), second),
        ("b/c1".to_owned(), there.clone()),
    ];
    cluster.all_reach_all(&containers);
    for (container, _) in &containers {
        for host in ["a", "b"] {
            reaches(&cluster, container, &own_addresses(&cluster, host, "eth0"));
        }
        reaches(
            &cluster,
            container,
            &["192.168.50.1".into(), "fd50::1".into()],
        );
        // Beyond the router, which knows their addresses: nothing translates them.
        reaches(
            &cluster,
            container,
            &["203.0.113.1".into(), "2001:db8:113::1".into()],
        );
    }
    reaches(&cluster, "a/c1", &shim);
    reaches(&cluster, "b", &first);
    reaches(&cluster, "b", &there);
    assert!(cluster.fits("a/c1", &there[0], 1500));
    is_told(&cluster, &result, &first);
    for (question, rule) in [
        (
            format!("link {link}"),
            "the host's own interface on the segment",
        ),
        ("link eth0 in a-c1".to_owned(), "the container's interface"),
        (
            format!("route {}/32", first[0]),
            "the host's way to its container",
        ),
    ] {
        let told = cluster.sh("a", &format!("tombolo explain {question}"));
        assert!(told.contains(rule) && told.contains("as planned"), "{told}");
    }
    let status = cluster.status("a");
    assert_eq!(status["problems"], json!([]));
}

/// The result of ADD is true, and CHECK sees what differs from it.
fn is_told(cluster: &Cluster, result: &Value, given: &[String]) {
    let interfaces = result["interfaces"].as_array().unwrap();
    assert_eq!(interfaces.len(), 1, "{result:#}");
    let shown: Value = serde_json::from_str(&cluster.sh("a/c1", "ip -j addr show eth0")).unwrap();
    assert_eq!(interfaces[0]["name"], "eth0");
    assert_eq!(interfaces[0]["sandbox"], "/run/netns/c1");
    assert_eq!(interfaces[0]["mac"], shown[0]["address"]);
    assert_eq!(shown[0]["mtu"], 1500);
    for (ip, length, gateway) in [(0, 24, "192.168.50.1"), (1, 64, "fd50::1")] {
        let told = &result["ips"][ip];
        assert_eq!(told["address"], format!("{}/{length}", given[ip]));
        assert_eq!(
            (&told["gateway"], &told["interface"]),
            (&gateway.into(), &0.into())
        );
    }
    let routes = result["routes"].to_string();
    for dst in ["0.0.0.0/0", "::/0", "192.168.50.0/24", "fd50::/64"] {
        assert!(routes.contains(&format!("\"dst\":\"{dst}\"")), "{routes}");
    }
    let mut config = Lab::config("lan");
    config["prevResult"] = result.clone();
    cluster.lab.cni(CniVerb::Check, "a", "c1", &config).unwrap();
    for (damage, sign) in [
        ("ip addr flush dev eth0 scope global", "address 192.168.50."),
        ("ip link del eth0", "link eth0"),
    ] {
        // It is repaired too; CHECK comes before that, sooner or later, and not in the midst of it.
        cluster.until("CHECK finds it", || {
            let _ = cluster.try_sh("a/c1", damage);
            let told = cluster.lab.cni(CniVerb::Check, "a", "c1", &config).err()?;
            told.to_string().contains(sign).then_some(())
        });
    }
    cluster.until("it is repaired", || {
        cluster.lab.cni(CniVerb::Check, "a", "c1", &config).ok()
    });
}

#[test]
fn without_a_shim_a_host_does_not_reach_its_own() {
    let cluster = hosts("mv-bare", 2, &segment("{parent: eth0}"));
    let first = cluster.container("a", "c1", "lan");
    let second = cluster.container("a", "c2", "lan");
    let there = cluster.container("b", "c1", "lan");
    let all = [
        ("a/c1".to_owned(), first.clone()),
        ("a/c2".to_owned(), second),
        ("b/c1".to_owned(), there.clone()),
    ];
    cluster.all_reach_all(&all);
    is_cut_off(&cluster, "a", &first);
    reaches(&cluster, "b", &first);
    assert_eq!(shim(&cluster), "");
    // The user asks for it, of a network with containers; and no more.
    cluster.apply("a", &segment("{parent: eth0, hostAccess: true}"));
    cluster.until("the host reaches its own", || {
        first
            .iter()
            .all(|address| cluster.pings("a", address))
            .then_some(())
    });
    cluster.apply("a", &segment("{parent: eth0}"));
    cluster.until("the shim is gone", || {
        (shim(&cluster).is_empty()).then_some(())
    });
    is_cut_off(&cluster, "a", &first);
    reaches(&cluster, "b", &first);
}

/// Those of one host do not hear each other, and a switch sends no frame back to where it came from;
/// on two hosts they are as any.
#[test]
fn private_and_vepa_keep_containers_of_one_host_apart() {
    let cluster = hosts("mv-apart", 2, &segment("{parent: eth0, mode: private}"));
    let first = cluster.container("a", "c1", "lan");
    let second = cluster.container("a", "c2", "lan");
    let there = cluster.container("b", "c1", "lan");
    for mode in ["private", "vepa"] {
        cluster.apply("a", &segment(&format!("{{parent: eth0, mode: {mode}}}")));
        for place in ["a/c1", "a/c2", "b/c1"] {
            let show = "ip -d link show eth0";
            cluster.until("the mode is changed", || {
                cluster
                    .sh(place, show)
                    .contains(&format!("mode {mode}"))
                    .then_some(())
            });
        }
        is_cut_off(&cluster, "a/c1", &second);
        is_cut_off(&cluster, "a/c2", &first);
        is_cut_off(&cluster, "a", &first);
        reaches(&cluster, "a/c1", &there);
        reaches(&cluster, "a/c2", &there);
        reaches(&cluster, "b/c1", &first);
        reaches(
            &cluster,
            "a/c1",
            &["192.168.50.1".into(), "203.0.113.1".into()],
        );
    }
}

/// A second segment between the hosts, by a wire that is not Tombolo's.
fn lay_second(cluster: &Cluster) {
    for (host, other) in [("a", "b"), ("b", "a")] {
        let to = cluster.lab.address(other).unwrap();
        let line = format!(
            "ip link add eth1 type vxlan id 7 dstport 7777 remote {to} dev eth0; ip link set eth1 up"
        );
        let _ = cluster.sh(host, &line);
    }
}

#[test]
fn passthru_gives_a_parent_to_one_container() {
    let cluster = hosts("mv-alone", 2, &other("{parent: eth1, mode: passthru}"));
    lay_second(&cluster);
    let mac_of = |place: &str, link: &str| {
        let text = cluster.sh(place, &format!("ip -j link show {link}"));
        let shown: Value = serde_json::from_str(&text).unwrap();
        shown[0]["address"].clone()
    };
    let before = mac_of("a", "eth1");
    let result = {
        cluster.lab.container("a", "c1").unwrap();
        cluster.lab.attach("a", "c1", &Lab::config("own")).unwrap()
    };
    let there = cluster.container("b", "c1", "own");
    reaches(&cluster, "a/c1", &there);
    reaches(&cluster, "b/c1", &addresses(&result));
    let mac = &result["interfaces"][0]["mac"];
    assert_eq!((&mac_of("a/c1", "eth0"), &mac_of("a", "eth1")), (mac, mac));
    let said = refused(&cluster, "c2", &Lab::config("own"));
    for sign in [
        "eth1 is used by container a-c1 of network own",
        "use mode bridge",
    ] {
        assert!(said.contains(sign), "{said}");
    }
    let shared = segment("{parent: eth0, mode: passthru}");
    cluster.apply("a", &shared);
    let said = refused(&cluster, "c3", &Lab::config("lan"));
    assert!(
        said.contains("get all packets of eth0, by which the other nodes reach this one"),
        "{said}"
    );
    reaches(&cluster, "a/c1", &there);
    cluster.lab.detach("a", "c1", &Lab::config("own")).unwrap();
    assert_eq!(mac_of("a", "eth1"), before);
    assert!(!cluster.sh("a/c1", "ip -o link").contains("eth0"));
    // Who comes then has it.
    cluster.lab.attach("a", "c2", &Lab::config("own")).unwrap();
    reaches(&cluster, "a/c2", &there);
}

#[test]
fn what_others_delete_or_change_is_restored() {
    let cluster = hosts("mv-drift", 1, &segment("{parent: eth0, hostAccess: true}"));
    let given = cluster.container("a", "c1", "lan");
    let link = shim(&cluster);
    let picture = || {
        let inside =
            "ip -o -d link show eth0; ip -o addr show dev eth0 scope global; ip route; ip -6 route";
        let host = format!(
            "ip -o -d link show {link}; ip -o addr show dev {link} scope global; ip route show dev {link}; ip -6 route show dev {link} proto 84"
        );
        // Numbers of interfaces are new each time, and so are those of entries.
        let text = cluster.try_sh("a/c1", inside).stdout;
        let host = cluster.try_sh("a", &host).stdout;
        let text = String::from_utf8([text, host].concat()).unwrap();
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| {
                let line = line.split_once(": ").map_or(line, |(_, rest)| rest);
                let known = line
                    .split_whitespace()
                    .filter(|word| !word.starts_with("eth0@"));
                known.collect::<Vec<_>>().join(" ")
            })
            .filter(|line| !line.contains("fe80") && !line.contains("ff00"))
            .collect();
        lines.sort();
        lines
    };
    let whole = picture();
    for (place, damage) in [
        ("a/c1", "ip link del eth0"),
        ("a/c1", "ip link set eth0 down"),
        ("a/c1", "ip addr flush dev eth0 scope global"),
        ("a/c1", "ip route del default; ip -6 route del default"),
        ("a/c1", "ip link set eth0 type macvlan mode private"),
        ("a/c1", "ip link set eth0 down; ip link set eth0 name mine"),
        ("a", "ip link del $SHIM"),
        ("a", "ip link set $SHIM down"),
        ("a", "ip addr flush dev $SHIM scope global"),
        ("a", "ip route flush dev $SHIM; ip -6 route flush dev $SHIM"),
        ("a", "ip link set $SHIM address 02:00:00:00:00:99"),
    ] {
        let _ = cluster.sh(place, &damage.replace("$SHIM", &link));
        let mut now = Vec::new();
        let begun = std::time::Instant::now();
        while now != whole {
            now = picture();
            assert!(
                begun.elapsed() < tombolo_tests::DEADLINE,
                "{damage} is not repaired:\n{whole:#?}\n{now:#?}\n{}",
                cluster.logs()
            );
        }
        reaches(&cluster, "a", &given);
        reaches(&cluster, "a/c1", &["192.168.50.1".into(), "fd50::1".into()]);
    }
}

/// A parent that goes takes the containers' interfaces with it; when it is back, so are they.
#[test]
fn a_parent_that_comes_back_has_its_containers_again() {
    let cluster = hosts("mv-parent", 2, &other("{parent: eth1, hostAccess: true}"));
    lay_second(&cluster);
    let here = cluster.container("a", "c1", "own");
    let there = cluster.container("b", "c1", "own");
    reaches(&cluster, "a/c1", &there);
    let _ = cluster.sh("a", "ip link del eth1");
    let failed = cluster.until("its loss is noticed", || {
        let status = cluster.status("a");
        let problems = status["problems"].to_string();
        problems.contains("eth1").then_some(problems)
    });
    assert!(failed.contains("its parent eth1 is not there"), "{failed}");
    let _ = cluster.sh("b", "ip link del eth1");
    lay_second(&cluster);
    cluster.until("they reach each other again", || {
        cluster.pings("a/c1", &there[0]).then_some(())
    });
    cluster.until("the host reaches its own again", || {
        cluster.pings("a", &here[0]).then_some(())
    });
}

#[test]
fn what_cannot_be_had_is_refused_and_leaves_nothing() {
    let cluster = hosts("mv-refused", 1, &other("{parent: eth7}"));
    let config = Lab::config("own");
    let says = |said: &str, signs: &[&str]| {
        for sign in signs {
            assert!(said.contains(sign), "no {sign:?} in {said}");
        }
    };
    let said = refused(&cluster, "c1", &config);
    says(
        &said,
        &[
            "its parent eth7 is not there",
            "this host has eth0",
            "spec.macvlan.parent",
        ],
    );
    nothing_left(&cluster);
    let _ = cluster.sh("a", "ip link add eth7 type bridge");
    let said = cluster
        .lab
        .attach("a", "c1", &config)
        .unwrap_err()
        .to_string();
    says(&said, &["its parent eth7 is down", "ip link set eth7 up"]);
    let _ = cluster.sh("a", "ip link set eth7 up");
    let mut ports = config.clone();
    ports["runtimeConfig"] =
        json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
    let said = cluster
        .lab
        .attach("a", "c1", &ports)
        .unwrap_err()
        .to_string();
    says(
        &said,
        &["port 8080/tcp", "own address on the physical network"],
    );
    nothing_left(&cluster);
    let _ = cluster.lab.attach("a", "c1", &config).unwrap();
    for (macvlan, signs) in [
        (
            "{parent: eth7, mode: private, hostAccess: true}",
            ["hostAccess", "in mode private"],
        ),
        (
            "{parent: tbx4096}",
            ["spec.macvlan.parent", "Tombolo's own"],
        ),
        (
            "{parent: eth7, vlan: 4095}",
            ["spec.macvlan.vlan", "between 1 and 4094"],
        ),
        ("{parent: eth7, mode: bridged}", ["mode", "bridged"]),
        ("{}", ["parent", ""]),
    ] {
        says(
            &cluster.try_apply("a", &other(macvlan)).unwrap_err(),
            &signs,
        );
    }
    let routed = segment("{parent: eth0}").replace(
        "driver: macvlan, macvlan: {parent: eth0}, gateway: [192.168.50.1, 'fd50::1']",
        "driver: ptp",
    );
    says(
        &cluster.try_apply("a", &routed).unwrap_err(),
        &["contains 192.168.50.11, by which node a is reached"],
    );
    let nat = other("{parent: eth7}").replace("blockSize: 28", "blockSize: 28, natOutgoing: true");
    cluster.apply("a", &nat);
    cluster.settle();
    says(
        &cluster.status("a")["problems"].to_string(),
        &["natOutgoing has no effect"],
    );
}

/// The kernel of a machine has VLANs or has not; either is said.
#[test]
fn a_vlan_is_made_or_it_is_said_why_not() {
    let cluster = hosts(
        "mv-vlan",
        2,
        &other("{parent: eth1, vlan: 7, hostAccess: true}"),
    );
    lay_second(&cluster);
    let check = cluster.try_sh("a", "tombolo check -o json").stdout;
    let check = String::from_utf8(check).unwrap();
    assert!(check.contains("has macvlan"), "{check}");
    if check.contains("has no 802.1Q VLANs") {
        let said = refused(&cluster, "c1", &Lab::config("own"));
        assert!(said.contains("the kernel has no 802.1Q VLANs"), "{said}");
        nothing_left(&cluster);
        return;
    }
    let here = cluster.container("a", "c1", "own");
    let there = cluster.container("b", "c1", "own");
    reaches(&cluster, "a/c1", &there);
    reaches(&cluster, "a", &here);
    cluster.lab.detach("a", "c1", &Lab::config("own")).unwrap();
    cluster.until("the VLAN is gone", || {
        let links = cluster.sh("a", "ip -o link");
        (!links.contains("tbl") && !links.contains("tbm")).then_some(())
    });
}

/// Nothing of the host leads to the interface, and the sandbox stays: DEL takes it away all the same,
/// the shim with the last container, and the shim's address after it.
#[test]
fn detaching_leaves_nothing_in_a_sandbox_that_lives_on() {
    let cluster = hosts("mv-del", 1, &segment("{parent: eth0, hostAccess: true}"));
    let _ = cluster.container("a", "c1", "lan");
    let _ = cluster.container("a", "c2", "default");
    for _ in 0..2 {
        cluster.lab.detach("a", "c1", &Lab::config("lan")).unwrap();
    }
    assert!(!cluster.sh("a/c1", "ip -o link").contains("eth0"));
    cluster
        .lab
        .detach("a", "c2", &Lab::config("default"))
        .unwrap();
    assert_eq!(shim(&cluster), "");
    cluster.until("the shim's address is given back", || {
        let blocks = cluster.json("a", &["get", "blocks", "-o", "json"]);
        let blocks = blocks["items"].as_array().unwrap().clone();
        let mut lan = blocks.iter().filter(|b| b["spec"]["pool"] == "lan4");
        lan.all(|b| !b.to_string().contains("tunnel")).then_some(())
    });
    nothing_left(&cluster);
    // The agent was killed meanwhile, and somebody else took the endpoint out of the store.
    let _ = cluster.container("a", "c3", "lan");
    cluster.lab.kill_agent("a").unwrap();
    assert!(cluster.sh("a/c3", "ip -o link").contains("eth0"));
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.lab.ready("a").unwrap();
    cluster.lab.detach("a", "c3", &Lab::config("lan")).unwrap();
    assert!(!cluster.sh("a/c3", "ip -o link").contains("eth0"));
}

/// A call of the agent's API on host `a`, and its answer.
fn call(cluster: &Cluster, path: &str, body: &Value) -> Value {
    let script = format!(
        "curl -s --unix-socket /run/tombolo/tombolo.sock -H 'content-type: application/json' -d '{body}' http://tombolo/v1/{path}"
    );
    let text = cluster.sh("a", &script);
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// As Docker does it: the runtime takes the interface from the host, puts it into the sandbox under
/// another name, and brings it back; or the sandbox goes while it is there.
#[test]
fn a_runtime_that_takes_the_interface_itself_finds_it_on_the_host() {
    let cluster = hosts("mv-handed", 2, &segment("{parent: eth0, hostAccess: true}"));
    let there = cluster.container("b", "c1", "lan");
    let plug =
        json!({"containerID": "d1", "interface": "eth0", "handover": true, "network": "lan"});
    let told = call(&cluster, "attach", &plug);
    let name = told["containerInterface"]["name"]
        .as_str()
        .unwrap_or_default();
    assert!(name.starts_with("tbc"), "{told:#}");
    assert_eq!(told["hostInterface"], Value::Null, "{told:#}");
    let addresses: Vec<(String, String)> = told["addresses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|view| view["address"].as_str().unwrap().to_owned())
        .map(|net| (net.split('/').next().unwrap().to_owned(), net))
        .collect();
    let given: Vec<String> = addresses
        .iter()
        .map(|(address, _)| address.clone())
        .collect();
    cluster.lab.container("a", "d1").unwrap();
    let put = |cluster: &Cluster| {
        let _ = cluster.sh("a", &format!("ip link set {name} netns d1"));
        let mut script = format!("ip link set {name} name eth0; ip link set eth0 up");
        for (_, net) in &addresses {
            script += &format!("; ip addr add {net} dev eth0 nodad");
        }
        let _ = cluster.sh("a/d1", &script);
        reaches(cluster, "a/d1", &there);
        reaches(cluster, "a", &given);
    };
    put(&cluster);
    // Nothing is repaired, and nothing made a second time, also when everything is read again.
    cluster.lab.kill_agent("a").unwrap();
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.settle();
    assert!(!cluster.sh("a", "ip -o link").contains("tbc"));
    assert_eq!(cluster.status("a")["problems"], json!([]));
    reaches(&cluster, "a/d1", &there);
    let _ = cluster.sh(
        "a/d1",
        &format!("ip link set eth0 down; ip link set eth0 name {name}; ip link set {name} netns 1"),
    );
    put(&cluster);
    let unplug = json!({"containerID": "d1", "interface": "eth0"});
    let _ = call(&cluster, "detach", &unplug);
    // The move into the container may not have been seen before it was to be undone.
    cluster.until("the interface is gone from the container", || {
        (!cluster.sh("a/d1", "ip -o link").contains("eth0")).then_some(())
    });
    let links = cluster.sh("a", "ip -o link");
    assert!(!links.contains("tbc") && !links.contains("tbm"), "{links}");
}
