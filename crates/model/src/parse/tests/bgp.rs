//! BGP's resources as people have them, and what of them is refused.

use super::*;
use crate::kinds::bgp::{BfdChoice, BgpPassword, NextHopMode};

/// With every field that means something here, and with what `calicoctl` prints besides.
const CALICO: &str = "
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default, creationTimestamp: '2024-01-01T00:00:00Z', uid: 7a0c, resourceVersion: '12'}
spec:
  logSeverityScreen: Info
  nodeToNodeMeshEnabled: true
  nodeMeshMaxRestartTime: 120s
  asNumber: 63400
  listenPort: 178
  serviceClusterIPs: [{cidr: 10.96.0.0/12}]
  serviceExternalIPs: [{cidr: 104.244.42.129/32}, {cidr: 172.217.3.0/24}]
  serviceLoadBalancerIPs: [{cidr: 10.1.2.0/24}]
  communities: [{name: bgp-large-community, value: '63400:300:100'}]
  prefixAdvertisements:
  - cidr: 172.218.4.0/26
    communities: [bgp-large-community, '63400:120']
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: some.name}
spec:
  node: rack1-host1
  nodeSelector: ''
  peerIP: 192.168.1.1:178
  asNumber: '1.10'
  sourceAddress: UseNodeIP
  nextHopMode: Keep
  maxRestartTime: 15m
  numAllowedLocalASNumbers: 2
  ttlSecurity: 1
  filters: [first, second]
---
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: first}
spec:
  exportV4:
  - {action: Accept, matchOperator: In, cidr: 77.0.0.0/16, prefixLength: {min: 16, max: 24}, source: RemotePeers}
  importV6:
  - {action: Reject, matchOperator: NotEqual, cidr: '5000::/64'}
  - {action: Accept}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: reflectors}
spec: {nodeSelector: all(), peerSelector: route-reflector == 'true', bfd: {interval: 100ms, multiplier: 5}}
";

#[test]
fn what_is_written_for_calico_is_read() {
    let parsed = parse("calico.yaml", CALICO).unwrap_or_else(|e| panic!("{e}"));
    let peers: Vec<_> = parsed
        .iter()
        .filter_map(|parsed| match &parsed.resource {
            AnyResource::BgpPeer(peer) => Some(&peer.spec),
            _ => None,
        })
        .collect();
    assert_eq!(peers[0].node_selector, None);
    assert_eq!(peers[0].as_number.map(u32::from), Some(65546));
    assert_eq!(peers[0].next_hop_mode, Some(NextHopMode::Keep));
    let ip = peers[0].peer_ip.as_ref().unwrap();
    assert_eq!(
        (ip.to_string().as_str(), ip.port),
        ("192.168.1.1:178", Some(178))
    );
    assert!(matches!(
        peers[1].bfd,
        Some(BfdChoice::On { multiplier: 5, .. })
    ));
    // What is read and written again is the same.
    for one in &parsed {
        let text = one.resource.to_value().to_string();
        let again = parse("again.json", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(again[0].resource, one.resource);
    }
}

#[test]
fn what_calico_does_and_tombolo_does_not_is_refused_by_name() {
    let text = "
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec:
  bindMode: NodeIP
  nodeMeshPassword: {secretKeyRef: {name: bgp, key: mesh}}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: p}
spec:
  peerIP: 192.168.1.1
  asNumber: 64512
  reachableBy: 10.0.0.1
  password:
    secretKeyRef: {name: bgp, key: rr}
---
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: f}
spec:
  importV4:
  - {action: Accept}
  - action: Accept
    interface: '*.calico'
";
    assert_faults(
        "c.yaml",
        text,
        &[
            ("c.yaml:6:", &["spec.bindMode", "listens on every address"]),
            ("c.yaml:7:", &["secretKeyRef", "{file: /path}"]),
            ("c.yaml:15:", &["spec.reachableBy", "the host's own routes"]),
            (
                "c.yaml:17:",
                &["spec.password.secretKeyRef", "{file: /path}"],
            ),
            ("c.yaml:26:", &["spec.importV4[1].interface"]),
        ],
    );
}

