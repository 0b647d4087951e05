//! Random lives of a cluster: nodes that see old worlds, and commits that are refused for it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    /// A node reads the world anew.
    Refresh(usize),
    /// A node asks for an identity, perhaps to take it over.
    Assign {
        node: usize,
        identity: u8,
        take_over: bool,
    },
    /// A node asks for an identity with one address of the first pool.
    Wish {
        node: usize,
        identity: u8,
        place: u8,
    },
    /// An operator reserves a part of the first pool, or lets it go.
    Reserve { place: u8, on: bool },
    /// An operator disables the first pool, or enables it.
    Disable(bool),
    /// A node is deleted, what it held is found and reclaimed, and it joins anew under its name.
    Anew(usize),
    /// A node gives back what it was given last under an identity.
    Release { node: usize, identity: u8 },
    /// A node gives back again what it gave back or lost before.
    Late { node: usize, identity: u8 },
    /// A node gives back blocks beyond need.
    Surplus(usize),
    /// A node is deleted, by a caller with an old world.
    Delete { node: usize, seen_by: usize },
}

fn action() -> impl Strategy<Value = Action> {
    let node = 0..3usize;
    prop_oneof![
        3 => node.clone().prop_map(Action::Refresh),
        8 => (node.clone(), 0..12u8, any::<bool>())
            .prop_map(|(node, identity, take_over)| Action::Assign { node, identity, take_over }),
        5 => (node.clone(), 0..12u8)
            .prop_map(|(node, identity)| Action::Release { node, identity }),
        2 => (node.clone(), 0..12u8).prop_map(|(node, identity)| Action::Late { node, identity }),
        3 => (node.clone(), 0..12u8, 0..16u8)
            .prop_map(|(node, identity, place)| Action::Wish { node, identity, place }),
        1 => (0..4u8, any::<bool>()).prop_map(|(place, on)| Action::Reserve { place, on }),
        1 => any::<bool>().prop_map(Action::Disable),
        1 => node.clone().prop_map(Action::Anew),
        1 => node.clone().prop_map(Action::Surplus),
        1 => (node.clone(), node).prop_map(|(node, seen_by)| Action::Delete { node, seen_by }),
    ]
}

/// Floors of generations are handles that never had an address.
fn is_floor(handle: &Handle) -> bool {
    handle.identity.starts_with("generations/")
}

const NODES: [&str; 3] = ["a", "b", "c"];

struct Cluster {
    store: Store,
    seen: Vec<World>,
    /// What each node was given last under an identity.
    claims: BTreeMap<(usize, u8), Claim>,
    generations: BTreeMap<Name, u64>,
}

impl Cluster {
    fn new(text: &str) -> Cluster {
        let store = Store::of(text);
        let seen = vec![store.world(); 3];
        Cluster {
            store,
            seen,
            claims: BTreeMap::new(),
            generations: BTreeMap::new(),
        }
    }

    /// Computes from what a node has seen; where the store refuses, once more from the newest.
    fn step(&mut self, node: usize, compute: impl Fn(&World) -> Vec<Write>) {
        let writes = compute(&self.seen[node]);
        if !self.store.commit(&writes) {
            self.seen[node] = self.store.world();
            let writes = compute(&self.seen[node]);
            assert!(
                self.store.commit(&writes),
                "a newest world is never refused"
            );
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Refresh(node) => self.seen[node] = self.store.world(),
            Action::Assign {
                node,
                identity,
                take_over,
            } => self.assign(node, identity, take_over, &[]),
            Action::Wish {
                node,
                identity,
                place,
            } => self.assign(node, identity, false, &[ip(&format!("10.0.0.{place}"))]),
            Action::Reserve { place, on } => self.reserve(place, on),
            Action::Disable(on) => {
                let mut first = self.store.world().pools[&name("v4")].clone();
                first.spec.disabled = on;
                self.store.put(first.into());
            }
            Action::Anew(node) => self.anew(NODES[node]),
            Action::Release { node, identity } | Action::Late { node, identity } => {
                if let Some(claim) = self.claims.get(&(node, identity)).cloned() {
                    self.step(node, |world| {
                        release(world, &claim.handle, claim.generation)
                    });
                }
                if matches!(action, Action::Release { .. }) {
                    self.claims.remove(&(node, identity));
                }
            }
            Action::Surplus(node) => {
                self.step(node, |world| surplus_blocks(world, &name(NODES[node])));
            }
            Action::Delete { node, seen_by } => {
                let transactions = release_node(&self.seen[seen_by], &name(NODES[node]));
                if !transactions.iter().all(|writes| self.store.commit(writes)) {
                    self.store.release_node(NODES[node]);
                }
            }
        }
    }

