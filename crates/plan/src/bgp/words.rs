//! A speaker and its peers in words, for `tombolo plan` and for tests. What is as usual is left out.

use std::fmt;

use tombolo_bgp::{Graceful, NextHopMode, Peer, Ttl};

/// What is not as usual of a peer, for people.
pub(super) fn peer(peer: &Peer, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, " as {}", peer.asn)?;
    if peer.port != 179 {
        write!(f, " port {}", peer.port)?;
    }
    if let Some(local) = peer.local_address {
        write!(f, " from {local}")?;
    }
    if let Some(local) = peer.local_asn {
        write!(f, " local-as {local}")?;
    }
    if !peer.families.ipv6 {
        write!(f, " ipv4 only")?;
    }
    let hops = peer.next_hops.iter().map(ToString::to_string);
    // Where our end is the kernel's choice, its link says what we are known by.
    let link = if peer.local_address.is_none() {
        "its-link,"
    } else {
        ""
    };
    write!(f, " next-hops {link}{}", hops.collect::<Vec<_>>().join(","))?;
    match peer.next_hop {
        NextHopMode::Default => {}
        NextHopMode::Own => write!(f, " always")?,
        NextHopMode::Keep => write!(f, " kept")?,
    }
    match peer.ttl {
        Ttl::Default => {}
        Ttl::Multihop(hops) => write!(f, " multihop {hops}")?,
        Ttl::Security(hops) => write!(f, " ttl-security {hops}")?,
    }
    let hold = peer.hold_time.as_secs();
    if hold != 90 {
        write!(f, " hold {hold}s")?;
    }
    for (word, given) in [
        (" outside", peer.outside),
        (" client", peer.client),
        (" passive", peer.passive),
        (" add-path send", peer.add_path.send),
        (" add-path receive", peer.add_path.receive),
        (" password", peer.password.is_some()),
    ] {
        f.write_str(if given { word } else { "" })?;
    }
    if peer.allow_own_asn > 0 {
        write!(f, " own-as {}", peer.allow_own_asn)?;
    }
    if let Some(most) = peer.max_prefixes {
        write!(f, " at most {most} prefixes")?;
    }
    if let Some(bfd) = peer.bfd {
        write!(f, " bfd {}ms x{}", bfd.interval.as_millis(), bfd.multiplier)?;
    }
    if let Some(graceful) = peer.graceful {
        restart(graceful, f)?;
    }
    Ok(())
}

/// How a restart is survived, for people.
pub(super) fn restart(graceful: Graceful, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, " restart {}s", graceful.restart_time.as_secs())?;
    match graceful.long_lived {
        Some(time) => write!(f, " long-lived {}s", time.as_secs()),
        None => Ok(()),
    }
}
