//! `describe`: one resource with what is known around it.

use anyhow::Result;
use clap::Args;
use serde_json::Value;
use tombolo_api::{Client, PlannedObject};
use tombolo_model::{KindName, Name};

use super::get;
use crate::words::KindWord;

#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// A kind.
    #[arg(value_parser = KindWord)]
    kind: KindName,
    /// Which one.
    name: Name,
    /// Its namespace.
    #[arg(short, long)]
    namespace: Option<Name>,
}

impl Describe {
    pub fn run(self, client: &Client) -> Result<()> {
        let kind = self.kind;
        let one: Value = client.get(&get::path(kind, &self.name, self.namespace.as_ref()))?;
        print!("{}", serde_saphyr::to_string(&one)?);
        match kind {
            KindName::Network => self.networks_nodes(client)?,
            KindName::IpPool => self.pools_use(client)?,
            _ => {}
        }
        let plan: Vec<PlannedObject> = client.get("/v1/plan")?;
        let namespace = one["metadata"]["namespace"].as_str();
        let own: Vec<&PlannedObject> = plan
            .iter()
            .filter(|object| object.resource.kind == kind && object.resource.name == self.name)
            .filter(|object| object.resource.namespace.as_ref().map(Name::as_str) == namespace)
            .collect();
        if !own.is_empty() {
            println!("\nin this host's kernel because of it");
            for object in own {
                println!("  {} {}", object.place, object.object);
            }
        }
        Ok(())
    }

    /// By which transports each node sends and receives in this network.
    fn networks_nodes(&self, client: &Client) -> Result<()> {
        let nodes: Vec<Value> = client.get("/v1/nodes")?;
        println!("\nnodes");
        for node in &nodes {
            let status = &node["status"]["networks"][self.name.as_str()];
            let by = |direction: &str| {
                let all = status[direction].as_array().into_iter().flatten();
                crate::output::list(all.filter_map(|spec| spec["type"].as_str()))
            };
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            println!(
                "  {name}: sends by {}, receives by {}",
                by("sends"),
                by("receives")
            );
        }
        Ok(())
    }

    fn pools_use(&self, client: &Client) -> Result<()> {
        let usage: Value = client.get("/v1/ipam")?;
        for pool in usage["pools"].as_array().into_iter().flatten() {
            if pool["name"] == self.name.as_str() {
                println!(
                    "\nuse: {} of {} addresses, in {} blocks",
                    pool["inUse"], pool["size"], pool["blocks"]
                );
            }
        }
        Ok(())
    }
}
