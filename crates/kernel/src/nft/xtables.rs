//! Conditions and targets of iptables, as far as a packet's fate needs them: inside nftables, where
//! `iptables-nft` leaves those that nftables has no words for, and in iptables' own tables.

use tombolo_plan::filter::{Test, Verdict};

use crate::netlink::Attribute;

/// Bytes of the name in `struct xt_entry_match` and `xt_entry_target` (linux/netfilter/x_tables.h).
pub(super) const NAME_BYTES: usize = 29;

/// A `match` expression: `NFTA_MATCH_NAME`, `_REV`, `_INFO`.
pub(super) fn condition(data: &Attribute<'_>) -> Option<Test> {
    let name = data.find(1).and_then(|name| name.text()).unwrap_or("match");
    let revision = data
        .find(2)
        .and_then(|revision| revision.be32())
        .unwrap_or(0);
    let info = data.find(3).map(|info| info.data).unwrap_or_default();
    condition_of(name, revision, info)
}

/// What a condition means; none for one that always holds.
pub(super) fn condition_of(name: &str, revision: u32, info: &[u8]) -> Option<Test> {
    match name {
        "comment" => None,
        "conntrack" if revision >= 2 => {
            Some(state(info).unwrap_or_else(|| Test::Other(name.to_owned())))
        }
        // `struct xt_state_info`: the mask alone.
        "state" => {
            let mask = info.get(..4).and_then(|bytes| bytes.try_into().ok());
            Some(mask.map_or_else(
                || Test::Other(name.to_owned()),
                |mask| Test::State(u32::from_ne_bytes(mask), false),
            ))
        }
        other => Some(Test::Other(other.to_owned())),
    }
}

/// `struct xt_conntrack_mtinfo2` and `3` begin alike: eight addresses, two times, protocol, ports,
/// then flags, inverted flags and the mask of states.
fn state(info: &[u8]) -> Option<Test> {
    const FLAGS: usize = 8 * 16 + 2 * 4 + 2 + 4 * 2;
    const STATE: u16 = 1;
    let word = |at: usize| Some(u16::from_ne_bytes(info.get(at..at + 2)?.try_into().ok()?));
    (word(FLAGS)? == STATE).then_some(())?;
    let not = word(FLAGS + 2)? & STATE != 0;
    Some(Test::State(u32::from(word(FLAGS + 4)?), not))
}

/// A `target` expression: `NFTA_TARGET_NAME`. None for one after which the packet goes on.
pub(super) fn target(data: &Attribute<'_>) -> Option<Verdict> {
    target_of(
        data.find(1)
            .and_then(|name| name.text())
            .unwrap_or_default(),
    )
}

/// What a target that is not a plain verdict decides.
pub(super) fn target_of(name: &str) -> Option<Verdict> {
    match name {
        "REJECT" => Some(Verdict::Drop),
        "NFQUEUE" | "TPROXY" | "SYNPROXY" => Some(Verdict::Other),
        // LOG, MARK, CT, TCPMSS and their like change or note, and go on.
        _ => None,
    }
}
