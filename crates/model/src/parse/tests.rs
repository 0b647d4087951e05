mod bgp;
mod calico;
mod kubernetes;
mod policy;

use super::*;

/// The beginning of a pool; its spec follows from line 5 on.
const POOL: &str = "apiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {name: a}\nspec:\n";
const NETWORK: &str = "apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {name: n}\nspec:\n";

fn faults_of(file: &str, text: &str) -> Vec<ParseError> {
    match parse(file, text) {
        Ok(parsed) => panic!("no fault in {text}: {parsed:?}"),
        Err(errors) => errors.0,
    }
}

/// Asserts that a text has exactly these faults: what each begins with, and parts of it.
fn assert_faults(file: &str, text: &str, wanted: &[(&str, &[&str])]) {
    let faults = faults_of(file, text);
    assert_eq!(faults.len(), wanted.len(), "{text}\n{faults:#?}");
    for (fault, (beginning, parts)) in faults.iter().zip(wanted) {
        let said = fault.to_string();
        assert!(said.starts_with(beginning), "{said}\nwanted: {beginning}");
        for part in *parts {
            assert!(said.contains(part), "{said}\nwanted: {part}");
        }
    }
}

#[test]
fn texts_that_are_no_yaml_or_json() {
    assert_faults("t.yaml", "a: [", &[("t.yaml:2:1: this is not YAML: ", &[])]);
    assert_faults(
        "t.yaml",
        "a: 'b",
        &[("t.yaml:", &["this is not YAML: ", "quoted scalar"])],
    );
    assert_faults(
        "t.yaml",
        "kind: IPPool\nmetadata:\n\tname: x\n",
        &[("t.yaml:3:", &["indent by spaces, not by tabs"])],
    );
    assert_faults(
        "t.json",
        "{\"a\": 1,}",
        &[("t.json:1:9: this is not JSON: key must be a string", &[])],
    );
    assert_faults(
        "t.json",
        "{\"a\": 1",
        &[("t.json:1:7: this is not JSON: EOF", &[])],
    );
    assert_faults(
        "t.json",
        "kind: IPPool",
        &[("t.json:1:1: this is not JSON: ", &[])],
    );
    assert_faults(
        "-",
        "just words",
        &[("-:1:1: a resource is a map with apiVersion", &[])],
    );
    assert_faults(
        "-",
        "- a\n- b",
        &[("-:1:1: a resource is a map with apiVersion", &[])],
    );
    assert_faults("-", "? [a]\n: b", &[("-:1:3: a key must be a word", &[])]);
    assert_faults(
        "-",
        "a: !secret b",
        &[("-:1:4: a: the tag !secret has no meaning", &[])],
    );
}

#[test]
fn kinds_and_versions() {
    assert_faults(
        "t",
        "apiVersion: tombolo.dev/v1\nkind: IPPol\n",
        &[(
            "t:2:7: kind: unknown kind \"IPPol\" (did you mean IPPool?); the kinds that can be \
             written are Node, Network, IPPool, IPReservation",
            &[],
        )],
    );
    assert_faults(
        "t",
        "apiVersion: tombolo.dev/v1",
        &[("t:1:1: kind: missing; the kinds", &[])],
    );
    assert_faults(
        "t",
        "kind: 3",
        &[("t:1:7: kind: the kinds that can be", &[])],
    );
    assert_faults(
        "t",
        "apiVersion: tombolo.dev/v1\nkind: Block\n",
        &[(
            "t:2:7: kind: Block is written by Tombolo itself; the kinds",
            &[],
        )],
    );
    assert_faults(
        "t",
        &POOL
            .replace("tombolo.dev/v1", "projectcalico.org/v3")
            .replace("spec:", "spec: {cidr: 10.0.0.0/8}"),
        &[(
            "t:1:13: apiVersion: \"projectcalico.org/v3\" is not spoken here; write tombolo.dev/v1",
            &[],
        )],
    );
    assert_faults(
        "t",
        "kind: IPPool\nmetadata: {name: a}\nspec: {cidr: 10.0.0.0/8}",
        &[(
            "t:1:1: apiVersion: missing; write apiVersion: tombolo.dev/v1",
            &[],
        )],
    );
}

