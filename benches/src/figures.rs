//! Figures: what a benchmark found, as a table for people and as JSON for programs.
//!
//! `target/bench/NAME.json` is a list of objects with the keys `case`, `unit`, `ours`, `peer`,
//! `peer_name`, `ratio` (ours to the peer's) and `rounds`; without a peer, the three about it are
//! null. Values are medians in the unit that is named.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::median;

/// What a figure is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// Ours is at most so much of the peer's.
    RatioAtMost(f64),
    /// Ours is at least so much of the peer's.
    RatioAtLeast(f64),
    /// Ours is at most this, in the figure's unit.
    AtMost(f64),
}

/// The median of one case, ours and perhaps a peer's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    case: String,
    unit: &'static str,
    ours: f64,
    peer: Option<f64>,
    peer_name: Option<String>,
    ratio: Option<f64>,
    rounds: usize,
    #[serde(skip)]
    goal: Option<Goal>,
}

impl Figure {
    /// A figure with nobody to compare with.
    #[must_use]
    pub fn alone(case: impl Into<String>, unit: &'static str, ours: &[f64]) -> Figure {
        Figure {
            case: case.into(),
            unit,
            ours: median(ours),
            peer: None,
            peer_name: None,
            ratio: None,
            rounds: ours.len(),
            goal: None,
        }
    }

    /// A figure beside that of a peer, by its name, from the same rounds.
    #[must_use]
    pub fn beside(
        case: impl Into<String>,
        unit: &'static str,
        ours: &[f64],
        (name, peer): (&str, &[f64]),
    ) -> Figure {
        let alone = Figure::alone(case, unit, ours);
        let peer = median(peer);
        Figure {
            peer: Some(peer),
            peer_name: Some(name.to_owned()),
            ratio: Some(alone.ours / peer),
            ..alone
        }
    }

    /// The same with what it is to be.
    #[must_use]
    pub fn goal(self, goal: Goal) -> Figure {
        Figure {
            goal: Some(goal),
            ..self
        }
    }

    /// Whether it is as it is to be, and the words for that; nothing where nothing was asked.
    fn verdict(&self) -> String {
        let Some(goal) = self.goal else {
            return String::new();
        };
        let (met, words) = match goal {
            Goal::RatioAtMost(most) => (
                self.ratio.is_some_and(|ratio| ratio <= most),
                format!("ratio ≤ {most}"),
            ),
            Goal::RatioAtLeast(least) => (
                self.ratio.is_some_and(|ratio| ratio >= least),
                format!("ratio ≥ {least}"),
            ),
            Goal::AtMost(most) => (self.ours <= most, format!("≤ {most} {}", self.unit)),
        };
        format!("{words}: {}", if met { "met" } else { "MISSED" })
    }
}

/// All figures of a benchmark.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    figures: Vec<Figure>,
}

impl Report {
    /// An empty report of the benchmark of this name.
    #[must_use]
    pub fn new(name: &'static str) -> Report {
        Report {
            name,
            figures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Prints the table, and writes `bench/NAME.json` in cargo's target folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(&self) -> Result<()> {
        print!("{}", self.table());
        let path = self.write(&target_folder().join("bench"))?;
        println!("\n{}", path.display());
        Ok(())
    }

    /// The table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let width = |text: fn(&Figure) -> &str, least| {
            let longest = self.figures.iter().map(|f| text(f).chars().count()).max();
            longest.unwrap_or_default().max(least)
        };
        let case = width(|f| &f.case, 4);
        let peer = width(|f| f.peer_name.as_deref().unwrap_or_default(), 4);
        let mut text = format!(
            "\n{:<case$}  {:>10}  {:>10}  {:<7} {:>6}  {:<peer$}  {:>6}  goal\n",
            self.name, "ours", "peer", "unit", "ratio", "peer", "rounds"
        );
        for figure in &self.figures {
            let digits = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
            let line = format!(
                "{:<case$}  {:>10}  {:>10}  {:<7} {:>6}  {:<peer$}  {:>6}  {}",
                figure.case,
                number(figure.ours),
                digits(figure.peer),
                figure.unit,
                digits(figure.ratio),
                figure.peer_name.as_deref().unwrap_or("-"),
                figure.rounds,
                figure.verdict()
            );
            writeln!(text, "{}", line.trim_end()).expect("text can always be written to");
        }
        text
    }

    /// Writes `NAME.json` to a folder, and answers where it is.
    fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(&self.figures).context("write figures as JSON")?;
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        fs::write(&path, text + "\n").with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// Three digits that count, more only before the point.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Where cargo builds: `$CARGO_TARGET_DIR`, else `target` of the workspace.
fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn report() -> Report {
        let mut report = Report::new("cni");
        let add = Figure::beside("ADD", "ms", &[6.0, 4.0, 5.0], ("ptp", &[20.0, 19.0, 800.0]));
        report.add(add.goal(Goal::RatioAtMost(0.33)));
        report.add(Figure::alone("memory", "MB", &[123.4]).goal(Goal::AtMost(60.0)));
        report
    }

    #[test]
    fn the_table_tells_medians_and_verdicts() {
        let lines: Vec<Vec<String>> = report()
            .table()
            .lines()
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect();
        let add = "ADD 5.00 20.0 ms 0.25 ptp 3 ratio ≤ 0.33: met";
        assert_eq!(lines[2].join(" "), add);
        assert_eq!(lines[3].join(" "), "memory 123 - MB - - 1 ≤ 60 MB: MISSED");
    }

    #[test]
    fn a_ratio_has_two_sides() {
        let share = Figure::beside("share", "Gbit/s", &[9.0], ("bare", &[10.0]));
        let said = |goal| share.clone().goal(goal).verdict();
        assert!(said(Goal::RatioAtLeast(0.9)).ends_with(": met"));
        assert!(said(Goal::RatioAtLeast(0.95)).ends_with(": MISSED"));
        assert_eq!(share.verdict(), "");
        // Nobody to compare with: a ratio is never met.
        let alone = Figure::alone("share", "Gbit/s", &[9.0]).goal(Goal::RatioAtMost(1.0));
        assert!(alone.verdict().ends_with(": MISSED"));
    }

    #[test]
    fn the_file_has_the_keys_that_programs_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = report().write(folder.path()).unwrap();
        assert!(path.ends_with("cni.json"));
        let read: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(
            read,
            json!([
                {"case": "ADD", "unit": "ms", "ours": 5.0, "peer": 20.0, "peer_name": "ptp",
                 "ratio": 0.25, "rounds": 3},
                {"case": "memory", "unit": "MB", "ours": 123.4, "peer": null, "peer_name": null,
                 "ratio": null, "rounds": 1},
            ])
        );
    }
}
