//! What a study found, for programs as it is and for people by [`crate::render`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::study::Study;
use crate::{Kind, Window};

/// What a study found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub scene: Scene,
    /// How often each contender did each trial, unless the report is not whole.
    pub rounds: u32,
    /// When was measured within each trial.
    pub window: Window,
    /// Whether all rounds were done.
    pub is_whole: bool,
    /// Who took part; the first is what the others are compared with.
    pub contenders: Vec<Entrant>,
    /// Who did not, and why.
    pub skipped: Vec<Skipped>,
    /// What was found, by contender and trial.
    pub rows: Vec<Row>,
    /// What could not be measured.
    pub failures: Vec<Failure>,
}

/// Where something was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// In words: the lab, or two nodes.
    pub place: String,
    /// The kernel's release.
    pub kernel: String,
    /// How many processors the machine has.
    pub processors: usize,
    /// The day, as YYYY-MM-DD.
    pub day: String,
    /// This program's version.
    pub version: String,
}

/// Somebody who took part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entrant {
    /// Its name.
    pub name: String,
    /// What it is, in a few words.
    pub about: String,
}

/// Somebody who did not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why not.
    pub why: String,
}

/// A trial that did not come out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose.
    pub contender: String,
    /// Which.
    pub trial: String,
    /// Why.
    pub why: String,
}

/// What one contender did in one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Who.
    pub contender: String,
    /// What was measured.
    pub kind: Kind,
    /// Bytes of a message.
    pub message: u32,
    /// Connections side by side.
    pub streams: u16,
    /// Figures by name. `bits_per_second` and `packets_per_second` as they arrived, `lost` as a
    /// share from 0 to 1, `cpu_seconds_per_gigabyte` of 10^9 bytes, `min`, `p50`, `p90`, `p99`,
    /// `p99.9` and `max` of round trips in microseconds, `connections_per_second`.
    pub figures: BTreeMap<String, Spread>,
}

/// A figure over all rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The lower quartile: at most a quarter of the rounds is below.
    pub lower: f64,
    /// The upper quartile.
    pub upper: f64,
    /// The highest.
    pub high: f64,
    /// How many rounds have it.
    pub rounds: usize,
    /// The median as a share of the first contender's.
    pub ratio: Option<f64>,
}

impl Spread {
    /// Of samples, of which there is at least one; of none all is 0.
    #[must_use]
    pub fn of(samples: &[f64]) -> Spread {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        let last = sorted.len().saturating_sub(1);
        let median = match sorted.len() {
            0 => 0.0,
            odd if odd % 2 == 1 => sorted[half],
            _ => f64::midpoint(sorted[half - 1], sorted[half]),
        };
        Spread {
            median,
            lower: sorted.get(last / 4).copied().unwrap_or_default(),
            upper: sorted.get(last - last / 4).copied().unwrap_or_default(),
            low: sorted.first().copied().unwrap_or_default(),
            high: sorted.last().copied().unwrap_or_default(),
            rounds: sorted.len(),
            ratio: None,
        }
    }
}

impl Report {
    pub(crate) fn new(scene: Scene, study: &Study, contenders: Vec<Entrant>) -> Report {
        let window = study.trials.first().map_or(
            Window {
                warm_up: 0,
                measured: 0,
            },
            |trial| trial.window,
        );
        Report {
            scene,
            rounds: study.rounds,
            window,
            is_whole: true,
            contenders,
            skipped: Vec::new(),
            rows: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Notes a failure, once for each contender and trial.
    pub(crate) fn fail(&mut self, failure: Failure) {
        let is_known = self
            .failures
            .iter()
            .any(|known| known.contender == failure.contender && known.trial == failure.trial);
        if !is_known {
            self.failures.push(failure);
        }
    }

    /// A figure of a contender, if it was measured.
    #[must_use]
    pub fn figure(&self, contender: &str, of: &Which) -> Option<Spread> {
        let row = self.rows.iter().find(|row| {
            row.contender == contender
                && row.kind == of.kind
                && row.message == of.message
                && row.streams == of.streams
        });
        row?.figures.get(of.figure).copied()
    }

    /// A figure of a contender at each size of messages, over one stream.
    #[must_use]
    pub fn by_size(&self, contender: &str, kind: Kind, figure: &str) -> Vec<(u32, Spread)> {
        let rows = self
            .rows
            .iter()
            .filter(|row| row.contender == contender && row.kind == kind && row.streams == 1);
        let mut points: Vec<(u32, Spread)> = rows
            .filter_map(|row| Some((row.message, *row.figures.get(figure)?)))
            .collect();
        points.sort_by_key(|(message, _)| *message);
        points
    }
}

/// Which figure of which trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Which {
    /// Of what.
    pub kind: Kind,
    /// Bytes of a message.
    pub message: u32,
    /// Connections side by side.
    pub streams: u16,
    /// The figure's name, as in [`Row::figures`].
    pub figure: &'static str,
}
