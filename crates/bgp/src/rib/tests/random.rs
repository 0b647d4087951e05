//! Random lives of a routing table: whatever happened, and at whatever pace its peers listened, what
//! they have heard in the end is what the present state says, and nothing else.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::naive::{Known, Naive, Told};
use super::*;
use crate::filter::{Filter, FilterRule, Matching, Outcome};
use crate::types::Community;

const PEERS: u8 = 5;
const NETS: [&str; 5] = [
    "192.0.2.0/24",
    "198.51.100.0/24",
    "198.51.100.0/25",
    "2001:db8::/32",
    "2001:db8:1::/48",
];

#[derive(Debug, Clone)]
enum Action {
    Announce {
        peer: u8,
        net: usize,
        path: u32,
        flavour: u16,
    },
    Withdraw {
        peer: u8,
        net: usize,
        path: u32,
    },
    Up(u8),
    Down {
        peer: u8,
        keep: Option<Families>,
    },
    Forget(u8),
    BeginStale(u8, Family),
    EndStale(u8, Family),
    LongLived(u8, Family),
    Resend(u8, Family, bool),
    Configure {
        peer: u8,
        import: usize,
        export: usize,
        client: bool,
    },
    Originate(u8),
    NextHops(u8),
    Identity(u8),
    Hold(bool),
    Hear(u8, usize),
    Changes,
}

fn action() -> impl Strategy<Value = Action> {
    let peer = 0..PEERS;
    let net = 0..NETS.len();
    let family = prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    let families = (any::<bool>(), any::<bool>()).prop_map(|(ipv4, ipv6)| Families { ipv4, ipv6 });
    prop_oneof![
        20 => (peer.clone(), net.clone(), 0..2u32, any::<u16>()).prop_map(
            |(peer, net, path, flavour)| Action::Announce { peer, net, path, flavour }),
        10 => (peer.clone(), net, 0..2u32)
            .prop_map(|(peer, net, path)| Action::Withdraw { peer, net, path }),
        6 => peer.clone().prop_map(Action::Up),
        3 => (peer.clone(), proptest::option::of(families))
            .prop_map(|(peer, keep)| Action::Down { peer, keep }),
        1 => peer.clone().prop_map(Action::Forget),
        1 => (peer.clone(), family.clone()).prop_map(|(peer, of)| Action::BeginStale(peer, of)),
        2 => (peer.clone(), family.clone()).prop_map(|(peer, of)| Action::EndStale(peer, of)),
        1 => (peer.clone(), family.clone()).prop_map(|(peer, of)| Action::LongLived(peer, of)),
        2 => (peer.clone(), family, any::<bool>())
            .prop_map(|(peer, of, enhanced)| Action::Resend(peer, of, enhanced)),
        3 => (peer.clone(), 0..3usize, 0..3usize, any::<bool>()).prop_map(
            |(peer, import, export, client)| Action::Configure { peer, import, export, client }),
        3 => any::<u8>().prop_map(Action::Originate),
        2 => (0..4u8).prop_map(Action::NextHops),
        1 => (0..2u8).prop_map(Action::Identity),
        2 => any::<bool>().prop_map(Action::Hold),
        12 => (peer, prop_oneof![Just(1usize), Just(200), Just(usize::MAX)])
            .prop_map(|(peer, limit)| Action::Hear(peer, limit)),
        3 => Just(Action::Changes),
    ]
}

/// The peers: another system, a member, a client, another system that takes several paths, and a
/// client that does and knows of long-lived stale routes.
fn role_of(peer: u8) -> Role {
    let number = peer + 1;
    let mut role = match peer {
        0 => role(number, 65001),
        3 => role(number, 65004),
        _ => role(number, OURS.0),
    };
    role.peer.client = matches!(peer, 2 | 4);
    if matches!(peer, 3 | 4) {
        role.negotiated.add_path_send = Families::ALL;
    }
    if peer == 4 {
        role.negotiated.long_lived = vec![(Family::Ipv4, true, 60), (Family::Ipv6, true, 60)];
    }
    role
}

