//! What is let in of that which a peer tells (RFC 4271 section 9.1.1).

use std::borrow::Cow;

use ipnet::IpNet;

use super::{Local, Role};
use crate::attributes::{Attributes, NextHop};
use crate::filter::{Filter, Outcome};

/// Whether a path is let in, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Verdict {
    Accepted,
    OwnSystem,
    OwnRouterId,
    OwnCluster,
    OwnNextHop,
    OtherFirstSystem,
    /// By the rule of the import filter at this index.
    Rule(u16),
    NoRule,
}

impl Verdict {
    /// This one, or what else there is to say if it was let in so far.
    pub fn and(self, more: impl FnOnce() -> Verdict) -> Verdict {
        match self {
            Verdict::Accepted => more(),
            refused => refused,
        }
    }

    /// What is wrong with it, in words that are the same for all paths of the kind.
    pub fn reason(self, filter: &Filter) -> Option<Cow<'_, str>> {
        let words = match self {
            Verdict::Accepted => return None,
            Verdict::OwnSystem => "our own system is in its AS path",
            Verdict::OwnRouterId => "it came from us: the originator is our router ID",
            Verdict::OwnCluster => "it came through our cluster of reflectors already",
            Verdict::OwnNextHop => "its next hop is our own address",
            Verdict::OtherFirstSystem => "its AS path does not begin with the peer's system",
            Verdict::Rule(index) => match filter.rules.get(usize::from(index)) {
                Some(rule) => return Some(Cow::Borrowed(&rule.reason)),
                None => "a rule of the import filter",
            },
            Verdict::NoRule => "no rule of the import filter lets it in",
        };
        Some(Cow::Borrowed(words))
    }
}

/// Takes off what means nothing when it comes from another system: `LOCAL_PREF` (RFC 4271 section
/// 5.1.5), `ORIGINATOR_ID` and `CLUSTER_LIST` (RFC 7606 sections 7.9 and 7.10).
pub(super) fn clean(attributes: &mut Attributes, role: &Role) {
    if !role.negotiated.internal {
        attributes.local_pref = None;
        attributes.originator_id = None;
        attributes.cluster_list.clear();
    }
}

/// What there is to say against attributes, whatever the prefix.
pub(super) fn judge(attributes: &Attributes, role: &Role, local: &Local) -> Verdict {
    let path = &attributes.as_path;
    let other = Some(role.local_asn).filter(|asn| *asn != local.asn);
    let loops = path.count(local.asn) + other.map_or(0, |asn| path.count(asn));
    let internal = role.negotiated.internal;
    if loops > usize::from(role.peer.allow_own_asn) {
        Verdict::OwnSystem
    } else if attributes.originator_id == Some(local.router_id) {
        Verdict::OwnRouterId
    } else if attributes.cluster_list.contains(&local.cluster_id) {
        Verdict::OwnCluster
    } else if is_own(attributes.next_hop, role) {
        Verdict::OwnNextHop
    } else if !internal && path.neighbour() != Some(role.negotiated.peer_asn) {
        Verdict::OtherFirstSystem
    } else {
        Verdict::Accepted
    }
}

/// What a peer's filter has to say against a prefix.
pub(super) fn filter(prefix: IpNet, role: &Role) -> Verdict {
    let filter = &role.peer.import;
    match filter.decide(prefix, true) {
        (Outcome::Accept, _) => Verdict::Accepted,
        (Outcome::Reject, None) => Verdict::NoRule,
        (Outcome::Reject, Some(by)) => {
            let index = filter.rules.iter().position(|rule| std::ptr::eq(rule, by));
            let index = index.and_then(|index| u16::try_from(index).ok());
            Verdict::Rule(index.unwrap_or(u16::MAX))
        }
    }
}

fn is_own(hop: NextHop, role: &Role) -> bool {
    let address = hop.address();
    address == role.negotiated.local_address || role.peer.next_hops.contains(&address)
}
