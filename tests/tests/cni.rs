//! The CNI specification, sentence by sentence, where it takes a kernel and an agent to see it. The
//! numbers are those of `spec/cni-1.1.toml`.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tombolo_tests::plugin::{Call, added, nothing_left, one_host};
use tombolo_tests::{Shape, addresses, lab};

#[test]
fn cni_2_7_add_prints_a_result_that_is_true() {
    let cluster = one_host("cni-add");
    let result = added(&cluster, "c1");
    assert_eq!(result["cniVersion"], "1.1.0", "cni_5_1");
    let interfaces = result["interfaces"].as_array().unwrap();
    let inside = interfaces.iter().position(|i| i["name"] == "eth0").unwrap();
    assert_eq!(interfaces[inside]["sandbox"], "/run/netns/c1");
    assert_eq!(interfaces[1 - inside]["sandbox"], "");
    let seen: Value = serde_json::from_str(&cluster.sh("a/c1", "ip -j addr show eth0")).unwrap();
    assert_eq!(interfaces[inside]["mac"], seen[0]["address"]);
    assert_eq!(interfaces[inside]["mtu"], seen[0]["mtu"]);
    let host = interfaces[1 - inside]["name"].as_str().unwrap();
    assert!(cluster.sh("a", "ip -o link").contains(host));
    for ip in result["ips"].as_array().unwrap() {
        assert_eq!(ip["interface"], inside);
        let (address, length) = ip["address"].as_str().unwrap().split_once('/').unwrap();
        let length: u64 = length.parse().unwrap();
        let found = seen[0]["addr_info"].as_array().unwrap().iter();
        let found = found.filter(|a| a["local"] == address && a["prefixlen"] == length);
        assert_eq!(found.count(), 1, "{ip} is not in {seen}");
    }
    let routes = cluster.sh("a/c1", "ip route; ip -6 route");
    for route in result["routes"].as_array().unwrap() {
        let gateway = route["gw"].as_str().unwrap();
        assert!(
            routes.contains(&format!("default via {gateway}")),
            "{route} is not in {routes}"
        );
    }
}

#[test]
fn cni_2_4_success_is_status_0_and_failure_is_not() {
    let cluster = one_host("cni-status");
    let _ = added(&cluster, "c1");
    let failed = Call::new("ADD", "c1").on(&cluster);
    assert_eq!(failed.status, 1);
    assert!(failed.json["msg"].is_string(), "{}", failed.text);
}

#[test]
fn cni_2_8_add_passes_the_previous_result_on() {
    let cluster = one_host("cni-prev");
    cluster.lab.container("a", "c1").unwrap();
    let previous = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "other0", "sandbox": "/run/netns/c1"}],
        "ips": [{"address": "192.0.2.9/24", "interface": 0}],
        "routes": [{"dst": "198.51.100.0/24"}],
        "dns": {"nameservers": ["192.0.2.53"]}
    });
    let result = Call::new("ADD", "c1")
        .with("prevResult", previous.clone())
        .on(&cluster)
        .succeeded();
    for list in ["interfaces", "ips", "routes"] {
        assert_eq!(result[list][0], previous[list][0], "{list}");
        assert!(result[list].as_array().unwrap().len() > 1, "{list}");
    }
    assert_eq!(result["dns"], previous["dns"]);
    let index = result["ips"][1]["interface"].as_u64().unwrap();
    assert_eq!(
        result["interfaces"][usize::try_from(index).unwrap()]["name"],
        "eth0"
    );
}

#[test]
fn cni_2_9_add_refuses_an_interface_that_is_there() {
    let cluster = one_host("cni-exists");
    cluster.lab.container("a", "c1").unwrap();
    let _ = cluster.sh("a/c1", "ip link add eth0 type veth peer name p0");
    let message = Call::new("ADD", "c1").on(&cluster).failed(102);
    assert!(
        message.contains("has an interface eth0 already"),
        "{message}"
    );
    assert!(
        cluster.sh("a/c1", "ip -o link").contains("p0"),
        "what was there was touched"
    );
    nothing_left(&cluster);
}

#[test]
fn cni_2_11_add_needs_its_variables() {
    let cluster = one_host("cni-vars");
    for variable in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
        let message = Call::new("ADD", "c1")
            .without(variable)
            .on(&cluster)
            .failed(4);
        assert!(message.contains(variable), "{message}");
    }
    let message = Call::new("ADD", "c1").on(&cluster).failed(7);
    assert!(
        message.contains("no network namespace at /run/netns/c1"),
        "{message}"
    );
}

