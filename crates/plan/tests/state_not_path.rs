//! State, not path: what a host should hold depends on the present World alone.
//!
//! Small random Worlds are reached in several ways (in reverse, one resource at a time, at once,
//! through nothing, through each other), and the plan must be the same. A kernel made of a map is
//! led along the same ways, and damaged: one pass must make it match, and a second one must find
//! nothing to do.

#[path = "support/fake_kernel.rs"]
mod fake_kernel;
#[path = "support/world.rs"]
mod world;

use proptest::prelude::*;
use serde_json::json;
use tombolo_model::kinds::TransportSpec;
use tombolo_model::{AnyResource, KindName, World};
use tombolo_plan::objects::{Link, LinkKind, NextHop, Route};
use tombolo_plan::{HostPlan, Key, Netns, Object, diff, plan};

use fake_kernel::FakeKernel;

/// The state of a cluster: every resource, in some order.
type State = Vec<AnyResource>;

/// One network of a random World.
#[derive(Debug, Clone)]
struct Net {
    driver: usize,
    transport: usize,
    nat: bool,
    /// The node of each of its endpoints, and the port of the host that leads to it, if not 0.
    endpoints: Vec<(usize, u16)>,
    /// Whether its last endpoint has an address of the first node's block.
    borrows: bool,
}

fn nets() -> impl Strategy<Value = Net> {
    let endpoints = prop::collection::vec((0..4_usize, 0..4_u16), 0..4);
    (
        0..6_usize,
        0..7_usize,
        any::<bool>(),
        endpoints,
        any::<bool>(),
    )
        .prop_map(|(driver, transport, nat, endpoints, borrows)| Net {
            driver,
            transport,
            nat,
            endpoints,
            borrows,
        })
}

fn states() -> impl Strategy<Value = State> {
    let subnets = prop::collection::vec(0..2_u8, 1..=4);
    (subnets, prop::collection::vec(nets(), 1..=3)).prop_map(|(subnets, nets)| {
        let mut state: State = subnets
            .iter()
            .enumerate()
            .map(|(i, s)| world::node(i, &[format!("192.168.{s}.{}/24", i + 1)], 1500))
            .collect();
        for (index, net) in nets.iter().enumerate() {
            add_network(&mut state, index, net, subnets.len());
        }
        state
    })
}

fn add_network(state: &mut State, index: usize, net: &Net, nodes: usize) {
    let driver = ["routed", "routed", "ptp", "bridge", "none", "fan"][net.driver];
    let transports = [
        r#"{"type":"vxlan"}"#,
        r#"{"type":"vxlan","crossSubnet":true}"#,
        r#"{"type":"direct"}"#,
        r#"{"type":"direct","crossSubnet":true}"#,
        r#"{"type":"bgp"}"#,
        r#"{"type":"ipip"}"#,
        r#"{"type":"gre","key":7,"crossSubnet":true}"#,
    ];
    let mut transport: TransportSpec =
        serde_json::from_str(transports[net.transport]).expect("test transports are transports");
    if transport.name.as_str() == "vxlan" {
        transport.options.insert("vni".into(), json!(100 + index));
    }
    let called = format!("net{index}");
    let pool = format!("pool{index}");
    let has_addresses = driver != "none";
    let pools: Vec<String> = has_addresses.then(|| pool.clone()).into_iter().collect();
    let transport = ["routed", "fan"].contains(&driver).then_some(&transport);
    state.push(world::network(&called, driver, transport, &pools));
    let mut in_use: Vec<Vec<(u32, String, usize, &str)>> = (0..nodes)
        .map(|n| vec![(0, format!("tunnel-{n}"), n, "tunnel")])
        .collect();
    for (place, (node, port)) in net.endpoints.iter().enumerate() {
        let node = node % nodes;
        let is_last = place + 1 == net.endpoints.len();
        let owner = if net.borrows && is_last { 0 } else { node };
        let handle = format!("e{index}-{place}");
        let ordinal = u32::try_from(place).expect("a few endpoints") + 5;
        in_use[owner].push((ordinal, handle.clone(), node, "workload"));
        let address = format!("10.{index}.{owner}.{ordinal}")
            .parse()
            .expect("an address");
        let addresses = if has_addresses { vec![address] } else { vec![] };
        let mapping = json!([{"hostPort": 8000 + port, "containerPort": 80}]);
        let ports = if *port == 0 { json!([]) } else { mapping };
        state.push(world::endpoint(&handle, node, &called, &addresses, &ports));
    }
    if has_addresses {
        state.push(world::pool(&pool, &format!("10.{index}.0.0/16"), net.nat));
        for (node, in_use) in in_use.iter().enumerate() {
            let cidr = format!("10.{index}.{node}.0/26");
            state.push(world::block(&cidr, &pool, Some(node), in_use));
        }
    }
}

fn from_scratch(state: &State) -> World {
    let mut world = World::default();
    for resource in state {
        world.put(resource.clone());
    }
    world
}

/// Makes a World that is in one state be in another, by single changes.
fn lead(world: &mut World, to: &State) {
    for kind in KindName::ALL {
        for present in world.list(*kind) {
            if !to.iter().any(|r| r.key() == present.key()) {
                world.remove(&present.key());
            }
        }
    }
    for resource in to {
        world.put(resource.clone());
    }
}

