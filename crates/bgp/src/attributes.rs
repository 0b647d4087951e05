//! Path attributes: what is told of a route besides its prefix (RFC 4271 section 5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::types::{Asn, Community, LargeCommunity, RouterId};

/// What is told of a route besides its prefix.
///
/// Routes with the same attributes share one value, so equality and hashing cover all of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// How the route came into BGP.
    pub origin: Origin,
    /// The autonomous systems that it came through, the nearest first.
    pub as_path: AsPath,
    /// Where packets go next; of MP_REACH_NLRI where that told it.
    pub next_hop: NextHop,
    /// `MULTI_EXIT_DISC`: lower is better among routes from one neighbouring system.
    pub med: Option<u32>,
    /// Higher is better; only within one system.
    pub local_pref: Option<u32>,
    /// `ATOMIC_AGGREGATE`.
    pub atomic_aggregate: bool,
    /// Who aggregated it.
    pub aggregator: Option<(Asn, Ipv4Addr)>,
    /// Communities (RFC 1997), in order, each once.
    pub communities: Vec<Community>,
    /// Large communities (RFC 8092), in order, each once.
    pub large_communities: Vec<LargeCommunity>,
    /// Who brought it into the system (RFC 4456).
    pub originator_id: Option<RouterId>,
    /// The clusters of reflectors that it came through, the nearest first (RFC 4456).
    pub cluster_list: Vec<RouterId>,
    /// Transitive attributes that are not known here, in order of their type, to be passed on.
    pub unknown: Vec<Unknown>,
}

/// How a route came into BGP; the lower is the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// By an interior protocol.
    Igp,
    /// By EGP.
    Egp,
    /// By other means.
    Incomplete,
}

/// The autonomous systems that a route came through, the nearest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AsPath(pub Vec<AsSegment>);

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AsSegment {
    /// In this order.
    Sequence(Vec<Asn>),
    /// In whatever order: counts as one.
    Set(Vec<Asn>),
    /// Within a confederation, in this order (RFC 5065): counts as none.
    ConfederationSequence(Vec<Asn>),
    /// Within a confederation, in whatever order: counts as none.
    ConfederationSet(Vec<Asn>),
}

/// Where packets go next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, and one of the link where the peer is on it (RFC 2545 section 3).
    V6 {
        /// Of global scope; the link's where the peer gave no other.
        global: Ipv6Addr,
        /// Of the link.
        link_local: Option<Ipv6Addr>,
    },
}

/// A transitive attribute that is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unknown {
    /// Its type code.
    pub code: u8,
    /// Its value as it came.
    pub value: Vec<u8>,
}

impl Attributes {
    /// Of a route that begins here.
    #[must_use]
    pub fn local(next_hop: NextHop) -> Attributes {
        Attributes {
            origin: Origin::Igp,
            as_path: AsPath::default(),
            next_hop,
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: Vec::new(),
            large_communities: Vec::new(),
            originator_id: None,
            cluster_list: Vec::new(),
            unknown: Vec::new(),
        }
    }
}

impl AsPath {
    /// How long it is for the decision (RFC 4271 section 9.1.2.2 a, RFC 5065 section 5.3).
    #[must_use]
    pub fn length(&self) -> usize {
        let count = |segment: &AsSegment| match segment {
            AsSegment::Sequence(systems) => systems.len(),
            AsSegment::Set(_) => 1,
            AsSegment::ConfederationSequence(_) | AsSegment::ConfederationSet(_) => 0,
        };
        self.0.iter().map(count).sum()
    }

    /// How often a system is in it.
    #[must_use]
    pub fn count(&self, asn: Asn) -> usize {
        let systems = self.0.iter().flat_map(AsSegment::systems);
        systems.filter(|system| **system == asn).count()
    }

    /// The neighbouring system that it came from: the first, if it begins with a sequence.
    #[must_use]
    pub fn neighbour(&self) -> Option<Asn> {
        match self.0.iter().find(|segment| !segment.is_confederation())? {
            AsSegment::Sequence(systems) => systems.first().copied(),
            _ => None,
        }
    }

    /// Takes out what is of a confederation, which nobody outside of it may see (RFC 5065 section 4).
    pub fn drop_confederations(&mut self) {
        self.0.retain(|segment| !segment.is_confederation());
    }

    /// Puts a system in front. A segment holds 255 (RFC 4271 section 5.1.2).
    pub fn prepend(&mut self, asn: Asn) {
        match self.0.first_mut() {
            Some(AsSegment::Sequence(systems)) if systems.len() < 255 => systems.insert(0, asn),
            _ => self.0.insert(0, AsSegment::Sequence(vec![asn])),
        }
    }
}

impl AsSegment {
    /// The systems in it.
    #[must_use]
    pub fn systems(&self) -> &[Asn] {
        match self {
            AsSegment::Sequence(systems)
            | AsSegment::Set(systems)
            | AsSegment::ConfederationSequence(systems)
            | AsSegment::ConfederationSet(systems) => systems,
        }
    }

    /// Whether it is of a confederation (RFC 5065).
    #[must_use]
    pub fn is_confederation(&self) -> bool {
        matches!(
            self,
            AsSegment::ConfederationSequence(_) | AsSegment::ConfederationSet(_)
        )
    }
}

impl NextHop {
    /// The address that is looked up.
    #[must_use]
    pub fn address(self) -> IpAddr {
        match self {
            NextHop::V4(address) => address.into(),
            NextHop::V6 { global, .. } => global.into(),
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> NextHop {
        match address {
            IpAddr::V4(address) => NextHop::V4(address),
            IpAddr::V6(global) => NextHop::V6 {
                global,
                link_local: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn systems(numbers: impl IntoIterator<Item = u32>) -> Vec<Asn> {
        numbers.into_iter().map(Asn).collect()
    }

    #[test]
    fn path_lengths_count_sets_once_and_confederations_never() {
        let path = AsPath(vec![
            AsSegment::ConfederationSequence(systems([1, 2])),
            AsSegment::ConfederationSet(systems([3, 4])),
            AsSegment::Sequence(systems([5, 6, 7])),
            AsSegment::Set(systems([8, 9])),
        ]);
        assert_eq!(path.length(), 4);
        assert_eq!(path.neighbour(), Some(Asn(5)));
        assert_eq!(path.count(Asn(9)), 1);
        assert_eq!(AsPath::default().length(), 0);
    }

    #[test]
    fn a_full_segment_is_not_made_longer() {
        let ours = Asn(65000);
        let mut path = AsPath(vec![AsSegment::Sequence(systems(0..255))]);
        path.prepend(ours);
        assert_eq!(path.0[0], AsSegment::Sequence(vec![ours]));
        assert_eq!((path.length(), path.0.len()), (256, 2));
        path.prepend(ours);
        assert_eq!((path.length(), path.0.len()), (257, 2));
        let mut set = AsPath(vec![AsSegment::Set(systems([1]))]);
        set.prepend(ours);
        assert_eq!((set.length(), set.0.len()), (2, 2));
    }
}
