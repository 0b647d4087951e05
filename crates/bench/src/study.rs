//! Many contenders through many trials, in turns.
//!
//! Within a round every trial is done by each contender right after the other, and each round begins
//! with the next one: what else the machine does, and what one leaves behind for the next, meets all
//! alike. Of each figure the median over the rounds counts, with quartiles and extremes beside it.
//! A trial that fails is noted and the rest goes on.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::report::{Entrant, Failure, Report, Row, Scene, Spread};
use crate::{BenchError, Kind, LARGEST, LARGEST_DATAGRAM, Measured, Trial, Window};

/// What is compared: two places with a way between them.
pub trait Contender {
    /// Its name in the report.
    fn name(&self) -> &str;

    /// Measures once.
    ///
    /// # Errors
    /// It cannot, this time.
    fn measure(&mut self, trial: &Trial) -> Result<Measured, BenchError>;
}

/// What is measured, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Study {
    /// How often each contender does each trial.
    pub rounds: u32,
    /// The trials.
    pub trials: Vec<Trial>,
}

/// What is about to be done.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The round, from 1.
    pub round: u32,
    /// The trial.
    pub trial: &'a Trial,
    /// Who does it.
    pub contender: &'a str,
    /// How many trials are done.
    pub done: usize,
    /// How many there are in all.
    pub of: usize,
}

impl Study {
    /// Every figure at message sizes in doublings from one byte to 64 KiB, or at few sizes only.
    #[must_use]
    pub fn new(rounds: u32, window: Window, is_quick: bool) -> Study {
        let sizes: Vec<u32> = if is_quick {
            [0, 6, 10, 13, 16].map(|power| 1 << power).to_vec()
        } else {
            (0..=LARGEST.trailing_zeros())
                .map(|power| 1 << power)
                .collect()
        };
        let trial = |kind: Kind, message: u32, streams| Trial {
            kind,
            message: if kind.is_udp() {
                message.min(LARGEST_DATAGRAM)
            } else {
                message
            },
            streams,
            window,
        };
        let by_size = [
            Kind::TcpBandwidth,
            Kind::UdpBandwidth,
            Kind::TcpLatency,
            Kind::UdpLatency,
        ];
        let mut trials = vec![
            trial(Kind::TcpBandwidth, LARGEST, 4),
            trial(Kind::UdpPackets, 64, 1),
            trial(Kind::Connections, 1, 1),
        ];
        for kind in by_size {
            trials.extend(sizes.iter().map(|size| trial(kind, *size, 1)));
        }
        Study { rounds, trials }
    }

    /// The same with the trials of some kinds only.
    #[must_use]
    pub fn only(mut self, kinds: &[Kind]) -> Study {
        if !kinds.is_empty() {
            self.trials.retain(|trial| kinds.contains(&trial.kind));
        }
        self
    }

