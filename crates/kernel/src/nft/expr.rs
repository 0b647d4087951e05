//! Rules as the expressions of the kernel's little machine: load into a register, compare, act.
//! Which steps a rule is stands here, how each step is written in [`steps`].
//!
//! Register 1 holds what is looked at; it is 16 bytes, and the same as the four small registers
//! from 8 on. A concatenation lies there field by field, each at the next multiple of 4 bytes. A
//! map's answer of address and port lands there too.

use std::net::IpAddr;

use tombolo_model::Family;
use tombolo_plan::objects::{
    Action, AddressMatch, Addresses, ConnState, InterfaceMatch, Match, PacketField, PortSet, Rule,
    Side, Table,
};

use super::set::interface;
use crate::netlink::Message;

mod steps;

/// `NFT_REG_VERDICT`; `NFT_REG_1`, and `NFT_REG32_00`, which is its first quarter.
const VERDICT_REGISTER: u32 = 0;
const REGISTER: u32 = 1;
const SMALL_REGISTER: u32 = 8;
/// `NFT_META_*`.
const META_ETHER_TYPE: u32 = 1;
const META_MARK: u32 = 3;
const META_IN_NAME: u32 = 6;
const META_OUT_NAME: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
/// `NFT_CT_*`, `IP_CT_DIR_ORIGINAL`.
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const CT_MARK: u32 = 3;
const CT_ZONE: u32 = 17;
const DIRECTION_ORIGINAL: u8 = 0;
/// `NFT_PAYLOAD_LL_HEADER`, `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
const FRAME: u32 = 0;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// `IPS_DST_NAT` of linux/netfilter/nf_conntrack_common.h.
const DESTINATION_TRANSLATED: u32 = 1 << 5;
/// Verdicts (`NF_*`, `NFT_*`).
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
pub(super) const JUMP: i32 = -3;
pub(super) const GOTO: i32 = -4;
const RETURN: i32 = -5;

/// Writes a rule's expressions into the list of them.
pub(super) fn encode(table: Table, rule: &Rule, list: &mut Message) {
    let mut writer = Writer {
        list,
        table,
        family: None,
    };
    for condition in &rule.matches {
        writer.condition(condition);
    }
    if rule.counted {
        writer.expression("counter", |_| {});
    }
    writer.action(&rule.action);
}

struct Writer<'a> {
    list: &'a mut Message,
    table: Table,
    /// The family that the packet is known to be of by now.
    family: Option<Family>,
}

