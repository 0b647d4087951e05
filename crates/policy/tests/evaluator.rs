//! What decides, and how it is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tombolo_model::kinds::Isolation;
use tombolo_model::kinds::policy::{Direction, ProtocolMatch};
use tombolo_model::{Accept, Name, World, parse};
use tombolo_policy::{Changes, Decision, Evaluator, Flow, Party, Step, Verdict, Way, changes};

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
    let read = |file, text| {
        parse::parse_with(file, text, Accept::Internal).unwrap_or_else(|e| panic!("{e}\n{text}"))
    };
    let mut parsed = read("world.yaml", &text);
    parsed.extend(read("p.yaml", policies));
    parse::world_of(&parsed).unwrap_or_else(|e| panic!("{e}"))
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
    GlobalNetworkPolicy pass (p.yaml:3)
      rule 1 Log (p.yaml:5): yes
      rule 2 Pass (p.yaml:5): yes
  tier default
    NetworkPolicy x/web (p.yaml:7)
      rule 1 Allow (p.yaml:9): no, the protocol is TCP, not UDP
      rule 2 Allow (p.yaml:10): no, the destination port 80 is not 443, 8000:8010
      rule 3 Allow (p.yaml:11): no, the source x/a is not one of app == 'c' in namespace x
    end of tier default: Deny"
    );
    let stage = judge(&world, &tcp("x/a", "x/b", 443)).ingress.unwrap();
    assert_eq!(
        stage.decision.to_string(),
        "NetworkPolicy x/web ingress rule 2 (p.yaml:10): Allow"
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

/// What would let the flow through.
fn advice(world: &World, flow: &Flow) -> Vec<String> {
    Evaluator::new(world).advice(flow)
}

const CLIENTS: &str = "
{apiVersion: tombolo.dev/v1, kind: NetworkPolicy, metadata: {name: web, namespace: x}, spec: {selector: app == 'b', ingress: [
   {action: Allow, protocol: TCP, source: {selector: role == 'client'}, destination: {ports: [80]}},
   {action: Allow, protocol: TCP, source: {selector: app == 'a'}, destination: {ports: [443, 8443]}}]}}";

#[test]
fn advice_names_the_one_thing_that_is_wrong() {
    let world = world(CLIENTS);
    assert_eq!(
        advice(&world, &tcp("x/a", "x/b", 80)),
        [
            "would be allowed by NetworkPolicy x/web ingress rule 2 (p.yaml:4) if the destination port were 443, 8443",
            "would be allowed by NetworkPolicy x/web ingress rule 1 (p.yaml:3) if Endpoint x/a had label role=client",
        ]
    );
    let udp = Flow::to_port(party("x/a"), party("x/b"), ProtocolMatch::UDP, 443);
    assert_eq!(
        advice(&world, &udp),
        [
            "would be allowed by NetworkPolicy x/web ingress rule 2 (p.yaml:4) if the protocol were TCP"
        ]
    );
    assert_eq!(
        advice(&world, &tcp("y/a", "x/b", 443)),
        [
            "would be allowed by NetworkPolicy x/web ingress rule 2 (p.yaml:4) if y/a were in namespace x"
        ]
    );
    assert!(advice(&world, &tcp("x/a", "x/b", 443)).is_empty());
    assert_eq!(
        advice(&world, &tcp("192.0.2.1", "x/b", 80)),
        [
            "would be allowed by NetworkPolicy x/web ingress rule 1 (p.yaml:3) if 192.0.2.1 were of a set that is one of role == 'client' in namespace x"
        ]
    );
}

#[test]
fn advice_that_would_not_help_is_not_given() {
    // With the label it would be allowed by this rule, if another policy did not deny clients first.
    let world = world(&format!(
        "{CLIENTS}
---
{{apiVersion: tombolo.dev/v1, kind: GlobalNetworkPolicy, metadata: {{name: no-clients}}, spec: {{order: 1,
   ingress: [{{action: Deny, source: {{selector: role == 'client'}}}}, {{action: Deny, protocol: TCP,
   destination: {{ports: [443]}}}}]}}}}"
    ));
    assert_eq!(
        advice(&world, &tcp("x/a", "x/b", 80)),
        [
            "would be allowed by an ingress rule of a policy of tier default that applies to Endpoint x/b"
        ]
    );
    assert_eq!(
        advice(&world, &tcp("x/a", "x/b", 443)),
        [
            "would be allowed by a rule that comes before GlobalNetworkPolicy no-clients ingress rule 2 (p.yaml:7)"
        ]
    );
}

#[test]
fn advice_on_isolation_ways_and_both_directions() {
    let world = world(
        "{apiVersion: tombolo.dev/v1, kind: NetworkPolicy, metadata: {name: out, namespace: x}, spec: {
   selector: app == 'b', egress: [{action: Allow, destination: {namespaceSelector: team == 'red'}}]}}
---
{apiVersion: tombolo.dev/v1, kind: NetworkPolicy, metadata: {name: in, namespace: y}, spec: {
   selector: app == 'a', types: [Ingress]}}",
    );
    assert_eq!(
        advice(&world, &tcp("x/a", "x/o", 80)),
        [
            "would be allowed by an ingress rule of a policy that applies to Endpoint x/o, or if networks pods and other both had isolation: none"
        ]
    );
    assert_eq!(
        advice(&world, &tcp("x/a", "x/r", 80)),
        ["would have a way if both were in one network, or through a published port"]
    );
    assert_eq!(
        advice(&world, &tcp("x/b", "y/a", 80)),
        [
            "would be allowed by NetworkPolicy x/out egress rule 1 (p.yaml:2) if Namespace y had label team=red, and then ingress, which denies it too",
            "would be allowed by an ingress rule of a policy of tier default that applies to Endpoint y/a, once egress allows it",
        ]
    );
}

