//! The 123,669 verdicts of 230 generated cases of Kubernetes' NetworkPolicy, where they are present.
//!
//! They are looked for where `TOMBOLO_TRUTH_230` says, else beside the workspace, at
//! `../shared/data/networkpolicy-truth-230.json.gz`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/asking.rs"]
mod asking;
#[path = "support/truth.rs"]
mod truth;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;
use tombolo_model::{Family, parse};
use tombolo_policy::{Evaluator, Stage};

const CELLS: usize = 123_669;

fn file() -> Option<PathBuf> {
    let given = std::env::var_os("TOMBOLO_TRUTH_230").map(PathBuf::from);
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let beside = PathBuf::from(workspace).join("../shared/data/networkpolicy-truth-230.json.gz");
    given.or(Some(beside)).filter(|file| file.is_file())
}

#[test]
fn verdicts_are_those_of_the_data_set() {
    let Some(file) = file() else {
        eprintln!("networkpolicy-truth-230.json.gz is not there; name it in TOMBOLO_TRUTH_230");
        return;
    };
    let mut text = String::new();
    let packed = std::fs::File::open(file).unwrap();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut cells = 0;
    let mut wrong = Vec::new();
    for case in &cases {
        for (number, step) in case["Steps"].as_array().unwrap().iter().enumerate() {
            let title = format!("case {} step {number}", case["ID"]);
            cells += compare(&title, step, &mut wrong);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong, first {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(20)]
    );
    assert_eq!((cases.len(), cells), (230, CELLS));
}

/// Compares a step's verdicts; answers how many cells it has, the diagonal among them.
fn compare(title: &str, step: &Value, wrong: &mut Vec<String>) -> usize {
    let labels = |value: &Value| -> BTreeMap<String, String> {
        serde_json::from_value(value.clone()).unwrap_or_default()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pods = step["Pods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| truth::Pod {
            labels: labels(&pod["Labels"]),
            ..truth::Pod::new(&text(&pod["Ns"]), &text(&pod["Name"]), &text(&pod["IP"]))
        });
    let pods: Vec<truth::Pod> = pods.collect();
    let namespaces = step["Namespaces"].as_object().unwrap();
    let namespaces = namespaces
        .iter()
        .map(|(name, of)| (name.clone(), labels(of)))
        .collect();
    let mut policies = step["Policies"].as_array().cloned().unwrap_or_default();
    for policy in &mut policies {
        // Some were left without.
        policy["kind"] = "NetworkPolicy".into();
        policy["apiVersion"] = "networking.k8s.io/v1".into();
    }
    let policies = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": policies });
    let policies = parse::parse(title, &policies.to_string()).unwrap_or_else(|e| panic!("{e}"));
    let policies = policies.into_iter().map(|parsed| parsed.resource);
    let world = truth::world(&pods, &namespaces, policies);
    let evaluator = Evaluator::new(&world);
    let order: Vec<String> = step["Order"].as_array().unwrap().iter().map(text).collect();
    let mut cells = 0;
    for (probe, rows) in step["Expected"]["combined"].as_object().unwrap() {
        let (protocol, port) = probe.split_once('/').unwrap();
        let sent = truth::Probe::Port(protocol.to_owned(), port.parse().unwrap());
        for (i, row) in rows.as_array().unwrap().iter().enumerate() {
            let side = |name: &str| step["Expected"][name][probe][i].as_str().unwrap();
            let (egress, ingress) = (side("egress").as_bytes(), side("ingress").as_bytes());
            for (j, cell) in row.as_str().unwrap().bytes().enumerate() {
                cells += 1;
                if i == j {
                    continue;
                }
                let party = |name: &str| asking::party(name, &[]);
                let flow = asking::flow(party(&order[i]), party(&order[j]), &sent, Family::V4);
                let verdict = evaluator.verdict(&flow);
                let allows = |stage: &Option<Stage>| stage.as_ref().unwrap().allowed;
                let seen = [
                    verdict.allowed,
                    allows(&verdict.egress),
                    allows(&verdict.ingress),
                ];
                let expected = [cell, egress[j], ingress[j]].map(|cell| cell == b'.');
                if seen != expected || evaluator.allows(&flow) != verdict.allowed {
                    wrong.push(format!("{title} {flow}: expected {expected:?}\n{verdict}"));
                }
            }
        }
    }
    cells
}
