//! Puts messages together: a header, a family's own header, attributes with padding.

use std::net::IpAddr;

/// `NLA_F_NESTED`: the payload is attributes.
const NESTED: u16 = 1 << 15;
/// Bytes of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;

/// A message that is being written. Its length is filled in when it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of a type, with flags (`NLM_F_*`) and the family's own header.
    pub(crate) fn new(kind: u16, flags: libc::c_int, header: &[u8]) -> Message {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        let flags = (flags | libc::NLM_F_REQUEST) as u16;
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(header);
        Message { bytes }
    }

    /// Attributes without a message around them, to be [appended](Message::append) to one.
    pub(crate) fn attributes() -> Message {
        Message { bytes: Vec::new() }
    }

    /// Puts attributes behind those that are there.
    pub(crate) fn append(&mut self, attributes: &Message) -> &mut Message {
        self.raw(&attributes.bytes)
    }

    /// Bytes so far, padding included.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds an attribute.
    pub(crate) fn put(&mut self, kind: u16, payload: &[u8]) -> &mut Message {
        let length = u16::try_from(payload.len() + 4).expect("callers split what is longer");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn put_u8(&mut self, kind: u16, value: u8) -> &mut Message {
        self.put(kind, &[value])
    }

    pub(crate) fn put_be16(&mut self, kind: u16, value: u16) -> &mut Message {
        self.put(kind, &value.to_be_bytes())
    }

    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) -> &mut Message {
        self.put(kind, &value.to_ne_bytes())
    }

    pub(crate) fn put_be32(&mut self, kind: u16, value: u32) -> &mut Message {
        self.put(kind, &value.to_be_bytes())
    }

    /// Text with the zero byte that the kernel wants behind it.
    pub(crate) fn put_text(&mut self, kind: u16, text: &str) -> &mut Message {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        self.put(kind, &bytes)
    }

    pub(crate) fn put_ip(&mut self, kind: u16, address: IpAddr) -> &mut Message {
        match address {
            IpAddr::V4(v4) => self.put(kind, &v4.octets()),
            IpAddr::V6(v6) => self.put(kind, &v6.octets()),
        }
    }

    /// Bytes without an attribute header, as the header inside a pair's other end.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Message {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Adds an attribute whose payload is attributes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) -> &mut Message {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).expect("callers split what is longer");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Writes the finished message behind others.
    pub(crate) fn finish(&self, sequence: u32, extra: libc::c_int, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let length = u32::try_from(self.bytes.len()).expect("a message is far below 4 GiB");
        out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | extra as u16;
        out[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
        out[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attributes;

    #[test]
    fn what_is_written_is_read_back() {
        let mut message = Message::new(7, 0, &[1, 2, 3, 4]);
        message.put_text(1, "eth0").nest(2, |inner| {
            inner.put_u8(3, 9).put_be32(4, 5);
        });
        let mut bytes = Vec::new();
        message.finish(42, libc::NLM_F_ACK, &mut bytes);
        assert_eq!(bytes.len(), bytes[0] as usize);
        let found: Vec<_> = attributes(&bytes[HEADER + 4..]).collect();
        assert_eq!(found[0].text(), Some("eth0"));
        assert_eq!(found[1].find(4).unwrap().be32(), Some(5));
    }
}
