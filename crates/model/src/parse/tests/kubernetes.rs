//! Kubernetes' policies, each beside the policy of ours that means the same.

use super::*;
use crate::kinds::policy::{Direction, ORIGINAL, source_line};

const HEAD: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\nspec:\n";
const OURS: &str = "apiVersion: tombolo.dev/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\nspec:\n  order: 1000\n";

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn policy(text: &str) -> crate::Resource<crate::NetworkPolicy> {
    let parsed = parse("dir/web.yaml", text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let any = parsed.into_iter().next().expect("a resource").resource;
    any.try_into().expect("a NetworkPolicy")
}

/// Their spec and ours.
const SAME: &[(&str, &str)] = &[
    // Nobody may come in: a selector that is empty selects every pod.
    ("podSelector: {}", "types: [Ingress]"),
    ("", "types: [Ingress]"),
    ("policyTypes: []", "types: [Ingress]"),
    ("podSelector: {}\ningress: []", "types: [Ingress]"),
    ("policyTypes: [Ingress, Ingress]", "types: [Ingress]"),
    ("policyTypes: [Egress]", "types: [Egress]"),
    ("policyTypes: [Egress, Ingress]", "types: [Ingress, Egress]"),
    // Without types, ingress is always meant, egress if there are rules for it.
    ("egress: []", "types: [Ingress]"),
    (
        "egress: [{}]",
        "types: [Ingress, Egress]\negress: [{action: Allow}]",
    ),
    // Rules of a direction that is not meant say nothing.
    (
        "policyTypes: [Egress]\ningress: [{}]",
        "types: [Egress]\ningress: [{action: Allow}]",
    ),
    // An empty rule, and empty lists in a rule, allow everybody everything.
    (
        "ingress: [{}]",
        "types: [Ingress]\ningress: [{action: Allow}]",
    ),
    (
        "ingress: [{from: [], ports: []}]",
        "types: [Ingress]\ningress: [{action: Allow}]",
    ),
    (
        "podSelector:\n  matchLabels: {app: web, app.kubernetes.io/part-of: shop, empty: ''}\n  matchExpressions:\n  - {key: tier, operator: In, values: [a, b]}\n  - {key: tier, operator: NotIn, values: [c]}\n  - {key: x, operator: Exists}\n  - {key: y, operator: DoesNotExist, values: []}",
        "types: [Ingress]\nselector: app == 'web' && app.kubernetes.io/part-of == 'shop' && empty == '' && tier in {'a', 'b'} && tier not in {'c'} && has(x) && !has(y)",
    ),
    // Peers: pods of this namespace, of others, all of others; never what else has labels.
    (
        "ingress: [{from: [{podSelector: {matchLabels: {app: a}}}, {podSelector: {}}]}]",
        "types: [Ingress]\ningress:\n- {action: Allow, source: {selector: \"app == 'a' && has(projectcalico.org/orchestrator)\"}}\n- {action: Allow, source: {selector: has(projectcalico.org/orchestrator)}}",
    ),
    (
        "ingress: [{from: [{namespaceSelector: {}}, {namespaceSelector: {matchLabels: {t: x}}, podSelector: {}}]}]",
        "types: [Ingress]\ningress:\n- {action: Allow, source: {namespaceSelector: all(), selector: has(projectcalico.org/orchestrator)}}\n- {action: Allow, source: {namespaceSelector: t == 'x', selector: has(projectcalico.org/orchestrator)}}",
    ),
    (
        "egress: [{to: [{namespaceSelector: {matchExpressions: [{key: t, operator: DoesNotExist}]}, podSelector: {matchLabels: {app: dns}}}]}]",
        "types: [Ingress, Egress]\negress:\n- {action: Allow, destination: {namespaceSelector: '!has(t)', selector: \"app == 'dns' && has(projectcalico.org/orchestrator)\"}}",
    ),
    // Ranges of addresses; bits below the prefix say nothing.
    (
        "egress: [{to: [{ipBlock: {cidr: 10.1.2.3/16, except: [10.1.2.9/24, 10.1.4.0/24]}}, {ipBlock: {cidr: 10.2.0.0/16}}, {ipBlock: {cidr: 'fd00::/8', except: []}}]}]",
        "types: [Ingress, Egress]\negress:\n- {action: Allow, destination: {nets: [10.1.0.0/16], notNets: [10.1.2.0/24, 10.1.4.0/24]}}\n- {action: Allow, destination: {nets: [10.2.0.0/16]}}\n- {action: Allow, destination: {nets: ['fd00::/8']}}",
    ),
    (
        "ingress: [{from: [{ipBlock: {cidr: 10.1.0.0/16}}, {ipBlock: {cidr: 10.2.0.0/16}}, {podSelector: {}}, {ipBlock: {cidr: 10.3.0.0/16}}]}]",
        "types: [Ingress]\ningress:\n- {action: Allow, source: {nets: [10.1.0.0/16, 10.2.0.0/16]}}\n- {action: Allow, source: {selector: has(projectcalico.org/orchestrator)}}\n- {action: Allow, source: {nets: [10.3.0.0/16]}}",
    ),
    // Ports: TCP if nothing is said; names; ranges; a protocol without ports is all of them.
    (
        "ingress: [{ports: [{port: 80}, {port: 81, protocol: TCP}, {port: 80}, {port: web}, {port: 8000, endPort: 8010}, {protocol: UDP, port: 53, endPort: 53}, {protocol: SCTP}]}]",
        "types: [Ingress]\ningress:\n- {action: Allow, protocol: TCP, destination: {ports: [80, 81, web, '8000:8010']}}\n- {action: Allow, protocol: UDP, destination: {ports: [53]}}\n- {action: Allow, protocol: SCTP}",
    ),
    (
        "ingress: [{ports: [{port: 80}, {}, {port: 81}]}]",
        "types: [Ingress]\ningress: [{action: Allow, protocol: TCP}]",
    ),
    (
        "egress: [{ports: [{port: 53, protocol: UDP}, {port: 53}], to: [{podSelector: {}}, {ipBlock: {cidr: 1.1.1.1/32}}]}]",
        "types: [Ingress, Egress]\negress:\n- {action: Allow, protocol: UDP, destination: {selector: has(projectcalico.org/orchestrator), ports: [53]}}\n- {action: Allow, protocol: UDP, destination: {nets: [1.1.1.1/32], ports: [53]}}\n- {action: Allow, protocol: TCP, destination: {selector: has(projectcalico.org/orchestrator), ports: [53]}}\n- {action: Allow, protocol: TCP, destination: {nets: [1.1.1.1/32], ports: [53]}}",
    ),
];

#[test]
fn policies_become_ours_with_the_same_meaning() {
    for (theirs, ours) in SAME {
        let read = policy(&format!("{HEAD}{}", indent(theirs)));
        let wanted = policy(&format!("{OURS}{}", indent(ours)));
        assert_eq!(read.spec, wanted.spec, "{theirs}");
        assert_eq!(read.key().to_string(), "NetworkPolicy shop/knp.default.web");
        assert_eq!(
            read.metadata.annotations[ORIGINAL],
            "networking.k8s.io/v1 NetworkPolicy web"
        );
    }
}

#[test]
fn what_others_print_beside_it_says_nothing() {
    let text = HEAD.replace(
        "metadata: {name: web, namespace: shop}",
        "status: {}\nmetadata:\n  name: web\n  namespace: shop\n  creationTimestamp: null\n  uid: 0b7f\n  resourceVersion: '12345'\n  generation: 3\n  managedFields: [{manager: kubectl}]\n  ownerReferences: []\n  selfLink: /apis\n  finalizers: [x]\n  labels:\n  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', mine: kept}",
    );
    let read = policy(&format!("{text}  ingress:\n  podSelector:\n"));
    assert_eq!(read.metadata.uid, "");
    assert_eq!(read.metadata.resource_version, None);
    let kept: Vec<&str> = read
        .metadata
        .annotations
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(kept, ["mine", "tombolo.dev/original", "tombolo.dev/source"]);
    // In our own words all of that is unknown.
    assert_faults(
        "t",
        "apiVersion: tombolo.dev/v1\nkind: Tier\nmetadata: {name: a, generation: 3}\n",
        &[("t:3:21: metadata.generation: unknown field generation", &[])],
    );
}

#[test]
fn each_rule_knows_its_line() {
    let read = policy(&format!(
        "{HEAD}  ingress:\n  - from:\n    - podSelector: {{}}\n    - namespaceSelector: {{}}\n  - ports:\n    - port: 80\n    - port: 80\n      protocol: UDP\n  egress:\n  -\n    to: []\n"
    ));
    let line = |direction, index| source_line(&read.metadata, direction, index);
    let found: Vec<_> = (0..5).map(|i| line(Direction::Ingress, i)).collect();
    let wanted = [
        Some("web.yaml:6"),
        Some("web.yaml:6"),
        Some("web.yaml:9"),
        Some("web.yaml:9"),
        None,
    ];
    assert_eq!(found, wanted.map(|line| line.map(str::to_owned)));
    assert_eq!(line(Direction::Egress, 0).as_deref(), Some("web.yaml:15"));
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}",
        indent(&format!("{HEAD}  ingress:\n  - {{}}\n")).trim_start()
    );
    let read = policy(&list);
    assert_eq!(
        source_line(&read.metadata, Direction::Ingress, 0).as_deref(),
        Some("web.yaml:9")
    );
}

