//! Real routing daemons on the lab: they speak to each other, and a leaf-spine forwards by what they
//! say. This proves the lab, not our own speaker.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_lab::{Lab, Topology};
use tombolo_tests::router::{Router, fabric};
use tombolo_tests::{Shape, lab};

const BIRD: &str = "
router id 192.168.50.11;
protocol device {}
protocol static own4 { ipv4; route 10.1.0.0/24 blackhole; }
protocol static own6 { ipv6; route fd10:1::/64 blackhole; }
protocol bgp peer {
  local 192.168.50.11 as 65001;
  neighbor 192.168.50.12 as 65002;
  graceful restart off; connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export all; };
  ipv6 { import all; export all; next hop address fd50::b; };
}";

const FRR: &str = "
frr defaults datacenter
ip route 10.2.0.0/24 blackhole
router bgp 65002
 bgp router-id 192.168.50.12
 no bgp ebgp-requires-policy
 no bgp network import-check
 timers bgp 3 9
 neighbor 192.168.50.11 remote-as 65001
 neighbor 192.168.50.11 timers connect 1
 address-family ipv4 unicast
  network 10.2.0.0/24
 exit-address-family
 address-family ipv6 unicast
  network fd10:2::/64
  neighbor 192.168.50.11 activate
 exit-address-family
";

const GOBGP: &str = r#"
[global.config]
  as = 65001
  router-id = "192.168.50.11"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "192.168.50.12"
    peer-as = 65002
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv6-unicast"
"#;

const EXABGP: &str = "
neighbor 192.168.50.11 {
  router-id 192.168.50.12; local-address 192.168.50.12; local-as 65002; peer-as 65001;
  family { ipv4 unicast; ipv6 unicast; }
}";

fn pair(name: &str) -> Lab {
    lab(name, &Shape::hosts(2))
}

#[test]
fn bird_and_frr_exchange_prefixes_of_both_families() {
    let lab = pair("bird-frr");
    let bird = Router::bird(&lab, "a", BIRD);
    let frr = Router::frr(&lab, "b", FRR);
    bird.established("192.168.50.12");
    frr.established("192.168.50.11");
    for prefix in ["10.2.0.0/24", "fd10:2::/64"] {
        bird.knows(prefix);
    }
    for prefix in ["10.1.0.0/24", "fd10:1::/64"] {
        frr.knows(prefix);
    }
    bird.tell("disable own4");
    frr.forgets("10.1.0.0/24");
    assert!(
        bird.try_ask("make tea")
            .is_err_and(|said| said.contains("No such command"))
    );
    frr.stop();
    bird.parted("192.168.50.12");
    bird.forgets("10.2.0.0/24");
}

#[test]
fn gobgp_and_exabgp_exchange_prefixes_of_both_families() {
    let lab = pair("gobgp-exabgp");
    let gobgp = Router::gobgp(&lab, "a", GOBGP);
    let exabgp = Router::exabgp(&lab, "b", EXABGP);
    gobgp.established("192.168.50.12");
    exabgp.established("192.168.50.11");
    exabgp.tell("announce route 10.2.0.0/24 next-hop self");
    exabgp.tell("announce route fd10:2::/64 next-hop fd50::c");
    gobgp.tell("global rib add 10.1.0.0/24");
    gobgp.tell("global rib add -a ipv6 fd10:1::/64 nexthop fd50::b");
    for prefix in ["10.2.0.0/24", "fd10:2::/64"] {
        gobgp.knows(prefix);
    }
    for prefix in ["10.1.0.0/24", "fd10:1::/64"] {
        exabgp.knows(prefix);
    }
    gobgp.tell("global rib del 10.1.0.0/24");
    exabgp.forgets("10.1.0.0/24");
    exabgp.kill();
    gobgp.parted("192.168.50.12");
    gobgp.forgets("10.2.0.0/24");
}

/// Whether every host reaches every other, in both families.
fn all_reach_all(lab: &Lab) -> bool {
    let reaches = |from: &String, to: &String| {
        let addresses = &lab.host(to).unwrap().addresses;
        let mut pings = addresses.iter().map(|address| {
            let argv = ["ping", "-q", "-c1", "-W1", &address.to_string()];
            lab.exec(from.as_str(), &argv).unwrap().status.success()
        });
        pings.all(|arrived| arrived)
    };
    let mut pairs = lab
        .hosts()
        .iter()
        .flat_map(|from| lab.hosts().iter().map(move |to| (from, to)));
    pairs.all(|(from, to)| reaches(from, to))
}

#[test]
fn racks_reach_each_other_and_traffic_moves_when_a_spine_dies() {
    let lab = lab("fabric", &Shape::hosts(5).topology(Topology::LeafSpine));
    assert!(!all_reach_all(&lab), "nobody has told the routers anything");
    let routers = fabric::fabric(&lab);
    let leaf = &routers["leaf1"];
    let ways = |count: usize| {
        leaf.until(&format!("the kernel has {count} ways to each rack"), |_| {
            let count_of = |rack: &str| {
                let text = lab.output("leaf1", &["ip", "route", "show", rack]).unwrap();
                text.matches("dev eth").count()
            };
            let racks = ["192.168.51.0/24", "192.168.52.0/24", "192.168.53.0/24"];
            racks
                .iter()
                .all(|rack| count_of(rack) == count)
                .then_some(())
        });
    };
    ways(2);
    leaf.until("all reach all", |_| all_reach_all(&lab).then_some(()));
    lab.kill("spine1").unwrap();
    leaf.parted("eth1");
    ways(1);
    leaf.until("all reach all again", |_| all_reach_all(&lab).then_some(()));
    lab.cut("spine2").unwrap();
    assert!(
        !all_reach_all(&lab),
        "something else than the spines carries it"
    );
    lab.heal("spine2").unwrap();
    leaf.until("the other spine carries it", |_| {
        all_reach_all(&lab).then_some(())
    });
}