    fn assign(&mut self, node: usize, identity: u8, take_over: bool, wanted: &[IpAddr]) {
        let (on, net, who) = (name(NODES[node]), name("net"), format!("id-{identity}"));
        let request = Request {
            take_over,
            wanted,
            ..Request::workload(&on, &net, &who)
        };
        for _ in 0..8 {
            match assign(&self.seen[node], &request) {
                Ok(claim) => {
                    self.judge(node, &claim, wanted);
                    if self.store.commit(&claim.writes) {
                        return self.given(node, identity, claim);
                    }
                    self.seen[node] = self.store.world();
                }
                Err(IpamError::NotLent {
                    name: block, owner, ..
                }) => {
                    self.seen[node] = self.store.world();
                    let found = self.seen[node].blocks.get(&block);
                    if found.is_some_and(|b| b.spec.node.as_ref() == Some(&owner)) {
                        self.store.open(&block, &owner);
                        self.seen[node] = self.store.world();
                    }
                }
                Err(IpamError::Exhausted { .. } | IpamError::NoUsablePool { .. }) => return,
                // A wish may be for what is reserved, disabled or somebody else's.
                Err(_) if !wanted.is_empty() => return,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("a newest world is never refused");
    }

    /// What is given is what was wished for, and nothing new is reserved or of a disabled pool, as
    /// far as the node could know.
    fn judge(&self, node: usize, claim: &Claim, wanted: &[IpAddr]) {
        let world = &self.seen[node];
        for address in wanted {
            assert!(claim.addresses.contains(address), "{:?}", claim.addresses);
        }
        let before = world.handles.get(&claim.handle);
        let held = before
            .filter(|handle| handle.spec.node.is_some())
            .map_or(&[][..], |handle| &handle.spec.addresses);
        // One that is asked for by name is given although it is reserved.
        let picked = |a: &&IpAddr| !held.contains(a) && !wanted.contains(a);
        for address in claim.addresses.iter().filter(picked) {
            let mut reserved = world
                .reservations
                .values()
                .flat_map(|r| &r.spec.reserved_cidrs);
            assert!(
                !reserved.any(|net| net.contains(address)),
                "{address} is reserved"
            );
            let pool = world.pool_of(None, *address).expect("it is of a pool");
            assert!(!pool.spec.disabled, "{address} is of a disabled pool");
        }
    }

    fn given(&mut self, node: usize, identity: u8, claim: Claim) {
        let last = self
            .generations
            .insert(claim.handle.clone(), claim.generation);
        assert!(
            last.is_none_or(|last| last < claim.generation),
            "{last:?} before {}",
            claim.generation
        );
        self.claims.insert((node, identity), claim);
    }

    fn reserve(&mut self, place: u8, on: bool) {
        let text =
            reservation(&format!("10.0.0.{}/30", place * 4)).replace("name: r}", "name: late}");
        let parsed = parse::parse("reservation", &text).unwrap().remove(0);
        if on {
            self.store.put(parsed.resource);
        } else {
            self.store.delete(&parsed.resource.key());
        }
    }

    fn anew(&mut self, node: &str) {
        let present = self.store.world().nodes[&name(node)].clone();
        self.store.delete(&present.key());
        let evidence = Evidence {
            complete: true,
            ..Evidence::default()
        };
        for leak in leaks(&self.store.world(), &evidence) {
            assert_eq!(
                (&leak.reason, leak.node.as_str()),
                (&LeakReason::NodeDeleted, node)
            );
            let writes = reclaim(&self.store.world(), &leak);
            assert!(!writes.is_empty() && self.store.commit(&writes));
        }
        self.store.release_node(node);
        assert_eq!(leaks(&self.store.world(), &evidence), []);
        self.store.put(present.into());
    }

    fn check(&self, families: usize) {
        let world = self.store.world();
        assert_eq!(check(&world), []);
        assert_eq!(self.idle(), 0, "a handle stays for nothing");
        let mut owners = BTreeMap::new();
        for (name, handle) in world.handles.iter().filter(|(_, h)| h.spec.node.is_some()) {
            assert_eq!(handle.spec.addresses.len(), families);
            for address in &handle.spec.addresses {
                assert!(world.pool_of(None, *address).is_some());
                assert_eq!(
                    owners.insert(*address, name),
                    None,
                    "{address} has two owners"
                );
            }
        }
        let in_use: usize = world
            .blocks
            .values()
            .map(|b| b.spec.allocations.len())
            .sum();
        assert_eq!(in_use, owners.len());
    }

    /// Gives everything back: nothing may stay in use.
    fn end(&mut self) {
        let world = self.store.world();
        for (name, handle) in &world.handles {
            let writes = release(&self.store.world(), name, handle.spec.generation);
            assert!(self.store.commit(&writes));
        }
        let world = self.store.world();
        assert!(world.blocks.values().all(|b| b.spec.allocations.is_empty()));
        assert_eq!(self.idle(), 0);
    }

    /// Handles that nobody uses and nothing is kept for.
    fn idle(&self) -> usize {
        let world = self.store.world();
        let kept = |address: &IpAddr, handle: &Name| {
            let mut blocks = world.blocks.values().map(|b| &b.spec);
            blocks.any(|b| {
                let mut released = b.released.iter();
                released.any(|(o, h)| b.address(*o) == *address && h == handle)
            })
        };
        let unused = world
            .handles
            .iter()
            .filter(|(_, h)| h.spec.node.is_none() && !is_floor(&h.spec));
        unused
            .filter(|(name, h)| !h.spec.addresses.iter().any(|a| kept(a, name)))
            .count()
    }
}

fn live(text: &str, families: usize, actions: &[Action]) {
    let mut cluster = Cluster::new(text);
    for action in actions {
        cluster.act(action);
        cluster.check(families);
    }
    cluster.end();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn one_small_pool(actions in prop::collection::vec(action(), 1..80)) {
        live(&(WORLD.to_owned() + &reservation("10.0.0.5/32")), 1, &actions);
    }

    #[test]
    fn two_families_with_strict_affinity(actions in prop::collection::vec(action(), 1..60)) {
        let text = WORLD.replace("pools: [v4]", "pools: [v4, v6, more]")
            + &pool("v6", "cidr: fd00::/124, blockSize: 126, strictAffinity: true")
            + &pool("more", "cidr: 10.2.0.0/30, blockSize: 31");
        live(&text, 2, &actions);
    }

    #[test]
    fn sticky_while_there_is_room(
        moves in prop::collection::vec((0..3usize, 0..20u8), 1..60),
    ) {
        let mut store = changed(&[("10.0.0.0/28, blockSize: 30", "10.0.0.0/16")]);
        let mut first = BTreeMap::new();
        for (node, identity) in moves {
            let given = store.give(NODES[node], &identity.to_string());
            store.release(&identity.to_string());
            let before = first.entry(identity).or_insert_with(|| given.clone()).clone();
            prop_assert_eq!(before, given);
        }
    }
}
