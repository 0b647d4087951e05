//! Packets that are larger than the way to their peer carries: answered, or cut into fragments. Rare, because
//! the routes to a peer know its MTU: so packets are copied here, and memory is taken.

use crate::packet::{self, Fragment, Super};

/// What becomes of a packet that is too large.
pub(super) enum TooBig {
    /// Its sender is told so, if it may be answered at all.
    Answer(Option<Vec<u8>>),
    /// It goes as these packets.
    Cut(Vec<Vec<u8>>),
}

/// Decides on a packet, all of whose segments may be up to `mtu` bytes.
pub(super) fn too_big(packet: &[u8], whole: &Super, mtu: u16) -> TooBig {
    if !whole.inner.may_fragment {
        return TooBig::Answer(packet::too_big(packet, &whole.inner, mtu));
    }
    let mut list = Vec::new();
    for index in 0..whole.segments() {
        let mut bytes = vec![0; whole.header_bytes()];
        whole.write(packet, index, &mut bytes);
        bytes.extend_from_slice(&packet[whole.payload(index)]);
        if whole.partial_checksum {
            let inner = whole.inner;
            let offset = if inner.protocol == packet::TCP { 16 } else { 6 };
            packet::complete(&mut bytes, inner.transport, offset);
        }
        let Some(fragments) = packet::fragments(&bytes, whole.inner.transport, mtu) else {
            return TooBig::Answer(None);
        };
        let join =
            |fragment: Fragment| [fragment.header, bytes[fragment.payload].to_vec()].concat();
        list.extend(fragments.into_iter().map(join));
    }
    TooBig::Cut(list)
}
