//! What a route says of the outer packets of a tunnel: lightweight tunnels (linux/lwtunnel.h).

use std::net::IpAddr;

use tombolo_plan::objects::{Encap, OUTER_HOPS};

use crate::netlink::{Attribute, Message};
use crate::route::{ENCAP, ENCAP_TYPE};

/// `LWTUNNEL_ENCAP_IP`, `LWTUNNEL_ENCAP_IP6`.
const IN_V4: u16 = 2;
const IN_V6: u16 = 4;
/// `LWTUNNEL_IP_*`; `LWTUNNEL_IP6_*` are the same numbers.
const ID: u16 = 1;
const TO: u16 = 2;
const FROM: u16 = 3;
const HOPS: u16 = 4;
const CLASS: u16 = 5;
const FLAGS: u16 = 6;
/// `TUNNEL_KEY` (linux/if_tunnel.h), in the order of the network.
const HAS_KEY: u16 = 4;

/// Adds it to the message that makes a route.
pub(crate) fn put(message: &mut Message, encap: &Encap) {
    let kind = match encap.to {
        IpAddr::V4(_) => IN_V4,
        IpAddr::V6(_) => IN_V6,
    };
    message.put(ENCAP_TYPE, &kind.to_ne_bytes());
    message.nest(ENCAP, |data| {
        data.put_ip(TO, encap.to)
            .put_ip(FROM, encap.from)
            .put_u8(HOPS, OUTER_HOPS);
        if let Some(key) = encap.key {
            data.put(ID, &u64::from(key).to_be_bytes());
            data.put(FLAGS, &HAS_KEY.to_be_bytes());
        }
    });
}

/// Reads it; nothing where it is none that a plan could want.
pub(crate) fn decode(kind: Option<&[u8]>, data: Option<Attribute<'_>>) -> Option<Encap> {
    let kind = u16::from_ne_bytes(kind?.try_into().ok()?);
    let data = data?;
    let to = data.find(TO)?.ip()?;
    let fits = match to {
        IpAddr::V4(_) => kind == IN_V4,
        IpAddr::V6(_) => kind == IN_V6,
    };
    let byte = |number| data.find(number).and_then(|found| found.u8()).unwrap_or(0);
    let flags = data.find(FLAGS).and_then(|flags| flags.data.get(..2));
    let flags = flags.map_or(0, |flags| u16::from_be_bytes([flags[0], flags[1]]));
    let is_ours = fits && byte(HOPS) == OUTER_HOPS && byte(CLASS) == 0;
    let key = match flags {
        0 => None,
        HAS_KEY => {
            let id = data.find(ID)?.data.get(..8)?.try_into().ok()?;
            Some(u32::try_from(u64::from_be_bytes(id)).ok()?)
        }
        _ => return None,
    };
    let from = data.find(FROM)?.ip()?;
    is_ours.then_some(Encap { from, to, key })
}
