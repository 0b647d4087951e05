//! Small Worlds, made of a few numbers: what the property tests vary.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::json;
use tombolo_model::kinds::TransportSpec;
use tombolo_model::{AnyResource, KindName, Name};

/// A name; the texts here are all names.
pub fn name(text: impl Into<String>) -> Name {
    Name::new(text).expect("test names are names")
}

/// A resource from a value, as a file would have it.
pub fn resource(kind: KindName, value: serde_json::Value) -> AnyResource {
    AnyResource::from_value(kind, value).expect("test resources are valid")
}

/// A node with one address for each of the given.
pub fn node(index: usize, addresses: &[String], mtu: u32) -> AnyResource {
    let addresses: Vec<_> = addresses
        .iter()
        .map(|a| json!({"address": a, "interface": "eth0", "mtu": mtu}))
        .collect();
    let value = json!({
        "metadata": {"name": format!("n{index}"), "uid": format!("uid-{index}")},
        "spec": {"addresses": addresses},
    });
    resource(KindName::Node, value)
}

/// A network.
pub fn network(
    called: &str,
    driver: &str,
    transport: Option<&TransportSpec>,
    pools: &[String],
) -> AnyResource {
    let mut spec = json!({"driver": driver, "pools": pools});
    if let Some(transport) = transport {
        spec["transport"] = serde_json::to_value(transport).expect("a transport is a value");
    }
    resource(
        KindName::Network,
        json!({"metadata": {"name": called}, "spec": spec}),
    )
}

/// A pool.
pub fn pool(called: &str, cidr: &str, nat_outgoing: bool) -> AnyResource {
    let spec = json!({"cidr": cidr, "natOutgoing": nat_outgoing});
    resource(
        KindName::IpPool,
        json!({"metadata": {"name": called}, "spec": spec}),
    )
}

/// A block of a pool with what is in use: place, handle, node, purpose.
pub fn block(
    cidr: &str,
    pool: &str,
    owner: Option<usize>,
    in_use: &[(u32, String, usize, &str)],
) -> AnyResource {
    let cidr: IpNet = cidr.parse().expect("test ranges are ranges");
    let allocations: serde_json::Map<_, _> = in_use
        .iter()
        .map(|(ordinal, handle, node, purpose)| {
            let value = json!({
                "handle": handle, "generation": 1, "node": format!("n{node}"), "purpose": purpose,
            });
            (ordinal.to_string(), value)
        })
        .collect();
    let mut spec = json!({
        "cidr": cidr, "pool": pool, "generation": 1, "allocations": allocations,
    });
    if let Some(owner) = owner {
        spec["node"] = json!(format!("n{owner}"));
    }
    let called = tombolo_model::Block::resource_name(None, cidr);
    resource(
        KindName::Block,
        json!({"metadata": {"name": called}, "spec": spec}),
    )
}

/// An endpoint on a node, with a sandbox of its own.
pub fn endpoint(
    called: &str,
    node: usize,
    network: &str,
    addresses: &[IpAddr],
    ports: &serde_json::Value,
) -> AnyResource {
    let digits = called.bytes().map(u32::from).sum::<u32>();
    let mac = format!(
        "02:00:00:00:{:02x}:{:02x}",
        (digits >> 8) & 0xff,
        digits & 0xff
    );
    let spec = json!({
        "node": format!("n{node}"), "network": network, "containerID": called,
        "interface": "eth0", "sandbox": format!("/run/netns/{called}"), "handle": called,
        "generation": 1, "addresses": addresses, "mac": mac, "ports": ports,
    });
    let value = json!({"metadata": {"name": called, "namespace": "default"}, "spec": spec});
    resource(KindName::Endpoint, value)
}
