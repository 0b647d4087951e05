//! GC and STATUS, what capabilities ask for, and agents that hang. The numbers are those of
//! `spec/cni-1.1.toml`.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tombolo_tests::plugin::{Call, added, nothing_left, one_host};
use tombolo_tests::{Cluster, Shape, addresses, lab};

fn collect(valid: Value) -> Call {
    Call::new("GC", "none")
        .without("CNI_CONTAINERID")
        .without("CNI_NETNS")
        .without("CNI_IFNAME")
        .variable("CNI_PATH", "/opt/cni/bin")
        .with("cni.dev/valid-attachments", valid)
}

fn valid(containers: &[&str]) -> Value {
    let listed = containers
        .iter()
        .map(|c| json!({"containerID": format!("id-{c}"), "ifname": "eth0"}));
    listed.collect()
}

fn containers(cluster: &Cluster) -> Vec<String> {
    let endpoints = cluster.json("a", &["get", "endpoints", "-o", "json"]);
    let mut ids: Vec<String> = endpoints["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["spec"]["containerID"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[test]
fn cni_2_39_gc_removes_exactly_what_is_not_listed() {
    let cluster = one_host("cni-gc");
    for container in ["c1", "c2", "c3"] {
        let _ = added(&cluster, container);
    }
    // Another list of the runtime uses the same network.
    cluster.lab.container("a", "c4").unwrap();
    let other = Call::new("ADD", "c4")
        .with("name", json!("other"))
        .with("network", json!("default"));
    let _ = other.on(&cluster).succeeded();
    let _ = cluster.sh("a", "ip netns del c3");
    let answer = collect(valid(&["c2"])).on(&cluster);
    assert_eq!((answer.status, answer.text.as_str()), (0, ""), "cni_2_45");
    assert_eq!(containers(&cluster), ["id-c2", "id-c4"]);
    let links = cluster.sh("a", "ip -o link").matches("tbv").count();
    assert_eq!(links, 2, "{}", cluster.sh("a", "ip -o link"));
    assert!(
        cluster.pings("a/c2", "169.254.1.1"),
        "the valid one is cut off"
    );
    cluster.lab.tombolo("a", &["ipam", "check"]).unwrap();
}

#[test]
fn cni_2_46_an_empty_list_is_all_and_a_missing_one_is_nothing() {
    let cluster = one_host("cni-gc-empty");
    let _ = added(&cluster, "c1");
    let mut call = collect(json!(null));
    let message = call.on(&cluster).failed(7);
    assert!(message.contains("cni.dev/valid-attachments"), "{message}");
    call.config
        .as_object_mut()
        .unwrap()
        .remove("cni.dev/valid-attachments");
    let _ = call.on(&cluster).failed(7);
    assert_eq!(containers(&cluster), ["id-c1"]);
    let answer = collect(json!([])).on(&cluster);
    assert_eq!((answer.status, answer.text.as_str()), (0, ""));
    nothing_left(&cluster);
}

#[test]
fn cni_2_44_gc_needs_its_variables() {
    let cluster = one_host("cni-gc-env");
    let message = collect(json!([]))
        .without("CNI_PATH")
        .on(&cluster)
        .failed(4);
    assert!(message.contains("CNI_PATH"), "{message}");
    let answer = collect(json!([])).on(&cluster);
    assert_eq!(answer.status, 0, "{}", answer.text);
}

#[test]
fn cni_2_40_gc_works_without_the_namespace_and_without_the_store() {
    let cluster = Cluster::up("cni-gc-out", &Shape::hosts(2));
    let container = |name: &str| cluster.container("b", name, "default");
    let (_, kept) = (container("c1"), container("c2"));
    cluster.settle();
    cluster.lab.kill_agent("a").unwrap();
    let _ = cluster.sh("b", "ip netns del c1");
    let config = json!({"cniVersion": "1.1.0", "name": "default", "type": "tombolo-cni",
        "cni.dev/valid-attachments": [{"containerID": "b-c2", "ifname": "eth0"}]});
    let plugin = tombolo_tests::programs().join("tombolo-cni");
    let script = format!(
        "echo '{config}' | CNI_COMMAND=GC CNI_PATH=/opt/cni/bin {}",
        plugin.display()
    );
    assert_eq!(cluster.sh("b", &script), "");
    assert!(!cluster.sh("b", "tombolo get endpoints").contains("b-c1"));
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.lab.ready("a").unwrap();
    cluster.until("the store knows", || {
        (!cluster.sh("a", "tombolo get endpoints").contains("b-c1")).then_some(())
    });
    assert!(cluster.pings("a", &kept[0]));
}

#[test]
fn cni_2_41_gc_goes_on_after_an_error_and_reports_all() {
    // The store is gone and the disk is full: nothing can be written down.
    let cluster = Cluster::up("cni-gc-err", &Shape::hosts(2));
    for name in ["c1", "c2"] {
        let _ = cluster.container("b", name, "default");
    }
    cluster.settle();
    let config = json!({"cniVersion": "1.1.0", "name": "default", "type": "tombolo-cni",
        "cni.dev/valid-attachments": []});
    let plugin = tombolo_tests::programs().join("tombolo-cni");
    cluster.lab.stop_agent("b").unwrap();
    let _ = cluster.sh(
        "b",
        "cp -a /var/lib/tombolo /run/state && mount -t tmpfs -o size=64k tmpfs /var/lib/tombolo \
         && cp -a /run/state/. /var/lib/tombolo",
    );
    cluster.lab.start_agent("b", &[]).unwrap();
    cluster.lab.ready("b").unwrap();
    cluster.lab.kill_agent("a").unwrap();
    let _ = cluster.try_sh("b", "cat /dev/zero > /var/lib/tombolo/ballast 2>/dev/null");
    let script = format!(
        "echo '{config}' | CNI_COMMAND=GC CNI_PATH=/opt/cni/bin {} || true",
        plugin.display()
    );
    let error: Value = serde_json::from_str(&cluster.sh("b", &script)).unwrap();
    let text = error.to_string();
    assert!(
        text.contains("2 of 2 containers could not be unplugged"),
        "{text}"
    );
    assert!(text.contains("b-c1") && text.contains("b-c2"), "{text}");
}

#[test]
fn cni_2_31_status_says_why_no_container_can_be_added() {
    let cluster = one_host("cni-status");
    let status = |name: &str| Call::new("STATUS", "x").with("name", json!(name));
    let answer = status("default").on(&cluster);
    assert_eq!((answer.status, answer.text.as_str()), (0, ""), "cni_2_30");
    let message = status("nowhere").on(&cluster).failed(50);
    assert!(message.contains("there is no network nowhere"), "{message}");
    cluster.apply(
        "a",
        "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: one}
spec: {cidr: 10.77.0.0/32, blockSize: 32}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: one}
spec: {driver: routed, transport: {type: direct}, pools: [one]}
",
    );
    assert_eq!(status("one").on(&cluster).status, 0);
    let _ = cluster.container("a", "c1", "one");
    let message = status("one").on(&cluster).failed(50);
    assert!(
        message.contains("no ipv4 address is free"),
        "cni_2_33: {message}"
    );
    // ADD is asked all the same, and says the truth; DEL works; then there is room again.
    cluster.lab.container("a", "c2").unwrap();
    let add = Call::new("ADD", "c2").with("name", json!("one"));
    let _ = add.on(&cluster).failed(101);
    let del = Call::new("DEL", "c2").with("name", json!("one"));
    assert_eq!(del.on(&cluster).status, 0, "cni_2_35");
    let config = tombolo_lab::Lab::config("one");
    cluster.lab.detach("a", "c1", &config).unwrap();
    assert_eq!(status("one").on(&cluster).status, 0);
}

#[test]
fn cni_2_32_status_tells_when_containers_that_are_there_suffer() {
    let cluster = one_host("cni-suffer");
    let _ = added(&cluster, "c1");
    // Without the underlay's interface the tunnel cannot be made again.
    let _ = cluster.sh(
        "a",
        "ip link set eth0 down; ip link set eth0 name other0; ip link del tbx4096",
    );
    let message = cluster.until("STATUS tells it", || {
        let answer = Call::new("STATUS", "x").on(&cluster);
        (answer.status != 0).then(|| answer.failed(51))
    });
    assert!(message.contains("tbx4096"), "{message}");
}

#[test]
fn cni_2_34_nothing_needs_status_or_gc_to_be_called() {
    let cluster = one_host("cni-unasked");
    let _ = added(&cluster, "c1");
    assert_eq!(Call::new("DEL", "c1").on(&cluster).status, 0);
    nothing_left(&cluster);
    for (command, version) in [("GC", "1.0.0"), ("STATUS", "1.0.0"), ("CHECK", "0.3.1")] {
        let call = Call::new(command, "c1")
            .variable("CNI_PATH", "/opt/cni/bin")
            .with("cniVersion", json!(version))
            .with("prevResult", json!({}));
        let message = call.on(&cluster).failed(1);
        assert!(message.contains(version), "{message}");
    }
}

#[test]
fn an_agent_that_hangs_is_code_11_within_seconds() {
    let lab = lab("cni-hangs", &Shape::hosts(1));
    lab.container("a", "c1").unwrap();
    // It accepts, reads, and says nothing.
    let mute = lab
        .spawn(
            "a",
            &[
                "socat",
                "UNIX-LISTEN:/run/mute.sock,fork",
                "SYSTEM:cat > /dev/null; sleep 60",
            ],
        )
        .unwrap();
    let listens = "until [ -S /run/mute.sock ]; do :; done";
    lab.output("a", &["sh", "-c", listens]).unwrap();
    for command in ["ADD", "DEL"] {
        let call = Call::new(command, "c1").with("socket", json!("/run/mute.sock"));
        let begun = Instant::now();
        let message = call.on_lab(&lab, call.config.to_string()).failed(11);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(8), "{command}: {took:?}");
        assert!(message.contains("took too long"), "{message}");
    }
    drop(mute);
}