/// Attributes that differ in everything that a decision looks at, loops and lies included.
fn flavoured(peer: u8, net: usize, flavour: u16) -> Attributes {
    let bit = |number: u16| flavour >> number & 1 == 1;
    let systems: &[u32] = match (peer, flavour & 3) {
        (0, 0) => &[65001],
        (0, _) => &[65001, 65009],
        (3, 0) => &[65004],
        (3, 1) => &[65004, 65000],
        (3, _) => &[65004, 65009],
        (_, 0) => &[],
        (_, 1) => &[65001],
        _ => &[65004, 65009],
    };
    let mut attributes = attributes(peer + 1, systems);
    attributes.med = bit(2).then_some(u32::from(flavour >> 3 & 1));
    attributes.local_pref = (bit(4) && bit(5) && !matches!(peer, 0 | 3)).then_some(200);
    let number = peer + 1;
    let (near, far, farther) = match prefix(NETS[net]) {
        IpNet::V4(_) => (format!("10.0.0.{number}"), "172.16.0.1", "172.17.0.1"),
        IpNet::V6(_) => (format!("fd00::{number}"), "fd16::1", "fd17::1"),
    };
    let hop: IpAddr = match flavour >> 6 & 3 {
        0 => far.parse().unwrap(),
        1 => farther.parse().unwrap(),
        _ => near.parse().unwrap(),
    };
    attributes.next_hop = hop.into();
    let given = [
        (bit(8) && bit(9), Community::NO_EXPORT),
        (bit(8) && bit(10), Community::NO_LLGR),
        (bit(11) && bit(12), Community::LLGR_STALE),
    ];
    let given = given.into_iter().filter(|(is_given, _)| *is_given);
    attributes.communities = given.map(|(_, community)| community).collect();
    attributes.communities.sort_unstable();
    if bit(13) && bit(14) && !matches!(peer, 0 | 3) {
        attributes.originator_id = Some(LOCAL.router_id);
    }
    attributes
}

fn filter(choice: usize) -> Filter {
    let rule = |net: &str, from_peers| FilterRule {
        net: Some(prefix(net)),
        matching: Matching::In,
        length: None,
        from_peers,
        outcome: Outcome::Reject,
        reason: format!("no {net}"),
    };
    let rules = match choice {
        0 => vec![],
        1 => vec![rule("198.51.100.0/24", false)],
        _ => vec![rule("2001:db8::/32", true), rule("192.0.2.0/24", true)],
    };
    Filter {
        rules,
        otherwise: Outcome::Accept,
    }
}

fn next_hops(choice: u8) -> NextHops {
    let range = |net: &str, metric| (prefix(net), metric);
    let mut ranges = vec![range("10.0.0.0/8", 5), range("fd00::/16", 5)];
    if choice & 1 == 1 {
        ranges.extend([range("172.16.0.0/12", 5), range("172.17.0.0/16", 1)]);
        ranges.extend([range("fd16::/15", 5), range("fd17::/16", 1)]);
    }
    if choice & 2 == 2 {
        ranges.extend([range("10.0.0.2/32", 0), range("fd00::2/128", 0)]);
    }
    NextHops(ranges)
}

/// A routing table, the peers that listen to it, and what should come of it.
struct World {
    rib: Rib,
    ears: BTreeMap<PeerId, Ear>,
    naive: Naive,
    installed: BTreeMap<IpNet, (PeerKey, Attributes)>,
}

