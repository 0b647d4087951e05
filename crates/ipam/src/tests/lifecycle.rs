//! Addresses that stay, owners that change, and what is given back.

use super::*;

fn endpoint(text: &str) -> Option<(Name, Name)> {
    Some((name("default"), name(text)))
}

#[test]
fn an_identity_gets_its_address_again_wherever_it_comes_back() {
    let mut store = Store::of(WORLD);
    let first = store.give("a", "x");
    let other = store.give("a", "y");
    assert_ne!(first, other);
    store.release("x");
    assert_eq!(store.give("a", "x"), first);
    store.release("x");
    assert_ne!(
        store.give("a", "z"),
        first,
        "it is kept while others are free"
    );
    assert_eq!(store.give("b", "x"), first, "also on another node");
    let world = store.world();
    let handle = &world.handles[&Handle::resource_name(&name("net"), "x")].spec;
    assert_eq!(handle.node, Some(name("b")));
    let mut strict = changed(&[("blockSize: 30", "blockSize: 30, strictAffinity: true")]);
    let first = strict.give("a", "x");
    strict.release("x");
    assert_ne!(
        strict.give("b", "x"),
        first,
        "strict affinity does not let it move"
    );
}

#[test]
fn a_kept_address_goes_to_others_when_it_is_needed() {
    let mut store = Store::of(WORLD);
    let first = store.give("a", "x");
    let second = store.give("a", "y");
    store.give("a", "0");
    store.give("a", "1");
    store.release("y");
    store.release("x");
    assert_eq!(
        store.give("a", "2"),
        second,
        "the one that is free for the longest time"
    );
    let forgotten = Handle::resource_name(&name("net"), "y");
    assert!(
        !store.world().handles.contains_key(&forgotten),
        "nothing is kept for it"
    );
    assert_eq!(store.give("a", "x"), first);
    assert_ne!(store.give("a", "y"), second);
}

#[test]
fn a_late_release_does_nothing() {
    let mut store = Store::of(WORLD);
    let (a, net) = (name("a"), name("net"));
    let old = store.assign(&Request::workload(&a, &net, "x")).unwrap();
    let new = store.assign(&Request::workload(&a, &net, "x")).unwrap();
    assert_eq!((&new.handle, &new.addresses), (&old.handle, &old.addresses));
    assert!(new.generation > old.generation);
    assert!(release(&store.world(), &old.handle, old.generation).is_empty());
    assert!(!release(&store.world(), &new.handle, new.generation).is_empty());
    assert!(release(&store.world(), &name("nobody"), 1).is_empty());
}

#[test]
fn a_new_handle_is_above_the_generations_of_a_forgotten_one() {
    let mut store = changed(&[("10.0.0.0/28", "10.0.0.0/30")]);
    let (a, net) = (name("a"), name("net"));
    let mut last = 0;
    for _ in 0..5 {
        let claim = store.assign(&Request::workload(&a, &net, "x")).unwrap();
        assert!(claim.generation > last);
        last = claim.generation;
        store.release("x");
        for index in 0..4 {
            store.give("a", &index.to_string());
        }
        let handle = Handle::resource_name(&net, "x");
        assert!(!store.world().handles.contains_key(&handle));
        for index in 0..4 {
            store.release(&index.to_string());
        }
    }
}

#[test]
fn on_the_same_node_the_old_endpoint_is_superseded() {
    let mut store = Store::of(WORLD);
    let (a, net) = (name("a"), name("net"));
    let ask = |e: &str| Request {
        endpoint: endpoint(e),
        ..Request::workload(&a, &net, "x")
    };
    let first = store.assign(&ask("old")).unwrap();
    let again = store.assign(&ask("old")).unwrap();
    assert_eq!(
        (&again.addresses, &again.superseded),
        (&first.addresses, &None)
    );
    let next = store.assign(&ask("new")).unwrap();
    assert_eq!(
        (&next.addresses, &next.superseded),
        (&first.addresses, &endpoint("old"))
    );
}

