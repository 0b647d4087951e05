//! `get`: resources as a table, or as they are.

mod denials;

mod policy;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tombolo_api::{BgpState, Client, WatchLine};
use tombolo_model::{KindName, Name};

use super::sessions;
use crate::output::{Format, list, table};
use crate::words::{What, WhatWord};

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// A kind, as `nodes`, `networks`, `ippools` or `endpoints`; or `denials`: packets that policies
    /// denied on this node.
    #[arg(value_parser = WhatWord)]
    kind: What,
    /// One of them.
    name: Option<Name>,
    /// Only of this namespace.
    #[arg(short, long)]
    namespace: Option<Name>,
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Go on, and print every change.
    #[arg(short, long)]
    watch: bool,
}

/// The path of one resource.
pub(super) fn path(kind: KindName, name: &Name, namespace: Option<&Name>) -> String {
    let place = namespace
        .map(|n| format!("?namespace={n}"))
        .unwrap_or_default();
    format!("/v1/{}/{name}{place}", kind.plural())
}

impl Get {
    pub fn run(self, client: &Client) -> Result<()> {
        let kind = match self.kind {
            What::Kind(kind) => kind,
            What::Denials => return denials::run(&self, client),
        };
        if kind == KindName::BgpPeer && self.output == Format::Wide && !self.watch {
            return sessions_of(self.name.as_ref(), client);
        }
        if self.watch {
            return self.follow(client, kind);
        }
        if let Some(name) = &self.name {
            let one: Value = client.get(&path(kind, name, self.namespace.as_ref()))?;
            if !self.output.print(&one)? {
                self.print(kind, &[one]);
            }
            return Ok(());
        }
        let place = self
            .namespace
            .as_ref()
            .map(|n| format!("?namespace={n}"))
            .unwrap_or_default();
        let mut all: Vec<Value> = client.get(&format!("/v1/{}{place}", kind.plural()))?;
        // Handles without an identity's addresses only remember a generation.
        all.retain(|one| {
            kind != KindName::Handle
                || one["spec"]["addresses"]
                    .as_array()
                    .is_some_and(|a| !a.is_empty())
        });
        if !self.output.print(&json!({"kind": "List", "items": all}))? {
            self.print(kind, &all);
        }
        Ok(())
    }

    fn print(&self, kind: KindName, all: &[Value]) {
        if all.is_empty() {
            println!("there are no {}", kind.plural());
            return;
        }
        let wide = self.output == Format::Wide;
        let columns = columns(kind, wide);
        let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let rows = all
            .iter()
            .map(|one| columns.iter().map(|(_, cell)| cell(one)).collect());
        println!("{}", table(&header, rows));
    }

    fn follow(&self, client: &Client, kind: KindName) -> Result<()> {
        let columns = columns(kind, self.output == Format::Wide);
        for line in client.lines(&format!("/v1/watch/{}", kind.plural()))? {
            let line = line.context("the agent ended the watch")?;
            let change: WatchLine = serde_json::from_str(&line).context("a change")?;
            let wanted = |name: &str| self.name.as_ref().is_none_or(|n| n.as_str() == name);
            match change {
                WatchLine::Put { object } => {
                    if !wanted(&text(&object["metadata"]["name"])) {
                        continue;
                    }
                    if !self.output.print(&object)? {
                        let cells: Vec<String> =
                            columns.iter().map(|(_, cell)| cell(&object)).collect();
                        println!("{}", cells.join("   "));
                    }
                }
                WatchLine::Deleted { key } if wanted(key.name.as_str()) => {
                    println!("{} deleted", key.name);
                }
                WatchLine::Deleted { .. } => {}
            }
        }
        bail!("the agent ended the watch; ask again")
    }
}

/// The sessions that the node has, those too that no BGPPeer asks for.
fn sessions_of(name: Option<&Name>, client: &Client) -> Result<()> {
    let mut bgp: Option<BgpState> = client.get("/v1/bgp")?;
    if let (Some(bgp), Some(name)) = (&mut bgp, name) {
        let asked_by = format!("{} {name}", KindName::BgpPeer);
        bgp.sessions.retain(|session| session.asked_by == asked_by);
    }
    match bgp {
        None => println!(
            "this node speaks no BGP: no network with transport bgp and no BGPPeer is for it"
        ),
        Some(bgp) if bgp.sessions.is_empty() => println!("there are no sessions"),
        Some(bgp) => println!("{}", sessions::sessions(&bgp)),
    }
    Ok(())
}

type Column = (&'static str, fn(&Value) -> String);

/// The columns of a kind's table.
fn columns(kind: KindName, wide: bool) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    if kind.is_namespaced() {
        columns.push(("namespace", |r| text(&r["metadata"]["namespace"])));
    }
    columns.push(("name", |r| text(&r["metadata"]["name"])));
    let (narrow, more) = columns_of(kind);
    columns.extend(narrow);
    if wide {
        columns.extend(more);
    }
    columns
}

/// A kind's own columns, and those of its wide table.
fn columns_of(kind: KindName) -> (&'static [Column], &'static [Column]) {
    match kind {
        KindName::Node => (NODE, NODE_WIDE),
        KindName::Network => (NETWORK, &[("mtu", |r| text(&r["spec"]["mtu"]))]),
        KindName::IpPool => (POOL, POOL_WIDE),
        KindName::IpReservation => (&[("ranges", |r| items(&r["spec"]["reservedCIDRs"]))], &[]),
        KindName::Endpoint => (ENDPOINT, ENDPOINT_WIDE),
        KindName::Block => (BLOCK, BLOCK_WIDE),
        KindName::Handle => (
            HANDLE,
            &[("generation", |r| text(&r["spec"]["generation"]))],
        ),
        KindName::Namespace
        | KindName::Profile
        | KindName::Tier
        | KindName::NetworkPolicy
        | KindName::GlobalNetworkPolicy
        | KindName::NetworkSet
        | KindName::GlobalNetworkSet
        | KindName::HostEndpoint => policy::columns_of(kind),
        KindName::BgpConfiguration => (BGP_CONFIGURATION, &[]),
        KindName::BgpPeer => (BGP_PEER, &[]),
        KindName::BgpFilter => (BGP_FILTER, &[]),
        KindName::Learned => (&[("settled", |r| text(&r["spec"]["settled"]))], &[]),
        KindName::Token => (&[("uses", |r| text(&r["spec"]["uses"]))], &[]),
    }
}

