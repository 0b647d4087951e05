//! Policies at random, as text: two seeds that are the same make the same.
//!
//! Names, labels and ports are few, so that rules meet packets often.

use std::fmt::Write as _;

/// Numbers that only look like chance (splitmix64, Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// A row of numbers of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another.
    ///
    /// # Panics
    /// There is none below 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("a usize is a u64");
        usize::try_from(self.next() % end).expect("it is below a usize")
    }

    /// Yes, in so many of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    /// Some of these, at least one, as a list.
    fn some(&mut self, of: &[&str]) -> String {
        let mut chosen: Vec<&str> = of.to_vec();
        chosen.retain(|_| self.percent(40));
        if chosen.is_empty() {
            chosen.push(self.one(of));
        }
        format!("[{}]", chosen.join(", "))
    }
}

const APPS: [&str; 3] = ["web", "api", "db"];
const ROLES: [&str; 2] = ["blue", "green"];
const SELECTORS: [&str; 13] = [
    "all()",
    "app == \"web\"",
    "app != \"api\"",
    "role == \"blue\"",
    "has(role)",
    "!has(app)",
    "app in {\"web\", \"db\"}",
    "app not in {\"web\"}",
    "app starts with \"d\"",
    "app contains \"p\" || role ends with \"n\"",
    "app == \"web\" && role == \"blue\"",
    "given == \"yes\"",
    "app == \"nobody\"",
];
const NAMESPACE_SELECTORS: [&str; 6] = [
    "all()",
    "team == \"one\"",
    "has(team)",
    "projectcalico.org/name == \"y\"",
    "kubernetes.io/metadata.name != \"x\"",
    "global()",
];
const NETS: [&str; 11] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/29",
    "10.1.0.4/32",
    "10.2.0.0/16",
    "10.3.0.0/24",
    "192.168.0.9/32",
    "192.168.0.0/24",
    "'fd00:1::/64'",
    "'fd00:5::9/128'",
    "'::/0'",
];
/// Nodes, and their addresses.
const NODES: [(&str, &str); 2] = [
    ("a", "192.168.0.1, 'fd00:5::1'"),
    ("b", "192.168.0.2, 'fd00:5::2'"),
];
const PORTS: [&str; 8] = [
    "80",
    "81",
    "443",
    "'80:81'",
    "'1:79'",
    "'82:9000'",
    "web",
    "dns",
];
const SOURCE_PORTS: [&str; 3] = ["'20000:20500'", "'1:65535'", "80"];

/// The labels of an endpoint or set.
#[must_use]
pub fn labels(dice: &mut Dice) -> String {
    let mut labels = Vec::new();
    if dice.percent(75) {
        labels.push(format!("app: {}", dice.one(&APPS)));
    }
    if dice.percent(50) {
        labels.push(format!("role: {}", dice.one(&ROLES)));
    }
    labels.join(", ")
}

/// What an endpoint's `spec` says beside where it is; every field behind a comma.
#[must_use]
pub fn endpoint(dice: &mut Dice) -> String {
    let mut fields = Vec::new();
    if dice.percent(35) {
        fields.push(format!(
            ", profiles: {}",
            dice.some(&["p1", "p2", "missing"])
        ));
    }
    if dice.percent(50) {
        fields.push(format!(", namedPorts: [{}]", named_ports(dice)));
    }
    fields.concat()
}

fn named_ports(dice: &mut Dice) -> String {
    let mut ports = Vec::new();
    for (name, protocol) in [("web", "TCP"), ("web", "SCTP"), ("dns", "UDP")] {
        if dice.percent(60) {
            let port = dice.one(&["80", "81"]);
            ports.push(format!(
                "{{name: {name}, protocol: {protocol}, port: {port}}}"
            ));
        }
    }
    ports.join(", ")
}

/// Tiers, policies, profiles and sets, for containers of the namespaces x, y and z and for the host.
#[must_use]
pub fn policies(dice: &mut Dice) -> String {
    let mut text = String::new();
    let mut write = |kind: &str, metadata: &str, spec: &str| {
        let _ = write!(
            text,
            "---\napiVersion: tombolo.dev/v1\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {{{spec}}}\n"
        );
    };
    for namespace in ["x", "y"] {
        let team = dice.one(&["team: one", "team: two", ""]);
        write(
            "Namespace",
            &format!("name: {namespace}, labels: {{{team}}}"),
            "",
        );
    }
    for network in ["default", "other"] {
        let pools = if network == "default" {
            "p4, p6"
        } else {
            "q4, q6"
        };
        let isolation = dice.one(&["network", "none"]);
        write(
            "Network",
            &format!("name: {network}"),
            &format!(
                "driver: routed, transport: {{type: direct}}, pools: [{pools}], isolation: {isolation}"
            ),
        );
    }
    for name in ["n1", "n2"] {
        let metadata = format!("name: {name}, labels: {{{}}}", labels(dice));
        let nets = format!("nets: {}", dice.some(&NETS));
        match dice.percent(60) {
            true => write("GlobalNetworkSet", &metadata, &nets),
            false => write("NetworkSet", &format!("namespace: x, {metadata}"), &nets),
        }
    }
    for tier in ["first", "second"] {
        if dice.percent(60) {
            let spec = format!(
                "order: {}, defaultAction: {}",
                dice.one(&["1", "2"]),
                dice.one(&["Pass", "Deny"])
            );
            write("Tier", &format!("name: {tier}"), &spec);
        }
    }
    for profile in ["p1", "p2"] {
        let mut spec = sides(dice, &["Allow", "Allow", "Deny", "Log"]);
        if dice.percent(50) {
            spec.push("labelsToApply: {given: 'yes'}".to_owned());
        }
        write("Profile", &format!("name: {profile}"), &spec.join(", "));
    }
    for number in 0..dice.below(7) {
        let (kind, metadata, spec) = policy(dice, number);
        write(kind, &metadata, &spec);
    }
    for node in NODES {
        if dice.percent(30) {
            let metadata = format!("name: h{}, labels: {{{}}}", node.0, labels(dice));
            write("HostEndpoint", &metadata, &host(dice, node));
        }
    }
    text
}

