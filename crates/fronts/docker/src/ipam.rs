//! The IPAM driver: Docker's addresses are given by Tombolo, on all hosts by one truth.
//!
//! A pool's id says what was asked for, so that the same is always the same. An address is taken in
//! the store, in the network that uses the pool; before there is one, as for a gateway, the answer
//! is arithmetic. If several networks of this engine have the same subnet, an address is taken in
//! each, and [`crate::endpoint`] keeps the one that is used.

pub(crate) mod pool;

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};
use tombolo_api::{GiveRequest, TakeRequest, Taken};
use tombolo_model::{AddressRange, Family, KindName, MacAddr, Name};

use crate::agent::Agent;
use crate::dispatch::{Plugin, Refused};
use crate::network::{list, pools_of, read_network, required};
use crate::options::address;
use crate::state::{Memory, Stage};
use crate::wire::{PoolCall, RequestPool};
use pool::PoolId;

/// What Docker asks an address for (`ipamapi.RequestAddressType`).
const REQUEST_TYPE: &str = "RequestAddressType";
const GATEWAY: &str = "com.docker.network.gateway";
const MAC: &str = "com.docker.network.endpoint.macaddress";
/// How often another address is tried where several networks of the same subnet need the same one.
const ATTEMPTS: usize = 16;

impl Plugin {
    pub(crate) fn request_pool(&self, call: &RequestPool) -> Result<Value, Refused> {
        let agent = Agent::new(&self.settings);
        let network = pool::network_option(call)?;
        if call.pool.is_empty() && !call.sub_pool.is_empty() {
            let message = format!(
                "--ip-range {} needs a --subnet that it is of",
                call.sub_pool
            );
            return Err(message);
        }
        let mut data = json!({});
        let cidr = match &network {
            Some(name) => {
                let (cidr, gateway) = of_network(&agent, name, call)?;
                if let Some(gateway) = gateway {
                    data[GATEWAY] = IpNet::new_assert(gateway, cidr.prefix_len())
                        .to_string()
                        .into();
                }
                cidr
            }
            None if call.pool.is_empty() => self.choose_pool(&agent, call.v6)?,
            None => pool::range("Pool", &call.pool, call.v6)?,
        };
        let id = PoolId::new(cidr, &call.sub_pool, network)?;
        let text = id.to_string();
        self.state.change(|memory| {
            *memory.pools.entry(text.clone()).or_default() += 1;
        })?;
        Ok(json!({"PoolID": text, "Pool": cidr, "Data": data}))
    }

    /// A range that nobody uses.
    fn choose_pool(&self, agent: &Agent<'_>, v6: bool) -> Result<IpNet, Refused> {
        let pools = list(agent, KindName::IpPool)?;
        let nodes = list(agent, KindName::Node)?;
        let mut used = self.state.read(|memory| {
            let asked = memory.pools.keys().filter_map(|id| id.parse().ok());
            let asked = asked.map(|id: PoolId| id.pool);
            let networks = memory.networks.values();
            let subnets = networks.flat_map(|record| record.wish.subnets.iter().map(|s| s.cidr));
            asked.chain(subnets).collect::<Vec<IpNet>>()
        });
        used.extend(pools.iter().chain(&nodes).flat_map(pool::ranges_of));
        let family = if v6 { Family::V6 } else { Family::V4 };
        pool::free(family, &used)
            .ok_or_else(|| "no free subnet is left to choose from; name one by --subnet".to_owned())
    }

