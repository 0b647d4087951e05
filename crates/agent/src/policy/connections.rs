//! Which tracked connections are not allowed any more.
//!
//! Rules judge the first packet of a connection; when they change, this judges those that were let in
//! before, as the evaluator would judge their first packet now. Each node judges for its own
//! endpoints: what leaves one that it begins, what comes to one that it ends at. The other end's node
//! does its part.

use std::collections::HashSet;
use std::net::IpAddr;

use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_model::{KindName, Name, ResourceKey, World};
use tombolo_policy::{Evaluator, Flow, Party};

/// A connection as its first packet was when it was judged: to where it was translated to, and not yet
/// from where it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tracked {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: ProtocolMatch,
    pub source_port: Option<u16>,
    pub destination_port: Option<u16>,
    /// Type and code.
    pub icmp: Option<(u8, u8)>,
}

/// A namespace whose connections are judged.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The address space of those who meet in it; none is the one that hosts route in.
    pub space: Option<Name>,
    /// Its own addresses, where nobody judges what it sends itself: that is not forwarded. None in a
    /// sandbox, whose endpoint is judged there.
    pub own: HashSet<IpAddr>,
}

/// Judges connections by a World.
pub(super) struct Judge<'w> {
    world: &'w World,
    node: &'w Name,
    evaluator: Evaluator<'w>,
    /// The addresses of this node's endpoints, with their spaces.
    residents: HashSet<(Option<&'w Name>, IpAddr)>,
    /// Whether interfaces of the node itself are judged, too.
    judges_host: bool,
    /// The addresses by which other nodes reach this one.
    underlay: HashSet<IpAddr>,
}

impl<'w> Judge<'w> {
    pub fn new(world: &'w World, node: &'w Name) -> Judge<'w> {
        let own = world
            .endpoints
            .values()
            .filter(|one| one.spec.node == *node);
        let residents = own.flat_map(|endpoint| {
            let space = world.space_of(&endpoint.spec.network);
            endpoint
                .spec
                .addresses
                .iter()
                .map(move |address| (space, *address))
        });
        let me = world.nodes.get(node).into_iter();
        let underlay = me.flat_map(|me| me.spec.addresses.iter().map(|own| own.address.addr()));
        Judge {
            underlay: underlay.collect(),
            world,
            node,
            evaluator: Evaluator::new(world),
            residents: residents.collect(),
            judges_host: world
                .host_endpoints
                .values()
                .any(|host| host.spec.node == *node),
        }
    }

    /// Whether this node would not let a connection begin now.
    pub fn denies(&self, scope: &Scope, tracked: &Tracked) -> bool {
        if !self.concerns(scope, tracked) {
            return false;
        }
        let address = |address: IpAddr| Party::Address {
            address,
            space: scope.space.clone(),
        };
        let flow = Flow {
            // Whichever of its addresses a node sends from, it is the node.
            from: match scope.own.contains(&tracked.source) {
                true => Party::Host(self.node.clone()),
                false => address(tracked.source),
            },
            to: address(tracked.destination),
            family: None,
            protocol: tracked.protocol,
            source_port: tracked.source_port,
            destination_port: tracked.destination_port,
            icmp: tracked.icmp,
        };
        if self.evaluator.allows(&flow) {
            return false;
        }
        let verdict = self.evaluator.verdict(&flow);
        let mut denying = verdict.stages().filter(|stage| !stage.allowed);
        denying.any(|stage| self.is_here(&stage.subject))
    }

    /// Whether an end of a connection is judged on this node.
    fn concerns(&self, scope: &Scope, tracked: &Tracked) -> bool {
        let ends = [tracked.source, tracked.destination];
        if ends.iter().all(|end| scope.own.contains(end)) {
            return false;
        }
        // Interfaces of the host are known here by its underlay's addresses: by which one it sends from
        // another address, or gets to it, is not.
        let is_unknown = |end: &IpAddr| scope.own.contains(end) && !self.underlay.contains(end);
        let is_resident = |end: &IpAddr| self.residents.contains(&(scope.space.as_ref(), *end));
        if ends.iter().any(is_unknown) && !ends.iter().any(is_resident) {
            return false;
        }
        ends.iter().any(|end| {
            self.residents.contains(&(scope.space.as_ref(), *end))
                || self.judges_host && scope.own.contains(end)
        })
    }

    fn is_here(&self, subject: &ResourceKey) -> bool {
        let node = match (subject.kind, &subject.namespace) {
            (KindName::HostEndpoint, _) => {
                let host = self.world.host_endpoints.get(&subject.name);
                host.map(|host| &host.spec.node)
            }
            (_, Some(namespace)) => {
                let key = (namespace.clone(), subject.name.clone());
                self.world
                    .endpoints
                    .get(&key)
                    .map(|endpoint| &endpoint.spec.node)
            }
            _ => None,
        };
        node == Some(self.node)
    }
}

#[cfg(test)]
mod tests;
