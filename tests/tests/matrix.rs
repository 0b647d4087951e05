//! Every way of networking, tried on a kernel that has everything: attachments and transports, over
//! and in IPv4 and IPv6, each with pings, TCP, packets as large as they may be, repair of what others
//! broke, and a change to each other transport while packets flow.
//!
//! Everything runs in one test, since it may need a machine of its own (see `machine`). Each line that
//! it prints is a cell of the matrix.
use std::time::Instant;

use tombolo_model::Family;
use tombolo_tests::ground::{Ground, Numbers, Spot};
use tombolo_tests::machine;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// How containers of a network reach those of other hosts.
struct Way {
    /// As the network's `spec` has it.
    transport: &'static str,
    /// Bytes that it adds over IPv4 and IPv6.
    overhead: [u32; 2],
}

/// The transports of driver `routed`.
const TRANSPORTS: [Way; 5] = [
    way("{type: direct}", [0, 0]),
    way("{type: vxlan}", [50, 70]),
    way("{type: ipip}", [20, 40]),
    way("{type: gre}", [24, 44]),
    way("{type: bgp}", [0, 0]),
];

/// Those that can go around the packets of other subnets only.
const ACROSS: [Way; 3] = [
    way("{type: vxlan, crossSubnet: true}", [50, 70]),
    way("{type: ipip, crossSubnet: true}", [20, 40]),
    way("{type: gre, crossSubnet: true}", [24, 44]),
];

/// A driver that has no transports to choose from, or few.
struct Driver {
    name: &'static str,
    spec: &'static str,
    numbers: Numbers,
    /// What the containers' MTU is to be.
    mtu: u32,
    /// Whether the routers have to know where containers are.
    is_routed: bool,
    /// Where the containers are: with drivers that stay on their host, together.
    spot: Spot,
    /// What somebody may do to it.
    damages: &'static [Damage],
}

/// The drivers besides `routed`.
const DRIVERS: [Driver; 17] = [
    Driver {
        spot: Spot::Together,
        ..wrapped("ptp", "driver: ptp", 1500)
    },
    Driver {
        spot: Spot::Together,
        ..wrapped("bridge", "driver: bridge", 1500)
    },
    Driver {
        damages: &[LINKS, INSIDE],
        ..wrapped(
            "overlay, vxlan",
            "driver: overlay, transport: {type: vxlan}",
            1450,
        )
    },
    Driver {
        numbers: Numbers::Fan,
        ..wrapped(
            "fan, ipip",
            "driver: fan, transport: {type: ipip}, fan: {underlay: 192.168.0.0/16}",
            1480,
        )
    },
    Driver {
        numbers: Numbers::Fan,
        ..wrapped(
            "fan, vxlan",
            "driver: fan, transport: {type: vxlan}, fan: {underlay: 192.168.0.0/16}",
            1450,
        )
    },
    physical(
        "macvlan, bridge",
        "driver: macvlan, macvlan: {parent: eth0}",
    ),
    physical(
        "macvlan, private",
        "driver: macvlan, macvlan: {parent: eth0, mode: private}",
    ),
    physical(
        "macvlan, vepa",
        "driver: macvlan, macvlan: {parent: eth0, mode: vepa}",
    ),
    physical(
        "macvlan on a VLAN",
        "driver: macvlan, macvlan: {parent: eth0, vlan: 7}",
    ),
    physical(
        "macvlan, passthru, on a VLAN",
        "driver: macvlan, macvlan: {parent: eth0, mode: passthru, vlan: 8}",
    ),
    physical("ipvlan, L2", "driver: ipvlan, ipvlan: {parent: eth0}"),
    physical(
        "ipvlan, L2, private",
        "driver: ipvlan, ipvlan: {parent: eth0, flag: private}",
    ),
    physical(
        "ipvlan, L2, vepa",
        "driver: ipvlan, ipvlan: {parent: eth0, flag: vepa}",
    ),
    Driver {
        is_routed: true,
        ..physical(
            "ipvlan, L3",
            "driver: ipvlan, ipvlan: {parent: eth0, mode: l3}",
        )
    },
    Driver {
        is_routed: true,
        ..physical(
            "ipvlan, L3S",
            "driver: ipvlan, ipvlan: {parent: eth0, mode: l3s}",
        )
    },
    Driver {
        is_routed: true,
        ..physical(
            "ipvlan, L3, private",
            "driver: ipvlan, ipvlan: {parent: eth0, mode: l3, flag: private}",
        )
    },
    physical("vlan", "driver: vlan, vlan: {parent: eth0, id: 30}"),
];

const fn physical(name: &'static str, spec: &'static str) -> Driver {
    Driver {
        name,
        spec,
        numbers: Numbers::Plain,
        mtu: 1500,
        is_routed: false,
        spot: Spot::Near,
        damages: &[INSIDE],
    }
}

const fn wrapped(name: &'static str, spec: &'static str, mtu: u32) -> Driver {
    Driver {
        mtu,
        damages: &[ROUTES, LINKS, INSIDE],
        ..physical(name, spec)
    }
}

