//! `explain flow`: whether a flow is let through, what decided, and what would decide otherwise.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use tombolo_api::{Client, FlowAnswer, FlowRequest};
use tombolo_model::parse::Accept;

use crate::commands::files;
use crate::output::Format;

pub(super) fn run(
    words: &[String],
    file: &[PathBuf],
    output: Format,
    client: &Client,
) -> Result<ExitCode> {
    let (from, to, port) = match words {
        [from, to] => (from, to, None),
        [from, to, port] => (from, to, Some(port.clone())),
        _ => {
            eprintln!("error: a flow is FROM TO [PORT], as `tombolo explain flow client web 80`");
            return Ok(ExitCode::from(2));
        }
    };
    let request = FlowRequest {
        from: from.clone(),
        to: to.clone(),
        port,
        family: None,
    };
    let answer = match file {
        [] => client.post("/v1/flow", &request)?,
        files => {
            let world = files::world(&files::read(files, Accept::Internal)?)?;
            tombolo_agent::explain_flow(&world, &request)?
        }
    };
    if !output.print(&answer)? {
        print!("{}", report(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

/// The verdict, what decided at each end, what would let it through, and then all that was looked at.
fn report(answer: &FlowAnswer) -> String {
    let verdict = &answer.verdict;
    let whole = verdict.to_string();
    let mut lines = whole.lines();
    let mut text = format!("{}  {}\n", lines.next().unwrap_or_default(), answer.flow);
    for stage in verdict.stages() {
        let said = stage.to_string();
        text.push_str(&format!("  {}\n", said.lines().next().unwrap_or_default()));
    }
    if !answer.advice.is_empty() {
        text.push_str("\nit would be allowed\n");
        for advice in &answer.advice {
            text.push_str(&format!("  {advice}\n"));
        }
    }
    if verdict.stages().any(|stage| !stage.steps.is_empty()) {
        text.push_str("\nwhat was looked at\n");
    }
    for stage in verdict.stages().filter(|stage| !stage.steps.is_empty()) {
        text.push_str(&format!("  {} of {}\n", stage.direction, stage.subject));
        for step in &stage.steps {
            text.push_str(&format!("  {step}\n"));
        }
    }
    text
}
