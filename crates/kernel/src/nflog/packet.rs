//! The headers of a packet: IPv4 (RFC 791), IPv6 with its extensions (RFC 8200), and what of the
//! transport's stands at the same place in all of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Headers {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    /// Of source and destination.
    pub ports: Option<(u16, u16)>,
    /// Type and code.
    pub icmp: Option<(u8, u8)>,
}

/// Protocols with ports in their first four bytes: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];
const ICMP: u8 = 1;
const ICMP6: u8 = 58;
/// Extension headers of IPv6 (IANA): hop-by-hop, routing, destination options, mobility, HIP, shim6;
/// those of another length; and where packets end.
const OPTIONS: [u8; 6] = [0, 43, 60, 135, 139, 140];
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;

/// Takes a packet apart, from its network header on; none if even that is not whole.
pub(super) fn parse(packet: &[u8]) -> Option<Headers> {
    match packet.first()? >> 4 {
        4 => parse_v4(packet),
        6 => parse_v6(packet),
        _ => None,
    }
}

fn parse_v4(packet: &[u8]) -> Option<Headers> {
    let address = |at: usize| {
        let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(IpAddr::from(Ipv4Addr::from(bytes)))
    };
    let length = usize::from(packet[0] & 0x0f) * 4;
    // The offset, without the three flags.
    let offset = word(packet, 6)? & 0x1fff;
    let rest = (offset == 0)
        .then(|| packet.get(length.max(20)..))
        .flatten();
    let protocol = *packet.get(9)?;
    Some(transport((address(12)?, address(16)?), protocol, rest))
}

fn parse_v6(packet: &[u8]) -> Option<Headers> {
    let address = |at: usize| {
        let bytes: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::from(Ipv6Addr::from(bytes)))
    };
    let addresses = (address(8)?, address(24)?);
    let mut protocol = *packet.get(6)?;
    let mut rest = packet.get(40..);
    // Each takes some of what is left, so this ends.
    while let Some(bytes) = rest {
        let length = match (protocol, bytes) {
            (FRAGMENT, [next, _, offset, low, ..]) => {
                let offset = u16::from_be_bytes([*offset, *low]) >> 3;
                if offset != 0 {
                    return Some(transport(addresses, *next, None));
                }
                8
            }
            (AUTHENTICATION, [_, length, ..]) => (usize::from(*length) + 2) * 4,
            (other, [_, length, ..]) if OPTIONS.contains(&other) => (usize::from(*length) + 1) * 8,
            _ => break,
        };
        protocol = bytes[0];
        rest = bytes.get(length..);
    }
    Some(transport(addresses, protocol, rest))
}

/// `rest` is what stands behind the network's headers; none in fragments but the first.
fn transport(
    (source, destination): (IpAddr, IpAddr),
    protocol: u8,
    rest: Option<&[u8]>,
) -> Headers {
    let rest = rest.unwrap_or_default();
    let ports = || Some((word(rest, 0)?, word(rest, 2)?));
    let icmp = || Some((*rest.first()?, *rest.get(1)?));
    let is_icmp = protocol == if source.is_ipv4() { ICMP } else { ICMP6 };
    Headers {
        source,
        destination,
        protocol,
        ports: WITH_PORTS.contains(&protocol).then(ports).flatten(),
        icmp: is_icmp.then(icmp).flatten(),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(options: usize, fragment: u16, protocol: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 20 + options * 4];
        packet[0] = 0x45 + options as u8;
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[9] = protocol;
        packet[12..16].copy_from_slice(&[10, 0, 0, 1]);
        packet[16..20].copy_from_slice(&[10, 0, 0, 2]);
        packet.extend(rest);
        packet
    }

    fn v6(first: u8, rest: &[&[u8]]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, first, 64];
        packet.extend("fd00::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(rest.concat());
        packet
    }

    const PORTS: [u8; 4] = [0, 80, 1, 0];

    #[test]
    fn ports_are_found_behind_whatever_stands_before_them() {
        let hop = [43, 1, 5, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let routing = [51, 0, 0, 0, 0, 0, 0, 0];
        let authentication = [44, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        let first = [17, 0, 0, 1, 0, 0, 0, 9];
        let later = [17, 0, 0, 9, 0, 0, 0, 9];
        let found = Some((80, 256));
        for (packet, protocol, ports, icmp) in [
            (v4(0, 0, 6, &PORTS), 6, found, None),
            (v4(3, 0x2000, 17, &PORTS), 17, found, None),
            (v4(0, 0x2001, 17, &PORTS), 17, None, None),
            (v4(0, 0, 6, &PORTS[..3]), 6, None, None),
            (v4(0, 0, 47, &PORTS), 47, None, None),
            (v4(0, 0, 1, &[8, 0]), 1, None, Some((8, 0))),
            (v4(0, 0, 58, &[8, 0]), 58, None, None),
            (v6(132, &[&PORTS]), 132, found, None),
            (v6(58, &[&[128, 0]]), 58, None, Some((128, 0))),
            (
                v6(0, &[&hop, &routing, &authentication, &first, &PORTS]),
                17,
                found,
                None,
            ),
            (v6(44, &[&first[..3]]), 44, None, None),
            (v6(44, &[&later, &PORTS]), 17, None, None),
            (v6(0, &[&hop[..9]]), 43, None, None),
            (v6(59, &[]), 59, None, None),
        ] {
            let parsed = parse(&packet).unwrap();
            let of = (parsed.protocol, parsed.ports, parsed.icmp);
            assert_eq!(of, (protocol, ports, icmp), "{packet:02x?}");
        }
        assert_eq!(parse(&v4(0, 0, 6, &[])[..19]), None);
        assert_eq!(parse(&v6(6, &[])[..39]), None);
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0x50; 60]), None);
    }
}
