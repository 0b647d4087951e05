//! Policies that make no sense, each with its place; and policies that make much.

use proptest::prelude::*;

use super::*;
use crate::kinds::policy::{PolicyRule, RuleAction, SOURCE};

const POLICY: &str =
    "apiVersion: tombolo.dev/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n";
const HOST: &str = "apiVersion: tombolo.dev/v1\nkind: HostEndpoint\nmetadata: {name: h}\nspec:\n";

#[test]
fn rules_that_make_no_sense() {
    let rule = |rest: &str| format!("  ingress:\n  - {{action: Allow, {rest}}}\n");
    for (spec, wanted) in [
        (
            rule("source: {ports: [80]}"),
            "t:6:30: spec.ingress[0].source.ports: ports need a protocol that has them, and none is given",
        ),
        (
            rule("protocol: ICMP, destination: {notPorts: [80]}"),
            "t:6:51: spec.ingress[0].destination.notPorts: ports need a protocol that has them, and ICMP has none",
        ),
        (
            rule("protocol: TCP, destination: {ports: [65536]}"),
            "t:6:58: spec.ingress[0].destination.ports[0]: 65536 is no port; it must be between 0 and 65535",
        ),
        (
            rule("protocol: TCP, destination: {ports: ['1:70000']}"),
            "t:6:58: spec.ingress[0].destination.ports[0]: \"1:70000\" is not allowed: \"70000\" is no port",
        ),
        (
            rule("protocol: TCP, destination: {ports: ['90:80']}"),
            "t:6:58: spec.ingress[0].destination.ports[0]: \"90:80\" ends before it begins; write 80:90",
        ),
        (
            rule("protocol: TCP, destination: {ports: [80-90]}"),
            "t:6:58: spec.ingress[0].destination.ports[0]: \"80-90\" is not a port, a range as 80:90",
        ),
        (
            rule("protocol: TCP, destination: {ports: [-1]}"),
            "t:6:58: spec.ingress[0].destination.ports[0]: -1 is no port",
        ),
        (
            rule("protocol: IGMPP"),
            "t:6:31: spec.ingress[0].protocol: \"IGMPP\" is no protocol; give TCP",
        ),
        (
            rule("protocol: 0"),
            "t:6:31: spec.ingress[0].protocol: \"0\" is no protocol",
        ),
        (
            rule("protocol: 256"),
            "t:6:31: spec.ingress[0].protocol: \"256\" is no protocol",
        ),
        (
            rule("icmp: {type: 8}"),
            "t:6:21: spec.ingress[0].icmp: types and codes need a protocol that has them",
        ),
        (
            rule("protocol: TCP, notICMP: {type: 8}"),
            "t:6:36: spec.ingress[0].notICMP: types and codes need a protocol",
        ),
        (
            rule("protocol: ICMP, icmp: {code: 1}"),
            "t:6:50: spec.ingress[0].icmp.code: 1 is given without a type",
        ),
        (
            rule("protocol: ICMP, icmp: {type: 255}"),
            "t:6:50: spec.ingress[0].icmp.type: 255 is not allowed: it must be between 0 and 254",
        ),
        (
            rule("protocol: ICMP, icmp: {type: 256}"),
            "t:6:50: spec.ingress[0].icmp.type: \"256\" is not allowed: it must be a whole number between 0 and 255",
        ),
        (
            rule("protocol: ICMP, ipVersion: 6"),
            "t:6:31: spec.ingress[0].protocol: ICMP is of ipv4, but the rule is of ipv6 by its ipVersion",
        ),
        (
            rule("notProtocol: ICMPv6, ipVersion: 4"),
            "t:6:34: spec.ingress[0].notProtocol: ICMPv6 is of ipv6, but the rule is of ipv4",
        ),
        (
            rule("ipVersion: 5"),
            "t:6:32: spec.ingress[0].ipVersion: 5 is no version of IP; give 4 or 6",
        ),
        (
            rule("ipVersion: 4, source: {nets: [10.0.0.0/8], notNets: ['fd00::/8']}"),
            "t:6:74: spec.ingress[0].source.notNets[0]: fd00::/8 is of ipv6, but the rule is of ipv4",
        ),
        (
            rule("source: {nets: [10.0.0.1]}"),
            "t:6:37: spec.ingress[0].source.nets[0]: \"10.0.0.1\" is not allowed: it must be an address with the length",
        ),
        (
            rule("source: {selector: a == 'b' &&}"),
            "t:6:51: spec.ingress[0].source.selector: \"a == 'b' &&-->\" is not a selector: the text ends",
        ),
        (
            rule("source: {notSelector: \"a = 'b'\"}"),
            "t:6:46: spec.ingress[0].source.notSelector: \"a -->= 'b'\" is not a selector",
        ),
        (
            "  ingress:\n  - {action: allow}\n".to_owned(),
            "t:6:14: spec.ingress[0].action: \"allow\" is not allowed (did you mean Allow?); it must be Allow, Deny, Log or Pass",
        ),
        (
            "  types: [Egress, Egress]\n".to_owned(),
            "t:5:19: spec.types[1]: given twice; keep one",
        ),
        (
            "  order: high\n".to_owned(),
            "t:5:10: spec.order: \"high\" is not allowed",
        ),
        (
            "  selector: >-\n    a = 'b'\n".to_owned(),
            "t:6:5: spec.selector: \"a -->= 'b'\" is not a selector",
        ),
    ] {
        assert_faults("t", &format!("{POLICY}{spec}"), &[(wanted, &[])]);
    }
}

