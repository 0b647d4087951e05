//! Our speaker with BIRD, FRR, GoBGP and ExaBGP, one after the other: sessions within one system and
//! between two, by either family, signed and checked; routes of both families both ways.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::time::{Duration, Instant};

use tombolo_bgp::{AsSegment, Asn, Config, NextHop, Password, Ttl};
use tombolo_lab::Lab;
use tombolo_speaker::Stop;
use tombolo_tests::router::Router;
use tombolo_tests::speaker::{Speaking, address, config, options, peer};
use tombolo_tests::{Shape, lab};

const OTHER: &str = "192.168.50.12";
const OTHER6: &str = "fd50::c";
const US: &str = "192.168.50.11";
const US6: &str = "fd50::b";

/// What a session is to be like.
#[derive(Clone, Copy)]
struct Terms {
    /// The other's system; we are 65001.
    asn: u32,
    /// The session is over IPv6.
    v6: bool,
    password: Option<&'static str>,
    /// Packets must not have come through a router.
    near: bool,
}

const PLAIN: Terms = Terms {
    asn: 65002,
    v6: false,
    password: None,
    near: false,
};

impl Terms {
    fn ends(self) -> (&'static str, &'static str) {
        if self.v6 { (US6, OTHER6) } else { (US, OTHER) }
    }

    fn ours(self) -> Config {
        let mut other = peer(self.asn);
        other.password = self.password.map(|text| Password::new(text).unwrap());
        if self.near {
            other.ttl = Ttl::Security(1);
        }
        let (_, at) = self.ends();
        config(&[(at, other)])
    }
}

type Start = for<'lab> fn(&'lab Lab, Terms) -> Router<'lab>;

const DAEMONS: [(&str, Start); 4] = [
    ("bird", bird),
    ("frr", frr),
    ("gobgp", gobgp),
    ("exabgp", exabgp),
];

fn bird(lab: &Lab, terms: Terms) -> Router<'_> {
    let (us, other) = terms.ends();
    let mut more = String::new();
    if let Some(password) = terms.password {
        more += &format!("password \"{password}\"; ");
    }
    if terms.near {
        more += "ttl security on; ";
    }
    if terms.asn == 65001 {
        more += "direct; ";
    }
    let config = format!(
        "router id {OTHER};
        protocol device {{}}
        protocol static own4 {{ ipv4; route 10.2.0.0/24 blackhole; }}
        protocol static own6 {{ ipv6; route fd10:2::/64 blackhole; }}
        protocol bgp ours {{
          local {other} as {asn}; neighbor {us} as 65001; {more}
          connect delay time 1; connect retry time 1; error wait time 1, 2;
          ipv4 {{ import all; export all; extended next hop on; next hop address {OTHER}; }};
          ipv6 {{ import all; export all; next hop address {OTHER6}; }};
        }}",
        asn = terms.asn
    );
    Router::bird(lab, "b", &config)
}

fn frr(lab: &Lab, terms: Terms) -> Router<'_> {
    let (us, _) = terms.ends();
    let mut more = String::new();
    if let Some(password) = terms.password {
        more += &format!(" neighbor {us} password {password}\n");
    }
    if terms.near {
        more += &format!(" neighbor {us} ttl-security hops 1\n");
    }
    let config = format!(
        "frr defaults datacenter
ip route 10.2.0.0/24 blackhole
ipv6 route fd10:2::/64 blackhole
router bgp {asn}
 bgp router-id {OTHER}
 no bgp ebgp-requires-policy
 no bgp network import-check
 no bgp default ipv4-unicast
 timers bgp 3 9
 neighbor {us} remote-as 65001
 neighbor {us} timers connect 1
 neighbor {us} capability extended-nexthop
{more} address-family ipv4 unicast
  network 10.2.0.0/24
  neighbor {us} activate
 exit-address-family
 address-family ipv6 unicast
  network fd10:2::/64
  neighbor {us} activate
 exit-address-family
",
        asn = terms.asn
    );
    Router::frr(lab, "b", &config)
}

