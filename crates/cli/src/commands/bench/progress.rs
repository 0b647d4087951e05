//! One line that says how far it is, where somebody looks on.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use tombolo_bench::Step;

/// Columns of the bar.
const BAR: usize = 20;

pub(super) struct Progress {
    shown: bool,
    begun: std::cell::Cell<Option<Instant>>,
}

impl Progress {
    pub fn new() -> Progress {
        Progress {
            // The report goes to the standard output, so that this may be seen with any format.
            shown: std::io::stderr().is_terminal(),
            begun: std::cell::Cell::new(None),
        }
    }

    /// What is being prepared.
    pub fn tell(&self, what: &str) {
        self.show(&format!("preparing: {what} …"));
    }

    /// What is about to be measured.
    pub fn step(&self, step: &Step) {
        if self.shown {
            let begun = self.begun.get().unwrap_or_else(Instant::now);
            self.begun.set(Some(begun));
            self.show(&line(step, begun.elapsed()));
        }
    }

    /// Clears the line.
    pub fn end(&self) {
        self.show("");
    }

    /// Replaces the line: back to its start, and erase to its end (ECMA-48).
    fn show(&self, text: &str) {
        if self.shown {
            eprint!("\r\x1b[K{text}");
            let _ = std::io::stderr().flush();
        }
    }
}

fn line(step: &Step, elapsed: Duration) -> String {
    let of = step.of.max(1);
    let filled = BAR * step.done / of;
    let left = match u32::try_from(step.done) {
        // Too early to tell.
        Ok(done) if done >= 20 => {
            let each = elapsed / done;
            let rest = each * u32::try_from(of - step.done).unwrap_or(u32::MAX);
            format!(", {} left", span(rest))
        }
        _ => String::new(),
    };
    format!(
        "{}{} {:>3} %  round {}{left}  {}: {}",
        "█".repeat(filled),
        "░".repeat(BAR - filled),
        100 * step.done / of,
        step.round,
        step.contender,
        step.trial
    )
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        short @ 0..90 => format!("{short} s"),
        long => format!("{} min", (long + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use tombolo_bench::{Kind, Trial, Window};

    use super::*;

    #[test]
    fn it_says_how_far_it_is_and_for_how_long() {
        let trial = Trial {
            kind: Kind::TcpLatency,
            message: 64,
            streams: 1,
            window: Window {
                warm_up: 1,
                measured: 1,
            },
        };
        let step = Step {
            round: 2,
            trial: &trial,
            contender: "routed, vxlan",
            done: 100,
            of: 400,
        };
        assert_eq!(
            line(&step, Duration::from_secs(60)),
            "█████░░░░░░░░░░░░░░░  25 %  round 2, 3 min left  routed, vxlan: tcp-latency, 64 B"
        );
        let first = Step { done: 0, ..step };
        assert!(!line(&first, Duration::ZERO).contains("left"));
    }
}