fn host(dice: &mut Dice, (node, addresses): (&str, &str)) -> String {
    let expected = format!("expectedIPs: [{addresses}]");
    let which = match dice.below(4) {
        0 => "interfaceName: eth0".to_owned(),
        1 => format!("interfaceName: eth0, {expected}"),
        2 => expected,
        _ => "interfaceName: '*'".to_owned(),
    };
    let profiles = dice.one(&["", ", profiles: [p1]", ", profiles: [p2, p1]"]);
    let ports = named_ports(dice);
    format!("node: {node}, {which}{profiles}, ports: [{ports}]")
}

fn policy(dice: &mut Dice, number: usize) -> (&'static str, String, String) {
    let tier = dice.one(&["default", "default", "first", "second", "unwritten"]);
    let mut spec = vec![format!("tier: {tier}")];
    if dice.percent(70) {
        spec.push(format!("order: {}", dice.one(&["1", "2.5", "100"])));
    }
    spec.push(format!("selector: '{}'", dice.one(&SELECTORS)));
    if dice.percent(60) {
        spec.push(format!("types: {}", dice.some(&["Ingress", "Egress"])));
    }
    spec.extend(sides(
        dice,
        &["Allow", "Allow", "Allow", "Deny", "Pass", "Log"],
    ));
    let name = format!("name: policy{number}");
    if dice.percent(50) {
        if dice.percent(30) {
            spec.push(format!(
                "namespaceSelector: '{}'",
                dice.one(&NAMESPACE_SELECTORS)
            ));
        }
        return ("GlobalNetworkPolicy", name, spec.join(", "));
    }
    let namespace = dice.one(&["x", "y", "z"]);
    (
        "NetworkPolicy",
        format!("namespace: {namespace}, {name}"),
        spec.join(", "),
    )
}

/// Rules of both directions.
fn sides(dice: &mut Dice, actions: &[&str]) -> Vec<String> {
    let mut sides = Vec::new();
    for side in ["ingress", "egress"] {
        if dice.percent(65) {
            let rules: Vec<String> = (0..=dice.below(3)).map(|_| rule(dice, actions)).collect();
            sides.push(format!("{side}: [{}]", rules.join(", ")));
        }
    }
    sides
}

fn rule(dice: &mut Dice, actions: &[&str]) -> String {
    let mut fields = vec![format!("action: {}", dice.one(actions))];
    let version = dice.percent(15).then(|| dice.one(&["4", "6"]));
    fields.extend(version.map(|version| format!("ipVersion: {version}")));
    let mut has_ports = false;
    if dice.percent(60) {
        let icmp = if version == Some("6") {
            "ICMPv6"
        } else {
            "ICMP"
        };
        let protocol = dice.one(&["TCP", "TCP", "UDP", "SCTP", "6", icmp]);
        fields.push(format!("protocol: {protocol}"));
        has_ports = protocol != icmp;
        if protocol == icmp && dice.percent(60) {
            let which = dice.one(&[
                "type: 8",
                "type: 8, code: 0",
                "type: 128",
                "type: 13, code: 3",
            ]);
            fields.push(format!("{}: {{{which}}}", dice.one(&["icmp", "notICMP"])));
        }
    } else if dice.percent(20) {
        fields.push(format!("notProtocol: {}", dice.one(&["TCP", "UDP", "132"])));
    }
    let source = end(dice, has_ports.then_some(&SOURCE_PORTS), version);
    let destination = end(dice, has_ports.then_some(&PORTS), version);
    for (name, end) in [("source", source), ("destination", destination)] {
        if !end.is_empty() {
            fields.push(format!("{name}: {{{}}}", end.join(", ")));
        }
    }
    format!("{{{}}}", fields.join(", "))
}

fn end(dice: &mut Dice, ports: Option<&[&str]>, version: Option<&str>) -> Vec<String> {
    let mut nets = NETS.to_vec();
    // A rule of one version of IP may not name addresses of the other.
    nets.retain(|net| version.is_none_or(|version| (version == "6") == net.contains("::")));
    let mut fields = Vec::new();
    if dice.percent(35) {
        fields.push(format!("selector: '{}'", dice.one(&SELECTORS)));
    }
    if dice.percent(12) {
        fields.push(format!("notSelector: '{}'", dice.one(&SELECTORS)));
    }
    if dice.percent(15) {
        fields.push(format!(
            "namespaceSelector: '{}'",
            dice.one(&NAMESPACE_SELECTORS)
        ));
    }
    if dice.percent(15) {
        fields.push(format!("nets: {}", dice.some(&nets)));
    }
    if dice.percent(10) {
        fields.push(format!("notNets: {}", dice.some(&nets)));
    }
    if let Some(ports) = ports {
        if dice.percent(40) {
            fields.push(format!("ports: {}", dice.some(ports)));
        }
        if dice.percent(10) {
            fields.push(format!("notPorts: {}", dice.some(ports)));
        }
    }
    fields
}