#[test]
fn profiles_and_hosts_that_make_no_sense() {
    assert_faults(
        "t",
        "apiVersion: tombolo.dev/v1\nkind: Profile\nmetadata: {name: p}\nspec:\n  egress: [{action: Log}, {action: Pass}]\n",
        &[(
            "t:5:36: spec.egress[1].action: Pass is not allowed in a Profile",
            &[],
        )],
    );
    for (spec, wanted) in [
        (
            "node: n",
            "t:4:1: spec.interfaceName: missing; name an interface, '*' for all",
        ),
        (
            "{node: n, interfaceName: a/b}",
            "t:5:28: spec.interfaceName: interface name \"a/b\" is not allowed",
        ),
        (
            "{node: n, expectedIPs: [10.0.0.1/8]}",
            "t:5:27: spec.expectedIPs[0]: \"10.0.0.1/8\" is not allowed",
        ),
        (
            "{node: n, interfaceName: '*', ports: [{name: a, protocol: TCP, port: 0}]}",
            "t:5:72: spec.ports[0].port: 0 is not allowed: it must be between 1 and 65535",
        ),
        (
            "{node: n, interfaceName: '*', ports: [{name: a, protocol: ICMP, port: 1}]}",
            "t:5:61: spec.ports[0].protocol: ICMP has no ports",
        ),
        (
            "{node: n, interfaceName: '*', ports: [{name: '80', protocol: TCP, port: 1}]}",
            "t:5:48: spec.ports[0].name: \"80\" is no name of a port",
        ),
        (
            "{node: n, interfaceName: '*', ports: [{name: a, protocol: TCP, port: 1}, {name: a, protocol: TCP, port: 2}]}",
            "t:5:83: spec.ports[1].name: a of TCP is given twice",
        ),
    ] {
        assert_faults("t", &format!("{HOST}  {spec}\n"), &[(wanted, &[])]);
    }
}

