//! Ledgers: every sentence of a specification, its status, and the tests that show it.
//!
//! A ledger is a file of `spec/`. Strictly read, a rule that says MUST or MUST NOT and has status
//! `required` needs a test; every test that is named must exist in the tree; a rule that is not
//! required says why; and a test that bears a ledger's prefix must be named by it, so that the
//! two cannot drift apart. A SHOULD without a test is listed, not failed.

use crate::{shape, table, tree};
use anyhow::Result;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// One file of `spec/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    /// Name and version of the specification.
    specification: String,
    /// Where its text is, down to the version.
    source: String,
    /// What the names of its tests begin with: `cni` for `cni_2_16_del_is_idempotent`.
    prefix: String,
    rule: Vec<Rule>,
}

/// One sentence.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Unique within the ledger, like `2.16`.
    id: String,
    /// The part of the specification.
    section: String,
    level: Level,
    /// Whom it binds: plugin, runtime, …
    who: Vec<String>,
    /// The sentence, shortened, in our words.
    text: String,
    status: Status,
    /// Why it is a gap or not applicable.
    #[serde(default)]
    reason: String,
    /// Names of test functions.
    #[serde(default)]
    tests: Vec<String>,
}

/// RFC 2119's words; `FACT` for a definition that binds without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Level {
    #[serde(rename = "MUST")]
    Must,
    #[serde(rename = "MUST NOT")]
    MustNot,
    #[serde(rename = "SHOULD")]
    Should,
    #[serde(rename = "SHOULD NOT")]
    ShouldNot,
    #[serde(rename = "MAY")]
    May,
    #[serde(rename = "FACT")]
    Fact,
}

impl Level {
    /// Whether a required rule of this level fails without a test.
    fn binds(self) -> bool {
        matches!(self, Level::Must | Level::MustNot)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Required,
    Gap,
    NotApplicable,
}

/// Checks every ledger against the tree, strictly.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let ledgers = read_ledgers(root)?;
    let tests = test_names(root)?;
    print!("{}", summary(&ledgers));
    let mut findings = Vec::new();
    for (path, ledger) in &ledgers {
        findings.extend(check_ledger(path, ledger, &tests));
    }
    Ok(findings)
}

/// Prints every required rule that has no test yet, those that bind first. Finds nothing wrong.
pub fn list_missing(root: &Path) -> Result<Vec<String>> {
    for (path, ledger) in &read_ledgers(root)? {
        let mut open: Vec<&Rule> = ledger.rule.iter().filter(|rule| is_open(rule)).collect();
        open.sort_by_key(|rule| !rule.level.binds());
        println!("{} ({path}): {} open", ledger.specification, open.len());
        for rule in open {
            println!(
                "  {:5} {:10} {}",
                rule.id,
                format!("{:?}", rule.level),
                rule.text
            );
        }
    }
    Ok(Vec::new())
}

fn is_open(rule: &Rule) -> bool {
    rule.status == Status::Required && rule.tests.is_empty()
}

fn read_ledgers(root: &Path) -> Result<Vec<(String, Ledger)>> {
    let paths = tree::files(root, "toml")?
        .into_iter()
        .filter(|path| path.starts_with("spec/"));
    paths
        .map(|path| Ok((path.clone(), tree::read_toml(root, &path)?)))
        .collect()
}

/// The names of all functions of the tree. Tests that a macro writes out by name are among them.
fn test_names(root: &Path) -> Result<BTreeSet<String>> {
    Ok(shape::measure_all(root)?
        .into_iter()
        .flat_map(|source| source.fn_names)
        .collect())
}

fn check_ledger(path: &str, ledger: &Ledger, tests: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut ids = BTreeSet::new();
    for rule in &ledger.rule {
        if !ids.insert(&rule.id) {
            findings.push(format!("{path}: {} stands there twice", rule.id));
        }
        findings.extend(check_rule(rule, tests).map(|what| format!("{path}: {} {what}", rule.id)));
    }
    let named: BTreeSet<&String> = ledger.rule.iter().flat_map(|rule| &rule.tests).collect();
    for test in tests.iter().filter(|test| bears_id(&ledger.prefix, test)) {
        if !named.contains(test) {
            findings.push(format!(
                "{path}: no rule names the test {test}: add it to its rule"
            ));
        }
    }
    if ledger.source.trim().is_empty() {
        findings.push(format!("{path}: `source` does not say where the text is"));
    }
    findings
}

