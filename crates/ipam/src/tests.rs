//! What the tests stand on: a store with compare-and-swap, and worlds of a few lines.

mod choice;
mod fan;
mod lifecycle;
mod offline;
mod random;
mod reports;
mod scale;
mod spaces;

use std::collections::BTreeMap;
use std::net::IpAddr;

use tombolo_model::{
    AnyResource, Block, Change, Expected, Handle, Name, ResourceKey, World, Write, parse,
};

use crate::*;

/// Three nodes, one of them in rack r2, and a network over pools of small blocks.
pub const WORLD: &str = "
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: a, labels: {rack: r1}}, spec: {}}
---
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: b, labels: {rack: r1}}, spec: {}}
---
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: c, labels: {rack: r2}}, spec: {}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: net},
 spec: {driver: routed, pools: [v4]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: v4},
 spec: {cidr: 10.0.0.0/28, blockSize: 30}}
";

/// A store: resources with revisions, and transactions that are refused as a whole.
#[derive(Debug, Clone, Default)]
pub struct Store {
    revision: i64,
    items: BTreeMap<String, AnyResource>,
}

impl Store {
    pub fn of(text: &str) -> Store {
        let mut store = Store::default();
        for parsed in parse::parse_with("world", text, parse::Accept::Internal).unwrap() {
            store.put(parsed.resource);
        }
        store
    }

    pub fn put(&mut self, mut resource: AnyResource) {
        self.revision += 1;
        resource.metadata_mut().resource_version = Some(self.revision);
        self.items.insert(resource.key().to_string(), resource);
    }

    pub fn delete(&mut self, key: &ResourceKey) {
        self.revision += 1;
        self.items.remove(&key.to_string());
    }

    pub fn world(&self) -> World {
        let mut world = World::default();
        for resource in self.items.values() {
            world.put(resource.clone());
        }
        world
    }

    /// Commits a transaction, unless one of its resources has changed since it was read.
    pub fn commit(&mut self, writes: &[Write]) -> bool {
        let holds = |write: &Write| {
            let found = self.items.get(&write.key.to_string());
            match write.expected {
                Expected::Absent => found.is_none(),
                Expected::Version(v) => {
                    found.is_some_and(|r| r.metadata().resource_version == Some(v))
                }
            }
        };
        let mut keys: Vec<&ResourceKey> = writes.iter().map(|w| &w.key).collect();
        keys.sort();
        assert!(
            keys.windows(2).all(|pair| pair[0] != pair[1]),
            "a key is written twice"
        );
        assert!(writes.len() <= MAX_WRITES);
        if !writes.iter().all(holds) {
            return false;
        }
        self.revision += 1;
        for Write { key, change, .. } in writes {
            match change {
                Change::Put(resource) => {
                    let mut resource = (**resource).clone();
                    assert_eq!(resource.key(), *key);
                    resource.metadata_mut().resource_version = Some(self.revision);
                    self.items.insert(key.to_string(), resource);
                }
                Change::Delete => {
                    self.items.remove(&key.to_string());
                }
            }
        }
        true
    }

    /// Does what the agents do when a node wants to borrow: it asks, and the other one opens.
    pub fn open(&mut self, block: &Name, owner: &Name) {
        let asked = ask(&self.world(), block);
        assert!(self.commit(&asked));
        let opened = lend(&self.world(), owner);
        assert!(self.commit(&opened));
    }

    /// Assigns from the newest world, and commits.
    pub fn assign(&mut self, request: &Request<'_>) -> Result<Claim, IpamError> {
        let mut claim = assign(&self.world(), request);
        while let Err(IpamError::NotLent {
            name: block, owner, ..
        }) = &claim
        {
            let (block, owner) = (block.clone(), owner.clone());
            self.open(&block, &owner);
            claim = assign(&self.world(), request);
        }
        let claim = claim?;
        assert!(self.commit(&claim.writes));
        Ok(claim)
    }

    /// Assigns to a workload and answers with its addresses as text.
    pub fn give(&mut self, node: &str, identity: &str) -> String {
        let claim = self
            .assign(&Request::workload(&name(node), &name("net"), identity))
            .unwrap();
        texts(&claim.addresses)
    }

    /// Releases what an identity holds.
    pub fn release(&mut self, identity: &str) {
        let handle = Handle::resource_name(&name("net"), identity);
        let world = self.world();
        let writes = release(&world, &handle, world.handles[&handle].spec.generation);
        assert!(!writes.is_empty() && self.commit(&writes));
    }

    /// Releases all that a node has.
    pub fn release_node(&mut self, node: &str) {
        for writes in release_node(&self.world(), &name(node)) {
            assert!(self.commit(&writes));
        }
    }

    /// The blocks, by address: range, owner, places in use, places kept.
    pub fn blocks(&self) -> Vec<String> {
        let world = self.world();
        let mut blocks: Vec<&Block> = world.blocks.values().map(|b| &b.spec).collect();
        blocks.sort_by_key(|b| b.cidr);
        blocks
            .iter()
            .map(|b| {
                let node = b.node.as_ref().map_or("-", Name::as_str);
                format!(
                    "{} {node} {}+{}",
                    b.cidr,
                    b.allocations.len(),
                    b.released.len()
                )
            })
            .collect()
    }
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn texts(addresses: &[IpAddr]) -> String {
    addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The world with some text in it changed.
pub fn changed(changes: &[(&str, &str)]) -> Store {
    let mut text = WORLD.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    Store::of(&text)
}

/// A pool, to be added behind the world.
pub fn pool(name: &str, spec: &str) -> String {
    format!(
        "\n---\n{{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {{name: {name}}}, spec: {{{spec}}}}}\n"
    )
}

/// A reservation, to be added behind the world.
pub fn reservation(ranges: &str) -> String {
    format!(
        "\n---\n{{apiVersion: tombolo.dev/v1, kind: IPReservation, metadata: {{name: r}}, spec: {{reservedCIDRs: [{ranges}]}}}}\n"
    )
}
