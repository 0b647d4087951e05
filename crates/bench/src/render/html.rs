//! The report as one page that needs nothing else: no script, no fonts, no other file.

use std::fmt::Write as _;

use super::headline::HEADLINES;
use super::{escaped, number, plots, table};
use crate::Report;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2733;--soft:#66727f;--line:#dde3ea;--page:#f4f6f8;--card:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e7edf3;--soft:#96a3b0;--line:#2a343f;--page:#0e1318;--card:#151c23}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:32px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:21px;margin:44px 0 12px}
p{max-width:72ch;margin:0 0 12px}
.soft{color:var(--soft)}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;overflow:hidden}
.card svg{display:block;width:100%;height:auto}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr));gap:18px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:8px 14px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--soft);white-space:normal;vertical-align:bottom}
th:first-child,td:first-child{text-align:left}
tr:last-child td{border-bottom:0}
td small{color:var(--soft);margin-left:6px}
summary{cursor:pointer;padding:12px 14px}
code{font:13.5px ui-monospace,'DejaVu Sans Mono',monospace}
.left td,.left th{text-align:left;white-space:normal}
@media print{body{background:#fff}}
";

/// The page.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut drawn = plots(report);
    let ranking = drawn.pop_if(|(name, _)| *name == "ranking");
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>Container networks compared: {place}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>Container networks compared</h1>\n<p class=\"soft\">{foot}</p>\n",
        place = escaped(&report.scene.place),
        foot = escaped(&table::foot(report))
    );
    if let Some((_, svg)) = ranking {
        put(
            &mut out,
            format_args!(
                "<h2>Ranking</h2>\n<p>Percentages are of {}.</p>\n<div class=\"card\">{svg}</div>\n",
                escaped(&first(report))
            ),
        );
    }
    if !drawn.is_empty() {
        out.push_str(
            "<h2>By size of messages</h2>\n<p>The band around a line holds the middle \
             half of the rounds.</p>\n<div class=\"plots\">\n",
        );
        for (_, svg) in &drawn {
            put(&mut out, format_args!("<div class=\"card\">{svg}</div>\n"));
        }
        out.push_str("</div>\n");
    }
    summary(&mut out, report);
    absent(&mut out, report);
    everything(&mut out, report);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn first(report: &Report) -> String {
    let first = report.contenders.first();
    first.map_or_else(String::new, |one| one.name.clone())
}

fn put(out: &mut String, words: std::fmt::Arguments) {
    out.write_fmt(words).expect("text can always be written to");
}

/// The headlines as a table: who, and each figure with its share of the first.
fn summary(out: &mut String, report: &Report) {
    let shown: Vec<_> = HEADLINES
        .iter()
        .filter(|headline| !headline.ranked(report).is_empty())
        .collect();
    if shown.is_empty() {
        return;
    }
    out.push_str("<h2>In figures</h2>\n<div class=\"card wide\"><table>\n<tr><th></th>");
    for headline in &shown {
        let words = format!("{}, {}", headline.title, headline.unit);
        put(out, format_args!("<th>{}</th>", escaped(&words)));
    }
    out.push_str("</tr>\n");
    for one in &report.contenders {
        put(out, format_args!("<tr><td>{}</td>", escaped(&one.name)));
        for headline in &shown {
            let cell = match report.figure(&one.name, &headline.of) {
                None => "–".to_owned(),
                Some(spread) => {
                    let ratio = spread.ratio.map_or_else(String::new, |ratio| {
                        format!("<small>{:.0} %</small>", ratio * 100.0)
                    });
                    format!("{}{ratio}", headline.shown(spread.median))
                }
            };
            put(out, format_args!("<td>{cell}</td>"));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div>\n");
}

/// Who did not take part, and what did not come out.
fn absent(out: &mut String, report: &Report) {
    if report.skipped.is_empty() && report.failures.is_empty() {
        return;
    }
    out.push_str("<h2>Not measured</h2>\n<div class=\"card\"><table class=\"left\">\n");
    for skipped in &report.skipped {
        put(
            out,
            format_args!(
                "<tr><td>{}</td><td>{}</td></tr>\n",
                escaped(&skipped.name),
                escaped(&skipped.why)
            ),
        );
    }
    for failure in &report.failures {
        let what = format!("{}, {}", failure.contender, failure.trial);
        put(
            out,
            format_args!(
                "<tr><td>{}</td><td>{}</td></tr>\n",
                escaped(&what),
                escaped(&failure.why)
            ),
        );
    }
    out.push_str("</table></div>\n");
}

/// Every figure, folded.
fn everything(out: &mut String, report: &Report) {
    if report.rows.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Everything</h2>\n<div class=\"card wide\"><details><summary>All figures with their \
         spread</summary><table>\n<tr><th>contender</th><th>what</th><th>bytes</th><th>streams</th>\
         <th>figure</th><th>median</th><th>lowest</th><th>highest</th><th>share</th></tr>\n",
    );
    for row in &report.rows {
        for (name, spread) in &row.figures {
            let ratio = spread
                .ratio
                .map_or_else(|| "–".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
            put(
                out,
                format_args!(
                    "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
                     <td>{}</td><td>{}</td><td>{ratio}</td></tr>\n",
                    escaped(&row.contender),
                    row.kind,
                    row.message,
                    row.streams,
                    escaped(name),
                    number::digits(spread.median),
                    number::digits(spread.low),
                    number::digits(spread.high)
                ),
            );
        }
    }
    out.push_str("</table></details></div>\n");
}