fn check_rule<'a>(rule: &'a Rule, tests: &BTreeSet<String>) -> impl Iterator<Item = String> + 'a {
    let mut findings = Vec::new();
    if rule.status == Status::Required {
        if rule.level.binds() && rule.tests.is_empty() {
            findings.push(format!("has no test: write one that shows: {}", rule.text));
        }
    } else if rule.reason.trim().is_empty() {
        findings.push(format!("is {:?} without a reason", rule.status));
    }
    for test in rule.tests.iter().filter(|test| !tests.contains(*test)) {
        findings.push(format!("names the test {test}, which no file has"));
    }
    for (field, text) in [("text", &rule.text), ("section", &rule.section)] {
        if text.trim().is_empty() {
            findings.push(format!("has an empty `{field}`"));
        }
    }
    if rule.who.is_empty() {
        findings.push("does not say whom it binds (`who`)".to_string());
    }
    findings.into_iter()
}

/// True for `cni_2_16_…` under the prefix `cni`: a number follows it.
fn bears_id(prefix: &str, test: &str) -> bool {
    let rest = test
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn summary(ledgers: &[(String, Ledger)]) -> String {
    let rows: Vec<Vec<String>> = ledgers
        .iter()
        .map(|(_, ledger)| {
            let count = |wanted: &dyn Fn(&Rule) -> bool| {
                ledger
                    .rule
                    .iter()
                    .filter(|rule| wanted(rule))
                    .count()
                    .to_string()
            };
            vec![
                ledger.specification.clone(),
                ledger.rule.len().to_string(),
                count(&|rule| rule.status == Status::Required),
                count(&|rule| !rule.tests.is_empty()),
                count(&|rule| is_open(rule) && rule.level.binds()),
                count(&|rule| is_open(rule) && !rule.level.binds()),
                count(&|rule| rule.status == Status::Gap),
                count(&|rule| rule.status == Status::NotApplicable),
            ]
        })
        .collect();
    let head = [
        "specification",
        "rules",
        "required",
        "tested",
        "MUST open",
        "other open",
        "gap",
        "n/a",
    ];
    table::render(&head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(rules: &str, tests: &[&str]) -> Vec<String> {
        let head = "specification = \"X 1\"\nsource = \"x\"\nprefix = \"x\"\n";
        let ledger: Ledger = toml::from_str(&format!("{head}{rules}")).unwrap();
        let tests = tests.iter().map(|test| (*test).to_string()).collect();
        check_ledger("spec/x.toml", &ledger, &tests)
    }

    fn rule(rest: &str) -> String {
        format!(
            "[[rule]]\nid = \"1.1\"\nsection = \"s\"\nwho = [\"plugin\"]\ntext = \"t\"\n{rest}\n"
        )
    }

    #[test]
    fn a_must_without_a_test_fails_and_a_should_does_not() {
        let must = rule("level = \"MUST\"\nstatus = \"required\"");
        let found = findings(&must, &[]);
        assert_eq!(
            found,
            ["spec/x.toml: 1.1 has no test: write one that shows: t"]
        );
        let should = rule("level = \"SHOULD\"\nstatus = \"required\"");
        assert_eq!(findings(&should, &[]), Vec::<String>::new());
    }

    #[test]
    fn named_tests_must_exist_and_numbered_tests_must_be_named() {
        let must = rule("level = \"MUST\"\nstatus = \"required\"\ntests = [\"x_1_1_a\"]");
        assert_eq!(
            findings(&must, &["x_1_1_a", "x_helper"]),
            Vec::<String>::new()
        );
        let found = findings(&must, &["x_1_2_b"]);
        assert!(
            found[0].contains("names the test x_1_1_a, which no file has"),
            "{found:?}"
        );
        assert!(
            found[1].contains("no rule names the test x_1_2_b"),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_not_required_says_why() {
        let gap = rule("level = \"MUST\"\nstatus = \"gap\"");
        assert_eq!(
            findings(&gap, &[]),
            ["spec/x.toml: 1.1 is Gap without a reason"]
        );
        let twice = format!(
            "{0}{0}",
            rule("level = \"MAY\"\nstatus = \"gap\"\nreason = \"r\"")
        );
        assert_eq!(
            findings(&twice, &[]),
            ["spec/x.toml: 1.1 stands there twice"]
        );
    }
}
