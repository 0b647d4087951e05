//! Which address is chosen, and the errors when none can be.

use super::*;

/// All addresses that a node gets, in order, until there are none.
fn drain(store: &mut Store, node: &str) -> (Vec<IpAddr>, IpamError) {
    let mut given = Vec::new();
    for index in 0..10_000 {
        let identity = format!("{node}-{index}");
        match store.assign(&Request::workload(&name(node), &name("net"), &identity)) {
            Ok(claim) => given.extend(claim.addresses),
            Err(error) => return (given, error),
        }
    }
    panic!("no end");
}

#[test]
fn a_node_fills_its_block_before_it_claims_another() {
    let mut store = Store::of(WORLD);
    let (given, error) = drain(&mut store, "a");
    assert_eq!(given.len(), 16);
    for block in given.chunks(4) {
        let last: Vec<u8> = block
            .iter()
            .map(|a| a.to_string().rsplit('.').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(last[0] % 4, 0);
        assert!(
            last.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{last:?}"
        );
    }
    assert_eq!(
        store.blocks(),
        [
            "10.0.0.0/30 a 4+0",
            "10.0.0.4/30 a 4+0",
            "10.0.0.8/30 a 4+0",
            "10.0.0.12/30 a 4+0"
        ]
    );
    let said = error.to_string();
    assert!(said.starts_with("no ipv4 address is free for node a in network net: IPPool v4 (10.0.0.0/28) has 16 addresses in 4 blocks, 16 in use;"), "{said}");
    assert!(said.contains("add a pool to the network"), "{said}");
}

#[test]
fn nodes_do_not_begin_at_the_same_block() {
    let mut store = changed(&[("10.0.0.0/28", "10.0.0.0/16")]);
    let first: Vec<String> = ["a", "b", "c"].map(|node| store.give(node, node)).to_vec();
    let stale: Vec<String> = ["a", "b", "c"]
        .map(|node| changed(&[("10.0.0.0/28", "10.0.0.0/16")]).give(node, node))
        .to_vec();
    assert_eq!(
        first, stale,
        "each would have chosen the same without the others"
    );
}

#[test]
fn borrowed_last_and_not_with_strict_affinity() {
    let mut store = Store::of(WORLD);
    for index in 0..13 {
        store.give("a", &index.to_string());
    }
    store.give("b", "borrower");
    assert_eq!(
        store.blocks().iter().filter(|b| b.contains(" a ")).count(),
        4
    );
    let mut store = changed(&[("blockSize: 30", "blockSize: 30, strictAffinity: true")]);
    for index in 0..13 {
        store.give("a", &index.to_string());
    }
    let error = drain(&mut store, "b").1.to_string();
    assert!(
        error.contains("in 4 blocks, 13 in use, strictAffinity;"),
        "{error}"
    );
}

#[test]
fn reserved_addresses_are_passed_over() {
    let mut store = Store::of(&format!(
        "{WORLD}{}",
        reservation("10.0.0.0/29, 10.0.0.9/32")
    ));
    let (given, _) = drain(&mut store, "a");
    assert_eq!(given.len(), 7);
    assert!(
        !given
            .iter()
            .any(|a| ["10.0.0.0", "10.0.0.7", "10.0.0.9"].contains(&a.to_string().as_str()))
    );
    let text = WORLD.replace("10.0.0.0/28, blockSize: 30", "fd00::/48");
    let mut store = Store::of(&format!(
        "{text}{}",
        reservation("fd00::/49, fd00:0:0:8000::/50")
    ));
    let given = store.give("a", "x");
    let address: std::net::Ipv6Addr = given.parse().unwrap();
    assert!(address.segments()[3] >= 0xc000, "{address}");
}

#[test]
fn places_of_a_bridge_are_kept() {
    let mut store = Store::of(WORLD);
    let reserve = Reserve { head: 2, tail: 1 };
    let (node, net) = (name("a"), name("net"));
    for index in 0..4 {
        let identity = index.to_string();
        let request = Request {
            reserve,
            ..Request::workload(&node, &net, &identity)
        };
        let address = texts(&store.assign(&request).unwrap().addresses);
        assert!(
            ["10.0.0.2", "10.0.0.6", "10.0.0.10", "10.0.0.14"].contains(&address.as_str()),
            "{address}"
        );
    }
    let request = Request {
        reserve,
        ..Request::workload(&node, &net, "more")
    };
    assert!(matches!(
        store.assign(&request),
        Err(IpamError::Exhausted { .. })
    ));
    let gateway = [ip("10.0.0.1")];
    let request = Request {
        wanted: &gateway,
        ..request
    };
    let error = store.assign(&request).unwrap_err().to_string();
    assert!(error.starts_with("10.0.0.1 is kept for network net itself: the first 2 and the last 1 addresses of 10.0.0.0/30"), "{error}");
    let request = Request {
        purpose: tombolo_model::kinds::Purpose::Gateway,
        ..request
    };
    assert_eq!(
        texts(&store.assign(&request).unwrap().addresses),
        "10.0.0.1"
    );
    let none = Request {
        reserve: Reserve { head: 3, tail: 1 },
        ..Request::workload(&node, &net, "x")
    };
    assert!(matches!(
        Store::of(WORLD).assign(&none),
        Err(IpamError::Exhausted { .. })
    ));
}

#[test]
fn pools_are_tried_in_order_and_by_node() {
    let spec = "cidr: 10.1.0.0/30, blockSize: 30, nodeSelector: rack == 'r2'";
    let text = WORLD.replace("pools: [v4]", "pools: [second, v4]") + &pool("second", spec);
    let mut store = Store::of(&text);
    assert!(store.give("a", "x").starts_with("10.0.0."));
    for index in 0..4 {
        assert!(store.give("c", &index.to_string()).starts_with("10.1.0."));
    }
    assert!(store.give("c", "4").starts_with("10.0.0."));
}

#[test]
fn dual_stack_gives_one_of_each() {
    let text = WORLD.replace("pools: [v4]", "pools: [v6, v4]") + &pool("v6", "cidr: fd00::/64");
    let mut store = Store::of(&text);
    let given = store.give("a", "x");
    let (v4, v6) = given.split_once(' ').unwrap();
    assert!(
        v4.starts_with("10.0.0.") && v6.starts_with("fd00::"),
        "{given}"
    );
    store.release("x");
    assert_eq!(store.give("b", "x"), given);
}

#[test]
fn every_width_of_pool_and_block_can_be_cut() {
    for (cidr, size) in [
        ("10.0.0.0/8", "32"),
        ("10.0.0.0/32", "32"),
        ("10.0.0.0/20", "20"),
        ("0.0.0.0/0", "26"),
        ("255.255.255.0/24", "24"),
        ("fd00::/8", "116"),
        ("::/0", "116"),
        ("::/0", "128"),
        ("ff00::/8", "122"),
        ("fd00::1/128", "128"),
    ] {
        let mut store = changed(&[("10.0.0.0/28, blockSize: 30", "fd00::/48")]);
        let mut pool = store.world().pools[&name("v4")].clone();
        pool.spec.cidr = cidr.parse().unwrap();
        pool.spec.block_size = size.parse().ok();
        let spec = pool.spec.cidr;
        store.put(pool.into());
        for index in 0..2 {
            match store.assign(&Request::workload(
                &name("a"),
                &name("net"),
                &index.to_string(),
            )) {
                Ok(claim) => assert!(spec.contains(&claim.addresses[0]), "{claim:?}"),
                Err(error) => assert!(index == 1 && spec.prefix_len() >= 32, "{error}"),
            }
        }
    }
}

#[test]
fn addresses_asked_for_by_name() {
    let text = WORLD.replace("blockSize: 30", "blockSize: 30, strictAffinity: true");
    let mut store = Store::of(&(text + &reservation("10.0.0.8/30")));
    let (a, b, net) = (name("a"), name("b"), name("net"));
    let ask = |store: &mut Store, node: &Name, identity: &str, address: &str| {
        let wanted = [ip(address)];
        store.assign(&Request {
            wanted: &wanted,
            ..Request::workload(node, &net, identity)
        })
    };
    assert_eq!(
        texts(&ask(&mut store, &a, "x", "10.0.0.9").unwrap().addresses),
        "10.0.0.9"
    );
    assert_eq!(store.blocks(), ["10.0.0.8/30 a 1+0"]);
    assert_eq!(
        texts(&ask(&mut store, &a, "x", "10.0.0.10").unwrap().addresses),
        "10.0.0.10"
    );
    assert_eq!(store.blocks(), ["10.0.0.8/30 a 1+1"]);
    for (node, identity, address, part) in [
        (
            &b,
            "y",
            "10.9.0.1",
            "10.9.0.1 is in no pool of network net; its pools are v4 (10.0.0.0/28)",
        ),
        (
            &a,
            "y",
            "10.0.0.10",
            "10.0.0.10 is in use by x on node a; ask for another",
        ),
        (
            &b,
            "y",
            "10.0.0.11",
            "10.0.0.11 belongs to block 10.0.0.8/30 of node a, and IPPool v4 has",
        ),
    ] {
        let error = ask(&mut store, node, identity, address)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(part), "{error}");
    }
    let wanted = [ip("10.0.0.1"), ip("10.0.0.2")];
    let request = Request {
        wanted: &wanted,
        ..Request::workload(&a, &net, "z")
    };
    let error = store.assign(&request).unwrap_err().to_string();
    assert!(
        error.starts_with("10.0.0.1 and 10.0.0.2 are both ipv4"),
        "{error}"
    );
}

