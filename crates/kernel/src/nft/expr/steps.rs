//! Single steps of the machine, attribute by attribute.

use tombolo_model::Family;
use tombolo_plan::objects::PacketField;

use super::{
    CT_STATUS, DESTINATION_TRANSLATED, META_MARK, REGISTER, SMALL_REGISTER, VERDICT_REGISTER,
    Writer, protocol_family, words,
};
use crate::netlink::Message;
use crate::nft::message::{DATA_VALUE, DATA_VERDICT, LIST_ELEMENT};

/// `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const NAME: u16 = 1;
const DATA: u16 = 2;

impl Writer<'_> {
    pub(super) fn expression(&mut self, name: &str, fill: impl FnOnce(&mut Message)) {
        self.list.nest(LIST_ELEMENT, |element| {
            element.put_text(NAME, name).nest(DATA, fill);
        });
    }

    pub(super) fn payload(&mut self, register: u32, base: u32, offset: u32, length: u32) {
        // NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN.
        self.expression("payload", |data| {
            data.put_be32(1, register)
                .put_be32(2, base)
                .put_be32(3, offset)
                .put_be32(4, length);
        });
    }

    pub(super) fn meta(&mut self, key: u32, register: u32) {
        // NFTA_META_DREG, _KEY.
        self.expression("meta", |data| {
            data.put_be32(1, register).put_be32(2, key);
        });
    }

    pub(super) fn compare(&mut self, value: &[u8], not: bool) {
        // NFTA_CMP_SREG, _OP (NFT_CMP_EQ, _NEQ), _DATA.
        self.expression("cmp", |data| {
            data.put_be32(1, REGISTER).put_be32(2, u32::from(not));
            data.nest(3, |inner| {
                inner.put(DATA_VALUE, value);
            });
        });
    }

    pub(super) fn range(&mut self, first: &[u8], last: &[u8], not: bool) {
        // NFTA_RANGE_SREG, _OP (NFT_RANGE_EQ, _NEQ), _FROM_DATA, _TO_DATA.
        self.expression("range", |data| {
            data.put_be32(1, REGISTER).put_be32(2, u32::from(not));
            for (kind, bound) in [(3, first), (4, last)] {
                data.nest(kind, |inner| {
                    inner.put(DATA_VALUE, bound);
                });
            }
        });
    }

    pub(super) fn limit(&mut self, per_second: u32, burst: u32) {
        // NFTA_LIMIT_RATE, _UNIT (seconds), _BURST.
        self.expression("limit", |data| {
            data.put(1, &u64::from(per_second).to_be_bytes())
                .put(2, &1u64.to_be_bytes())
                .put_be32(3, burst);
        });
    }

    pub(super) fn log(&mut self, group: u16, prefix: &str) {
        // NFTA_LOG_GROUP, _PREFIX.
        self.expression("log", |data| {
            data.put_be16(1, group).put_text(2, prefix);
        });
    }

    pub(super) fn mask(&mut self, mask: &[u8]) {
        self.bits(mask, &vec![0; mask.len()]);
    }

    /// Keeps the bits of a mask, and turns those of another.
    pub(super) fn bits(&mut self, mask: &[u8], turned: &[u8]) {
        // NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR.
        self.expression("bitwise", |data| {
            data.put_be32(1, REGISTER)
                .put_be32(2, REGISTER)
                .put_be32(3, mask.len() as u32);
            data.nest(4, |inner| {
                inner.put(DATA_VALUE, mask);
            });
            data.nest(5, |inner| {
                inner.put(DATA_VALUE, turned);
            });
        });
    }

    /// Looks up what is loaded. What a map says goes `into` a register.
    pub(super) fn lookup(&mut self, set: &str, not: bool, into: Option<u32>) {
        // NFTA_LOOKUP_SET, _SREG, _DREG, _FLAGS (NFT_LOOKUP_F_INV).
        self.expression("lookup", |data| {
            data.put_text(1, set).put_be32(2, REGISTER);
            if let Some(register) = into {
                data.put_be32(3, register);
            }
            if not {
                data.put_be32(5, 1);
            }
        });
    }

    pub(super) fn local_destination(&mut self) {
        // NFTA_FIB_DREG, _RESULT (NFT_FIB_RESULT_ADDRTYPE), _FLAGS (NFTA_FIB_F_DADDR).
        self.expression("fib", |data| {
            data.put_be32(1, REGISTER).put_be32(2, 3).put_be32(3, 2);
        });
        self.compare(&u32::from(libc::RTN_LOCAL).to_ne_bytes(), false);
    }

    /// Loads something of the connection.
    pub(super) fn connection(&mut self, key: u32) {
        // NFTA_CT_DREG, _KEY.
        self.expression("ct", |data| {
            data.put_be32(1, REGISTER).put_be32(2, key);
        });
    }

    /// Sets something of the connection to what is loaded.
    pub(super) fn set_connection(&mut self, key: u32, direction: Option<u8>) {
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
    pub(super) fn set_mark(&mut self) {
        // NFTA_META_KEY, _SREG.
        self.expression("meta", |data| {
            data.put_be32(2, META_MARK).put_be32(3, REGISTER);
        });
    }

    /// Loads a value.
    pub(super) fn value(&mut self, value: &[u8]) {
        // NFTA_IMMEDIATE_DREG, _DATA.
        self.expression("immediate", |data| {
            data.put_be32(1, REGISTER).nest(2, |inner| {
                inner.put(DATA_VALUE, value);
            });
        });
    }

    pub(super) fn destination_translated(&mut self) {
        self.connection(CT_STATUS);
        self.mask(&DESTINATION_TRANSLATED.to_ne_bytes());
        self.compare(&[0; 4], true);
    }

    pub(super) fn translate(&mut self, family: Family) {
        let port = SMALL_REGISTER + words(PacketField::Destination(family));
        // NFTA_NAT_TYPE (NFT_NAT_DNAT), _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN.
        self.expression("nat", |data| {
            data.put_be32(1, 1).put_be32(2, protocol_family(family));
            data.put_be32(3, REGISTER).put_be32(5, port);
        });
    }

    pub(super) fn verdict(&mut self, code: i32, chain: Option<&str>) {
        // NFTA_IMMEDIATE_DREG (NFT_REG_VERDICT), _DATA; NFTA_DATA_VERDICT; NFTA_VERDICT_CODE, _CHAIN.
        self.expression("immediate", |data| {
            data.put_be32(1, VERDICT_REGISTER).nest(2, |inner| {
                inner.nest(DATA_VERDICT, |verdict| {
                    verdict.put(1, &code.to_be_bytes());
                    if let Some(chain) = chain {
                        verdict.put_text(2, chain);
                    }
                });
            });
        });
    }
}
