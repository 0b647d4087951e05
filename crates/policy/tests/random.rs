//! Policies at random: the evaluator says what the second, naive implementation says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/asking.rs"]
mod asking;
#[path = "support/naive/mod.rs"]
mod naive;
#[path = "support/truth.rs"]
mod truth;

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use tombolo_model::Family;
use tombolo_policy::{Evaluator, changes};
use truth::{Pod, Probe, Truth};

/// Everything that is made up.
#[derive(Debug, Clone)]
struct Made {
    pods: Vec<Pod>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    applied: Vec<Value>,
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(words).prop_map(str::to_owned)
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(one_of(&["k", "l"]), one_of(&["a", "b", ""]), 0..3)
}

fn made() -> impl Strategy<Value = Made> {
    let pods = vec((labels(), vec(one_of(&["p", "q", "nobody"]), 0..3)), 9);
    let pods = pods.prop_map(|made| {
        let pods = truth::custom_pods().into_iter().zip(made).enumerate();
        let pod = |(place, (mut pod, (labels, profiles))): (usize, (Pod, _))| {
            pod.labels = labels;
            pod.profiles = if place % 3 == 0 { profiles } else { Vec::new() };
            pod.node = if place % 2 == 0 { "n1" } else { "n2" }.to_owned();
            pod.ports = [("web", "TCP", 80), ("web", "UDP", 81)][..place % 3]
                .iter()
                .map(|(name, protocol, port)| ((*name).into(), (*protocol).into(), *port))
                .collect();
            pod
        };
        pods.map(pod).collect::<Vec<Pod>>()
    });
    let namespaces = btree_map(one_of(&["x", "y", "z"]), labels(), 3);
    let applied = (
        vec(kubernetes(), 0..4),
        vec(calico("NetworkPolicy"), 0..5),
        vec(calico("GlobalNetworkPolicy"), 0..4),
        vec(beside(), 0..6),
    );
    (pods, namespaces, applied).prop_map(|(pods, namespaces, (k, n, g, beside))| {
        let mut applied: Vec<Value> = [k, n, g, beside].concat();
        for (place, value) in applied.iter_mut().enumerate() {
            // Some kinds are found by names that others say.
            if !["Tier", "Profile"].contains(&value["kind"].as_str().unwrap()) {
                value["metadata"]["name"] = format!("n{}", place * 7 % 10).into();
            }
        }
        let key = |v: &Value| {
            let tier = v["apiVersion"] == "networking.k8s.io/v1";
            let of = &v["metadata"];
            (
                tier,
                v["kind"].to_string(),
                of["namespace"].to_string(),
                of["name"].to_string(),
            )
        };
        let mut unique = BTreeMap::new();
        for value in applied {
            unique.insert(key(&value), value);
        }
        Made {
            pods,
            namespaces,
            applied: unique.into_values().collect(),
        }
    })
}

/// An object without the fields that are none.
fn object(fields: Vec<(&str, Option<Value>)>) -> Value {
    let given = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect())
}

fn selector() -> impl Strategy<Value = String> {
    let label = || one_of(&["k", "l"]);
    let value = || one_of(&["'a'", "\"b\"", "''"]);
    let leaf = prop_oneof![
        one_of(&["all()"]),
        (
            label(),
            one_of(&["==", "!=", "contains", "starts with", "ends with"]),
            value()
        )
            .prop_map(|(label, operator, value)| format!("{label} {operator} {value}")),
        (label(), one_of(&["in", "not in"]), value(), value())
            .prop_map(|(label, operator, one, two)| format!("{label} {operator} {{{one}, {two}}}")),
        label().prop_map(|label| format!("has({label})")),
    ];
    leaf.prop_recursive(2, 5, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), one_of(&["&&", "||"]), inner)
                .prop_map(|(a, operator, b)| format!("{a} {operator} ({b})")),
        ]
    })
}

fn net() -> impl Strategy<Value = String> + Clone {
    one_of(&[
        "10.32.1.0/24",
        "10.32.2.0/25",
        "10.32.2.10/32",
        "10.32.0.0/16",
        "192.0.2.0/24",
        "0.0.0.0/0",
        "192.168.50.2/32",
        "fd32::/64",
    ])
}

