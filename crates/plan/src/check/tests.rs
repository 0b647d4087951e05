use super::*;
use serde_json::json;
use tombolo_model::{KindName, parse};

/// The faults of a network's spec, as `field: message`.
fn faults_of(spec: &serde_json::Value) -> Vec<String> {
    let value = json!({"metadata": {"name": "n"}, "spec": spec});
    let network = AnyResource::from_value(KindName::Network, value).unwrap();
    faults(&network).iter().map(ToString::to_string).collect()
}

#[test]
fn networks_that_are_right() {
    for spec in [
        json!({"driver": "none"}),
        json!({"driver": "host"}),
        json!({"driver": "container"}),
        json!({"driver": "ptp", "pools": ["p"]}),
        json!({"driver": "bridge", "pools": ["p"]}),
        json!({"driver": "macvlan", "pools": ["p"], "macvlan": {"parent": "eth1", "hostAccess": true}}),
        json!({"driver": "macvlan", "pools": ["p"], "gateway": ["10.0.0.1", "fd00::1"], "internal": true,
               "macvlan": {"parent": "eth1", "mode": "passthru", "vlan": 4094}}),
        json!({"driver": "routed", "pools": ["p"], "transport": {"type": "direct"}}),
        json!({"driver": "routed", "pools": ["p"], "transport": {"type": "direct", "crossSubnet": true}}),
        json!({"driver": "routed", "pools": ["p"], "transport": {"type": "vxlan"}}),
        json!({"driver": "routed", "pools": ["p"],
               "transport": {"type": "vxlan", "vni": 16_777_215, "port": 65_535, "crossSubnet": true}}),
    ] {
        assert_eq!(faults_of(&spec), Vec::<String>::new(), "{spec}");
    }
}

/// Each fault names the field, the value and what is allowed.
#[test]
fn faults_of_networks() {
    let routed = |transport| json!({"driver": "routed", "pools": ["p"], "transport": transport});
    for (spec, field, parts) in [
        (
            json!({"driver": "token-ring"}),
            "spec.driver",
            [
                "token-ring is no driver",
                "none, host, container, ptp, bridge, routed, overlay, macvlan",
            ],
        ),
        (
            json!({"driver": "routed", "pools": ["p"]}),
            "spec.transport",
            ["missing: driver routed", "direct, vxlan"],
        ),
        (
            json!({"driver": "bridge", "pools": ["p"], "transport": {"type": "vxlan"}}),
            "spec.transport",
            ["driver bridge stays on its node", "remove it"],
        ),
        (
            routed(json!({"type": "pigeon"})),
            "spec.transport.type",
            ["pigeon is no transport", "direct, vxlan"],
        ),
        (
            routed(json!({"type": "direct", "vni": 1})),
            "spec.transport.vni",
            ["direct has no such option", "type, crossSubnet"],
        ),
        (
            routed(json!({"type": "vxlan", "vnid": 1})),
            "spec.transport.vnid",
            ["vxlan has no such option", "type, crossSubnet, vni, port"],
        ),
        (
            routed(json!({"type": "vxlan", "vni": 0})),
            "spec.transport.vni",
            ["0", "between 1 and 16777215"],
        ),
        (
            routed(json!({"type": "vxlan", "vni": 16_777_216})),
            "spec.transport.vni",
            ["16777216", "between 1 and 16777215"],
        ),
        (
            routed(json!({"type": "vxlan", "vni": "seven"})),
            "spec.transport.vni",
            ["\"seven\" is no number", ""],
        ),
        (
            routed(json!({"type": "vxlan", "port": 0})),
            "spec.transport.port",
            ["0 is not allowed", "between 1 and 65535"],
        ),
        (
            routed(json!({"type": "vxlan", "port": 65_536})),
            "spec.transport.port",
            ["65536 is not allowed", "between 1 and 65535"],
        ),
        (
            json!({"driver": "macvlan", "pools": ["p"]}),
            "spec.macvlan",
            ["missing", "`macvlan: {parent: eth1}`"],
        ),
        (
            json!({"driver": "bridge", "pools": ["p"], "macvlan": {"parent": "eth1"}}),
            "spec.macvlan",
            ["only driver macvlan has it", "this is bridge"],
        ),
        (
            json!({"driver": "macvlan", "pools": ["p"], "macvlan": {"parent": "tbx4096"}}),
            "spec.macvlan.parent",
            ["tbx4096 is Tombolo's own", "name an interface"],
        ),
        (
            json!({"driver": "macvlan", "pools": ["p"], "macvlan": {"parent": "lo"}}),
            "spec.macvlan.parent",
            ["lo is the loopback", "name an interface"],
        ),
        (
            json!({"driver": "macvlan", "pools": ["p"],
                   "macvlan": {"parent": "eth1", "mode": "private", "hostAccess": true}}),
            "spec.macvlan.hostAccess",
            ["in mode private nobody", "use mode bridge"],
        ),
        (
            json!({"driver": "macvlan", "pools": ["p"],
                   "macvlan": {"parent": "eth1", "mode": "vepa", "hostAccess": true}}),
            "spec.macvlan.hostAccess",
            ["in mode vepa", "use mode bridge"],
        ),
        (
            json!({"driver": "macvlan", "pools": ["p"],
                   "macvlan": {"parent": "eth1", "mode": "passthru", "hostAccess": true}}),
            "spec.macvlan.hostAccess",
            ["the parent has one container", "use mode bridge"],
        ),
        (
            routed(json!({"type": "gre", "key": -1})),
            "spec.transport.key",
            ["-1 is no key", "from 0 to 4294967295"],
        ),
        (
            routed(json!({"type": "ipip", "key": 1})),
            "spec.transport.key",
            ["ipip has no such option", "type, crossSubnet"],
        ),
        (
            json!({"driver": "ipvlan", "pools": ["p"]}),
            "spec.ipvlan",
            ["missing", "`ipvlan: {parent: eth1}`"],
        ),
        (
            json!({"driver": "vlan", "pools": ["p"]}),
            "spec.vlan",
            ["missing", "`vlan: {parent: eth1, id: 7}`"],
        ),
        (
            json!({"driver": "macvlan", "pools": ["p"], "macvlan": {"parent": "eth1"},
                   "ipvlan": {"parent": "eth1"}}),
            "spec.ipvlan",
            ["only driver ipvlan has it", "this is macvlan"],
        ),
        (
            json!({"driver": "ipvlan", "pools": ["p"],
                   "ipvlan": {"parent": "eth1", "flag": "private", "hostAccess": true}}),
            "spec.ipvlan.hostAccess",
            ["with this flag nobody", "use flag bridge"],
        ),
        (
            json!({"driver": "vlan", "pools": ["p"], "vlan": {"parent": "lo", "id": 7}}),
            "spec.vlan.parent",
            ["lo is the loopback", "name an interface"],
        ),
        (
            json!({"driver": "routed", "pools": ["p"],
                   "transport": {"type": "bgp", "crossSubnet": true}}),
            "spec.transport.crossSubnet",
            ["bgp encapsulates nothing", "or use vxlan"],
        ),
        (
            json!({"driver": "routed", "pools": ["p"], "transport": {"type": "bgp", "vni": 7}}),
            "spec.transport.vni",
            ["transport bgp has no such option", "crossSubnet"],
        ),
        (
            json!({"driver": "overlay", "pools": ["p"], "transport": {"type": "bgp"}}),
            "spec.transport.type",
            ["bgp carries packets and no frames", "use vxlan"],
        ),
        (
            json!({"driver": "fan", "pools": ["p"], "transport": {"type": "ipip"}}),
            "spec.fan",
            ["missing", "`fan: {underlay: 192.168.0.0/16}`"],
        ),
        (
            json!({"driver": "bridge", "pools": ["p"], "fan": {"underlay": "192.168.0.0/16"}}),
            "spec.fan",
            ["only driver fan has it", "remove it"],
        ),
        (
            json!({"driver": "ptp"}),
            "spec.pools",
            ["empty: driver ptp needs addresses", "name an IPPool"],
        ),
        (
            json!({"driver": "host", "pools": ["p"]}),
            "spec.pools",
            ["driver host gives no addresses", "remove the pools"],
        ),
    ] {
        let faults = faults_of(&spec);
        let [fault] = &faults[..] else {
            panic!("{spec} has {faults:?}");
        };
        assert!(fault.starts_with(&format!("{field}: ")), "{fault}");
        for part in parts {
            assert!(fault.contains(part), "{fault} does not say {part}");
        }
    }
}