#[test]
fn what_refers_to_nothing_is_allowed() {
    let text = format!(
        "{POLICY}  tier: nowhere\n  selector: has(nobody)\n  ingress:\n  - {{action: Allow, protocol: TCP, protocol: UDP, destination: {{ports: [nothing]}}}}\n  - {{action: Deny, source: {{nets: [10.0.0.0/8]}}, destination: {{nets: ['fd00::/8']}}}}\n"
    )
    .replace("protocol: TCP, ", "notProtocol: TCP, ");
    let twins = "\n---\n{apiVersion: tombolo.dev/v1, kind: Tier, metadata: {name: a}, spec: {order: 1}}\n---\n{apiVersion: tombolo.dev/v1, kind: Tier, metadata: {name: default}, spec: {order: 1}}\n";
    let host = format!("---\n{HOST}  {{node: nowhere, interfaceName: '*', profiles: [nothing]}}\n");
    let world = world("t", &format!("{text}{twins}{host}")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((world.tiers.len(), world.host_endpoints.len()), (2, 1));
}

const GUIDE: &str = include_str!("../../../../../docs/guide/policy.md");

/// The resources that the guide shows.
fn examples() -> Vec<Parsed> {
    let blocks = GUIDE.split("```yaml\n").skip(1);
    let texts = blocks.map(|block| block.split("```").next().unwrap_or_default());
    let parsed = |text| parse("guide", text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    texts.flat_map(parsed).collect()
}

#[test]
fn what_the_guide_shows_is_read() {
    let world = world_of(&examples()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(world.network_policies.len(), 1);
    assert_eq!(world.global_network_policies.len(), 2);
    // The classic example with tags.
    let profile = &world.profiles[&crate::Name::new("WEB").unwrap()].spec;
    assert_eq!(profile.labels_to_apply["WEB"], "");
    let inbound: Vec<String> = profile
        .ingress
        .iter()
        .map(|rule| {
            let source = rule.source.selector.as_ref().map(ToString::to_string);
            let protocol = rule.protocol.map(|p| p.to_string());
            let ports: Vec<String> = rule
                .destination
                .ports
                .iter()
                .map(ToString::to_string)
                .collect();
            format!("{:?} {source:?} {protocol:?} {ports:?}", rule.action)
        })
        .collect();
    assert_eq!(
        inbound,
        [
            "Allow Some(\"has(WEB)\") None []",
            "Allow None Some(\"TCP\") [\"80\", \"443\"]"
        ]
    );
    assert_eq!(profile.egress, [PolicyRule::new(RuleAction::Allow)]);
}

#[test]
fn a_policy_of_10_000_rules_is_read_in_a_time_that_grows_with_it() {
    let rules = |n: usize| -> String {
        let rule = |i: usize| {
            format!(
                "  - action: Allow\n    protocol: TCP\n    source: {{nets: [10.{}.{}.0/24], selector: app == 'a{i}'}}\n    destination: {{ports: [{}]}}\n",
                i / 256 % 256,
                i % 256,
                i % 60_000 + 1
            )
        };
        (0..n).map(rule).collect()
    };
    let begun = std::time::Instant::now();
    let text = format!("{POLICY}  ingress:\n{}", rules(10_000));
    let parsed = parse("t", &text).unwrap();
    let AnyResource::NetworkPolicy(policy) = &parsed[0].resource else {
        panic!("{parsed:?}");
    };
    assert_eq!(policy.spec.ingress.len(), 10_000);
    let last = crate::kinds::policy::source_line(
        &policy.metadata,
        crate::kinds::policy::Direction::Ingress,
        9_999,
    );
    assert_eq!(last.as_deref(), Some("t:40002"));
    // Kubernetes' form, one rule of a thousand peers and ten ports, and 50 faults among 10,000 rules.
    let peers: String = (0..1000)
        .map(|i| format!("{{podSelector: {{matchLabels: {{app: a{i}}}}}}}, "))
        .collect();
    let theirs = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec: {{ingress: [{{from: [{peers}], ports: [{{port: 80}}, {{port: 80, protocol: UDP}}]}}]}}\n"
    );
    let parsed = parse("t", &theirs).unwrap_or_else(|e| panic!("{e:.300}"));
    let AnyResource::NetworkPolicy(policy) = &parsed[0].resource else {
        panic!("{parsed:?}");
    };
    assert_eq!(policy.spec.ingress.len(), 2000);
    assert!(faults_of("t", &text.replace("TCP", "ICMP")).len() >= 10_000);
    assert!(faults_of("t", &text.replace("10.1.", "ten.1.")).len() >= 50);
    let took = begun.elapsed();
    assert!(took.as_secs() < 60, "{took:?}");
}

/// Texts of rules, of which most make sense.
fn any_rule() -> impl Strategy<Value = String> {
    let action = prop::sample::select(vec!["Allow", "Deny", "Log", "Pass"]);
    let protocol = prop::sample::select(vec![
        "",
        ", protocol: TCP",
        ", protocol: udp",
        ", protocol: 132",
        ", protocol: ICMP, icmp: {type: 8, code: 0}",
        ", protocol: ICMPv6, notICMP: {type: 1}, ipVersion: 6",
        ", protocol: 2, notProtocol: 50",
    ]);
    let end = prop::collection::vec(
        prop::sample::select(vec![
            "nets: [10.0.0.0/8, 10.1.2.3/9]",
            "notNets: ['fd00::1/8']",
            "selector: a == \"b\" || !(has(c) && d in {'e', 'f'})",
            "notSelector: a not in {} && has(b)",
            "namespaceSelector: all()",
            "ports: [80, '90:100', web-1]",
            "notPorts: ['1', 0]",
        ]),
        0..4,
    );
    (action, protocol, end.clone(), end).prop_map(
        |(action, protocol, mut source, mut destination)| {
            source.sort_unstable();
            source.dedup();
            destination.sort_unstable();
            destination.dedup();
            format!(
                "{{action: {action}{protocol}, source: {{{}}}, destination: {{{}}}}}",
                source.join(", "),
                destination.join(", ")
            )
        },
    )
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same(
        rules in prop::collection::vec(any_rule(), 0..5),
        order in prop::option::of(-1e6f64..1e6),
        types in prop::sample::select(vec!["", "  types: [Egress]\n", "  types: [Ingress, Egress]\n"]),
    ) {
        let order = order.map(|order| format!("  order: {order}\n")).unwrap_or_default();
        let text = format!("{POLICY}{order}{types}  ingress: [{}]\n", rules.join(", "));
        let Ok(parsed) = parse("t", &text) else {
            return Ok(());
        };
        let mut resource = parsed.into_iter().next().expect("one").resource;
        let json = serde_json::to_string(&resource.to_value()).expect("JSON");
        let again = parse("t.json", &json);
        prop_assert!(again.is_ok(), "{}\n{json}", again.unwrap_err());
        let mut again = again.expect("no fault").into_iter().next().expect("one").resource;
        for resource in [&mut resource, &mut again] {
            resource.metadata_mut().annotations.remove(SOURCE);
        }
        prop_assert_eq!(again, resource);
    }
}