fn gobgp(lab: &Lab, terms: Terms) -> Router<'_> {
    let (us, other) = terms.ends();
    let mut more = String::new();
    if let Some(password) = terms.password {
        more += &format!("    auth-password = \"{password}\"\n");
    }
    let mut near = "";
    if terms.near {
        near = "  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = 255\n";
    }
    let config = format!(
        r#"
[global.config]
  as = {asn}
  router-id = "{OTHER}"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{us}"
    peer-as = 65001
{more}  [neighbors.transport.config]
    local-address = "{other}"
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
{near}  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv6-unicast"
"#,
        asn = terms.asn
    );
    let router = Router::gobgp(lab, "b", &config);
    router.tell(&format!("global rib add 10.2.0.0/24 nexthop {OTHER}"));
    router.tell(&format!(
        "global rib add -a ipv6 fd10:2::/64 nexthop {OTHER6}"
    ));
    router
}

fn exabgp(lab: &Lab, terms: Terms) -> Router<'_> {
    let (us, other) = terms.ends();
    let mut more = String::new();
    if let Some(password) = terms.password {
        more += &format!("md5-password \"{password}\"; md5-base64 false; ");
    }
    if terms.near {
        more += "outgoing-ttl 255; incoming-ttl 255; ";
    }
    let config = format!(
        "neighbor {us} {{
          router-id {OTHER}; local-address {other}; local-as {asn}; peer-as 65001; {more}
          family {{ ipv4 unicast; ipv6 unicast; }}
        }}",
        asn = terms.asn
    );
    let router = Router::exabgp(lab, "b", &config);
    router.established(us);
    router.tell(&format!("announce route 10.2.0.0/24 next-hop {OTHER}"));
    router.tell(&format!("announce route fd10:2::/64 next-hop {OTHER6}"));
    router
}

/// Raises a speaker of ours and a daemon, and lets routes of both families go both ways.
fn meet(name: &str, start: Start, terms: Terms) {
    let lab = lab(name, &Shape::hosts(2));
    let ours = Speaking::start(&lab, "a", options(terms.ours()));
    let other = start(&lab, terms);
    let (us, at) = terms.ends();
    ours.established(at);
    other.established(us);
    for prefix in ["10.2.0.0/24", "fd10:2::/64"] {
        ours.knows(prefix);
    }
    for prefix in ["10.1.0.0/24", "fd10:1::/64"] {
        other.knows(prefix);
    }
    let path = &ours.paths("10.2.0.0/24")[0];
    assert_eq!(path.next_hop, NextHop::V4(OTHER.parse().unwrap()), "{name}");
    let through: Vec<AsSegment> = match terms.asn {
        65001 => Vec::new(),
        asn => vec![AsSegment::Sequence(vec![Asn(asn)])],
    };
    assert_eq!(path.attributes.as_path.0, through, "{name}");
    match ours.paths("fd10:2::/64")[0].next_hop {
        NextHop::V6 { global, .. } => assert_eq!(address(OTHER6), global, "{name}"),
        NextHop::V4(hop) => panic!("{name}: {hop}"),
    }
    ours.tell(&["10.3.0.0/24"]);
    other.knows("10.3.0.0/24");
    other.forgets("10.1.0.0/24");
    other.forgets("fd10:1::/64");
    // Who stops takes the routes along, and says why.
    other.stop();
    let stopped = Instant::now();
    ours.forgets("10.2.0.0/24");
    ours.forgets("fd10:2::/64");
    assert!(stopped.elapsed() < Duration::from_secs(3), "{name}");
    ours.stop(Stop::Cease);
}

#[test]
fn sessions_between_two_systems() {
    for (name, start) in DAEMONS {
        meet(&format!("bgp-e-{name}"), start, PLAIN);
    }
}