    pub(crate) fn release_pool(&self, call: &PoolCall) -> Result<Value, Refused> {
        required("PoolID", &call.pool)?;
        self.state.change(|memory| {
            if let Some(count) = memory.pools.get_mut(&call.pool) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    memory.pools.remove(&call.pool);
                }
            }
        })?;
        Ok(json!({}))
    }

    pub(crate) fn request_address(&self, call: &PoolCall) -> Result<Value, Refused> {
        let id: PoolId = call.pool.parse()?;
        let wanted = match call.address.as_str() {
            "" => None,
            text => Some(address("Address", text)?),
        };
        if let Some(wanted) = wanted.filter(|wanted| !id.pool.contains(wanted)) {
            return Err(format!("{wanted} is not in {}", id.pool));
        }
        let answer = |address: IpAddr| {
            let net = IpNet::new_assert(address, id.pool.prefix_len());
            Ok(json!({"Address": net, "Data": {}}))
        };
        if call
            .options
            .get(REQUEST_TYPE)
            .is_some_and(|kind| kind == GATEWAY)
        {
            return answer(wanted.unwrap_or_else(|| id.first()));
        }
        let mac: Option<MacAddr> = match call.options.get(MAC).map(String::as_str) {
            None | Some("") => None,
            Some(text) => Some(text.parse().map_err(|error| format!("{MAC}: {error}"))?),
        };
        // What is asked for by name and for no interface is an `--aux-address`.
        if let (Some(wanted), None) = (wanted, mac) {
            return answer(wanted);
        }
        let agent = Agent::new(&self.settings);
        let networks = self.networks_of(&id, &agent);
        if networks.is_empty() {
            return Err(format!(
                "no network of this plugin has the subnet {}; --ipam-driver tombolo goes with -d tombolo",
                id.pool
            ));
        }
        let take = Take {
            agent: &agent,
            networks: &networks,
            family: Family::of_net(id.pool),
            ranges: id.range().into_iter().collect(),
        };
        answer(take.run(mac, wanted)?)
    }

    pub(crate) fn release_address(&self, call: &PoolCall) -> Result<Value, Refused> {
        let id: PoolId = call.pool.parse()?;
        let address = address("Address", &call.address)?;
        let agent = Agent::new(&self.settings);
        for network in self.state.read(|memory| networks(memory, &id)) {
            if let Err(error) = give(&agent, &network, address) {
                // The agent frees what nobody comes for.
                tracing::warn!(%network, %address, error, "cannot give an address back");
            }
        }
        Ok(json!({}))
    }

    /// The networks that a pool's addresses are of, once Docker's are known by their names.
    fn networks_of(&self, id: &PoolId, agent: &Agent<'_>) -> Vec<Name> {
        let settled = |memory: &Memory| {
            let mut records = memory.networks.values();
            let waits = records.any(|record| record.stage == Stage::Pending && id.is_of(record));
            (!waits).then(|| networks(memory, id))
        };
        let found = self.state.wait(agent.until(), settled);
        found.unwrap_or_else(|| self.state.read(|memory| networks(memory, id)))
    }

    /// The networks that an address of our IPAM may have been taken in.
    pub(crate) fn networks_with(&self, address: IpAddr) -> Vec<Name> {
        self.state.read(|memory| {
            let records = memory.networks.values();
            let with = records.filter(|record| {
                let mut subnets = record.wish.subnets.iter();
                subnets.any(|subnet| subnet.ours && subnet.cidr.contains(&address))
            });
            with.filter_map(|record| match &record.stage {
                Stage::Is(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
        })
    }
}

/// What a fuzzer may reach of a pool's request.
pub(crate) fn fuzz_pool(call: &RequestPool) {
    let network = pool::network_option(call);
    if let (Ok(network), Ok(cidr)) = (network, pool::range("Pool", &call.pool, call.v6)) {
        let id = PoolId::new(cidr, &call.sub_pool, network);
        let text = id.map(|id| id.to_string()).unwrap_or_default();
        let again = text.parse::<PoolId>().map(|id| id.to_string());
        assert!(text.is_empty() || again == Ok(text));
    }
}

/// What a fuzzer may reach of an address's request.
pub(crate) fn fuzz_address(call: &PoolCall) {
    if let Ok(id) = call.pool.parse::<PoolId>() {
        let _ = (id.first(), id.range(), address("Address", &call.address));
    }
}

/// The networks that a pool's addresses are of.
fn networks(memory: &Memory, id: &PoolId) -> Vec<Name> {
    let mut found: Vec<Name> = Vec::new();
    for record in memory.networks.values().filter(|record| id.is_of(record)) {
        if let Stage::Is(name) = &record.stage
            && !found.contains(name)
        {
            found.push(name.clone());
        }
    }
    found
}

/// The range of a network that exists, as `--ipam-opt network=NAME` asks for, and its gateway.
fn of_network(
    agent: &Agent<'_>,
    name: &Name,
    call: &RequestPool,
) -> Result<(IpNet, Option<IpAddr>), Refused> {
    let present = agent.client().get::<Value>(&format!("/v1/networks/{name}"));
    let network = read_network(present.map_err(|error| error.to_string())?)?;
    let family = if call.v6 { Family::V6 } else { Family::V4 };
    let pools = pools_of(agent, &network.spec)?;
    let mut ranges = pools
        .iter()
        .map(|pool| pool.spec.cidr)
        .filter(|cidr| Family::of_net(*cidr) == family);
    let cidr = match call.pool.as_str() {
        "" => ranges.next(),
        text => {
            let asked = pool::range("Pool", text, call.v6)?;
            ranges.find(|cidr| *cidr == asked)
        }
    };
    let cidr = cidr.ok_or_else(|| {
        let what = if call.pool.is_empty() {
            format!("{family} range")
        } else {
            format!("range {}", call.pool)
        };
        format!("network {name} has no {what}; see `tombolo describe network {name}`")
    })?;
    let mut gateways = network.spec.gateway.iter().copied();
    Ok((cidr, gateways.find(|gateway| cidr.contains(gateway))))
}

fn give(agent: &Agent<'_>, network: &Name, address: IpAddr) -> Result<(), Refused> {
    let request = GiveRequest {
        network: network.clone(),
        address,
    };
    let given = agent.client().post::<()>("/v1/addresses/give", &request);
    given.map_err(|error| error.to_string())
}

/// An address is taken, in each of some networks.
struct Take<'a> {
    agent: &'a Agent<'a>,
    networks: &'a [Name],
    family: Family,
    ranges: Vec<AddressRange>,
}

impl Take<'_> {
    fn run(&self, mac: Option<MacAddr>, wanted: Option<IpAddr>) -> Result<IpAddr, Refused> {
        let Some((first, others)) = self.networks.split_first() else {
            return Err("no network has such a pool".to_owned());
        };
        if let Some(wanted) = wanted {
            return self.named(mac, wanted);
        }
        let mut misses = Vec::new();
        let mut outcome = Err(format!(
            "no address was free in all of the networks that have this subnet, in {ATTEMPTS} attempts"
        ));
        for attempt in 0..ATTEMPTS {
            // The same interface would be given the same address again.
            let mac = mac.filter(|_| attempt == 0);
            let address = match self.one(first, mac, None) {
                Ok(address) => address,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            };
            let missing = others.iter().position(|network| {
                let taken = self.one(network, mac, Some(address));
                taken.is_err()
            });
            match missing {
                None => {
                    outcome = Ok(address);
                    break;
                }
                Some(count) => {
                    misses.extend(others.iter().take(count).map(|network| (network, address)));
                    misses.push((first, address));
                }
            }
        }
        for (network, address) in misses {
            // The agent frees what nobody comes for.
            let _ = give(self.agent, network, address);
        }
        outcome
    }

    /// An address that is asked for by name: some network must have it free, and the endpoint says
    /// which one it is of.
    fn named(&self, mac: Option<MacAddr>, wanted: IpAddr) -> Result<IpAddr, Refused> {
        let taken: Vec<_> = self
            .networks
            .iter()
            .map(|network| self.one(network, mac, Some(wanted)))
            .collect();
        let mut refused = String::new();
        for outcome in taken {
            match outcome {
                Ok(address) => return Ok(address),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn one(
        &self,
        network: &Name,
        mac: Option<MacAddr>,
        wanted: Option<IpAddr>,
    ) -> Result<IpAddr, Refused> {
        let request = TakeRequest {
            network: network.clone(),
            mac,
            addresses: wanted.into_iter().collect(),
            ranges: match wanted {
                Some(_) => Vec::new(),
                None => self.ranges.clone(),
            },
        };
        let taken = self
            .agent
            .client()
            .post::<Taken>("/v1/addresses/take", &request);
        let taken = taken.map_err(|error| error.to_string())?;
        let mut addresses = taken.addresses.into_iter();
        addresses
            .find(|address| Family::of(*address) == self.family)
            .ok_or_else(|| format!("network {network} gave no {} address", self.family))
    }
}
