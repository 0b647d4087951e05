//! Policy as packet filters: a few chains and sets in each namespace that endpoints' packets pass.
//!
//! ```text
//!  packet ─► policy-egress   cut? established? ─► map egress-v4: interface . source ─► stack
//!         ─► policy-ingress  cut? established? ─► map ingress-v4: interface . destination ─► stack
//!  stack     egress.stack/…   jump to each policy that applies, in order; the end of the tier
//!  policy    egress.np/ns/name   its rules; `accept`, `drop`, or `goto pass`
//!  sets      group/…-v4   addresses of those whom a selector is about
//! ```
//!
//! The two base chains stand one behind the other in each hook, so `accept` in one still lets the other
//! judge. Endpoints to which the same policies apply share one stack, policies share their chains, and
//! rules that name the same selector share its sets: a packet's cost does not grow with what does not
//! concern it, and a member that comes or goes is one element.
//!
//! Where packets are judged differs by attachment ([`Guard`](crate::attachment::Guard)): on the host, in
//! the namespace of an overlay's segment, or in the sandbox itself. Nothing is planned for an endpoint
//! that no policy applies to and that may be reached by everybody, except that it sends from no address
//! but its own ([`spoof`]).
//!
//! To see it: `nft list table inet tombolo`, `tombolo explain nft chain egress.np/default/web`.

mod dispatch;
mod domain;
mod host;
mod isolation;
mod rules;
mod sets;
mod spoof;
mod stacks;
mod tunnels;
mod writer;

use std::collections::BTreeSet;

use tombolo_model::Name;
use tombolo_model::kinds::policy::Direction;
use tombolo_policy::{Directory, Rulebook, Stack, Subject};

use crate::driver;
use crate::host_plan::HostPlan;
use crate::network::Residents;
use crate::objects::{Key, Netns, Place};

/// The group of nfnetlink_log that denied packets are told to.
pub const LOG_GROUP: u16 = 84;

/// The bit of a connection's mark that says that it is no longer allowed: of the byte that tells our
/// marks it is one that they do not have.
pub const CUT: u32 = 0x2000_0000;

/// Names of the base chains.
pub(crate) const EGRESS: &str = "policy-egress";
pub(crate) const INGRESS: &str = "policy-ingress";

/// Plans what policies ask for.
pub(crate) fn plan(residents: &Residents<'_>, node: &Name, plan: &mut HostPlan) {
    let world = residents.world;
    let rulebook = Rulebook::of(world);
    let directory = Directory::of(world);
    tunnels::plan(world, plan);
    for domain in domain::all(residents, node, &directory, plan) {
        spoof::plan(&domain, plan);
        dispatch::plan(world, &rulebook, &directory, &domain, plan);
    }
    tell_unguarded(residents, node, &rulebook, &directory, plan);
    host::plan(world, node, &rulebook, &directory, plan);
}

/// Endpoints that policies apply to and that nobody can judge do not run as if they were.
fn tell_unguarded(
    residents: &Residents<'_>,
    node: &Name,
    rulebook: &Rulebook<'_>,
    directory: &Directory<'_>,
    plan: &mut HostPlan,
) {
    for ((namespace, _), endpoint) in residents.here() {
        let network = residents.world.networks.get(&endpoint.spec.network);
        let driver = network.and_then(|network| driver::find(&network.spec.driver));
        let guarded = driver.is_none_or(|driver| {
            !driver.has_addresses || driver.attachment.guard(node, endpoint).is_some()
        });
        let Some(class) = directory.class_of(namespace, endpoint).filter(|_| !guarded) else {
            continue;
        };
        let subject = Subject::endpoint(endpoint, namespace, &class.labels);
        let is_asked =
            |direction: &Direction| !Stack::of(rulebook, directory, subject, *direction).is_open();
        if Direction::ALL.iter().any(is_asked) {
            let message = "policies apply to it, but its runtime takes the interface into a namespace that is \
                           not known here, where nobody can judge its packets; use driver overlay, routed or \
                           bridge, or let no policy select it";
            plan.problem(endpoint.key(), message);
        }
    }
}

/// The namespaces in which a plan lets policies judge.
#[must_use]
pub fn enforced(plan: &HostPlan) -> BTreeSet<Netns> {
    let chains = plan.objects.keys().filter(|place| match &place.key {
        Key::NftChain(chain) => BASES.contains(&chain.name.as_str()),
        _ => false,
    });
    chains.map(|place| place.netns.clone()).collect()
}

/// Where a plan has what policies became: chains, sets, and who is in them.
pub fn filters(plan: &HostPlan) -> impl Iterator<Item = &Place> {
    let of_policy = plan
        .objects
        .iter()
        .filter(|(_, planned)| planned.origin.rule.starts_with("policy: "));
    of_policy.map(|(place, _)| place)
}

/// Every base chain that judges.
const BASES: [&str; 5] = [
    EGRESS,
    dispatch::EGRESS_LOCAL,
    INGRESS,
    host::INGRESS,
    host::EGRESS,
];

#[cfg(test)]
mod tests;
