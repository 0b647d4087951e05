//! What BIRD, FRR, GoBGP and ExaBGP are told, so that they all do the same in their own words.
//!
//! [`Terms`] say what; the daemon is always on host `b` of the lab, 192.168.50.12 and fd50::c, and
//! tells of 10.2.0.0/24 and fd10:2::/64.

use tombolo_lab::Lab;

use crate::router::Router;

/// The daemon's addresses.
pub const OTHER: &str = "192.168.50.12";
/// The same in IPv6.
pub const OTHER6: &str = "fd50::c";
/// The addresses of host `a`.
pub const US: &str = "192.168.50.11";
/// The same in IPv6.
pub const US6: &str = "fd50::b";

/// What a daemon is to be like.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Its system.
    pub asn: u32,
    /// Its peers, by address, each with its system.
    pub peers: &'static [(&'static str, u32)],
    /// The key of TCP's signatures.
    pub password: Option<&'static str>,
    /// Packets must not have come through a router.
    pub near: bool,
    /// Its peers are clients of its reflector.
    pub reflector: bool,
    /// It survives restarts of its own and of others.
    pub graceful: bool,
    /// It sends and takes several paths to a prefix.
    pub add_path: bool,
    /// What else it is told of each peer, in its own words; `PEER` stands for the peer's address.
    pub words: &'static str,
    /// The same of each family that it speaks with a peer, of ExaBGP of its capabilities.
    pub family_words: &'static str,
}

/// A daemon of AS 65002 whose peer is host `a` of AS 65001.
pub const PLAIN: Terms = Terms {
    asn: 65002,
    peers: &[(US, 65001)],
    password: None,
    near: false,
    reflector: false,
    graceful: false,
    add_path: false,
    words: "",
    family_words: "",
};

/// How one of the daemons is started.
pub type Start = for<'lab> fn(&'lab Lab, Terms) -> Router<'lab>;

/// All of them, by name.
pub const DAEMONS: [(&str, Start); 4] = [
    ("bird", bird),
    ("frr", frr),
    ("gobgp", gobgp),
    ("exabgp", exabgp),
];

fn own(peer: &str) -> &'static str {
    if peer.contains(':') { OTHER6 } else { OTHER }
}

/// BIRD 2.
#[must_use]
pub fn bird(lab: &Lab, terms: Terms) -> Router<'_> {
    Router::bird(lab, "b", &bird_config(terms))
}

/// The text of its configuration.
#[must_use]
pub fn bird_config(terms: Terms) -> String {
    let asn = terms.asn;
    let mut text = format!(
        "router id {OTHER};
        protocol device {{}}
        protocol static own4 {{ ipv4; route 10.2.0.0/24 blackhole; }}
        protocol static own6 {{ ipv6; route fd10:2::/64 blackhole; }}\n"
    );
    for (number, (peer, theirs)) in terms.peers.iter().enumerate() {
        let mut more = terms.words.replace("PEER", peer);
        if let Some(password) = terms.password {
            more += &format!("password \"{password}\"; ");
        }
        for (set, words) in [
            (terms.near, "ttl security on; "),
            (*theirs == asn, "direct; "),
            (terms.reflector, "rr client; "),
            (
                terms.graceful,
                "graceful restart on; graceful restart time 30; ",
            ),
        ] {
            more += if set { words } else { "" };
        }
        let paths = if terms.add_path { "add paths on; " } else { "" };
        let family = terms.family_words;
        // Of routes that only pass through a reflector, the next hop stays.
        let (hop4, hop6) = if terms.reflector {
            (String::new(), String::new())
        } else {
            (
                format!("next hop address {OTHER}; "),
                format!("next hop address {OTHER6}; "),
            )
        };
        text += &format!(
            "protocol bgp peer{number} {{
              local {} as {asn}; neighbor {peer} as {theirs}; {more}
              connect delay time 1; connect retry time 1; error wait time 1, 2;
              ipv4 {{ import all; export all; extended next hop on; {family} {paths}{hop4}}};
              ipv6 {{ import all; export all; {family} {paths}{hop6}}};
            }}\n",
            own(peer)
        );
    }
    text
}

/// FRR.
#[must_use]
pub fn frr(lab: &Lab, terms: Terms) -> Router<'_> {
    Router::frr(lab, "b", &frr_config(terms))
}