#[test]
fn capabilities_are_met_or_refused() {
    let cluster = one_host("cni-caps");
    for container in ["c1", "c2", "c3"] {
        cluster.lab.container("a", container).unwrap();
    }
    let add = |container: &str, runtime: Value| {
        Call::new("ADD", container)
            .with("dns", json!({"nameservers": ["192.0.2.1"]}))
            .with("runtimeConfig", runtime)
    };
    let ranges = json!({"ipRanges": [[{"subnet": "10.244.0.0/16", "rangeStart": "10.244.200.5", "rangeEnd": "10.244.200.6"}]],
        "dns": {"servers": ["192.0.2.53"], "searches": ["example.org"]},
        "mac": "02:11:22:33:44:55"});
    let result = add("c1", ranges).on(&cluster).succeeded();
    let given = addresses(&result);
    assert!(given[0].starts_with("10.244.200."), "{given:?}");
    assert_eq!(
        result["dns"],
        json!({"nameservers": ["192.0.2.53"], "search": ["example.org"]})
    );
    let mac = cluster.sh("a/c1", "ip -br link show eth0");
    assert!(mac.contains("02:11:22:33:44:55"), "{mac}");
    for (runtime, code, sign) in [
        (json!({"bandwidth": {"ingressRate": 1000}}), 2, "bandwidth"),
        (
            json!({"ipRanges": [[{"subnet": "192.0.2.0/24"}]]}),
            7,
            "192.0.2.0 is in no pool",
        ),
        (
            json!({"ipRanges": [[{"subnet": "10.244.0.0/16", "rangeStart": "10.9.0.1"}]]}),
            7,
            "10.9.0.1 is not in subnet",
        ),
        (
            json!({"ipRanges": [[{"subnet": "10.244.0.0/16", "gateway": "10.244.0.1"}]]}),
            7,
            "gateway 10.244.0.1 cannot be chosen",
        ),
    ] {
        let message = add("c2", runtime.clone()).on(&cluster).failed(code);
        assert!(message.contains(sign), "{runtime}: {message}");
    }
    // What `args` asks for goes before CNI_ARGS.
    let asked = Call::new("ADD", "c3")
        .variable("CNI_ARGS", "IP=10.244.9.9")
        .with("args", json!({"cni": {"ips": ["10.244.8.8"]}}));
    let given = addresses(&asked.on(&cluster).succeeded());
    assert_eq!(given[0], "10.244.8.8");
}

