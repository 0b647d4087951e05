//! Sets of prefixes, kept free of overlaps.
//!
//! The kernel refuses intervals that overlap, and pools may be nested: 10.0.0.0/8 beside
//! 10.1.0.0/16. So the kernel gets the union of the prefixes as disjoint ranges, and reading
//! answers by what is covered: a planned prefix is there if the ranges cover it, and what the
//! ranges hold beyond the plan appears as extra prefixes. Then adding is a union, removing a
//! difference, and no order of operations can go wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use tombolo_model::Family;

/// First and last address, as numbers. All ranges of one list are of one family.
pub(super) type Range = (u128, u128);

/// The range of a prefix.
pub(super) fn range(net: &IpNet) -> Range {
    (number(net.network()), number(net.broadcast()))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The highest address of a family.
pub(super) fn highest(family: Family) -> u128 {
    match family {
        Family::V4 => u128::from(u32::MAX),
        Family::V6 => u128::MAX,
    }
}

/// An address from its number.
pub(super) fn address(number: u128, family: Family) -> IpAddr {
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
    for &(first, last) in from {
        let mut start = Some(first);
        for &(a, b) in without.iter().filter(|(a, b)| *a <= last && *b >= first) {
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

/// Whether one of the ranges holds all of a prefix.
pub(super) fn covers(ranges: &[Range], net: &IpNet) -> bool {
    let (first, last) = range(net);
    ranges.iter().any(|(a, b)| *a <= first && last <= *b)
}

/// The fewest prefixes that are a range.
pub(super) fn prefixes((first, last): Range, family: Family) -> Vec<IpNet> {
    match (address(first, family), address(last, family)) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Ipv4Subnets::new(a, b, 0).map(IpNet::from).collect(),
        (IpAddr::V6(a), IpAddr::V6(b)) => Ipv6Subnets::new(a, b, 0).map(IpNet::from).collect(),
        _ => Vec::new(),
    }
}

/// Ranges from the kernel's elements: where one starts, and the first address behind each. A range
/// without an end goes to the highest address.
pub(super) fn from_elements(mut elements: Vec<(u128, bool)>, family: Family) -> Vec<Range> {
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
    ranges.extend(open.map(|first| (first, highest(family))));
    union(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nested_and_touching_prefixes_become_one_range() {
        let nets = ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"].map(|n| n.parse::<IpNet>().unwrap());
        let merged = union(nets.iter().map(range));
        assert_eq!(merged, [(0x0a00_0000, 0x0bff_ffff)]);
        assert!(nets.iter().all(|net| covers(&merged, net)));
        let rest = difference(&merged, &[range(&nets[1])]);
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
            let elements = a.iter().flat_map(|(s, e)| [(*s, false), (e + 1, true)]).collect();
            prop_assert_eq!(from_elements(elements, Family::V4), a);
        }
    }
}
