//! `tombolo init`: the first node of a cluster makes its certificate authority, its store with the
//! first resources in it, and a token for the next node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use serde_json::{Map, Value};
use tombolo_join::{Authority, San};
use tombolo_model::kinds::{MtuChoice, NodeAddress, TransportSpec};
use tombolo_model::selector::Selector;
use tombolo_model::{AnyResource, Family, IpPool, Name, Network, Node, Resource, World, Write};
use tombolo_store::embedded::{EmbeddedConfig, EmbeddedStore};
use tombolo_store::{Commit, Resources, Store};

use crate::admit::{host_port, make_token};
use crate::clock::now;
use crate::config::{
    Config, Files, JOIN_PORT, METRICS_PORT, STORE_PORT, StoreConfig, host_name, random_uid,
};
use crate::underlay::{self, describe};

/// The pools of a cluster that is not told others; they overlap nothing that is in common use.
const DEFAULT_POOLS: [&str; 2] = ["10.244.0.0/16", "fd74:6f6d:626f::/64"];

/// How `init` is asked.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The node's name; the host's if none.
    pub node: Option<Name>,
    /// The state folder.
    pub state_dir: PathBuf,
    /// The local API's socket.
    pub socket: PathBuf,
    /// How the underlay's address is found, in order.
    pub underlay: Vec<String>,
    /// Where the store serves the other nodes.
    pub store_listen: Option<SocketAddr>,
    /// Where nodes ask to join.
    pub join_listen: Option<SocketAddr>,
    /// The first network's pools.
    pub pools: Vec<IpNet>,
    /// The first network's transport.
    pub transport: Option<String>,
    /// Use this etcd instead of a store of our own.
    pub etcd: Option<EtcdOptions>,
    /// How long the first token is good for.
    pub token_ttl: Duration,
    /// How many nodes may join with it.
    pub token_uses: u32,
    /// Where metrics and health are asked for.
    pub metrics_listen: Option<SocketAddr>,
}

/// An etcd of the operator's.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// Its endpoints, as `https://10.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// The file of its certificate authority.
    pub ca: Option<PathBuf>,
    /// The file of our certificate.
    pub cert: Option<PathBuf>,
    /// The file of our key.
    pub key: Option<PathBuf>,
}

/// What `init` did.
#[derive(Debug, Clone)]
pub struct Initialised {
    /// The node's name.
    pub node: Name,
    /// What to type on the next node.
    pub join_command: String,
    /// What was chosen and why, in words.
    pub notes: Vec<String>,
}

/// Makes this host the first node of a cluster.
///
/// # Errors
/// The host is a node already; nothing can be reached by it; a file cannot be written. Nothing that
/// was begun stays.
pub fn init(options: InitOptions) -> Result<Initialised> {
    let files = Files::new(&options.state_dir);
    let node = options.node.clone().map_or_else(host_name, Ok)?;
    let addresses = underlay::detect(&underlay::methods(&options.underlay)?)?;
    let first = resources(&options, &node, &addresses)?;
    files.prepare()?;
    let outcome = write_all(&options, &files, &node, &addresses, first);
    if outcome.is_err() {
        remove_begun(&files);
    }
    outcome
}

fn write_all(
    options: &InitOptions,
    files: &Files,
    node: &Name,
    addresses: &[NodeAddress],
    mut first: Vec<AnyResource>,
) -> Result<Initialised> {
    let authority = Authority::create("tombolo", now())?;
    let ips: Vec<IpAddr> = addresses.iter().map(|a| a.address.addr()).collect();
    let sans: Vec<San> = ips.iter().copied().map(San::Ip).collect();
    let issued = authority.issue_node(node, &sans, now())?;
    let ca = authority.to_pem();
    Files::write(&files.ca_cert(), &ca.certificate)?;
    Files::write(&files.ca_key(), &ca.key)?;
    Files::write(&files.node_cert(), &issued.certificate)?;
    Files::write(&files.node_key(), &issued.key)?;
    let ttl = options.token_ttl.as_secs();
    let token = make_token(authority.fingerprint(), ttl, options.token_uses, now())?;
    first.push(AnyResource::Token(token.resource));
    let uid = random_uid()?;
    for resource in &mut first {
        if matches!(resource, AnyResource::Node(_)) {
            resource.metadata_mut().uid.clone_from(&uid);
        }
    }
    let config = Config {
        node: node.clone(),
        uid,
        store: store_config(options, &ips),
        underlay: options.underlay.clone(),
        socket: options.socket.clone(),
        metrics_listen: options
            .metrics_listen
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, METRICS_PORT))),
    };
    fill_store(&config, files, &first)?;
    config.save(files)?;
    let join_port = options
        .join_listen
        .map_or(JOIN_PORT, |listen| listen.port());
    let join = ips
        .first()
        .map(|ip| host_port(*ip, join_port))
        .unwrap_or_default();
    Ok(Initialised {
        node: node.clone(),
        join_command: format!("tombolo join {join} --token {}", token.text),
        notes: addresses.iter().map(describe).collect(),
    })
}

