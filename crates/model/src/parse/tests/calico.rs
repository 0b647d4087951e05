//! Calico's resources as people have them, and what of them is refused.

use super::*;
use crate::kinds::policy::{Direction, SOURCE, source_line};

/// Every kind, with every field that means something here, and with what `calicoctl` prints besides.
const ALL_KINDS: &str = "
apiVersion: projectcalico.org/v3
kind: Tier
metadata:
  name: security
  creationTimestamp: '2024-01-01T00:00:00Z'
  uid: 7a0c
  resourceVersion: '1200/'
spec:
  order: 100.5
  defaultAction: Pass
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: security.block
  generation: 2
spec:
  tier: security
  order: 10
  selector: all()
  namespaceSelector: has(projectcalico.org/name)
  types:
  - Ingress
  - Egress
  doNotTrack: false
  preDNAT: false
  applyOnForward: false
  performanceHints: [AssumeNeededOnEveryNode]
  ingress:
  - action: Log
    metadata:
      annotations: {from: everybody}
  - action: Deny
    ipVersion: 4
    protocol: ICMP
    icmp: {type: 8, code: 0}
    source:
      nets: [10.1.2.3/8]
      notNets: [10.0.0.0/24]
  - action: Pass
    notProtocol: 4
    notICMP:
    source: {notSelector: \"role == 'guest'\"}
  egress:
  - action: Allow
    protocol: tcp
    source: {ports: ['1024:65535', 80], notPorts: [8080]}
    destination:
      selector: role in {'db', \"cache\"} && !has(old)
      namespaceSelector: global()
      ports: [6379, postgres, '8000:8010']
---
apiVersion: crd.projectcalico.org/v1
kind: NetworkPolicy
metadata:
  name: allow-ping
  namespace: shop
  annotations: {projectcalico.org/metadata: '{}'}
spec:
  selector: \"\"
  order:
  ingress:
  - {action: Allow, protocol: ICMPv6, notICMP: {type: 128}}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicyList
metadata: {resourceVersion: '10'}
items:
- apiVersion: projectcalico.org/v3
  kind: NetworkPolicy
  metadata: {name: other, namespace: shop}
  spec:
    types: [Egress]
---
{apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: {name: vpn, namespace: shop, labels: {role: vpn}}, spec: {nets: [198.51.100.7/28, 'fd00::1/64']}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: empty}}
---
{apiVersion: projectcalico.org/v3, kind: Profile, metadata: {name: web}, spec: {labelsToApply: {web: ''}}}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: node1-eth0, labels: {host: ''}}
spec:
  node: node1
  interfaceName: eth0
  expectedIPs: [192.0.2.1, '2001:db8::1']
  profiles: [web]
  ports:
  - {name: ssh, protocol: TCP, port: 22}
  - {name: ssh, protocol: 17, port: 22}
";

#[test]
fn every_kind_is_read() {
    let parsed = parse("all.yaml", ALL_KINDS).unwrap_or_else(|errors| panic!("{errors}"));
    let keys: Vec<String> = parsed
        .iter()
        .map(|p| p.resource.key().to_string())
        .collect();
    assert_eq!(
        keys,
        [
            "Tier security",
            "GlobalNetworkPolicy security.block",
            "NetworkPolicy shop/allow-ping",
            "NetworkPolicy shop/other",
            "NetworkSet shop/vpn",
            "GlobalNetworkSet empty",
            "Profile web",
            "HostEndpoint node1-eth0",
        ]
    );
    let AnyResource::GlobalNetworkPolicy(policy) = &parsed[1].resource else {
        panic!("{:?}", parsed[1]);
    };
    let source = &policy.spec.ingress[1].source;
    assert_eq!(source.nets[0].to_string(), "10.0.0.0/8");
    let line = |direction, index| source_line(&policy.metadata, direction, index);
    assert_eq!(line(Direction::Ingress, 2).as_deref(), Some("all.yaml:41"));
    assert_eq!(line(Direction::Egress, 0).as_deref(), Some("all.yaml:46"));
    let AnyResource::NetworkSet(set) = &parsed[4].resource else {
        panic!("{:?}", parsed[4]);
    };
    let nets: Vec<String> = set.spec.nets.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["198.51.100.0/28", "fd00::/64"]);
}

