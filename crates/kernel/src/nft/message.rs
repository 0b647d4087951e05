//! The outer form of nftables messages: types, headers, and the numbers of attributes.

use tombolo_plan::objects::Table;

use crate::netlink::Message;

/// `NFPROTO_INET`, `NFPROTO_BRIDGE`.
const INET: u8 = 1;
const BRIDGE: u8 = 7;
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// `NFT_MSG_*`.
pub(super) mod kind {
    pub(in crate::nft) const NEW_TABLE: u16 = 0;
    pub(in crate::nft) const DEL_TABLE: u16 = 2;
    pub(in crate::nft) const NEW_CHAIN: u16 = 3;
    pub(in crate::nft) const GET_CHAIN: u16 = 4;
    pub(in crate::nft) const DEL_CHAIN: u16 = 5;
    pub(in crate::nft) const NEW_RULE: u16 = 6;
    pub(in crate::nft) const GET_RULE: u16 = 7;
    pub(in crate::nft) const DEL_RULE: u16 = 8;
    pub(in crate::nft) const NEW_SET: u16 = 9;
    pub(in crate::nft) const GET_SET: u16 = 10;
    pub(in crate::nft) const DEL_SET: u16 = 11;
    pub(in crate::nft) const NEW_ELEMENT: u16 = 12;
    pub(in crate::nft) const GET_ELEMENT: u16 = 13;
    pub(in crate::nft) const DEL_ELEMENT: u16 = 14;
}

/// In every message the first attribute is the table's name; chains have theirs third.
pub(super) const TABLE: u16 = 1;
/// `NFTA_LIST_ELEM`: one of a list.
pub(super) const LIST_ELEMENT: u16 = 1;
/// `NFTA_DATA_VALUE`, `NFTA_DATA_VERDICT`.
pub(super) const DATA_VALUE: u16 = 1;
pub(super) const DATA_VERDICT: u16 = 2;
/// `NFTA_SET_NAME`, `NFTA_SET_ELEM_LIST_SET`, `NFTA_RULE_CHAIN`.
pub(super) const OF: u16 = 2;

/// Bytes of `struct nfgenmsg`, behind which the attributes stand.
pub(super) const HEADER: usize = 4;

/// One of the tables that are ours: they have one name, and differ in the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ours<'a> {
    pub family: Table,
    pub name: &'a str,
}

/// A message about something in a table.
pub(super) fn message(kind: u16, flags: libc::c_int, table: Ours<'_>) -> Message {
    let family = match table.family {
        Table::Inet => INET,
        Table::Bridge => BRIDGE,
    };
    let mut message = Message::new(SUBSYSTEM << 8 | kind, flags, &[family, 0, 0, 0]);
    message.put_text(TABLE, table.name);
    message
}

/// A question for everything of a kind, in the tables of all families (`NFPROTO_UNSPEC`).
pub(super) fn everything(kind: u16) -> Message {
    Message::new(SUBSYSTEM << 8 | kind, 0, &[0; HEADER])
}

/// The start of a transaction.
pub(super) fn begin() -> Message {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    Message::new(BATCH_BEGIN, 0, &[0, 0, high, low])
}

/// The end of a transaction: only with it is anything done.
pub(super) fn end() -> Message {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    Message::new(BATCH_END, 0, &[0, 0, high, low])
}
