//! A figure by the size of messages: one line for each contender, with quartiles as a band.

use std::fmt::Write as _;

use super::palette::{STYLE, colour, dashes};
use super::{escaped, number};
use crate::report::Spread;
use crate::{Kind, LARGEST, Report};

/// A plot.
pub(super) struct Plot {
    /// What its file is called.
    pub file: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// The unit of its vertical axis.
    unit: &'static str,
    kind: Kind,
    figure: &'static str,
    /// Whether it shows shares of the first contender instead of values.
    is_share: bool,
}

const fn plot(
    file: &'static str,
    title: &'static str,
    unit: &'static str,
    (kind, figure): (Kind, &'static str),
    is_share: bool,
) -> Plot {
    Plot {
        file,
        title,
        unit,
        kind,
        figure,
        is_share,
    }
}

const BITS: &str = "bits_per_second";

/// All plots, in the order of the page.
pub(super) const PLOTS: &[Plot] = &[
    plot(
        "tcp-bandwidth",
        "TCP bandwidth, one stream",
        "bit/s",
        (Kind::TcpBandwidth, BITS),
        false,
    ),
    plot(
        "tcp-bandwidth-share",
        "The same, as a share of the bare hosts'",
        "%",
        (Kind::TcpBandwidth, BITS),
        true,
    ),
    plot(
        "tcp-latency",
        "TCP round trip, median",
        "µs",
        (Kind::TcpLatency, "p50"),
        false,
    ),
    plot(
        "tcp-latency-p99",
        "TCP round trip, 99 of 100",
        "µs",
        (Kind::TcpLatency, "p99"),
        false,
    ),
    plot(
        "udp-bandwidth",
        "UDP that arrives",
        "bit/s",
        (Kind::UdpBandwidth, BITS),
        false,
    ),
    plot(
        "udp-latency",
        "UDP round trip, median",
        "µs",
        (Kind::UdpLatency, "p50"),
        false,
    ),
    plot(
        "tcp-cpu",
        "Processor time for 1 GB over TCP",
        "s",
        (Kind::TcpBandwidth, "cpu_seconds_per_gigabyte"),
        false,
    ),
];

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 430.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 590.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 380.0;
/// Names at the ends of lines are so far apart at least.
const LEADING: f64 = 17.0;

struct Line<'a> {
    index: usize,
    name: &'a str,
    points: Vec<(u32, Spread)>,
}

/// The plot, if the report has any of it.
pub(super) fn svg(report: &Report, plot: &Plot) -> Option<String> {
    let lines: Vec<Line> = report
        .contenders
        .iter()
        .enumerate()
        .map(|(index, one)| Line {
            index,
            name: &one.name,
            points: points(report, &one.name, plot),
        })
        .filter(|line| line.points.len() > 1)
        .collect();
    let scale = Scale::of(plot, &lines)?;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{title}\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"title\" x=\"16\" y=\"30\">{title}</text>\n\
         <text x=\"16\" y=\"50\">{unit}</text>\n",
        title = escaped(plot.title),
        unit = escaped(plot.unit)
    );
    axes(&mut out, &scale);
    for line in &lines {
        draw(&mut out, &scale, line);
    }
    names(&mut out, &scale, &lines);
    out.push_str("</svg>\n");
    Some(out)
}

fn points(report: &Report, name: &str, plot: &Plot) -> Vec<(u32, Spread)> {
    let points = report.by_size(name, plot.kind, plot.figure);
    if !plot.is_share {
        // On an axis of powers there is no place for nothing.
        return points.into_iter().filter(|(_, s)| s.lower > 0.0).collect();
    }
    let share = |(size, spread): (u32, Spread)| {
        let factor = spread.ratio? / spread.median * 100.0;
        let spread = Spread {
            median: spread.median * factor,
            lower: spread.lower * factor,
            upper: spread.upper * factor,
            ..spread
        };
        Some((size, spread))
    };
    points.into_iter().filter_map(share).collect()
}

/// Values to places. The vertical axis is one of powers, or begins with nothing.
struct Scale {
    low: f64,
    high: f64,
    is_linear: bool,
}

impl Scale {
    fn of(plot: &Plot, lines: &[Line]) -> Option<Scale> {
        let all = || lines.iter().flat_map(|line| &line.points);
        let medians = || all().map(|(_, spread)| spread.median);
        let (low, high) = (
            medians().fold(f64::INFINITY, f64::min),
            medians().fold(0.0, f64::max),
        );
        if all().next().is_none() || high <= 0.0 {
            return None;
        }
        Some(if plot.is_share {
            Scale {
                low: 0.0,
                high: (high * 1.05).max(100.0),
                is_linear: true,
            }
        } else {
            Scale {
                low: low * 0.8,
                high: high * 1.25,
                is_linear: false,
            }
        })
    }

