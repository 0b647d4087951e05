//! Who is on the ground: hosts, containers and their addresses, as resources.

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::Family;

use super::{Ground, NETWORK, path};

/// Where hosts and containers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// The hosts are in one subnet, with a container each.
    Near,
    /// Each host is in a subnet of its own, with a container.
    Far,
    /// Both containers are on the first host.
    Together,
}

/// Which addresses the containers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Of both families, from one pool each.
    Plain,
    /// Of IPv4 only, as they follow from the hosts' own: 192.168.0.1 has 250.0.1.0/24.
    Fan,
}

impl Numbers {
    /// The families in which there are addresses.
    #[must_use]
    pub fn families(self) -> &'static [Family] {
        match self {
            Numbers::Plain => &[Family::V4, Family::V6],
            Numbers::Fan => &[Family::V4],
        }
    }

    pub(super) fn address(self, container: u8, family: Family) -> IpAddr {
        match (self, family) {
            (Numbers::Fan, _) => [250, 0, 1 + container, 5].into(),
            (_, Family::V4) => [10, 1, container, 5].into(),
            (_, Family::V6) => [0xfd00, 1, 0, 0, 0, 0, 0, 0x100 * u16::from(container) + 5].into(),
        }
    }

    fn pool(self, family: Family) -> &'static str {
        match (self, family) {
            (Numbers::Fan, _) => "cidr: 250.0.0.0/8, blockSize: 24",
            (_, Family::V4) => "cidr: 10.1.0.0/16",
            (_, Family::V6) => "cidr: 'fd00:1::/64', blockSize: 122",
        }
    }

    /// The block that a container's address is in.
    #[must_use]
    pub fn block(self, container: u8, family: Family) -> IpNet {
        let length = match (self, family) {
            (Numbers::Fan, _) => 24,
            (_, Family::V4) => 26,
            (_, Family::V6) => 122,
        };
        let block = IpNet::new(self.address(container, family), length);
        block.expect("the length fits the family").trunc()
    }
}

/// Nodes, pools, blocks and endpoints as text.
pub(super) fn people(ground: &Ground, underlay: &[Family]) -> String {
    let mut text = String::new();
    let mut add = |kind: &str, metadata: &str, spec: &str| {
        text.push_str(&format!(
              "---\napiVersion: tombolo.dev/v1\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {{{spec}}}\n"
          ));
    };
    let numbers = ground.numbers;
    for family in numbers.families() {
        add(
            "IPPool",
            &format!("name: {}", pool(*family)),
            numbers.pool(*family),
        );
    }
    for (host, (sandbox, index)) in ground.hosts.iter().zip(ground.containers.iter().zip(0..)) {
        let node = &host.node;
        let nets = underlay
            .iter()
            .map(|family| net(ground.spot, *family, usize::from(index) + 1));
        let nets: Vec<String> = nets
            .map(|net| format!("{{address: '{net}', interface: eth0, mtu: 1500}}"))
            .collect();
        let spec = format!("addresses: [{}]", nets.join(", "));
        add("Node", &format!("name: {node}, uid: u-{node}"), &spec);
        let home = match ground.spot {
            Spot::Together => &ground.hosts[0].node,
            Spot::Near | Spot::Far => node,
        };
        for family in numbers.families() {
            let block = numbers.block(index, *family);
            let name = tombolo_model::Block::resource_name(None, block);
            let spec = format!(
                "cidr: '{block}', pool: {pool}, node: {home}, generation: 1, allocations: {{
  '0': {{handle: t{node}, generation: 1, node: {home}, purpose: tunnel}},
  '5': {{handle: c{node}, generation: 1, node: {home}}}}}",
                pool = pool(*family)
            );
            add("Block", &format!("name: {name}"), &spec);
        }
        let addresses = numbers.families().iter();
        let addresses = addresses.map(|family| format!("'{}'", numbers.address(index, *family)));
        let spec = format!(
            "node: {home}, network: {NETWORK}, containerID: c{node}, interface: eth0, sandbox: {},
  handle: c{node}, generation: 1, addresses: [{}], mac: '02:00:00:00:01:0{index}'",
            path(sandbox),
            addresses.collect::<Vec<_>>().join(", ")
        );
        add(
            "Endpoint",
            &format!("name: c{node}, namespace: default"),
            &spec,
        );
    }
    text
}

/// The name of a family's pool.
pub(super) fn pool(family: Family) -> &'static str {
    match family {
        Family::V4 => "p4",
        Family::V6 => "p6",
    }
}

/// The address of host 1 or 2 on the wire.
pub(super) fn net(spot: Spot, family: Family, number: usize) -> IpNet {
    let net = match (family, spot) {
        (Family::V4, Spot::Far) => format!("192.168.{number}.{number}/24"),
        (Family::V4, _) => format!("192.168.0.{number}/24"),
        (Family::V6, Spot::Far) => format!("fd00:5:0:{number}::{number}/64"),
        (Family::V6, _) => format!("fd00:5::{number}/64"),
    };
    net.parse().expect("the address is one")
}
