//! `apply` and `delete`: resources made as files say, or removed.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use tombolo_api::{
    Applied, ApplyAction, ApplyRequest, Changes, Client, ClientError, DeleteRequest, Fault,
    MOST_WRITES,
};
use tombolo_model::parse::{Accept, Parsed};
use tombolo_model::{AnyResource, FieldError, KindName, Name, ResourceKey};

use super::{files, get};
use crate::output::Format;
use crate::words::KindWord;

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A file or folder; `-` for the standard input.
    #[arg(short, long, required = true)]
    file: Vec<PathBuf>,
    /// Only say what would be done, and who could talk to whom then that cannot now, or the other way
    /// round.
    #[arg(long)]
    dry_run: bool,
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Apply {
    pub fn run(self, client: &Client) -> Result<()> {
        let all = files::read(&self.file, Accept::UserKinds)?;
        if all.is_empty() {
            bail!("there is nothing to apply in what was given");
        }
        let resources = all
            .iter()
            .map(|parsed| parsed.resource.to_value())
            .collect();
        let request = ApplyRequest {
            resources,
            dry_run: self.dry_run,
        };
        let answer: Result<Vec<Applied>, ClientError> = client.post("/v1/apply", &request);
        let applied = match answer {
            Ok(applied) => applied,
            Err(ClientError::Fault(fault)) => bail!("{}", with_lines(&fault, &all)),
            Err(error) => return Err(error.into()),
        };
        if self.dry_run {
            return foresee(client, &request, &applied, self.output);
        }
        if !self.output.print(&applied)? {
            print!("{}", told(&applied, ""));
        }
        Ok(())
    }
}

/// What was done, or would be.
fn told(applied: &[Applied], would: &str) -> String {
    let line = |one: &Applied| {
        let action = match one.action {
            ApplyAction::Created => "created",
            ApplyAction::Configured => "configured",
            ApplyAction::Unchanged => return format!("{} unchanged\n", one.key),
        };
        format!("{} {would}{action}\n", one.key)
    };
    applied.iter().map(line).collect()
}

/// Tells what applying would do, and which flows would fare otherwise.
fn foresee(
    client: &Client,
    request: &ApplyRequest,
    applied: &[Applied],
    output: Format,
) -> Result<()> {
    let flows: Changes = client.post("/v1/foresee", request)?;
    if output.print(&json!({"applied": applied, "flows": flows}))? {
        return Ok(());
    }
    print!("{}\n{}", told(applied, "would be "), foreseen(&flows));
    Ok(())
}

fn foreseen(flows: &Changes) -> String {
    let mut text = match flows.changes.as_slice() {
        [] => "between present endpoints nothing would change\n".to_owned(),
        _ => "between present endpoints would change\n".to_owned(),
    };
    for change in &flows.changes {
        text.push_str(&format!("  {change}\n"));
    }
    if !flows.complete {
        text.push_str("  and perhaps more: there were too many to ask about all\n");
    }
    text
}

/// The agent's faults, each with the file and line that it is about.
fn with_lines(fault: &Fault, all: &[Parsed]) -> String {
    if fault.faults.is_empty() {
        return fault.message.clone();
    }
    let lines = fault.faults.iter().map(|faulty| {
        let error = FieldError::new(faulty.field.clone(), faulty.message.clone());
        match all.get(faulty.resource) {
            Some(parsed) => parsed.source.fault(&error).to_string(),
            None => error.to_string(),
        }
    });
    format!(
        "{}\n{}",
        fault.message,
        lines.collect::<Vec<_>>().join("\n")
    )
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// A kind.
    #[arg(required_unless_present = "file", requires = "name", value_parser = KindWord)]
    kind: Option<KindName>,
    /// Which one.
    name: Option<Name>,
    /// Its namespace.
    #[arg(short, long)]
    namespace: Option<Name>,
    /// The resources of a file or folder; `-` for the standard input.
    #[arg(short, long, conflicts_with_all = ["kind", "name"])]
    file: Vec<PathBuf>,
}

impl Delete {
    pub fn run(self, client: &Client) -> Result<()> {
        if let (Some(kind), Some(name)) = (self.kind, &self.name) {
            client.delete(&get::path(kind, name, self.namespace.as_ref()))?;
            println!("{kind} {name} deleted");
            return Ok(());
        }
        let mut all = files::read(&self.file, Accept::UserKinds)?;
        // What uses others goes before what is used.
        all.sort_by_key(|parsed| !matches!(parsed.resource, AnyResource::Network(_)));
        let batches = all.chunks(MOST_WRITES);
        if batches.len() > 1 {
            eprintln!(
                "{} resources are deleted in {} batches; each is deleted whole or not at all",
                all.len(),
                batches.len()
            );
        }
        for batch in batches {
            delete(client, batch)?;
        }
        Ok(())
    }
}

/// Deletes resources, all or none.
fn delete(client: &Client, batch: &[Parsed]) -> Result<()> {
    let resources: Vec<ResourceKey> = batch.iter().map(|parsed| parsed.resource.key()).collect();
    let request = DeleteRequest { resources };
    match client.post::<()>("/v1/delete", &request) {
        Ok(()) => {}
        Err(ClientError::Fault(fault)) => bail!("{}", with_lines(&fault, batch)),
        Err(error) => return Err(error.into()),
    }
    for key in &request.resources {
        println!("{key} deleted");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn changes(value: Value) -> Changes {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_foreseen_is_a_line_each() {
        let none = changes(json!({"changes": [], "complete": true}));
        assert_eq!(
            foreseen(&none),
            "between present endpoints nothing would change\n"
        );
        let some = changes(json!({"complete": false, "changes": [{
            "from": [{"endpoint": ["default", "a"]}], "to": [{"endpoint": ["shop", "b"]}],
            "allowed": false, "because": "end of tier default"
        }]}));
        assert_eq!(
            foreseen(&some),
            "between present endpoints would change\n  \
             default/a → shop/b everything: allowed → denied (end of tier default)\n  \
             and perhaps more: there were too many to ask about all\n"
        );
    }
}