#[test]
fn cni_2_29_check_needs_its_variables() {
    let cluster = one_host("cni-check-vars");
    for variable in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
        let message = Call::new("CHECK", "c1")
            .without(variable)
            .on(&cluster)
            .failed(4);
        assert!(message.contains(variable), "{message}");
    }
}

#[test]
fn cni_2_16_del_is_idempotent() {
    let cluster = one_host("cni-del");
    let _ = added(&cluster, "c1");
    for _ in 0..3 {
        let answer = Call::new("DEL", "c1").on(&cluster);
        assert_eq!((answer.status, answer.text.as_str()), (0, ""));
    }
    assert!(!cluster.sh("a/c1", "ip -o link").contains("eth0"));
    assert!(
        cluster.sh("a", "ls /run/netns").contains("c1"),
        "DEL removed the namespace"
    );
    nothing_left(&cluster);
}

#[test]
fn cni_2_15_del_succeeds_when_the_namespace_is_gone() {
    let cluster = one_host("cni-gone");
    let _ = added(&cluster, "c1");
    cluster.lab.remove_container("a", "c1").unwrap();
    let _ = Call::new("DEL", "c1").on(&cluster).succeeded();
    let _ = Call::new("DEL", "never-seen").on(&cluster).succeeded();
    nothing_left(&cluster);
}

#[test]
fn cni_2_17_del_does_not_need_the_namespace() {
    let cluster = one_host("cni-del-vars");
    let _ = added(&cluster, "c1");
    for variable in ["CNI_CONTAINERID", "CNI_IFNAME"] {
        let message = Call::new("DEL", "c1")
            .without(variable)
            .on(&cluster)
            .failed(4);
        assert!(message.contains(variable), "{message}");
    }
    let changed = Call::new("DEL", "c1")
        .without("CNI_NETNS")
        .with("name", json!("another"))
        .with("isGateway", json!(true))
        .with("runtimeConfig", json!({"mac": "nonsense"}));
    let _ = changed.on(&cluster).succeeded();
    nothing_left(&cluster);
}

#[test]
fn cni_2_18_check_compares_with_the_previous_result() {
    let cluster = one_host("cni-check");
    let result = added(&cluster, "c1");
    let message = Call::new("CHECK", "c1").on(&cluster).failed(7);
    assert!(message.contains("prevResult"), "{message}");
    let mut other = result;
    other["ips"][0]["address"] = json!("192.0.2.1/32");
    let message = Call::new("CHECK", "c1")
        .with("prevResult", other)
        .on(&cluster)
        .failed(100);
    assert!(
        message.contains("prevResult does not list 10.244."),
        "{message}"
    );
    let call = Call::new("CHECK", "unknown").with("prevResult", json!({}));
    assert!(call.on(&cluster).failed(3).contains("id-unknown"));
}

#[test]
fn cni_2_23_check_works_right_after_add() {
    let cluster = one_host("cni-check-now");
    let result = added(&cluster, "c1");
    for _ in 0..20 {
        let answer = Call::new("CHECK", "c1")
            .with("prevResult", result.clone())
            .on(&cluster);
        assert_eq!((answer.status, answer.text.as_str()), (0, ""), "cni_5_19");
    }
}

#[test]
fn cni_2_19_check_allows_what_later_plugins_change() {
    let cluster = one_host("cni-later");
    let result = added(&cluster, "c1");
    let _ = cluster.sh(
        "a/c1",
        "ip route add 198.51.100.0/24 dev eth0; ip addr add 192.0.2.7/32 dev eth0; ip link set eth0 address 02:00:00:00:00:99",
    );
    let _ = Call::new("CHECK", "c1")
        .with("prevResult", result)
        .on(&cluster)
        .succeeded();
    assert!(
        cluster.pings("a/c1", "203.0.113.1"),
        "the container is cut off"
    );
    assert!(
        cluster.pings("a/c1", "2001:db8:113::1"),
        "the container is cut off"
    );
}

#[test]
fn cni_2_20_check_finds_what_is_missing() {
    for (damage, sign) in [
        ("ip addr flush dev eth0 scope global", "address 10.244."),
        ("ip route del default", "route 0.0.0.0/0"),
    ] {
        let cluster = one_host("cni-damage");
        let result = added(&cluster, "c1");
        // The agent repairs it as soon as it sees it, so it is damaged as often as can be.
        let damages = format!("while :; do {damage} 2>/dev/null; done");
        let damages = ["sh", "-c", &damages];
        let damages = cluster.lab.spawn("a/c1", &damages).unwrap();
        let message = cluster.until("CHECK finds it", || {
            let call = Call::new("CHECK", "c1").with("prevResult", result.clone());
            let answer = call.on(&cluster);
            (answer.status != 0).then(|| answer.failed(100))
        });
        drop(damages);
        assert!(message.contains(sign), "{damage}: {message}");
    }
}

