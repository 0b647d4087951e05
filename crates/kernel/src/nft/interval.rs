//! Sets of prefixes, or of ranges of ports, kept free of overlaps.
//!
//! The kernel refuses intervals that overlap, and pools may be nested: 10.0.0.0/8 beside
//! 10.1.0.0/16. So the kernel gets the union of the prefixes as disjoint ranges, and reading
//! answers by what is covered: a planned prefix is there if the ranges cover it, and what the
//! ranges hold beyond the plan appears as extra prefixes. Then adding is a union, removing a
//! difference, and no order of operations can go wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use tombolo_model::Family;
use tombolo_plan::objects::{Datum, Field};

/// First and last address, as numbers. All ranges of one list are of one family.
pub(super) type Range = (u128, u128);

/// What numbers in ranges are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Address(Family),
    Port,
}

impl Space {
    pub(super) const ALL: [Space; 3] = [
        Space::Address(Family::V4),
        Space::Address(Family::V6),
        Space::Port,
    ];

    /// The space of an interval set's keys.
    pub(super) fn of_field(field: Field) -> Option<Space> {
        match field {
            Field::Ipv4 => Some(Space::Address(Family::V4)),
            Field::Ipv6 => Some(Space::Address(Family::V6)),
            Field::Port => Some(Space::Port),
            _ => None,
        }
    }

    /// The space of an interval set's key.
    pub(super) fn of(key: &Datum) -> Option<Space> {
        match key {
            Datum::Net(net) => Some(Space::Address(Family::of_net(*net))),
            Datum::PortRange(..) => Some(Space::Port),
            _ => None,
        }
    }

    /// Bytes of a number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Space::Address(family) => usize::from(family.bits() / 8),
            Space::Port => 2,
        }
    }

    /// The highest number.
    pub(super) fn highest(self) -> u128 {
        match self {
            Space::Address(Family::V6) => u128::MAX,
            Space::Address(Family::V4) => u128::from(u32::MAX),
            Space::Port => u128::from(u16::MAX),
        }
    }

    /// A number as it lies in a register.
    pub(super) fn encode(self, number: u128) -> Vec<u8> {
        let bytes = number.to_be_bytes();
        bytes[bytes.len() - self.bytes()..].to_vec()
    }

    /// The fewest keys that are a range.
    pub(super) fn keys(self, (first, last): Range) -> Vec<Datum> {
        match self {
            Space::Address(family) => prefixes((first, last), family)
                .into_iter()
                .map(Datum::Net)
                .collect(),
            Space::Port => vec![Datum::PortRange(first as u16, last as u16)],
        }
    }
}

/// The range of a key; none of what cannot be in an interval set.
pub(super) fn range(key: &Datum) -> Option<Range> {
    match key {
        Datum::Net(net) => Some((number(net.network()), number(net.broadcast()))),
        Datum::PortRange(first, last) => Some((u128::from(*first), u128::from(*last))),
        _ => None,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(number: u128, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(number as u32).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

/// The same addresses as ranges that neither overlap nor touch, in order.
pub(super) fn union(ranges: impl IntoIterator<Item = Range>) -> Vec<Range> {
    let mut ranges: Vec<Range> = ranges.into_iter().collect();
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// What the first has and the second has not. Both as [`union`] gives them.
pub(super) fn difference(from: &[Range], without: &[Range]) -> Vec<Range> {
    let mut left = Vec::new();
    let mut behind = 0;
    for &(first, last) in from {
        let mut start = Some(first);
        behind += without[behind..].partition_point(|(_, b)| *b < first);
        for &(a, b) in without[behind..].iter().take_while(|(a, _)| *a <= last) {
            let Some(from) = start else { break };
            if a > from {
                left.push((from, a - 1));
            }
            start = b.checked_add(1).filter(|next| *next <= last);
        }
        if let Some(from) = start {
            left.push((from, last));
        }
    }
    left
}

/// Whether one of the ranges, as [`union`] gives them, holds all of another.
pub(super) fn covers(ranges: &[Range], (first, last): Range) -> bool {
    let behind = ranges.partition_point(|(start, _)| *start <= first);
    behind > 0 && last <= ranges[behind - 1].1
}

/// What the first has and the second has not, in whole ranges. Both as [`union`] gives them.
pub(super) fn only_in<'a>(from: &'a [Range], other: &[Range]) -> impl Iterator<Item = &'a Range> {
    from.iter()
        .filter(|range| other.binary_search(range).is_err())
}

/// The fewest prefixes that are a range.
fn prefixes((first, last): Range, family: Family) -> Vec<IpNet> {
    match (address(first, family), address(last, family)) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Ipv4Subnets::new(a, b, 0).map(IpNet::from).collect(),
        (IpAddr::V6(a), IpAddr::V6(b)) => Ipv6Subnets::new(a, b, 0).map(IpNet::from).collect(),
        _ => Vec::new(),
    }
}

/// Ranges from the kernel's elements: where one starts, and the first address behind each. A range
/// without an end goes to the highest address.
pub(super) fn from_elements(mut elements: Vec<(u128, bool)>, space: Space) -> Vec<Range> {
    // An end at an address stands before the start of the next range there.
    elements.sort_unstable_by_key(|(at, is_end)| (*at, !*is_end));
    let mut ranges = Vec::new();
    let mut open: Option<u128> = None;
    for (at, is_end) in elements {
        if let Some(first) = open.take()
            && at > first
        {
            ranges.push((first, at - 1));
        }
        if !is_end {
            open = Some(at);
        }
    }
    ranges.extend(open.map(|first| (first, space.highest())));
    union(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nested_and_touching_prefixes_become_one_range() {
        let nets = ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"].map(|n| n.parse::<IpNet>().unwrap());
        let ranges = nets.map(|net| range(&Datum::Net(net)).unwrap());
        let merged = union(ranges);
        assert_eq!(merged, [(0x0a00_0000, 0x0bff_ffff)]);
        assert!(ranges.iter().all(|range| covers(&merged, *range)));
        let rest = difference(&merged, &ranges[1..2]);
        let rest: Vec<_> = rest
            .into_iter()
            .flat_map(|r| prefixes(r, Family::V4))
            .collect();
        assert!(rest.contains(&"11.0.0.0/8".parse().unwrap()));
        assert!(!rest.iter().any(|net| net.contains(&nets[1])));
    }

    proptest! {
        /// Against sets of single numbers, which cannot be wrong.
        #[test]
        fn the_algebra_is_that_of_sets(
            a in prop::collection::vec((0u128..40, 0u128..8), 0..6),
            b in prop::collection::vec((0u128..40, 0u128..8), 0..6),
        ) {
            let ranges = |v: &[(u128, u128)]| union(v.iter().map(|(s, n)| (*s, s + n)));
            let points = |v: &[Range]| -> std::collections::BTreeSet<u128> {
                v.iter().flat_map(|(s, e)| *s..=*e).collect()
            };
            let (a, b) = (ranges(&a), ranges(&b));
            let left = difference(&a, &b);
            prop_assert_eq!(points(&left), points(&a).difference(&points(&b)).copied().collect());
            for point in 0..48 {
                prop_assert_eq!(covers(&a, (point, point)), points(&a).contains(&point));
            }
            let elements = a.iter().flat_map(|(s, e)| [(*s, false), (e + 1, true)]).collect();
            prop_assert_eq!(from_elements(elements, Space::Address(Family::V4)), a);
        }
    }
}
