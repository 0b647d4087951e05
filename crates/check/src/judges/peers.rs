//! The way to the other nodes: do they answer, do packets of full size pass, does the tunnel work.

use crate::Verdict;
use crate::facts::{Facts, Size, TunnelFact};

pub(crate) fn peers(facts: &Facts) -> Vec<Verdict> {
    let judge = |peer: &crate::PeerFact| {
        let subject = format!("{} ({})", peer.node, peer.address);
        let wanted = peer.wanted;
        match &peer.size {
            Size::Full(time) => Verdict::ok(
                subject,
                format!(
                    "answers packets of {wanted} bytes, in {:.1} ms",
                    time.as_secs_f64() * 1000.0
                ),
            ),
            Size::UpTo(size) => Verdict::failed(
                subject,
                format!(
                    "packets of {wanted} bytes are lost on the way, those of up to {size} pass"
                ),
                format!(
                    "raise the MTU of what is between to that of both interfaces; or tell the network the smaller one: `spec.mtu: {}` of the Network leaves room for its transport",
                    size.saturating_sub(overhead(facts, peer)),
                ),
            ),
            Size::None(why) if tunnel_works(facts, peer) => Verdict::ok(
                subject,
                format!("answers no ICMP echo ({why}), but inside its tunnel it does"),
            ),
            Size::None(why) => Verdict::failed(
                subject,
                format!("does not answer: {why}"),
                format!(
                    "see whether it runs, whether its wire is in, and whether a firewall between drops ICMP; `ip route get {}` says the way",
                    peer.address
                ),
            ),
            Size::Unknown(why) => Verdict::warning(
                subject,
                format!("was not asked: {why}"),
                "run `tombolo check` as root",
            ),
        }
    };
    facts.host.peers.iter().map(judge).collect()
}

/// What the transport to a peer adds to a packet.
fn overhead(facts: &Facts, peer: &crate::PeerFact) -> u32 {
    let peerings = facts.node.iter().flat_map(|node| &node.peerings);
    let same = peerings.filter(|p| p.node == peer.node && p.underlay == peer.address);
    same.map(|p| p.outer - p.inner).max().unwrap_or(0)
}

fn tunnel_works(facts: &Facts, peer: &crate::PeerFact) -> bool {
    let mut tunnels = facts.host.tunnels.iter();
    tunnels.any(|t| t.node == peer.node && matches!(t.size, Size::Full(_)))
}

pub(crate) fn tunnels(facts: &Facts) -> Vec<Verdict> {
    facts
        .host
        .tunnels
        .iter()
        .map(|tunnel| judge_tunnel(facts, tunnel))
        .collect()
}

/// What to do where a node answers, but not through the tunnel.
fn let_pass(tunnel: &TunnelFact) -> String {
    let (what, filter, instead) = match (tunnel.port, tunnel.transport.as_str()) {
        (Some(port), _) => (
            format!("UDP {port}"),
            format!("udp port {port}"),
            "give the transport another `port`",
        ),
        (None, "gre") => (
            "GRE (IP protocol 47)".to_owned(),
            "proto 47".to_owned(),
            "use transport vxlan, which clouds let pass more often",
        ),
        (None, _) => (
            "packets in packets (IP protocols 4 and 41)".to_owned(),
            "proto 4 or ip proto 41".to_owned(),
            "use transport vxlan, which clouds let pass more often",
        ),
    };
    let filter = filter.replacen("proto", "ip proto", 1);
    format!(
        "let {what} pass between the nodes, in both directions, in their firewalls and in the cloud's; or {instead}; `tcpdump -ni any {filter}` on both shows how far packets come"
    )
}

fn judge_tunnel(facts: &Facts, tunnel: &TunnelFact) -> Verdict {
    let subject = format!("{} to {} ({})", tunnel.network, tunnel.node, tunnel.address);
    let by = match tunnel.port {
        Some(port) => format!("{} on UDP {port}", tunnel.transport),
        None => tunnel.transport.to_string(),
    };
    let wanted = tunnel.wanted;
    match &tunnel.size {
        Size::Full(_) => Verdict::ok(subject, format!("packets of {wanted} bytes pass by {by}")),
        Size::UpTo(size) => Verdict::failed(
            subject,
            format!("packets of {wanted} bytes are lost by {by}, those of up to {size} pass"),
            "see the check `peers`: the underlay takes less than its interfaces say",
        ),
        Size::None(why) => {
            let mut peers = facts.host.peers.iter();
            let answers = peers
                .any(|p| p.node == tunnel.node && matches!(p.size, Size::Full(_) | Size::UpTo(_)));
            if answers {
                Verdict::failed(
                    subject,
                    format!("the node answers, but not by {by}: {why}"),
                    let_pass(tunnel),
                )
            } else {
                Verdict::failed(
                    subject,
                    format!("nothing comes back: {why}"),
                    "see the check `peers`: the node itself does not answer",
                )
            }
        }
        Size::Unknown(why) => Verdict::warning(
            subject,
            format!("was not tried: {why}"),
            "run `tombolo check` as root",
        ),
    }
}