fn ports() -> impl Strategy<Value = Value> {
    let port = prop_oneof![
        Just(json!(80)),
        Just(json!("81:90")),
        Just(json!("1:80")),
        Just(json!("web"))
    ];
    vec(port, 1..3).prop_map(Value::from)
}

fn end() -> impl Strategy<Value = Value> {
    let text = |s: String| Value::from(s);
    let namespaces = prop_oneof![4 => selector().boxed(), 1 => one_of(&["global()"]).boxed()];
    (
        option::weighted(0.4, selector().prop_map(text)),
        option::weighted(0.3, namespaces.prop_map(text)),
        option::weighted(0.15, selector().prop_map(text)),
        option::weighted(0.2, vec(net(), 1..3).prop_map(Value::from)),
        option::weighted(0.2, vec(net(), 1..3).prop_map(Value::from)),
    )
        .prop_map(|(selector, namespaces, not, nets, not_nets)| {
            object(vec![
                ("selector", selector),
                ("namespaceSelector", namespaces),
                ("notSelector", not),
                ("nets", nets),
                ("notNets", not_nets),
            ])
        })
}

fn rule(actions: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let packet = prop_oneof![
        3 => Just(json!({})),
        1 => (ports(), any::<bool>(), one_of(&["TCP", "UDP"])).prop_map(|(ports, not, protocol)| {
            let field = if not { "notPorts" } else { "ports" };
            json!({ "protocol": protocol, "destination": { field: ports } })
        }),
        1 => one_of(&["TCP", "UDP", "SCTP"]).prop_map(|protocol| json!({ "protocol": protocol })),
        1 => one_of(&["TCP", "UDP", "ICMP"]).prop_map(|protocol| json!({ "notProtocol": protocol })),
        1 => any::<bool>().prop_map(|not| {
            let field = if not { "notICMP" } else { "icmp" };
            json!({ "protocol": "ICMP", field: { "type": 8, "code": 0 } })
        }),
    ];
    (one_of(actions), packet, end(), end(), any::<u8>()).prop_map(
        |(action, mut rule, source, destination, which)| {
            rule["action"] = action.into();
            if which % 3 != 0 {
                rule["source"] = source;
            }
            if which % 4 == 0 {
                let known = rule["destination"].as_object().cloned().unwrap_or_default();
                let mut destination = destination;
                destination.as_object_mut().unwrap().extend(known);
                rule["destination"] = destination;
            }
            rule
        },
    )
}

