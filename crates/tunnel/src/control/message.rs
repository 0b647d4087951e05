//! Control messages, as they stand behind the tunnel's header, big endian.
//!
//! ```text
//!   0  authentication: the first 16 bytes of HMAC-SHA256 (RFC 2104) with the sender's key over the
//!      receiver's name, a zero byte, and all that follows here
//!  16  kind: 1 hello, 2 ack
//!  17  bytes of the sender's name
//!  18  zero, two bytes
//!  20  number of the hello
//!  28  in an ack, where the hello came from: an IPv6 address (IPv4 mapped into it), a port; else zero
//!  46  the sender's name, then zeros up to the size in question
//! ```
//!
//! The receiver's name is signed so that a message for one node is none for another.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ring::hmac;
use subtle::ConstantTimeEq;

use crate::{Key, NodeId};

const SIGNATURE: usize = 16;
const FIXED: usize = 46;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Hello,
    Ack,
}

/// A message that came, its signature not yet looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub kind: Kind,
    pub from: NodeId,
    pub number: u64,
    pub observed: Option<SocketAddr>,
}

/// A message to be sent.
pub(crate) struct Draft<'a> {
    pub kind: Kind,
    pub number: u64,
    pub observed: Option<SocketAddr>,
    pub from: &'a NodeId,
    pub key: &'a Key,
    pub to: NodeId,
}

impl Message {
    /// Reads a message; none if it is not one.
    pub fn parse(body: &[u8]) -> Option<Message> {
        let (fixed, rest) = body.split_at_checked(FIXED)?;
        let kind = match fixed[16] {
            1 => Kind::Hello,
            2 => Kind::Ack,
            _ => return None,
        };
        if fixed[18..20] != [0, 0] {
            return None;
        }
        let name = rest.get(..usize::from(fixed[17]))?;
        let from = NodeId(std::str::from_utf8(name).ok()?.to_owned());
        let number = u64::from_be_bytes(fixed[20..28].try_into().ok()?);
        let address: [u8; 16] = fixed[28..44].try_into().ok()?;
        let address = IpAddr::from(Ipv6Addr::from(address)).to_canonical();
        let port = u16::from_be_bytes([fixed[44], fixed[45]]);
        Some(Message {
            kind,
            from,
            number,
            observed: (port != 0).then_some(SocketAddr::new(address, port)),
        })
    }

    /// Whether a body, which this was read from, was signed with a key for a node.
    pub fn is_signed(&self, body: &[u8], key: &Key, me: &NodeId) -> bool {
        let Some((signature, signed)) = body.split_at_checked(SIGNATURE) else {
            return false;
        };
        sign(key, me, signed).ct_eq(signature).into()
    }
}

impl Draft<'_> {
    /// The body, as long as a size if that is longer than the message needs.
    pub fn body(&self, size: u16) -> Vec<u8> {
        // Names of nodes are shorter than a byte can say.
        let name = self.from.0.as_bytes();
        let name = &name[..name.len().min(usize::from(u8::MAX))];
        let mut body = vec![0; usize::from(size).max(FIXED + name.len())];
        body[16] = match self.kind {
            Kind::Hello => 1,
            Kind::Ack => 2,
        };
        body[17] = u8::try_from(name.len()).unwrap_or(u8::MAX);
        body[20..28].copy_from_slice(&self.number.to_be_bytes());
        if let Some(observed) = self.observed {
            let address = match observed.ip() {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            body[28..44].copy_from_slice(&address.octets());
            body[44..46].copy_from_slice(&observed.port().to_be_bytes());
        }
        body[FIXED..FIXED + name.len()].copy_from_slice(name);
        let signature = sign(self.key, &self.to, &body[SIGNATURE..]);
        body[..SIGNATURE].copy_from_slice(&signature);
        body
    }
}

fn sign(key: &Key, receiver: &NodeId, signed: &[u8]) -> [u8; SIGNATURE] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
    let mut context = hmac::Context::with_key(&key);
    context.update(receiver.0.as_bytes());
    context.update(&[0]);
    context.update(signed);
    let tag = context.sign();
    let mut signature = [0; SIGNATURE];
    signature.copy_from_slice(&tag.as_ref()[..SIGNATURE]);
    signature
}
