//! What decides, and how it is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tombolo_model::kinds::policy::{Direction, ProtocolMatch};
use tombolo_model::{Name, World, parse};
use tombolo_policy::{Decision, Evaluator, Flow, Party, Step, Verdict, Way};

/// Two nodes; networks `pods`, `other` (isolated), `open` (not isolated), `lan` (physical), and the
/// overlays `red` and `blue`, which share addresses.
const BASE: &str = "
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: n1}, spec: {addresses: [
  {address: 192.168.0.1/24, interface: eth0, mtu: 1500}]}}
---
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: n2}, spec: {addresses: [
  {address: 192.168.0.2/24, interface: eth0, mtu: 1500}]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: pods}, spec: {cidr: 10.1.0.0/16, natOutgoing: true}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: pods6}, spec: {cidr: 'fd01::/64'}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: pods}, spec: {
  driver: routed, transport: {type: direct}, pools: [pods, pods6]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: other}, spec: {cidr: 10.2.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: other}, spec: {driver: bridge, pools: [other], gateway: [10.2.0.1]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: open}, spec: {cidr: 10.3.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: open}, spec: {driver: bridge, pools: [open], isolation: none}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: open2}, spec: {cidr: 10.4.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: open2}, spec: {driver: bridge, pools: [open2], isolation: none}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: lan}, spec: {cidr: 192.168.7.0/24}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: lan}, spec: {driver: macvlan, pools: [lan]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: red}, spec: {cidr: 10.9.0.0/16, space: red}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: red}, spec: {driver: overlay, pools: [red]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: blue}, spec: {cidr: 10.9.0.0/16, space: blue}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: blue}, spec: {driver: overlay, pools: [blue], internal: true}}
";

/// Endpoints, a line each: name, node, network, addresses, labels, and further fields of the spec.
const ENDPOINTS: &str = "
x/a n1 pods  10.1.0.1,fd01::1 {app: a}
x/b n1 pods  10.1.0.2,fd01::2 {app: b}
y/a n2 pods  10.1.0.3,fd01::3 {app: a}
x/o n1 other 10.2.0.9         {app: o}
x/p n1 open  10.3.0.9         {app: p}
x/q n1 open2 10.4.0.9         {app: q}
x/l n1 lan   192.168.7.9      {app: l}
x/r n1 red   10.9.0.1         {app: r}
x/s n1 red   10.9.0.2         {app: s}
x/t n1 blue  10.9.0.2         {app: t}
x/u n1 blue  10.9.0.3         {app: t}
";

fn world(policies: &str) -> World {
    world_with(policies, "")
}

