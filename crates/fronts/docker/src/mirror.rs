//! The mirror: every network of Tombolo's that gives addresses is in `docker network ls`, and what
//! is no network any more is not.
//!
//! Docker's networks of local scope are each engine's own, so what is made on one host is made on
//! the others by their plugins. Nothing is copied: each engine's network says by its options which
//! one of Tombolo's it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use serde_json::{Value, json};
use tombolo_api::Client;
use tombolo_model::{AnyResource, Family, KindName, Name, Network, Resource};

use crate::agent::Agent;
use crate::dispatch::Plugin;
use crate::engine::{Engine, Silence};
use crate::ipam::pool;
use crate::network::{list, pools_of};
use crate::state::{Memory, Stage};

/// How often it is looked without anybody saying that something has changed.
const IDLE: Duration = Duration::from_secs(30);
/// The pause before a look that could not be finished is taken again, and before somebody who does
/// not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a network must be gone before the engine's goes too: what was written just now may not
/// be seen at once.
const SURELY_GONE: Duration = Duration::from_secs(2);
/// How long the engine must not have known a network before it is forgotten: Docker stores it after
/// its driver has made it.
const SURELY_FORGOTTEN: Duration = Duration::from_secs(30);
/// How long what the engine has refused is not tried again.
const REFUSED: Duration = Duration::from_secs(30);
/// Names that Docker keeps for itself (`runconfig.IsPreDefinedNetwork`).
const RESERVED: &[&str] = &["default", "bridge", "host", "none"];
/// Containers that do not run.
const EXITED: &str =
    "/containers/json?all=1&filters=%7B%22status%22%3A%5B%22exited%22%2C%22created%22%5D%7D";
/// How often it is looked for those that wait for us.
const REVIVE: Duration = Duration::from_secs(3);
/// Docker's bridge for containers that have no other way out, and how large its range is made.
const EXIT: &str = "docker_gwbridge";
const EXIT_SIZE: u8 = 20;
/// Where it is from: apart from what our IPAM chooses for networks, on whatever host.
const EXITS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 204, 0, 0), 14);
/// New and removed networks, as the engine's events are asked for.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22network%22%5D%2C%22event%22%3A%5B%22create%22%2C%22destroy%22%5D%7D";

/// Starts the mirror and those who tell it of changes.
pub(crate) fn start(plugin: &Arc<Plugin>) -> std::io::Result<()> {
    let start = |name: &str, work: fn(&Plugin)| {
        let plugin = Arc::clone(plugin);
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || work(&plugin)).map(drop)
    };
    start("mirror", mirror)?;
    start("hear-agent", hear_agent)?;
    start("hear-engine", hear_engine)
}

fn hear_agent(plugin: &Plugin) {
    loop {
        let client = Client::new(&plugin.settings.agent, Some(Duration::from_secs(5)));
        match client.lines("/v1/watch/networks") {
            Ok(lines) => lines.for_each(|_| plugin.mirror.ring()),
            Err(error) => tracing::debug!(%error, "cannot hear of networks"),
        }
        std::thread::sleep(PAUSE);
    }
}

fn hear_engine(plugin: &Plugin) {
    loop {
        let engine = Engine {
            socket: &plugin.settings.docker,
        };
        if let Err(error) = engine.lines(EVENTS, || plugin.mirror.ring()) {
            tracing::debug!(%error, "cannot hear the engine");
        }
        plugin.mirror.ring();
        std::thread::sleep(PAUSE);
    }
}

fn mirror(plugin: &Plugin) {
    let mut times = Times::default();
    loop {
        let whole = match look(plugin, &mut times) {
            Ok(whole) => whole,
            Err(why) => {
                tracing::debug!(why, "cannot compare the engine's networks with Tombolo's");
                true
            }
        };
        plugin.mirror.wait(if whole { IDLE } else { PAUSE });
    }
}

/// Since when something is so.
#[derive(Default)]
struct Times {
    /// Networks of the engine's whose own is gone.
    gone: BTreeMap<String, Instant>,
    /// Networks that the engine does not know.
    forgotten: BTreeMap<String, Instant>,
    /// When it was last looked for containers that wait for us.
    revived: Option<Instant>,
    /// What the engine has refused.
    refused: BTreeMap<Name, Instant>,
}

