//! Connections as messages (linux/netfilter/nfnetlink_conntrack.h).

use std::net::IpAddr;

use tombolo_model::Family;

use super::{Connection, ZoneSide};
use crate::netlink::{Attribute, Message, attributes};

/// `NFNL_SUBSYS_CTNETLINK`; `IPCTNL_MSG_CT_NEW`, `_GET`, `_DELETE`.
const SUBSYSTEM: u16 = 1;
const NEW: u16 = 0;
const GET: u16 = 1;
const DELETE: u16 = 2;
/// Bytes of `struct nfgenmsg`.
const HEADER: usize = 4;
/// `CTA_*`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const MARK: u16 = 8;
const ID: u16 = 12;
const ZONE: u16 = 18;
const MARK_MASK: u16 = 21;
/// `CTA_TUPLE_*`.
const ADDRESSES: u16 = 1;
const TRANSPORT: u16 = 2;
const TUPLE_ZONE: u16 = 3;
/// `CTA_PROTO_*`.
const PROTOCOL: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
/// Identifier, type and code, of ICMP and of ICMPv6.
const ICMP: [u16; 3] = [4, 5, 6];
const ICMP6: [u16; 3] = [7, 8, 9];

/// A question for all connections.
pub(super) fn question() -> Message {
    Message::new(SUBSYSTEM << 8 | GET, 0, &[0; HEADER])
}

/// The message that cuts exactly this one.
pub(super) fn delete(connection: &Connection) -> Message {
    let mut message = naming(DELETE, connection);
    message.put_be32(ID, connection.id);
    message
}

/// The message that sets bits of one's mark. Without `NLM_F_CREATE` it makes none.
pub(super) fn mark(connection: &Connection, mask: u32, value: u32) -> Message {
    let mut message = naming(NEW, connection);
    message.put_be32(MARK, value).put_be32(MARK_MASK, mask);
    message
}

/// A message about a connection.
fn naming(operation: u16, connection: &Connection) -> Message {
    let family = match connection.family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    let mut message = Message::new(SUBSYSTEM << 8 | operation, 0, &[family as u8, 0, 0, 0]);
    // A zone of the answers alone is only in the tuple of the answers, so they name the entry then.
    let (which, tuple) = match connection.zone_side {
        ZoneSide::Reply => (REPLY, Tuple::reply(connection)),
        _ => (ORIGINAL, Tuple::original(connection)),
    };
    message.nest(which, |inner| {
        tuple.write(inner);
        if connection.zone_side != ZoneSide::Both {
            inner.put_be16(TUPLE_ZONE, connection.zone);
        }
    });
    if connection.zone_side == ZoneSide::Both && connection.zone != 0 {
        message.put_be16(ZONE, connection.zone);
    }
    message
}

/// A connection as the kernel tells of it.
pub(super) fn decode(body: &[u8]) -> Option<Connection> {
    let find = |kind| attributes(body.get(HEADER..).unwrap_or_default()).find(|a| a.kind == kind);
    let (original, reply) = (find(ORIGINAL)?, find(REPLY)?);
    let zone_of = |tuple: &Attribute<'_>| tuple.find(TUPLE_ZONE)?.be16();
    let (zone, zone_side) = match (zone_of(&original), zone_of(&reply)) {
        (Some(zone), _) => (zone, ZoneSide::Original),
        (None, Some(zone)) => (zone, ZoneSide::Reply),
        _ => {
            let zone = find(ZONE).and_then(|zone| zone.be16());
            (zone.unwrap_or(0), ZoneSide::Both)
        }
    };
    let (original, reply) = (Tuple::read(&original)?, Tuple::read(&reply)?);
    let family = Family::of(original.source);
    if Family::of(reply.source) != family {
        return None;
    }
    Some(Connection {
        family,
        protocol: original.protocol,
        zone,
        zone_side,
        source: original.source,
        destination: original.destination,
        source_port: original.source_port,
        destination_port: original.destination_port,
        icmp: original.icmp,
        reply_source: reply.source,
        reply_destination: reply.destination,
        reply_source_port: reply.source_port,
        reply_destination_port: reply.destination_port,
        mark: find(MARK).and_then(|mark| mark.be32()).unwrap_or(0),
        id: find(ID)?.be32()?,
    })
}

/// One direction of a connection.
struct Tuple {
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    source_port: u16,
    destination_port: u16,
    icmp: Option<(u8, u8, u16)>,
}

impl Tuple {
    fn original(connection: &Connection) -> Tuple {
        Tuple {
            protocol: connection.protocol,
            source: connection.source,
            destination: connection.destination,
            source_port: connection.source_port,
            destination_port: connection.destination_port,
            icmp: connection.icmp,
        }
    }

    fn reply(connection: &Connection) -> Tuple {
        // The type that answers a type (RFC 792, RFC 4443).
        let answer = |(icmp_type, code, id): (u8, u8, u16)| match (connection.family, icmp_type) {
            (Family::V4, 8) => (0, code, id),
            (Family::V6, 128) => (129, code, id),
            (_, other) => (other.wrapping_add(1), code, id),
        };
        Tuple {
            protocol: connection.protocol,
            source: connection.reply_source,
            destination: connection.reply_destination,
            source_port: connection.reply_source_port,
            destination_port: connection.reply_destination_port,
            icmp: connection.icmp.map(answer),
        }
    }

    fn read(tuple: &Attribute<'_>) -> Option<Tuple> {
        let addresses = tuple.find(ADDRESSES)?;
        let transport = tuple.find(TRANSPORT)?;
        // `CTA_IP_V4_SRC`, `_DST`, `CTA_IP_V6_SRC`, `_DST`.
        let address = |v4, v6| addresses.find(v4).or_else(|| addresses.find(v6))?.ip();
        let (source, destination) = (address(1, 3)?, address(2, 4)?);
        if Family::of(source) != Family::of(destination) {
            return None;
        }
        let port = |kind| {
            transport
                .find(kind)
                .and_then(|port| port.be16())
                .unwrap_or(0)
        };
        let icmp = |[id, icmp_type, code]: [u16; 3]| {
            let byte = |kind| transport.find(kind)?.u8();
            Some((byte(icmp_type)?, byte(code)?, transport.find(id)?.be16()?))
        };
        Some(Tuple {
            protocol: transport.find(PROTOCOL)?.u8()?,
            source,
            destination,
            source_port: port(SOURCE_PORT),
            destination_port: port(DESTINATION_PORT),
            icmp: icmp(ICMP).or_else(|| icmp(ICMP6)),
        })
    }

    fn write(&self, tuple: &mut Message) {
        let (first, icmp) = match Family::of(self.source) {
            Family::V4 => (1, ICMP),
            Family::V6 => (3, ICMP6),
        };
        tuple.nest(ADDRESSES, |inner| {
            inner
                .put_ip(first, self.source)
                .put_ip(first + 1, self.destination);
        });
        tuple.nest(TRANSPORT, |inner| {
            inner.put_u8(PROTOCOL, self.protocol);
            match self.icmp {
                Some((icmp_type, code, id)) => inner
                    .put_be16(icmp[0], id)
                    .put_u8(icmp[1], icmp_type)
                    .put_u8(icmp[2], code),
                None => inner
                    .put_be16(SOURCE_PORT, self.source_port)
                    .put_be16(DESTINATION_PORT, self.destination_port),
            };
        });
    }
}
