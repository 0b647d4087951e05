//! Takes messages apart. What comes from a kernel is still parsed with distrust: a length that
//! does not fit ends the walk, it never panics.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tombolo_model::MacAddr;

/// The bits of an attribute's type that are not flags (`NLA_TYPE_MASK`).
const TYPE_MASK: u16 = 0x3fff;

/// One attribute: its type without flags, and its payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    pub kind: u16,
    pub data: &'a [u8],
}

/// The attributes in a payload, in order.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let data = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, data })
    })
}

impl<'a> Attribute<'a> {
    pub(crate) fn u8(&self) -> Option<u8> {
        self.data.first().copied()
    }

    pub(crate) fn be16(&self) -> Option<u16> {
        Some(u16::from_be_bytes(self.data.get(..2)?.try_into().ok()?))
    }

    /// In the order of the host, as rtnetlink has it.
    pub(crate) fn u32(&self) -> Option<u32> {
        Some(u32::from_ne_bytes(self.data.get(..4)?.try_into().ok()?))
    }

    /// In the order of the network, as nfnetlink has it.
    pub(crate) fn be32(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.data.get(..4)?.try_into().ok()?))
    }

    /// Text, which the kernel ends with a zero byte.
    pub(crate) fn text(&self) -> Option<&'a str> {
        let bytes = self.data.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(bytes).ok()
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        ip(self.data)
    }

    pub(crate) fn mac(&self) -> Option<MacAddr> {
        Some(MacAddr(self.data.try_into().ok()?))
    }

    pub(crate) fn nested(&self) -> impl Iterator<Item = Attribute<'a>> {
        attributes(self.data)
    }

    /// The first attribute inside of a type.
    pub(crate) fn find(&self, kind: u16) -> Option<Attribute<'a>> {
        self.nested().find(|attribute| attribute.kind == kind)
    }
}

/// An address of 4 or 16 bytes.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_do_not_fit_end_the_walk() {
        for bytes in [
            &[][..],
            &[4],
            &[0, 0, 1, 0],
            &[3, 0, 1, 0, 9],
            &[200, 0, 1, 0, 1, 2, 3, 4],
        ] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
    }

    #[test]
    fn the_last_attribute_may_lack_its_padding() {
        let bytes = [5, 0, 1, 0, 7, 0, 0, 0, 5, 0, 2, 0x80, 9];
        let found: Vec<_> = attributes(&bytes)
            .map(|a| (a.kind, a.u8().unwrap()))
            .collect();
        assert_eq!(found, [(1, 7), (2, 9)]);
    }
}