/// What there is.
struct Seen {
    memory: Memory,
    /// The engine's networks: name and driver, by id.
    engine: BTreeMap<String, (String, String)>,
    networks: BTreeMap<Name, Resource<Network>>,
}

/// Looks once, and does what differs. Answers whether that was all.
fn look(plugin: &Plugin, times: &mut Times) -> Result<bool, String> {
    let engine = Engine {
        socket: &plugin.settings.docker,
    };
    let agent = Agent::new(&plugin.settings);
    let mut seen = Seen {
        memory: plugin.state.read(Clone::clone),
        engine: engine_networks(&engine)?,
        networks: BTreeMap::new(),
    };
    for resource in list(&agent, KindName::Network)? {
        if let AnyResource::Network(network) = resource {
            seen.networks.insert(network.name().clone(), network);
        }
    }
    keep_exit(plugin, &engine, &agent)?;
    let revived = revive(&engine, times);
    let mut whole = remove_gone(&engine, &seen, times);
    forget(plugin, &seen, times)?;
    let mut records = seen.memory.networks.values();
    if records.any(|record| record.stage == Stage::Pending) {
        // One that is about to get its name may be just the one that is missing.
        return Ok(false);
    }
    for (name, network) in &seen.networks {
        if !is_missing(plugin, &seen, name, network) || is_recent(&times.refused, name) {
            continue;
        }
        match make(&engine, &agent, plugin, network) {
            Ok(()) => {
                tracing::info!(%name, "the engine has a network of Tombolo's");
                times.refused.remove(name);
            }
            Err(why) => {
                tracing::warn!(%name, why, "the engine does not take a network of Tombolo's");
                times.refused.insert(name.clone(), Instant::now());
                whole = false;
            }
        }
    }
    Ok(whole && revived)
}

/// Starts containers that their restart policy would have running, and that did not start because
/// this plugin had no agent to ask: the engine, at its own start, tries only once. Answers whether
/// none is left.
fn revive(engine: &Engine<'_>, times: &mut Times) -> bool {
    if times.revived.is_some_and(|at| at.elapsed() < REVIVE) {
        return true;
    }
    times.revived = Some(Instant::now());
    let Ok(Value::Array(exited)) = engine.get(EXITED) else {
        return true;
    };
    let mut whole = true;
    for id in exited
        .iter()
        .filter_map(|container| container["Id"].as_str())
    {
        let Ok(known) = engine.get(&format!("/containers/{id}/json")) else {
            continue;
        };
        let policy = known["HostConfig"]["RestartPolicy"]["Name"].as_str();
        let error = known["State"]["Error"].as_str().unwrap_or_default();
        let is_ours = error.starts_with("remote: ") || error.contains("tombolo");
        if is_ours && matches!(policy, Some("always" | "unless-stopped" | "on-failure")) {
            let started = engine.post(&format!("/containers/{id}/start"), &json!({}));
            tracing::info!(
                id,
                ?started,
                "started a container that had waited for the agent"
            );
            whole &= started.is_ok();
        }
    }
    whole
}

/// The bridge by which Docker leads containers out of networks that have no way out themselves. Docker
/// makes it when it needs it, and then chooses addresses that may be a network's of other hosts, of
/// which its own IPAM knows nothing. So it is made before, as Docker's documentation of Swarm has it,
/// with addresses that are no network's; one that is there stays as it is.
fn keep_exit(plugin: &Plugin, engine: &Engine<'_>, agent: &Agent<'_>) -> Result<(), String> {
    let ranges = match engine.get(&format!("/networks/{EXIT}")) {
        Ok(known) => {
            let configs = known["IPAM"]["Config"].as_array();
            let subnets = configs
                .into_iter()
                .flatten()
                .map(|config| &config["Subnet"]);
            subnets
                .filter_map(|net| net.as_str()?.parse().ok())
                .collect()
        }
        Err(Silence::NotFound) => {
            let pools = list(agent, KindName::IpPool)?;
            let nodes = list(agent, KindName::Node)?;
            let used: Vec<_> = pools
                .iter()
                .chain(&nodes)
                .flat_map(pool::ranges_of)
                .collect();
            let exits = Ipv4Net::new_assert(EXITS.0, EXITS.1);
            let Some(range) = pool::free_within(exits, EXIT_SIZE, &used) else {
                return Ok(());
            };
            let made = engine.post("/networks/create", &exit(range));
            made.map_err(|why| format!("{EXIT}: {why:?}"))?;
            tracing::info!(%range, "made the bridge by which Docker leads containers out");
            vec![range]
        }
        Err(why) => return Err(format!("{EXIT}: {why:?}")),
    };
    *plugin.exits.lock().unwrap_or_else(PoisonError::into_inner) = ranges;
    Ok(())
}

