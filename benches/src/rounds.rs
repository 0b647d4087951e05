//! Samples: taken in rounds in which everybody has a turn, and summed up by their median.

use std::time::Instant;

use anyhow::Result;

/// One measurement of one contender.
pub type Turn<'a, T> = &'a mut dyn FnMut() -> Result<T>;

/// Lets every contender have one turn in each round, and begins each round with the next one: what
/// comes and goes on the machine, and what one leaves behind for the next, meets all alike.
///
/// # Errors
/// The first that a turn answers; a benchmark with a hole in it would be no comparison.
pub fn interleave<T, const N: usize>(
    rounds: usize,
    contenders: [Turn<'_, T>; N],
) -> Result<[Vec<T>; N]> {
    let mut samples: [Vec<T>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..rounds {
        for turn in 0..N {
            let index = (round + turn) % N;
            samples[index].push(contenders[index]()?);
        }
    }
    Ok(samples)
}

/// How long some work takes, in milliseconds.
///
/// # Errors
/// As the work.
pub fn milliseconds<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let begun = Instant::now();
    let done = work()?;
    let elapsed = begun.elapsed();
    drop(done);
    Ok(elapsed.as_secs_f64() * 1000.0)
}

/// The median; of an even number the mean of the two in the middle; of none, not a number.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn every_contender_begins_a_round_in_turn() {
        let order = RefCell::new(String::new());
        let turn = |name: char| {
            order.borrow_mut().push(name);
            Ok(name)
        };
        let samples =
            interleave(4, [&mut || turn('a'), &mut || turn('b'), &mut || turn('c')]).unwrap();
        assert_eq!(order.into_inner(), "abcbcacababc");
        assert_eq!(samples, [['a'; 4], ['b'; 4], ['c'; 4]]);
    }

    #[test]
    fn an_error_ends_the_rounds() {
        let mut turns = 0;
        let mut failing = || {
            turns += 1;
            if turns == 2 {
                anyhow::bail!("no route")
            }
            Ok(0)
        };
        let error = interleave(5, [&mut failing]).unwrap_err();
        assert_eq!(error.to_string(), "no route");
        assert_eq!(turns, 2);
    }

    #[test]
    fn medians_do_not_mind_the_order_nor_the_outlier() {
        assert_eq!(median(&[3.0, 900.0, 1.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
