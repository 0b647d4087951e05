//! The base chains, and the maps that lead from an endpoint's packets to its stack.

use tombolo_model::kinds::policy::Direction;
use tombolo_model::{Family, World};
use tombolo_policy::failsafe::NEIGHBOUR_TYPES;
use tombolo_policy::{Directory, Rulebook, Stack};

use super::domain::Domain;
use super::stacks::Target;
use super::writer::Writer;
use super::{CUT, EGRESS, INGRESS, spoof};
use crate::attachment::Passing;
use crate::host_plan::{HostPlan, Origin};
use crate::naming;
use crate::objects::{
    Action, AddressMatch, Addresses, ChainType, ConnState, Datum, Field, Hook, HookPoint,
    InterfaceMatch, Key, Match, Members, NftSet, Object, PacketField, Policy, Rule,
};

/// The base chain for packets of containers to the host itself.
pub(super) const EGRESS_LOCAL: &str = "policy-egress-local";

/// The base chain where nothing is judged yet.
const TRACKING: &str = "policy-tracking";

/// Where the base chains stand, before the packet filters of others (`NF_IP_PRI_FILTER` is 0): first
/// what leaves an endpoint, then what comes to one, then what comes to a host.
pub(super) const FROM_ENDPOINTS: i32 = -20;
pub(super) const TO_ENDPOINTS: i32 = -19;

/// Plans the dispatch of a domain.
pub(super) fn plan<'a>(
    world: &'a World,
    rulebook: &Rulebook<'a>,
    directory: &Directory<'a>,
    domain: &Domain<'a>,
    plan: &mut HostPlan,
) {
    let Some(first) = domain.residents.first() else {
        return;
    };
    let mut writer = Writer {
        world,
        rulebook,
        directory,
        domain,
        families: domain.families(),
        groups: Default::default(),
        asker: first.endpoint.key(),
        plan,
    };
    let mut judged = false;
    for direction in [Direction::Egress, Direction::Ingress] {
        judged |= writer.dispatch(direction);
    }
    if judged {
        writer.see_frames();
    }
    let judges = writer.has_chain(EGRESS) || writer.has_chain(INGRESS);
    if !judges && !domain.is_untracked(world) {
        writer.track();
    }
}