/// The text of its configuration.
#[must_use]
pub fn frr_config(terms: Terms) -> String {
    let mut sessions = String::new();
    let (mut v4, mut v6) = (String::new(), String::new());
    for (peer, asn) in terms.peers {
        sessions += &format!(
            " neighbor {peer} remote-as {asn}\n neighbor {peer} timers connect 1\n \
             neighbor {peer} capability extended-nexthop\n"
        );
        sessions += &terms.words.replace("PEER", peer);
        if let Some(password) = terms.password {
            sessions += &format!(" neighbor {peer} password {password}\n");
        }
        if terms.near {
            sessions += &format!(" neighbor {peer} ttl-security hops 1\n");
        }
        for family in [&mut v4, &mut v6] {
            *family += &format!("  neighbor {peer} activate\n");
            *family += &terms.family_words.replace("PEER", peer);
            if terms.reflector {
                *family += &format!("  neighbor {peer} route-reflector-client\n");
            }
            if terms.add_path {
                *family += &format!("  neighbor {peer} addpath-tx-all-paths\n");
            }
        }
    }
    let graceful = if terms.graceful {
        " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time 30\n"
    } else {
        ""
    };
    format!(
        "frr defaults datacenter
router bgp {asn}
 bgp router-id {OTHER}
 no bgp ebgp-requires-policy
 no bgp network import-check
 no bgp default ipv4-unicast
 no bgp suppress-duplicates
 timers bgp 3 9
{graceful}{sessions} address-family ipv4 unicast
  network 10.2.0.0/24
{v4} exit-address-family
 address-family ipv6 unicast
  network fd10:2::/64
{v6} exit-address-family
",
        asn = terms.asn
    )
}

/// GoBGP.
#[must_use]
pub fn gobgp(lab: &Lab, terms: Terms) -> Router<'_> {
    let router = Router::gobgp(lab, "b", &gobgp_config(terms));
    router.tell(&format!("global rib add 10.2.0.0/24 nexthop {OTHER}"));
    router.tell(&format!(
        "global rib add -a ipv6 fd10:2::/64 nexthop {OTHER6}"
    ));
    router
}

/// The text of its configuration.
#[must_use]
pub fn gobgp_config(terms: Terms) -> String {
    let mut text = format!(
        "[global.config]\n  as = {}\n  router-id = \"{OTHER}\"\n",
        terms.asn
    );
    for (peer, asn) in terms.peers {
        text += &format!(
            "[[neighbors]]\n  [neighbors.config]\n    neighbor-address = \"{peer}\"\n    peer-as = {asn}\n"
        );
        if let Some(password) = terms.password {
            text += &format!("    auth-password = \"{password}\"\n");
        }
        text += &format!(
            "  [neighbors.transport.config]\n    local-address = \"{}\"\n  \
             [neighbors.timers.config]\n    connect-retry = 1\n    idle-hold-time-after-reset = 1\n",
            own(peer)
        );
        text += terms.words;
        for (set, words) in [
            (
                terms.near,
                "  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = 255\n",
            ),
            (
                terms.reflector,
                "  [neighbors.route-reflector.config]\n    route-reflector-client = true\n    route-reflector-cluster-id = \"192.168.50.12\"\n",
            ),
            (
                terms.graceful,
                "  [neighbors.graceful-restart.config]\n    enabled = true\n    restart-time = 30\n",
            ),
            (
                terms.add_path,
                "  [neighbors.add-paths.config]\n    receive = true\n    send-max = 8\n",
            ),
        ] {
            text += if set { words } else { "" };
        }
        for family in ["ipv4", "ipv6"] {
            text += &format!(
                "  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n      afi-safi-name = \"{family}-unicast\"\n"
            );
            if terms.graceful {
                text +=
                    "    [neighbors.afi-safis.mp-graceful-restart.config]\n      enabled = true\n";
            }
            text += terms.family_words;
        }
    }
    text
}

/// ExaBGP. It reflects nothing and keeps nothing: it only says what it is told to.
#[must_use]
pub fn exabgp(lab: &Lab, terms: Terms) -> Router<'_> {
    let mut text = String::new();
    for (peer, asn) in terms.peers {
        let mut more = terms.words.to_owned();
        if let Some(password) = terms.password {
            more += &format!("md5-password \"{password}\"; md5-base64 false; ");
        }
        if terms.near {
            more += "outgoing-ttl 255; incoming-ttl 255; ";
        }
        let mut capability = terms.family_words.to_owned();
        if terms.graceful {
            capability += "graceful-restart 30; ";
        }
        if terms.add_path {
            capability += "add-path send/receive; ";
        }
        text += &format!(
            "neighbor {peer} {{
              router-id {OTHER}; local-address {}; local-as {}; peer-as {asn}; {more}
              capability {{ route-refresh enable; {capability}}}
              family {{ ipv4 unicast; ipv6 unicast; }}
            }}\n",
            own(peer),
            terms.asn
        );
    }
    let router = Router::exabgp(lab, "b", &text);
    for (peer, _) in terms.peers {
        router.established(peer);
    }
    router.tell(&format!("announce route 10.2.0.0/24 next-hop {OTHER}"));
    router.tell(&format!("announce route fd10:2::/64 next-hop {OTHER6}"));
    router
}
