use std::collections::BTreeMap;
use std::time::Duration;

use tombolo_model::{Family, IfName, Name};
use tombolo_plan::Peering;
use tombolo_plan::filter::{Base, Filter, FilterChain, Packet};
use tombolo_plan::objects::{HookPoint, Policy};

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn link(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

fn node() -> NodeFacts {
    let packet = Packet {
        input: "tbv1".into(),
        output: "tbx4096".into(),
        source: "10.244.0.5".parse().unwrap(),
        destination: "10.244.1.5".parse().unwrap(),
    };
    NodeFacts {
        node: name("a"),
        problems: Vec::new(),
        repaired: BTreeMap::new(),
        peerings: vec![Peering {
            network: name("default"),
            node: name("b"),
            transport: name("vxlan"),
            port: Some(4789),
            interface: link("eth0"),
            underlay: "192.0.2.2".parse().unwrap(),
            outer: 1500,
            tunnel: Some("10.244.1.0".parse().unwrap()),
            inner: 1450,
        }],
        traffic: vec![packet],
        pools: vec!["10.244.0.0/16".parse().unwrap()],
        links: vec![link("tbx4096")],
        underlay: vec![UnderlayFact {
            address: "192.0.2.1/24".parse().unwrap(),
            interface: link("eth0"),
        }],
        parents: vec![
            ParentFact {
                network: name("lan"),
                interface: link("eth1"),
                vlan: None,
                sort: "macvlan".into(),
                used: true,
            },
            ParentFact {
                network: name("other"),
                interface: link("eth2"),
                vlan: Some(7),
                sort: "macvlan".into(),
                used: false,
            },
        ],
        families: vec![Family::V4],
        has_bridges: true,
        neighbours: 10,
        store: StoreFacts {
            place: "embedded".into(),
            answered: Ok(1),
            lag: 0,
        },
        certificate: Some(CertificateFacts {
            not_before: 1_000,
            not_after: 1_000 + 365 * 24 * 3600,
            now: 2_000,
        }),
        disk: Ok(DiskFacts {
            folder: "/var/lib/tombolo".into(),
            free: 50 << 30,
            total: 100 << 30,
        }),
    }
}

fn sound() -> Facts {
    let settings = [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/eth0/rp_filter", "1"),
        ("net/bridge/bridge-nf-call-iptables", "1"),
        ("net/netfilter/nf_conntrack_count", "10"),
        ("net/netfilter/nf_conntrack_max", "1000"),
        ("net/ipv4/neigh/default/gc_thresh3", "1024"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Facts {
        node: Ok(node()),
        host: HostFacts {
            refused: Ok(Vec::new()),
            features: Ok(BTreeMap::from([
                ("gre".to_owned(), None),
                ("ipip".to_owned(), Some("it said so".to_owned())),
            ])),
            without_macvlan: None,
            without_vlans: None,
            settings: settings.into_iter().collect(),
            filter: Ok(Filter::default()),
            links: ["eth0", "tbx4096", "eth1", "eth2"]
                .map(|text| LinkFact {
                    name: link(text),
                    up: true,
                    carrier: true,
                })
                .to_vec(),
            routes: vec![route("0.0.0.0/0", 0, "via 192.0.2.254 dev eth0")],
            peers: vec![PeerFact {
                node: name("b"),
                address: "192.0.2.2".parse().unwrap(),
                interface: link("eth0"),
                way: Some(link("eth0")),
                wanted: 1500,
                size: Size::Full(Duration::from_micros(300)),
                clock_ahead: Some(3),
            }],
            tunnels: vec![TunnelFact {
                network: name("default"),
                node: name("b"),
                transport: name("vxlan"),
                port: Some(4789),
                address: "10.244.1.0".parse().unwrap(),
                wanted: 1450,
                size: Size::Full(Duration::from_micros(400)),
            }],
        },
    }
}

fn route(dst: &str, metric: u32, text: &str) -> RouteFact {
    RouteFact {
        dst: dst.parse().unwrap(),
        metric,
        text: text.into(),
        whose: "not ours: protocol boot".into(),
    }
}

fn chain(family: &str, table: &str, chain: &str) -> FilterChain {
    FilterChain {
        family: family.into(),
        table: table.into(),
        name: chain.into(),
        base: Some(Base {
            point: HookPoint::Forward,
            policy: Policy::Drop,
        }),
        rules: Vec::new(),
    }
}

/// The one finding that is not ok after a change, as `check status finding → remedy`.
fn after(change: impl FnOnce(&mut NodeFacts, &mut HostFacts)) -> String {
    let mut facts = sound();
    if let Ok(node) = &mut facts.node {
        change(node, &mut facts.host);
    }
    let mut wrong = judge(&facts);
    wrong.retain(|finding| finding.status != Status::Ok);
    assert_eq!(wrong.len(), 1, "{wrong:#?}");
    let one = wrong.remove(0);
    let remedy = one.remedy.expect("what is wrong has a remedy");
    format!(
        "{} {:?} {}: {} → {remedy}",
        one.check, one.status, one.subject, one.finding
    )
}

fn says(text: &str, signs: &[&str]) {
    for sign in signs {
        assert!(text.contains(sign), "no {sign:?} in {text}");
    }
}

fn set(host: &mut HostFacts, name: &str, value: &str) {
    host.settings.insert(name.to_owned(), value.to_owned());
}

#[test]
fn a_sound_node_has_only_good_findings_of_every_check() {
    let findings = judge(&sound());
    let wrong: Vec<_> = findings
        .iter()
        .filter(|f| f.status != Status::Ok || f.remedy.is_some())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for check in CHECKS {
        assert!(
            findings.iter().any(|f| f.check == check.name),
            "{} says nothing",
            check.name
        );
    }
}

#[test]
fn without_an_agent_the_host_is_still_judged() {
    let mut facts = sound();
    facts.node = Err("no agent".into());
    facts.host.filter = Ok(Filter {
        chains: vec![chain("ip", "filter", "FORWARD")],
    });
    let findings = judge(&facts);
    let failed: Vec<&str> = findings
        .iter()
        .filter(|f| f.status == Status::Failed)
        .map(|f| f.check.as_str())
        .collect();
    assert_eq!(failed, ["agent", "filters"]);
}

#[test]
fn the_agent_and_its_store() {
    says(
        &after(|node, _| node.problems.push("it hurts".into())),
        &["agent Warning", "it hurts"],
    );
    let text = after(|node, _| node.repaired = BTreeMap::from([("route".into(), 21)]));
    says(&text, &["21 were repaired", "NetworkManager"]);
    says(
        &after(|node, _| node.store.answered = Err("cut off".into())),
        &["store Failed", "cut off"],
    );
    says(
        &after(|node, _| node.store.answered = Ok(900)),
        &["store Warning", "900 ms"],
    );
    says(
        &after(|node, _| node.store.lag = 100),
        &["store Warning", "100 revisions behind"],
    );
}

#[test]
fn clocks_and_certificates() {
    let ahead = |by| after(move |_, host| host.peers[0].clock_ahead = Some(by));
    says(&ahead(5_000), &["clock Warning", "5.0 s ahead of", "NTP"]);
    says(&ahead(-90_000), &["clock Failed", "90.0 s behind"]);
    let at = |now| after(move |node, _| node.certificate.as_mut().unwrap().now = now);
    says(&at(900), &["clock Failed", "only in 100 s"]);
    says(
        &at(1_000 + 364 * 24 * 3600),
        &["clock Warning", "ends in 1 days"],
    );
    says(&at(1_000 + 366 * 24 * 3600), &["clock Failed", "has ended"]);
}

#[test]
fn disks() {
    let free = |bytes| after(move |node, _| node.disk.as_mut().unwrap().free = bytes);
    says(&free(1 << 20), &["disk Failed", "1 MiB of"]);
    says(&free(900 << 20), &["disk Warning"]);
}

#[test]
fn settings_and_tables() {
    says(
        &after(|_, host| set(host, "net/ipv4/ip_forward", "0")),
        &["settings Failed", "sysctl -w net.ipv4.ip_forward=1"],
    );
    says(
        &after(|_, host| set(host, "net/netfilter/nf_conntrack_count", "850")),
        &["conntrack Warning", "850 of 1000", "=2000"],
    );
    says(
        &after(|_, host| set(host, "net/netfilter/nf_conntrack_count", "990")),
        &["conntrack Failed", "dropped"],
    );
    says(
        &after(|node, _| node.neighbours = 600),
        &["neighbours Warning", "gc_thresh3=4096"],
    );
    says(
        &after(|node, _| node.neighbours = 2000),
        &["neighbours Failed", "overflow"],
    );
    let mut facts = sound();
    if let Ok(node) = &mut facts.node {
        node.families = vec![Family::V6];
    }
    set(&mut facts.host, "net/ipv6/conf/all/disable_ipv6", "1");
    let findings = judge(&facts);
    let failed: Vec<_> = findings
        .iter()
        .filter(|f| f.status == Status::Failed)
        .collect();
    // There is no forwarding of IPv6 either.
    assert_eq!(failed.len(), 2, "{failed:#?}");
}

#[test]
fn reverse_paths() {
    let asymmetric = |host: &mut HostFacts| host.peers[0].way = Some(link("eth1"));
    says(
        &after(|_, host| asymmetric(host)),
        &["rp_filter Failed", "rp_filter is 1", "eth0"],
    );
    let loose = after(|_, host| {
        asymmetric(host);
        set(host, "net/ipv4/conf/all/rp_filter", "2");
    });
    says(&loose, &["rp_filter Warning"]);
}

#[test]
fn filters_are_mended_in_their_own_words() {
    // The bridge's packets would pass the chain too, which is another finding.
    let by = |chains: Vec<FilterChain>| {
        after(move |node, host| {
            node.has_bridges = false;
            host.filter = Ok(Filter { chains });
        })
    };
    let docker = FilterChain {
        base: None,
        ..chain("ip", "filter", "DOCKER-USER")
    };
    says(
        &by(vec![chain("ip", "filter", "FORWARD"), docker]),
        &[
            "filters Failed",
            "`iptables -I DOCKER-USER -i tb+ -j ACCEPT",
        ],
    );
    says(
        &by(vec![chain("ip", "filter", "FORWARD")]),
        &["`iptables -I FORWARD -i tb+"],
    );
    says(
        &by(vec![chain("iptables-legacy", "filter", "FORWARD")]),
        &["`iptables-legacy -I FORWARD -i tb+"],
    );
    says(
        &by(vec![chain("inet", "fw", "f")]),
        &["`nft insert rule inet fw f iifname \"tb*\" accept"],
    );
    says(
        &by(vec![chain("inet", "firewalld", "filter_FORWARD")]),
        &["--add-source=10.244.0.0/16"],
    );
}

#[test]
fn bridged_packets_through_filters() {
    let mut facts = sound();
    facts.host.filter = Ok(Filter {
        chains: vec![chain("ip", "filter", "FORWARD")],
    });
    let failed = |facts: &Facts| {
        let findings = judge(facts);
        let failed = findings.into_iter().filter(|f| f.status == Status::Failed);
        failed.map(|f| f.check).collect::<Vec<_>>()
    };
    assert_eq!(failed(&facts), ["filters", "bridges"]);
    set(&mut facts.host, "net/bridge/bridge-nf-call-iptables", "0");
    assert_eq!(failed(&facts), ["filters"]);
}

#[test]
fn links_and_routes_of_others() {
    says(
        &after(|_, host| host.links[0].up = false),
        &["links Failed", "ip link set eth0 up"],
    );
    let foreign = after(|_, host| {
        host.links.push(LinkFact {
            name: link("tb0"),
            up: true,
            carrier: true,
        });
    });
    says(&foreign, &["links Warning tb0", "ip link set tb0 name"]);
    let two = after(|_, host| {
        host.routes
            .push(route("0.0.0.0/0", 0, "via 198.51.100.1 dev eth1"))
    });
    says(&two, &["links Warning", "2 default routes"]);
    let inside = after(|_, host| {
        host.routes
            .push(route("10.244.7.0/24", 0, "dev br0 scope link"))
    });
    says(
        &inside,
        &[
            "ranges Failed 10.244.0.0/16",
            "10.244.7.0/24 dev br0",
            "boot",
        ],
    );
}

#[test]
fn what_networks_stand_on() {
    let down = after(|_, host| host.links[2].up = false);
    says(
        &down,
        &["segments Failed eth1", "parent of network lan, and is down"],
    );
    let unused = after(|_, host| host.links[3].up = false);
    says(
        &unused,
        &["segments Warning eth2", "parent of network other"],
    );
    let loose = after(|_, host| host.links[2].carrier = false);
    says(&loose, &["segments Failed eth1", "no carrier", "cable"]);
    let missing = after(|node, _| node.parents[0].interface = link("eth7"));
    says(
        &missing,
        &[
            "segments Failed eth7",
            "is not there",
            "spec.macvlan.parent",
        ],
    );
    let old = after(|_, host| host.without_vlans = Some("it said so".into()));
    says(
        &old,
        &[
            "segments Failed kernel",
            "has no 802.1Q VLANs",
            "modprobe 8021q",
        ],
    );
    // What nobody uses need not be there.
    let mut facts = sound();
    facts.host.without_vlans = Some("it said so".into());
    if let Ok(node) = &mut facts.node {
        node.parents.clear();
    }
    let told: Vec<_> = judge(&facts)
        .into_iter()
        .filter(|f| f.check == "segments")
        .collect();
    assert!(
        told.len() == 2 && told.iter().all(|f| f.status == Status::Ok),
        "{told:?}"
    );
}

#[test]
fn the_way_to_other_nodes() {
    let narrow = after(|_, host| host.peers[0].size = Size::UpTo(1400));
    says(
        &narrow,
        &[
            "peers Failed b (192.0.2.2)",
            "up to 1400 pass",
            "spec.mtu: 1350",
        ],
    );
    let blocked = after(|_, host| host.tunnels[0].size = Size::None("no answer".into()));
    says(
        &blocked,
        &[
            "tunnels Failed",
            "the node answers, but not by vxlan on UDP 4789",
        ],
    );
    let unknown = after(|_, host| host.peers[0].size = Size::Unknown("no CAP_NET_RAW".into()));
    says(&unknown, &["peers Warning", "as root"]);
    let mut facts = sound();
    facts.host.peers[0].size = Size::None("no answer".into());
    // ICMP is dropped somewhere, but what matters works.
    assert!(
        judge(&facts)
            .iter()
            .all(|finding| finding.status == Status::Ok)
    );
    facts.host.tunnels[0].size = Size::None("no answer".into());
    let failed: Vec<_> = judge(&facts)
        .into_iter()
        .filter(|f| f.status == Status::Failed)
        .map(|f| f.check)
        .collect();
    assert_eq!(failed, ["peers", "tunnels"]);
}

#[test]
fn a_tunnel_that_the_kernel_lacks_matters_only_to_who_uses_it() {
    let told = |facts: &Facts| {
        let found = judge(facts).into_iter();
        found
            .filter(|finding| finding.check == "features")
            .collect::<Vec<_>>()
    };
    let mut facts = sound();
    let found = told(&facts);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|finding| finding.status == Status::Ok));
    assert!(
        found[0]
            .finding
            .contains("has none, and nothing here uses it")
    );
    facts.node.as_mut().unwrap().links.push(link("tbi4"));
    let found = told(&facts);
    assert_eq!(
        (found[0].subject.as_str(), found[0].status),
        ("ipip", Status::Failed)
    );
    assert!(found[0].remedy.as_ref().unwrap().contains("modprobe ipip"));
    assert_eq!(found[1].status, Status::Ok);
    facts.host.features = Err("no right to".into());
    assert_eq!(told(&facts)[0].status, Status::Warning);
}