fn world_with(policies: &str, endpoints: &str) -> World {
    let mut text = BASE.to_owned();
    for line in ENDPOINTS.lines().chain(endpoints.lines()) {
        let Some((name, rest)) = line.split_once(' ') else {
            continue;
        };
        let mut words = rest.split_whitespace();
        let mut word = || words.next().unwrap();
        let (node, network, addresses) = (word(), word(), word());
        let rest = words.collect::<Vec<_>>().join(" ");
        let (labels, more) = rest.split_once('}').unwrap();
        let more = if more.is_empty() {
            "generation: 1"
        } else {
            more
        };
        let (namespace, name) = name.split_once('/').unwrap();
        let addresses = addresses.replace(',', "', '");
        text.push_str(&format!(
            "---\n{{apiVersion: tombolo.dev/v1, kind: Endpoint, metadata: {{name: {name}, namespace: {namespace}, \
             labels: {labels}}}}}, spec: {{node: {node}, network: {network}, containerID: c, interface: eth0, \
             sandbox: '', handle: h, addresses: ['{addresses}'], mac: '02:00:00:00:00:01', {more}}}}}\n"
        ));
    }
    text.push_str("---\n");
    text.push_str(policies);
    parse::world("w.yaml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// `x/a`, an address, `address@space`, or `host:n1`.
fn party(text: &str) -> Party {
    if let Some(node) = text.strip_prefix("host:") {
        return Party::Host(name(node));
    }
    if let Some((namespace, endpoint)) = text.split_once('/') {
        return Party::Endpoint(name(namespace), name(endpoint));
    }
    let (address, space) = text.split_once('@').unwrap_or((text, ""));
    Party::Address {
        address: address.parse().unwrap(),
        space: (!space.is_empty()).then(|| name(space)),
    }
}

fn tcp(from: &str, to: &str, port: u16) -> Flow {
    Flow::to_port(party(from), party(to), ProtocolMatch::TCP, port)
}

/// The verdict; the answer without words must be the same.
fn judge(world: &World, flow: &Flow) -> Verdict {
    let evaluator = Evaluator::new(world);
    let verdict = evaluator.verdict(flow);
    assert_eq!(verdict.allowed, evaluator.allows(flow), "{flow}\n{verdict}");
    for stage in verdict.stages() {
        assert_eq!(stage.allowed, stage.decision.allows());
    }
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
    verdict
}

fn ingress(world: &World, flow: &Flow) -> Decision {
    judge(world, flow).ingress.unwrap().decision
}

#[test]
fn without_policies_networks_are_isolated_and_nothing_else() {
    let world = world("");
    assert_eq!(ingress(&world, &tcp("x/a", "y/a", 80)), Decision::Open);
    let isolated = Decision::Isolation {
        from: name("pods"),
        to: name("other"),
    };
    assert_eq!(ingress(&world, &tcp("x/a", "x/o", 80)), isolated);
    // An address of the other network's pool is of that network, whoever has it.
    assert_eq!(ingress(&world, &tcp("10.1.200.200", "x/o", 80)), isolated);
    // One side that isolates is enough; two that do not meet.
    for (from, to, allowed) in [
        ("x/p", "x/o", false),
        ("x/o", "x/p", false),
        ("x/p", "x/q", true),
        ("x/q", "x/p", true),
        // The physical network takes no part, nor does what is of no network.
        ("x/l", "x/o", true),
        ("x/o", "x/l", true),
        ("192.0.2.1", "x/o", true),
        ("x/o", "192.0.2.1", true),
    ] {
        let verdict = judge(&world, &tcp(from, to, 80));
        assert_eq!(verdict.allowed, allowed, "{from} {to}: {verdict}");
    }
}

#[test]
fn a_rule_that_allows_overrides_isolation_and_passing_does_not() {
    let policy = |action: &str| {
        let policy = format!(
            "{{apiVersion: tombolo.dev/v1, kind: NetworkPolicy, metadata: {{name: p, namespace: x}}, spec: {{
               selector: app == 'o', ingress: [{{action: {action}, source: {{selector: app == 'a'}}}}]}}}}"
        );
        world(&policy)
    };
    let flow = tcp("x/a", "x/o", 80);
    assert!(judge(&policy("Allow"), &flow).allowed);
    let passed = ingress(&policy("Pass"), &flow);
    assert!(matches!(passed, Decision::Isolation { .. }), "{passed}");
}

#[test]
fn overlays_and_internal_networks_have_no_way_out() {
    let world = world("");
    let way = |from: &str, to: &str| judge(&world, &tcp(from, to, 80)).way;
    let Way::None(why) = way("x/a", "x/r") else {
        panic!("there is a way");
    };
    assert_eq!(
        why,
        "no way leads from network pods to network red: red is an overlay"
    );
    assert!(matches!(way("x/s", "x/t"), Way::None(_)));
    assert_eq!(way("x/r", "x/s"), Way::Judged);
    assert_eq!(way("x/r", "192.0.2.1"), Way::Judged);
    assert_eq!(
        way("x/t", "192.0.2.1"),
        Way::None("no way leads out of network blue: internal".into())
    );
    assert_eq!(way("x/t", "x/u"), Way::Judged);
    // The same address is somebody else in another space.
    assert_eq!(way("10.9.0.2@red", "x/s"), Way::Itself);
    assert_eq!(way("10.9.0.2@blue", "x/u"), Way::Judged);
    let Way::None(why) = way("10.9.0.2@green", "x/u") else {
        panic!("there is a way");
    };
    assert_eq!(why, "there is no address space green");
}

#[test]
fn selectors_find_endpoints_of_their_own_space_only() {
    let world = world(
        "{apiVersion: tombolo.dev/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x}, spec: {
           selector: app == 'r', ingress: [{action: Allow, source: {selector: app == 't'}}]}}",
    );
    // 10.9.0.2 is x/s here, and x/t with the label in the other space.
    assert!(!judge(&world, &tcp("x/s", "x/r", 80)).allowed);
}

