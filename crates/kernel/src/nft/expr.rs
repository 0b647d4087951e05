//! Rules as the expressions of the kernel's little machine: load into a register, compare, act.
//!
//! Register 1 holds what is looked at; it is 16 bytes, and the same as the four small registers
//! from 8 on. A concatenation lies there field by field, each at the next multiple of 4 bytes. A
//! map's answer of address and port lands there too.

use std::net::IpAddr;

use tombolo_model::Family;
use tombolo_plan::objects::{
    Action, AddressMatch, Addresses, InterfaceMatch, Match, PacketField, Rule,
};

use super::message::{DATA_VALUE, LIST_ELEMENT};
use super::set::interface;
use crate::netlink::Message;

/// `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const NAME: u16 = 1;
const DATA: u16 = 2;
/// `NFT_REG_1`, and `NFT_REG32_00`, which is its first quarter.
const REGISTER: u32 = 1;
const SMALL_REGISTER: u32 = 8;
/// `NFT_META_*`.
const META_MARK: u32 = 3;
const META_IN_NAME: u32 = 6;
const META_OUT_NAME: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
/// `NFT_CT_*`, `IP_CT_DIR_ORIGINAL`.
const CT_STATUS: u32 = 2;
const CT_MARK: u32 = 3;
const CT_ZONE: u32 = 17;
const DIRECTION_ORIGINAL: u8 = 0;
/// `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// `IPS_DST_NAT` of linux/netfilter/nf_conntrack_common.h.
const DESTINATION_TRANSLATED: u32 = 1 << 5;
/// Verdicts (`NF_*`, `NFT_*`).
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;
const RETURN: i32 = -5;

/// Writes a rule's expressions into the list of them.
pub(super) fn encode(rule: &Rule, list: &mut Message) {
    let mut writer = Writer { list, family: None };
    for condition in &rule.matches {
        writer.condition(condition);
    }
    writer.action(&rule.action);
}

struct Writer<'a> {
    list: &'a mut Message,
    /// The family that the packet is known to be of by now.
    family: Option<Family>,
}