    /// Does it all. `tell` hears each step before it is done, and may end it there: what has been
    /// measured until then is the report.
    pub fn run(
        &self,
        scene: Scene,
        contenders: &mut [Box<dyn Contender + '_>],
        tell: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Report {
        let names = contenders.iter().map(|contender| Entrant {
            name: contender.name().to_owned(),
            about: String::new(),
        });
        let mut report = Report::new(scene, self, names.collect());
        let mut samples = Samples::default();
        let of = contenders.len() * self.trials.len() * self.rounds as usize;
        let mut done = 0;
        'all: for round in 0..self.rounds as usize {
            for (number, trial) in self.trials.iter().enumerate() {
                for turn in 0..contenders.len() {
                    // The first turn goes round, within a round and from round to round.
                    let index = (round + number + turn) % contenders.len();
                    let contender = &mut contenders[index];
                    let step = Step {
                        round: u32::try_from(round).unwrap_or(u32::MAX) + 1,
                        trial,
                        contender: contender.name(),
                        done,
                        of,
                    };
                    if tell(step).is_break() {
                        report.is_whole = false;
                        break 'all;
                    }
                    match contender.measure(trial) {
                        Ok(measured) => samples.add(index, number, &measured),
                        Err(error) => report.fail(Failure {
                            contender: contender.name().to_owned(),
                            trial: trial.to_string(),
                            why: error.to_string(),
                        }),
                    }
                    done += 1;
                }
            }
        }
        report.rows = samples.rows(contenders, &self.trials);
        report
    }
}

/// Everything that was measured, by contender and trial.
#[derive(Default)]
struct Samples(BTreeMap<(usize, usize), BTreeMap<&'static str, Vec<f64>>>);

impl Samples {
    fn add(&mut self, contender: usize, trial: usize, measured: &Measured) {
        let of_both = self.0.entry((contender, trial)).or_default();
        for (name, value) in figures(measured) {
            of_both.entry(name).or_default().push(value);
        }
    }

    fn rows(&self, contenders: &[Box<dyn Contender + '_>], trials: &[Trial]) -> Vec<Row> {
        let of_first = |trial: usize, name: &str| {
            let samples = self.0.get(&(0, trial))?.get(name)?;
            Some(Spread::of(samples).median)
        };
        let row = |((contender, trial), figures): (&(usize, usize), &BTreeMap<&str, Vec<f64>>)| {
            let figures = figures.iter().map(|(name, samples)| {
                let spread = Spread::of(samples);
                let ratio = of_first(*trial, name).filter(|first| *first > 0.0);
                let ratio = ratio.map(|first| spread.median / first);
                ((*name).to_owned(), Spread { ratio, ..spread })
            });
            let Trial {
                kind,
                message,
                streams,
                ..
            } = trials[*trial];
            Row {
                contender: contenders[*contender].name().to_owned(),
                kind,
                message,
                streams,
                figures: figures.collect(),
            }
        };
        self.0.iter().map(row).collect()
    }
}

/// A measurement as named figures.
fn figures(measured: &Measured) -> Vec<(&'static str, f64)> {
    match measured {
        Measured::Flow(flow) => {
            let mut all = vec![
                ("bits_per_second", flow.bytes_per_second * 8.0),
                ("cpu_seconds_per_gigabyte", flow.cpu_seconds_per_gigabyte),
            ];
            all.extend(flow.packets_per_second.map(|n| ("packets_per_second", n)));
            all.extend(flow.lost.map(|share| ("lost", share)));
            all
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count is shown with few digits"
        )]
        Measured::RoundTrips(trips) => vec![
            ("count", trips.count as f64),
            (
                "lost",
                trips.lost as f64 / (trips.count + trips.lost) as f64,
            ),
            ("min", trips.min),
            ("p50", trips.p50),
            ("p90", trips.p90),
            ("p99", trips.p99),
            ("p99.9", trips.p999),
            ("max", trips.max),
        ],
        Measured::Connections(rate) => vec![("connections_per_second", *rate)],
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const WINDOW: Window = Window {
        warm_up: 1,
        measured: 1,
    };

    struct Made<'a> {
        name: &'static str,
        rate: f64,
        log: &'a RefCell<String>,
    }

    impl Contender for Made<'_> {
        fn name(&self) -> &str {
            self.name
        }

        fn measure(&mut self, trial: &Trial) -> Result<Measured, BenchError> {
            self.log.borrow_mut().push_str(self.name);
            if trial.kind != Kind::Connections {
                return Err(BenchError::Station("no way".to_owned()));
            }
            self.rate += 1.0;
            Ok(Measured::Connections(self.rate))
        }
    }

    fn made<'a>(log: &'a RefCell<String>) -> Vec<Box<dyn Contender + 'a>> {
        let one = |name, rate| -> Box<dyn Contender + 'a> { Box::new(Made { name, rate, log }) };
        vec![one("a", 99.0), one("b", 49.0), one("c", 24.0)]
    }

    #[test]
    fn all_take_turns_and_medians_stand_beside_the_first() {
        let log = RefCell::default();
        let study = Study::new(3, WINDOW, true).only(&[Kind::Connections]);
        let mut steps = Vec::new();
        let report = study.run(Scene::default(), &mut made(&log), &mut |step| {
            steps.push((step.round, step.done, step.of));
            ControlFlow::Continue(())
        });
        assert_eq!(log.take(), "abcbcacab");
        assert_eq!(steps[0], (1, 0, 9));
        assert_eq!(steps[8], (3, 8, 9));
        let b = report.rows.iter().find(|row| row.contender == "b").unwrap();
        let found = b.figures["connections_per_second"];
        assert_eq!((found.low, found.median, found.high), (50.0, 51.0, 52.0));
        assert_eq!((found.lower, found.upper), (50.0, 52.0));
        assert_eq!((found.rounds, found.ratio), (3, Some(51.0 / 101.0)));
        assert!(report.is_whole && report.failures.is_empty());
    }

    #[test]
    fn who_ends_it_gets_what_was_measured() {
        let log = RefCell::default();
        let study = Study::new(2, WINDOW, true).only(&[Kind::Connections]);
        let report = study.run(Scene::default(), &mut made(&log), &mut |step| {
            if step.done == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(log.take(), "ab");
        assert_eq!((report.rows.len(), report.is_whole), (2, false));
    }

    #[test]
    fn what_fails_is_told_once_and_the_rest_goes_on() {
        let log = RefCell::default();
        let kinds = [Kind::UdpPackets, Kind::Connections];
        let study = Study::new(3, WINDOW, true).only(&kinds);
        let report = study.run(Scene::default(), &mut made(&log), &mut |_| {
            ControlFlow::Continue(())
        });
        assert_eq!(report.rows.len(), 3);
        let of_a: Vec<_> = report
            .failures
            .iter()
            .filter(|f| f.contender == "a")
            .collect();
        assert_eq!(of_a.len(), 1, "{of_a:?}");
        assert_eq!(of_a[0].trial, "udp-packets, 64 B");
    }

    #[test]
    fn sizes_are_doublings_from_one_byte_to_64_kibibytes() {
        let study = Study::new(1, WINDOW, false);
        let sizes = |kind| -> Vec<u32> {
            let of_kind = study
                .trials
                .iter()
                .filter(|t| t.kind == kind && t.streams == 1);
            of_kind.map(|trial| trial.message).collect()
        };
        let tcp = sizes(Kind::TcpBandwidth);
        assert!(tcp.windows(2).all(|pair| pair[1] == pair[0] * 2), "{tcp:?}");
        assert_eq!((tcp[0], tcp[16]), (1, 65_536));
        assert_eq!(sizes(Kind::UdpLatency).last(), Some(&65_507));
        for trial in study.trials {
            trial.check().unwrap();
        }
    }
}
