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
    let options = json!({"network": "blue", "egress": "network"});
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

/// A network of one host, of our IPAM.
fn one_network(plugin: &Plugin<'_>, id: &str, subnet: (&str, &str), options: &Value) {
    plugin.done(
        "/NetworkDriver.CreateNetwork",
        &network(id, subnet, options),
    );
}

#[test]
fn libnetwork_9_the_same_call_twice_and_calls_out_of_order() {
    let cluster = Cluster::up("cnm-order", &Shape::hosts(1));
    let a = Plugin::start(&cluster, "a");
    let options = json!({"network": "blue"});
    let create = network("n", SUBNET, &options);
    one_network(&a, "n", SUBNET, &options);
    one_network(&a, "n", SUBNET, &options);
    let other = network("n", ("10.91.0.0/24", "10.91.0.1/24"), &options);
    let error = a.refused("/NetworkDriver.CreateNetwork", &other);
    assert!(error.contains("exists already"), "{error}");
    let other = network("m", ("10.91.0.0/24", "10.91.0.1/24"), &options);
    let error = a.refused("/NetworkDriver.CreateNetwork", &other);
    assert!(
        error.contains("network blue exists, with 10.90.0.0/24"),
        "{error}"
    );
    // Nothing is known of what was never made.
    for call in ["Join", "Leave", "EndpointOperInfo"] {
        let error = a.refused(&format!("/NetworkDriver.{call}"), &join("n", "e1"));
        assert!(error.contains("e1"), "{call}: {error}");
    }
    a.done("/NetworkDriver.DeleteEndpoint", &named("n", "e1"));
    a.done(
        "/NetworkDriver.RevokeExternalConnectivity",
        &named("n", "e1"),
    );
    a.done("/NetworkDriver.DeleteNetwork", &named("unknown", ""));
    let odd = endpoint("unknown", "e1", "10.90.0.9/24", "");
    let error = a.refused("/NetworkDriver.CreateEndpoint", &odd);
    assert!(error.contains("network unknown is not known"), "{error}");
    // An endpoint twice, without an address, and with one that is taken.
    let made = a.done(
        "/NetworkDriver.CreateEndpoint",
        &endpoint("n", "e1", "", ""),
    );
    let address = made["Interface"]["Address"].as_str().unwrap().to_owned();
    assert!(
        address.starts_with("10.90.0.") && address.ends_with("/24"),
        "{made}"
    );
    assert_ne!(made["Interface"]["MacAddress"], "");
    let error = a.refused(
        "/NetworkDriver.CreateEndpoint",
        &endpoint("n", "e1", "", ""),
    );
    assert!(error.contains("detach it first"), "{error}");
    let error = a.refused(
        "/NetworkDriver.CreateEndpoint",
        &endpoint("n", "e2", &address, ""),
    );
    assert!(error.contains(bare(&address)), "{error}");
    // A network in use, and an endpoint that leaves twice and is deleted while it is joined.
    let error = a.refused("/NetworkDriver.DeleteNetwork", &named("n", ""));
    assert!(error.contains("e1") && error.contains("node a"), "{error}");
    // Docker forgets it all the same, and may say again what it was.
    a.done("/NetworkDriver.CreateNetwork", &create);
    a.done("/NetworkDriver.Join", &join("n", "e1"));
    a.done("/NetworkDriver.Join", &join("n", "e1"));
    a.done("/NetworkDriver.DeleteEndpoint", &named("n", "e1"));
    let error = a.refused("/NetworkDriver.Leave", &named("n", "e1"));
    assert!(error.contains("e1"), "{error}");
    a.done("/NetworkDriver.DeleteNetwork", &named("n", ""));
    let left = cluster
        .json("a", &["get", "networks", "-o", "json"])
        .to_string();
    assert!(!left.contains("blue"), "{left}");
    let links = cluster.sh("a", "ip -o link");
    assert!(!links.contains("tbc"), "{links}");
}

