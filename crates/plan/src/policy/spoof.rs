//! Nobody sends from an address that is not its own.
//!
//! Each endpoint's packets are looked at before anything else, also before connection tracking could
//! take them for those of somebody's connection. On a bridge frames are looked at: the link-layer
//! address, and the addresses in IP, ARP and neighbour advertisements.
//!
//! Link-local addresses of IPv6 are the container's own choice, and go no further than its link.

use ipnet::IpNet;
use tombolo_model::Family;

use super::dispatch::hook;
use super::domain::{Domain, Resident};
use crate::attachment::Passing;
use crate::host_plan::{HostPlan, Origin};
use crate::objects::{
    Action, AddressMatch, Addresses, Chain, Datum, Field, HookPoint, InterfaceMatch, Key, Match,
    Members, NftName, NftSet, Object, PacketField, Rule, Table,
};

const CHAIN: &str = "spoofing";
/// The set of addresses that are the link's.
const LINK_LOCAL: &str = "link-local";
/// Before connection tracking (`NF_IP_PRI_CONNTRACK` is -200), and before what reads packets raw.
pub(super) const PRIORITY: i32 = -310;
/// What the names of the host's ends of pairs begin with.
const ENDS: &str = "tbv";
/// `ETH_P_ARP`.
const ARP: u16 = 0x0806;
/// `ETH_P_IP`, `ETH_P_IPV6`.
const ETHER_TYPES: [(Family, u16); 2] = [(Family::V4, 0x0800), (Family::V6, 0x86dd)];
/// ICMPv6, and its neighbour advertisement (RFC 4861, section 4.4).
const ICMPV6: u8 = 58;
const ADVERTISEMENT: u8 = 136;
/// Advertisements of routers, and redirections (RFC 4861, sections 4.2 and 4.5): a container is no router.
const OF_ROUTERS: [u8; 2] = [134, 137];

/// Plans the check of sources of all endpoints of a domain.
pub(super) fn plan(domain: &Domain<'_>, plan: &mut HostPlan) {
    let (bridged, routed): (Vec<_>, Vec<_>) = domain
        .residents
        .iter()
        .partition(|resident| resident.guard.port.is_some());
    if let Some(first) = routed.first() {
        let mut guard = Spoof {
            domain,
            table: Table::Inet,
            origin: origin(first),
            plan: &mut *plan,
        };
        guard.packets(&routed);
    }
    if let Some(first) = bridged.first() {
        let mut guard = Spoof {
            domain,
            table: Table::Bridge,
            origin: origin(first),
            plan,
        };
        guard.frames(&bridged);
    }
}

fn origin(resident: &Resident<'_>) -> Origin {
    Origin {
        resource: resident.endpoint.key(),
        rule: "policy: packets come from their sender's own address",
    }
}

struct Spoof<'p, 'a> {
    domain: &'p Domain<'a>,
    table: Table,
    origin: Origin,
    plan: &'p mut HostPlan,
}