#[test]
fn namespaces_are_their_labels() {
    let parsed = parse(
        "t",
        "apiVersion: v1\nkind: NamespaceList\nmetadata: {resourceVersion: ''}\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: shop, labels: {team: a}, uid: x}\n  spec: {finalizers: [kubernetes]}\n  status: {phase: Active}\n",
    )
    .unwrap();
    assert_eq!(parsed[0].resource.key().to_string(), "Namespace shop");
    assert_eq!(parsed[0].resource.metadata().labels["team"], "a");
}

#[test]
fn what_the_api_refuses_is_refused() {
    let from = |peer: &str| format!("ingress: [{{from: [{peer}]}}]");
    let port = |port: &str| format!("ingress: [{{ports: [{port}]}}]");
    for (spec, wanted) in [
        (
            // Left out it would be everybody.
            from("{podSelector: {matchLabels: {app: }}}"),
            "t:5:53: spec.ingress[0].from[0].podSelector.matchLabels.app: null is not allowed",
        ),
        (
            from("{}"),
            "t:5:21: spec.ingress[0].from[0]: names nobody; give podSelector",
        ),
        (
            from("{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}"),
            "t:5:22: spec.ingress[0].from[0].podSelector: cannot stand beside ipBlock",
        ),
        (
            from("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/16]}}"),
            "t:5:72: spec.ingress[0].from[0].ipBlock.except[1]: 11.0.0.0/16 is not a part of 10.0.0.0/8",
        ),
        (
            from("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}"),
            "t:5:59: spec.ingress[0].from[0].ipBlock.except[0]: 10.0.0.0/8 is not a part of",
        ),
        (
            from("{ipBlock: {cidr: 10.0.0.1}}"),
            "t:5:38: spec.ingress[0].from[0].ipBlock.cidr: \"10.0.0.1\" is not allowed: it must be an address with the length",
        ),
        (
            from("{ipBlock: {except: [10.0.0.0/8]}}"),
            "t:5:22: spec.ingress[0].from[0].ipBlock.cidr: missing",
        ),
        (
            port("{port: 0}"),
            "t:5:29: spec.ingress[0].ports[0].port: 0 is no port; it must be between 1 and 65535",
        ),
        (
            port("{port: 65536}"),
            "t:5:29: spec.ingress[0].ports[0].port: 65536 is no port",
        ),
        (
            port("{port: '80'}"),
            "t:5:29: spec.ingress[0].ports[0].port: \"80\" in quotes is a name of a port",
        ),
        (
            port("{port: Web_1}"),
            "t:5:29: spec.ingress[0].ports[0].port: \"Web_1\" is no port; give a number",
        ),
        (
            port("{port: 80, endPort: 79}"),
            "t:5:42: spec.ingress[0].ports[0].endPort: 79 is less than port, 80",
        ),
        (
            port("{port: web, endPort: 90}"),
            "t:5:43: spec.ingress[0].ports[0].endPort: 90 cannot stand beside the named port \"web\"",
        ),
        (
            port("{endPort: 90}"),
            "t:5:32: spec.ingress[0].ports[0].endPort: 90 ends a range that has no beginning",
        ),
        (
            port("{protocol: tcp}"),
            "t:5:33: spec.ingress[0].ports[0].protocol: \"tcp\" is not allowed (did you mean TCP?); it must be TCP, UDP or SCTP",
        ),
        (
            "policyTypes: [ingress]".to_owned(),
            "t:5:17: spec.policyTypes[0]: \"ingress\" is not allowed (did you mean Ingress?)",
        ),
        (
            "podSelector: {matchLabels: {app: 1}}".to_owned(),
            "t:5:36: spec.podSelector.matchLabels.app: \"1\" is not allowed: it must be a text",
        ),
        (
            "podSelector: {matchLabels: {app: \"it's\"}}".to_owned(),
            "t:5:36: spec.podSelector.matchLabels.app: \"it's\" is no value of a label",
        ),
        (
            "podSelector: {matchLabels: {a/b/c: x}}".to_owned(),
            "t:5:38: spec.podSelector.matchLabels.a/b/c: \"a/b/c\" is no name of a label",
        ),
        (
            "podSelector: {matchExpressions: [{key: a, operator: In}]}".to_owned(),
            "t:5:36: spec.podSelector.matchExpressions[0].values: missing; In needs",
        ),
        (
            "podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}".to_owned(),
            "t:5:63: spec.podSelector.matchExpressions[0].values: Exists takes no values",
        ),
        (
            "podSelector: {matchExpressions: [{key: a, operator: Gt, values: [b]}]}".to_owned(),
            "t:5:55: spec.podSelector.matchExpressions[0].operator: \"Gt\" is not allowed",
        ),
        (
            "ingres: []".to_owned(),
            "t:5:3: spec.ingres: unknown field ingres (did you mean ingress?)",
        ),
        (
            "ingress: [{from: [{serviceAccounts: {}}]}]".to_owned(),
            "t:5:22: spec.ingress[0].from[0].serviceAccounts: unknown field serviceAccounts",
        ),
    ] {
        let text = format!("{HEAD}{}", indent(&spec));
        assert_faults("t", &text, &[(wanted, &[])]);
    }
    let long = HEAD.replace("name: web", &format!("name: {}", "w".repeat(250)));
    assert_faults("t", &long, &[("t:3:18: metadata.name: ", &["shorter"])]);
    assert_faults(
        "t",
        &HEAD.replace("networking.k8s.io/v1", "extensions/v1beta1"),
        &[(
            "t:1:13: apiVersion: \"extensions/v1beta1\" is not spoken here; \
             write tombolo.dev/v1, networking.k8s.io/v1 or projectcalico.org/v3",
            &[],
        )],
    );
}
