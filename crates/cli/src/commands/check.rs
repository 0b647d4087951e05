//! `check`: what could be wrong around this node, and what to do about it.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tombolo_api::{Client, ClientError};
use tombolo_check::{CHECKS, Finding, Status, judge};

use crate::look;
use crate::output::{Format, table};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tombolo check               all checks; status 1 if one failed
  tombolo check --problems    only what is not as it should be
  tombolo check -o json       for programs
  tombolo check --list        which checks there are

It asks the agent about the cluster and looks at the host itself, as root. Without an agent the host
alone is checked.")]
pub(crate) struct Check {
    /// Only what is not as it should be.
    #[arg(long)]
    problems: bool,
    /// List the checks instead of doing them.
    #[arg(long)]
    list: bool,
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Check {
    pub fn run(self, client: &Client) -> Result<ExitCode> {
        if self.list {
            let rows = CHECKS
                .iter()
                .map(|check| vec![check.name.to_owned(), check.about.to_owned()]);
            println!("{}", table(&["check", "looks whether"], rows));
            return Ok(ExitCode::SUCCESS);
        }
        let progress = Progress::new(self.output);
        progress.tell("asking the agent");
        let node = client
            .get("/v1/check")
            .map_err(|error: ClientError| error.to_string());
        let facts = look::facts(node, &|what| progress.tell(what));
        progress.end();
        let mut findings = judge(&facts?);
        let failed = findings
            .iter()
            .any(|finding| finding.status == Status::Failed);
        let counted = counted(&findings);
        if self.problems {
            findings.retain(|finding| finding.status != Status::Ok);
        }
        if !self.output.print(&findings)? {
            print!("{}{counted}", report(&findings));
        }
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// A line that says what is being done, where somebody looks on.
struct Progress {
    shown: bool,
}

impl Progress {
    fn new(output: Format) -> Progress {
        let for_people = matches!(output, Format::Table | Format::Wide);
        Progress {
            shown: for_people && std::io::stderr().is_terminal(),
        }
    }

    /// Replaces the line: back to its start, and erase to its end (ECMA-48).
    fn tell(&self, what: &str) {
        if self.shown {
            eprint!("\r\x1b[K{what} …");
            let _ = std::io::stderr().flush();
        }
    }

    fn end(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

fn report(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Failed => "failed",
        };
        text.push_str(&format!(
            "{word:<8} {:<11} {}: {}\n",
            finding.check, finding.subject, finding.finding
        ));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("         {:<11} → {remedy}\n", ""));
        }
    }
    text
}

/// How many of each there are, as the last line.
fn counted(findings: &[Finding]) -> String {
    let count = |status| findings.iter().filter(|f| f.status == status).count();
    format!(
        "\n{} failed, {} warnings, {} ok\n",
        count(Status::Failed),
        count(Status::Warning),
        count(Status::Ok)
    )
}
