use std::collections::BTreeSet;

use tombolo_model::{IfName, MacAddr, Mtu, Name};

use super::*;
use crate::objects::{Key, LinkKind, MAIN_TABLE, NextHop, NftName, Place};

fn parse(text: &str) -> Result<Question, String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    Question::parse(&words)
}

fn name(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

#[test]
fn words_are_read_as_ip_writes_them() {
    for (words, question) in [
        ("route 10.244.1.0/24", "route 10.244.1.0/24"),
        ("route 10.244.1.5", "route 10.244.1.5/32"),
        ("route default", "route 0.0.0.0/0"),
        ("route ::/0 table main", "route ::/0 table 254"),
        ("route 10.1.2.3/24 table 7", "route 10.1.2.0/24 table 7"),
        ("link tbv1234", "link tbv1234"),
        ("neigh 10.244.1.1 dev tbx1", "neighbour 10.244.1.1 dev tbx1"),
        ("address 10.244.1.5/26", "address 10.244.1.5"),
        ("addr fd00::1", "address fd00::1"),
        ("rule priority 100", "rule priority 100"),
        ("sysctl net.ipv4.ip_forward", "sysctl net/ipv4/ip_forward"),
        (
            "sysctl net/ipv4/conf/eth0.5/forwarding",
            "sysctl net/ipv4/conf/eth0.5/forwarding",
        ),
        ("nft chain guard", "nft chain guard"),
        ("nft map ports-ipv4", "nft set ports-ipv4"),
        (
            "fdb 02:00:00:00:00:01 dev tbx1",
            "fdb 02:00:00:00:00:01 dev tbx1",
        ),
    ] {
        assert_eq!(parse(words).unwrap().to_string(), question, "{words}");
    }
}

#[test]
fn wrong_words_are_told_with_an_example() {
    for words in [
        "",
        "flow x",
        "route",
        "route 300.1.1.1",
        "route default dev",
        "link",
        "link a b",
        "neighbour x",
        "fdb 10.0.0.1",
        "rule x",
        "nft table t",
        "sysctl",
        "address 10.0.0.1 dev",
    ] {
        let error = parse(words).unwrap_err();
        assert!(error.contains("ask "), "{words}: {error}");
    }
}

#[test]
fn a_question_names_what_it_asks_for_and_nothing_else() {
    let route = |dst: &str, table| Key::Route {
        table,
        dst: dst.parse().unwrap(),
        metric: 0,
    };
    let ask = |text: &str, key: &Key| parse(text).unwrap().names(key);
    assert!(ask("route 10.0.0.0/24", &route("10.0.0.0/24", MAIN_TABLE)));
    assert!(!ask("route 10.0.0.0/24", &route("10.0.0.0/25", MAIN_TABLE)));
    assert!(!ask(
        "route 10.0.0.0/24 table 7",
        &route("10.0.0.0/24", MAIN_TABLE)
    ));
    let address = Key::Address {
        link: name("a"),
        net: "10.0.0.1/24".parse().unwrap(),
    };
    assert!(ask("address 10.0.0.1", &address) && ask("address 10.0.0.1 dev a", &address));
    assert!(!ask("address 10.0.0.1 dev b", &address) && !ask("link a", &address));
    let element = Key::NftElement {
        set: "s".into(),
        key: Vec::new(),
    };
    assert!(ask("nft set s", &element) && !ask("nft chain s", &element));
    let members = Key::NftMembers(NftName::bridge("s"));
    assert!(ask("nft map bridge s", &members) && !ask("nft set s", &members));
    let chain = Key::NftChain(NftName::bridge("c"));
    assert!(ask("nft chain bridge c", &chain) && !ask("nft chain inet c", &chain));
    let question = parse("nft chain bridge c").unwrap();
    assert_eq!(question.to_string(), "nft chain bridge c");
}

#[test]
fn differences_are_told_by_field() {
    let link = |mtu: u64, up| {
        Object::Link(Link {
            kind: LinkKind::Bridge,
            mtu: Mtu::new(mtu).ok(),
            mac: Some(MacAddr([2; 6])),
            up,
            port: None,
        })
    };
    assert_eq!(differences(&link(1500, true), &link(1500, true)), [""; 0]);
    assert_eq!(
        differences(&link(1400, false), &link(1500, true)),
        ["mtu is 1400, not 1500", "is down, not up"]
    );
    let route = |link: &str, mtu| {
        Object::Route(Route {
            next: NextHop::Link(name(link)),
            source: None,
            mtu,
        })
    };
    assert_eq!(
        differences(&route("a", None), &route("b", Some(1300))),
        [
            "leads `dev a scope link`, not `dev b scope link`",
            "mtu is none, not 1300"
        ]
    );
}

#[test]
fn others_are_told_by_their_marks() {
    let device = |text: &str, kind: &str| {
        whose(&Mark::Device {
            name: name(text),
            kind: Some(kind.to_owned()),
            master: None,
        })
    };
    assert!(device("docker0", "bridge").contains("Docker's default bridge"));
    assert!(device("cali12345", "veth").contains("Calico"));
    assert!(device("eth7", "ipvlan").contains("ipvlan"));
    assert!(whose(&Mark::Protocol(12)).contains("BIRD"));
    assert!(whose(&Mark::Protocol(16)).contains("DHCP"));
    assert!(whose(&Mark::Protocol(99)).contains("99"));
}

/// The rules that stand in the planner's sources.
fn rules_of_the_sources() -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("explain") {
                    folders.push(path);
                }
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let rule = |text: &str| {
                let (room, rest) = text.split_once(": ")?;
                let first = room.split('/').next()?;
                let known = [
                    "attachment",
                    "bgp",
                    "egress",
                    "nat",
                    "policy",
                    "network",
                    "plan",
                    "segment",
                    "transport",
                ]
                .contains(&first);
                (known && !rest.is_empty()).then(|| text.to_owned())
            };
            rules.extend(
                text.lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .flat_map(|line| line.split('"').skip(1).step_by(2))
                    .filter_map(rule),
            );
        }
    }
    rules
}

