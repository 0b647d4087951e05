//! A node that does not reach the store gives addresses all the same, and no two ever meet.

use proptest::prelude::*;

use super::*;

fn container(node: &str, number: u8) -> String {
    format!("{node}:c{number}/eth0")
}

/// What node `a` does without the store.
#[derive(Debug, Clone)]
enum Alone {
    Assign(u8),
    Release(u8),
}

/// What the others do meanwhile.
#[derive(Debug, Clone)]
enum Others {
    Assign {
        node: bool,
        identity: u8,
        take_over: bool,
    },
    Release {
        identity: u8,
    },
}

fn before() -> impl Strategy<Value = Vec<(usize, u8, bool)>> {
    prop::collection::vec((0..3usize, 0..8u8, any::<bool>()), 0..20)
}

fn alone() -> impl Strategy<Value = Alone> {
    prop_oneof![
        3 => (0..12u8).prop_map(Alone::Assign),
        1 => (0..12u8).prop_map(Alone::Release),
    ]
}

fn others() -> impl Strategy<Value = Others> {
    prop_oneof![
        3 => (any::<bool>(), 0..8u8, any::<bool>())
            .prop_map(|(node, identity, take_over)| Others::Assign { node, identity, take_over }),
        2 => (0..8u8).prop_map(|identity| Others::Release { identity }),
    ]
}

/// Fills the cluster a little: identities that move, and containers of `a` that come and go.
fn live(store: &mut Store, steps: &[(usize, u8, bool)]) {
    for (node, identity, stays) in steps {
        let node = name(["a", "b", "c"][*node]);
        let who = if *identity % 2 == 0 {
            container(node.as_str(), *identity)
        } else {
            format!("ns/pod-{identity}/eth0")
        };
        let net = name("net");
        let request = Request {
            take_over: true,
            ..Request::workload(&node, &net, &who)
        };
        if let Ok(claim) = store.assign(&request)
            && !stays
        {
            let writes = release(&store.world(), &claim.handle, claim.generation);
            assert!(store.commit(&writes));
        }
    }
}

/// What the others do while nobody can ask `a` to open its blocks.
fn act(store: &mut Store, action: &Others) {
    let net = name("net");
    match action {
        Others::Assign {
            node,
            identity,
            take_over,
        } => {
            let node = name(if *node { "b" } else { "c" });
            let who = format!("ns/pod-{identity}/eth0");
            let request = Request {
                take_over: *take_over,
                ..Request::workload(&node, &net, &who)
            };
            loop {
                match assign(&store.world(), &request) {
                    Ok(claim) => assert!(store.commit(&claim.writes)),
                    Err(IpamError::NotLent {
                        name: block, owner, ..
                    }) if owner != name("a") => {
                        store.open(&block, &owner);
                        continue;
                    }
                    Err(IpamError::NotLent { .. } | IpamError::Exhausted { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                return;
            }
        }
        Others::Release { identity } => {
            let handle = Handle::resource_name(&net, &format!("ns/pod-{identity}/eth0"));
            let world = store.world();
            if let Some(found) = world.handles.get(&handle)
                && found.spec.node != Some(name("a"))
            {
                let writes = release(&world, &handle, found.spec.generation);
                assert!(store.commit(&writes));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_is_given_without_the_store_is_there_afterwards(
        before in before(),
        alone in prop::collection::vec(alone(), 1..16),
        others in prop::collection::vec(others(), 0..24),
    ) {
        let mut store = Store::of(WORLD);
        live(&mut store, &before);
        let mut seen = store.world();
        let (me, net) = (name("a"), name("net"));
        let mut held: BTreeMap<u8, Vec<IpAddr>> = BTreeMap::new();
        for step in alone {
            let (Alone::Assign(number) | Alone::Release(number)) = step;
            let who = container("a", number + 100);
            if matches!(step, Alone::Release(_)) {
                // The place is not given again before the store knows of it.
                held.remove(&number);
                continue;
            }
            let request = Request { offline: true, ..Request::workload(&me, &net, &who) };
            match assign(&seen, &request) {
                Ok(claim) => {
                    seen.draft(&claim.writes);
                    held.insert(number, claim.addresses);
                }
                Err(IpamError::Unreached { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        for action in &others {
            act(&mut store, action);
        }
        for (number, addresses) in &held {
            let who = container("a", number + 100);
            let request = Request { wanted: addresses, ..Request::workload(&me, &net, &who) };
            let claim = store.assign(&request).expect("nobody else has it");
            prop_assert_eq!(&claim.addresses, addresses);
        }
        prop_assert_eq!(check(&store.world()), []);
    }
}

#[test]
fn without_the_store_only_closed_blocks_of_its_own_are_used() {
    let mut store = Store::of(WORLD);
    store.give("a", "a:c1/eth0");
    let (me, net) = (name("a"), name("net"));
    let request = Request {
        offline: true,
        ..Request::workload(&me, &net, "a:c2/eth0")
    };
    let given = assign(&store.world(), &request).unwrap();
    let block = store.world().blocks.values().next().unwrap().spec.clone();
    assert!(block.cidr.contains(&given.addresses[0]));
    let block_name = Block::resource_name(None, block.cidr);
    let writes = ask(&store.world(), &block_name);
    assert!(store.commit(&writes));
    let error = assign(&store.world(), &request).unwrap_err();
    assert!(matches!(error, IpamError::Unreached { .. }), "{error}");
    let writes = lend(&store.world(), &me);
    assert!(store.commit(&writes));
    assert!(assign(&store.world(), &request).is_err());
    let writes = close(&store.world(), &me);
    assert!(store.commit(&writes));
    assert_eq!(
        assign(&store.world(), &request).unwrap().addresses,
        given.addresses
    );
}

#[test]
fn what_is_kept_for_an_identity_that_moves_is_not_given_without_the_store() {
    let mut store = Store::of(&WORLD.replace("10.0.0.0/28", "10.0.0.0/30"));
    for number in 0..4 {
        store.give("a", &format!("ns/pod-{number}/eth0"));
    }
    for number in 0..4 {
        store.release(&format!("ns/pod-{number}/eth0"));
    }
    let (me, net) = (name("a"), name("net"));
    let request = Request {
        offline: true,
        ..Request::workload(&me, &net, "a:c1/eth0")
    };
    let error = assign(&store.world(), &request).unwrap_err();
    assert!(
        error.to_string().starts_with("the store is not reached"),
        "{error}"
    );
    // The identity itself finds its address on another node, without asking for the block.
    let kept = store
        .world()
        .handles
        .values()
        .find_map(|handle| handle.spec.addresses.first().copied());
    let other = name("b");
    let moved = Request::workload(&other, &net, "ns/pod-0/eth0");
    let claim = assign(&store.world(), &moved).unwrap();
    assert!(kept.is_some() && claim.addresses.len() == 1);
}