fn store_config(options: &InitOptions, ips: &[IpAddr]) -> StoreConfig {
    let any = |port| SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
    let join_listen = options.join_listen.unwrap_or_else(|| any(JOIN_PORT));
    if let Some(etcd) = options.etcd.clone() {
        let EtcdOptions {
            endpoints,
            ca,
            cert,
            key,
        } = etcd;
        return StoreConfig::Etcd {
            endpoints,
            ca,
            cert,
            key,
            join_listen: Some(join_listen),
        };
    }
    let listen = options.store_listen.unwrap_or_else(|| any(STORE_PORT));
    let advertise = ips
        .iter()
        .map(|ip| format!("https://{}", SocketAddr::new(*ip, listen.port())))
        .collect();
    StoreConfig::Embedded {
        listen,
        join_listen,
        advertise,
    }
}

/// The first resources: this node, the pools, and a network on them.
fn resources(
    options: &InitOptions,
    node: &Name,
    addresses: &[NodeAddress],
) -> Result<Vec<AnyResource>> {
    let name = |text: &str| Name::new(text).context("a name of our own");
    let mut all = pools(options, addresses)?;
    let network = Network {
        driver: name("routed")?,
        transport: Some(TransportSpec {
            name: Name::new(options.transport.as_deref().unwrap_or("vxlan"))
                .context("--transport")?,
            cross_subnet: false,
            options: Map::<String, Value>::new(),
        }),
        pools: all
            .iter()
            .map(|pool| pool.metadata().name.clone())
            .collect(),
        gateway: Vec::new(),
        internal: false,
        isolation: Default::default(),
        tracking: Default::default(),
        mtu: MtuChoice::Auto,
        underlay: None,
        fan: None,
        macvlan: None,
        ipvlan: None,
        vlan: None,
    };
    all.push(Resource::new(name("default")?, network).into());
    all.push(
        Resource::new(
            node.clone(),
            Node {
                addresses: addresses.to_vec(),
                bgp: None,
            },
        )
        .into(),
    );
    check(&all)?;
    Ok(all)
}

/// The first pools: `default-v4`, `default-v6`, and `-2` and so on where there are several.
fn pools(options: &InitOptions, addresses: &[NodeAddress]) -> Result<Vec<AnyResource>> {
    let mut counts = BTreeMap::new();
    let mut pools = Vec::new();
    for cidr in pool_ranges(options)? {
        if let Some(clash) = addresses.iter().find(|a| cidr.contains(&a.address.addr())) {
            bail!(
                "pool {cidr} contains this host's own address {}; choose another range with --pool",
                clash.address
            );
        }
        let family = Family::of_net(cidr);
        let count = counts
            .entry(family)
            .and_modify(|n| *n += 1)
            .or_insert(1_u32);
        let number = if *count == 1 {
            String::new()
        } else {
            format!("-{count}")
        };
        let suffix = match family {
            Family::V4 => "v4",
            Family::V6 => "v6",
        };
        let name = Name::new(format!("default-{suffix}{number}")).context("a name of our own")?;
        let pool = IpPool {
            cidr,
            space: None,
            block_size: None,
            nat_outgoing: true,
            node_selector: Selector::default(),
            disabled: false,
            strict_affinity: false,
            disable_bgp_export: false,
        };
        pools.push(Resource::new(name, pool).into());
    }
    Ok(pools)
}

fn pool_ranges(options: &InitOptions) -> Result<Vec<IpNet>> {
    if !options.pools.is_empty() {
        return Ok(options.pools.clone());
    }
    let has_ipv6 = std::path::Path::new("/proc/net/if_inet6").exists();
    let ranges = DEFAULT_POOLS
        .iter()
        .map(|text| text.parse().context("a range of our own"));
    let ranges: Vec<IpNet> = ranges.collect::<Result<_>>()?;
    Ok(ranges
        .into_iter()
        .filter(|net| has_ipv6 || Family::of_net(*net) == Family::V4)
        .collect())
}

/// The faults of the first resources are the caller's options'.
fn check(all: &[AnyResource]) -> Result<()> {
    let mut world = World::default();
    for resource in all {
        world.put(resource.clone());
    }
    for resource in all {
        let mut faults = resource.validate();
        faults.extend(tombolo_plan::check::faults(resource));
        faults.extend(world.conflicts(resource));
        faults.extend(tombolo_plan::check::conflicts(&world, resource));
        if let Some(fault) = faults.first() {
            bail!("{}: {fault}", resource.key());
        }
    }
    Ok(())
}

/// Writes the first resources. In an etcd that has a cluster already nothing is changed.
fn fill_store(config: &Config, files: &Files, first: &[AnyResource]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async {
        let store: Arc<dyn Store> = match &config.store {
            StoreConfig::Embedded { .. } => {
                Arc::new(EmbeddedStore::open(EmbeddedConfig::new(files.store()))?)
            }
            _ => crate::store::remote(config, files)?,
        };
        let resources = Resources::new(store);
        let (world, _) = resources.world().await?;
        if !world.nodes.is_empty() {
            bail!("the store holds a cluster already; join it from a node that it has");
        }
        let writes: Vec<Write> = first.iter().map(|r| Write::put(r.clone(), None)).collect();
        match resources.commit(&writes).await? {
            Commit::Done(_) => Ok(()),
            Commit::Conflict => bail!("another host began a cluster in this store just now"),
        }
    })
}

/// Removes what a failed `init` or `join` has left.
pub(crate) fn remove_begun(files: &Files) {
    for path in [
        files.config(),
        files.store(),
        files.ca_cert(),
        files.ca_key(),
        files.node_cert(),
        files.node_key(),
    ] {
        // The error that led here is the one to tell.
        let _ = std::fs::remove_file(path);
    }
}
