//! Arrows between the workspace's crates point one way.
//!
//! The table is `xtask/layers.toml`; the truth is what `cargo metadata` reads from every
//! Cargo.toml: normal, build and development dependencies alike. What a pure crate may not know,
//! be it an external crate or a part of the standard library, is in the same table ([`purity`]).
//! Only direct dependencies are judged: what stands behind one is that crate's affair.

use crate::{purity, table, tree};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const CONFIG: &str = "xtask/layers.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    crates: BTreeMap<String, Crate>,
    pure: Pure,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Crate {
    /// Workspace crates that it may depend on; `*` means any.
    may: Vec<String>,
    /// Further ones that only its tests may depend on.
    #[serde(default)]
    dev: Vec<String>,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pure {
    crates: Vec<String>,
    dependencies: Vec<Forbidden>,
    paths: Vec<Forbidden>,
}

/// What a pure crate must not know, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forbidden {
    /// The name of a crate (a `*` at its end stands for any rest), or a path like `std::fs`.
    pub name: String,
    /// What it would bring in.
    pub reason: String,
}

/// The part of `cargo metadata` that is read.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// Absent for a normal dependency, else `dev` or `build`.
    kind: Option<String>,
}

/// Compares every arrow of the workspace with the table, and returns those that it does not have.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let config: Config = tree::read_toml(root, CONFIG)?;
    let metadata = read_metadata(root)?;
    print!("{}", summary(&metadata));
    let mut findings = arrows(&config, &metadata);
    findings.extend(forbidden_dependencies(&config.pure, &metadata));
    for package in metadata
        .packages
        .iter()
        .filter(|p| config.pure.crates.contains(&p.name))
    {
        let folder = Path::new(&package.manifest_path)
            .parent()
            .and_then(|folder| folder.strip_prefix(root).ok())
            .with_context(|| format!("{} lies outside the workspace", package.manifest_path))?;
        let folder = folder.to_string_lossy();
        findings.extend(purity::check(
            root,
            &format!("{folder}/src"),
            &config.pure.paths,
        )?);
    }
    Ok(findings)
}

fn read_metadata(root: &Path) -> Result<Metadata> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("parse the output of cargo metadata")
}

fn arrows(config: &Config, metadata: &Metadata) -> Vec<String> {
    let members: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let mut findings = Vec::new();
    for Package {
        name, dependencies, ..
    } in &metadata.packages
    {
        let Some(entry) = config.crates.get(name) else {
            findings.push(format!(
                "{name} is not in {CONFIG}: add it, with what it may depend on"
            ));
            continue;
        };
        for dependency in dependencies
            .iter()
            .filter(|d| members.contains(d.name.as_str()))
        {
            let listed =
                |list: &[String]| list.iter().any(|may| may == "*" || *may == dependency.name);
            let for_tests = dependency.kind.as_deref() == Some("dev");
            let known = listed(&entry.may) || (for_tests && listed(&entry.dev));
            if !known {
                findings.push(format!(
                    "{name} → {} is not an arrow of {CONFIG} ({name}: {}): move the code to the \
                     crate that may know both, or pass the value in",
                    dependency.name, entry.reason
                ));
            }
        }
    }
    for gone in config
        .crates
        .keys()
        .filter(|name| !members.contains(name.as_str()))
    {
        findings.push(format!(
            "{CONFIG} names {gone}, which the workspace lacks: remove it"
        ));
    }
    findings
}

fn forbidden_dependencies(pure: &Pure, metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for package in metadata
        .packages
        .iter()
        .filter(|p| pure.crates.contains(&p.name))
    {
        let names = package
            .dependencies
            .iter()
            .filter(|d| d.kind.as_deref() != Some("dev"));
        for Dependency { name, .. } in names {
            for forbidden in pure.dependencies.iter().filter(|f| matches(&f.name, name)) {
                findings.push(format!(
                    "{} → {name}: a pure crate knows no {name} ({}): do it in kernel, store or \
                     agent and pass the result in",
                    package.name, forbidden.reason
                ));
            }
        }
    }
    findings
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn summary(metadata: &Metadata) -> String {
    let members: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let rows: Vec<Vec<String>> = metadata
        .packages
        .iter()
        .map(|package| {
            let normal = package.dependencies.iter().filter(|d| d.kind.is_none());
            let (inner, outer): (Vec<_>, Vec<_>) =
                normal.partition(|d| members.contains(d.name.as_str()));
            let inner: Vec<&str> = inner.iter().map(|d| d.name.as_str()).collect();
            vec![
                package.name.clone(),
                outer.len().to_string(),
                inner.join(" "),
            ]
        })
        .collect();
    table::render(&["crate", "external", "depends on"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        toml::from_str(
            r#"
            crates.model = { may = [], reason = "nouns" }
            crates.plan = { may = ["model"], dev = ["lab"], reason = "pure" }
            crates.lab = { may = ["*"], reason = "tests" }
            pure = { crates = ["model", "plan"], paths = [], dependencies = [
                { name = "tokio*", reason = "async" } ] }
            "#,
        )
        .unwrap()
    }

    /// Packages written as `name: dependency dependency/kind`.
    fn metadata(lines: &[&str]) -> Metadata {
        let dependency = |word: &str| {
            let (name, kind) = word
                .split_once('/')
                .map_or((word, None), |(n, k)| (n, Some(k)));
            Dependency {
                name: name.into(),
                kind: kind.map(Into::into),
            }
        };
        let package = |line: &&str| {
            let (name, rest) = line.split_once(':').unwrap();
            let dependencies = rest.split_whitespace().map(dependency).collect();
            Package {
                name: name.into(),
                manifest_path: String::new(),
                dependencies,
            }
        };
        Metadata {
            packages: lines.iter().map(package).collect(),
        }
    }

    #[test]
    fn arrows_of_the_table_pass_also_those_of_tests() {
        let found = arrows(
            &config(),
            &metadata(&["model:", "plan: model lab/dev", "lab: plan"]),
        );
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn an_arrow_that_points_back_is_named() {
        let found = arrows(&config(), &metadata(&["model: plan", "plan: lab", "lab:"]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("model → plan is not an arrow"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("plan → lab is not an arrow"),
            "{found:?}"
        );
    }

    #[test]
    fn the_table_and_the_workspace_name_the_same_crates() {
        let found = arrows(&config(), &metadata(&["model:", "plan:", "bgp:"]));
        assert!(found[0].starts_with("bgp is not in"), "{found:?}");
        assert!(
            found[1].contains("names lab, which the workspace lacks"),
            "{found:?}"
        );
    }

    #[test]
    fn pure_crates_know_no_runtime_outside_tests() {
        let metadata = metadata(&["model: tokio-stream", "plan: tokio/dev", "lab: tokio"]);
        let found = forbidden_dependencies(&config().pure, &metadata);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("model → tokio-stream"), "{found:?}");
    }
}
