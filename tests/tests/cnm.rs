//! The Docker plugin, call by call: Docker's side is played by hand, the kernel is the judge.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use serde_json::{Value, json};
use tombolo_tests::cnm::{Plugin, network, post};
use tombolo_tests::{Cluster, Shape};

const SUBNET: (&str, &str) = ("10.90.0.0/24", "10.90.0.1/24");

fn endpoint(network: &str, id: &str, address: &str, mac: &str) -> Value {
    json!({"NetworkID": network, "EndpointID": id,
           "Interface": {"Address": address, "AddressIPv6": "", "MacAddress": mac},
           "Options": {"com.docker.network.endpoint.exposedports": [],
                       "com.docker.network.portmap": []}})
}

fn join(network: &str, id: &str) -> Value {
    json!({"NetworkID": network, "EndpointID": id,
           "SandboxKey": format!("/var/run/docker/netns/{id}"), "Options": {}})
}

fn named(network: &str, id: &str) -> Value {
    json!({"NetworkID": network, "EndpointID": id})
}

/// A container of a network: its address is asked for, its endpoint made, joined and plugged.
fn container(
    plugin: &Plugin<'_>,
    network: &str,
    pool: &str,
    name: &str,
    mac: &str,
) -> (String, Value) {
    let asked = plugin.done(
        "/IpamDriver.RequestAddress",
        &json!({"PoolID": pool, "Address": "", "Options": {
            "com.docker.network.endpoint.macaddress": mac}}),
    );
    let address = asked["Address"].as_str().unwrap().to_owned();
    plugin.done(
        "/NetworkDriver.CreateEndpoint",
        &endpoint(network, name, &address, mac),
    );
    let joined = plugin.done("/NetworkDriver.Join", &join(network, name));
    plugin.plug(name, &[&address], &joined);
    (address, joined)
}

fn gone(plugin: &Plugin<'_>, network: &str, name: &str, joined: &Value) {
    plugin.unplug(name, joined);
    plugin.done("/NetworkDriver.Leave", &named(network, name));
    plugin.done("/NetworkDriver.DeleteEndpoint", &named(network, name));
}

fn bare(address: &str) -> &str {
    address.split('/').next().unwrap()
}

/// The first container of two hosts' network, from nothing to nothing.
#[test]
fn libnetwork_8_one_container_from_nothing_to_nothing() {
    let cluster = Cluster::up("cnm-one", &Shape::hosts(2));
    let (a, b) = (Plugin::start(&cluster, "a"), Plugin::start(&cluster, "b"));
    let options = json!({"network": "blue"});
    let pool = json!({"AddressSpace": "tombolo-local", "Pool": SUBNET.0, "SubPool": "",
                      "Options": null, "V6": false});
    let pool = a.done("/IpamDriver.RequestPool", &pool)["PoolID"].clone();
    let pool = pool.as_str().unwrap();
    let gateway = json!({"PoolID": pool, "Address": "", "Options": {
        "RequestAddressType": "com.docker.network.gateway"}});
    assert_eq!(
        a.done("/IpamDriver.RequestAddress", &gateway)["Address"],
        SUBNET.1
    );
    a.done(
        "/NetworkDriver.CreateNetwork",
        &network("n-a", SUBNET, &options),
    );
    b.done(
        "/NetworkDriver.CreateNetwork",
        &network("n-b", SUBNET, &options),
    );
    let (first, joined) = container(&a, "n-a", pool, "c1", "02:42:00:00:00:01");
    let (second, other) = container(&b, "n-b", pool, "c2", "02:42:00:00:00:02");
    assert!(cluster.pings("a/c1", bare(&second)), "{}", a.transcript());
    assert!(cluster.pings("b/c2", bare(&first)));
    assert!(cluster.pings("a/c1", "10.90.0.1"));
    assert!(cluster.fits("a/c1", bare(&second), 1450));
    let inside = cluster.sh("a/c1", "ip -o link show eth0");
    assert!(
        inside.contains("02:42:00:00:00:01") && inside.contains("mtu 1450"),
        "{inside}"
    );
    let info = a.done("/NetworkDriver.EndpointOperInfo", &named("n-a", "c1"));
    assert_eq!(
        info["Value"]["com.docker.network.endpoint.macaddress"],
        "02:42:00:00:00:01"
    );
    // Whoever is left on another host is named.
    gone(&a, "n-a", "c1", &joined);
    let error = a.refused("/NetworkDriver.DeleteNetwork", &named("n-a", ""));
    for word in ["blue", "c2", "node b", bare(&second)] {
        assert!(error.contains(word), "{error}");
    }
    gone(&b, "n-b", "c2", &other);
    let release = json!({"PoolID": pool, "Address": bare(&first)});
    a.done("/IpamDriver.ReleaseAddress", &release);
    a.done("/NetworkDriver.DeleteNetwork", &named("n-a", ""));
    a.done("/IpamDriver.ReleasePool", &json!({"PoolID": pool}));
    b.done("/NetworkDriver.DeleteNetwork", &named("n-b", ""));
    for kind in ["networks", "ippools", "ipreservations", "endpoints"] {
        let left = cluster.json("a", &["get", kind, "-o", "json"]);
        let text = left.to_string();
        assert!(
            !text.contains("blue") && !text.contains("c1"),
            "{kind}: {text}"
        );
    }
    cluster.settle();
    let links = cluster.sh("a", "ip -o link");
    assert!(!links.contains("tbv") && !links.contains("tbc"), "{links}");
    compare(&a.transcript(), "cnm-one-container.txt");
}

/// Compares with what is expected; `TOMBOLO_REWRITE=1` writes it anew.
fn compare(transcript: &str, file: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("cases")
        .join(file);
    if std::env::var_os("TOMBOLO_REWRITE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, transcript).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(transcript, expected, "{}", path.display());
}