#[test]
fn one_faulty_field() {
    for (spec, beginning, value, parts) in [
        (
            "  cidr: 10.0.0.0/8\n  blockSize: 33\n",
            "t:6:14: spec.blockSize: 33 is not allowed: for ipv4 it must be between 20 and 32",
            Some("33"),
            &[][..],
        ),
        (
            "  cidr: 10.0.0.0/8\n  natOutgoin: true\n",
            "t:6:3: spec.natOutgoin: unknown field natOutgoin (did you mean natOutgoing?)",
            Some("true"),
            &["allowed are cidr, space, blockSize, natOutgoing, nodeSelector"],
        ),
        (
            "  cidr: 10.0.0.0/8\n  blockSize: wide\n",
            "t:6:14: spec.blockSize: \"wide\" is not allowed: it must be a whole number",
            Some("wide"),
            &["between 0 and 255"],
        ),
        (
            "  cidr: 10.0.0.0/8\n  blockSize: 300\n",
            "t:6:14: spec.blockSize: \"300\" is not allowed",
            Some("300"),
            &["between 0 and 255"],
        ),
        (
            "  cidr: 10.0.0.0/8\n  disabled: no\n",
            "t:6:13: spec.disabled: \"no\" is not allowed: it must be true or false",
            Some("no"),
            &[],
        ),
        (
            "  disabled: false\n",
            "t:4:1: spec.cidr: missing; cidr must be given",
            None,
            &[],
        ),
        (
            "  cidr: 10.0/8\n",
            "t:5:9: spec.cidr: \"10.0/8\" is not allowed: it must be an address with",
            Some("10.0/8"),
            &["10.244.0.0/16 or fd00::/64"],
        ),
        (
            "  cidr: 10.0.0.1/8\n",
            "t:5:9: spec.cidr: 10.0.0.1/8 has bits set below its prefix; write 10.0.0.0/8",
            Some("10.0.0.1/8"),
            &[],
        ),
        (
            "  cidr: 10.0.0.0/8\n  cidr: 10.0.0.0/9\n",
            "t:6:3: spec.cidr: given twice, first on line 5; keep one",
            None,
            &[],
        ),
        (
            "  cidr: 10.0.0.0/8\n  nodeSelector: rack = 'a'\n",
            "t:6:22: spec.nodeSelector: \"rack -->= 'a'\" is not a selector: there is '='",
            Some("rack = 'a'"),
            &["starts with", "at character 6"],
        ),
        (
            "  cidr: [10.0.0.0/8]\n",
            "t:5:3: spec.cidr: ",
            None,
            &["is not allowed: it must be"],
        ),
    ] {
        let text = format!("{POOL}{spec}");
        assert_faults("t", &text, &[(beginning, parts)]);
        assert_eq!(faults_of("t", &text)[0].value.as_deref(), value, "{spec}");
    }
}

#[test]
fn several_faults_are_told_at_once() {
    assert_faults(
        "t",
        &format!(
            "{}  cidr: x\n  blokSize: 26\n  disabled: on\n",
            POOL.replace("name: a", "name: -a")
        ),
        &[
            (
                "t:3:18: metadata.name: name \"-a\" is not allowed: it must start with a letter",
                &[],
            ),
            ("t:5:9: spec.cidr: \"x\" is not allowed", &[]),
            (
                "t:6:3: spec.blokSize: unknown field blokSize (did you mean blockSize?)",
                &[],
            ),
            (
                "t:7:13: spec.disabled: \"on\" is not allowed: it must be true or false",
                &[],
            ),
        ],
    );
    assert_faults(
        "t",
        &format!(
            "{NETWORK}  driver: routed\n  mtu: 12\n  pools: [-a, b]\n  transport: {{tpe: a}}\n"
        ),
        &[
            ("t:6:8: spec.mtu: ", &["between 576 and 65535"]),
            ("t:7:11: spec.pools[0]: name \"-a\"", &[]),
            (
                "t:8:3: spec.transport: type: missing; name a transport such as vxlan",
                &[],
            ),
        ],
    );
    let second = format!("{POOL}  cidr: x\n---\n{NETWORK}  drivr: x\n---\n# nothing\n");
    assert_faults(
        "t",
        &second,
        &[
            ("t:5:9: spec.cidr: ", &[]),
            ("t:10:1: spec.driver: missing", &[]),
            (
                "t:11:3: spec.drivr: unknown field drivr (did you mean driver?)",
                &[],
            ),
        ],
    );
}