impl World {
    fn new() -> World {
        let mut rib = Rib::new(LOCAL);
        rib.set_next_hops(next_hops(0));
        let naive = Naive {
            local: LOCAL,
            hops: next_hops(0),
            originated: BTreeMap::new(),
            peers: BTreeMap::new(),
        };
        World {
            rib,
            ears: BTreeMap::new(),
            naive,
            installed: BTreeMap::new(),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Announce {
                peer,
                net,
                path,
                flavour,
            } => self.announce(peer, net, path, flavour),
            Action::Withdraw { peer, net, path } => {
                let (peer, nlri) = (PeerId(peer.into()), nlri(NETS[net], path));
                let update = Update {
                    withdrawn: vec![nlri],
                    ..Update::default()
                };
                self.rib.update(peer, update).unwrap();
                if let Some(known) = self.naive.peers.get_mut(&peer).filter(|known| known.up) {
                    known.told.remove(&nlri);
                }
            }
            Action::Up(peer) => self.up(peer),
            Action::Down { peer, keep } => self.down(PeerId(peer.into()), keep),
            Action::Forget(peer) => {
                let peer = PeerId(peer.into());
                self.rib.forget(peer);
                self.naive.peers.remove(&peer);
                self.ears.remove(&peer);
            }
            Action::BeginStale(peer, family) => {
                self.rib.begin_stale(PeerId(peer.into()), family);
                self.each_told(peer, family, |told| told.stale = true);
            }
            Action::EndStale(peer, family) => {
                self.rib.end_stale(PeerId(peer.into()), family);
                self.keep_told(peer, family, |told| !told.stale);
            }
            Action::LongLived(peer, family) => self.long_lived(peer, family),
            other => self.act_on_all(other),
        }
    }

