//! `completion`: what a shell needs to complete our words, made from the words themselves.

use std::io::Write;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use clap_complete::Shell;

/// The shells that there is a script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum For {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tombolo completion bash > /usr/share/bash-completion/completions/tombolo
  tombolo completion zsh > /usr/share/zsh/site-functions/_tombolo
  tombolo completion fish > /usr/share/fish/vendor_completions.d/tombolo.fish
  source <(tombolo completion bash)    in this shell only")]
pub(crate) struct Completion {
    /// The shell.
    shell: For,
}

impl Completion {
    /// Writes the script of a shell for all words of the program.
    pub fn run(self, mut words: clap::Command) -> Result<()> {
        let shell = match self.shell {
            For::Bash => Shell::Bash,
            For::Zsh => Shell::Zsh,
            For::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut words, "tombolo", &mut script);
        std::io::stdout()
            .write_all(&script)
            .context("cannot write the script")
    }
}