impl Spoof<'_, '_> {
    /// Of endpoints whose interface is theirs alone.
    fn packets(&mut self, residents: &[&Resident<'_>]) {
        let rules = match self.domain.passing {
            Passing::Own => self.of_sandbox(residents),
            _ => self.of_host(residents),
        };
        let point = match self.domain.passing {
            Passing::Own => HookPoint::Output,
            _ => HookPoint::Prerouting,
        };
        self.chain(point, rules);
    }

    /// In the sandbox itself, beside interfaces of others.
    fn of_sandbox(&mut self, residents: &[&Resident<'_>]) -> Vec<Rule> {
        let mut rules = Vec::new();
        for family in Family::ALL {
            let foreign = self.is_own(residents, family, PacketField::OutInterface, true);
            rules.extend(accepted(family));
            let own = residents.iter().map(|resident| InterfaceMatch {
                name: resident.guard.interface.to_string(),
                prefix: false,
                not: false,
            });
            let ends = own.map(Match::OutInterface);
            rules.extend(ends.map(|end| dropped(vec![end, foreign.clone()])));
        }
        rules
    }

    /// On the host. What others send has passed with the first rule, what is as it should be with the next
    /// one of its family: every packet comes by here.
    fn of_host(&mut self, residents: &[&Resident<'_>]) -> Vec<Rule> {
        let mut rules = vec![Rule::new([elsewhere()], Action::Accept)];
        for family in Family::ALL {
            let own = self.is_own(residents, family, PacketField::InInterface, false);
            rules.push(Rule::new([own], Action::Accept));
            rules.extend(accepted(family));
        }
        rules.push(dropped(Vec::new()));
        rules
    }

    /// Whether a packet's source is one of its interface.
    fn is_own(
        &mut self,
        residents: &[&Resident<'_>],
        family: Family,
        interface: PacketField,
        not: bool,
    ) -> Match {
        Match::InSet {
            fields: vec![interface, PacketField::Source(family)],
            set: self.own(residents, family),
            not,
        }
    }

    /// Of endpoints behind ports of a bridge.
    fn frames(&mut self, residents: &[&Resident<'_>]) {
        let not_in = |fields: Vec<PacketField>, set: &str| Match::InSet {
            fields,
            set: set.to_owned(),
            not: true,
        };
        let port = PacketField::InInterface;
        let (own, macs) = ([Family::V4, Family::V6].map(own_name), "stations");
        let mut rules = vec![
            dropped(vec![
                ends(),
                not_in(vec![port, PacketField::EtherSource], macs),
            ]),
            dropped(vec![
                Match::EtherType(ARP),
                ends(),
                not_in(vec![port, PacketField::ArpSourceMac], macs),
            ]),
            // Who asks whether an address is free has none yet (RFC 5227, section 2.1.1); that is in
            // the set for every port.
            dropped(vec![
                Match::EtherType(ARP),
                ends(),
                not_in(vec![port, PacketField::ArpSource], &own[0]),
            ]),
        ];
        for ((family, ether_type), own) in ETHER_TYPES.into_iter().zip(&own) {
            if family == Family::V6 {
                rules.extend(OF_ROUTERS.map(|icmp_type| dropped(of_type(ether_type, icmp_type))));
                let forged = [
                    not_in(vec![port, PacketField::NeighbourTarget], own),
                    not_in(vec![PacketField::NeighbourTarget], LINK_LOCAL),
                ];
                rules.push(dropped(
                    [of_type(ether_type, ADVERTISEMENT).as_slice(), &forged].concat(),
                ));
            }
            rules.extend(unchecked(family).into_iter().map(|net| {
                Rule::new(
                    [Match::EtherType(ether_type), from(family, net)],
                    Action::Accept,
                )
            }));
            let source = not_in(vec![port, PacketField::Source(family)], own);
            rules.push(dropped(vec![Match::EtherType(ether_type), ends(), source]));
        }
        self.want_sets(residents, macs);
        self.chain(HookPoint::Prerouting, rules);
    }

    /// The sets that frames are looked up in.
    fn want_sets(&mut self, residents: &[&Resident<'_>], macs: &str) {
        for family in Family::ALL {
            self.own(residents, family);
        }
        self.link_local();
        let stations = residents.iter().map(|resident| {
            vec![
                Datum::Interface(link(resident).clone()),
                Datum::Mac(resident.endpoint.spec.mac),
            ]
        });
        self.set(
            macs,
            vec![Field::Interface, Field::Mac],
            Members::of_set(stations),
        );
    }

    /// The set of interfaces with their addresses.
    fn own(&mut self, residents: &[&Resident<'_>], family: Family) -> String {
        let name = own_name(family);
        let members = residents.iter().flat_map(|resident| {
            let addresses = resident.endpoint.spec.addresses.iter();
            let own = addresses
                .filter(|address| Family::of(**address) == family)
                .copied();
            let asks = family == Family::V4 && self.table == Table::Bridge;
            let more = asks.then(|| family.unspecified());
            let key = |address| vec![Datum::Interface(link(resident).clone()), Datum::Ip(address)];
            own.chain(more).map(key).collect::<Vec<_>>()
        });
        let members = Members::of_set(members);
        self.set(
            &name,
            vec![Field::Interface, Field::address(family)],
            members,
        );
        name
    }

    /// The set of link-local addresses.
    fn link_local(&mut self) {
        let name = NftName {
            table: self.table,
            name: LINK_LOCAL.to_owned(),
        };
        let set = NftSet {
            key: vec![Field::Ipv6],
            data: Vec::new(),
            interval: true,
        };
        let place = self.domain.place(Key::NftSet(name.clone()));
        self.plan
            .want(place, Object::NftSet(set), self.origin.clone());
        let members = Members::of_set([vec![Datum::Net(link_local())]]);
        let place = self.domain.place(Key::NftMembers(name));
        self.plan
            .want(place, Object::NftMembers(members), self.origin.clone());
    }

    fn set(&mut self, name: &str, key: Vec<Field>, members: Members) {
        let set = NftSet {
            key,
            data: Vec::new(),
            interval: false,
        };
        let name = || NftName {
            table: self.table,
            name: name.to_owned(),
        };
        let place = self.domain.place(Key::NftSet(name()));
        self.plan
            .want(place, Object::NftSet(set), self.origin.clone());
        let place = self.domain.place(Key::NftMembers(name()));
        self.plan
            .want(place, Object::NftMembers(members), self.origin.clone());
    }

    fn chain(&mut self, point: HookPoint, rules: Vec<Rule>) {
        let name = NftName {
            table: self.table,
            name: CHAIN.to_owned(),
        };
        let chain = Chain {
            hook: Some(hook(point, PRIORITY)),
            rules,
        };
        let place = self.domain.place(Key::NftChain(name));
        self.plan
            .want(place, Object::NftChain(chain), self.origin.clone());
    }
}

/// The host's ends of pairs.
fn ends() -> Match {
    at_ends(false)
}

/// Every interface but those.
fn elsewhere() -> Match {
    at_ends(true)
}

fn at_ends(not: bool) -> Match {
    Match::InInterface(InterfaceMatch {
        name: ENDS.to_owned(),
        prefix: true,
        not,
    })
}

/// The interface that an endpoint's packets come in by.
fn link<'r>(resident: &'r Resident<'_>) -> &'r tombolo_model::IfName {
    resident
        .guard
        .port
        .as_ref()
        .unwrap_or(&resident.guard.interface)
}

fn own_name(family: Family) -> String {
    format!("own-{family}")
}

/// Sources that anybody may have: of IPv6 none at all, and those of the link (RFC 4291, sections 2.5.2
/// and 2.5.6).
fn unchecked(family: Family) -> Vec<IpNet> {
    match family {
        Family::V4 => Vec::new(),
        Family::V6 => vec![Family::host_net(family.unspecified()), link_local()],
    }
}

/// Lets through who has one of those.
fn accepted(family: Family) -> impl Iterator<Item = Rule> {
    let nets = unchecked(family).into_iter();
    nets.map(move |net| Rule::new([from(family, net)], Action::Accept))
}

/// Addresses of the link.
pub(super) fn link_local() -> IpNet {
    IpNet::new_assert([0xfe80, 0, 0, 0, 0, 0, 0, 0].into(), 10)
}

/// ICMPv6 of a type, of an endpoint.
fn of_type(ether_type: u16, icmp_type: u8) -> Vec<Match> {
    vec![
        Match::EtherType(ether_type),
        ends(),
        Match::ProtocolNumber {
            number: ICMPV6,
            not: false,
        },
        Match::Icmp {
            family: Family::V6,
            icmp_type,
            code: None,
            not: false,
        },
    ]
}

fn from(family: Family, net: IpNet) -> Match {
    Match::Source(AddressMatch {
        family,
        addresses: Addresses::Net(net),
        not: false,
    })
}

pub(super) fn dropped(matches: Vec<Match>) -> Rule {
    Rule::new(matches, Action::Drop).counted()
}
