//! Asks the other nodes: by ICMP echo of the size that must pass, outside and inside the tunnel, and
//! by ICMP timestamp for their clocks.
//!
//! A node that answers small packets but not large ones is asked again, halving the range between,
//! until the largest size that passes is known. Nodes are asked side by side.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tombolo_check::{NodeFacts, PeerFact, Size, TunnelFact};
use tombolo_kernel::echo::{Answer, Echo};
use tombolo_kernel::{KernelError, NetnsHandle, underlay};
use tombolo_model::Family;
use tombolo_plan::Peering;

/// How long an answer may take, and how often a lost packet is sent again.
const PATIENCE: Duration = Duration::from_millis(500);
const ATTEMPTS: u32 = 3;
/// How much longer than the last answer the next one may take, and what is always waited.
const SLACK: u32 = 20;
const LEAST: Duration = Duration::from_millis(50);
/// How many are asked at a time.
const SIDE_BY_SIDE: usize = 16;

/// What the other nodes answer, each address once; and what comes back through tunnels.
pub(super) fn ask(here: &NetnsHandle, node: &NodeFacts) -> (Vec<PeerFact>, Vec<TunnelFact>) {
    let mut peers: BTreeMap<IpAddr, Peering> = BTreeMap::new();
    for peering in &node.peerings {
        let wanted = peers
            .entry(peering.underlay)
            .or_insert_with(|| peering.clone());
        wanted.outer = wanted.outer.max(peering.outer);
    }
    let peers: Vec<Peering> = peers.into_values().collect();
    let outside = peers.iter().map(Way::Outside);
    let inside = node.peerings.iter().map(Way::Inside);
    let ways: Vec<Way<'_>> = outside.chain(inside).collect();
    let mut found = (Vec::new(), Vec::new());
    for (peer, tunnel) in side_by_side(&ways, |way| match way {
        Way::Outside(peering) => (Some(ask_peer(here, peering)), None),
        Way::Inside(peering) => (None, ask_tunnel(here, peering)),
    }) {
        found.0.extend(peer);
        found.1.extend(tunnel);
    }
    found
}

/// A way to a node: over the underlay, or through the tunnel.
enum Way<'a> {
    Outside(&'a Peering),
    Inside(&'a Peering),
}

/// Does the same for each of many, a few at a time, and keeps their order.
fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE.min(items.len()) {
            scope.spawn(|| {
                while let Some((index, item)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    items.get(index).map(|item| (index, item))
                } {
                    let result = work(item);
                    let mut done = done
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((index, result));
                }
            });
        }
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn ask_peer(here: &NetnsHandle, peering: &Peering) -> PeerFact {
    let address = peering.underlay;
    let way = underlay::route_to(here, address)
        .ok()
        .map(|answer| answer.link);
    let size = size(here, address, peering.outer);
    // Whoever does not answer does not tell the time either.
    let answers = !matches!(size, Size::None(_) | Size::Unknown(_));
    PeerFact {
        node: peering.node.clone(),
        address,
        interface: peering.interface.clone(),
        way,
        wanted: peering.outer,
        size,
        clock_ahead: answers.then(|| clock_ahead(here, address)).flatten(),
    }
}

fn ask_tunnel(here: &NetnsHandle, peering: &Peering) -> Option<TunnelFact> {
    let address = peering.tunnel?;
    Some(TunnelFact {
        network: peering.network.clone(),
        node: peering.node.clone(),
        transport: peering.transport.clone(),
        port: peering.port,
        address,
        wanted: peering.inner,
        size: size(here, address, peering.inner),
    })
}

fn clock_ahead(here: &NetnsHandle, address: IpAddr) -> Option<i64> {
    let IpAddr::V4(v4) = address else {
        return None;
    };
    let mut echo = Echo::open(here, Family::V4).ok()?;
    (0..ATTEMPTS).find_map(|_| echo.clock_ahead(v4, PATIENCE).ok().flatten())
}

/// Which packets pass to an address.
fn size(here: &NetnsHandle, address: IpAddr, wanted: u32) -> Size {
    let opened = Echo::open(here, Family::of(address));
    let mut patience = PATIENCE;
    let found = opened.and_then(|mut echo| {
        largest(wanted, smallest(address), |size| {
            let answer = repeatedly(&mut echo, address, size, patience)?;
            // Whoever has answered is known to be there, and how far.
            if let Answer::Replied(time) = &answer {
                patience = (*time * SLACK).clamp(LEAST, PATIENCE);
            }
            Ok(answer)
        })
    });
    found.unwrap_or_else(|error| Size::Unknown(error.to_string()))
}

/// The size that every host must take (RFC 791, RFC 8200).
fn smallest(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 576,
        IpAddr::V6(_) => 1280,
    }
}

/// Sends again what may have been lost by chance.
fn repeatedly(
    echo: &mut Echo,
    address: IpAddr,
    size: u32,
    patience: Duration,
) -> Result<Answer, KernelError> {
    let mut answer = Answer::Silent;
    for _ in 0..ATTEMPTS {
        answer = echo.ping(address, size, patience)?;
        if answer != Answer::Silent {
            break;
        }
    }
    Ok(answer)
}

/// The largest size that passes: the wanted one at first, then a small one, then between.
fn largest<E>(
    wanted: u32,
    small: u32,
    mut ping: impl FnMut(u32) -> Result<Answer, E>,
) -> Result<Size, E> {
    if let Answer::Replied(time) = ping(wanted)? {
        return Ok(Size::Full(time));
    }
    let small = small.min(wanted);
    let mut passes = match ping(small)? {
        Answer::Replied(_) => small,
        Answer::NoWay(why) => return Ok(Size::None(why)),
        Answer::TooLarge => {
            return Ok(Size::None(format!(
                "not even {small} bytes leave this host"
            )));
        }
        Answer::Silent => return Ok(Size::None("no answer".to_owned())),
    };
    let mut fails = wanted;
    while fails - passes > 1 {
        let middle = u32::midpoint(passes, fails);
        match ping(middle)? {
            Answer::Replied(_) => passes = middle,
            _ => fails = middle,
        }
    }
    Ok(Size::UpTo(passes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way_of(mtu: u32, wanted: u32) -> (Size, u32) {
        let mut sent = 0;
        let ping = |size| {
            sent += 1;
            let passes = size <= mtu;
            Ok::<_, ()>(if passes {
                Answer::Replied(Duration::ZERO)
            } else {
                Answer::Silent
            })
        };
        (largest(wanted, 576, ping).unwrap(), sent)
    }

    #[test]
    fn the_largest_size_is_found_to_the_byte() {
        assert_eq!(way_of(1500, 1500), (Size::Full(Duration::ZERO), 1));
        for mtu in [576, 1000, 1399, 1400, 1499] {
            let (size, sent) = way_of(mtu, 1500);
            assert_eq!(size, Size::UpTo(mtu));
            assert!(sent <= 12, "{sent} packets for {mtu}");
        }
        assert_eq!(way_of(8999, 9000).0, Size::UpTo(8999));
        assert!(matches!(way_of(100, 1500).0, Size::None(_)));
        assert!(matches!(way_of(0, 500).0, Size::None(_)));
    }

    #[test]
    fn many_are_asked_and_told_in_order() {
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(
            side_by_side(&items, |n| n * 2),
            items.iter().map(|n| n * 2).collect::<Vec<_>>()
        );
        assert_eq!(side_by_side(&[0_u32; 0], |n| *n), [0; 0]);
    }
}