/// The bridge as Docker makes it itself (`libnetwork`, `createGWNetwork`), but for its addresses.
fn exit(range: ipnet::IpNet) -> Value {
    json!({
        "Name": EXIT,
        "CheckDuplicate": true,
        "Driver": "bridge",
        "IPAM": {"Config": [{"Subnet": range}]},
        "Options": {
            "com.docker.network.bridge.name": EXIT,
            "com.docker.network.bridge.enable_icc": "false",
            "com.docker.network.bridge.enable_ip_masquerade": "true",
        },
    })
}

fn is_recent(refused: &BTreeMap<Name, Instant>, name: &Name) -> bool {
    refused.get(name).is_some_and(|at| at.elapsed() < REFUSED)
}

fn engine_networks(engine: &Engine<'_>) -> Result<BTreeMap<String, (String, String)>, String> {
    let all = engine.get("/networks").map_err(|why| format!("{why:?}"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let networks = all.as_array().ok_or("the engine lists no networks")?;
    let network = |network: &Value| {
        let named = (text(&network["Name"]), text(&network["Driver"]));
        (text(&network["Id"]), named)
    };
    Ok(networks.iter().map(network).collect())
}

/// Removes networks of the engine's whose own is gone. Answers whether nothing is left to be.
fn remove_gone(engine: &Engine<'_>, seen: &Seen, times: &mut Times) -> bool {
    let is_gone = |id: &&String| {
        let record = seen.memory.networks.get(*id);
        let stage = record.map(|record| &record.stage);
        matches!(stage, Some(Stage::Is(name)) if !seen.networks.contains_key(name))
    };
    let gone: BTreeSet<&String> = seen.engine.keys().filter(is_gone).collect();
    times.gone.retain(|id, _| gone.contains(id));
    for id in &gone {
        let since = times.gone.entry((*id).clone()).or_insert_with(Instant::now);
        if since.elapsed() < SURELY_GONE {
            continue;
        }
        match engine.delete(&format!("/networks/{id}")) {
            Ok(_) => tracing::info!(id, "the engine's network is gone, as Tombolo's is"),
            // It still has containers.
            Err(why) => tracing::debug!(?why, id, "the engine keeps a network"),
        }
    }
    gone.is_empty()
}

/// Forgets networks that the engine does not know any more.
fn forget(plugin: &Plugin, seen: &Seen, times: &mut Times) -> Result<(), String> {
    let records = seen.memory.networks.keys();
    let unknown: BTreeSet<&String> = records
        .filter(|id| !seen.engine.contains_key(*id))
        .collect();
    times.forgotten.retain(|id, _| unknown.contains(id));
    for id in unknown {
        let since = times
            .forgotten
            .entry(id.clone())
            .or_insert_with(Instant::now);
        if since.elapsed() >= SURELY_FORGOTTEN {
            tracing::info!(id, "the engine has forgotten a network");
            plugin.state.change(|memory| memory.networks.remove(id))?;
        }
    }
    Ok(())
}

/// Whether the engine has no network that is this one.
fn is_missing(plugin: &Plugin, seen: &Seen, name: &Name, network: &Resource<Network>) -> bool {
    if network.spec.pools.is_empty() {
        return false;
    }
    let mut records = seen.memory.networks.iter();
    let is_there = records.any(|(id, record)| {
        record.stage == Stage::Is(name.clone()) && seen.engine.contains_key(id)
    });
    if is_there {
        return false;
    }
    let shown = shown_as(name);
    let mut same = seen.engine.iter().filter(|(_, (other, _))| *other == shown);
    match same.next() {
        None => true,
        Some((id, (_, driver))) => {
            if *driver == plugin.settings.driver() && !seen.memory.networks.contains_key(id) {
                plugin.namer.heal(id);
            }
            false
        }
    }
}

/// How Docker's users see a network.
fn shown_as(name: &Name) -> String {
    if RESERVED.contains(&name.as_str()) {
        format!("tombolo-{name}")
    } else {
        name.to_string()
    }
}

/// Lets the engine make a network that is one of Tombolo's.
fn make(
    engine: &Engine<'_>,
    agent: &Agent<'_>,
    plugin: &Plugin,
    network: &Resource<Network>,
) -> Result<(), String> {
    let pools = pools_of(agent, &network.spec)?;
    let ranges: Vec<_> = pools.iter().map(|pool| pool.spec.cidr).collect();
    let driver = plugin.settings.driver();
    let body = body(&driver, network, &ranges);
    match engine.post("/networks/create", &body) {
        Ok(_) => Ok(()),
        Err(Silence::NotFound) => Err("the engine does not find this plugin".to_owned()),
        Err(Silence::Unreached(why) | Silence::Refused(why)) => Err(why),
    }
}

/// A subnet as the engine is told: as it was made, else as Tombolo has it.
fn subnet(network: &Resource<Network>, cidr: &ipnet::IpNet, made: &Value) -> Value {
    let mut config = json!({"Subnet": cidr});
    let mut gateways = network.spec.gateway.iter();
    if let Some(gateway) = gateways.find(|gateway| cidr.contains(*gateway)) {
        config["Gateway"] = json!(gateway);
    }
    let mut made = made.as_array().into_iter().flatten();
    let made = made.find(|made| made["Subnet"].as_str() == Some(&cidr.to_string()));
    for field in ["IPRange", "AuxiliaryAddresses"] {
        if let Some(value) = made.and_then(|made| made.get(field)) {
            config[field] = value.clone();
        }
    }
    config
}

/// What the engine is asked to make.
fn body(driver: &str, network: &Resource<Network>, ranges: &[ipnet::IpNet]) -> Value {
    let name = network.name();
    let kept = |annotation| {
        let text = network.metadata.annotations.get(annotation)?;
        serde_json::from_str::<Value>(text).ok()
    };
    let subnets = kept(crate::SUBNETS).unwrap_or_default();
    let config = |cidr: &ipnet::IpNet| subnet(network, cidr, &subnets);
    let config: Vec<Value> = ranges.iter().map(config).collect();
    let labels = kept(crate::LABELS);
    let mut options = kept(crate::OPTIONS).unwrap_or_else(|| json!({}));
    options[crate::MIRRORED] = json!(name);
    json!({
        "Name": shown_as(name),
        "CheckDuplicate": true,
        "Driver": driver,
        "Internal": network.spec.internal,
        "EnableIPv6": ranges.iter().any(|cidr| Family::of_net(*cidr) == Family::V6),
        "IPAM": {"Driver": driver, "Config": config},
        "Options": options,
        "Labels": labels.unwrap_or_else(|| json!({})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_told_all_that_its_users_see() {
        let value = json!({"metadata": {"name": "default", "annotations": {
                crate::LABELS: "{\"com.docker.compose.project\": \"p\"}",
                crate::OPTIONS: "{\"mtu\": \"1400\"}",
                crate::SUBNETS: "[{\"Subnet\": \"10.1.0.0/24\", \"IPRange\": \"10.1.0.128/25\"}]"}},
            "spec": {"driver": "overlay", "internal": true, "gateway": ["10.1.0.9"],
                "pools": ["a", "b"]}});
        let network: Resource<Network> = Resource::from_value(value).unwrap();
        let ranges = ["10.1.0.0/24", "fd00::/64"].map(|net| net.parse().unwrap());
        assert_eq!(
            body("tombolo", &network, &ranges),
            json!({"Name": "tombolo-default", "CheckDuplicate": true, "Driver": "tombolo",
                "Internal": true, "EnableIPv6": true,
                "IPAM": {"Driver": "tombolo", "Config": [
                    {"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.9", "IPRange": "10.1.0.128/25"}, {"Subnet": "fd00::/64"}]},
                "Options": {crate::MIRRORED: "default", "mtu": "1400"},
                "Labels": {"com.docker.compose.project": "p"}})
        );
    }
}