#[test]
fn cni_5_7_the_previous_result_takes_the_shape_of_the_version() {
    let cluster = one_host("cni-shape");
    cluster.lab.container("a", "c1").unwrap();
    let previous = json!({"cniVersion": "1.1.0",
        "interfaces": [{"name": "dummy0", "mtu": 1400, "sandbox": "/run/netns/c1"}],
        "ips": [{"address": "192.0.2.7/24", "interface": 0}],
        "routes": [{"dst": "198.51.100.0/24", "mtu": 1400, "priority": 5}]});
    let call = Call::new("ADD", "c1")
        .with("cniVersion", json!("0.4.0"))
        .with("prevResult", previous);
    let result = call.on(&cluster).succeeded();
    assert_eq!(result["ips"][0]["version"], "4", "{result}");
    assert_eq!(result["ips"][0]["interface"], 0);
    assert!(result["interfaces"][0].get("mtu").is_none(), "{result}");
    assert!(result["routes"][0].get("priority").is_none(), "{result}");
    let ours = result["ips"][1]["interface"].as_u64().unwrap() as usize;
    assert_eq!(result["interfaces"][ours]["name"], "eth0", "{result}");
    let mut elsewhere = result.clone();
    elsewhere["interfaces"][ours]["sandbox"] = json!("/run/netns/other");
    let check = Call::new("CHECK", "c1")
        .with("cniVersion", json!("0.4.0"))
        .with("prevResult", elsewhere);
    assert!(check.on(&cluster).failed(100).contains("/run/netns/other"));
    let mut nameless = result;
    nameless["interfaces"] = json!([]);
    let check = Call::new("CHECK", "c1")
        .with("cniVersion", json!("0.4.0"))
        .with("prevResult", nameless);
    assert!(
        check
            .on(&cluster)
            .failed(100)
            .contains("does not list interface eth0")
    );
}
