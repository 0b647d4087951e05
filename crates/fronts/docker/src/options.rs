//! What `docker network create` asks for: options, subnets, gateways.
//!
//! Docker checks none of the options: each that is not known here is an error that names it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tombolo_model::{Family, Name, Network, Resource};

use crate::dispatch::{Refused, SPACES};
use crate::wire::{CreateNetwork, IpamData};

/// The options of `docker network create -o`.
const GENERIC: &str = "com.docker.network.generic";
/// The same as `network`, by one of the few names that compose does not compare: it refuses networks with
/// other options than its file has.
pub(crate) const NETWORK: &str = "com.docker.network.windowsshim.networkname";
const INTERNAL: &str = "com.docker.network.internal";
/// Where a network's labels would be, if Docker told them to drivers; and what it tells anyway.
const TOLD_BESIDE: &[&str] = &[
    "com.docker.network.enable_ipv4",
    "com.docker.network.enable_ipv6",
];

/// What a driver that spans nodes sends by unless told otherwise.
const TRANSPORT: &str = "vxlan";

/// What Docker asked a network to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Wish {
    /// The network that it is (`-o network=`); by Docker's own name if not given.
    pub network: Option<Name>,
    /// What of `spec` the options say.
    pub spec: Map<String, Value>,
    /// Who leads its containers out of their hosts (`-o egress=`).
    pub egress: Option<Egress>,
    /// Whether the options say what the driver is, so that another one would be wrong.
    pub chose_driver: bool,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
}

/// Who leads containers out of their hosts, and others in to their published ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Egress {
    /// Docker, by its own bridge for that (`docker_gwbridge`), as it does for Swarm's networks: its
    /// filters know it, and `docker ps` shows the ports.
    Docker,
    /// The network's own gateway. Where Docker drops what is forwarded, somebody must let it pass.
    Network,
}

impl Egress {
    /// What a network says: those of a segment are led out by Docker unless told otherwise.
    pub fn of(network: &Resource<Network>) -> Egress {
        match network.metadata.annotations.get(EGRESS).map(String::as_str) {
            Some("docker") => Egress::Docker,
            Some(_) => Egress::Network,
            None if network.spec.driver.as_str() == "overlay" => Egress::Docker,
            None => Egress::Network,
        }
    }
}

/// One subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subnet {
    /// The range.
    pub cidr: IpNet,
    /// What Docker shows as the gateway.
    pub gateway: Option<IpAddr>,
    /// Addresses that no container is to have.
    pub aux: Vec<IpAddr>,
    /// Whether our IPAM gives its addresses, not Docker's own.
    pub ours: bool,
}

impl Wish {
    /// The driver.
    pub fn driver(&self) -> &str {
        self.spec["driver"].as_str().unwrap_or_default()
    }

    /// Whether it has no way out.
    pub fn is_internal(&self) -> bool {
        self.spec.get("internal").is_some_and(|value| value == true)
    }
}

/// Reads what a network is to be.
pub(crate) fn read(call: &CreateNetwork) -> Result<Wish, Refused> {
    let mut wish = Wish::default();
    for (name, value) in &call.options {
        match name.as_str() {
            GENERIC => generic(value, &mut wish)?,
            INTERNAL => {
                if flag(name, value)? {
                    wish.spec.insert("internal".to_owned(), true.into());
                }
            }
            other if TOLD_BESIDE.contains(&other) => {}
            other => return Err(unknown(other)),
        }
    }
    wish.chose_driver = wish.spec.contains_key("driver");
    let driver = wish
        .spec
        .entry("driver")
        .or_insert_with(|| "overlay".into());
    let spans_nodes = matches!(driver.as_str(), Some("overlay" | "routed"));
    if spans_nodes {
        let transport = wish.spec.entry("transport").or_insert_with(|| json!({}));
        if let Some(transport) = transport.as_object_mut() {
            transport.entry("type").or_insert_with(|| TRANSPORT.into());
        }
    }
    let driver = wish.driver().to_owned();
    for (group, fits) in [("transport", spans_nodes), ("macvlan", driver == "macvlan")] {
        if let Some(given) = wish.spec.get(group).filter(|_| !fits) {
            let names: Vec<&str> = given
                .as_object()
                .into_iter()
                .flat_map(Map::keys)
                .map(|field| option_of(field))
                .collect();
            return Err(format!(
                "option {}: not with driver {driver}",
                names.join(", option ")
            ));
        }
    }
    for data in call.v4.iter().chain(&call.v6) {
        wish.subnets.extend(subnet(data)?);
    }
    Ok(wish)
}

