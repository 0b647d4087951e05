//! Resources from files: read, checked, planned, without an agent.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tombolo_api::{Client, PlannedObject};
use tombolo_model::parse::{Accept, ParseError, ParseErrors, Parsed, parse_with, world_of};
use tombolo_model::{Name, World};

use crate::output::{Format, table};

/// Reads resources of a file, of the files of a folder, or of the standard input (`-`), and finds
/// the faults that need no store.
pub(super) fn read(paths: &[PathBuf], accept: Accept) -> Result<Vec<Parsed>> {
    let mut all = Vec::new();
    let mut errors: Vec<ParseError> = Vec::new();
    for (name, text) in texts(paths)? {
        match parse_with(&name, &text, accept) {
            Ok(parsed) => all.extend(parsed),
            Err(ParseErrors(found)) => errors.extend(found),
        }
    }
    for parsed in &all {
        let faults = tombolo_plan::check::faults(&parsed.resource);
        errors.extend(faults.iter().map(|fault| parsed.source.fault(fault)));
    }
    if !errors.is_empty() {
        bail!("{}", ParseErrors(errors));
    }
    Ok(all)
}

fn texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read the standard input")?;
            texts.push(("-".to_owned(), text));
        } else if path.is_dir() {
            for file in files_of(path)? {
                texts.push(text_of(&file)?);
            }
        } else {
            texts.push(text_of(path)?);
        }
    }
    Ok(texts)
}

fn text_of(path: &Path) -> Result<(String, String)> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((path.display().to_string(), text))
}

/// The YAML and JSON files of a folder, by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .path();
        let kind = path.extension().and_then(|e| e.to_str());
        if matches!(kind, Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("{} holds no .yaml, .yml or .json files", folder.display());
    }
    Ok(files)
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// A file or folder; `-` for the standard input.
    #[arg(short, long, required = true)]
    file: Vec<PathBuf>,
}

impl Validate {
    pub fn run(self) -> Result<()> {
        let all = read(&self.file, Accept::Internal)?;
        world(&all)?;
        println!("{} resources, no faults", all.len());
        Ok(())
    }
}

/// The World of resources, with what they leave out and the agent would add.
pub(super) fn world(all: &[Parsed]) -> Result<World> {
    let mut world = world_of(all)?;
    let mut errors = Vec::new();
    for parsed in all {
        let mut resource = parsed.resource.clone();
        tombolo_plan::check::complete(&world, &mut resource);
        world.put(resource.clone());
        let faults = tombolo_plan::check::conflicts(&world, &resource);
        errors.extend(faults.iter().map(|fault| parsed.source.fault(fault)));
    }
    if !errors.is_empty() {
        bail!("{}", ParseErrors(errors));
    }
    Ok(world)
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Plan from these files or folders instead of asking the agent; `-` for the standard input.
    #[arg(short, long, requires = "node")]
    file: Vec<PathBuf>,
    /// The node to plan for, from files.
    #[arg(long, requires = "file")]
    node: Option<Name>,
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Plan {
    pub fn run(self, client: &Client) -> Result<()> {
        let Some(node) = &self.node else {
            let objects: Vec<PlannedObject> = client.get("/v1/plan")?;
            if !self.output.print(&objects)? {
                let rows = objects.iter().map(|o| {
                    let what = format!("{} {}", o.place, first_line(&o.object));
                    vec![what, o.resource.to_string(), o.rule.clone()]
                });
                println!("{}", table(&["object", "because of", "rule"], rows));
            }
            return Ok(());
        };
        let world = world(&read(&self.file, Accept::Internal)?)?;
        let plan = tombolo_plan::plan(&world, node)
            .with_context(|| format!("there is no Node {node} in the files"))?;
        let objects: Vec<Value> = plan
            .objects
            .iter()
            .map(|(place, planned)| {
                json!({"place": place.to_string(), "object": planned.object.to_string(),
                       "resource": planned.origin.resource, "rule": planned.origin.rule})
            })
            .collect();
        if !self.output.print(&objects)? {
            print!("{plan}");
        }
        Ok(())
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
