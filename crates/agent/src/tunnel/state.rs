//! How the tunnel is, for people and programs.

use std::sync::Arc;

use tombolo_api::{TunnelPeerView, TunnelState};
use tombolo_tunnel::control::{PeerStatus, Reach};
use tombolo_tunnel::process::Status;
use tombolo_tunnel::{PeerId, Sums};

use super::carrier::Carrier;
use crate::shared::Shared;

/// How the tunnel is; none where there is none to be.
pub(crate) async fn state(shared: &Shared) -> Option<TunnelState> {
    let carrier = shared.tunnelling.inner(|inner| inner.carrier.clone())?;
    let is_beside = matches!(*carrier, Carrier::Beside(_));
    let asked: Arc<Carrier> = carrier;
    let status = tokio::task::spawn_blocking(move || asked.status()).await;
    let status = status.ok()?.unwrap_or_default();
    Some(told(&status, is_beside))
}

fn told(status: &Status, is_beside: bool) -> TunnelState {
    let peer = |(id, peer): (&PeerId, &PeerStatus)| {
        let traffic: Sums = status.traffic.get(&id.node).copied().unwrap_or_default();
        TunnelPeerView {
            node: id.node.to_string(),
            up: peer.reach == Reach::Up,
            endpoint: peer.endpoint,
            behind_nat: peer.endpoint != peer.configured,
            seen_as: peer.seen_as,
            mtu: u32::from(peer.mtu),
            round_trip_micros: peer.round_trip.map(|trip| micros(trip.as_micros())),
            heard_millis_ago: peer.heard.map(|heard| micros(heard.as_millis())),
            sent_bytes: traffic.sent_bytes,
            received_bytes: traffic.received_bytes,
            words: peer.to_string(),
        }
    };
    let dropped = status.dropped.iter();
    TunnelState {
        process: is_beside.then_some(status.process),
        peers: status.peers.iter().map(peer).collect(),
        dropped: dropped
            .map(|(reason, packets)| (format!("{reason:?}"), *packets))
            .collect(),
    }
}

fn micros(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
