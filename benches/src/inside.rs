//! The benchmark's own program inside a host of the lab, asked by lines and answering by lines.
//!
//! Entering a host takes some milliseconds and two processes. What is measured in milliseconds is
//! therefore measured in there, by a process that entered once: [`serve`] is its side, [`Inside`]
//! that of the benchmark. Questions and answers are JSON; an answer is `{"answer": …}` or
//! `{"error": "…"}`. The process ends with the benchmark, or when it is dropped.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, ExitCode};

use anyhow::{Context, Result, anyhow};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tombolo_lab::{Lab, Running, Target};

/// The argument that makes a benchmark's program serve.
const MARK: &str = "__inside";

/// The benchmark's program inside a host.
#[derive(Debug)]
pub struct Inside {
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
    // Ends the process when this is dropped.
    _running: Running,
}

impl Inside {
    /// Starts this program in a host or container of a lab.
    ///
    /// # Errors
    /// There is no such place, or the program cannot be run there.
    pub fn start(lab: &Lab, target: impl Into<Target>) -> Result<Inside> {
        let program = std::env::current_exe().context("find this program")?;
        let program = program.to_str().context("the program's path is no UTF-8")?;
        let mut running = lab.spawn(target, &[program, MARK])?;
        let input = running.child.stdin.take().context("its input is piped")?;
        let output = running.child.stdout.take().context("its output is piped")?;
        Ok(Inside {
            input,
            lines: BufReader::new(output),
            _running: running,
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// What the other side answered, or that it is gone.
    pub fn ask<A: DeserializeOwned>(&mut self, question: &impl Serialize) -> Result<A> {
        let question = serde_json::to_string(question).context("write a question")?;
        writeln!(self.input, "{question}").context("ask inside the lab")?;
        let mut line = String::new();
        self.lines
            .read_line(&mut line)
            .context("read from inside the lab")?;
        let answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("inside the lab, {question} was answered by {line:?}"))?;
        if let Some(error) = answer["error"].as_str() {
            return Err(anyhow!("inside the lab: {error}"));
        }
        serde_json::from_value(answer["answer"].clone())
            .with_context(|| format!("understand the answer {line:?}"))
    }
}

/// Serves, if this program was started by [`Inside::start`], until its input closes. To be called
/// before anything else.
pub fn serve<Q: DeserializeOwned, A: Serialize>(
    mut answer: impl FnMut(Q) -> Result<A>,
) -> Option<ExitCode> {
    if std::env::args().nth(1).as_deref() != Some(MARK) {
        return None;
    }
    let mut out = io::stdout();
    for line in io::stdin().lines() {
        let Ok(line) = line else { break };
        let said = serde_json::from_str(&line)
            .context("understand the question")
            .and_then(&mut answer);
        let text = match said {
            Ok(answer) => json!({"answer": answer}),
            Err(error) => json!({"error": format!("{error:#}")}),
        };
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Some(ExitCode::SUCCESS)
}