impl Writer<'_> {
    fn expression(&mut self, name: &str, fill: impl FnOnce(&mut Message)) {
        self.list.nest(LIST_ELEMENT, |element| {
            element.put_text(NAME, name).nest(DATA, fill);
        });
    }

    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::Family(family) => self.require_family(*family),
            Match::Protocol(protocol) => {
                self.meta(META_PROTOCOL, REGISTER);
                self.compare(&[protocol.number()], false);
            }
            Match::InInterface(name) => self.interface(META_IN_NAME, name),
            Match::OutInterface(name) => self.interface(META_OUT_NAME, name),
            Match::Source(addresses) => {
                self.addresses(PacketField::Source(addresses.family), addresses);
            }
            Match::Destination(addresses) => {
                self.addresses(PacketField::Destination(addresses.family), addresses);
            }
            Match::InSet { fields, set } => {
                self.load(fields);
                self.lookup(set, false, false);
            }
            Match::LocalDestination => self.local_destination(),
            Match::DestinationPort(port) => {
                self.field(PacketField::DestinationPort, REGISTER);
                self.compare(&port.to_be_bytes(), false);
            }
            Match::DestinationTranslated => self.destination_translated(),
            Match::Mark(mark) => {
                self.meta(META_MARK, REGISTER);
                self.compare(&mark.to_ne_bytes(), false);
            }
            Match::ConnectionMark { mask, value } => {
                self.connection(CT_MARK);
                self.mask(&mask.to_ne_bytes());
                self.compare(&value.to_ne_bytes(), false);
            }
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Accept => self.verdict(ACCEPT, None),
            Action::Drop => self.verdict(DROP, None),
            Action::Return => self.verdict(RETURN, None),
            Action::Jump(chain) => self.verdict(JUMP, Some(chain)),
            Action::OriginalZone(zone) => {
                self.value(&zone.to_ne_bytes());
                self.set_connection(CT_ZONE, Some(DIRECTION_ORIGINAL));
            }
            Action::Mark(mark) => {
                self.value(&mark.to_ne_bytes());
                self.set_mark();
                self.set_connection(CT_MARK, None);
            }
            Action::RestoreMark => {
                self.connection(CT_MARK);
                self.set_mark();
            }
            Action::Masquerade => self.expression("masq", |_| {}),
            Action::TranslateDestination {
                family,
                fields,
                map,
            } => {
                self.require_family(*family);
                self.load(fields);
                self.lookup(map, false, true);
                self.translate(*family);
            }
        }
    }

    /// A packet of the other family has other bytes where this one has its addresses.
    fn require_family(&mut self, family: Family) {
        if self.family == Some(family) {
            return;
        }
        self.meta(META_FAMILY, REGISTER);
        self.compare(&[protocol_family(family) as u8], false);
        self.family = Some(family);
    }

    fn interface(&mut self, key: u32, wanted: &InterfaceMatch) {
        self.meta(key, REGISTER);
        if wanted.prefix {
            self.compare(wanted.name.as_bytes(), wanted.not);
        } else {
            self.compare(&interface(&wanted.name), wanted.not);
        }
    }

    fn addresses(&mut self, field: PacketField, wanted: &AddressMatch) {
        self.require_family(wanted.family);
        self.field(field, REGISTER);
        match &wanted.addresses {
            Addresses::Set(set) => self.lookup(set, wanted.not, false),
            Addresses::Net(net) => {
                if net.prefix_len() < net.max_prefix_len() {
                    self.mask(&octets(net.netmask()));
                }
                self.compare(&octets(net.network()), wanted.not);
            }
        }
    }

    /// Loads fields one behind the other.
    fn load(&mut self, fields: &[PacketField]) {
        for field in fields {
            if let PacketField::Source(family) | PacketField::Destination(family) = field {
                self.require_family(*family);
            }
        }
        let mut register = SMALL_REGISTER;
        for field in fields {
            self.field(*field, register);
            register += words(*field);
        }
    }

    fn field(&mut self, field: PacketField, register: u32) {
        let (base, offset, length) = match field {
            PacketField::Source(Family::V4) => (NETWORK, 12, 4),
            PacketField::Destination(Family::V4) => (NETWORK, 16, 4),
            PacketField::Source(Family::V6) => (NETWORK, 8, 16),
            PacketField::Destination(Family::V6) => (NETWORK, 24, 16),
            PacketField::DestinationPort => (TRANSPORT, 2, 2),
            PacketField::Protocol => return self.meta(META_PROTOCOL, register),
        };
        // NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN.
        self.expression("payload", |data| {
            data.put_be32(1, register)
                .put_be32(2, base)
                .put_be32(3, offset)
                .put_be32(4, length);
        });
    }

    fn meta(&mut self, key: u32, register: u32) {
        // NFTA_META_DREG, _KEY.
        self.expression("meta", |data| {
            data.put_be32(1, register).put_be32(2, key);
        });
    }

    fn compare(&mut self, value: &[u8], not: bool) {
        // NFTA_CMP_SREG, _OP (NFT_CMP_EQ, _NEQ), _DATA.
        self.expression("cmp", |data| {
            data.put_be32(1, REGISTER).put_be32(2, u32::from(not));
            data.nest(3, |inner| {
                inner.put(DATA_VALUE, value);
            });
        });
    }

    fn mask(&mut self, mask: &[u8]) {
        // NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR.
        self.expression("bitwise", |data| {
            data.put_be32(1, REGISTER)
                .put_be32(2, REGISTER)
                .put_be32(3, mask.len() as u32);
            data.nest(4, |inner| {
                inner.put(DATA_VALUE, mask);
            });
            data.nest(5, |inner| {
                inner.put(DATA_VALUE, &vec![0; mask.len()]);
            });
        });
    }

    fn lookup(&mut self, set: &str, not: bool, map: bool) {
        // NFTA_LOOKUP_SET, _SREG, _DREG, _FLAGS (NFT_LOOKUP_F_INV).
        self.expression("lookup", |data| {
            data.put_text(1, set).put_be32(2, REGISTER);
            if map {
                data.put_be32(3, REGISTER);
            }
            if not {
                data.put_be32(5, 1);
            }
        });
    }

    fn local_destination(&mut self) {
        // NFTA_FIB_DREG, _RESULT (NFT_FIB_RESULT_ADDRTYPE), _FLAGS (NFTA_FIB_F_DADDR).
        self.expression("fib", |data| {
            data.put_be32(1, REGISTER).put_be32(2, 3).put_be32(3, 2);
        });
        self.compare(&u32::from(libc::RTN_LOCAL).to_ne_bytes(), false);
    }

    /// Loads something of the connection.
    fn connection(&mut self, key: u32) {
        // NFTA_CT_DREG, _KEY.
        self.expression("ct", |data| {
            data.put_be32(1, REGISTER).put_be32(2, key);
        });
    }

    /// Sets something of the connection to what is loaded.
    fn set_connection(&mut self, key: u32, direction: Option<u8>) {
        // NFTA_CT_KEY, _DIRECTION, _SREG.
        self.expression("ct", |data| {
            data.put_be32(2, key);
            if let Some(direction) = direction {
                data.put_u8(3, direction);
            }
            data.put_be32(4, REGISTER);
        });
    }

    /// Sets the packet's mark to what is loaded.
    fn set_mark(&mut self) {
        // NFTA_META_KEY, _SREG.
        self.expression("meta", |data| {
            data.put_be32(2, META_MARK).put_be32(3, REGISTER);
        });
    }

    /// Loads a value.
    fn value(&mut self, value: &[u8]) {
        // NFTA_IMMEDIATE_DREG, _DATA.
        self.expression("immediate", |data| {
            data.put_be32(1, REGISTER).nest(2, |inner| {
                inner.put(DATA_VALUE, value);
            });
        });
    }

    fn destination_translated(&mut self) {
        self.connection(CT_STATUS);
        self.mask(&DESTINATION_TRANSLATED.to_ne_bytes());
        self.compare(&[0; 4], true);
    }

    fn translate(&mut self, family: Family) {
        let port = SMALL_REGISTER + words(PacketField::Destination(family));
        // NFTA_NAT_TYPE (NFT_NAT_DNAT), _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN.
        self.expression("nat", |data| {
            data.put_be32(1, 1).put_be32(2, protocol_family(family));
            data.put_be32(3, REGISTER).put_be32(5, port);
        });
    }

    fn verdict(&mut self, code: i32, chain: Option<&str>) {
        // NFTA_IMMEDIATE_DREG (NFT_REG_VERDICT), _DATA; NFTA_DATA_VERDICT; NFTA_VERDICT_CODE, _CHAIN.
        self.expression("immediate", |data| {
            data.put_be32(1, 0).nest(2, |inner| {
                inner.nest(2, |verdict| {
                    verdict.put(1, &code.to_be_bytes());
                    if let Some(chain) = chain {
                        verdict.put_text(2, chain);
                    }
                });
            });
        });
    }
}

/// Small registers that a field takes.
fn words(field: PacketField) -> u32 {
    match field {
        PacketField::Source(Family::V6) | PacketField::Destination(Family::V6) => 4,
        _ => 1,
    }
}

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
fn protocol_family(family: Family) -> u32 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