fn calico(kind: &'static str) -> impl Strategy<Value = Value> {
    let rules = || option::of(vec(rule(&["Allow", "Allow", "Deny", "Pass", "Log"]), 0..3));
    let types = prop::sample::select(vec![
        json!(["Ingress"]),
        json!(["Egress"]),
        json!(["Ingress", "Egress"]),
    ]);
    (
        one_of(&["x", "y", "z"]),
        option::of(prop::sample::select(vec![json!(-1), json!(5), json!(1000), json!(2e6)])),
        option::of(one_of(&["default", "first", "second"]).prop_map(Value::from)),
        option::of(selector().prop_map(Value::from)),
        option::of(selector().prop_map(Value::from)),
        (option::of(types), rules(), rules()),
    )
        .prop_map(move |(namespace, order, tier, selector, namespaces, (types, ingress, egress))| {
            let is_global = kind == "GlobalNetworkPolicy";
            let spec = object(vec![
                ("order", order),
                ("tier", tier),
                ("selector", selector),
                ("namespaceSelector", namespaces.filter(|_| is_global)),
                ("types", types),
                ("ingress", ingress.map(Value::from)),
                ("egress", egress.map(Value::from)),
            ]);
            let namespace = (!is_global).then(|| namespace.into());
            let metadata = object(vec![("namespace", namespace)]);
            json!({ "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec })
        })
}

/// Tiers, profiles, sets and hosts' interfaces.
fn beside() -> impl Strategy<Value = Value> {
    let v3 = |kind: &str, metadata: Value, spec: Value| json!({ "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec });
    let order = || option::of((0..3).prop_map(Value::from));
    let rules = || vec(rule(&["Allow", "Deny", "Log"]), 0..2);
    prop_oneof![
        (
            one_of(&["default", "first", "second"]),
            order(),
            one_of(&["Pass", "Deny"])
        )
            .prop_map(move |(name, order, end)| {
                let spec = object(vec![("order", order), ("defaultAction", Some(end.into()))]);
                v3("Tier", json!({ "name": name }), spec)
            }),
        (one_of(&["p", "q"]), labels(), rules(), rules()).prop_map(
            move |(name, labels, ingress, egress)| {
                let spec = json!({ "labelsToApply": labels, "ingress": ingress, "egress": egress });
                v3("Profile", json!({ "name": name }), spec)
            }
        ),
        (labels(), vec(net(), 0..3)).prop_map(move |(labels, nets)| {
            v3(
                "GlobalNetworkSet",
                json!({ "labels": labels }),
                json!({ "nets": nets }),
            )
        }),
        (one_of(&["x", "y"]), labels(), vec(net(), 0..3)).prop_map(
            move |(namespace, labels, nets)| {
                let metadata = json!({ "namespace": namespace, "labels": labels });
                v3("NetworkSet", metadata, json!({ "nets": nets }))
            }
        ),
        (labels(), vec(one_of(&["p", "q"]), 0..2)).prop_map(move |(labels, profiles)| {
            let spec = json!({ "node": "n2", "interfaceName": "eth0", "profiles": profiles,
                               "expectedIPs": ["192.168.50.2"] });
            v3("HostEndpoint", json!({ "labels": labels }), spec)
        }),
    ]
}

/// Of a rule of Kubernetes.
type PeersAndPorts = (Option<Vec<Value>>, Option<Vec<Value>>);

fn label_selector() -> impl Strategy<Value = Value> {
    let expression = (
        one_of(&["k", "l"]),
        one_of(&["In", "NotIn", "Exists", "DoesNotExist"]),
    )
        .prop_map(|(key, operator)| match operator.as_str() {
            "In" | "NotIn" => json!({ "key": key, "operator": operator, "values": ["a", ""] }),
            _ => json!({ "key": key, "operator": operator }),
        });
    (option::of(labels()), option::of(vec(expression, 0..3))).prop_map(|(labels, expressions)| {
        object(vec![
            ("matchLabels", labels.map(|labels| json!(labels))),
            ("matchExpressions", expressions.map(Value::from)),
        ])
    })
}

fn kubernetes() -> impl Strategy<Value = Value> {
    let block = (one_of(&["10.32.0.0/16", "0.0.0.0/0"]), option::of(vec(
        one_of(&["10.32.1.0/24", "10.32.2.10/32"]), 0..3))).prop_map(|(cidr, except)| {
        json!({ "ipBlock": object(vec![("cidr", Some(cidr.into())), ("except", except.map(Value::from))]) })
    });
    let selectors = (option::of(label_selector()), option::of(label_selector())).prop_map(
        |(pods, namespaces)| {
            let pods = pods.or_else(|| namespaces.is_none().then(|| json!({})));
            object(vec![
                ("podSelector", pods),
                ("namespaceSelector", namespaces),
            ])
        },
    );
    let peer = prop_oneof![1 => block.boxed(), 3 => selectors.boxed()];
    let port = prop_oneof![
        Just(json!({ "port": 80 })),
        Just(json!({ "port": 80, "endPort": 90 })),
        Just(json!({ "protocol": "UDP" })),
        Just(json!({ "protocol": "SCTP", "port": 80 })),
        Just(json!({ "port": "web" })),
    ];
    let rule = (option::of(vec(peer, 0..3)), option::of(vec(port, 0..3)));
    let rules = option::of(vec(rule, 0..3));
    let types = prop::sample::select(vec![
        json!(["Ingress"]),
        json!(["Egress"]),
        json!(["Ingress", "Egress"]),
    ]);
    let list = |rules: Vec<PeersAndPorts>, peers: &str| -> Value {
        let rules = rules.into_iter().map(|(peer, ports)| {
            object(vec![
                (peers, peer.map(Value::from)),
                ("ports", ports.map(Value::from)),
            ])
        });
        rules.collect::<Vec<_>>().into()
    };
    (
        one_of(&["x", "y", "z"]),
        label_selector(),
        option::of(types),
        rules.clone(),
        rules,
    )
        .prop_map(move |(namespace, pods, types, ingress, egress)| {
            let spec = object(vec![
                ("podSelector", Some(pods)),
                ("policyTypes", types),
                ("ingress", ingress.map(|rules| list(rules, "from"))),
                ("egress", egress.map(|rules| list(rules, "to"))),
            ]);
            json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                    "metadata": { "namespace": namespace }, "spec": spec })
        })
}

impl Made {
    /// As a table, in which everybody takes part and nothing is expected.
    fn table(&self) -> Truth {
        let head = "# Made up.\n#: outside cloud 192.0.2.7\n#: probe TCP 80, TCP 81, UDP 81, SCTP 80, ICMP, ICMP 13/0\n\
                    #: allow *, cloud, host:n1, host:n2 -> *\n";
        let documents: Vec<String> = self.applied.iter().map(ToString::to_string).collect();
        let mut table = Truth::parse("made", &format!("{head}{}", documents.join("\n---\n")));
        table.pods.clone_from(&self.pods);
        table.namespaces.clone_from(&self.namespaces);
        table
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn two_readings_agree(made in made()) {
        let table = made.table();
        let world = table.world();
        let evaluator = Evaluator::new(&world);
        let naive = naive::of_table(&table);
        for (from, to, probe, _) in table.flows() {
            let party = |name| asking::party(name, &table.others);
            let flow = asking::flow(party(&from), party(&to), &probe, Family::V4);
            let expected = naive.table_flow(&table, (&from, &to), &probe, false);
            prop_assert_eq!(
                evaluator.allows(&flow), expected,
                "{}: {}\n{:#?}", flow, evaluator.verdict(&flow), made
            );
        }
    }

    #[test]
    fn advice_and_changes_are_true(before in made(), more in made()) {
        // The same pods and namespaces, other policies.
        let after = Made { applied: more.applied, ..before.clone() };
        let (old, new) = (before.table().world(), after.table().world());
        let (was, is) = (Evaluator::new(&old), Evaluator::new(&new));
        let found = changes(&old, &new);
        prop_assert!(found.complete);
        let table = before.table();
        let probes = [Probe::Port("TCP".into(), 80), Probe::Port("UDP".into(), 81), Probe::Icmp(8, 0)];
        for from in &before.pods {
            for to in before.pods.iter().filter(|to| to.title() != from.title()) {
                for probe in &probes {
                    let party = |pod: &Pod| asking::party(&pod.title(), &table.others);
                    let flow = asking::flow(party(from), party(to), probe, Family::V4);
                    let told = found.changes.iter().find(|change| {
                        change.from.contains(&flow.from)
                            && change.to.contains(&flow.to)
                            && change.family != Some(Family::V6)
                            && (change.traffic.is_empty() || change.traffic.iter().any(|t| is_of(probe, t)))
                    });
                    let changed = was.allows(&flow) != is.allows(&flow);
                    prop_assert_eq!(told.map(|c| c.allowed), changed.then(|| is.allows(&flow)), "{}", flow);
                    prop_assert_eq!(is.advice(&flow).is_empty(), is.allows(&flow), "{}", flow);
                }
            }
        }
    }
}

/// Whether a packet is one of those that a change is about.
fn is_of(probe: &Probe, traffic: &tombolo_policy::Traffic) -> bool {
    use tombolo_policy::Traffic;
    match (probe, traffic) {
        (Probe::Port(protocol, port), Traffic::Ports(of, first, last)) => {
            *protocol == of.to_string() && (first..=last).contains(&port)
        }
        (Probe::Icmp(kind, code), Traffic::Icmp(of, with)) => (kind, code) == (of, with),
        _ => false,
    }
}