#[test]
fn on_another_node_it_is_taken_over_only_if_asked_to() {
    let mut store = Store::of(WORLD);
    let (a, b, net) = (name("a"), name("b"), name("net"));
    let mut ask = |node: &Name, take_over: bool| {
        let request = Request {
            take_over,
            endpoint: endpoint(node.as_str()),
            ..Request::workload(node, &net, "x")
        };
        store.assign(&request).unwrap()
    };
    let on_a = ask(&a, false);
    let on_b = ask(&b, false);
    assert_ne!(on_a.addresses, on_b.addresses);
    assert_eq!(ask(&b, false).addresses, on_b.addresses, "it stays x@b");
    assert_eq!(
        ask(&b, true).addresses,
        on_b.addresses,
        "also when asked to take over"
    );
    assert_eq!(ask(&a, false).addresses, on_a.addresses);
    let world = store.world();
    assert_eq!(world.handles[&on_b.handle].spec.identity, "x@b");
    let writes = release(
        &world,
        &on_b.handle,
        world.handles[&on_b.handle].spec.generation,
    );
    assert!(store.commit(&writes));
    let request = Request {
        take_over: true,
        ..Request::workload(&b, &net, "x")
    };
    let moved = store.assign(&request).unwrap();
    assert_eq!(
        (moved.addresses, moved.superseded),
        (on_a.addresses, endpoint("a"))
    );
    assert!(release(&store.world(), &on_a.handle, on_a.generation).is_empty());
}

#[test]
fn a_holder_keeps_its_address_in_a_pool_that_was_disabled() {
    let mut store = Store::of(WORLD);
    let first = store.give("a", "x");
    let mut pool = store.world().pools[&name("v4")].clone();
    pool.spec.disabled = true;
    store.put(pool.into());
    assert_eq!(store.give("a", "x"), first);
    let (a, net) = (name("a"), name("net"));
    let next = Request {
        endpoint: endpoint("new"),
        ..Request::workload(&a, &net, "x")
    };
    assert!(matches!(
        store.assign(&next),
        Err(IpamError::NoUsablePool { .. })
    ));
}

#[test]
fn a_deleted_node_leaves_nothing_in_use() {
    let mut store = changed(&[("10.0.0.0/28, blockSize: 30", "10.0.0.0/16")]);
    let kept = store.give("a", "0");
    for index in 1..200 {
        store.give("a", &index.to_string());
    }
    store.give("b", "other");
    let transactions = release_node(&store.world(), &name("a"));
    assert!(transactions.len() > 1 && transactions.iter().all(|t| t.len() <= MAX_WRITES));
    store.release_node("a");
    let world = store.world();
    assert!(release_node(&world, &name("a")).is_empty());
    assert_eq!(
        world
            .blocks
            .values()
            .map(|b| b.spec.allocations.len())
            .sum::<usize>(),
        1
    );
    assert!(
        world
            .blocks
            .values()
            .all(|b| b.spec.node != Some(name("a")))
    );
    assert!(check(&world).is_empty(), "{:?}", check(&world));
    assert_eq!(store.give("b", "0"), kept);
}

#[test]
fn an_unowned_block_is_taken_when_no_range_is_left() {
    let mut store = Store::of(WORLD);
    for index in 0..16 {
        store.give("a", &index.to_string());
    }
    store.release_node("a");
    let generations = |store: &Store| -> Vec<u64> {
        store
            .world()
            .blocks
            .values()
            .map(|b| b.spec.generation)
            .collect()
    };
    let before = generations(&store);
    store.give("b", "x");
    assert_eq!(
        store
            .blocks()
            .iter()
            .filter(|b| b.contains(" b 1+3"))
            .count(),
        1
    );
    let after = generations(&store);
    assert_eq!(before.iter().zip(&after).filter(|(b, a)| a > b).count(), 1);
}

#[test]
fn empty_blocks_beyond_the_first_are_given_back() {
    let mut store = Store::of(WORLD);
    for index in 0..16 {
        store.give("a", &index.to_string());
    }
    assert!(surplus_blocks(&store.world(), &name("a")).is_empty());
    for index in 4..16 {
        store.release(&index.to_string());
    }
    let writes = surplus_blocks(&store.world(), &name("a"));
    assert_eq!(writes.len(), 2);
    assert!(store.commit(&writes));
    assert_eq!(
        store
            .blocks()
            .iter()
            .filter(|b| b.contains(" - 0+4"))
            .count(),
        2
    );
    assert!(surplus_blocks(&store.world(), &name("a")).is_empty());
}

#[test]
fn a_world_from_before_a_forgotten_handle_is_refused() {
    let mut store = Store::of(WORLD);
    let before = store.world();
    let (b, net) = (name("b"), name("net"));
    store.give("a", "x");
    let last = store
        .assign(&Request::workload(&name("a"), &net, "x"))
        .unwrap();
    store.release("x");
    for index in 0..4 {
        store.give("a", &index.to_string());
    }
    assert!(!store.world().handles.contains_key(&last.handle));
    store.release_node("a");
    let stale = assign(&before, &Request::workload(&b, &net, "x")).unwrap();
    assert!(
        !store.commit(&stale.writes),
        "it would begin at generation {}",
        stale.generation
    );
    let now = store.assign(&Request::workload(&b, &net, "x")).unwrap();
    assert!(now.generation > last.generation);
}