const fn way(transport: &'static str, overhead: [u32; 2]) -> Way {
    Way {
        transport,
        overhead,
    }
}

impl Way {
    fn spec(&self) -> String {
        format!("driver: routed, transport: {}", self.transport)
    }

    /// What gets through over an underlay of one family: packets that are not wrapped are of it, but
    /// for IPv4 by next hops of IPv6, as BGP tells of them (RFC 8950).
    fn carries(&self, underlay: Family) -> &'static [Family] {
        let is_bare = self.transport.contains("direct");
        let is_learned = self.transport.contains("bgp");
        match underlay {
            Family::V4 if is_bare || is_learned => &FAMILIES[..1],
            Family::V6 if is_bare => &FAMILIES[1..],
            _ => &FAMILIES,
        }
    }

    fn overhead(&self, underlay: Family) -> u32 {
        self.overhead[usize::from(underlay == Family::V6)]
    }
}

/// What others do to a host, and how.
struct Damage(&'static str, fn(&Ground, usize));

const ROUTES: Damage = Damage("routes", |ground, host| {
    ground.damage(host, "ip route flush proto 84; ip -6 route flush proto 84");
});
const LINKS: Damage = Damage("links", |ground, host| {
    let each = "sed -n 's/^[0-9]*: \\(tb[^:@]*\\).*/\\1/p'";
    let delete = "while read link; do ip link delete $link || true; done";
    ground.damage(host, &format!("ip -o link | {each} | {delete}"));
});
const FILTERS: Damage = Damage("packet filters", |ground, host| {
    ground.damage(host, "nft flush ruleset");
});
const INSIDE: Damage = Damage("container's interface", |ground, host| {
    ground.damage_inside(host, "ip link delete eth0");
});

/// Pings, TCP, and packets as large as the containers' MTU says that they may be.
fn traffic(ground: &Ground, families: &[Family]) -> Result<(), String> {
    for family in families {
        ground.ping(*family, None)?;
        ground.tcp(*family, 200_000)?;
        ground.ping(*family, Some(ground.mtu(0)))?;
    }
    Ok(())
}

/// Takes from the hosts what they hold: they make it anew, at once and completely.
fn drift(ground: &mut Ground, damages: &[Damage], families: &[Family]) -> Result<(), String> {
    let hosts = (0..ground.inhabited()).cycle();
    for (Damage(what, damage), host) in damages.iter().zip(hosts) {
        damage(ground, host);
        if !ground.turn(host)? {
            return Err(format!("nobody misses the {what} of host {host}"));
        }
        if ground.turn(host)? {
            return Err(format!(
                "after the repair of its {what} host {host} has more to do"
            ));
        }
        for family in families {
            let lost = |why| format!("{why}, after the {what} of host {host} were gone");
            ground.ping(*family, None).map_err(lost)?;
        }
    }
    Ok(())
}

/// The cells of the matrix, and what is wrong in them.
#[derive(Default)]
struct Matrix {
    cells: usize,
    wrong: Vec<String>,
}

impl Matrix {
    fn cell(&mut self, name: &str, result: impl FnOnce() -> Result<(), String>) {
        let begun = Instant::now();
        let result = result();
        let took = begun.elapsed().as_millis();
        self.cells += 1;
        match result {
            Ok(()) => println!("{name}: right ({took} ms)"),
            Err(why) => {
                println!("{name}: WRONG: {why}");
                self.wrong.push(format!("{name}: {why}"));
            }
        }
    }

    /// One transport over an underlay: everything but changes.
    fn at_rest(&mut self, way: &Way, underlay: Family) {
        let name = format!("routed, {} over {underlay}", way.transport);
        self.cell(&name, || {
            let mut ground = Ground::new(&[underlay], Numbers::Plain);
            ground.network(&way.spec());
            ground.settle(&mut |_| Ok(()))?;
            let families = way.carries(underlay);
            if families == FAMILIES && !ground.problems().is_empty() {
                return Err(ground.problems().join("; "));
            }
            let (is, wanted) = (ground.mtu(0), 1500 - way.overhead(underlay));
            if families == FAMILIES && is != wanted {
                return Err(format!("the MTU is {is} instead of {wanted}"));
            }
            traffic(&ground, families)?;
            drift(&mut ground, &[ROUTES, LINKS, FILTERS, INSIDE], families)
        });
    }

    /// A transport that goes around packets to another subnet only: hosts of one are reached without.
    fn across(&mut self, way: &Way, underlay: Family, spot: Spot) {
        let name = format!("routed, {} over {underlay}, {spot:?}", way.transport);
        self.cell(&name, || {
            let mut ground = Ground::at(spot, &[underlay], Numbers::Plain);
            ground.network(&way.spec());
            ground.settle(&mut |_| Ok(()))?;
            // Within a subnet only packets of the underlay's own family can go without.
            let bare = &FAMILIES[usize::from(underlay == Family::V6)..][..1];
            let families = if spot == Spot::Near { bare } else { &FAMILIES };
            let routes = ground.routes(0);
            let block = Numbers::Plain.block(1, underlay).to_string();
            let mut to_other = routes.lines().filter(|line| line.starts_with(&block));
            let wraps = to_other.any(|line| line.contains("dev tb"));
            if wraps != (spot == Spot::Far) {
                return Err(format!("the way to {block} is another: {routes}"));
            }
            traffic(&ground, families)
        });
    }

    /// What is around the packets, as others see it who may have to let it through.
    fn on_the_wire(&mut self, spec: &str, word: &str, underlay: Family) {
        let name = format!("{spec} over {underlay} has {word} on the wire");
        self.cell(&name, || {
            let mut ground = Ground::new(&[underlay], Numbers::Plain);
            ground.network(&format!("driver: routed, transport: {spec}"));
            ground.settle(&mut |_| Ok(()))?;
            ground.seen(word, |ground| ground.ping(Family::V4, None))
        });
    }

    /// From each transport to each other one, and no packet is lost between any two steps.
    fn changes(&mut self, underlay: Family) {
        let mut ground = Ground::new(&[underlay], Numbers::Plain);
        let mut last: Option<&Way> = None;
        for (from, to) in tour(TRANSPORTS.len()) {
            let (from, to) = (&TRANSPORTS[from], &TRANSPORTS[to]);
            // A tour goes on where it was; after a failure it begins anew.
            if last.is_none_or(|last| last.transport != from.transport) {
                ground = Ground::new(&[underlay], Numbers::Plain);
                ground.network(&from.spec());
                drop(ground.settle(&mut |_| Ok(())));
            }
            let name = format!(
                "routed, {} → {} over {underlay}",
                from.transport, to.transport
            );
            let both = from
                .carries(underlay)
                .iter()
                .filter(|f| to.carries(underlay).contains(f));
            let both: Vec<Family> = both.copied().collect();
            let wrong = self.wrong.len();
            self.cell(&name, || {
                ground.network(&to.spec());
                ground.settle(&mut |ground| both.iter().try_for_each(|f| ground.ping(*f, None)))?;
                to.carries(underlay)
                    .iter()
                    .try_for_each(|f| ground.ping(*f, Some(ground.mtu(0))))
            });
            last = (self.wrong.len() == wrong).then_some(to);
        }
    }

    /// A driver besides `routed`.
    fn driver(&mut self, driver: &Driver) {
        self.cell(driver.name, || {
            let mut ground = Ground::at(driver.spot, &FAMILIES, driver.numbers);
            ground.network(driver.spec);
            if driver.is_routed {
                ground.tell_routes();
            }
            ground.settle(&mut |_| Ok(()))?;
            if ground.mtu(0) != driver.mtu {
                return Err(format!(
                    "the MTU is {} instead of {}",
                    ground.mtu(0),
                    driver.mtu
                ));
            }
            traffic(&ground, driver.numbers.families())?;
            drift(&mut ground, driver.damages, driver.numbers.families())
        });
    }
}

/// Every ordered pair of so many, each beginning where the one before ended.
fn tour(count: usize) -> Vec<(usize, usize)> {
    fn walk(at: usize, left: &mut Vec<(usize, usize)>, path: &mut Vec<usize>) {
        while let Some(place) = left.iter().position(|(from, _)| *from == at) {
            let (_, to) = left.remove(place);
            walk(to, left, path);
        }
        path.push(at);
    }
    let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    let mut left: Vec<_> = pairs.filter(|(from, to)| from != to).collect();
    let mut path = Vec::new();
    walk(0, &mut left, &mut path);
    path.reverse();
    path.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

#[test]
fn a_tour_has_every_pair_once() {
    let tour = tour(5);
    let pairs: std::collections::BTreeSet<_> = tour.iter().collect();
    assert_eq!((tour.len(), pairs.len()), (20, 20));
    assert!(tour.windows(2).all(|two| two[0].1 == two[1].0));
}

#[test]
fn every_attachment_and_transport_works() {
    machine::on_full_kernel("every_attachment_and_transport_works", || {
        let begun = Instant::now();
        let mut matrix = Matrix::default();
        for underlay in FAMILIES {
            for way in &TRANSPORTS {
                matrix.at_rest(way, underlay);
            }
            matrix.changes(underlay);
            for way in &ACROSS {
                for spot in [Spot::Near, Spot::Far] {
                    matrix.across(way, underlay, spot);
                }
            }
            matrix.on_the_wire("{type: gre, key: 4294967295}", "key=0xffffffff", underlay);
            matrix.on_the_wire("{type: vxlan, vni: 77}", "vni 77", underlay);
        }
        for driver in &DRIVERS {
            matrix.driver(driver);
        }
        println!("{} cells in {:?}", matrix.cells, begun.elapsed());
        assert!(
            matrix.wrong.is_empty(),
            "{} are wrong:\n{}",
            matrix.wrong.len(),
            matrix.wrong.join("\n")
        );
    });
}
