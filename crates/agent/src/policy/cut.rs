//! Connections that are not allowed any more are cut, as soon as the kernel holds the rules.
//!
//! A thread of its own follows what was applied, so that no pass waits for it; what came meanwhile is
//! judged at once, by the newest World. Where the filters of this node did not change, neither did any
//! verdict, and nothing is looked at.
//!
//! Cut means marked: the rules drop both directions of what has the mark
//! ([`tombolo_plan::policy::CUT`]). An entry that is only taken away comes back with the next packet
//! of whichever end may send one, the server's answer that was on its way for instance, and is then a
//! connection of that end's (`nf_conntrack_tcp_loose`). A connection that is allowed again loses the
//! mark.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::executor::block_on;
use tombolo_kernel::conntrack::{self, Connection};
use tombolo_kernel::{KernelError, NetnsHandle, Ownership, underlay};
use tombolo_model::World;
use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_plan::policy::{self, CUT, enforced};
use tombolo_plan::{HostPlan, Key, Netns, Place, Planned};
use tombolo_store::Revision;

use super::connections::{Judge, Scope, Tracked};
use super::places;
use crate::shared::{AppliedState, CutState, Shared};

/// The pause before it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Starts the thread.
pub(super) fn start(shared: Arc<Shared>) -> Result<()> {
    std::thread::Builder::new()
        .name("cut".to_owned())
        .spawn(move || follow(&shared))
        .context("cannot start the thread that cuts connections")?;
    Ok(())
}

fn follow(shared: &Shared) {
    let mut applied = shared.news_of_applied();
    // What was judged, and how often filters had been repaired by then.
    let mut last: Option<(Arc<HostPlan>, u64)> = None;
    while block_on(applied.changed()).is_ok() {
        let state = Arc::clone(&applied.borrow_and_update());
        if state.revision == Revision::NONE || state.error.is_some() {
            continue;
        }
        let is_new = |(plan, refiltered): &(Arc<HostPlan>, u64)| {
            *refiltered != state.refiltered || differs(plan, &state.plan)
        };
        if last.as_ref().is_none_or(is_new) {
            match cut_all(shared, &state) {
                Ok(Judged::AsPlanned) => last = Some((Arc::clone(&state.plan), state.refiltered)),
                // The next state is judged again, whatever it is.
                Ok(Judged::Otherwise) => last = None,
                Err(error) => {
                    tracing::error!(%error, "cannot cut connections; trying again");
                    shared
                        .cut
                        .send_modify(|cut| cut.error = Some(error.to_string()));
                    std::thread::sleep(RETRY);
                    applied.mark_changed();
                    continue;
                }
            }
        }
        shared.cut.send_replace(CutState {
            revision: state.revision,
            error: None,
        });
    }
}

/// How connections were judged.
enum Judged {
    /// All of them, by the World that the plan is of.
    AsPlanned,
    /// By a newer one, or not in every namespace: where the kernel does not hold the filters of the plan,
    /// those before are in force, and what they allow is.
    Otherwise,
}

/// Whether packets may be judged otherwise by the one plan than by the other.
fn differs(one: &HostPlan, other: &HostPlan) -> bool {
    let parts =
        |plan| filters(plan).map(|(place, planned): (_, &Planned)| (place, &planned.object));
    !parts(one).eq(parts(other))
}

/// What a plan has of packet filters.
fn filters(plan: &HostPlan) -> impl Iterator<Item = (&Place, &Planned)> {
    plan.objects.iter().filter(|(place, _)| {
        matches!(
            place.key,
            Key::NftSet(_) | Key::NftChain(_) | Key::NftElement { .. } | Key::NftMembers(_)
        )
    })
}

/// Cuts what is not allowed any more in every namespace in which packets are judged.
fn cut_all(shared: &Shared, state: &AppliedState) -> Result<Judged, KernelError> {
    let places = enforced(&state.plan);
    if places.is_empty() {
        return Ok(Judged::AsPlanned);
    }
    let (world, edition) = {
        let view = shared.view();
        (view.world.clone(), view.edition)
    };
    let is_missing = |place: &&Place| state.failed.contains_key(&place.to_string());
    let missing = policy::filters(&state.plan).filter(is_missing);
    let behind: BTreeSet<&Netns> = missing.map(|place| &place.netns).collect();
    let ownership = Ownership::of(shared.node());
    let judge = Judge::new(&world, shared.node());
    let mut failed = Ok(());
    for netns in &places {
        if behind.contains(netns) {
            continue;
        }
        let cut = places::open(netns, &state.plan, &ownership).and_then(|handle| {
            let scope = scope(shared, &world, netns, &handle)?;
            cut_in(shared, &judge, &scope, &handle)
        });
        match cut {
            // Its connections went with it.
            Err(KernelError::SandboxGone { .. }) | Ok(()) => {}
            Err(error) => failed = Err(error),
        }
    }
    failed.map(|()| match behind.is_empty() && edition == state.edition {
        true => Judged::AsPlanned,
        false => Judged::Otherwise,
    })
}

fn scope(
    shared: &Shared,
    world: &World,
    netns: &Netns,
    handle: &NetnsHandle,
) -> Result<Scope, KernelError> {
    let network = places::network(world, shared.node(), netns);
    let own = match netns {
        Netns::Sandbox(_) => HashSet::new(),
        _ => underlay::interfaces(handle)?
            .iter()
            .flat_map(|interface| &interface.addresses)
            .map(ipnet::IpNet::addr)
            .collect(),
    };
    Ok(Scope {
        space: network.and_then(|network| world.space_of(network)).cloned(),
        own,
    })
}

fn cut_in(
    shared: &Shared,
    judge: &Judge<'_>,
    scope: &Scope,
    handle: &NetnsHandle,
) -> Result<(), KernelError> {
    let mut cut = Vec::new();
    let mut mended = Vec::new();
    for connection in conntrack::dump(handle)? {
        let denied = judge.denies(scope, &tracked(&connection));
        match (denied, connection.mark & CUT == CUT) {
            (true, false) => cut.push(connection),
            (false, true) => mended.push(connection),
            _ => {}
        }
    }
    for connection in &cut {
        tracing::info!(netns = handle.name(), "cut {}", words(connection));
    }
    for connection in &mended {
        tracing::info!(
            netns = handle.name(),
            "allowed again: {}",
            words(connection)
        );
    }
    shared.metrics.cut(conntrack::mark(handle, &cut, CUT, CUT)?);
    conntrack::mark(handle, &mended, CUT, 0)?;
    Ok(())
}

/// A connection as its first packet was when it was judged.
fn tracked(connection: &Connection) -> Tracked {
    let protocol = ProtocolMatch(connection.protocol);
    let port = |port: u16| protocol.has_ports().then_some(port);
    Tracked {
        source: connection.source,
        destination: connection.reply_source,
        protocol,
        source_port: port(connection.source_port),
        destination_port: port(connection.reply_source_port),
        icmp: connection.icmp.map(|(kind, code, _)| (kind, code)),
    }
}

/// `TCP 10.0.0.1:40000 → 10.0.0.2:80`.
fn words(connection: &Connection) -> String {
    let tracked = tracked(connection);
    let end = |address: std::net::IpAddr, port: Option<u16>| match port {
        Some(port) => std::net::SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    format!(
        "{} {} → {}",
        tracked.protocol,
        end(tracked.source, tracked.source_port),
        end(tracked.destination, tracked.destination_port)
    )
}
