//! A namespace of ours: made and removed with all that is in it, and repaired.

use std::time::{Duration, Instant};

use tombolo_model::{MacAddr, Name, Vni};
use tombolo_plan::objects::{BridgePort, Link, LinkKind, Stations, VethPeer};
use tombolo_plan::{HostPlan, Key, Netns, Object, Place};

use crate::testing::{Host, link, name, plan};
use crate::{Kernel, Look, NetnsHandle, Ownership};

const FAR: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

/// A host with a folder of its own for namespaces, which is removed with it.
pub(super) struct Own {
    pub host: Host,
    folder: tempfile::TempDir,
}

impl Own {
    pub fn new() -> Own {
        let mut host = Host::new();
        let folder = tempfile::tempdir().unwrap();
        let ownership = Ownership {
            namespaces: folder.path().to_owned(),
            namespace_prefix: "tbn".to_owned(),
            ..Ownership::default()
        };
        host.kernel = Kernel::open(&host.netns, ownership).unwrap();
        host.run("ip link add eth0 type bridge; ip addr add 192.0.2.1/24 dev eth0");
        host.run("ip link set eth0 up");
        Own { host, folder }
    }

    pub fn inside(&self, line: &str) -> String {
        let netns = NetnsHandle::open(self.folder.path().join("tbn1")).unwrap();
        crate::testing::run(&netns, line)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = NetnsHandle::delete(self.folder.path().join("tbn1"));
    }
}

fn port(stations: Stations) -> Option<BridgePort> {
    Some(BridgePort {
        bridge: name("tbb1"),
        hairpin: false,
        isolated: false,
        stations,
    })
}

/// A bridge with a VXLAN device and a container, and a station behind each.
pub(super) fn segment(host: &Host) -> HostPlan {
    let segment = Name::new("tbn1").unwrap();
    let at = |key| Place::segment(&segment, key);
    let peer = VethPeer {
        netns: Netns::Sandbox(host.path()),
        name: name("eth0"),
        mac: MacAddr([2, 0, 0, 0, 0, 7]),
        handed_over: false,
    };
    let vxlan = LinkKind::Vxlan {
        vni: Vni::new(77).unwrap(),
        port: 4789,
        local: "192.0.2.1".parse().unwrap(),
        parent: name("eth0"),
    };
    let station = |mac, port: &str| {
        let bridge = name("tbb1");
        (
            at(Key::Station { bridge, mac }),
            Object::Station(name(port)),
        )
    };
    let fdb = |mac, many: bool| {
        let remote = "192.0.2.2".parse().unwrap();
        let link = name("tbx77");
        let key = Key::Fdb {
            link,
            mac,
            remote: many.then_some(remote),
        };
        (at(key), Object::Fdb(remote))
    };
    let neighbour = Key::Neighbour {
        link: name("tbb1"),
        address: "10.0.0.9".parse().unwrap(),
    };
    let as_port = |kind, stations| Link {
        port: port(stations),
        ..link(kind)
    };
    plan([
        (
            Place::host(Key::Namespace(segment.clone())),
            Object::Namespace,
        ),
        (
            at(Key::Link(name("tbb1"))),
            Object::Link(link(LinkKind::Bridge)),
        ),
        (
            at(Key::Link(name("tbx77"))),
            Object::Link(as_port(vxlan, Stations::Remote)),
        ),
        (
            at(Key::Link(name("tbv1"))),
            Object::Link(as_port(LinkKind::Veth(peer.clone()), Stations::Told)),
        ),
        (
            Place::sandbox(&host.path(), Key::Link(name("eth0"))),
            Object::Link(link(LinkKind::VethEnd)),
        ),
        station(FAR, "tbx77"),
        station(peer.mac, "tbv1"),
        fdb(FAR, false),
        fdb(MacAddr([0; 6]), true),
        (at(neighbour), Object::Neighbour(FAR)),
    ])
}

#[test]
fn a_segment_comes_and_goes() {
    let mut own = Own::new();
    let plan = segment(&own.host);
    own.host.converge(&plan);
    let shown = own.inside("ip -d link show tbx77; bridge fdb; ip neigh");
    for part in [
        "vxlan id 77",
        "neigh_suppress on",
        "learning off flood off",
        "02:00:00:00:00:09 dev tbx77 master tbb1 static",
        "02:00:00:00:00:09 dev tbx77 dst 192.0.2.2",
        "00:00:00:00:00:00 dev tbx77 dst 192.0.2.2",
        "10.0.0.9 dev tbb1 lladdr 02:00:00:00:00:09 PERMANENT",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    own.host.converge(&HostPlan::default());
    assert_eq!(std::fs::read_dir(own.folder.path()).unwrap().count(), 0);
    own.host.converge(&plan);
}

#[test]
fn damage_in_a_segment_is_told_and_repaired() {
    let mut own = Own::new();
    let plan = segment(&own.host);
    own.host.converge(&plan);
    let mut watcher = own.host.kernel.watch().unwrap();
    for damage in [
        "bridge fdb del 02:00:00:00:00:09 dev tbx77 master",
        "bridge fdb del 02:00:00:00:00:09 dev tbx77 self",
        "bridge fdb del 00:00:00:00:00:00 dev tbx77 dst 192.0.2.2",
        "bridge fdb append 00:00:00:00:00:00 dev tbx77 dst 192.0.2.3",
        "bridge fdb add 02:00:00:00:00:0a dev tbx77 master static",
        "bridge link set dev tbx77 neigh_suppress off",
        "bridge link set dev tbv1 learning on",
        "ip neigh flush all nud permanent",
        "ip link set tbv1 nomaster",
        "ip link del tbx77",
        "ip link del tbb1",
        "ip link add tbz9 type bridge",
    ] {
        own.inside(damage);
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            // What the last repair did is told too, and may come late.
            let events = watcher.wait(Some(Duration::from_secs(1))).unwrap();
            if let Some(event) = events.iter().find(|event| !event.own_process) {
                let done = own.host.kernel.converge_at(&plan, &event.look()).unwrap();
                if !done.done.is_empty() {
                    break;
                }
            }
            assert!(
                Instant::now() < end,
                "{damage} is not told, or not repaired"
            );
        }
        own.host.converge(&plan);
        while !watcher
            .wait(Some(Duration::from_millis(50)))
            .unwrap()
            .is_empty()
        {}
    }
    // Nothing is told of a mount that goes; a look at the host finds it. The kernel takes the old
    // namespace apart by and by; until then its names are taken.
    NetnsHandle::delete(own.folder.path().join("tbn1")).unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    let mut look = || own.host.kernel.converge_at(&plan, &Look::host()).unwrap();
    while !look().failed.is_empty() {
        assert!(Instant::now() < end, "it is not made again");
    }
    own.host.converge(&plan);
}