const BGP_CONFIGURATION: &[Column] = &[
    ("as", |r| text(&r["spec"]["asNumber"])),
    ("mesh", |r| text(&r["spec"]["nodeToNodeMeshEnabled"])),
];
const BGP_PEER: &[Column] = &[
    ("node", |r| text(&r["spec"]["node"])),
    ("nodes", |r| text(&r["spec"]["nodeSelector"])),
    ("peer", |r| text(&r["spec"]["peerIP"])),
    ("peers", |r| text(&r["spec"]["peerSelector"])),
    ("as", |r| text(&r["spec"]["asNumber"])),
];
const BGP_FILTER: &[Column] = &[
    ("in", |r| rules(r, ["importV4", "importV6"])),
    ("out", |r| rules(r, ["exportV4", "exportV6"])),
];
const NODE: &[Column] = &[("addresses", |r| each(&r["spec"]["addresses"], "address"))];
const NODE_WIDE: &[Column] = &[
    ("interfaces", |r| each(&r["spec"]["addresses"], "interface")),
    ("sends by", |r| transports(r, "sends")),
    ("receives by", |r| transports(r, "receives")),
    ("version", |r| text(&r["status"]["version"])),
];
const NETWORK: &[Column] = &[
    ("driver", |r| text(&r["spec"]["driver"])),
    ("transport", |r| text(&r["spec"]["transport"]["type"])),
    ("pools", |r| items(&r["spec"]["pools"])),
];
const POOL: &[Column] = &[
    ("cidr", |r| text(&r["spec"]["cidr"])),
    ("nat", |r| text(&r["spec"]["natOutgoing"])),
];
const POOL_WIDE: &[Column] = &[
    ("block size", |r| text(&r["spec"]["blockSize"])),
    ("nodes", |r| text(&r["spec"]["nodeSelector"])),
    ("disabled", |r| text(&r["spec"]["disabled"])),
];
const ENDPOINT: &[Column] = &[
    ("network", |r| text(&r["spec"]["network"])),
    ("node", |r| text(&r["spec"]["node"])),
    ("addresses", |r| items(&r["spec"]["addresses"])),
];
const ENDPOINT_WIDE: &[Column] = &[
    ("mac", |r| text(&r["spec"]["mac"])),
    ("interface", |r| text(&r["spec"]["interface"])),
    ("sandbox", |r| text(&r["spec"]["sandbox"])),
    ("labels", |r| pairs(&r["metadata"]["labels"])),
    ("profiles", |r| items(&r["spec"]["profiles"])),
];
const BLOCK: &[Column] = &[
    ("cidr", |r| text(&r["spec"]["cidr"])),
    ("node", |r| text(&r["spec"]["node"])),
    ("in use", |r| count(&r["spec"]["allocations"])),
];
const BLOCK_WIDE: &[Column] = &[
    ("pool", |r| text(&r["spec"]["pool"])),
    ("generation", |r| text(&r["spec"]["generation"])),
];
const HANDLE: &[Column] = &[
    ("identity", |r| text(&r["spec"]["identity"])),
    ("node", |r| text(&r["spec"]["node"])),
    ("addresses", |r| items(&r["spec"]["addresses"])),
];

/// How many rules there are in some lists.
fn rules(filter: &Value, lists: [&str; 2]) -> String {
    let lists = lists
        .iter()
        .filter_map(|list| filter["spec"][*list].as_array());
    let rules: usize = lists.map(Vec::len).sum();
    rules.to_string()
}

fn count(map: &Value) -> String {
    map.as_object().map_or(0, serde_json::Map::len).to_string()
}

/// Names with their values, as `app=web`.
fn pairs(map: &Value) -> String {
    let entries = map.as_object().into_iter().flatten();
    list(entries.map(|(name, value)| match text(value) {
        empty if empty.is_empty() => name.clone(),
        value => format!("{name}={value}"),
    }))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn items(value: &Value) -> String {
    list(value.as_array().into_iter().flatten().map(text))
}

fn each(value: &Value, field: &str) -> String {
    list(
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| text(&item[field])),
    )
}

/// `default:vxlan`, for each network.
fn transports(node: &Value, direction: &str) -> String {
    let networks = node["status"]["networks"].as_object();
    list(networks.into_iter().flatten().map(|(network, status)| {
        let all = status[direction].as_array().into_iter().flatten();
        format!(
            "{network}:{}",
            list(all.map(|by| text(&by["type"]))).replace(',', "+")
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_table() {
        for kind in KindName::ALL {
            let narrow = columns(*kind, false).len();
            assert!(narrow > 1 && columns(*kind, true).len() >= narrow, "{kind}");
        }
    }

    #[test]
    fn transports_are_told_by_network() {
        let node = json!({"status": {"networks": {
            "blue": {"sends": [{"type": "direct"}, {"type": "vxlan"}]}, "red": {}
        }}});
        assert_eq!(transports(&node, "sends"), "blue:direct+vxlan,red:-");
    }
}
