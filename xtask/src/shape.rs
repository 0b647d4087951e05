//! Sizes: how long files and functions may be, how many arguments a function may take, where
//! `unsafe` may stand.
//!
//! The limits and their few exceptions are `xtask/shape.toml`. Test code is exempt from the sizes,
//! not from the rule on `unsafe`. An exception that nothing needs any more is a finding as well, so
//! the list can only shrink by itself.

use crate::source::{self, Source};
use crate::{table, tree};
use anyhow::Result;
use serde::Deserialize;
use std::path::Path;

const CONFIG: &str = "xtask/shape.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    limits: Limits,
    #[serde(rename = "unsafe")]
    unsafe_code: UnsafeCode,
    #[serde(default)]
    file: Vec<FileException>,
    #[serde(default)]
    function: Vec<FunctionException>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Limits {
    file_lines: usize,
    function_lines: usize,
    arguments: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct UnsafeCode {
    allowed_below: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileException {
    path: String,
    lines: usize,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FunctionException {
    path: String,
    name: String,
    lines: Option<usize>,
    arguments: Option<usize>,
    reason: String,
}

/// Measures the whole tree, prints the summary, and returns what is too large or out of place.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let config: Config = tree::read_toml(root, CONFIG)?;
    let sources = measure_all(root)?;
    print!("{}", summary(&sources));
    let mut findings = Vec::new();
    for source in &sources {
        check_unsafe(&config, source, &mut findings);
        if !source::is_test_path(&source.path) {
            check_file(&config, source, &mut findings);
            check_functions(&config, source, &mut findings);
        }
    }
    check_exceptions(&config, &sources, &mut findings);
    Ok(findings)
}

/// Every Rust file of the tree; files that a `#[cfg(test)] mod name;` leads to count as tests.
pub fn measure_all(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in tree::files(root, "rs")? {
        sources.push(source::measure(&path, &tree::read(root, &path)?)?);
    }
    let test_roots: Vec<String> = sources.iter().flat_map(test_module_roots).collect();
    for source in &mut sources {
        let of_tests = test_roots.iter().any(|root| {
            source.path == format!("{root}.rs") || source.path.starts_with(&format!("{root}/"))
        });
        if of_tests {
            source.test.append(&mut source.code);
            source.functions.clear();
            source.unwraps = 0;
        }
    }
    Ok(sources)
}

/// The paths, without `.rs`, of the modules that are declared for tests only.
fn test_module_roots(source: &Source) -> Vec<String> {
    let path = Path::new(&source.path);
    let stem = path.with_extension("");
    let is_root = matches!(
        stem.file_name().and_then(|n| n.to_str()),
        Some("lib" | "main" | "mod")
    );
    let folder = if is_root {
        path.parent().unwrap_or(Path::new(""))
    } else {
        &stem
    };
    source
        .test_modules
        .iter()
        .map(|name| folder.join(name).to_string_lossy().into_owned())
        .collect()
}

fn check_file(config: &Config, source: &Source, findings: &mut Vec<String>) {
    let exception = config
        .file
        .iter()
        .find(|exception| exception.path == source.path);
    let limit = exception.map_or(config.limits.file_lines, |exception| exception.lines);
    let lines = source.code.len();
    if lines > limit {
        findings.push(format!(
            "{}: {lines} lines of code, {limit} allowed: split it by what its parts decide, \
             or name it with a reason in {CONFIG}",
            source.path
        ));
    }
}

fn check_functions(config: &Config, source: &Source, findings: &mut Vec<String>) {
    for function in &source.functions {
        let exception = config
            .function
            .iter()
            .find(|exception| exception.path == source.path && exception.name == function.name);
        let place = format!("{}:{}: fn {}", source.path, function.line, function.name);
        let limit = exception
            .and_then(|exception| exception.lines)
            .unwrap_or(config.limits.function_lines);
        if function.lines > limit {
            findings.push(format!(
                "{place}: {} lines, {limit} allowed: give its steps names of their own",
                function.lines
            ));
        }
        let limit = exception
            .and_then(|exception| exception.arguments)
            .unwrap_or(config.limits.arguments);
        if function.arguments > limit {
            findings.push(format!(
                "{place}: {} arguments, {limit} allowed: let it take a struct",
                function.arguments
            ));
        }
    }
}

fn check_unsafe(config: &Config, source: &Source, findings: &mut Vec<String>) {
    let allowed = config.unsafe_code.allowed_below.iter().any(|place| {
        source.path == format!("{place}.rs") || source.path.starts_with(&format!("{place}/"))
    });
    if allowed {
        return;
    }
    for line in &source.unsafes {
        findings.push(format!(
            "{}:{line}: unsafe outside {}: move the call there behind a safe function",
            source.path,
            config.unsafe_code.allowed_below.join(", ")
        ));
    }
}

/// An exception must have a reason, name something that exists, and still be needed.
fn check_exceptions(config: &Config, sources: &[Source], findings: &mut Vec<String>) {
    let limits = &config.limits;
    for FileException { path, reason, .. } in &config.file {
        let needed = sources
            .iter()
            .any(|s| s.path == *path && s.code.len() > limits.file_lines);
        judge_exception(path, needed, reason, findings);
    }
    for FunctionException {
        path, name, reason, ..
    } in &config.function
    {
        let needed = sources
            .iter()
            .filter(|s| s.path == *path)
            .flat_map(|s| &s.functions)
            .any(|f| {
                f.name == *name
                    && (f.lines > limits.function_lines || f.arguments > limits.arguments)
            });
        judge_exception(&format!("{path}: fn {name}"), needed, reason, findings);
    }
}

fn judge_exception(what: &str, needed: bool, reason: &str, findings: &mut Vec<String>) {
    if !needed {
        findings.push(format!(
            "{CONFIG}: the exception for {what} is not needed: remove it"
        ));
    }
    if reason.trim().is_empty() {
        findings.push(format!(
            "{CONFIG}: the exception for {what} gives no reason"
        ));
    }
}

fn summary(sources: &[Source]) -> String {
    let ours = || {
        sources
            .iter()
            .filter(|s| !source::is_test_path(&s.path) && !s.code.is_empty())
    };
    let functions = || ours().flat_map(|s| s.functions.iter().map(move |f| (s, f)));
    let files = quantiles(ours().map(|s| s.code.len()).collect());
    let lengths = quantiles(functions().map(|(_, f)| f.lines).collect());
    let largest_file = ours().max_by_key(|s| s.code.len()).map(|s| s.path.clone());
    let largest_function = functions()
        .max_by_key(|(_, f)| f.lines)
        .map(|(s, f)| format!("{} in {}", f.name, s.path));
    let row = |name: &str, numbers: [usize; 4], largest: Option<String>| {
        let mut row = vec![name.to_string()];
        row.extend(numbers.iter().map(usize::to_string));
        row.push(largest.unwrap_or_default());
        row
    };
    let sizes = table::render(
        &["lines of code", "count", "median", "p90", "max", "largest"],
        &[
            row("file", files, largest_file),
            row("function", lengths, largest_function),
        ],
    );
    let code: usize = ours().map(|s| s.code.len()).sum();
    let all: usize = sources.iter().map(|s| s.code.len() + s.test.len()).sum();
    let unwraps: usize = ours().map(|s| s.unwraps).sum();
    let unsafes: usize = sources.iter().map(|s| s.unsafes.len()).sum();
    format!(
        "{sizes}code {code}, tests {}, unwraps {unwraps}, unsafe {unsafes}\n",
        all - code
    )
}

/// Count, median, 90th percentile and maximum.
fn quantiles(mut values: Vec<usize>) -> [usize; 4] {
    values.sort_unstable();
    let at = |percent: usize| match values.len() {
        0 => 0,
        count => values[(count - 1) * percent / 100],
    };
    [values.len(), at(50), at(90), at(100)]
}

#[cfg(test)]
mod tests;
