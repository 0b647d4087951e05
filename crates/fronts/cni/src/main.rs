//! The program: environment and standard input in, standard output and exit status out.

use std::io::Write;
use std::process::ExitCode;

use tombolo_cni::{Environment, about, call};

fn main() -> ExitCode {
    let environment = Environment::of_process();
    if environment.get("CNI_COMMAND").is_none_or(str::is_empty) {
        eprintln!("{}", about());
        return ExitCode::SUCCESS;
    }
    let answer = call(&environment, std::io::stdin());
    // A runtime that does not listen cannot be told that it does not.
    let _ = std::io::stdout().write_all(answer.text.as_bytes());
    if answer.succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