/// The options that the user gave. An option without a value is a flag (`-o host_access`).
fn generic(value: &Value, wish: &mut Wish) -> Result<(), Refused> {
    let options: BTreeMap<String, Value> = match value {
        Value::Null => return Ok(()),
        Value::Object(options) => options.clone().into_iter().collect(),
        other => return Err(format!("option {GENERIC}: {other} is no map of options")),
    };
    for (name, value) in &options {
        let text = value
            .as_str()
            .ok_or_else(|| format!("option {name}: {value} is no text"))?;
        match name.as_str() {
            "network" | NETWORK => {
                let network = Name::new(text).map_err(|e| format!("option network: {e}"))?;
                wish.network = Some(network);
            }
            "driver" => put(wish, "driver", text.into()),
            "egress" => {
                wish.egress = Some(match text {
                    "docker" => Egress::Docker,
                    "network" => Egress::Network,
                    other => {
                        return Err(format!(
                            "option egress: {other:?} is neither docker nor network"
                        ));
                    }
                });
            }
            "mtu" | "com.docker.network.driver.mtu" => {
                put(wish, "mtu", number(name, text)?);
            }
            "transport" => within(wish, "transport", "type", text.into()),
            "vni" => within(wish, "transport", "vni", number(name, text)?),
            "parent" => within(wish, "macvlan", "parent", text.into()),
            "macvlan_mode" => within(wish, "macvlan", "mode", text.into()),
            "vlan" => within(wish, "macvlan", "vlan", number(name, text)?),
            "host_access" => {
                let access = flag(name, value)?;
                within(wish, "macvlan", "hostAccess", access.into());
            }
            // `docker network create --internal` of some clients.
            INTERNAL => put(wish, "internal", flag(name, value)?.into()),
            other => return Err(unknown(other)),
        }
    }
    Ok(())
}

/// The option that a field of a group comes from.
fn option_of(field: &str) -> &str {
    match field {
        "type" => "transport",
        "mode" => "macvlan_mode",
        "hostAccess" => "host_access",
        same => same,
    }
}

fn unknown(name: &str) -> Refused {
    format!(
        "option {name} is not known; there are network, driver, transport, vni, egress, mtu \
         (com.docker.network.driver.mtu), parent, macvlan_mode, vlan, host_access"
    )
}

fn put(wish: &mut Wish, field: &str, value: Value) {
    wish.spec.insert(field.to_owned(), value);
}

fn within(wish: &mut Wish, group: &str, field: &str, value: Value) {
    let group = wish.spec.entry(group).or_insert_with(|| json!({}));
    if let Some(group) = group.as_object_mut() {
        group.insert(field.to_owned(), value);
    }
}

fn number(name: &str, text: &str) -> Result<Value, Refused> {
    let number: u64 = text
        .parse()
        .map_err(|_| format!("option {name}: {text:?} is no number"))?;
    Ok(number.into())
}

fn flag(name: &str, value: &Value) -> Result<bool, Refused> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if matches!(text.as_str(), "" | "true" | "1") => Ok(true),
        Value::String(text) if matches!(text.as_str(), "false" | "0") => Ok(false),
        other => Err(format!("option {name}: {other} is neither true nor false")),
    }
}

/// A subnet; none for IPAM that gives no addresses (`--ipam-driver null`).
fn subnet(data: &IpamData) -> Result<Option<Subnet>, Refused> {
    if data.pool.is_empty() || data.pool == "0.0.0.0/0" || data.pool == "::/0" {
        return Ok(None);
    }
    let cidr: IpNet = data
        .pool
        .parse()
        .map_err(|_| format!("Pool {:?} is no range of addresses", data.pool))?;
    let mut aux = Vec::new();
    for (name, text) in &data.aux_addresses {
        let address = address(&format!("AuxAddresses.{name}"), text)?;
        aux.extend(inside(&cidr, "AuxAddresses", address)?);
    }
    let gateway = match data.gateway.as_str() {
        "" => None,
        text => inside(&cidr, "Gateway", address("Gateway", text)?)?,
    };
    Ok(Some(Subnet {
        cidr: cidr.trunc(),
        gateway,
        aux,
        ours: SPACES.contains(&data.address_space.as_str()),
    }))
}

fn inside(cidr: &IpNet, field: &str, address: IpAddr) -> Result<Option<IpAddr>, Refused> {
    if cidr.contains(&address) {
        return Ok(Some(address));
    }
    Err(format!("{field} {address} is not in {}", cidr.trunc()))
}