impl<'a> Writer<'_, 'a> {
    /// The map of a direction and the chains that look it up, if anything is asked for any endpoint.
    /// Answers whether policies are, and not only the isolation of networks: what that is about is
    /// routed, and does not go from port to port.
    fn dispatch(&mut self, direction: Direction) -> bool {
        let mut entries: Vec<(Family, Vec<Datum>, Vec<Datum>)> = Vec::new();
        let (mut origin, mut judged) = (None, false);
        for resident in &self.domain.residents {
            let stack = Stack::of(self.rulebook, self.directory, resident.subject, direction);
            self.asker = resident.endpoint.key();
            let Target::Chain(chain) = self.stack(&stack, direction, Some(resident.network)) else {
                continue;
            };
            judged |= !stack.is_open();
            origin.get_or_insert_with(|| Origin {
                resource: resident.endpoint.key(),
                rule: "policy: which stack a packet goes to",
            });
            for address in &resident.endpoint.spec.addresses {
                let key = vec![
                    Datum::Interface(resident.guard.interface.clone()),
                    Datum::Ip(*address),
                ];
                entries.push((Family::of(*address), key, vec![Datum::Goto(chain.clone())]));
            }
        }
        let Some(origin) = origin else {
            return false;
        };
        for family in self.families.clone() {
            let own = entries.iter().filter(|(of, _, _)| *of == family);
            let members: Members = own
                .map(|(_, key, chain)| (key.clone(), chain.clone()))
                .collect();
            let map = NftSet {
                key: vec![Field::Interface, Field::address(family)],
                data: vec![Field::Verdict],
                interval: false,
            };
            self.set(&map_name(direction, family), map, members, origin.clone());
        }
        for (name, point) in self.hooks(direction) {
            let priority = match direction {
                Direction::Egress => FROM_ENDPOINTS,
                Direction::Ingress => TO_ENDPOINTS,
            };
            let rules = self.base_rules(direction, judged);
            self.chain(name, Some(hook(point, priority)), rules, origin.clone());
        }
        judged
    }

    fn hooks(&self, direction: Direction) -> Vec<(&'static str, HookPoint)> {
        match (direction, self.domain.passing) {
            (Direction::Egress, Passing::Routed) => {
                vec![
                    (EGRESS, HookPoint::Forward),
                    (EGRESS_LOCAL, HookPoint::Input),
                ]
            }
            (Direction::Egress, Passing::Bridged) => vec![(EGRESS, HookPoint::Forward)],
            (Direction::Egress, Passing::Own) => vec![(EGRESS, HookPoint::Output)],
            (Direction::Ingress, Passing::Own) => vec![(INGRESS, HookPoint::Input)],
            (Direction::Ingress, _) => vec![(INGRESS, HookPoint::Forward)],
        }
    }

    /// Connections that were cut, those that were let through before, neighbours' questions; then the
    /// map.
    fn base_rules(&self, direction: Direction, judged: bool) -> Vec<Rule> {
        let mut rules = match self.domain.is_untracked(self.world) {
            true => Vec::new(),
            false => before_judging(),
        };
        rules.extend(neighbour_discovery());
        for family in &self.families {
            let fields = match (direction, self.domain.passing) {
                (Direction::Egress, Passing::Own) => {
                    vec![PacketField::OutInterface, PacketField::Source(*family)]
                }
                (Direction::Egress, _) => {
                    vec![PacketField::InInterface, PacketField::Source(*family)]
                }
                (Direction::Ingress, Passing::Own) => {
                    vec![PacketField::InInterface, PacketField::Destination(*family)]
                }
                (Direction::Ingress, _) => {
                    vec![PacketField::OutInterface, PacketField::Destination(*family)]
                }
            };
            let map = map_name(direction, *family);
            rules.push(Rule::new(
                [Match::Family(*family)],
                Action::Dispatch { fields, map },
            ));
        }
        if judged {
            rules.extend(self.link_local(direction));
        }
        rules
    }

    /// Every link has addresses of its own in IPv6, which no map knows and no policy names: where policies
    /// judge, nothing goes by them but what is needed to find neighbours.
    fn link_local(&self, direction: Direction) -> Vec<Rule> {
        let addresses = AddressMatch {
            family: Family::V6,
            addresses: Addresses::Net(spoof::link_local()),
            not: false,
        };
        let address = match direction {
            Direction::Egress => Match::Source(addresses),
            Direction::Ingress => Match::Destination(addresses),
        };
        let own = self.domain.passing == Passing::Own;
        let residents = self.domain.residents.iter().filter(|_| own);
        let mut links: Vec<InterfaceMatch> = residents
            .map(|resident| InterfaceMatch {
                name: resident.guard.interface.to_string(),
                prefix: false,
                not: false,
            })
            .collect();
        if !own {
            links.push(InterfaceMatch {
                name: naming::LINK_PREFIX.to_owned(),
                prefix: true,
                not: false,
            });
        }
        let leaves = own == (direction == Direction::Egress);
        let link = |link| match leaves {
            true => Match::OutInterface(link),
            false => Match::InInterface(link),
        };
        let rules = links
            .into_iter()
            .map(|name| Rule::new([link(name), address.clone()], Action::Drop).counted());
        rules.collect()
    }

    /// Connections are tracked before there is any policy: one that comes finds those that exist.
    fn track(&mut self) {
        let known = Match::ConnectionState(vec![ConnState::Established, ConnState::Related]);
        let point = match self.domain.passing {
            Passing::Own => HookPoint::Input,
            _ => HookPoint::Forward,
        };
        let origin = Origin {
            resource: self.asker.clone(),
            rule: "policy: connections are known before they are judged",
        };
        let rules = vec![Rule::new([known], Action::Continue)];
        self.chain(TRACKING, Some(hook(point, FROM_ENDPOINTS)), rules, origin);
    }

    /// Packets that go from port to port of a bridge are shown to the chains, too
    /// (Documentation/networking/bridge.rst, br_netfilter).
    fn see_frames(&mut self) {
        let Some(resident) = self
            .domain
            .residents
            .iter()
            .find(|r| r.guard.port.is_some())
        else {
            return;
        };
        let origin = Origin {
            resource: resident.network.key(),
            rule: "policy: what goes from port to port is judged",
        };
        for family in Family::ALL {
            let path = match family {
                Family::V4 => "net/bridge/bridge-nf-call-iptables",
                Family::V6 => "net/bridge/bridge-nf-call-ip6tables",
            };
            let place = self.domain.place(Key::Sysctl(path.to_owned()));
            self.plan
                .want(place, Object::Sysctl("1".to_owned()), origin.clone());
        }
    }
}

fn map_name(direction: Direction, family: Family) -> String {
    format!("{direction}-{family}")
}

/// What is decided before anybody's policies are asked. Both ends of a connection that was cut are told
/// so where that can be done, and do not wait for each other.
pub(super) fn before_judging() -> Vec<Rule> {
    let cut = Match::ConnectionMark {
        mask: CUT,
        value: CUT,
    };
    let tcp = Match::ProtocolNumber {
        number: 6,
        not: false,
    };
    let known = Match::ConnectionState(vec![ConnState::Established, ConnState::Related]);
    vec![
        Rule::new([cut.clone(), tcp], Action::Reset).counted(),
        Rule::new([cut], Action::Drop).counted(),
        Rule::new([known], Action::Accept),
    ]
}

/// What IPv6 does not work without on a link.
pub(super) fn neighbour_discovery() -> Vec<Rule> {
    let rule = |icmp_type| {
        let matches = [
            Match::ProtocolNumber {
                number: 58,
                not: false,
            },
            Match::Icmp {
                family: Family::V6,
                icmp_type,
                code: None,
                not: false,
            },
        ];
        Rule::new(
            [&[Match::Family(Family::V6)], matches.as_slice()].concat(),
            Action::Accept,
        )
    };
    NEIGHBOUR_TYPES.into_iter().map(rule).collect()
}

pub(super) fn hook(point: HookPoint, priority: i32) -> Hook {
    Hook {
        chain_type: ChainType::Filter,
        point,
        priority,
        policy: Policy::Accept,
    }
}