#[test]
fn every_rule_has_a_reason() {
    let rules = rules_of_the_sources();
    let reasons: BTreeSet<String> = reasons::all().map(str::to_owned).collect();
    assert_eq!(rules, reasons);
    assert!(rules.iter().all(|rule| why(rule).is_some()));
}

proptest::proptest! {
    /// Whatever is asked, it is understood or refused; and what was understood is understood again.
    #[test]
    fn any_words_are_understood_or_refused(
        kind in "(route|link|address|neigh|fdb|rule|sysctl|nft|.{0,4})",
        rest in "([0-9a-f.:/]{0,12} ?(dev|table|chain|in|.{0,6})? ?.{0,8})",
    ) {
        if let Ok(question) = parse(&format!("{kind} {rest}")) {
            let again = parse(&question.to_string());
            proptest::prop_assert_eq!(again, Ok(question));
        }
    }
}

#[test]
fn a_route_that_was_learned_says_from_whom() {
    let text = include_str!("../../tests/cases/42-bgp-top-of-rack/world.yaml");
    let world = tombolo_model::parse::world("world.yaml", text).unwrap();
    let plan = crate::plan(&world, &Name::new("a").unwrap()).unwrap();
    let explained = |dst: &str| {
        let key = Key::Route {
            table: MAIN_TABLE,
            dst: dst.parse().unwrap(),
            metric: crate::bgp::BGP_METRIC,
        };
        let place = Place::host(key);
        Explained::planned(&world, &place, &plan.objects[&place], None)
    };
    let both = explained("172.20.0.0/16");
    assert_eq!(
        both.about.as_deref(),
        Some(
            "192.168.0.254 of system 65001; told by 192.168.0.254, fe80::1%eth1, next hop \
             192.168.0.254, fe80::1"
        )
    );
    assert!(both.why.unwrap().contains("no filter refused it"));
    assert_eq!(both.resource.unwrap().to_string(), "BGPPeer rack");
}