#[test]
fn libnetwork_4_bad_requests_leave_nothing_behind() {
    let cluster = Cluster::up("cnm-bad", &Shape::hosts(1));
    let a = Plugin::start(&cluster, "a");
    let before = cluster.status("a")["seenRevision"].clone();
    let underlay = format!("{}/24", cluster.lab.address("a").unwrap());
    for (subnet, options, word) in [
        (SUBNET, json!({"colour": "red"}), "option colour"),
        (
            SUBNET,
            json!({"driver": "carrier-pigeon"}),
            "carrier-pigeon",
        ),
        (SUBNET, json!({"transport": "pigeon"}), "pigeon"),
        (SUBNET, json!({"mtu": "1"}), "mtu"),
        (SUBNET, json!({"driver": "bridge", "vni": "7"}), "vni"),
        (
            (underlay.as_str(), ""),
            json!({"driver": "routed"}),
            "by which node a is reached",
        ),
        (
            ("10.244.0.0/16", ""),
            json!({"driver": "routed"}),
            "overlaps",
        ),
    ] {
        // Both at once: with a name, and before there is one.
        for named in [false, true] {
            let mut options = options.clone();
            if named {
                options["network"] = "blue".into();
            }
            let error = a.refused(
                "/NetworkDriver.CreateNetwork",
                &network("n", subnet, &options),
            );
            assert!(error.contains(word), "{options}: {error}");
        }
    }
    for (path, body) in [
        ("/NetworkDriver.CreateNetwork", "{\"NetworkID\": 7}"),
        ("/NetworkDriver.Join", "{"),
        ("/IpamDriver.RequestAddress", "[]]"),
    ] {
        assert_eq!(a.post(path, body).0, 400, "{path}");
    }
    // A connection is good for many calls, bad ones among them.
    let mut connection = a.connect();
    for (path, status) in [
        ("/Plugin.Activate", 200),
        ("/Plugin.Foo", 404),
        ("/Plugin.Activate", 200),
    ] {
        assert_eq!(post(&mut connection, path, "").0, status);
    }
    assert_eq!(cluster.status("a")["seenRevision"], before);
}

#[test]
fn libnetwork_18_ports_are_published_and_withdrawn() {
    let cluster = Cluster::up("cnm-ports", &Shape::hosts(2));
    let a = Plugin::start(&cluster, "a");
    one_network(
        &a,
        "n",
        SUBNET,
        &json!({"network": "blue", "egress": "network"}),
    );
    let (_, joined) = container(&a, "n", SUBNET.0, "c1", "02:42:00:00:00:01");
    let _server = cluster
        .lab
        .spawn(
            "a/c1",
            &[
                "socat",
                "TCP4-LISTEN:80,fork,reuseaddr",
                "SYSTEM:echo hello",
            ],
        )
        .unwrap();
    let _ = cluster.sh("a/c1", "until ss -lnt | grep -q ':80 '; do :; done");
    let publish = |id: &str, host: u16, end: u16| {
        json!({"NetworkID": "n", "EndpointID": id, "Options": {
            "com.docker.network.portmap": [{"Proto": 6, "IP": "", "Port": 80, "HostIP": "",
                "HostPort": host, "HostPortEnd": end}]}})
    };
    let program = "/NetworkDriver.ProgramExternalConnectivity";
    a.done(program, &publish("c1", 8080, 8080));
    let ask = |port: u16| {
        let address = cluster.lab.address("a").unwrap();
        let script = format!("socat -T2 - TCP4:{address}:{port},connect-timeout=1 < /dev/null");
        String::from_utf8(cluster.try_sh("b", &script).stdout).unwrap()
    };
    assert_eq!(ask(8080).trim(), "hello");
    // The next one takes the next of its range; one without a choice is told who has it.
    let (_, other) = container(&a, "n", SUBNET.0, "c2", "02:42:00:00:00:02");
    let error = a.refused(program, &publish("c2", 8080, 8080));
    assert!(
        error.contains("8080/tcp") && error.contains("c1"),
        "{error}"
    );
    a.done(program, &publish("c2", 8080, 8090));
    let published = cluster
        .json("a", &["get", "endpoints", "-o", "json"])
        .to_string();
    assert!(published.contains("8081"), "{published}");
    a.done(
        "/NetworkDriver.RevokeExternalConnectivity",
        &named("n", "c1"),
    );
    assert_eq!(ask(8080).trim(), "");
    gone(&a, "n", "c1", &joined);
    gone(&a, "n", "c2", &other);
}

