//! Runs every fuzz target for some seconds, on the stable compiler.
//!
//! The targets are the files of `fuzz/fuzz_targets`; the crate in `fuzz/` stands outside the
//! workspace because all of it is built with coverage counters. libFuzzer's instrumentation are
//! plain code generation flags; naming the target triple keeps build scripts free of them. Seeds in
//! `fuzz/seeds/<target>` are read, what is learned goes below `target/fuzz`, and an input that
//! crashes a target is kept there and named.

use anyhow::{Context, Result, bail};
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Code generation flags that make libFuzzer see which branches an input takes.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1 -Cdebug-assertions=on";

/// Longest input in bytes. What we parse is short; longer inputs only slow the search.
const LONGEST_INPUT: usize = 4096;

/// Builds the targets and runs each for `seconds`. A target that crashes is a finding.
pub fn run(root: &Path, seconds: u32) -> Result<Vec<String>> {
    let targets = targets(&root.join("fuzz/fuzz_targets"))?;
    if targets.is_empty() {
        println!("fuzz/fuzz_targets is empty: nothing to run");
        return Ok(Vec::new());
    }
    let host = host_triple()?;
    let built = build(root, &host)?;
    // As many at once as there are processors; libFuzzer uses one.
    let at_once = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut findings = Vec::new();
    for group in targets.chunks(at_once) {
        let running: Result<Vec<(&String, Child)>> = group
            .iter()
            .map(|target| Ok((target, start(root, &built, target, seconds)?)))
            .collect();
        for (target, child) in running? {
            println!("fuzz {target} for {seconds} s");
            findings.extend(finish(root, target, child)?);
        }
    }
    Ok(findings)
}

/// The names of the targets: one file each.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry
            .with_context(|| format!("list {}", folder.display()))?
            .path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(stem) = path.file_stem()
        {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn host_triple() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("run rustc -vV")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_string).context("rustc -vV names no host")
}

/// Builds all targets; returns the folder that holds them.
fn build(root: &Path, host: &str) -> Result<PathBuf> {
    let folder = root.join("target/fuzz");
    let status = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["build", "--quiet", "--release", "--bins", "--target", host])
        .arg("--manifest-path")
        .arg(root.join("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", COVERAGE)
        .status()
        .context("run cargo build for fuzz/")?;
    if !status.success() {
        bail!("the fuzz targets do not build ({status}); libfuzzer-sys needs a C++ compiler");
    }
    Ok(folder.join(host).join("release"))
}

/// Where inputs that crash a target are kept.
fn crashes(root: &Path, target: &str) -> PathBuf {
    root.join("target/fuzz/crashes").join(target)
}

fn start(root: &Path, built: &Path, target: &str, seconds: u32) -> Result<Child> {
    let corpus = root.join("target/fuzz/corpus").join(target);
    let crashes = crashes(root, target);
    for folder in [&corpus, &crashes] {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let mut command = Command::new(built.join(target));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST_INPUT}"))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .args(["-print_final_stats=1", "-verbosity=0"])
        .arg(&corpus)
        // What targets of one group say is told one after the other.
        .stderr(Stdio::piped());
    let seeds = root.join("fuzz/seeds").join(target);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command
        .spawn()
        .with_context(|| format!("run the fuzz target {target}"))
}

/// Waits for a target, and answers what it found.
fn finish(root: &Path, target: &str, child: Child) -> Result<Option<String>> {
    let output = child
        .wait_with_output()
        .with_context(|| format!("wait for the fuzz target {target}"))?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    let finding = format!(
        "fuzz target {target}: {}; the input is in {}: make it a test, then mend the code",
        output.status,
        crashes(root, target).display()
    );
    Ok((!output.status.success()).then_some(finding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_rust_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["parse.rs", "cni.rs", "README.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(targets(folder.path()).unwrap(), ["cni", "parse"]);
    }

    #[test]
    fn the_host_is_known() {
        assert!(host_triple().unwrap().contains("linux"));
    }
}