/// An address, with or without a prefix length.
pub(crate) fn address(field: &str, text: &str) -> Result<IpAddr, Refused> {
    let whole = text.parse::<IpNet>().map(|net| net.addr());
    whole
        .or_else(|_| text.parse::<IpAddr>())
        .map_err(|_| format!("{field} {text:?} is no address"))
}

/// Where the resources of a network come from, so that Docker deletes only its own.
pub(crate) const ORIGIN: &str = "docker.tombolo.dev/origin";
/// Who leads a network's containers out (`docker` or `network`), where that was said.
pub(crate) const EGRESS: &str = "docker.tombolo.dev/egress";

/// The resources that make a network. `taken` are names that pools must not have.
pub(crate) fn resources(
    wish: &Wish,
    name: &Name,
    taken: impl Fn(&str) -> bool,
    annotations: &BTreeMap<String, String>,
) -> Vec<Value> {
    let mut pools = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut reserved: Vec<IpNet> = Vec::new();
    let mut metadata = json!({"name": name, "annotations": {ORIGIN: "docker"}});
    if let Some(egress) = wish.egress {
        metadata["annotations"][EGRESS] = json!(egress);
    }
    for (key, value) in annotations {
        metadata["annotations"][key] = value.clone().into();
    }
    for subnet in &wish.subnets {
        let base = match Family::of_net(subnet.cidr) {
            Family::V4 => format!("{name}-v4"),
            Family::V6 => format!("{name}-v6"),
        };
        let numbered = (2..).map(|n| format!("{base}-{n}"));
        let pool = std::iter::once(base.clone())
            .chain(numbered)
            .find(|pool| !names.contains(pool) && !taken(pool));
        let Some(pool) = pool else { continue };
        pools.push(pool_resource(wish, name, subnet, &pool));
        names.push(pool);
        reserved.extend(unusable(subnet));
    }
    let mut spec = wish.spec.clone();
    spec.insert("pools".to_owned(), json!(names));
    let gateways: Vec<IpAddr> = gateways(wish);
    if !gateways.is_empty() && !wish.is_internal() {
        spec.insert("gateway".to_owned(), json!(gateways));
    }
    let mut all = pools;
    if !reserved.is_empty() {
        all.push(json!({
            "apiVersion": "tombolo.dev/v1", "kind": "IPReservation",
            "metadata": {"name": name, "annotations": {ORIGIN: "docker"}},
            "spec": {"reservedCIDRs": reserved},
        }));
    }
    all.push(json!({
        "apiVersion": "tombolo.dev/v1", "kind": "Network", "metadata": metadata, "spec": spec,
    }));
    all
}

/// The first gateway of each family.
fn gateways(wish: &Wish) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for gateway in wish.subnets.iter().filter_map(|subnet| subnet.gateway) {
        if !found
            .iter()
            .any(|known| Family::of(*known) == Family::of(gateway))
        {
            found.push(gateway);
        }
    }
    found
}

fn pool_resource(wish: &Wish, network: &Name, subnet: &Subnet, pool: &str) -> Value {
    let mut spec = json!({"cidr": subnet.cidr, "natOutgoing": !wish.is_internal()});
    if let Some(size) = block_size(subnet.cidr) {
        spec["blockSize"] = size.into();
    }
    if wish.driver() == "overlay" {
        spec["space"] = json!(network);
    }
    json!({
        "apiVersion": "tombolo.dev/v1", "kind": "IPPool",
        "metadata": {"name": pool, "annotations": {ORIGIN: "docker"}}, "spec": spec,
    })
}

/// The prefix length of a small pool's blocks, so that some nodes have one of their own; that of
/// larger ones is IPAM's usual.
fn block_size(cidr: IpNet) -> Option<u8> {
    let usual = match Family::of_net(cidr) {
        Family::V4 => 26,
        Family::V6 => 122,
    };
    let most = cidr.max_prefix_len();
    let quarter = cidr.prefix_len() + 2;
    (quarter > usual).then(|| {
        // Below eight addresses a block is not worth its name.
        quarter.min(most - 3).max(cidr.prefix_len())
    })
}

/// Addresses that no container is to have by chance.
fn unusable(subnet: &Subnet) -> Vec<IpNet> {
    let cidr = subnet.cidr;
    let mut addresses = subnet.aux.clone();
    addresses.extend(subnet.gateway);
    if cidr.prefix_len() < cidr.max_prefix_len() - 1 {
        addresses.push(cidr.network());
        if Family::of_net(cidr) == Family::V4 {
            addresses.push(cidr.broadcast());
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into_iter().map(Family::host_net).collect()
}

#[cfg(test)]
mod tests;
