//! `status`: how this node is.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use tombolo_api::{Client, ClientError, Status as Answer, TunnelState};

use super::sessions;
use crate::output::{Format, list, table};

/// How long `--wait` waits for an agent that does not listen yet, and how often it looks.
const START: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Wait until the kernel holds the newest revision.
    #[arg(long)]
    wait: bool,
    /// End with status 1 if there are problems.
    #[arg(long)]
    check: bool,
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Status {
    pub fn run(self, client: &Client) -> Result<ExitCode> {
        let answer = if self.wait {
            waited(client)?
        } else {
            client.get("/v1/status")?
        };
        if !self.output.print(&answer)? {
            print!("{}", report(&answer));
        }
        let failed = self.check && !answer.problems.is_empty();
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Asks for the state once the kernel holds the newest revision; an agent that has just been
/// started is given the time to begin to listen.
fn waited(client: &Client) -> Result<Answer> {
    let begun = Instant::now();
    loop {
        match client.get("/v1/status?wait=true") {
            Err(ClientError::NoAgent { .. }) if begun.elapsed() < START => {
                std::thread::sleep(LOOK);
            }
            answer => return Ok(answer?),
        }
    }
}

fn report(status: &Answer) -> String {
    let mut text = format!("node       {} (tombolo {})\n", status.node, status.version);
    let store = match &status.store.error {
        None => format!("{}, connected", status.store.place),
        Some(error) => format!("{}: {error}", status.store.place),
    };
    text.push_str(&format!("store      {store}\n"));
    if status.store.untold > 0 {
        text.push_str(&format!(
            "           {} containers were plugged in or out without it; it will be told\n",
            status.store.untold
        ));
    }
    text.push_str(&format!(
        "revision   {} seen, {} in the kernel\n",
        status.seen_revision, status.applied_revision
    ));
    for underlay in &status.underlay {
        text.push_str(&format!(
            "underlay   {} on {}, MTU {}: {}\n",
            underlay.address, underlay.interface, underlay.mtu, underlay.reason
        ));
    }
    if let Some(bgp) = &status.bgp {
        text.push_str(&format!("bgp        {}\n", sessions::summary(bgp)));
    }
    if let Some(tunnel) = &status.tunnel {
        text.push_str(&format!("tunnel     {}\n", tunnel_summary(tunnel)));
    }
    text.push_str(&format!("endpoints  {}\n", status.endpoints));
    let counts = |map: Vec<String>| list(map).replace(',', ", ");
    let objects = status
        .objects
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    text.push_str(&format!("kernel     {}\n", counts(objects)));
    if !status.repaired.is_empty() {
        let repaired = status
            .repaired
            .iter()
            .map(|(kind, n)| format!("{n} {kind}"))
            .collect();
        text.push_str(&format!("repaired   {}\n", counts(repaired)));
    }
    text.push_str(&tables(status));
    match status.problems.as_slice() {
        [] => text.push_str("\nno problems\n"),
        problems => {
            text.push_str("\nproblems\n");
            for problem in problems {
                text.push_str(&format!("  {problem}\n"));
            }
        }
    }
    text
}

/// The nodes, and those that this one speaks with by itself.
fn tables(status: &Answer) -> String {
    let mut text = String::new();
    text.push_str(&format!("\n{}\n", nodes(status)));
    if let Some(bgp) = status.bgp.as_ref().filter(|bgp| !bgp.sessions.is_empty()) {
        text.push_str(&format!("\n{}\n", sessions::sessions(bgp)));
    }
    if let Some(tunnel) = status
        .tunnel
        .as_ref()
        .filter(|tunnel| !tunnel.peers.is_empty())
    {
        text.push_str(&format!("\n{}\n", tunnel_peers(tunnel)));
    }
    text
}

fn tunnel_summary(tunnel: &TunnelState) -> String {
    let up = tunnel.peers.iter().filter(|peer| peer.up).count();
    let by = match tunnel.process {
        Some(process) => format!("process {process}"),
        None => "the agent".to_owned(),
    };
    let mut text = format!(
        "{up} of {} nodes answer, carried by {by}",
        tunnel.peers.len()
    );
    let dropped = tunnel.dropped.iter();
    let dropped: Vec<String> = dropped.map(|(why, n)| format!("{n} {why}")).collect();
    if !dropped.is_empty() {
        text.push_str(&format!("; packets dropped: {}", dropped.join(", ")));
    }
    text
}

fn tunnel_peers(tunnel: &TunnelState) -> String {
    let rows = tunnel.peers.iter();
    let rows = rows.map(|peer| vec![peer.node.clone(), peer.words.clone()]);
    table(&["node", "through the tunnel"], rows)
}

fn nodes(status: &Answer) -> String {
    let rows = status.nodes.iter().map(|node| {
        let alive = match node.alive {
            Some(true) => "alive",
            Some(false) => "absent",
            None => "unknown",
        };
        vec![
            node.name.to_string(),
            alive.to_owned(),
            list(&node.addresses),
        ]
    });
    table(&["node", "agent", "addresses"], rows)
}
