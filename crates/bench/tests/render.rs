//! A report as a table, plots and a page: the same report is always the same text.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::ops::ControlFlow;

use tombolo_bench::{
    BenchError, Contender, Flow, Kind, Measured, Report, RoundTrips, Scene, Skipped, Study, Trial,
    Window, render,
};

/// Somebody whose figures follow from the trial, as those of a real network about do.
struct Made {
    name: &'static str,
    /// How much more it pays for a packet than the bare hosts do.
    price: f64,
}

impl Contender for Made {
    fn name(&self) -> &str {
        self.name
    }

    fn measure(&mut self, trial: &Trial) -> Result<Measured, BenchError> {
        let bytes = f64::from(trial.message);
        let calls = 1e6 / self.price / (1.0 + bytes / 3000.0);
        let micros = 8.0 * self.price + bytes / 2500.0;
        Ok(match trial.kind {
            Kind::TcpBandwidth | Kind::UdpBandwidth | Kind::UdpPackets => Measured::Flow(Flow {
                bytes_per_second: calls * bytes,
                packets_per_second: trial.kind.is_udp().then_some(calls),
                lost: trial.kind.is_udp().then_some(0.01),
                cpu_seconds_per_gigabyte: 0.7 * self.price,
            }),
            Kind::TcpLatency | Kind::UdpLatency => Measured::RoundTrips(RoundTrips {
                count: 1000,
                lost: 0,
                min: micros * 0.8,
                p50: micros,
                p90: micros * 1.1,
                p99: micros * 1.5,
                p999: micros * 4.0,
                max: micros * 9.0,
            }),
            Kind::Connections => Measured::Connections(25_000.0 / self.price),
        })
    }
}

fn report() -> Report {
    let window = Window {
        warm_up: 50,
        measured: 200,
    };
    let made = |name, price| -> Box<dyn Contender> { Box::new(Made { name, price }) };
    let mut contenders = vec![
        made("bare hosts", 1.0),
        made("routed, direct", 1.1),
        made("routed, vxlan", 1.7),
        made("<b>&\"odd\"</b>", 4.0),
    ];
    let scene = Scene {
        place: "Hosts of the lab, on one machine".to_owned(),
        kernel: "6.12.0".to_owned(),
        processors: 2,
        day: "2026-11-21".to_owned(),
        version: "0.1.0".to_owned(),
    };
    let study = Study::new(3, window, true);
    let mut report = study.run(scene, &mut contenders, &mut |_| ControlFlow::Continue(()));
    report.skipped.push(Skipped {
        name: "routed, gre".to_owned(),
        why: "the kernel has no GRE (module ip_gre)".to_owned(),
    });
    report
}

#[test]
fn the_table_has_a_block_for_each_figure_and_the_best_on_top() {
    let only = [Kind::Connections, Kind::TcpLatency];
    let mut report = report();
    report.rows.retain(|row| only.contains(&row.kind));
    insta::assert_snapshot!(render::table(&report), @r#"

    Round trip of 1 byte over TCP, median, µs (less is better)
      bare hosts            8.00  ██████████                                  100 %  ±0 %
      routed, direct        8.80  ███████████                                 110 %  ±0 %
      routed, vxlan         13.6  █████████████████                           170 %  ±0 %
      <b>&"odd"</b>         32.0  ████████████████████████████████████████    400 %  ±0 %

    Round trip of 1 byte over TCP, 99 of 100, µs (less is better)
      bare hosts            12.0  ██████████                                  100 %  ±0 %
      routed, direct        13.2  ███████████                                 110 %  ±0 %
      routed, vxlan         20.4  █████████████████                           170 %  ±0 %
      <b>&"odd"</b>         48.0  ████████████████████████████████████████    400 %  ±0 %

    Connections: opened, asked, answered, closed, 1/s (more is better)
      bare hosts          25,000  ████████████████████████████████████████    100 %  ±0 %
      routed, direct      22,727  ████████████████████████████████████▍        91 %  ±0 %
      routed, vxlan       14,706  ███████████████████████▌                     59 %  ±0 %
      <b>&"odd"</b>        6,250  ██████████                                   25 %  ±0 %

    Not measured
      routed, gre     the kernel has no GRE (module ip_gre)

    Medians of 3 rounds in turns, each of 200 ms after 50 ms to warm up; ±: half the distance of the quartiles. Hosts of the lab, on one machine, Linux 6.12.0, 2 processors, 2026-11-21, tombolo 0.1.0.
    "#);
}

#[test]
fn each_plot_has_a_line_and_a_name_for_each_contender() {
    let plots = render::plots(&report());
    assert_eq!(plots.len(), 8);
    for (name, svg) in &plots {
        for contender in ["bare hosts", "routed, direct", "routed, vxlan"] {
            assert!(svg.contains(contender), "{name}: no {contender}");
        }
        assert!(!svg.contains("<b>"), "{name}: a name is taken for a mark");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
        let lines = svg.matches("<polyline").count();
        assert_eq!(lines, if *name == "ranking" { 0 } else { 4 }, "{name}");
    }
}

#[test]
fn names_at_the_ends_of_lines_do_not_cover_each_other() {
    for (name, svg) in render::plots(&report()) {
        let heights = svg.lines().filter(|line| line.contains("<circle"));
        let mut heights: Vec<f64> = heights
            .map(|line| {
                let (_, rest) = line.split_once("cy=\"").unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        heights.sort_by(f64::total_cmp);
        let apart = |pair: &[f64]| pair[1] - pair[0] >= 16.9;
        assert!(heights.windows(2).all(apart), "{name}: {heights:?}");
    }
}

#[test]
fn the_page_needs_nothing_else_and_means_what_names_say() {
    let page = render::html(&report());
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    for foreign in ["<script", "<link", "src=", "url(", "@import", "<b>"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("&lt;b&gt;&amp;&quot;odd&quot;&lt;/b&gt;"));
    assert_eq!(page.matches("<svg").count(), 8);
    assert_eq!(page, render::html(&report()));
}

#[test]
fn a_report_of_nothing_is_a_page_all_the_same() {
    let mut empty = report();
    empty.rows.clear();
    empty.contenders.clear();
    empty.is_whole = false;
    assert!(render::plots(&empty).is_empty());
    assert!(render::html(&empty).contains("ended before all rounds"));
    assert!(render::table(&empty).contains("ended before all rounds"));
}

#[test]
fn the_report_reads_back_from_json() {
    let report = report();
    let text = serde_json::to_string(&report).unwrap();
    let back: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(back.rows.len(), report.rows.len());
    assert_eq!(back.contenders, report.contenders);
    assert!(text.contains("\"kind\":\"tcp-bandwidth\""));
}