#[test]
fn ends_that_are_not_there_are_told() {
    let world = world("");
    for (from, to, expected) in [
        ("x/zzz", "x/a", "there is no Endpoint x/zzz"),
        ("x/a", "host:n9", "there is no Node n9"),
        ("fd01::1", "x/o", "x/o has no ipv6 address"),
        ("fd01::1", "10.2.0.9", "10.2.0.9 is no ipv6 address"),
    ] {
        let verdict = judge(&world, &tcp(from, to, 80));
        assert_eq!(verdict.way, Way::None(expected.into()));
        assert!(!verdict.allowed);
    }
}

#[test]
fn the_first_family_that_both_have_is_taken() {
    let deny6 = "{apiVersion: tombolo.dev/v1, kind: GlobalNetworkPolicy, metadata: {name: p}, spec: {
        selector: all(), types: [Egress], egress: [{action: Deny, ipVersion: 6}, {action: Allow}]}}";
    let world = world_with(deny6, "x/six n1 pods fd01::6 {}");
    assert!(judge(&world, &tcp("x/a", "x/b", 80)).allowed);
    assert!(!judge(&world, &tcp("x/a", "x/six", 80)).allowed);
    let mut flow = tcp("x/a", "x/b", 80);
    flow.family = Some(tombolo_model::Family::V6);
    assert!(!judge(&world, &flow).allowed);
    let ping6 = Flow::of(party("x/a"), party("x/b"), ProtocolMatch::ICMPV6);
    assert!(!judge(&world, &ping6).allowed);
    let solicit = Flow {
        icmp: Some((135, 0)),
        ..ping6
    };
    assert_eq!(judge(&world, &solicit).way, Way::Neighbours);
}

#[test]
fn a_host_reaches_its_own_endpoints_and_no_others() {
    let deny =
        "{apiVersion: tombolo.dev/v1, kind: GlobalNetworkPolicy, metadata: {name: deny}, spec: {
        selector: all(), types: [Ingress]}}";
    let world = world(deny);
    let own = Decision::OwnHost(name("n1"));
    assert_eq!(ingress(&world, &tcp("host:n1", "x/a", 80)), own);
    assert_eq!(ingress(&world, &tcp("192.168.0.1", "x/a", 80)), own);
    assert_eq!(
        ingress(&world, &tcp("10.2.0.1", "x/o", 80)),
        own,
        "its gateway is its host"
    );
    let end = Decision::TierEnd(name("default"));
    assert_eq!(ingress(&world, &tcp("host:n2", "x/a", 80)), end);
    assert_eq!(ingress(&world, &tcp("192.168.0.2", "x/a", 80)), end);
    assert_eq!(ingress(&world, &tcp("10.2.0.1", "x/a", 80)), end);
    // Without a HostEndpoint nobody is asked at the host.
    assert!(judge(&world, &tcp("x/a", "host:n1", 80)).ingress.is_none());
    assert_eq!(
        judge(&world, &tcp("host:n1", "192.168.0.1", 80)).way,
        Way::Itself
    );
}

#[test]
fn host_endpoints_deny_all_but_failsafe_ports() {
    let world = world(
        "{apiVersion: tombolo.dev/v1, kind: HostEndpoint, metadata: {name: h, labels: {host: h}}, spec: {
           node: n2, interfaceName: eth0, expectedIPs: [192.168.0.2]}}
---
{apiVersion: tombolo.dev/v1, kind: HostEndpoint, metadata: {name: other}, spec: {
           node: n2, interfaceName: eth1, profiles: [open]}}
