//! What is done between Docker's calls: networks get their names, lost ones are found again, and
//! what could not be unplugged is unplugged.
//!
//! It is one thread, and the only one besides the mirror's that asks the engine: from within a call
//! the engine would wait for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tombolo_model::Name;

use crate::agent::Agent;
use crate::bell::Bell;
use crate::dispatch::Plugin;
use crate::engine::{Engine, Silence};
use crate::network::{settle, stand_in};
use crate::options;
use crate::state::{Record, Stage};
use crate::wire::{CreateNetwork, IpamData};

/// The pauses between two attempts: short at first, since Docker stores a network right after its
/// driver has made it.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often it is looked whether there is something to do.
const IDLE: Duration = Duration::from_secs(60);
/// How long the engine may not know a network, or not answer, before it is given up on.
const GIVE_UP: Duration = Duration::from_secs(6);
/// How long an endpoint whose fate is unknown is unplugged again and again: longer than the agent
/// works on plugging it in.
const REPEAT: Duration = Duration::from_secs(30);

/// The bell of the thread, and what it is rung for besides the state.
#[derive(Default)]
pub(crate) struct Namer {
    bell: Bell,
    lost: Mutex<BTreeSet<String>>,
}

impl Namer {
    /// There is something to do.
    pub fn wake(&self) {
        self.bell.ring();
    }

    /// A network is not known here; the engine may know it.
    pub fn heal(&self, id: &str) {
        self.lost().insert(id.to_owned());
        self.wake();
    }

    fn lost(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works for ever.
pub(crate) fn run(plugin: &Arc<Plugin>) {
    let mut since = BTreeMap::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let left = work(plugin, &mut since);
        let rung = plugin.namer.bell.wait(if left == 0 { IDLE } else { pause });
        pause = match rung {
            true => FIRST_PAUSE,
            false => (pause * 2).min(LONGEST_PAUSE),
        };
    }
}

/// Does what can be done, and answers how much is left. `since` says when each was first tried.
fn work(plugin: &Plugin, since: &mut BTreeMap<String, Instant>) -> usize {
    for id in std::mem::take(&mut *plugin.namer.lost()) {
        find_again(plugin, &id);
    }
    let memory = plugin.state.read(Clone::clone);
    let mut left = BTreeSet::new();
    for (id, record) in &memory.networks {
        if matches!(record.stage, Stage::Is(_)) {
            continue;
        }
        left.insert(id.clone());
        let first = *since.entry(id.clone()).or_insert_with(Instant::now);
        let stage = name(plugin, id, record, first.elapsed());
        let outcome = match stage {
            Some(Next::Stage(stage)) if stage != record.stage => plugin.state.change(|memory| {
                if let Some(record) = memory.networks.get_mut(id) {
                    record.stage = stage;
                }
            }),
            Some(Next::Forget) => plugin.state.change(|memory| {
                memory.networks.remove(id);
            }),
            _ => continue,
        };
        plugin.mirror.ring();
        if let Err(error) = outcome {
            tracing::error!(error, "cannot keep a network's name");
        }
    }
    for endpoint in &memory.abandoned {
        let first = *since.entry(endpoint.clone()).or_insert_with(Instant::now);
        let detached = Agent::new(&plugin.settings).detach(endpoint);
        if detached.is_ok() && first.elapsed() > REPEAT {
            let forget = plugin
                .state
                .change(|memory| memory.abandoned.remove(endpoint));
            if forget.is_ok() {
                continue;
            }
        }
        left.insert(endpoint.clone());
    }
    since.retain(|key, _| left.contains(key));
    left.len()
}

/// What becomes of a network.
enum Next {
    Stage(Stage),
    Forget,
}

/// Makes a network under the name that the engine knows it by.
fn name(plugin: &Plugin, id: &str, record: &Record, waited: Duration) -> Option<Next> {
    let engine = Engine {
        socket: &plugin.settings.docker,
    };
    let (name, labels) = match engine.get(&format!("/networks/{id}")) {
        Ok(known) => {
            let name = known["Name"].as_str().unwrap_or_default().to_owned();
            let name = record
                .wish
                .network
                .clone()
                .map_or_else(|| Name::new(name), Ok);
            (name.ok()?, labels(&known))
        }
        // Docker gave it up.
        Err(Silence::NotFound) if waited > GIVE_UP => return Some(Next::Forget),
        Err(Silence::NotFound) => return None,
        Err(Silence::Unreached(_) | Silence::Refused(_)) if waited < GIVE_UP => return None,
        Err(silence) => {
            tracing::warn!(
                ?silence,
                id,
                "the engine does not say how a network is called"
            );
            (stand_in(id).ok()?, BTreeMap::new())
        }
    };
    let agent = Agent::new(&plugin.settings);
    match settle(&agent, &name, &record.wish, &labels) {
        Ok(()) => {
            tracing::info!(%name, id, "Docker's network has its name");
            Some(Next::Stage(Stage::Is(name)))
        }
        Err(why) => {
            tracing::warn!(%name, id, why, "a network of Docker's cannot be made");
            Some(Next::Stage(Stage::Failed(why)))
        }
    }
}

/// What Docker and compose know of a network and Tombolo does not: labels, options, ranges. It is
/// kept with the network for the other engines.
fn labels(known: &Value) -> BTreeMap<String, String> {
    let kept = [
        (&known["Labels"], crate::LABELS),
        (&known["Options"], crate::OPTIONS),
        (&known["IPAM"]["Config"], crate::SUBNETS),
    ];
    let is_empty = |value: &Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => true,
    };
    let kept = kept.into_iter().filter(|(value, _)| !is_empty(value));
    kept.map(|(value, annotation)| (annotation.to_owned(), value.to_string()))
        .collect()
}

/// Finds out from the engine what a network is that is not known here.
fn find_again(plugin: &Plugin, id: &str) {
    let engine = Engine {
        socket: &plugin.settings.docker,
    };
    let Ok(known) = engine.get(&format!("/networks/{id}")) else {
        return;
    };
    if known["Driver"].as_str() != Some(plugin.settings.driver().as_str()) {
        return;
    }
    let Ok(wish) = options::read(&as_call(&known)) else {
        return;
    };
    tracing::info!(id, "a network of Docker's is found again");
    let record = Record {
        stage: Stage::Pending,
        wish,
    };
    let found = plugin.state.change(|memory| {
        memory.networks.entry(id.to_owned()).or_insert(record);
    });
    if let Err(error) = found {
        tracing::error!(error, "cannot keep a network that was found again");
    }
}

/// The call that made a network, from what the engine tells of it.
fn as_call(known: &Value) -> CreateNetwork {
    let space = match known["IPAM"]["Driver"].as_str() {
        Some("default") | None => String::new(),
        Some(_) => crate::dispatch::SPACES[0].to_owned(),
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let configs = known["IPAM"]["Config"].as_array();
    let data = configs.into_iter().flatten().map(|config| IpamData {
        address_space: space.clone(),
        pool: text(&config["Subnet"]),
        gateway: text(&config["Gateway"]),
        aux_addresses: serde_json::from_value(config["AuxiliaryAddresses"].clone())
            .unwrap_or_default(),
    });
    let mut options = serde_json::Map::new();
    options.insert(
        "com.docker.network.generic".to_owned(),
        known["Options"].clone(),
    );
    options.insert(
        "com.docker.network.internal".to_owned(),
        json!(known["Internal"] == true),
    );
    CreateNetwork {
        network: text(&known["Id"]),
        options,
        v4: data.collect(),
        v6: Vec::new(),
    }
}
