use super::*;
use tombolo_model::parse::{Accept, parse_with, world_of};

const WORLD: &str = "
apiVersion: tombolo.dev/v1
kind: Node
metadata: {name: a}
spec: {addresses: [{address: 192.168.0.1/24, interface: eth0, mtu: 1500, reason: test}]}
---
apiVersion: tombolo.dev/v1
kind: Node
metadata: {name: b}
spec: {addresses: [{address: 192.168.0.2/24, interface: eth0, mtu: 1500, reason: test}]}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: p}
spec: {cidr: 10.0.0.0/16}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: default}
spec: {driver: routed, pools: [p], transport: {type: direct}}
---
apiVersion: tombolo.dev/v1
kind: NetworkPolicy
metadata: {namespace: default, name: web}
spec:
  selector: app == 'web'
  ingress:
    - {action: Allow, protocol: TCP, source: {selector: role == 'client'}, destination: {ports: [80]}}
---
apiVersion: tombolo.dev/v1
kind: NetworkPolicy
metadata: {namespace: default, name: jail}
spec: {selector: role == 'jailed', types: [Egress]}
";

fn world() -> World {
    let mut text = WORLD.to_owned();
    for (node, container, address, labels) in [
        ("a", "web", "10.0.0.1", "{app: web}"),
        ("a", "client", "10.0.0.2", "{role: client}"),
        ("b", "other", "10.0.1.1", "{}"),
        ("b", "web2", "10.0.1.2", "{app: web}"),
        ("a", "jailed", "10.0.0.3", "{role: jailed}"),
        ("b", "jailed2", "10.0.1.3", "{role: jailed}"),
    ] {
        text.push_str(&format!(
            "---\napiVersion: tombolo.dev/v1\nkind: Endpoint\nmetadata: {{namespace: default, name: {node}.{container}.eth0, labels: {labels}}}\nspec: {{node: {node}, network: default, containerID: {container}, interface: eth0, sandbox: /s, handle: h.{container}, generation: 1, addresses: [{address}], mac: 02:00:00:00:00:01}}\n"
        ));
    }
    world_of(&parse_with("t.yaml", &text, Accept::Internal).unwrap()).unwrap()
}

fn tcp(source: &str, destination: &str, port: u16) -> Tracked {
    Tracked {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: ProtocolMatch::TCP,
        source_port: Some(40_001),
        destination_port: Some(port),
        icmp: None,
    }
}

#[test]
fn each_end_is_judged_where_it_is() {
    let world = world();
    let node = Name::new("a").unwrap();
    let judge = Judge::new(&world, &node);
    let host = Scope {
        space: None,
        own: ["192.168.0.1", "10.0.0.254", "127.0.0.1"]
            .map(|own| own.parse().unwrap())
            .into(),
    };
    for (source, destination, port, denied, why) in [
        ("10.0.0.2", "10.0.0.1", 80, false, "a rule allows it"),
        ("10.0.0.2", "10.0.0.1", 81, true, "no rule allows the port"),
        (
            "10.0.1.1",
            "10.0.0.1",
            80,
            true,
            "no rule allows the source",
        ),
        ("8.8.8.8", "10.0.0.1", 80, true, "nor one outside"),
        (
            "10.0.0.2",
            "10.0.1.2",
            81,
            false,
            "the other node judges its endpoint",
        ),
        ("10.0.0.3", "10.0.1.1", 80, true, "it may not leave"),
        (
            "10.0.1.3",
            "10.0.0.2",
            80,
            false,
            "what leaves there is not judged here",
        ),
        (
            "10.0.0.3",
            "8.8.8.8",
            80,
            true,
            "it may not leave, to nobody",
        ),
        (
            "192.168.0.1",
            "10.0.0.1",
            81,
            false,
            "the host reaches its own",
        ),
        (
            "10.0.0.254",
            "10.0.0.1",
            81,
            false,
            "from all of its addresses",
        ),
        (
            "192.168.0.2",
            "10.0.0.1",
            81,
            true,
            "the other host does not",
        ),
        (
            "10.0.0.3",
            "10.0.0.254",
            53,
            true,
            "it may not leave, to the host neither",
        ),
        ("10.0.1.1", "10.0.1.2", 81, false, "neither end is here"),
        ("127.0.0.1", "127.0.0.1", 81, false, "the host with itself"),
    ] {
        let tracked = tcp(source, destination, port);
        assert_eq!(
            judge.denies(&host, &tracked),
            denied,
            "{source} {destination} {port}: {why}"
        );
    }
}

#[test]
fn an_address_is_meant_in_its_space() {
    let world = world();
    let node = Name::new("a").unwrap();
    let judge = Judge::new(&world, &node);
    let elsewhere = Scope {
        space: Some(Name::new("own").unwrap()),
        own: HashSet::new(),
    };
    assert!(!judge.denies(&elsewhere, &tcp("8.8.8.8", "10.0.0.1", 81)));
}

#[test]
fn an_echo_is_judged_as_such() {
    let world = world();
    let node = Name::new("a").unwrap();
    let judge = Judge::new(&world, &node);
    let ping = |destination| Tracked {
        protocol: ProtocolMatch::ICMP,
        source_port: None,
        destination_port: None,
        icmp: Some((8, 0)),
        ..tcp("10.0.0.2", destination, 0)
    };
    assert!(judge.denies(&Scope::default(), &ping("10.0.0.1")));
    assert!(!judge.denies(&Scope::default(), &ping("10.0.1.1")));
}
