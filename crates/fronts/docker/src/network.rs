//! Networks: which of Tombolo's one of Docker's is, made if there is none yet.
//!
//! Docker tells a driver a network's id and not its name. With `-o network=NAME` the network is that
//! one. Without it what was asked for is judged at once, as far as it can be without a name, and
//! made under Docker's own name as soon as that is known ([`crate::namer`]).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tombolo_api::{Applied, ApplyRequest, DeleteRequest, FaultKind};
use tombolo_model::{
    AnyResource, Endpoint, IpPool, KindName, Name, Network, Resource, ResourceKey,
};

use crate::agent::{self, Agent};
use crate::dispatch::{Plugin, Refused};
use crate::options::{self, ORIGIN, Wish};
use crate::state::{Record, Stage};
use crate::wire::{CreateNetwork, Named};

/// The most endpoints that an error names.
const MOST_NAMED: usize = 5;

impl Plugin {
    pub(crate) fn create_network(&self, call: &CreateNetwork) -> Result<Value, Refused> {
        required("NetworkID", &call.network)?;
        let wish = options::read(call)?;
        let known = self
            .state
            .read(|memory| memory.networks.get(&call.network).cloned());
        if let Some(known) = known {
            if known.wish == wish {
                return Ok(json!({}));
            }
            let message = format!(
                "network {} exists already, and is another one",
                call.network
            );
            return Err(message);
        }
        let agent = Agent::new(&self.settings);
        let stage = match &wish.network {
            Some(name) => {
                settle(&agent, name, &wish, &BTreeMap::new())?;
                Stage::Is(name.clone())
            }
            None => {
                let name = stand_in(&call.network)?;
                apply(&agent, &name, &wish, &BTreeMap::new(), true)?;
                Stage::Pending
            }
        };
        let record = Record { stage, wish };
        self.state
            .change(|memory| memory.networks.insert(call.network.clone(), record))?;
        self.namer.wake();
        Ok(json!({}))
    }

    pub(crate) fn delete_network(&self, call: &Named) -> Result<Value, Refused> {
        required("NetworkID", &call.network)?;
        let known = self
            .state
            .read(|memory| memory.networks.get(&call.network).cloned());
        let Some(Record { stage, .. }) = known else {
            return Ok(json!({}));
        };
        let deleted = match stage {
            Stage::Is(name) if self.is_last(&call.network, &name) => {
                delete(&Agent::new(&self.settings), &name)
            }
            _ => Ok(()),
        };
        // Docker forgets it whatever it is told; if it is still a network, the mirror brings it back.
        self.state
            .change(|memory| memory.networks.remove(&call.network))?;
        self.mirror.ring();
        deleted.map(|()| json!({}))
    }

    /// Whether no other network of this engine is the same one of Tombolo's.
    fn is_last(&self, id: &str, name: &Name) -> bool {
        self.state.read(|memory| {
            let mut others = memory.networks.iter().filter(|(other, _)| *other != id);
            others.all(|(_, other)| other.stage != Stage::Is(name.clone()))
        })
    }

    /// The network of Tombolo's that one of Docker's is, as soon as it is one.
    pub(crate) fn network_of(&self, id: &str, agent: &Agent<'_>) -> Result<(Name, Wish), Refused> {
        required("NetworkID", id)?;
        if self.state.read(|memory| !memory.networks.contains_key(id)) {
            // The state was lost; Docker still knows.
            self.namer.heal(id);
        }
        let found = self.state.wait(agent.until(), |memory| {
            let record = memory.networks.get(id)?;
            match &record.stage {
                Stage::Pending => None,
                Stage::Is(name) => Some(Ok((name.clone(), record.wish.clone()))),
                Stage::Failed(why) => Some(Err(why.clone())),
            }
        });
        found.unwrap_or_else(|| {
            let known = self.state.read(|memory| memory.networks.contains_key(id));
            Err(if known {
                self.namer.wake();
                format!("network {id} is not made yet; see the plugin's log, and try again")
            } else {
                format!("network {id} is not known; remove it, and create it anew")
            })
        })
    }
}

/// What a call cannot do without.
pub(crate) fn required(field: &str, value: &str) -> Result<(), Refused> {
    if value.is_empty() {
        return Err(format!("{field} is missing"));
    }
    Ok(())
}

/// The name of a network whose own is not known.
pub(crate) fn stand_in(id: &str) -> Result<Name, Refused> {
    let short: String = id.chars().take(12).collect();
    Name::new(format!("docker-{short}")).map_err(|error| format!("NetworkID: {error}"))
}

