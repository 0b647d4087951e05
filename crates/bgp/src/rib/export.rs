//! What is told to a peer (RFC 4271 sections 5.1 and 9.1.3, RFC 4456).

use std::net::IpAddr;

use ipnet::IpNet;

use super::paths::Held;
use super::peers::Peers;
use super::{Local, PeerId, Role};
use crate::attributes::{Attributes, NextHop};
use crate::config::NextHopMode;
use crate::filter::Outcome;
use crate::types::{Community, Family};

/// Why a path is not told to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// The peer told it to us.
    FromIt,
    /// It came from our own system, and neither end is a client of ours (RFC 4456 section 6).
    NotReflected,
    /// Another one outside told it, and we are no way between the two.
    NoTransit,
    /// A community of the path forbids it (RFC 1997).
    Community,
    /// Its session is long gone, and the peer does not know of such routes (RFC 9494 section 4.3).
    LongLivedStale,
    /// We have no next hop that the peer could use in this family.
    NoNextHop,
    /// Its next hop is the peer (RFC 4271 section 5.1.3).
    ItsNextHop,
    /// The export filter.
    Filter,
}

/// Tells routes to one peer.
pub(super) struct Exporter<'a> {
    pub local: &'a Local,
    pub peers: &'a Peers,
    pub peer: PeerId,
    pub role: &'a Role,
}

impl Withheld {
    /// The reason in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Withheld::FromIt => "the peer told it to us",
            Withheld::NotReflected => "it is of our own system and neither end is a client",
            Withheld::NoTransit => "another router outside told it, and we are no way between them",
            Withheld::Community => "a community of it says so",
            Withheld::LongLivedStale => {
                "its session is long gone and the peer knows no such routes"
            }
            Withheld::NoNextHop => "we have no next hop that the peer could use",
            Withheld::ItsNextHop => "its next hop is the peer",
            Withheld::Filter => "the export filter rejects it",
        }
    }
}

impl Exporter<'_> {
    /// Whether the peer's filter lets a prefix out.
    pub fn lets_out(&self, prefix: IpNet, path: &Held) -> bool {
        let filter = &self.role.peer.export;
        let from_peer = path.source != PeerId::LOCAL;
        filter.decide(prefix, from_peer).0 == Outcome::Accept
    }

    /// What the peer is told of a path. Depends on its attributes and its source only.
    pub fn attributes(&self, path: &Held, family: Family) -> Result<Attributes, Withheld> {
        let source = self.peers.role(path.source);
        self.permit(path, source)?;
        let mut attributes = Attributes::clone(&path.attributes);
        attributes.next_hop = self.next_hop(path, family)?;
        match (self.role.negotiated.internal, source) {
            (false, _) => self.to_other_system(&mut attributes, source),
            (true, Some(source)) if source.negotiated.internal => {
                attributes
                    .originator_id
                    .get_or_insert(source.negotiated.peer_id);
                attributes.cluster_list.insert(0, self.local.cluster_id);
            }
            (true, _) => {}
        }
        if self.role.negotiated.internal {
            attributes.local_pref.get_or_insert(100);
        }
        Ok(attributes)
    }

    /// What the peer is told of a path to a prefix.
    pub fn offer(
        &self,
        prefix: IpNet,
        path: &Held,
        family: Family,
    ) -> Result<Attributes, Withheld> {
        if !self.lets_out(prefix, path) {
            return Err(Withheld::Filter);
        }
        self.attributes(path, family)
    }

    fn permit(&self, path: &Held, source: Option<&Role>) -> Result<(), Withheld> {
        let internal = self.role.negotiated.internal;
        let from_internal = source.is_some_and(|source| source.negotiated.internal);
        let reflects = self.role.peer.client || source.is_some_and(|source| source.peer.client);
        let communities = &path.attributes.communities;
        let is_set = |community| communities.contains(&community);
        let stays = [Community::NO_EXPORT, Community::NO_EXPORT_SUBCONFED];
        if path.source == self.peer {
            Err(Withheld::FromIt)
        } else if internal && from_internal && !reflects {
            Err(Withheld::NotReflected)
        } else if self.role.peer.outside && source.is_some_and(|source| source.peer.outside) {
            Err(Withheld::NoTransit)
        } else if is_set(Community::NO_ADVERTISE) || !internal && stays.into_iter().any(is_set) {
            Err(Withheld::Community)
        } else if path.is_long_lived_stale() && self.role.negotiated.long_lived.is_empty() {
            Err(Withheld::LongLivedStale)
        } else {
            Ok(())
        }
    }

    /// Our system comes in front, and what is only for our own goes off. The MED that another system
    /// gave is not for third ones (RFC 4271 section 5.1.4).
    fn to_other_system(&self, attributes: &mut Attributes, source: Option<&Role>) {
        attributes.as_path.drop_confederations();
        attributes.as_path.prepend(self.role.local_asn);
        attributes.local_pref = None;
        attributes.originator_id = None;
        attributes.cluster_list.clear();
        if source.is_some() {
            attributes.med = None;
        }
    }

    fn next_hop(&self, path: &Held, family: Family) -> Result<NextHop, Withheld> {
        let own = match self.role.peer.next_hop {
            NextHopMode::Default => !self.role.negotiated.internal,
            NextHopMode::Own => true,
            NextHopMode::Keep => false,
        };
        if own || path.source == PeerId::LOCAL {
            return self.own_next_hop(family).ok_or(Withheld::NoNextHop);
        }
        match path.attributes.next_hop {
            hop if hop.address() == self.role.negotiated.peer_address => Err(Withheld::ItsNextHop),
            NextHop::V6 { .. } if family == Family::Ipv4 && !self.is_extended() => {
                Err(Withheld::NoNextHop)
            }
            NextHop::V6 { global, .. } if global.is_unicast_link_local() => {
                Err(Withheld::NoNextHop)
            }
            // The address of the link means nothing on another one.
            hop => Ok(hop.address().into()),
        }
    }

    /// The address that our end is known by in a family: as configured, or the session's; for IPv4
    /// also one of IPv6 if the peer can use it (RFC 8950).
    fn own_next_hop(&self, family: Family) -> Option<NextHop> {
        let end = self.role.negotiated.local_address;
        let known = || self.role.peer.next_hops.iter().chain([&end]).copied();
        let ipv6 = || known().find(IpAddr::is_ipv6);
        let address = match family {
            Family::Ipv4 => known()
                .find(IpAddr::is_ipv4)
                .or_else(|| ipv6().filter(|_| self.is_extended())),
            Family::Ipv6 => ipv6(),
        }?;
        Some(match (address, end) {
            (IpAddr::V6(global), IpAddr::V6(link))
                if link.is_unicast_link_local() && global != link =>
            {
                NextHop::V6 {
                    global,
                    link_local: Some(link),
                }
            }
            _ => address.into(),
        })
    }

    fn is_extended(&self) -> bool {
        self.role.negotiated.extended_next_hop
    }
}
