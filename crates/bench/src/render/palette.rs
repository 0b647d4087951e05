//! Colours and letters that plots and the page share.
//!
//! The colours are told apart by those who see few (after Okabe and Ito), on light ground and dark.
//! The first contender, with whom the others are compared, is grey and its line is broken.

/// The style of a plot that stands alone, and of each within the page.
pub(super) const STYLE: &str = "\
svg{--ink:#1c2733;--soft:#66727f;--grid:#e3e8ee;--ground:#ffffff;--base:#66727f}
@media(prefers-color-scheme:dark){svg{--ink:#e7edf3;--soft:#96a3b0;--grid:#2a343f;--ground:#151c23;--base:#a9b5c1}}
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--soft)}
.title{font-size:16px;font-weight:600;fill:var(--ink)}
.name{fill:var(--ink)}
.ground{fill:var(--ground)}
.grid{stroke:var(--grid);stroke-width:1}
.axis{stroke:var(--soft);stroke-width:1}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}
.leader{fill:none;stroke-width:1;opacity:.5}
.band{opacity:.1;stroke:none}
";

const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8b62d6", "#a6761d",
];

/// The colour of a contender by its place in the report.
pub(super) fn colour(index: usize) -> &'static str {
    match index {
        0 => "var(--base)",
        other => COLOURS[(other - 1) % COLOURS.len()],
    }
}

/// How its line is broken: where colours repeat, lines differ.
pub(super) fn dashes(index: usize) -> &'static str {
    match index {
        0 => "7 5",
        other if (other - 1) / COLOURS.len() % 2 == 1 => "2 4",
        _ => "none",
    }
}
