//! Netlink (RFC 3549, linux/netlink.h): messages, attributes, sockets, batches.
//!
//! One small codec serves both families that are spoken here, rtnetlink and nfnetlink. It knows
//! lengths and padding, nothing of what the attributes mean.

mod attributes;
mod message;
mod socket;

pub(crate) use attributes::{Attribute, attributes, ip};
pub(crate) use message::Message;
pub(crate) use socket::{Protocol, Reply, Socket, error_of, replies};
