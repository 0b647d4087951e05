//! `tombolo`: the daemon and the command line in one program.
//!
//! One file per command below `commands/`. A command parses its words, asks the agent over the
//! local API (or the agent's crate itself, for `init`, `join` and `agent`), and prints. Exit status:
//! 0, 1 where it failed, 2 where it was used wrongly.

mod commands;
mod examples;
mod look;
mod output;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

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
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == tombolo_bench::STATION)
    {
        let served = tombolo_bench::serve_station(std::io::stdin(), std::io::stdout());
        return told(served.map(|()| ExitCode::SUCCESS).map_err(Into::into));
    }
    let words = match Words::from_arg_matches(&words().get_matches()) {
        Ok(words) => words,
        Err(error) => error.exit(),
    };
    if let commands::Command::Completion(shell) = words.command {
        return told(shell.run(self::words()).map(|()| ExitCode::SUCCESS));
    }
    told(commands::run(words.command, words.socket))
}

/// All words of the program, with their help.
fn words() -> clap::Command {
    examples::add(Words::command())
}

fn told(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
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

    #[test]
    fn the_words_are_consistent() {
        words().debug_assert();
    }

    #[test]
    fn wrong_use_is_status_2() {
        for words in [
            &["tombolo"][..],
            &["tombolo", "gett"],
            &["tombolo", "join", "x"],
            &["tombolo", "get", "flying"],
            &["tombolo", "explain", "flight", "x"],
        ] {
            let error = Words::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