#[test]
fn faults_of_bgps_resources_name_the_field_and_what_is_allowed() {
    let resource = |kind: &str, spec: &str| {
        format!(
            "apiVersion: tombolo.dev/v1\nkind: {kind}\nmetadata: {{name: default}}\nspec: {spec}\n"
        )
    };
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "BGPPeer",
            "{asNumber: 65001}",
            &["spec.peerIP", "peerSelector for nodes"],
        ),
        (
            "BGPPeer",
            "{peerIP: 10.0.0.1}",
            &["spec.asNumber", "missing"],
        ),
        (
            "BGPPeer",
            "{peerIP: 10.0.0.1, asNumber: 0}",
            &["spec.asNumber", "reserved"],
        ),
        (
            "BGPPeer",
            "{peerIP: 'fe80::1', asNumber: 65001}",
            &["spec.peerIP", "name the interface"],
        ),
        (
            "BGPPeer",
            "{peerIP: 10.0.0.1, asNumber: 65001, holdTime: 2s}",
            &["spec.holdTime", "2s is not allowed"],
        ),
        (
            "BGPPeer",
            "{peerIP: 10.0.0.1, asNumber: 65001, node: a, nodeSelector: all()}",
            &["spec.nodeSelector", "only one"],
        ),
        (
            "BGPPeer",
            "{peerSelector: all(), asNumber: 65001}",
            &["spec.asNumber", "their own numbers"],
        ),
        (
            "BGPPeer",
            "{peerIP: 10.0.0.1, asNumber: 65001, password: {file: key}}",
            &["spec.password", "no absolute path"],
        ),
        (
            "BGPConfiguration",
            "{communities: [{name: a, value: '1:2:3:4'}]}",
            &["spec.communities[0].value", "no community"],
        ),
        (
            "BGPConfiguration",
            "{prefixAdvertisements: [{cidr: 10.0.0.0/8, communities: [unknown]}]}",
            &["prefixAdvertisements[0].communities[0]", "unknown"],
        ),
        (
            "BGPConfiguration",
            "{bfd: {interval: 1ms}}",
            &["spec.bfd", "10ms to 60s"],
        ),
        (
            "BGPFilter",
            "{importV4: [{cidr: 'fd00::/8', matchOperator: In, action: Accept}]}",
            &["spec.importV4[0].cidr", "no range of ipv4"],
        ),
        (
            "BGPFilter",
            "{importV4: [{cidr: 10.0.0.0/8, action: Accept}]}",
            &["spec.importV4[0].matchOperator", "missing"],
        ),
        (
            "BGPFilter",
            "{exportV6: [{cidr: 'fd00::/8', matchOperator: In, prefixLength: {min: 9, max: 8}, action: Accept}]}",
            &["spec.exportV6[0].prefixLength", "9 to 8"],
        ),
        (
            "Node",
            "{bgp: {routerID: 0.0.0.0}}",
            &["spec.bgp.routerID", "nobody's"],
        ),
    ];
    for (kind, spec, parts) in cases {
        assert_faults("b.yaml", &resource(kind, spec), &[("b.yaml:", parts)]);
    }
}

#[test]
fn what_was_learned_is_nobodys_to_write() {
    let text = "{apiVersion: tombolo.dev/v1, kind: Learned, metadata: {name: a}, spec: {}}";
    assert_faults(
        "l.yaml",
        text,
        &[("l.yaml:", &["written by Tombolo itself"])],
    );
    assert!(parse_with("l.yaml", text, Accept::Internal).is_ok());
}

#[test]
fn a_configuration_is_all_nodes_or_ones() {
    let faults = |name: &str, spec: &str| {
        let text = format!(
            "{{apiVersion: tombolo.dev/v1, kind: BGPConfiguration, metadata: {{name: {name}}}, spec: {spec}}}"
        );
        let parsed = parse("c.yaml", &text).unwrap_or_else(|e| panic!("{e}"));
        let faults = World::default().conflicts(&parsed[0].resource);
        faults
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    };
    assert_eq!(faults("default", "{asNumber: 64600}"), "");
    assert_eq!(faults("node.a", "{listenPort: 1790}"), "");
    assert!(faults("node.a", "{asNumber: 64600}").contains("spec.bgp.asNumber of the Node"));
    assert!(faults("other", "{}").contains("nobody's configuration"));
}

#[test]
fn a_password_that_is_written_is_never_shown() {
    let text = "{apiVersion: tombolo.dev/v1, kind: BGPPeer, metadata: {name: p}, spec: {peerIP: 10.0.0.1, asNumber: 65001, password: {value: geheim}}}";
    let parsed = parse("p.yaml", text).unwrap_or_else(|e| panic!("{e}"));
    assert!(!format!("{parsed:?}").contains("Value(\"geheim"));
    let AnyResource::BgpPeer(peer) = &parsed[0].resource else {
        panic!("a peer is a peer");
    };
    let kept = BgpPassword::Value("geheim".to_owned());
    assert_eq!(peer.spec.password, Some(kept));
}
