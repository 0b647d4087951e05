//! Which way to a peer is taken now, and which one next.
//!
//! A way that needs a receiver is used only between two promises, both read from the World: the
//! peer says that it receives by it, and this host says that it sends by it. Both promises are
//! written before the deed and withdrawn after it, and the World holds the host's own promise only
//! once the store has given it back. So of a sender that begins and a receiver that ends at the
//! same moment, one always sees the other:
//!
//! ```text
//!  begin to send      say sends X      → seen by myself, peer still receives X → route by X
//!  cease to send      route by Y       → say sends Y only
//!  cease to receive   say receives Y   → seen by myself, nobody sends X        → remove X
//! ```
//!
//! The agent's part: a plan is made only from a World at least as new as its node's own last write.

use tombolo_model::kinds::TransportSpec;
use tombolo_model::{Family, Node, Resource};

use super::{Known, Ways, direct, push_all, push_new};
use crate::transport::{self, Path, Transport};

/// How a peer is reached, at present and next.
pub(super) struct Choice<'a> {
    /// Now, if any way is open before a promise is made.
    pub(super) now: Option<Way<'a>>,
    /// As soon as it is promised.
    pub(super) next: Option<TransportSpec>,
    /// Why it is not as the network asks for.
    pub(super) obstacle: Option<String>,
}

/// How a peer is reached.
pub(super) struct Way<'a> {
    pub(super) spec: TransportSpec,
    pub(super) transport: &'static dyn Transport,
    pub(super) path: Path<'a>,
}

impl<'a> Ways<'a> {
    /// How a peer's addresses of one family are reached; nothing if that is left to the host's
    /// other routes; why not, if there is no way.
    pub(super) fn choose(
        &self,
        peer: &'a Resource<Node>,
        inner: Family,
        learned: Known,
    ) -> Result<Option<Choice<'a>>, String> {
        let (Some(given), Some(present)) = (&self.network.spec.transport, &self.present) else {
            return Err("the network has no transport; set spec.transport".to_owned());
        };
        let status = peer.status.networks.get(self.network.name());
        let receives = status.map(|s| s.receives.as_slice()).unwrap_or_default();
        let goes_by_bgp = is_learned(present);
        let mut candidates = Vec::new();
        if given.cross_subnet && !goes_by_bgp {
            candidates.push(direct());
        }
        push_new(&mut candidates, present.clone());
        let asked_for = candidates.len();
        push_all(&mut candidates, &self.promised.sends);
        push_all(&mut candidates, receives);
        // What is not learned yet will be, or its node is gone: no reason to go round BGP, unless
        // that is the way that is left just now.
        let sends = &self.promised.sends;
        candidates.retain(|spec| !goes_by_bgp || *spec != direct() || sends.contains(spec));
        let mut obstacle = None;
        let mut open = Vec::new();
        for (index, spec) in candidates.into_iter().enumerate() {
            let Some(transport) = transport::find(spec.name.as_str()) else {
                continue;
            };
            match self.open(peer, transport, inner) {
                Err(why) if index < asked_for => obstacle = obstacle.or(Some(why)),
                Err(_) => {}
                Ok(path) => {
                    // What the network asks for is possible, if not at once.
                    if index < asked_for {
                        obstacle = None;
                    }
                    open.push(Way {
                        spec,
                        transport,
                        path,
                    });
                }
            }
            // Routers between subnets may know the ranges: the host's other routes decide.
            let is_last = index + 1 == asked_for;
            if is_last && open.is_empty() && given.cross_subnet && present.name == direct().name {
                return Ok(None);
            }
        }
        if open.is_empty() {
            return Err(obstacle.unwrap_or_default());
        }
        let (now, next) = self.pick(open, receives, learned);
        Ok(Some(Choice {
            now,
            next,
            obstacle,
        }))
    }

    /// Of the ways that are open, the best first: the one to take now, and the one to take next.
    fn pick(
        &self,
        mut open: Vec<Way<'a>>,
        receives: &[TransportSpec],
        learned: Known,
    ) -> (Option<Way<'a>>, Option<TransportSpec>) {
        let sends = &self.promised.sends;
        // A way by BGP is begun once everything has been learned. Where it is the only one, a block
        // that is new is waited for.
        let is_only = sends.iter().all(is_learned);
        let told =
            |way: &Way| !way.transport.is_learned() || learned.all || (learned.any && is_only);
        let received = |way: &Way| {
            !way.transport.needs_receiver() || (receives.contains(&way.spec) && told(way))
        };
        // A host that sends nothing yet has no packets to lose, and begins at once.
        let begun = |way: &Way| {
            let is_first = sends.is_empty() && Some(&way.spec) == self.present.as_ref();
            !way.transport.needs_receiver() || is_first || sends.contains(&way.spec)
        };
        let next = open.iter().find(|way| received(way));
        let next = next.map(|way| way.spec.clone());
        let now = (open.iter().position(|way| received(way) && begun(way)))
            // The peer takes no new senders by it, but still receives what this host sends.
            .or_else(|| open.iter().position(|way| sends.contains(&way.spec)))
            // The peer has said nothing: the present one is as good as any.
            .or_else(|| {
                open.iter()
                    .position(|way| self.in_place.contains(&way.spec))
            });
        (now.map(|index| open.swap_remove(index)), next)
    }

    /// The path to a peer by one transport, or what is in the way.
    fn open(
        &self,
        peer: &'a Resource<Node>,
        transport: &dyn Transport,
        inner: Family,
    ) -> Result<Path<'a>, String> {
        // Without encapsulation the family of the packets is that of the underlay.
        let path = (!transport.encapsulates())
            .then(|| self.path_by(peer, inner))
            .flatten()
            .or_else(|| self.path(peer))
            .ok_or("the nodes have no underlay addresses of the same family")?;
        match transport.obstacle(&path, inner) {
            None => Ok(path),
            Some(obstacle) => Err(format!("transport {}: {obstacle}", transport.name())),
        }
    }
}

/// Whether a transport's ways are learned by BGP.
fn is_learned(spec: &TransportSpec) -> bool {
    transport::find(spec.name.as_str()).is_some_and(|transport| transport.is_learned())
}
