//! The project's own checks: `cargo xtask NAME`.
//!
//! ```text
//!  shape      sizes: files, functions, arguments; where `unsafe` may stand     shape.toml
//!  layers     which crate may depend on which; what pure crates must not know  layers.toml
//!  spec       ledgers: sentence of a specification → status → tests            spec/*.toml
//!  fuzz       every fuzz target for some seconds, on stable Rust               fuzz/
//! ```
//!
//! Each check reads the tree, decides, prints a table and every finding with what to do about it.
//! None of them changes a file of the project. Exit status: 0, 1 (a check found something),
//! 2 (used wrongly).

mod fuzz;
mod layers;
mod purity;
mod shape;
mod source;
mod spec;
mod table;
mod tree;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHECK
  shape                files <= 400 lines of code, functions <= 60, arguments <= 5, unsafe in one place
  layers               dependency arrows between crates, purity of the pure ones
  spec [--missing]     every MUST of spec/*.toml has its test; --missing only lists what is open
  fuzz [--seconds N]   run every fuzz target for N seconds (default 10)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["shape"] => shape::check(&tree::root()),
        ["layers"] => layers::check(&tree::root()),
        ["spec"] => spec::check(&tree::root()),
        ["spec", "--missing"] => spec::list_missing(&tree::root()),
        ["fuzz"] => fuzz::run(&tree::root(), 10),
        ["fuzz", "--seconds", seconds] => match seconds.parse() {
            Ok(seconds) => fuzz::run(&tree::root(), seconds),
            Err(error) => return wrong_use(&format!("--seconds {seconds}: {error}")),
        },
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [] => return wrong_use("no check named"),
        other => return wrong_use(&format!("unknown: {}", other.join(" "))),
    };
    match outcome {
        Ok(findings) if findings.is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            for finding in &findings {
                eprintln!("error: {finding}");
            }
            eprintln!("{}: {} found", words[0], findings.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn wrong_use(reason: &str) -> ExitCode {
    eprintln!("error: {reason}\n{USAGE}");
    ExitCode::from(2)
}