#[test]
fn the_blocks_of_a_fan_have_the_size_that_follows_from_its_ranges() {
    for (pool, expected) in [
        ("{cidr: 250.0.0.0/8, blockSize: 24}", None),
        (
            "{cidr: 250.0.0.0/8}",
            Some("set blockSize of the pool to 24"),
        ),
        (
            "{cidr: 250.250.0.0/16, blockSize: 30}",
            Some("give the fan an IPv4 pool of at most /14"),
        ),
        ("{cidr: 'fd00::/64'}", Some("give the fan an IPv4 pool")),
    ] {
        let text = format!(
            "{{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {{name: p}}, spec: {pool}}}\n---\n\
             {{apiVersion: tombolo.dev/v1, kind: Network, metadata: {{name: fan}}, spec: {{driver: fan, \
             transport: {{type: ipip}}, fan: {{underlay: 192.168.0.0/16}}, pools: [p]}}}}"
        );
        let world = parse::world("t", &text).unwrap();
        let network = world.networks.values().next().unwrap().clone();
        let found = conflicts(&world, &network.into());
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        match expected {
            None => assert_eq!(told, Vec::<String>::new()),
            Some(part) => {
                assert_eq!(told.len(), 1, "{told:?}");
                assert!(told[0].contains(part), "{told:?}");
            }
        }
    }
}

#[test]
fn every_fault_is_told() {
    let spec = json!({"driver": "routed", "transport": {"type": "vxlan", "vni": 0, "x": 1}});
    assert_eq!(faults_of(&spec).len(), 3);
}

#[test]
fn other_kinds_are_none_of_its_business() {
    let text = "{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: n}, spec: {}}";
    let parsed = parse::parse("t", text).unwrap();
    assert_eq!(faults(&parsed[0].resource), []);
}