#[test]
fn blocks_of_an_older_size_are_not_overlapped() {
    let mut store = Store::of(WORLD);
    let old = ip(&store.give("a", "x"));
    let mut pool = store.world().pools[&name("v4")].clone();
    pool.spec.block_size = Some(29);
    store.put(pool.into());
    let wanted: Vec<IpAddr> = (0..8u8).map(|i| ip(&format!("10.0.0.{i}"))).collect();
    let sibling = |a: &IpAddr| {
        wanted.contains(a) == wanted.contains(&old) && {
            let (a, old) = (a.to_string(), old.to_string());
            let last = |t: &str| t.rsplit('.').next().unwrap().parse::<u8>().unwrap();
            last(&a) / 4 != last(&old) / 4 && last(&a) / 8 == last(&old) / 8
        }
    };
    let all: Vec<IpAddr> = (0..16u8).map(|i| ip(&format!("10.0.0.{i}"))).collect();
    let blocked = [*all.iter().find(|a| sibling(a)).unwrap()];
    let (node, net) = (name("a"), name("net"));
    let error = store.assign(&Request {
        wanted: &blocked,
        ..Request::workload(&node, &net, "y")
    });
    assert!(
        matches!(error, Err(IpamError::BlocksOverlap { .. })),
        "{error:?}"
    );
    drain(&mut store, "b");
    assert!(check(&store.world()).is_empty());
}

