//! The lab's processes and nothing else: what the lab's own tests run instead of `tombolo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tombolo_lab::reexec(std::env::args_os()).unwrap_or_else(|| {
        eprintln!("tombolo-lab-reexec: it is run by the lab's tests only");
        ExitCode::from(2)
    })
}