#[test]
fn libnetwork_14_a_routed_network_and_an_internal_one() {
    let cluster = Cluster::up("cnm-routed", &Shape::hosts(2));
    let (a, b) = (Plugin::start(&cluster, "a"), Plugin::start(&cluster, "b"));
    let options =
        json!({"network": "far", "driver": "routed", "transport": "vxlan", "mtu": "1400"});
    let subnet = ("10.92.0.0/16", "10.92.0.1/16");
    one_network(&a, "n", subnet, &options);
    one_network(&b, "n", subnet, &options);
    let (first, joined) = container(&a, "n", subnet.0, "c1", "02:42:00:00:00:01");
    let (second, _) = container(&b, "n", subnet.0, "c2", "02:42:00:00:00:02");
    assert_eq!(
        joined["StaticRoutes"][0],
        json!({"Destination": "169.254.1.1/32", "RouteType": 1})
    );
    assert!(cluster.pings("a/c1", bare(&second)), "{joined}");
    assert!(cluster.pings("b/c2", bare(&first)));
    assert!(cluster.fits("a/c1", bare(&second), 1400));
    let mut inside = network(
        "i",
        ("10.93.0.0/24", "10.93.0.1/24"),
        &json!({"network": "in"}),
    );
    inside["Options"]["com.docker.network.internal"] = true.into();
    a.done("/NetworkDriver.CreateNetwork", &inside);
    let (_, joined) = container(&a, "i", "10.93.0.0/24", "c3", "02:42:00:00:00:03");
    assert!(joined.get("Gateway").is_none(), "{joined}");
    assert_eq!(joined["DisableGatewayService"], true);
}

#[test]
fn libnetwork_107_addresses_are_taken_once_kept_and_freed() {
    let cluster = Cluster::up("cnm-ipam", &Shape::hosts(2));
    let (a, b) = (Plugin::start(&cluster, "a"), Plugin::start(&cluster, "b"));
    let subnet = ("10.94.0.0/29", "10.94.0.1/29");
    for plugin in [&a, &b] {
        one_network(plugin, "n", subnet, &json!({"network": "small"}));
    }
    let ask = |address: &str, mac: &str| {
        json!({"PoolID": subnet.0, "Address": address, "Options": {
            "com.docker.network.endpoint.macaddress": mac}})
    };
    let path = "/IpamDriver.RequestAddress";
    let mut given: Vec<String> = (2..7)
        .map(|n| {
            let plugin = if n % 2 == 0 { &a } else { &b };
            let said = plugin.done(path, &ask("", &format!("02:42:00:00:00:0{n}")));
            said["Address"].as_str().unwrap().to_owned()
        })
        .collect();
    let second = given[0].clone();
    given.sort();
    given.dedup();
    // Of eight, three are the network's, the gateway's and the broadcast address.
    assert_eq!(given.len(), 5, "{given:?}");
    let error = a.refused(path, &ask("", "02:42:00:00:00:07"));
    assert!(
        error.contains("10.94.0.0/29") || error.contains("small"),
        "{error}"
    );
    let error = b.refused(path, &ask(bare(&second), "02:42:00:00:00:07"));
    assert!(
        error.contains(bare(&second)) && error.contains("node a"),
        "{error}"
    );
    // Who comes back under the same link-layer address is given the same address.
    let release = json!({"PoolID": subnet.0, "Address": bare(&second)});
    a.done("/IpamDriver.ReleaseAddress", &release);
    a.done("/IpamDriver.ReleaseAddress", &release);
    assert_eq!(
        a.done(path, &ask("", "02:42:00:00:00:02"))["Address"],
        *second
    );
    // What has become an endpoint's is not given back under it.
    a.done(
        "/NetworkDriver.CreateEndpoint",
        &endpoint("n", "e", &second, "02:42:00:00:00:02"),
    );
    a.done("/IpamDriver.ReleaseAddress", &release);
    b.refused(path, &ask(bare(&second), "02:42:00:00:00:08"));
    a.done("/NetworkDriver.DeleteEndpoint", &named("n", "e"));
    assert_eq!(
        b.done(path, &ask(bare(&second), "02:42:00:00:00:08"))["Address"],
        *second
    );
}

#[test]
fn libnetwork_105_a_subnet_that_nobody_named_is_nobody_elses() {
    let cluster = Cluster::up("cnm-pools", &Shape::hosts(1));
    let a = Plugin::start(&cluster, "a");
    let ask = |v6: bool| {
        let body = json!({"AddressSpace": "tombolo-global", "Pool": "", "SubPool": "",
                          "Options": {}, "V6": v6});
        let said = a.done("/IpamDriver.RequestPool", &body);
        said["Pool"].as_str().unwrap().to_owned()
    };
    let (first, second) = (ask(false), ask(false));
    assert_ne!(first, second);
    let (third, fourth) = (ask(true), ask(true));
    assert!(
        third.starts_with("fd") && third.ends_with("::/64"),
        "{third}"
    );
    assert_ne!(third, fourth);
    // One that a network names is that network's, with its gateway.
    one_network(&a, "n", SUBNET, &json!({"network": "blue"}));
    let body = json!({"AddressSpace": "tombolo-local", "Pool": "", "SubPool": "",
                      "Options": {"network": "blue"}, "V6": false});
    let said = a.done("/IpamDriver.RequestPool", &body);
    assert_eq!(said["Pool"], SUBNET.0);
    assert_eq!(said["Data"]["com.docker.network.gateway"], SUBNET.1);
    let none = json!({"Pool": "", "Options": {"network": "blue"}, "V6": true});
    let error = a.refused("/IpamDriver.RequestPool", &none);
    assert!(error.contains("network blue has no ipv6 range"), "{error}");
}

