//! `tombolo`: the daemon and the command line in one program.
//!
//! One file per command below `commands/`. A command parses its words, asks the agent over the
//! local API (or the agent's crate itself, for `init`, `join` and `agent`), and prints. Exit status:
//! 0, 1 where it failed, 2 where it was used wrongly.

mod commands;
mod output;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Containers on many hosts, one network.
#[derive(Debug, Parser)]
#[command(name = "tombolo", version, max_term_width = 100)]
struct Words {
    /// The agent's socket.
    #[arg(long, global = true, env = "TOMBOLO_SOCKET", default_value = tombolo_api::DEFAULT_SOCKET)]
    socket: PathBuf,
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    // The lab's processes change their namespaces, which a program with threads cannot.
    if let Some(code) = tombolo_lab::reexec(std::env::args_os()) {
        return code;
    }
    let words = Words::parse();
    match commands::run(words.command, words.socket) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_words_are_consistent() {
        Words::command().debug_assert();
    }

    #[test]
    fn wrong_use_is_status_2() {
        for words in [
            &["tombolo"][..],
            &["tombolo", "gett"],
            &["tombolo", "join", "x"],
        ] {
            let error = Words::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