#[test]
fn text_from_outside_cannot_exhaust_us() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (one, next) in ('a'..'i').zip('b'..='i') {
        bomb.push_str(&format!(
            "{next}: &{next} [{}]\n",
            vec![format!("*{one}"); 9].join(", ")
        ));
    }
    assert_faults(
        "t",
        &bomb,
        &[("t:5:", &["aliases add more than 10000 values"])],
    );
    assert_faults(
        "t",
        &"[".repeat(100),
        &[("t:1:65: ", &["nested more than 64 deep"])],
    );
    for open in ["[", "{a: ", "- "] {
        assert_eq!(faults_of("t", &open.repeat(50_000)).len(), 1);
    }
}

#[test]
fn few_long_texts_cannot_become_many() {
    let first = |text: &str| faults_of("t", text)[0].to_string();
    // A hundred aliases of half a MiB.
    let long = "x".repeat(1 << 19);
    let many = first(&format!(
        "a: &a {long}\nb: [{}]\n",
        vec!["*a"; 100].join(", ")
    ));
    assert!(many.starts_with("t:2:"), "{many:.200}");
    assert!(many.contains("aliases add more than"), "{many:.200}");
    // A hundred thousand values, each with a path of a quarter of a MiB.
    let name = "n".repeat(1 << 18);
    let below = first(&format!("? {name}\n: [{}]\n", "1,".repeat(100_000)));
    assert!(below.starts_with("t:2:"), "{below:.200}");
    assert!(below.contains("names that are too long"), "{below:.200}");
    assert!(below.len() < 2000, "{} bytes of error", below.len());
}

#[test]
fn large_texts_are_read_or_refused_in_a_time_that_grows_with_them() {
    let pool = |n: usize| {
        format!(
            "---\n{{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {{name: p{n}}}, spec: {{cidr: 10.{}.{}.0/24}}}}\n",
            n / 256,
            n % 256
        )
    };
    let begun = std::time::Instant::now();
    // 1.6 MiB of good resources; a scalar and a comment of 4 MiB; 300,000 keys that are given twice.
    let good: String = (0..16_000).map(pool).collect();
    assert_eq!(parse("t", &good).unwrap().len(), 16_000);
    let scalar = pool(0).replace("p0", &"p".repeat(4 << 20));
    let said = faults_of("t", &scalar)[0].to_string();
    assert!(
        said.starts_with("t:2:") && said.contains("metadata.name"),
        "{said:.200}"
    );
    assert!(said.len() < 2000, "{} bytes of error", said.len());
    let comment = format!("# {}\n{}", "c".repeat(4 << 20), pool(0));
    assert_eq!(parse("t", &comment).unwrap().len(), 1);
    let twice = "k: 1\n".repeat(300_000);
    assert!(faults_of("t", &twice).len() > 1);
    let took = begun.elapsed();
    assert!(took.as_secs() < 60, "{took:?}");
}

#[test]
fn resources_are_read_with_their_places() {
    let text = format!(
        "# two\n---\n{POOL}  cidr: 10.0.0.0/8\n  blockSize: 0x1a\n---\n---\n{NETWORK}  driver: routed\n  pools: [a]\n"
    );
    let parsed = parse("t.yaml", &text).unwrap();
    let keys: Vec<String> = parsed
        .iter()
        .map(|p| p.resource.key().to_string())
        .collect();
    assert_eq!(keys, ["IPPool a", "Network n"]);
    assert_eq!((parsed[0].source.line, parsed[1].source.line), (3, 11));
    let AnyResource::IpPool(pool) = &parsed[0].resource else {
        panic!()
    };
    assert_eq!(pool.spec.block_size, Some(26));
    for empty in ["", "\n", "---\n---\n", "# only words\n", "~"] {
        assert!(parse("t.yaml", empty).unwrap().is_empty(), "{empty:?}");
    }
}

