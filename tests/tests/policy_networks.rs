//! Policy on every kind of network, across hosts, in both families: real packets beside the evaluator.

use serde_json::json;
use tombolo_tests::probe::What;
use tombolo_tests::troupe::Troupe;
use tombolo_tests::{Cluster, Shape};

/// Beside `default`, which is routed over vxlan: a network routed directly, one on a bridge of each
/// host, and one that is a segment.
const NETWORKS: &str = "
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: straight4}, spec: {cidr: 10.60.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: straight6}, spec: {cidr: 'fd60::/64', blockSize: 122}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: straight}, spec: {driver: routed, transport: {type: direct}, pools: [straight4, straight6]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: br4}, spec: {cidr: 10.61.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: br6}, spec: {cidr: 'fd61::/64', blockSize: 122}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: br}, spec: {driver: bridge, pools: [br4, br6]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: over4}, spec: {cidr: 10.62.0.0/24, space: over, blockSize: 28}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: over6}, spec: {cidr: 'fd62::/64', space: over}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: over}, spec: {driver: overlay, transport: {type: vxlan}, pools: [over4, over6]}}
";

const WHATS: [What; 5] = [
    What::Tcp(80),
    What::Tcp(81),
    What::Udp(80),
    What::Sctp(80),
    What::Icmp(8, 0),
];

/// Clients reach servers on TCP 80, and nobody else does anything to them.
const POLICY: &str = "
apiVersion: tombolo.dev/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  selector: app == 'web'
  types: [Ingress, Egress]
  ingress:
    - {action: Allow, protocol: TCP, source: {selector: app == 'client'}, destination: {ports: [80]}}
    - {action: Allow, protocol: ICMP, source: {selector: app == 'client'}}
    - {action: Allow, protocol: SCTP, destination: {ports: ['70:90']}}
  egress:
    - {action: Allow, protocol: UDP}
";

#[test]
fn policy_holds_on_every_kind_of_network() {
    let cluster = Cluster::up("pol-nets", &Shape::hosts(2));
    cluster.apply("a", NETWORKS);
    cluster.settle();
    let mut troupe = Troupe::new(&cluster);
    let mut cast = Vec::new();
    for network in ["default", "straight", "over", "br"] {
        // On a bridge it is the other container on the same host that is told apart.
        let hosts = if network == "br" {
            ["a", "a"]
        } else {
            ["a", "b"]
        };
        let mut actor = |host: &str, app: &str| {
            let labels = json!({"labels": {"app": app}});
            troupe.container(&format!("{host}/{network}-{app}"), network, &labels)
        };
        cast.push([
            actor(hosts[0], "web"),
            actor(hosts[1], "client"),
            actor(hosts[1], "other"),
        ]);
    }
    let before = troupe.agree(&WHATS);
    for [web, client, other] in cast.iter().copied() {
        troupe.assert(client, web, What::Tcp(80), true);
        troupe.assert(other, web, What::Udp(80), true);
    }
    cluster.apply("a", POLICY);
    cluster.settle();
    let after = troupe.agree(&WHATS);
    assert!(
        after.1 > before.1,
        "the policy denies something: {before:?}, {after:?}"
    );
    for [web, client, other] in cast.iter().copied() {
        for (from, to, what, expected) in [
            (client, web, What::Tcp(80), true),
            (client, web, What::Tcp(81), false),
            (other, web, What::Tcp(80), false),
            (other, web, What::Sctp(80), true),
            (web, client, What::Udp(80), true),
            (web, client, What::Tcp(80), false),
            (client, other, What::Tcp(81), true),
        ] {
            troupe.assert(from, to, what, expected);
        }
    }
    let _ = cluster.sh("a", "tombolo delete networkpolicy web");
    cluster.settle();
    assert_eq!(troupe.agree(&WHATS), before);
}