/// Lists of states that end with the same one: each list is another way there.
fn ways(states: &[State]) -> Vec<Vec<State>> {
    let last = states.last().expect("at least one state").clone();
    let reversed: State = last.iter().rev().cloned().collect();
    let one_by_one: Vec<State> = (1..=last.len()).map(|n| last[..n].to_vec()).collect();
    let with_empties = states.iter().flat_map(|s| [State::new(), s.clone()]);
    let mut backwards: Vec<State> = states.iter().rev().cloned().collect();
    backwards.push(last.clone());
    vec![
        states.to_vec(),
        vec![last],
        vec![reversed],
        one_by_one,
        with_empties.collect(),
        backwards,
    ]
}

fn plans(world: &World) -> Vec<HostPlan> {
    let plan = |node| plan(world, node).expect("the node is in the World");
    world.nodes.keys().map(plan).collect()
}

/// One pass; answers how many operations it took.
fn pass(kernel: &mut FakeKernel, wanted: &HostPlan) -> Result<usize, TestCaseError> {
    let ops = diff(wanted, &kernel.observe(wanted));
    for op in &ops {
        kernel.apply(op).map_err(TestCaseError::fail)?;
    }
    Ok(ops.len())
}

fn check_met(kernel: &mut FakeKernel, wanted: &HostPlan) -> Result<(), TestCaseError> {
    pass(kernel, wanted)?;
    let left = diff(wanted, &kernel.observe(wanted));
    prop_assert!(left.is_empty(), "left after a pass: {left:?}");
    Ok(())
}

/// Somebody else changes the kernel: removes an object with what falls with it, or turns one.
fn damage(kernel: &mut FakeKernel, which: usize, how: u8) {
    let count = kernel.objects.len();
    let Some((place, object)) = kernel.objects.iter().nth(which % count.max(1)) else {
        return;
    };
    let (place, object) = (place.clone(), object.clone());
    let remove = tombolo_plan::Op::Remove {
        place: place.clone(),
        object: object.clone(),
    };
    // What holds a set's elements, the kernel does not let go.
    if matches!(place.key, Key::NftSet(_)) {
        return;
    }
    let turned = match object {
        Object::Link(link) => Object::Link(turn_link(link, how)),
        Object::Route(Route { source, .. }) => Object::Route(Route {
            next: NextHop::Blackhole,
            source,
            mtu: Some(1300),
        }),
        Object::Neighbour(mac) if how.is_multiple_of(2) => {
            let mut bytes = mac.0;
            bytes[5] ^= 1;
            Object::Neighbour(tombolo_model::MacAddr(bytes))
        }
        other => other,
    };
    if how.is_multiple_of(3) {
        kernel.apply(&remove).expect("it was there");
    } else if turned != kernel.objects[&place] {
        kernel.objects.insert(place, turned);
    }
}

fn turn_link(mut link: Link, how: u8) -> Link {
    match how % 5 {
        0 => link.up = false,
        1 => link.mtu = tombolo_model::Mtu::new(1280).ok(),
        2 => link.port = None,
        3 => link.mac = Some(tombolo_model::MacAddr([2, 9, 9, 9, 9, 9])),
        _ => {
            if let LinkKind::Vxlan { port, .. } = &mut link.kind {
                *port = 8472;
            }
        }
    }
    link
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_way_to_a_world_does_not_matter(states in prop::collection::vec(states(), 1..4)) {
        let wanted = plans(&from_scratch(states.last().expect("at least one")));
        for way in ways(&states) {
            let mut world = World::default();
            for state in &way {
                lead(&mut world, state);
            }
            prop_assert_eq!(&plans(&world), &wanted);
        }
    }

    #[test]
    fn a_kernel_is_led_from_state_to_state(states in prop::collection::vec(states(), 1..5)) {
        let mut kernel = FakeKernel::default();
        let mut world = World::default();
        for state in &states {
            lead(&mut world, state);
            let wanted = plan(&world, &world::name("n0")).expect("n0 is in every World");
            check_met(&mut kernel, &wanted)?;
            let mut fresh = FakeKernel::default();
            pass(&mut fresh, &wanted)?;
            prop_assert_eq!(kernel.observe(&wanted), fresh.observe(&wanted));
        }
    }

    #[test]
    fn damage_is_repaired(state in states(), blows in prop::collection::vec(any::<(usize, u8)>(), 1..6)) {
        let world = from_scratch(&state);
        let wanted = plan(&world, &world::name("n0")).expect("n0 is in every World");
        let mut kernel = FakeKernel::default();
        check_met(&mut kernel, &wanted)?;
        prop_assert_eq!(pass(&mut kernel, &wanted)?, 0);
        for (which, how) in blows {
            damage(&mut kernel, which, how);
        }
        check_met(&mut kernel, &wanted)?;
        let lost = kernel.objects.iter().any(|(place, _)| {
            matches!(place.netns, Netns::Sandbox(_)) && !wanted.objects.contains_key(place)
        });
        prop_assert!(!lost, "a sandbox holds what nobody wants");
    }
}
