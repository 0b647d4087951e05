//! A report as text, plots and a page: pure, a [`Report`](crate::Report) in, a string out.

mod headline;
mod html;
mod number;
mod palette;
mod plot;
mod ranking;
mod table;

pub use html::html;
pub use table::table;

use crate::Report;

/// Each plot by the name of its file, as SVG that stands alone.
#[must_use]
pub fn plots(report: &Report) -> Vec<(&'static str, String)> {
    let mut all: Vec<(&'static str, String)> = plot::PLOTS
        .iter()
        .filter_map(|plot| Some((plot.file, plot::svg(report, plot)?)))
        .collect();
    all.extend(ranking::svg(report).map(|svg| ("ranking", svg)));
    all
}

/// Text that means itself in HTML and SVG.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