#[test]
fn json_and_lists_are_read_like_yaml() {
    let pool = |name: &str, cidr: &str| {
        format!(
            "{{\"apiVersion\": \"tombolo.dev/v1\",\n\t\"kind\": \"IPPool\",\n\t\"metadata\": {{\"name\": \"{name}\"}},\n\t\"spec\": {{\"cidr\": \"{cidr}\"}}}}"
        )
    };
    let parsed = parse("t.json", &pool("a", "10.0.0.0/8")).unwrap();
    assert_eq!(parsed[0].resource.key().to_string(), "IPPool a");
    let labelled = pool("a", "10.0.0.0/8").replace(
        "\"name\"",
        "\"labels\": {\"mood\": \"\\ud83d\\ude00\"}, \"name\"",
    );
    let parsed = parse("-", &labelled).unwrap();
    assert_eq!(parsed[0].resource.metadata().labels["mood"], "\u{1f600}");
    let list = format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n{},\n{}\n]}}",
        pool("a", "10.0.0.0/8"),
        pool("b", "x")
    );
    assert_faults(
        "t.json",
        &list,
        &[("t.json:9:19: items[1].spec.cidr: \"x\" is not", &[])],
    );
    let parsed = parse("t.json", &list.replace("\"x\"", "\"10.0.0.0/8\"")).unwrap();
    assert_eq!(
        parsed.iter().map(|p| p.source.line).collect::<Vec<_>>(),
        [2, 6]
    );
    assert_faults(
        "t",
        "kind: List",
        &[("t:1:1: items: a List has its resources below", &[])],
    );
}

#[test]
fn internal_kinds_are_read_where_they_may() {
    let text = "apiVersion: tombolo.dev/v1\nkind: Endpoint\nmetadata: {name: e}\nspec:\n  node: a\n  network: n\n  containerID: c\n  interface: eth0\n  sandbox: /run/netns/c\n  handle: h\n  generation: 1\n  mac: 02:00:00:00:00:01\n  addresses: [10.0.0]\n";
    let error = parse_with("t", text, Accept::Internal)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(
            "t:13:15: spec.addresses[0]: \"10.0.0\" is not allowed: it must be an IP address such"
        ),
        "{error}"
    );
    let parsed = parse_with(
        "t",
        &text.replace("[10.0.0]", "[10.0.0.1]"),
        Accept::Internal,
    )
    .unwrap();
    assert_eq!(parsed[0].resource.key().to_string(), "Endpoint default/e");
}

#[test]
fn worlds_are_checked_as_a_whole() {
    let text = format!(
        "{NETWORK}  driver: routed\n  pools: [b, c]\n---\n{POOL}  cidr: 10.0.0.0/8\n---\n{}  cidr: 10.1.0.0/16\n---\n{POOL}  cidr: 11.0.0.0/8\n",
        POOL.replace("name: a", "name: b")
    );
    let errors = world("w.yaml", &text).unwrap_err().to_string();
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 3, "{errors}");
    assert!(
        lines[0].starts_with("w.yaml:6:14: spec.pools[1]: there is no IPPool c"),
        "{errors}"
    );
    assert!(lines[1].starts_with("w.yaml:18:9: spec.cidr: 10.1.0.0/16 overlaps 10.0.0.0/8 of"));
    assert!(
        lines[2].starts_with(
            "w.yaml:22:18: metadata.name: IPPool a is written twice, first at w.yaml:8"
        )
    );
    let text = format!("{NETWORK}  driver: routed\n  pools: [a]\n---\n{POOL}  cidr: 10.0.0.0/8\n");
    let world = world("w.yaml", &text).unwrap();
    assert_eq!((world.networks.len(), world.pools.len()), (1, 1));
}

#[test]
fn what_is_printed_reads_back() {
    let text = format!(
        "{NETWORK}  driver: routed\n  mtu: 1400\n  transport: {{type: vxlan, crossSubnet: true, vni: 7}}\n---\n{POOL}  cidr: fd00::/48\n  nodeSelector: has(a) && b != 'c'\n"
    );
    for parsed in parse("t", &text).unwrap() {
        let json = serde_json::to_string_pretty(&parsed.resource.to_value()).unwrap();
        let again = parse("t.json", &json).unwrap();
        assert_eq!(again[0].resource, parsed.resource);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "([ -\\[\\]{}:,&*!|>'\"?%@`#\n\tab0]|kind: IPPool\n|\\PC){0,40}") {
        let _ = parse("t", &text);
        let _ = parse("t", &format!("{POOL}  {text}"));
    }
}