#[test]
fn not_selector_in_a_namespace_means_its_other_endpoints() {
    let world = world(
        "{apiVersion: tombolo.dev/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x}, spec: {
           selector: app == 'b', ingress: [{action: Allow, source: {notSelector: app == 'o'}}]}}",
    );
    assert!(judge(&world, &tcp("x/a", "x/b", 80)).allowed);
    assert!(!judge(&world, &tcp("x/o", "x/b", 80)).allowed);
    assert!(!judge(&world, &tcp("y/a", "x/b", 80)).allowed);
    assert!(!judge(&world, &tcp("192.0.2.1", "x/b", 80)).allowed);
}

/// What a change of policies would change, a line each.
fn changes_of(before: &str, after: &str) -> Vec<String> {
    let found = changes(&world(before), &world(after));
    assert!(found.complete);
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Changes>(&json).unwrap(), found);
    found.changes.iter().map(ToString::to_string).collect()
}

const WEB: &str =
    "{apiVersion: tombolo.dev/v1, kind: NetworkPolicy, metadata: {name: web, namespace: x}, spec: {
   selector: app == 'b', ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]}}";

#[test]
fn changes_are_told_once_for_all_who_are_alike() {
    let end = "end of tier default: no rule of its policies allows it";
    assert_eq!(
        changes_of("", WEB),
        [
            format!("x/a, x/l, y/a → x/b TCP 0-79, TCP 81-65535, UDP, ping and 1 more: allowed → denied ({end})"),
            // What is of other networks was kept out before.
            "x/o, x/p, x/q → x/b TCP 80: denied → allowed (NetworkPolicy x/web ingress rule 1 (p.yaml:2): Allow)".into(),
        ]
    );
    let wider = WEB.replace("[80]", "['80:90']");
    assert_eq!(
        changes_of(WEB, &wider),
        [
            "x/a, x/l, x/o, x/p and 2 more → x/b TCP 81-90: denied → allowed (NetworkPolicy x/web ingress rule 1 (p.yaml:2): Allow)"
        ]
    );
    assert_eq!(changes_of(WEB, WEB), [""; 0]);
    // Another text for the same is no change, nor is a policy for nobody.
    let same = WEB.replace("[80]", "['80:80']")
        + "\n---\n"
        + &WEB.replace("web", "none").replace("'b'", "'n'");
    assert_eq!(changes_of(WEB, &same), [""; 0]);
}

#[test]
fn changes_follow_labels_sets_tiers_and_isolation() {
    let by_team =
        "{apiVersion: tombolo.dev/v1, kind: GlobalNetworkPolicy, metadata: {name: team}, spec: {
       selector: app == 'b', ingress: [{action: Deny, source: {namespaceSelector: team == 'red'}},
       {action: Allow}]}}";
    let red = "{apiVersion: tombolo.dev/v1, kind: Namespace, metadata: {name: y, labels: {team: red}}, spec: {}}";
    assert_eq!(
        changes_of(by_team, &format!("{by_team}\n---\n{red}")),
        [
            "y/a → x/b everything: allowed → denied (GlobalNetworkPolicy team ingress rule 1 (p.yaml:2): Deny)"
        ]
    );
    let set = "{apiVersion: tombolo.dev/v1, kind: GlobalNetworkSet, metadata: {name: s, labels: {bad: ''}}, spec: {
       nets: [10.1.0.3/32]}}";
    let bad = by_team.replace("namespaceSelector: team == 'red'", "selector: has(bad)");
    assert_eq!(
        changes_of(&bad, &format!("{bad}\n---\n{set}")),
        [
            "y/a → x/b ipv4 everything: allowed → denied (GlobalNetworkPolicy team ingress rule 1 (p.yaml:2): Deny)"
        ]
    );
    let pass = "{apiVersion: tombolo.dev/v1, kind: Tier, metadata: {name: t}, spec: {order: 1, defaultAction: Pass}}
---
{apiVersion: tombolo.dev/v1, kind: GlobalNetworkPolicy, metadata: {name: t}, spec: {tier: t, selector: app == 'b', ingress: []}}";
    let deny = pass.replace("Pass", "Deny");
    assert_eq!(
        changes_of(pass, &deny),
        [
            "x/a, x/l, y/a → x/b everything: allowed → denied (end of tier t: no rule of its policies allows it)"
        ]
    );
    let open = world("");
    let mut closed = open.clone();
    for network in ["open", "open2"] {
        closed
            .networks
            .get_mut(&name(network))
            .unwrap()
            .spec
            .isolation = Isolation::Network;
    }
    let found = changes(&open, &closed).changes;
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "x/p → x/q everything: allowed → denied (isolation between networks open and open2)",
            "x/q → x/p everything: allowed → denied (isolation between networks open2 and open)"
        ]
    );
}