#[test]
fn what_is_printed_reads_back_but_for_its_line() {
    for mut parsed in parse("all.yaml", ALL_KINDS).unwrap() {
        let json = serde_json::to_string_pretty(&parsed.resource.to_value()).unwrap();
        let again = parse("t.json", &json).unwrap_or_else(|errors| panic!("{errors}\n{json}"));
        let mut again = again.into_iter().next().expect("a resource").resource;
        for resource in [&mut parsed.resource, &mut again] {
            resource.metadata_mut().annotations.remove(SOURCE);
        }
        assert_eq!(again, parsed.resource);
    }
}

#[test]
fn an_empty_selector_is_one_that_is_not_given() {
    let text = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: p}\nspec:\n  \
                namespaceSelector: ''\n  ingress: [{action: Deny, source: {selector: '', notSelector: ' '}}]\n";
    let parsed = parse("t", text).unwrap();
    let AnyResource::GlobalNetworkPolicy(policy) = &parsed[0].resource else {
        panic!("{:?}", parsed[0].resource.kind());
    };
    assert_eq!(policy.spec.namespace_selector, None);
    assert!(policy.spec.ingress[0].source.is_any());
}

#[test]
fn what_has_another_meaning_there_is_refused_by_name() {
    let policy = |spec: &str| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p}}\nspec:\n  {spec}\n"
        )
    };
    for (spec, wanted) in [
        (
            "selector: global()",
            "t:5:13: spec.selector: global() selects among namespaces only",
        ),
        (
            "ingress: [{action: Deny, source: {namespaceSelector: global() || has(a)}}]",
            "t:5:56: spec.ingress[0].source.namespaceSelector: global() cannot stand beside others",
        ),
        (
            "doNotTrack: true",
            "t:5:15: spec.doNotTrack: is not supported: every connection is tracked",
        ),
        (
            "preDNAT: true",
            "t:5:12: spec.preDNAT: is not supported: packets are judged by",
        ),
        (
            "applyOnForward: true",
            "t:5:19: spec.applyOnForward: is not supported: a policy of a host judges",
        ),
        (
            "applyOnForward: yes",
            "t:5:3: spec.applyOnForward: unknown field applyOnForward",
        ),
        (
            "serviceAccountSelector: has(a)",
            "t:5:27: spec.serviceAccountSelector: is not supported: endpoints have no service",
        ),
        (
            "ingress: [{action: Allow, http: {methods: [GET]}}]",
            "t:5:29: spec.ingress[0].http: is not supported: rules judge addresses",
        ),
        (
            "egress: [{action: Allow, destination: {services: {name: dns, namespace: a}}}]",
            "t:5:42: spec.egress[0].destination.services: is not supported: rules do not know",
        ),
        (
            "egress: [{action: Allow, destination: {domains: ['*.example.com']}}]",
            "t:5:42: spec.egress[0].destination.domains: is not supported: rules judge addresses",
        ),
        (
            "ingress: [{action: Allow, source: {serviceAccounts: {names: [a]}}}]",
            "t:5:38: spec.ingress[0].source.serviceAccounts: is not supported: endpoints have no",
        ),
    ] {
        assert_faults("t", &policy(spec), &[(wanted, &[])]);
        // Nor in our own words.
        let ours = policy(spec).replace("projectcalico.org/v3", "tombolo.dev/v1");
        assert_faults("t", &ours, &[(wanted, &[])]);
    }
    for (kind, instead) in [
        ("StagedNetworkPolicy", "NetworkPolicy"),
        ("StagedGlobalNetworkPolicy", "GlobalNetworkPolicy"),
        ("StagedKubernetesNetworkPolicy", "NetworkPolicy"),
        ("AdminNetworkPolicy", "GlobalNetworkPolicy in a Tier"),
    ] {
        let wanted = format!("t:1:7: kind: {kind} is not supported; write a {instead}");
        assert_faults("t", &format!("kind: {kind}\nspec: {{}}"), &[(&wanted, &[])]);
    }
    assert_faults(
        "t",
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: s}\nspec: {allowedEgressDomains: [a.b]}",
        &[(
            "t:4:8: spec.allowedEgressDomains: is not supported: sets hold addresses",
            &[],
        )],
    );
    assert_faults(
        "t",
        "apiVersion: projectcalico.org/v1\nkind: Profile\nmetadata: {name: s}\nspec: {tags: [a]}",
        &[(
            "t:1:13: apiVersion: \"projectcalico.org/v1\" is not spoken here; write tombolo.dev/v1 \
             or projectcalico.org/v3",
            &[],
        )],
    );
}
