//! TUN devices: made, found again, changed, replaced where they are others, and removed.

use tombolo_model::Mtu;
use tombolo_plan::objects::{Link, LinkKind, MAIN_TABLE, NextHop, Route};
use tombolo_plan::{Key, Object, Place, diff};

use crate::testing::{Host, link, name, plan};

fn device(mtu: u64) -> Object {
    Object::Link(Link {
        mtu: Mtu::new(mtu).ok(),
        ..link(LinkKind::Tun)
    })
}

fn wanted(mtu: u64) -> tombolo_plan::HostPlan {
    let route = Route {
        next: NextHop::Link(name("tbu1")),
        source: None,
        mtu: None,
    };
    let key = Key::Route {
        table: MAIN_TABLE,
        dst: "10.9.0.0/16".parse().unwrap(),
        metric: 0,
    };
    plan([
        (Place::host(Key::Link(name("tbu1"))), device(mtu)),
        (Place::host(key), Object::Route(route)),
    ])
}

#[test]
fn a_tun_device_is_made_found_again_and_removed() {
    let mut host = Host::new();
    host.converge(&wanted(1464));
    let told = host.run("ip -d link show tbu1");
    for word in [
        "tun type tun",
        "pi off",
        "vnet_hdr on",
        "multi_queue",
        "persist on",
        "mtu 1464",
    ] {
        assert!(told.contains(word), "no {word}: {told}");
    }
    assert!(host.run("ip route show dev tbu1").contains("10.9.0.0/16"));
    let observed = host.observe(&wanted(1464));
    assert_eq!(diff(&wanted(1464), &observed), []);
    // In place: its routes stay.
    host.converge(&wanted(1364));
    assert!(host.run("ip link show tbu1").contains("mtu 1364"));
    host.converge(&plan([]));
    assert!(!host.run("ip link show").contains("tbu1"));
}

#[test]
fn a_tun_device_of_another_make_is_replaced() {
    let mut host = Host::new();
    host.run("ip tuntap add tbu1 mode tun");
    host.converge(&wanted(1464));
    assert!(host.run("ip -d link show tbu1").contains("vnet_hdr on"));
}
