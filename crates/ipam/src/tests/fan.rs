//! Fan networks: a node has the one block that follows from its address.

use super::*;

const FAN: &str = "
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: a}, spec: {addresses: [{address: 192.168.3.4/16, interface: eth0, mtu: 1500}]}}
---
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: b}, spec: {addresses: [{address: 192.168.3.5/16, interface: eth0, mtu: 1500}]}}
---
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: c}, spec: {addresses: [{address: 10.0.0.1/16, interface: eth0, mtu: 1500}]}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: net},
 spec: {driver: fan, transport: {type: ipip}, fan: {underlay: 192.168.0.0/16}, pools: [v4]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: v4},
 spec: {cidr: 250.0.0.0/8, blockSize: 24, strictAffinity: true}}
";

fn ask_for(store: &mut Store, node: &str, address: &str) -> String {
    let wanted = [address.parse().unwrap()];
    let (node, net) = (name(node), name("net"));
    let request = Request {
        wanted: &wanted,
        ..Request::workload(&node, &net, address)
    };
    match store.assign(&request) {
        Ok(claim) => texts(&claim.addresses),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_node_has_the_block_that_its_address_says_and_no_other() {
    let mut store = Store::of(FAN);
    let given: Vec<String> = (0..256)
        .map(|i| store.give("a", &format!("a{i}")))
        .collect();
    assert!(given.iter().all(|address| address.starts_with("250.3.4.")));
    assert_eq!(store.give("b", "b0"), "250.3.5.0");
    assert_eq!(
        store.blocks(),
        ["250.3.4.0/24 a 256+0", "250.3.5.0/24 b 1+0"]
    );
    let full = store.assign(&Request::workload(&name("a"), &name("net"), "one-more"));
    let said = full.unwrap_err().to_string();
    assert!(
        said.contains("no ipv4 address is free for node a"),
        "{said}"
    );
}

#[test]
fn an_address_of_another_nodes_block_is_refused_before_that_node_has_one() {
    let mut store = Store::of(FAN);
    assert_eq!(ask_for(&mut store, "a", "250.3.4.9"), "250.3.4.9");
    let said = ask_for(&mut store, "a", "250.3.5.9");
    assert!(said.contains("node a has 250.3.4.0/24 alone"), "{said}");
    assert_eq!(store.blocks(), ["250.3.4.0/24 a 1+0"]);
}

#[test]
fn a_node_outside_of_the_range_is_refused_by_name() {
    let mut store = Store::of(FAN);
    let refused = store.assign(&Request::workload(&name("c"), &name("net"), "c0"));
    let said = refused.unwrap_err().to_string();
    for part in [
        "node c has the address 10.0.0.1, outside of 192.168.0.0/16",
        "give it one in that range",
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
}
