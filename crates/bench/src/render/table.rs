//! The report in a terminal: a block for each headline, a bar for each contender.

use std::fmt::Write as _;

use super::headline::{HEADLINES, Headline};
use crate::Report;

/// Columns of the longest bar.
const BAR: usize = 40;

/// Eighths of a column, from none to seven.
const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The whole report for people.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    let width = report.contenders.iter().map(|one| one.name.chars().count());
    let width = width.max().unwrap_or_default();
    for headline in HEADLINES {
        block(&mut text, report, headline, width);
    }
    if !report.skipped.is_empty() {
        text.push_str("\nNot measured\n");
    }
    for skipped in &report.skipped {
        line(
            &mut text,
            format_args!("  {:<width$}  {}", skipped.name, skipped.why),
        );
    }
    if !report.failures.is_empty() {
        text.push_str("\nFailed\n");
    }
    for failure in &report.failures {
        line(
            &mut text,
            format_args!(
                "  {:<width$}  {}: {}",
                failure.contender, failure.trial, failure.why
            ),
        );
    }
    line(&mut text, format_args!("\n{}", foot(report)));
    text
}

/// What was measured where, in one sentence.
pub(super) fn foot(report: &Report) -> String {
    let scene = &report.scene;
    let mut text = format!(
        "Medians of {} rounds in turns, each of {} ms after {} ms to warm up; ±: half the distance \
         of the quartiles. {}, Linux {}, {} processors, {}, tombolo {}.",
        report.rounds,
        report.window.measured,
        report.window.warm_up,
        scene.place,
        scene.kernel,
        scene.processors,
        scene.day,
        scene.version
    );
    if !report.is_whole {
        text.push_str(" It was ended before all rounds were done.");
    }
    text
}

fn block(text: &mut String, report: &Report, headline: &Headline, width: usize) {
    let ranked = headline.ranked(report);
    let longest = ranked.iter().map(|(_, spread)| spread.median);
    let longest = longest.fold(0.0, f64::max);
    if ranked.is_empty() {
        return;
    }
    let better = if headline.is_cost { "less" } else { "more" };
    line(
        text,
        format_args!(
            "\n{}, {} ({better} is better)",
            headline.title, headline.unit
        ),
    );
    for (name, spread) in ranked {
        let bar = bar(spread.median / longest);
        let ratio = spread
            .ratio
            .map_or_else(String::new, |ratio| format!("{:>5.0} %", ratio * 100.0));
        let half = (spread.upper - spread.lower) / 2.0;
        let around = if spread.median > 0.0 {
            format!("±{:.0} %", half / spread.median * 100.0)
        } else {
            String::new()
        };
        line(
            text,
            format_args!(
                "  {name:<width$}  {:>10}  {bar:<BAR$}  {ratio:>7}  {around}",
                headline.shown(spread.median)
            ),
        );
    }
}

fn line(text: &mut String, words: std::fmt::Arguments) {
    let words = words.to_string();
    writeln!(text, "{}", words.trim_end()).expect("text can always be written to");
}

/// A bar of a share of the whole width; whatever is more than nothing is seen.
fn bar(share: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the width is small and positive"
    )]
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round().max(1.0) as usize;
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_exact_to_an_eighth() {
        assert_eq!(bar(1.0), "█".repeat(BAR));
        assert_eq!(bar(0.0), "▏");
        assert_eq!(bar(1.5 / BAR as f64), "█▌");
        assert_eq!(bar(7.0), "█".repeat(BAR));
    }
}