    fn act_on_all(&mut self, action: Action) {
        match action {
            Action::Resend(peer, family, enhanced) => {
                self.rib.resend(PeerId(peer.into()), family, enhanced);
            }
            Action::Configure {
                peer,
                import,
                export,
                client,
            } => {
                let peer = PeerId(peer.into());
                let Some(known) = self.naive.peers.get_mut(&peer) else {
                    return;
                };
                known.role.peer.import = filter(import);
                known.role.peer.export = filter(export);
                known.role.peer.client = client;
                self.rib.peer_changed(peer, &known.role.peer);
            }
            Action::Originate(choice) => {
                let nets = NETS
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| choice >> n & 1 == 1);
                let given = Origination {
                    med: (choice >= 128).then_some(1),
                    ..Origination::default()
                };
                self.naive.originated = nets.map(|(_, net)| (prefix(net), given.clone())).collect();
                self.rib.originate(self.naive.originated.clone());
            }
            Action::NextHops(choice) => {
                self.naive.hops = next_hops(choice);
                self.rib.set_next_hops(next_hops(choice));
            }
            Action::Identity(choice) => {
                self.naive.local.cluster_id = RouterId([7, 7, 7, choice].into());
                self.rib.set_local(self.naive.local);
            }
            Action::Hold(true) => self.rib.hold(),
            Action::Hold(false) => self.rib.release(),
            Action::Hear(peer, limit) => {
                if let Some(ear) = self.ears.get_mut(&PeerId(peer.into())) {
                    ear.hear(&mut self.rib, limit);
                }
            }
            Action::Changes => self.install(),
            _ => unreachable!("done before"),
        }
    }

    fn announce(&mut self, peer: u8, net: usize, path: u32, flavour: u16) {
        let attributes = flavoured(peer, net, flavour);
        let (peer, nlri) = (PeerId(peer.into()), nlri(NETS[net], path));
        let update = Update {
            announced: vec![(attributes.clone(), vec![nlri])],
            ..Update::default()
        };
        self.rib.update(peer, update).unwrap();
        if let Some(known) = self.naive.peers.get_mut(&peer).filter(|known| known.up) {
            let told = Told {
                attributes,
                stale: false,
            };
            known.told.insert(nlri, told);
        }
    }

    fn up(&mut self, peer: u8) {
        let (role, peer) = (role_of(peer), PeerId(peer.into()));
        if self.naive.peers.get(&peer).is_some_and(|known| known.up) {
            return;
        }
        self.ears
            .insert(peer, Ear::new(&mut self.rib, peer, role.clone()));
        let kept = self.naive.peers.remove(&peer).map(|known| known.told);
        let known = Known {
            role,
            up: true,
            told: kept.unwrap_or_default(),
        };
        self.naive.peers.insert(peer, known);
    }

    fn down(&mut self, peer: PeerId, keep: Option<Families>) {
        self.rib
            .peer_down(peer, keep.map_or(Down::Forget, Down::KeepStale));
        self.ears.remove(&peer);
        if let Some(known) = self.naive.peers.get_mut(&peer) {
            known.up = false;
            let keep = keep.unwrap_or_default();
            known
                .told
                .retain(|nlri, _| keep.contains(Family::of(nlri.prefix)));
            known.told.values_mut().for_each(|told| told.stale = true);
        }
    }

    fn long_lived(&mut self, peer: u8, family: Family) {
        self.rib.long_lived(PeerId(peer.into()), family);
        let stays =
            |told: &Told| !told.stale || !told.attributes.communities.contains(&Community::NO_LLGR);
        self.keep_told(peer, family, stays);
        self.each_told(peer, family, |told| {
            let communities = &mut told.attributes.communities;
            if told.stale && !communities.contains(&Community::LLGR_STALE) {
                communities.push(Community::LLGR_STALE);
                communities.sort_unstable();
            }
        });
    }

    fn each_told(&mut self, peer: u8, family: Family, each: impl Fn(&mut Told)) {
        if let Some(known) = self.naive.peers.get_mut(&PeerId(peer.into())) {
            let told = known.told.iter_mut();
            let told = told.filter(|(nlri, _)| Family::of(nlri.prefix) == family);
            told.for_each(|(_, told)| each(told));
        }
    }

    fn keep_told(&mut self, peer: u8, family: Family, keep: impl Fn(&Told) -> bool) {
        if let Some(known) = self.naive.peers.get_mut(&PeerId(peer.into())) {
            known
                .told
                .retain(|nlri, told| Family::of(nlri.prefix) != family || keep(told));
        }
    }

    /// Takes over changes, as whoever installs routes does.
    fn install(&mut self) {
        for (prefix, paths) in self.rib.changes() {
            match paths.first() {
                Some(path) => {
                    let attributes = Attributes::clone(&path.attributes);
                    self.installed
                        .insert(prefix, (path.peer.clone(), attributes));
                }
                None => _ = self.installed.remove(&prefix),
            }
        }
    }

    fn check(&mut self) {
        self.rib.release();
        self.install();
        let best = self.naive.best();
        assert_eq!(self.installed, best, "what is installed");
        let routes = self.rib.routes().map(|(prefix, paths)| {
            let path = &paths[0];
            (
                prefix,
                (path.peer.clone(), Attributes::clone(&path.attributes)),
            )
        });
        assert_eq!(routes.collect::<BTreeMap<_, _>>(), best, "the routes");
        for (peer, ear) in &mut self.ears {
            ear.drain(&mut self.rib);
            let mut heard: BTreeMap<IpNet, Vec<String>> = BTreeMap::new();
            for (nlri, attributes) in &ear.routes {
                heard
                    .entry(nlri.prefix)
                    .or_default()
                    .push(format!("{attributes:?}"));
            }
            heard.values_mut().for_each(|paths| paths.sort());
            assert_eq!(heard, self.naive.heard(*peer), "what {peer:?} heard");
            assert_eq!(ear.complete.len(), 2, "ends that {peer:?} heard of");
            let counts = self.rib.counts(*peer);
            for family in Family::ALL {
                let of = counts.of(family);
                let (received, accepted, best) = self.naive.counts(*peer, family);
                let expected = (received as u64, accepted as u64, best as u64);
                assert_eq!(
                    (of.received, of.accepted, of.best),
                    expected,
                    "{peer:?} {family}"
                );
                let told = ear
                    .routes
                    .keys()
                    .filter(|nlri| Family::of(nlri.prefix) == family);
                assert_eq!(of.advertised, told.count() as u64, "{peer:?} {family}");
            }
        }
    }
}

proptest! {
    #[test]
    fn what_peers_hear_depends_on_the_state_and_not_on_the_path(
        actions in proptest::collection::vec(action(), 1..120),
        middle in 0..120usize,
    ) {
        let mut world = World::new();
        for (number, action) in actions.into_iter().enumerate() {
            world.act(action);
            if number == middle {
                world.check();
            }
        }
        world.check();
        // When all have left, nothing is left.
        for peer in 0..PEERS {
            world.act(Action::Forget(peer));
        }
        world.act(Action::Originate(0));
        world.check();
        prop_assert_eq!(world.rib.table().count(), 0);
    }
}