#[test]
fn cni_3_4_many_at_once() {
    let cluster = one_host("cni-many");
    let count = 30;
    let all = |command: &str| {
        std::thread::scope(|scope| {
            let calls: Vec<_> = (0..count)
                .map(|n| {
                    let call = Call::new(command, &format!("m{n}"));
                    let cluster = &cluster;
                    scope.spawn(move || call.on(cluster).succeeded())
                })
                .collect();
            calls
                .into_iter()
                .map(|call| call.join().unwrap())
                .collect::<Vec<Value>>()
        })
    };
    for n in 0..count {
        cluster.lab.container("a", &format!("m{n}")).unwrap();
    }
    let mut given: Vec<String> = all("ADD").iter().flat_map(addresses).collect();
    given.sort();
    let before = given.len();
    given.dedup();
    assert_eq!(
        (given.len(), before),
        (2 * count, 2 * count),
        "an address was given twice"
    );
    all("DEL");
    nothing_left(&cluster);
}

#[test]
fn cni_5_1_the_result_is_of_the_version_that_was_asked_for() {
    let cluster = one_host("cni-versions");
    for (n, version) in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"].into_iter().enumerate() {
        let container = format!("v{n}");
        cluster.lab.container("a", &container).unwrap();
        let call = Call::new("ADD", &container).with("cniVersion", json!(version));
        let result = call.on(&cluster).succeeded();
        assert_eq!(result["cniVersion"], version);
        let has_family = result["ips"][0].get("version").is_some();
        assert_eq!(has_family, version.starts_with("0."), "cni_5_16: {result}");
        let has_mtu = result["interfaces"][0].get("mtu").is_some();
        assert_eq!(has_mtu, version == "1.1.0", "cni_5_2: {result}");
    }
    let call = Call::new("ADD", "v9").with("cniVersion", json!("0.2.0"));
    assert!(call.on(&cluster).failed(1).contains("0.2.0"));
}

#[test]
fn cni_5_10_version_says_what_is_spoken() {
    let lab = lab("cni-version", &Shape::hosts(1));
    let mut call = Call::new("VERSION", "x");
    call.environment.truncate(1);
    let answer = call
        .on_lab(&lab, json!({"cniVersion": "1.0.0"}).to_string())
        .succeeded();
    assert_eq!(answer["cniVersion"], "1.0.0");
    assert_eq!(
        answer["supportedVersions"],
        json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
    );
}

#[test]
fn cni_5_18_an_agent_that_is_down_is_code_11_within_a_second() {
    let lab = lab("cni-down", &Shape::hosts(1));
    lab.container("a", "c1").unwrap();
    for command in ["ADD", "DEL", "CHECK"] {
        let call = Call::new(command, "c1").with("prevResult", json!({}));
        let begun = Instant::now();
        let message = call.on_lab(&lab, call.config.to_string()).failed(11);
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{command}: {:?}",
            begun.elapsed()
        );
        assert!(message.contains("is it running?"), "{message}");
    }
    let call = Call::new("STATUS", "c1");
    assert!(
        call.on_lab(&lab, call.config.to_string())
            .failed(50)
            .contains("tombolo.sock")
    );
}

#[test]
fn what_is_no_configuration_is_told_as_json() {
    let lab = lab("cni-bad", &Shape::hosts(1));
    let add = Call::new("ADD", "c1");
    for (input, code) in [
        ("", 6),
        ("{", 6),
        ("[1]", 6),
        (r#"{"cniVersion":"1.1.0"}"#, 7),
        (r#"{"cniVersion":"1.1.0","name":"a b"}"#, 7),
        (r#"{"cniVersion":"1.1.0","name":"n","isGateway":true}"#, 2),
        (
            r#"{"cniVersion":"1.1.0","name":"n","runtimeConfig":{"portMappings":7}}"#,
            7,
        ),
        (
            r#"{"cniVersion":"1.1.0","name":"n","runtimeConfig":{"mac":"nope"}}"#,
            7,
        ),
        (r#"{"cniVersion":"9.0.0","name":"n"}"#, 1),
    ] {
        let _ = add.on_lab(&lab, input.to_owned()).failed(code);
    }
    let unknown = Call::new("JUMP", "c1");
    assert!(
        unknown
            .on_lab(&lab, "{}".to_owned())
            .failed(4)
            .contains("JUMP")
    );
}