impl Writer<'_> {
    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::Family(family) => self.require_family(*family),
            Match::Protocol(protocol) => self.protocol(protocol.number(), false),
            Match::ProtocolNumber { number, not } => self.protocol(*number, *not),
            Match::InInterface(name) => self.interface(META_IN_NAME, name),
            Match::OutInterface(name) => self.interface(META_OUT_NAME, name),
            Match::Source(addresses) => {
                self.addresses(PacketField::Source(addresses.family), addresses);
            }
            Match::Destination(addresses) => {
                self.addresses(PacketField::Destination(addresses.family), addresses);
            }
            Match::InSet { fields, set, not } => {
                self.load(fields);
                self.lookup(set, *not, None);
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
            Match::MarkBits { mask, value } => {
                self.meta(META_MARK, REGISTER);
                self.mask(&mask.to_ne_bytes());
                self.compare(&value.to_ne_bytes(), false);
            }
            Match::ConnectionState(states) => self.states(states),
            Match::Ports { side, ports, not } => self.ports(*side, ports, *not),
            Match::Icmp {
                icmp_type,
                code,
                not,
                ..
            } => {
                let mut value = vec![*icmp_type];
                value.extend(*code);
                self.payload(REGISTER, TRANSPORT, 0, value.len() as u32);
                self.compare(&value, *not);
            }
            Match::Limit { per_second, burst } => self.limit(*per_second, *burst),
            Match::EtherType(number) => {
                self.meta(META_ETHER_TYPE, REGISTER);
                self.compare(&number.to_be_bytes(), false);
            }
        }
    }

    fn protocol(&mut self, number: u8, not: bool) {
        self.meta(META_PROTOCOL, REGISTER);
        self.compare(&[number], not);
    }

    fn states(&mut self, states: &[ConnState]) {
        // `NF_CT_STATE_BIT` of linux/netfilter/nf_conntrack_common.h.
        let bit = |state: &ConnState| match state {
            ConnState::Invalid => 1,
            ConnState::Established => 2,
            ConnState::Related => 4,
            ConnState::New => 8,
        };
        let mask: u32 = states.iter().map(bit).fold(0, |mask, bit| mask | bit);
        self.connection(CT_STATE);
        self.mask(&mask.to_ne_bytes());
        self.compare(&[0; 4], true);
    }

    fn ports(&mut self, side: Side, ports: &PortSet, not: bool) {
        let field = match side {
            Side::Source => PacketField::SourcePort,
            Side::Destination => PacketField::DestinationPort,
        };
        self.field(field, REGISTER);
        match ports {
            PortSet::Range(first, last) if first == last => {
                self.compare(&first.to_be_bytes(), not);
            }
            PortSet::Range(first, last) => {
                self.range(&first.to_be_bytes(), &last.to_be_bytes(), not);
            }
            PortSet::Set(set) => self.lookup(set, not, None),
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Accept => self.verdict(ACCEPT, None),
            Action::Drop => self.verdict(DROP, None),
            // NFTA_REJECT_TYPE (NFT_REJECT_TCP_RST).
            Action::Reset => self.expression("reject", |data| {
                data.put_be32(1, 1);
            }),
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
                self.lookup(map, false, Some(REGISTER));
                self.translate(*family);
            }
            Action::Goto(chain) => self.verdict(GOTO, Some(chain)),
            Action::Dispatch { fields, map } => {
                self.load(fields);
                self.lookup(map, false, Some(VERDICT_REGISTER));
            }
            Action::Log { group, prefix } => self.log(*group, prefix),
            Action::MarkBits { mask, value } => {
                self.meta(META_MARK, REGISTER);
                self.bits(&(!mask).to_ne_bytes(), &value.to_ne_bytes());
                self.set_mark();
            }
            Action::Continue => {}
        }
    }

    /// A packet of the other family has other bytes where this one has its addresses.
    fn require_family(&mut self, family: Family) {
        if self.family == Some(family) {
            return;
        }
        match self.table {
            Table::Inet => {
                self.meta(META_FAMILY, REGISTER);
                self.compare(&[protocol_family(family) as u8], false);
            }
            // A frame is a bridge's, whatever it carries.
            Table::Bridge => {
                self.meta(META_ETHER_TYPE, REGISTER);
                self.compare(&ether_type(family).to_be_bytes(), false);
            }
        }
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
            Addresses::Set(set) => self.lookup(set, wanted.not, None),
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
            PacketField::SourcePort => (TRANSPORT, 0, 2),
            PacketField::DestinationPort => (TRANSPORT, 2, 2),
            PacketField::NeighbourTarget => (TRANSPORT, 8, 16),
            PacketField::EtherSource => (FRAME, 6, 6),
            PacketField::ArpSourceMac => (NETWORK, 8, 6),
            PacketField::ArpSource => (NETWORK, 14, 4),
            PacketField::Protocol => return self.meta(META_PROTOCOL, register),
            PacketField::InInterface => return self.meta(META_IN_NAME, register),
            PacketField::OutInterface => return self.meta(META_OUT_NAME, register),
        };
        self.payload(register, base, offset, length);
    }
}

/// Small registers that a field takes.
fn words(field: PacketField) -> u32 {
    match field {
        PacketField::Source(Family::V6)
        | PacketField::Destination(Family::V6)
        | PacketField::NeighbourTarget
        | PacketField::InInterface
        | PacketField::OutInterface => 4,
        PacketField::EtherSource | PacketField::ArpSourceMac => 2,
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

/// `ETH_P_IP`, `ETH_P_IPV6`.
fn ether_type(family: Family) -> u16 {
    match family {
        Family::V4 => 0x0800,
        Family::V6 => 0x86dd,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