---
{apiVersion: tombolo.dev/v1, kind: Profile, metadata: {name: open}, spec: {ingress: [{action: Allow}]}}
---
{apiVersion: tombolo.dev/v1, kind: GlobalNetworkPolicy, metadata: {name: web}, spec: {
   selector: has(host), ingress: [{action: Allow, protocol: TCP, source: {nets: [192.168.0.0/24]},
   destination: {ports: [80]}}]}}",
    );
    assert!(judge(&world, &tcp("host:n1", "host:n2", 80)).allowed);
    assert!(!judge(&world, &tcp("host:n1", "host:n2", 81)).allowed);
    assert!(!judge(&world, &tcp("192.0.2.1", "host:n2", 80)).allowed);
    let ssh = ingress(&world, &tcp("192.0.2.1", "host:n2", 22));
    assert!(matches!(ssh, Decision::Failsafe { port: 22, .. }), "{ssh}");
    // Egress: the policy is about ingress only, so profiles are asked, and there are none.
    assert!(!judge(&world, &tcp("host:n2", "192.0.2.1", 80)).allowed);
    assert!(judge(&world, &tcp("host:n2", "192.0.2.1", 6443)).allowed);
    // Its own endpoints are beyond that.
    assert!(judge(&world, &tcp("host:n2", "y/a", 80)).allowed);
    // From a pool that is masqueraded packets come as the host's; from others as they are.
    assert!(judge(&world, &tcp("x/a", "host:n2", 80)).allowed);
    assert!(!judge(&world, &tcp("x/p", "host:n2", 80)).allowed);
    // Nobody is asked at a host that has none.
    assert!(judge(&world, &tcp("192.0.2.1", "host:n1", 80)).allowed);
}

#[test]
fn every_step_is_told_with_its_line() {
    let world = world(
        "{apiVersion: tombolo.dev/v1, kind: Tier, metadata: {name: first}, spec: {order: 1}}
---
{apiVersion: tombolo.dev/v1, kind: GlobalNetworkPolicy, metadata: {name: pass},
   spec: {tier: first, ingress: [
   {action: Log}, {action: Pass, protocol: TCP}]}}
---
{apiVersion: tombolo.dev/v1, kind: NetworkPolicy, metadata: {name: web, namespace: x},
   spec: {selector: app == 'b', ingress: [
   {action: Allow, protocol: UDP},
   {action: Allow, protocol: TCP, destination: {ports: [443, '8000:8010']}},
   {action: Allow, source: {selector: app == 'c'}}]}}",
    );
    let verdict = judge(&world, &tcp("x/a", "x/b", 80));
    assert_eq!(
        verdict.to_string(),
        "denied
egress of Endpoint x/a: allowed, nothing forbids it
ingress of Endpoint x/b: denied, end of tier default: no rule of its policies allows it
  tier first
    GlobalNetworkPolicy pass (w.yaml:63)
      rule 1 Log (w.yaml:65): yes
      rule 2 Pass (w.yaml:65): yes
  tier default
    NetworkPolicy x/web (w.yaml:67)
      rule 1 Allow (w.yaml:69): no, the protocol is TCP, not UDP
      rule 2 Allow (w.yaml:70): no, the destination port 80 is not 443, 8000:8010
      rule 3 Allow (w.yaml:71): no, the source x/a is not one of app == 'c' in namespace x
    end of tier default: Deny"
    );
    let stage = judge(&world, &tcp("x/a", "x/b", 443)).ingress.unwrap();
    assert_eq!(
        stage.decision.to_string(),
        "NetworkPolicy x/web ingress rule 2 (w.yaml:70): Allow"
    );
    assert_eq!(stage.direction, Direction::Ingress);
    assert!(matches!(stage.steps.first(), Some(Step::Tier(_))));
}

#[test]
fn endpoints_that_lost_their_addresses_are_nobody() {
    let world = world_with(
        "{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: 10.1.0.64-26}, spec: {
           cidr: 10.1.0.64/26, pool: pods, node: n1, generation: 1,
           allocations: {6: {handle: h, generation: 2, node: n1}}}}
---
{apiVersion: tombolo.dev/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x}, spec: {
   selector: app == 'b', ingress: [{action: Allow, source: {selector: is == 'old'}}]}}",
        "x/old n1 pods 10.1.0.70 {is: old}\nx/new n1 pods 10.1.0.70 {is: new} generation: 2",
    );
    assert!(!judge(&world, &tcp("10.1.0.70", "x/b", 80)).allowed);
    let verdict = judge(&world, &tcp("x/old", "x/b", 80));
    assert!(matches!(verdict.way, Way::None(_)), "{verdict}");
}