    fn x(size: u32) -> f64 {
        let share = f64::from(size).log2() / f64::from(LARGEST).log2();
        LEFT + (RIGHT - LEFT) * share
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.is_linear {
            (value - self.low) / (self.high - self.low)
        } else {
            (value / self.low).log2() / (self.high / self.low).log2()
        };
        BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0)
    }

    /// Round values within, about six of them.
    fn marks(&self) -> Vec<f64> {
        if self.is_linear {
            let step = if self.high > 250.0 { 50.0 } else { 20.0 };
            return (0..)
                .map(|n| f64::from(n) * step)
                .take_while(|mark| *mark <= self.high)
                .collect();
        }
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = match decades {
            few if few < 1.6 => &[1.0, 2.0, 3.0, 5.0, 7.0],
            some if some < 3.2 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let first = self.low.log10().floor();
        let powers = (0..20).map(|n| 10_f64.powf(first + f64::from(n)));
        powers
            .flat_map(|power| steps.iter().map(move |step| power * step))
            .filter(|mark| (self.low..=self.high).contains(mark))
            .collect()
    }
}

fn put(out: &mut String, words: std::fmt::Arguments) {
    out.write_fmt(words).expect("text can always be written to");
}

fn axes(out: &mut String, scale: &Scale) {
    for mark in scale.marks() {
        let y = scale.y(mark);
        put(
            out,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                LEFT - 8.0,
                y + 4.5,
                number::mark(mark)
            ),
        );
    }
    for power in (0..=LARGEST.trailing_zeros()).step_by(2) {
        let (size, y) = (1_u32 << power, BOTTOM + 20.0);
        let x = Scale::x(size);
        put(
            out,
            format_args!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
                 <text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>\n",
                number::size(size)
            ),
        );
    }
    put(
        out,
        format_args!(
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">bytes of a message</text>\n",
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 40.0
        ),
    );
}

fn draw(out: &mut String, scale: &Scale, line: &Line) {
    let place = |(size, value): (u32, f64)| format!("{:.1},{:.1}", Scale::x(size), scale.y(value));
    let of = |pick: fn(&Spread) -> f64| -> Vec<String> {
        let points = line.points.iter();
        points.map(|(size, s)| place((*size, pick(s)))).collect()
    };
    let (middle, mut band, low) = (of(|s| s.median), of(|s| s.upper), of(|s| s.lower));
    band.extend(low.into_iter().rev());
    let colour = colour(line.index);
    put(
        out,
        format_args!(
            "<polygon class=\"band\" style=\"fill:{colour}\" points=\"{}\"/>\n\
             <polyline class=\"line\" style=\"stroke:{colour};stroke-dasharray:{}\" points=\"{}\">\
             <title>{}</title></polyline>\n",
            band.join(" "),
            dashes(line.index),
            middle.join(" "),
            escaped(line.name)
        ),
    );
}

/// Each line's name at its end, moved apart where they would cover each other.
fn names(out: &mut String, scale: &Scale, lines: &[Line]) {
    let mut ends: Vec<(f64, f64, &Line)> = lines
        .iter()
        .filter_map(|line| {
            let (_, last) = line.points.last()?;
            let y = scale.y(last.median);
            Some((y, y, line))
        })
        .collect();
    ends.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let mut least = TOP;
    for (_, y, _) in &mut ends {
        *y = y.max(least);
        least = *y + LEADING;
    }
    let mut most = BOTTOM;
    for (_, y, _) in ends.iter_mut().rev() {
        *y = y.min(most);
        most = *y - LEADING;
    }
    for (end, y, line) in ends {
        put(
            out,
            format_args!(
                "<path class=\"leader\" style=\"stroke:{}\" d=\"M{RIGHT},{end:.1} C{:.1},{end:.1} \
                 {:.1},{y:.1} {:.1},{y:.1}\"/>\
                 <circle r=\"4\" cx=\"{:.1}\" cy=\"{y:.1}\" style=\"fill:{}\"/>\
                 <text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                colour(line.index),
                RIGHT + 10.0,
                RIGHT + 6.0,
                RIGHT + 16.0,
                RIGHT + 20.0,
                colour(line.index),
                RIGHT + 29.0,
                y + 4.5,
                escaped(line.name)
            ),
        );
    }
}
