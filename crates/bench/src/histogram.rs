//! How often what happened: times by their size, in a fixed amount of memory.
//!
//! A power of two is cut into 128 equal parts, so that a percentile is known to less than a
//! hundredth of itself whatever its size, and millions of samples take no more room than one.

use crate::measured::RoundTrips;

/// Below this a value has a bucket of its own; from here on 128 buckets share each power of two.
const EXACT: u64 = 256;
const EXACT_BITS: u32 = EXACT.trailing_zeros();
const PARTS: u64 = EXACT / 2;

/// Times in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    min: u64,
    max: u64,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram {
            buckets: vec![0; bucket(u64::MAX) + 1],
            count: 0,
            min: u64::MAX,
            max: 0,
        }
    }

    pub fn add(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.min = self.min.min(nanoseconds);
        self.max = self.max.max(nanoseconds);
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The smallest value that so many of a thousand are not above, in nanoseconds; of nothing 0.
    pub fn per_mille(&self, share: u64) -> u64 {
        let rank = (self.count * share).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(index).clamp(self.min, self.max);
            }
        }
        0
    }

    /// In words of a measurement; nothing if nothing was added.
    pub fn round_trips(&self, lost: u64) -> Option<RoundTrips> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a time has few digits that count"
        )]
        let micros = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        (self.count > 0).then(|| RoundTrips {
            count: self.count,
            lost,
            min: micros(self.min),
            p50: micros(self.per_mille(500)),
            p90: micros(self.per_mille(900)),
            p99: micros(self.per_mille(990)),
            p999: micros(self.per_mille(999)),
            max: micros(self.max),
        })
    }
}

/// The bucket of a value: its highest eight bits, and how many follow.
fn bucket(value: u64) -> usize {
    let rest = (u64::BITS - value.leading_zeros()).saturating_sub(EXACT_BITS);
    let index = u64::from(rest) * PARTS + (value >> rest);
    usize::try_from(index).expect("there are a few thousand buckets")
}

/// The value in the middle of a bucket.
fn middle(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT {
        return index;
    }
    let rest = index / PARTS - 1;
    let low = (index - rest * PARTS) << rest;
    low + (1 << rest) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_of_the_first_thousand_numbers() {
        let mut histogram = Histogram::new();
        (1..=1000).rev().for_each(|n| histogram.add(n * 1000));
        let found = histogram.round_trips(3).unwrap();
        let near = |is: f64, wanted: f64| (is - wanted).abs() <= wanted / 100.0;
        assert!(near(found.p50, 500.0), "{found:?}");
        assert!(near(found.p90, 900.0), "{found:?}");
        assert!(near(found.p99, 990.0), "{found:?}");
        assert!(near(found.p999, 999.0), "{found:?}");
        assert_eq!((found.min, found.max), (1.0, 1000.0));
        assert_eq!((found.count, found.lost), (1000, 3));
    }

    #[test]
    fn of_nothing_there_is_nothing_to_say() {
        assert_eq!(Histogram::new().round_trips(7), None);
    }

    proptest! {
        #[test]
        fn a_bucket_is_no_wider_than_a_hundredth(value: u64) {
            let found = middle(bucket(value));
            prop_assert!(found.abs_diff(value) <= value / 100);
        }

        #[test]
        fn buckets_are_in_order(a: u64, b: u64) {
            let (a, b) = (a.min(b), a.max(b));
            prop_assert!(bucket(a) <= bucket(b));
        }
    }
}
