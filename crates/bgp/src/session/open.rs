//! What we say in an OPEN, and what follows from the peer's: pure, and most of what goes wrong between
//! speakers goes wrong here, so each refusal says what to change.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::{Graceful, Peer};
use crate::message::{Capability, Fault, GracefulRestart, Negotiated, Notification, Open};
use crate::types::{Asn, Families, Family, RouterId};

/// What a restart time's twelve bits hold (RFC 4724 section 3).
const MAX_RESTART_TIME: u64 = 4095;
/// What a stale time's 24 bits hold (RFC 9494 section 3).
const MAX_STALE_TIME: u64 = 0x00FF_FFFF;

/// On what terms a connection is begun.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The system that we are to this peer.
    pub(crate) asn: Asn,
    /// Our identifier.
    pub(crate) router_id: RouterId,
    /// The peer as it is configured.
    pub(crate) peer: Arc<Peer>,
    /// How restarts are survived.
    pub(crate) graceful: Option<Graceful>,
    /// We have just been restarted.
    pub(crate) restarting: bool,
    /// What we told this peer before is still forwarded by.
    pub(crate) forwarding: bool,
    /// Our end.
    pub(crate) local: IpAddr,
    /// The peer's end.
    pub(crate) remote: IpAddr,
}

impl Terms {
    /// Our OPEN.
    pub(crate) fn open(&self) -> Open {
        let families = self.peer.families;
        let mut capabilities: Vec<Capability> =
            families.iter().map(Capability::Multiprotocol).collect();
        capabilities.push(Capability::RouteRefresh);
        capabilities.push(Capability::EnhancedRefresh);
        capabilities.push(Capability::FourOctetAs(self.asn));
        if families.ipv4 {
            let pair = (Family::Ipv4, Family::Ipv6);
            capabilities.push(Capability::ExtendedNextHop(vec![pair]));
        }
        let paths = self.peer.add_path;
        if paths.send || paths.receive {
            let each = families
                .iter()
                .map(|family| (family, paths.send, paths.receive));
            capabilities.push(Capability::AddPath(each.collect()));
        }
        if let Some(graceful) = self.graceful {
            capabilities.extend(self.restart_capabilities(graceful));
        }
        Open {
            asn: self.asn,
            hold_time: self.hold_time(),
            router_id: self.router_id,
            capabilities,
        }
    }

    fn restart_capabilities(&self, graceful: Graceful) -> Vec<Capability> {
        let families = || self.peer.families.iter();
        let time = graceful.restart_time.as_secs().min(MAX_RESTART_TIME);
        let mut capabilities = vec![Capability::GracefulRestart(GracefulRestart {
            restarting: self.restarting,
            notification: true,
            time: u16::try_from(time).unwrap_or_default(),
            families: families().map(|family| (family, self.forwarding)).collect(),
        })];
        if let Some(long) = graceful.long_lived {
            let seconds = u32::try_from(long.as_secs().min(MAX_STALE_TIME)).unwrap_or_default();
            let each = families().map(|family| (family, self.forwarding, seconds));
            capabilities.push(Capability::LongLived(each.collect()));
        }
        capabilities
    }

    fn hold_time(&self) -> u16 {
        u16::try_from(self.peer.hold_time.as_secs()).unwrap_or(u16::MAX)
    }

    /// What both agree on.
    ///
    /// # Errors
    /// The peer is not who it should be, or wants what we cannot (RFC 4271 section 6.2).
    pub(crate) fn agree(&self, theirs: &Open) -> Result<Negotiated, Fault> {
        let internal = self.asn == self.peer.asn;
        self.check_identity(theirs, internal)?;
        if matches!(theirs.hold_time, 1 | 2) {
            let message = format!(
                "the peer proposes a hold time of {} s; 0 or at least 3 are allowed",
                theirs.hold_time
            );
            return Err(refusal(6, Vec::new(), message));
        }
        let families = self.peer.families.and(spoken(theirs));
        if families == Families::default() {
            return Err(self.no_family(theirs));
        }
        Ok(Negotiated {
            peer_asn: theirs.asn,
            peer_id: theirs.router_id,
            local_address: self.local,
            peer_address: self.remote,
            internal,
            families,
            four_octet: has(theirs, |c| matches!(c, Capability::FourOctetAs(_))),
            extended_next_hop: families.ipv4 && takes_foreign_next_hops(theirs),
            add_path_send: self.paths(theirs, families, |ours, takes| ours.0 && takes.1),
            add_path_receive: self.paths(theirs, families, |ours, sends| ours.1 && sends.0),
            refresh: has(theirs, |c| matches!(c, Capability::RouteRefresh)),
            enhanced_refresh: has(theirs, |c| matches!(c, Capability::EnhancedRefresh)),
            hold_time: theirs.hold_time.min(self.hold_time()),
            graceful: self.graceful.and(restarts(theirs, families)),
            long_lived: self.stale_times(theirs, families),
        })
    }

