//! `ipam`: addresses.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;
use tombolo_api::{Client, ReleaseRequest};

use crate::output::{Format, table};

#[derive(Debug, Subcommand)]
pub(crate) enum Ipam {
    /// Pools, and the blocks of nodes, with what is in use.
    Show {
        /// How the answer is printed.
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// What does not fit together; status 1 if there is something.
    Check {
        /// How the answer is printed.
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Give an address back by hand.
    Release {
        /// The address.
        address: IpAddr,
        /// Also if an endpoint uses it, which is then detached.
        #[arg(long)]
        force: bool,
    },
}

impl Ipam {
    pub fn run(self, client: &Client) -> Result<ExitCode> {
        match self {
            Ipam::Show { output } => {
                let usage: Value = client.get("/v1/ipam")?;
                if !output.print(&usage)? {
                    let pools = ["name", "cidr", "size", "inUse", "kept", "blocks"];
                    println!("{}\n", rows(&usage["pools"], &pools));
                    let blocks = ["cidr", "pool", "node", "size", "inUse", "borrowed", "kept"];
                    println!("{}", rows(&usage["blocks"], &blocks));
                }
            }
            Ipam::Check { output } => {
                let findings: Vec<Value> = client.get("/v1/ipam/check")?;
                if !output.print(&findings)? {
                    for finding in &findings {
                        println!(
                            "{}: {}",
                            cell(&finding["resource"]),
                            cell(&finding["message"])
                        );
                    }
                    println!("{} findings", findings.len());
                }
                if !findings.is_empty() {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Ipam::Release { address, force } => {
                client.post::<()>("/v1/ipam/release", &ReleaseRequest { address, force })?;
                println!("{address} is free");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn rows(list: &Value, fields: &[&str]) -> String {
    let header: Vec<&str> = fields
        .iter()
        .map(|field| if *field == "inUse" { "in use" } else { field })
        .collect();
    let all = list.as_array().into_iter().flatten();
    table(
        &header,
        all.map(|row| fields.iter().map(|field| cell(&row[*field])).collect()),
    )
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
