//! The few figures that people compare networks by.

use super::number::{digits, whole};
use crate::report::{Spread, Which};
use crate::{Kind, LARGEST, Report};

/// A figure that stands at the top.
pub(super) struct Headline {
    /// What it is, in words.
    pub title: &'static str,
    /// The unit that it is shown in.
    pub unit: &'static str,
    /// Which one.
    pub of: Which,
    /// Whether less is better.
    pub is_cost: bool,
    /// What it is divided by to be in its unit.
    scale: f64,
}

const fn headline(
    title: &'static str,
    unit: &'static str,
    of: Which,
    is_cost: bool,
    scale: f64,
) -> Headline {
    Headline {
        title,
        unit,
        of,
        is_cost,
        scale,
    }
}

const fn of(kind: Kind, message: u32, streams: u16, figure: &'static str) -> Which {
    Which {
        kind,
        message,
        streams,
        figure,
    }
}

const BITS: &str = "bits_per_second";
const ONE_STREAM: Which = of(Kind::TcpBandwidth, LARGEST, 1, BITS);

/// All of them, the one by which contenders are ranked first.
pub(super) const HEADLINES: &[Headline] = &[
    headline(
        "One TCP stream, messages of 64 KiB",
        "Gbit/s",
        ONE_STREAM,
        false,
        1e9,
    ),
    headline(
        "Four TCP streams",
        "Gbit/s",
        of(Kind::TcpBandwidth, LARGEST, 4, BITS),
        false,
        1e9,
    ),
    headline(
        "UDP that arrives, datagrams of 1 KiB",
        "Gbit/s",
        of(Kind::UdpBandwidth, 1024, 1, BITS),
        false,
        1e9,
    ),
    headline(
        "UDP packets of 64 bytes that arrive",
        "1/s",
        of(Kind::UdpPackets, 64, 1, "packets_per_second"),
        false,
        1.0,
    ),
    headline(
        "Round trip of 1 byte over TCP, median",
        "µs",
        of(Kind::TcpLatency, 1, 1, "p50"),
        true,
        1.0,
    ),
    headline(
        "Round trip of 1 byte over TCP, 99 of 100",
        "µs",
        of(Kind::TcpLatency, 1, 1, "p99"),
        true,
        1.0,
    ),
    headline(
        "Round trip of 1 byte over UDP, median",
        "µs",
        of(Kind::UdpLatency, 1, 1, "p50"),
        true,
        1.0,
    ),
    headline(
        "Connections: opened, asked, answered, closed",
        "1/s",
        of(Kind::Connections, 1, 1, "connections_per_second"),
        false,
        1.0,
    ),
    headline(
        "Processor time for 1 GB over one TCP stream",
        "s",
        of(Kind::TcpBandwidth, LARGEST, 1, "cpu_seconds_per_gigabyte"),
        true,
        1.0,
    ),
];

impl Headline {
    /// A value as it is shown, without its unit.
    pub fn shown(&self, value: f64) -> String {
        if self.unit == "1/s" {
            whole(value)
        } else {
            digits(value / self.scale)
        }
    }

    /// Who has it, the best first.
    pub fn ranked<'a>(&self, report: &'a Report) -> Vec<(&'a str, Spread)> {
        let mut ranked: Vec<(&str, Spread)> = report
            .contenders
            .iter()
            .filter_map(|one| Some((one.name.as_str(), report.figure(&one.name, &self.of)?)))
            .collect();
        ranked.sort_by(|(_, a), (_, b)| {
            let order = a.median.total_cmp(&b.median);
            if self.is_cost { order } else { order.reverse() }
        });
        ranked
    }
}
