//! A BGP daemon in itself: reads a configuration, speaks, and answers on its standard output.
//!
//! ```text
//! cargo run -p tombolo-speaker --example speaker -- speaker.json
//! ```
//!
//! The file needs only what is not as usual; the names are those of `tombolo_bgp::Config` and `Peer`
//! in camelCase, times are seconds:
//!
//! ```json
//! {
//!   "asn": 65001, "routerId": "192.0.2.1",
//!   "peers": {"10.0.0.2": {"asn": 65002, "holdTime": 9, "bfd": {"interval": 0.3, "multiplier": 3}}},
//!   "originate": {"10.1.0.0/24": {}},
//!   "nextHops": {"0.0.0.0/0": 0, "::/0": 0}
//! }
//! ```
//!
//! Each line of its standard input is a wish, and gets a line of JSON as its answer:
//!
//! ```json
//! {"do": "status"}
//! {"do": "routes"}
//! {"do": "originate", "routes": {"10.1.0.0/24": {"communities": ["65001:1"]}}}
//! {"do": "configure", "config": {…as the file…}}
//! {"do": "refresh", "peer": "10.0.0.2"}
//! {"do": "reset", "peer": "10.0.0.2", "hard": true}
//! {"do": "stop", "how": "cease"}
//! ```
//!
//! It ends with its input: gracefully, so that peers keep its routes if that was agreed on.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use tombolo_bgp::rib::{NextHops, Path};
use tombolo_bgp::{Asn, Config, Origination, Peer, PeerKey};
use tombolo_speaker::{Handle, Options, Stop, start};

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let file = std::env::args().nth(1).ok_or("usage: speaker FILE")?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("read {file}: {error}"))?;
    let value = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    let handle = start(options(value).map_err(|error| format!("{file}: {error}"))?)?;
    for line in std::io::stdin().lock().lines() {
        let wish = serde_json::from_str(&line?)?;
        if let Wish::Stop { how } = wish {
            handle.stop(how.into()).wait()?;
            return say(&json!({"ok": true}));
        }
        let answer =
            fulfil(&handle, wish).unwrap_or_else(|error| json!({"error": error.to_string()}));
        say(&answer)?;
    }
    handle.stop(Stop::Graceful).wait()?;
    Ok(())
}

fn say(answer: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    Ok(out.flush()?)
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", deny_unknown_fields)]
enum Wish {
    Status,
    Routes,
    Originate { routes: BTreeMap<IpNet, Value> },
    Configure { config: Value },
    Refresh { peer: PeerKey },
    Reset { peer: PeerKey, hard: bool },
    Stop { how: How },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum How {
    Graceful,
    Cease,
}

impl From<How> for Stop {
    fn from(how: How) -> Stop {
        match how {
            How::Graceful => Stop::Graceful,
            How::Cease => Stop::Cease,
        }
    }
}

fn fulfil(handle: &Handle, wish: Wish) -> Result<Value, Failure> {
    match wish {
        Wish::Status => return Ok(serde_json::to_value(handle.status().wait()?)?),
        Wish::Routes => {
            let routes = handle.routes().now();
            let shown = (routes.best.iter()).map(|(prefix, paths)| {
                let paths = paths.iter().map(show).collect::<Vec<_>>();
                (prefix.to_string(), Value::from(paths))
            });
            return Ok(json!({
                "settled": routes.settled,
                "routes": shown.collect::<serde_json::Map<_, _>>(),
            }));
        }
        Wish::Originate { routes } => handle.originate(origins(routes)?),
        Wish::Configure { config } => {
            let options = options(config)?;
            handle.set_next_hops(options.next_hops);
            handle.originate(options.originate);
            handle.configure(options.config).wait()??;
        }
        Wish::Refresh { peer } => handle.refresh(peer),
        Wish::Reset { peer, hard } => handle.reset(peer, hard),
        Wish::Stop { .. } => {}
    }
    Ok(json!({"ok": true}))
}

fn show(path: &Path) -> Value {
    let attributes = &path.attributes;
    let texts = |list: &mut dyn Iterator<Item = String>| list.collect::<Vec<_>>();
    json!({
        "peer": path.peer.to_string(),
        "nextHop": format!("{:?}", path.next_hop),
        "asPath": format!("{:?}", attributes.as_path),
        "localPref": attributes.local_pref,
        "med": attributes.med,
        "communities": texts(&mut attributes.communities.iter().map(|c| String::from(*c))),
        "largeCommunities":
            texts(&mut attributes.large_communities.iter().map(|c| String::from(*c))),
    })
}

/// The options of a file.
fn options(file: Value) -> Result<Options, Failure> {
    let Value::Object(mut fields) = file else {
        return Err("it is no JSON object".into());
    };
    let mut take = |name: &str| fields.remove(name).unwrap_or_else(|| json!({}));
    let (originate, next_hops, peers) = (take("originate"), take("nextHops"), take("peers"));
    let restarting = fields.remove("restarting") == Some(Value::Bool(true));
    let listen = fields.remove("listen");

    let usual = Config {
        asn: Asn(0),
        router_id: tombolo_bgp::RouterId([0, 0, 0, 0].into()),
        port: 179,
        cluster_id: None,
        multipath: 1,
        graceful: None,
        peers: BTreeMap::new(),
    };
    let mut config: Config = overlay(serde_json::to_value(usual)?, fields.into())?;
    for (key, peer) in serde_json::from_value::<BTreeMap<PeerKey, Value>>(peers)? {
        let usual = serde_json::to_value(Peer::new(key.to_string(), config.asn))?;
        config.peers.insert(key, overlay(usual, peer)?);
    }
    let mut options = Options::new(config);
    options.originate = origins(serde_json::from_value(originate)?)?;
    options.next_hops = NextHops(
        serde_json::from_value::<BTreeMap<_, _>>(next_hops)?
            .into_iter()
            .collect(),
    );
    options.restarting = restarting;
    if let Some(listen) = listen {
        options.listen = serde_json::from_value(listen)?;
    }
    Ok(options)
}

fn origins(routes: BTreeMap<IpNet, Value>) -> Result<BTreeMap<IpNet, Origination>, Failure> {
    routes
        .into_iter()
        .map(|(prefix, route)| {
            let usual = serde_json::to_value(Origination::default())?;
            Ok((prefix, overlay(usual, route)?))
        })
        .collect()
}

/// What is usual, with what a file says put over it.
fn overlay<T: serde::de::DeserializeOwned>(usual: Value, said: Value) -> Result<T, Failure> {
    let (Value::Object(mut all), Value::Object(said)) = (usual, said) else {
        return Err("it is no JSON object".into());
    };
    for (name, value) in said {
        let place = all
            .get_mut(&name)
            .ok_or_else(|| format!("there is no field {name:?}"))?;
        *place = times(&name, value)?;
    }
    Ok(serde_json::from_value(all.into())?)
}

/// Times are seconds in a file, and pairs of seconds and nanoseconds in serde.
fn times(name: &str, value: Value) -> Result<Value, Failure> {
    const TIMES: [&str; 6] = [
        "holdTime",
        "connectRetry",
        "interval",
        "restartTime",
        "staleTime",
        "longLived",
    ];
    match value {
        Value::Number(seconds) if TIMES.contains(&name) => {
            let seconds = seconds.as_f64().unwrap_or_default();
            Ok(serde_json::to_value(Duration::try_from_secs_f64(seconds)?)?)
        }
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| Ok((name.clone(), times(&name, value)?)));
            Ok(Value::Object(fields.collect::<Result<_, Failure>>()?))
        }
        other => Ok(other),
    }
}