#[test]
fn errors_of_networks_and_pools() {
    for (changes, part) in [
        (
            &[("{name: net}", "{name: other}")][..],
            "network net does not exist; apply it first",
        ),
        (&[("pools: [v4]", "pools: []")], "network net has no pools"),
        (
            &[("pools: [v4]", "pools: [v5]")],
            "no ipv4 pool of network net can be used on node a: IPPool v5 does not exist",
        ),
        (
            &[("blockSize: 30", "blockSize: 30, disabled: true")],
            "no ipv4 pool of network net can be used on node a: IPPool v4 is disabled",
        ),
        (
            &[("blockSize: 30", "blockSize: 30, nodeSelector: has(gpu)")],
            "no ipv4 pool of network net can be used on node a: IPPool v4 is for nodes with has(gpu), which node a does not match",
        ),
    ] {
        let error = changed(changes)
            .assign(&Request::workload(&name("a"), &name("net"), "x"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(part), "{error}");
    }
}

#[test]
fn addresses_come_from_the_ranges_that_were_asked_for() {
    let mut store = changed(&[("10.0.0.0/28", "10.0.0.0/16")]);
    let (node, net) = (name("a"), name("net"));
    let range = |first: &str, last: &str| tombolo_model::AddressRange {
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
    };
    let ranges = [
        range("10.0.200.7", "10.0.200.9"),
        range("10.0.9.1", "10.0.9.1"),
    ];
    let mut given = Vec::new();
    let error = loop {
        let who = given.len().to_string();
        let request = Request {
            ranges: &ranges,
            ..Request::workload(&node, &net, &who)
        };
        match store.assign(&request) {
            Ok(claim) => given.push(claim.addresses[0].to_string()),
            Err(error) => break error,
        }
    };
    given.sort();
    assert_eq!(
        given,
        ["10.0.200.7", "10.0.200.8", "10.0.200.9", "10.0.9.1"]
    );
    assert!(matches!(error, IpamError::Exhausted { .. }), "{error}");
    let outside = [range("10.1.0.1", "10.1.0.2")];
    let request = Request {
        ranges: &outside,
        ..Request::workload(&node, &net, "x")
    };
    let error = assign(&store.world(), &request).unwrap_err().to_string();
    assert!(
        error.starts_with("10.1.0.1 is in no pool of network net"),
        "{error}"
    );
}