/// Makes a network under a name, or finds that the one of that name is what is asked for.
pub(crate) fn settle(
    agent: &Agent<'_>,
    name: &Name,
    wish: &Wish,
    annotations: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    let present = agent.client().get::<Value>(&format!("/v1/networks/{name}"));
    match present {
        Ok(present) => fits(agent, &read_network(present)?, wish),
        Err(error) if agent::fault(&error) == Some(FaultKind::NotFound) => {
            apply(agent, name, wish, annotations, false)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A network that exists.
pub(crate) fn network(agent: &Agent<'_>, name: &Name) -> Result<Resource<Network>, Refused> {
    let present = agent.client().get::<Value>(&format!("/v1/networks/{name}"));
    read_network(present.map_err(|error| error.to_string())?)
}

/// A network as the agent tells it.
pub(crate) fn read_network(mut value: Value) -> Result<Resource<Network>, Refused> {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    Resource::from_value(value).map_err(|error| format!("the agent's answer: {error}"))
}

/// Whether a network that exists is what is asked for.
fn fits(agent: &Agent<'_>, network: &Resource<Network>, wish: &Wish) -> Result<(), Refused> {
    let name = network.name();
    let driver = network.spec.driver.as_str();
    if wish.chose_driver && wish.driver() != driver {
        let message = format!(
            "network {name} exists, with driver {driver}, not {}",
            wish.driver()
        );
        return Err(message);
    }
    let pools = pools_of(agent, &network.spec)?;
    let ranges: Vec<String> = pools
        .iter()
        .map(|pool| pool.spec.cidr.to_string())
        .collect();
    let other = wish
        .subnets
        .iter()
        .find(|subnet| pools.iter().all(|pool| pool.spec.cidr != subnet.cidr));
    match other {
        None => Ok(()),
        Some(subnet) => Err(format!(
            "network {name} exists, with {} and not {}; give --subnet {}, or use --ipam-driver \
             tombolo --ipam-opt network={name}",
            ranges.join(", "),
            subnet.cidr,
            ranges.join(" --subnet ")
        )),
    }
}

/// The pools of a network, in its order.
pub(crate) fn pools_of(
    agent: &Agent<'_>,
    network: &Network,
) -> Result<Vec<Resource<IpPool>>, Refused> {
    let mut all: Vec<Resource<IpPool>> = Vec::new();
    for value in list(agent, KindName::IpPool)? {
        if let AnyResource::IpPool(pool) = value {
            all.push(pool);
        }
    }
    let found = network
        .pools
        .iter()
        .filter_map(|name| all.iter().find(|pool| pool.name() == name).cloned());
    Ok(found.collect())
}

/// Every resource of a kind.
pub(crate) fn list(agent: &Agent<'_>, kind: KindName) -> Result<Vec<AnyResource>, Refused> {
    let all: Vec<Value> = agent
        .client()
        .get(&format!("/v1/{}", kind.plural()))
        .map_err(|error| error.to_string())?;
    let read = |mut value: Value| {
        if let Some(fields) = value.as_object_mut() {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        AnyResource::from_value(kind, value)
    };
    let read = all.into_iter().map(read);
    let read: Result<_, _> = read.collect();
    read.map_err(|error| format!("the agent's answer: {error}"))
}

/// Makes the resources of a network, or only asks whether they could be made.
fn apply(
    agent: &Agent<'_>,
    name: &Name,
    wish: &Wish,
    annotations: &BTreeMap<String, String>,
    dry_run: bool,
) -> Result<(), Refused> {
    let pools = list(agent, KindName::IpPool)?;
    let taken: BTreeSet<String> = pools
        .iter()
        .map(|pool| pool.metadata().name.to_string())
        .collect();
    let request = ApplyRequest {
        resources: options::resources(wish, name, |pool| taken.contains(pool), annotations),
        dry_run,
    };
    let applied = agent.client().post::<Vec<Applied>>("/v1/apply", &request);
    match applied {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("network {name} cannot be made: {error}")),
    }
}

/// Deletes a network with what was made for it, if Docker made it and nobody uses it.
fn delete(agent: &Agent<'_>, name: &Name) -> Result<(), Refused> {
    let present = agent.client().get::<Value>(&format!("/v1/networks/{name}"));
    let network = match present {
        Ok(present) => read_network(present)?,
        // Another engine was faster, or `tombolo delete`.
        Err(error) if agent::fault(&error) == Some(FaultKind::NotFound) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    if !network.metadata.annotations.contains_key(ORIGIN) {
        return Err(format!(
            "network {name} was not made by Docker; `tombolo delete network {name}` deletes it"
        ));
    }
    if let Some(users) = users(agent, name)? {
        return Err(format!("network {name} is in use: {users}"));
    }
    let mut resources = vec![key(KindName::Network, name)];
    for pool in pools_of(agent, &network.spec)? {
        if pool.metadata.annotations.contains_key(ORIGIN) {
            resources.push(key(KindName::IpPool, pool.name()));
        }
    }
    for reservation in list(agent, KindName::IpReservation)? {
        let metadata = reservation.metadata();
        if metadata.name == *name && metadata.annotations.contains_key(ORIGIN) {
            resources.push(key(KindName::IpReservation, name));
        }
    }
    let deleted = agent
        .client()
        .post::<()>("/v1/delete", &DeleteRequest { resources });
    match deleted {
        Err(error) if agent::fault(&error) != Some(FaultKind::NotFound) => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn key(kind: KindName, name: &Name) -> ResourceKey {
    ResourceKey {
        kind,
        namespace: None,
        name: name.clone(),
    }
}

/// Who is plugged into a network, on whatever host; none if nobody is.
fn users(agent: &Agent<'_>, network: &Name) -> Result<Option<String>, Refused> {
    let endpoints = list(agent, KindName::Endpoint)?;
    let users: Vec<&Endpoint> = endpoints
        .iter()
        .filter_map(|any| match any {
            AnyResource::Endpoint(endpoint) if endpoint.spec.network == *network => {
                Some(&endpoint.spec)
            }
            _ => None,
        })
        .collect();
    if users.is_empty() {
        return Ok(None);
    }
    let mut named: Vec<String> = users
        .iter()
        .take(MOST_NAMED)
        .map(|user| who(user))
        .collect();
    if users.len() > MOST_NAMED {
        named.push(format!("and {} more", users.len() - MOST_NAMED));
    }
    Ok(Some(named.join("; ")))
}

/// An endpoint, in words.
fn who(endpoint: &Endpoint) -> String {
    let addresses: Vec<String> = endpoint.addresses.iter().map(ToString::to_string).collect();
    let what = match endpoint.handover {
        Some(_) => "Docker endpoint",
        None => "container",
    };
    let id: String = endpoint.container_id.as_str().chars().take(12).collect();
    format!(
        "{what} {id} on node {} with {}",
        endpoint.node,
        addresses.join(" and ")
    )
}
