//! Who is how fast, as bars: the headlines side by side, each with the best on top.

use std::fmt::Write as _;

use super::escaped;
use super::headline::{HEADLINES, Headline};
use super::palette::{STYLE, colour};
use crate::Report;

/// Of a column, in units of the picture.
const COLUMN: f64 = 470.0;
const NAME: f64 = 165.0;
const BAR: f64 = 175.0;
const LINE: f64 = 26.0;
const HEAD: f64 = 44.0;

/// The ranking, if there is one.
pub(super) fn svg(report: &Report) -> Option<String> {
    let blocks: Vec<&Headline> = HEADLINES
        .iter()
        .filter(|headline| !headline.ranked(report).is_empty())
        .collect();
    if blocks.is_empty() {
        return None;
    }
    let count = |length: usize| f64::from(u32::try_from(length).unwrap_or(u32::MAX));
    let tall = HEAD + LINE * count(report.contenders.len()) + 22.0;
    let (width, height) = (COLUMN * 2.0, tall * count(blocks.len().div_ceil(2)) + 8.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"Ranking\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    for (index, headline) in blocks.into_iter().enumerate() {
        let (x, y) = (COLUMN * count(index % 2), tall * count(index / 2));
        block(&mut out, report, headline, (x, y));
    }
    out.push_str("</svg>\n");
    Some(out)
}

fn block(out: &mut String, report: &Report, headline: &Headline, (x, y): (f64, f64)) {
    let ranked = headline.ranked(report);
    let longest = ranked.iter().map(|(_, spread)| spread.median);
    let longest = longest.fold(0.0, f64::max);
    let better = if headline.is_cost { "less" } else { "more" };
    let mut put = |words: std::fmt::Arguments| {
        out.write_fmt(words).expect("text can always be written to");
    };
    put(format_args!(
        "<text class=\"title\" x=\"{:.0}\" y=\"{:.0}\" style=\"font-size:14px\">{}</text>\
         <text x=\"{:.0}\" y=\"{:.0}\" style=\"font-size:11.5px\">{}, {better} is better</text>\n",
        x + 16.0,
        y + 24.0,
        escaped(headline.title),
        x + 16.0,
        y + 40.0,
        headline.unit
    ));
    let mut line = y + HEAD + 4.0;
    for (name, spread) in ranked {
        let index = report.contenders.iter().position(|one| one.name == name);
        let length = if longest > 0.0 {
            (spread.median / longest * BAR).max(1.5)
        } else {
            1.5
        };
        let ratio = spread
            .ratio
            .map_or_else(String::new, |ratio| format!("  {:.0} %", ratio * 100.0));
        let bar = x + 16.0 + NAME;
        put(format_args!(
            "<text class=\"name\" x=\"{:.0}\" y=\"{:.1}\">{}</text>\
             <rect x=\"{bar:.0}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"15\" rx=\"3\" \
             style=\"fill:{}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\"><tspan class=\"name\">{}</tspan>{ratio}</text>\n",
            x + 16.0,
            line + 12.5,
            escaped(name),
            line,
            colour(index.unwrap_or_default()),
            bar + length + 8.0,
            line + 12.5,
            headline.shown(spread.median)
        ));
        line += LINE;
    }
}