#[test]
fn two_networks_of_one_subnet_share_no_address_by_mistake() {
    let cluster = Cluster::up("cnm-twins", &Shape::hosts(1));
    let a = Plugin::start(&cluster, "a");
    for name in ["blue", "red"] {
        one_network(&a, name, SUBNET, &json!({"network": name}));
    }
    let (first, _) = container(&a, "blue", SUBNET.0, "c1", "02:42:00:00:00:01");
    let (second, _) = container(&a, "red", SUBNET.0, "c2", "02:42:00:00:00:02");
    assert_ne!(first, second);
    assert!(!cluster.pings("a/c1", bare(&second)));
    // By name the same address is to be had in the other network too.
    let asked = json!({"PoolID": SUBNET.0, "Address": bare(&first), "Options": {
        "com.docker.network.endpoint.macaddress": "02:42:00:00:00:03"}});
    a.done("/IpamDriver.RequestAddress", &asked);
    let taken = endpoint("blue", "c3", &first, "02:42:00:00:00:03");
    let error = a.refused("/NetworkDriver.CreateEndpoint", &taken);
    assert!(error.contains("c1"), "{error}");
    a.done(
        "/NetworkDriver.CreateEndpoint",
        &endpoint("red", "c3", &first, "02:42:00:00:00:03"),
    );
    let handles = cluster.json("a", &["get", "handles", "-o", "json"]);
    let waiting = handles["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|handle| {
            let spec = &handle["spec"];
            !spec["node"].is_null()
                && spec["endpoint"].is_null()
                && spec["identity"].as_str().unwrap().starts_with("taken/")
        });
    assert_eq!(waiting.count(), 0, "{handles}");
}

#[test]
fn a_plugin_that_is_killed_knows_its_networks_and_one_without_an_engine_names_them() {
    let cluster = Cluster::up("cnm-killed", &Shape::hosts(1));
    let a = Plugin::start(&cluster, "a");
    // Nobody says how it is called: after a while it has a name all the same.
    let id = "0123456789abcdef";
    one_network(&a, id, SUBNET, &json!({}));
    a.kill();
    a.again();
    let made = || {
        let networks = cluster.json("a", &["get", "networks", "-o", "json"]);
        networks
            .to_string()
            .contains("docker-0123456789ab")
            .then_some(())
    };
    cluster.until("the network has a name", made);
    let (address, joined) = container(&a, id, SUBNET.0, "c1", "02:42:00:00:00:01");
    a.kill();
    a.again();
    assert!(cluster.pings("a/c1", "10.90.0.1"), "{address}");
    gone(&a, id, "c1", &joined);
    a.done("/NetworkDriver.DeleteNetwork", &named(id, ""));
}

#[test]
fn the_plugin_answers_while_the_agent_is_down_and_goes_on_when_it_is_back() {
    let cluster = Cluster::up("cnm-down", &Shape::hosts(1));
    let a = Plugin::start(&cluster, "a");
    one_network(&a, "n", SUBNET, &json!({"network": "blue"}));
    let (_, joined) = container(&a, "n", SUBNET.0, "c1", "02:42:00:00:00:01");
    cluster.lab.kill_agent("a").unwrap();
    let error = a.refused(
        "/NetworkDriver.CreateEndpoint",
        &endpoint("n", "c2", "", ""),
    );
    assert!(error.contains("does not answer"), "{error}");
    // Docker cannot be told that an endpoint stays, so it goes as soon as it can.
    a.unplug("c1", &joined);
    a.done("/NetworkDriver.Leave", &named("n", "c1"));
    a.done("/NetworkDriver.DeleteEndpoint", &named("n", "c1"));
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.lab.ready("a").unwrap();
    cluster.until("the endpoint is gone", || {
        let left = cluster.json("a", &["get", "endpoints", "-o", "json"]);
        left["items"].as_array().unwrap().is_empty().then_some(())
    });
    a.done(
        "/NetworkDriver.CreateEndpoint",
        &endpoint("n", "c2", "", ""),
    );
}
