//! How soon it is repaired what somebody else has deleted or changed in the kernel, for each kind of
//! object: from the end of the damaging command until everything is as it was.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tombolo_benches::{Figure, Goal, Report};
use tombolo_tests::damage::{Victim, damages, differences};

const ROUNDS: usize = 9;
/// Looking everywhere comes after half a minute and would repair it too.
const LIMIT: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let victim = Victim::up("bench-repair");
    let whole = victim.picture();
    let mut samples = vec![Vec::new(); damages().count()];
    for _ in 0..ROUNDS {
        for (damage, samples) in damages().zip(&mut samples) {
            victim.suffer(damage);
            let begun = Instant::now();
            // Looking takes some 50 ms, all of which count: it is whole at the latest when it was seen.
            loop {
                let now = victim.picture();
                if now == whole {
                    samples.push(begun.elapsed().as_secs_f64() * 1000.0);
                    break;
                }
                ensure!(
                    begun.elapsed() < LIMIT,
                    "{damage:?} is not repaired:\n{}{}",
                    differences(&whole, &now),
                    victim.cluster.logs()
                );
            }
        }
    }
    let mut report = Report::new("repair");
    for (damage, samples) in damages().zip(&samples) {
        let case = format!("{}: {}", damage.kind, damage.what);
        report.add(Figure::alone(case, "ms", samples).goal(Goal::AtMost(1000.0)));
    }
    let worst: Vec<f64> = samples
        .iter()
        .map(|samples| samples.iter().copied().fold(0.0, f64::max))
        .collect();
    let slowest = worst.iter().copied().fold(0.0, f64::max);
    report.add(Figure::alone("the slowest of all", "ms", &[slowest]).goal(Goal::AtMost(1000.0)));
    report.finish()
}