    fn check_identity(&self, theirs: &Open, internal: bool) -> Result<(), Fault> {
        if theirs.asn != self.peer.asn {
            let message = format!(
                "the peer says that it is AS {}, and it should be AS {}: correct the AS number in \
                 its configuration or in ours",
                theirs.asn, self.peer.asn
            );
            return Err(refusal(2, Vec::new(), message));
        }
        // RFC 6286 section 2.2: peers of other systems may have the same identifier.
        let same = internal && theirs.router_id == self.router_id;
        if same || theirs.router_id.0.is_unspecified() {
            let message = format!(
                "the peer's router ID is {}{}: give each router of a system one of its own",
                theirs.router_id,
                if same { ", which is ours" } else { "" }
            );
            return Err(refusal(3, theirs.router_id.0.octets().to_vec(), message));
        }
        Ok(())
    }

    fn no_family(&self, theirs: &Open) -> Fault {
        let name = |families: Families| {
            let names: Vec<String> = families.iter().map(|family| family.to_string()).collect();
            if names.is_empty() {
                "neither IPv4 nor IPv6".to_owned()
            } else {
                names.join(" and ")
            }
        };
        // RFC 5492 section 5: the data are the capabilities that were missed.
        let wanted = self.peer.families.iter();
        let data = wanted.flat_map(|family| {
            let [high, low] = family.afi().to_be_bytes();
            [1, 4, high, low, 0, 1]
        });
        let message = format!(
            "the peer speaks of {}, and we of {}: there is nothing to talk about",
            name(spoken(theirs)),
            name(self.peer.families)
        );
        refusal(7, data.collect(), message)
    }

    /// The families for which several paths are told, by what we do (send, receive) and they do.
    fn paths(
        &self,
        theirs: &Open,
        families: Families,
        agree: fn((bool, bool), (bool, bool)) -> bool,
    ) -> Families {
        let ours = (self.peer.add_path.send, self.peer.add_path.receive);
        let theirs = theirs
            .capabilities
            .iter()
            .filter_map(|capability| match capability {
                Capability::AddPath(each) => Some(each),
                _ => None,
            });
        let agreed = theirs
            .flatten()
            .filter(|(_, sends, takes)| agree(ours, (*sends, *takes)));
        agreed
            .map(|(family, ..)| *family)
            .collect::<Families>()
            .and(families)
    }

    fn stale_times(&self, theirs: &Open, families: Families) -> Vec<(Family, bool, u32)> {
        let Some(ours) = self.graceful.and_then(|graceful| graceful.long_lived) else {
            return Vec::new();
        };
        let ours = u32::try_from(ours.as_secs()).unwrap_or(u32::MAX);
        // RFC 9494 section 4.1: without the capability of graceful restart, this one means nothing.
        if restarts(theirs, families).is_none() {
            return Vec::new();
        }
        let theirs = theirs
            .capabilities
            .iter()
            .rev()
            .find_map(|capability| match capability {
                Capability::LongLived(each) => Some(each),
                _ => None,
            });
        let known = theirs
            .into_iter()
            .flatten()
            .filter(|(f, ..)| families.contains(*f));
        known
            .map(|(family, kept, seconds)| (*family, *kept, (*seconds).min(ours)))
            .collect()
    }
}

/// The families that a peer speaks: IPv4 if it says nothing (RFC 4760 section 8).
fn spoken(theirs: &Open) -> Families {
    let mut named = theirs
        .capabilities
        .iter()
        .filter_map(|capability| match capability {
            Capability::Multiprotocol(family) => Some(*family),
            _ => None,
        });
    let silent = !has(theirs, |capability| match capability {
        Capability::Multiprotocol(_) => true,
        Capability::Unknown { code, .. } => *code == 1,
        _ => false,
    });
    if silent {
        return Families {
            ipv4: true,
            ipv6: false,
        };
    }
    named.by_ref().collect()
}

fn has(open: &Open, what: impl Fn(&Capability) -> bool) -> bool {
    open.capabilities.iter().any(what)
}

fn takes_foreign_next_hops(theirs: &Open) -> bool {
    has(theirs, |capability| match capability {
        Capability::ExtendedNextHop(pairs) => pairs.contains(&(Family::Ipv4, Family::Ipv6)),
        _ => false,
    })
}

/// How the peer survives a restart; the last of several counts (RFC 4724 section 3).
fn restarts(theirs: &Open, spoken: Families) -> Option<GracefulRestart> {
    let last = theirs
        .capabilities
        .iter()
        .rev()
        .find_map(|capability| match capability {
            Capability::GracefulRestart(restart) => Some(restart.clone()),
            _ => None,
        });
    last.map(|mut restart| {
        restart
            .families
            .retain(|(family, _)| spoken.contains(*family));
        restart
    })
}

fn refusal(subcode: u8, data: Vec<u8>, message: String) -> Fault {
    Fault {
        notification: Notification {
            code: 2,
            subcode,
            data,
        },
        message,
    }
}
