//! Leaks by evidence, usage, and findings.

use tombolo_model::{ContainerId, Endpoint, IfName, MacAddr, Resource};

use super::*;

/// Attaches an endpoint as the agent does: claim and endpoint in one transaction.
fn attach(store: &mut Store, node: &str, container: &str) -> (Name, Name) {
    let key = (name("default"), name(container));
    let (node, net) = (name(node), name("net"));
    let request = Request {
        endpoint: Some(key.clone()),
        ..Request::workload(&node, &net, container)
    };
    let claim = store.assign(&request).unwrap();
    let mut endpoint = Resource::new(
        key.1.clone(),
        Endpoint {
            node,
            network: net,
            container_id: ContainerId::new(container).unwrap(),
            configuration: None,
            sandbox_id: None,
            interface: IfName::new("eth0").unwrap(),
            sandbox: "/run/netns/x".into(),
            handover: None,
            handle: claim.handle,
            generation: claim.generation,
            addresses: claim.addresses,
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            ports: Vec::new(),
            profiles: Vec::new(),
            named_ports: Vec::new(),
            boot_id: "boot-1".into(),
        },
    );
    endpoint.metadata.namespace = Some(key.0.clone());
    store.put(endpoint.into());
    key
}

fn reasons(store: &Store, evidence: &Evidence) -> Vec<(LeakReason, String)> {
    let found = leaks(&store.world(), evidence);
    found
        .into_iter()
        .map(|l| (l.reason, texts(&l.addresses)))
        .collect()
}

#[test]
fn leaks_are_told_by_evidence_only() {
    let mut store = Store::of(WORLD);
    let x = attach(&mut store, "a", "x");
    attach(&mut store, "b", "y");
    let addresses = |key: &(Name, Name)| texts(&store.world().endpoints[key].spec.addresses);
    let of_x = addresses(&x);
    let whole = Evidence {
        complete: true,
        ..Evidence::default()
    };
    let boot = |id: &str| Evidence {
        boot: Some((name("a"), id.into())),
        ..Evidence::default()
    };
    assert_eq!(reasons(&store, &Evidence::default()), []);
    assert_eq!(reasons(&store, &whole), []);
    assert_eq!(reasons(&store, &boot("boot-1")), []);
    assert_eq!(
        reasons(&store, &boot("boot-2")),
        [(LeakReason::Rebooted, of_x.clone())]
    );
    let gone = Evidence {
        gone: [x.clone()].into(),
        ..Evidence::default()
    };
    assert_eq!(
        reasons(&store, &gone),
        [(LeakReason::SandboxGone, of_x.clone())]
    );
    let node = store.world().nodes[&name("a")].key();
    store.delete(&node);
    assert_eq!(
        reasons(&store, &Evidence::default()),
        [],
        "the world may be incomplete"
    );
    assert_eq!(reasons(&store, &whole), [(LeakReason::NodeDeleted, of_x)]);
}

#[test]
fn a_leak_is_reclaimed_unless_its_owner_came_back() {
    let mut store = Store::of(WORLD);
    let x = attach(&mut store, "a", "x");
    let evidence = Evidence {
        gone: [x.clone()].into(),
        ..Evidence::default()
    };
    let leak = leaks(&store.world(), &evidence).remove(0);
    attach(&mut store, "a", "x");
    assert!(reclaim(&store.world(), &leak).is_empty());
    let leak = leaks(&store.world(), &evidence).remove(0);
    assert!(store.commit(&reclaim(&store.world(), &leak)));
    let world = store.world();
    assert!(!world.endpoints.contains_key(&x));
    assert_eq!(show(&world).pools[0].in_use, 0);
    assert!(reclaim(&world, &leak).is_empty());
}

#[test]
fn a_lost_allocation_is_found_in_a_whole_world() {
    let mut store = Store::of(WORLD);
    store.give("a", "x");
    let handle = store.world().handles[&Handle::resource_name(&name("net"), "x")].key();
    store.delete(&handle);
    assert_eq!(reasons(&store, &Evidence::default()), []);
    let evidence = Evidence {
        complete: true,
        ..Evidence::default()
    };
    let leak = leaks(&store.world(), &evidence).remove(0);
    assert_eq!(leak.reason, LeakReason::HandleGone);
    assert!(store.commit(&reclaim(&store.world(), &leak)));
    assert_eq!(show(&store.world()).pools[0].in_use, 0);
}

#[test]
fn usage_is_counted() {
    let mut store = Store::of(WORLD);
    for index in 0..13 {
        store.give("a", &index.to_string());
    }
    store.give("b", "borrower");
    store.release("0");
    let usage = show(&store.world());
    let pool = &usage.pools[0];
    assert_eq!(
        (pool.size, pool.blocks, pool.in_use, pool.kept),
        (16, 4, 13, 1)
    );
    let of: Vec<_> = usage
        .nodes
        .iter()
        .map(|n| (n.blocks, n.in_use, n.borrowed))
        .collect();
    assert_eq!(of, [(4, 12, 0), (0, 1, 1), (0, 0, 0)]);
    assert_eq!(usage.blocks.iter().map(|b| b.borrowed).sum::<usize>(), 1);
}

#[test]
fn what_does_not_fit_together_is_found() {
    let mut store = Store::of(WORLD);
    let x = attach(&mut store, "a", "x");
    attach(&mut store, "a", "y");
    assert_eq!(check(&store.world()), []);
    let broken = |wanted: &[Fault], change: &dyn Fn(&mut World)| {
        let mut world = store.world();
        change(&mut world);
        let found: Vec<Fault> = check(&world).into_iter().map(|f| f.fault).collect();
        assert_eq!(found, wanted);
    };
    let block = store.world().blocks.keys().next().unwrap().clone();
    let handle = store.world().endpoints[&x].spec.handle.clone();
    let y = (name("default"), name("y"));
    broken(&[Fault::AllocationWithoutHandle], &|w| {
        drop(w.handles.remove(&handle))
    });
    broken(&[Fault::AllocationStale], &|w| {
        w.handles.get_mut(&handle).unwrap().spec.node = None;
    });
    broken(&[Fault::EndpointStale, Fault::AllocationStale], &|w| {
        w.handles.get_mut(&handle).unwrap().spec.generation += 1;
    });
    broken(
        &[
            Fault::EndpointWithoutAllocation,
            Fault::HandleWithoutAllocation,
        ],
        &|w| {
            w.blocks
                .get_mut(&block)
                .unwrap()
                .spec
                .allocations
                .remove(&0);
        },
    );
    broken(
        &[Fault::EndpointWithoutAllocation, Fault::AddressTwice],
        &|w| {
            let addresses = w.endpoints[&x].spec.addresses.clone();
            w.endpoints.get_mut(&y).unwrap().spec.addresses = addresses;
        },
    );
    broken(&[Fault::BlockOutsidePool], &|w| w.pools.clear());
    broken(&[Fault::BlockOfUnknownNode], &|w| {
        drop(w.nodes.remove(&name("a")))
    });
    broken(&[Fault::BlocksOverlap], &|w| {
        let mut wide = w.blocks[&block].clone();
        wide.metadata.name = name("wide");
        wide.spec.cidr = "10.0.0.0/28".parse().unwrap();
        wide.spec.allocations.clear();
        w.put(wide.into());
    });
}
