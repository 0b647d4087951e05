//! What somebody else may do to the kernel objects of a node, for the scenario that sees all of it
//! repaired and for the benchmark that says how soon.
//!
//! The node is `a` of two, each with a container `c1` on the routed network `default` (over vxlan)
//! a container `c2` with published ports on the bridge network `br`, and a container `c3` on the
//! segment `seg`.

use serde_json::json;

use crate::{Cluster, Shape};
use tombolo_lab::Lab;

/// One damage.
#[derive(Debug, Clone, Copy)]
pub struct Damage {
    /// The kind of object that is damaged, as metrics name it.
    pub kind: &'static str,
    /// What happens, in a few words.
    pub what: &'static str,
    /// Where: the host, or a container on it.
    pub place: &'static str,
    /// How, as a shell command. `$PAIR` is the host's end of `c1`, `$PORT` that of `c2`.
    pub command: &'static str,
}

const fn damage(
    kind: &'static str,
    what: &'static str,
    place: &'static str,
    command: &'static str,
) -> Damage {
    Damage {
        kind,
        what,
        place,
        command,
    }
}

/// Every kind of object, deleted or changed.
const DAMAGES: &[Damage] = &[
    damage(
        "link",
        "a VXLAN device is deleted",
        "a",
        "ip link del tbx4096",
    ),
    damage("link", "a pair is deleted", "a", "ip link del $PAIR"),
    damage("link", "a bridge is deleted", "a", "ip link del $BRIDGE"),
    damage(
        "link",
        "a port leaves its bridge",
        "a",
        "ip link set $PORT nomaster",
    ),
    damage(
        "link",
        "an interface is set down",
        "a",
        "ip link set tbx4096 down",
    ),
    damage(
        "route",
        "an interface is set down and up",
        "a",
        "ip link set $PAIR down; ip link set $PAIR up",
    ),
    damage(
        "link",
        "a container's interface is set down",
        "a/c1",
        "ip link set eth0 down",
    ),
    damage(
        "link",
        "an MTU is changed",
        "a",
        "ip link set tbx4096 mtu 1300",
    ),
    damage(
        "link",
        "a container's MTU is changed",
        "a/c1",
        "ip link set eth0 mtu 1300",
    ),
    damage(
        "link",
        "a link-layer address is changed",
        "a",
        "ip link set tbx4096 address 02:00:00:00:00:99",
    ),
    damage(
        "address",
        "a device's addresses are flushed",
        "a",
        "ip addr flush dev tbx4096 scope global",
    ),
    damage(
        "address",
        "a gateway's address is deleted",
        "a",
        "ip addr del 169.254.1.1/32 dev $PAIR",
    ),
    damage(
        "address",
        "a container's address is deleted",
        "a/c1",
        "ip addr flush dev eth0 scope global",
    ),
    damage(
        "route",
        "all routes of others are purged, as networkd does",
        "a",
        "ip route flush proto 84; ip -6 route flush proto 84",
    ),
    damage(
        "route",
        "a route leads elsewhere",
        "a",
        "ip route replace blackhole $BLOCK proto 84",
    ),
    damage(
        "route",
        "a container's default route is deleted",
        "a/c1",
        "ip route del default; ip -6 route del default",
    ),
    damage(
        "neighbour",
        "permanent neighbours are flushed",
        "a",
        "ip neigh flush dev tbx4096 nud permanent",
    ),
    damage(
        "neighbour",
        "a container's gateway is forgotten",
        "a/c1",
        "ip neigh del 169.254.1.1 dev eth0",
    ),
    damage(
        "fdb",
        "a forwarding entry is deleted",
        "a",
        "bridge fdb del $MAC dev tbx4096",
    ),
    damage(
        "fdb",
        "a forwarding entry leads elsewhere",
        "a",
        "bridge fdb replace $MAC dev tbx4096 dst 192.0.2.9",
    ),
    damage(
        "nft chain",
        "the whole ruleset is flushed",
        "a",
        "nft flush ruleset",
    ),
    damage(
        "nft chain",
        "a chain's rules are flushed",
        "a",
        "nft flush chain inet tombolo nat-postrouting",
    ),
    damage(
        "nft set",
        "the table is deleted",
        "a",
        "nft delete table inet tombolo",
    ),
    damage(
        "nft element",
        "the published ports are taken out of their map",
        "a",
        "nft flush map inet tombolo $PORTS",
    ),
    damage(
        "sysctl",
        "forwarding is turned off",
        "a",
        "sysctl -qw net.ipv4.ip_forward=0",
    ),
    damage(
        "sysctl",
        "IPv6 forwarding is turned off",
        "a",
        "sysctl -qw net.ipv6.conf.all.forwarding=0",
    ),
    damage(
        "sysctl",
        "a setting without an event is turned off",
        "a",
        "sysctl -qw net.ipv4.conf.$BRIDGE.route_localnet=0",
    ),
];

/// The same of a segment, in its namespace and at its gateway.
const SEGMENT_DAMAGES: &[Damage] = &[
    damage(
        "station",
        "a segment's bridge forgets a station",
        "a",
        "ip netns exec $SEGMENT bridge fdb del $STATION dev $DEVICE master",
    ),
    damage(
        "station",
        "a station is said to be elsewhere",
        "a",
        "ip netns exec $SEGMENT bridge fdb replace $STATION dev $GATE_PORT master static",
    ),
    damage(
        "fdb",
        "frames for all go nowhere",
        "a",
        "ip netns exec $SEGMENT bridge fdb del 00:00:00:00:00:00 dev $DEVICE",
    ),
    damage(
        "fdb",
        "a stranger gets a copy of frames for all",
        "a",
        "ip netns exec $SEGMENT bridge fdb append 00:00:00:00:00:00 dev $DEVICE dst 192.0.2.9",
    ),
    damage(
        "neighbour",
        "a segment's addresses are forgotten",
        "a",
        "ip netns exec $SEGMENT ip neigh flush all nud permanent",
    ),
    damage(
        "link",
        "a segment's device is deleted",
        "a",
        "ip netns exec $SEGMENT ip link del $DEVICE",
    ),
    damage(
        "link",
        "a segment's device learns",
        "a",
        "ip netns exec $SEGMENT bridge link set dev $DEVICE learning on flood on",
    ),
    damage(
        "link",
        "a segment's gateway is deleted",
        "a",
        "ip link del $GATE",
    ),
    damage(
        "link",
        "a container's interface on a segment is deleted",
        "a/c3",
        "ip link del eth0",
    ),
    damage(
        "rule",
        "the rule that leads to a segment's table is deleted",
        "a",
        "ip rule del priority $PRIORITY",
    ),
    damage(
        "route",
        "a segment's table is flushed",
        "a",
        "ip route flush table $TABLE",
    ),
];

/// Every damage.
pub fn damages() -> impl Iterator<Item = &'static Damage> {
    DAMAGES.iter().chain(SEGMENT_DAMAGES)
}

/// A node with something of every kind.
pub struct Victim {
    /// Its cluster.
    pub cluster: Cluster,
    names: String,
}

impl Victim {
    /// Raises it.
    #[must_use]
    pub fn up(name: &str) -> Victim {
        let cluster = Cluster::up(name, &Shape::hosts(2));
        cluster.apply(
            "a",
            "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: br-v4}
spec: {cidr: 10.88.0.0/16, natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: br}
spec: {driver: bridge, pools: [br-v4]}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: seg}
spec: {cidr: 10.89.0.0/24, space: seg, natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: seg}
spec: {driver: overlay, transport: {type: vxlan}, pools: [seg]}
",
        );
        let mut published = Lab::config("br");
        published["runtimeConfig"] =
            json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
        for host in ["a", "b"] {
            let _ = cluster.container(host, "c1", "default");
            let _ = cluster.container_with(host, "c2", &published);
            let _ = cluster.container(host, "c3", "seg");
        }
        cluster.settle();
        let names = cluster.sh(
            "a",
            "echo PAIR=$(ip -o link show type veth | grep -v master | grep -o 'tbv[0-9a-f]*' | head -n1)
             echo PORT=$(ip -o link show type veth | grep master | grep -o 'tbv[0-9a-f]*' | head -n1)
             echo BRIDGE=$(ip -o link show type bridge | grep -o 'tbb[0-9a-f]*' | head -n1)
             echo BLOCK=$(ip route show proto 84 dev tbx4096 | head -n1 | cut -d' ' -f1)
             echo MAC=$(bridge fdb show dev tbx4096 | grep ' dst ' | head -n1 | cut -d' ' -f1)
             echo SEGMENT=$(ls /run/netns | grep tbn)
             inside=\"ip netns exec $(ls /run/netns | grep tbn)\"
             echo DEVICE=$($inside ip -br link | grep -o 'tbx[0-9]*')
             echo STATION=$($inside bridge fdb show dev $($inside ip -br link | grep -o 'tbx[0-9]*') | grep static | cut -d' ' -f1)
             echo GATE_PORT=$($inside ip -br link | grep -o 'tbp[0-9a-f]*')
             echo GATE=$(ip -br link | grep -o 'tbg[0-9a-f]*')
             echo PRIORITY=$(ip rule | grep fwmark | cut -d: -f1)
             echo TABLE=$(ip rule | grep fwmark | sed 's/.*lookup //; s/ .*//')
             echo PORTS=$(nft list maps | grep -o 'map ports[^ ]*' | head -n1 | cut -d' ' -f2)",
        );
        assert!(
            names.lines().all(|line| !line.ends_with('=')),
            "something is missing:\n{names}"
        );
        Victim { cluster, names }
    }

    /// Everything of ours that `a` and its containers hold, as text that stays the same as long as
    /// nothing is changed.
    #[must_use]
    pub fn picture(&self) -> String {
        let host = "ip -br link | grep ' *tb' | cut -d'<' -f1 | sed 's/@[a-z0-9]*//'
            ip -o link | grep -o 'tb[a-z0-9@]*:.* mtu [0-9]*' | cut -d' ' -f1,3-5 | sed 's/@[a-z0-9]*//'
            ip -o link | grep -o ' tb[a-z0-9]*.* master [a-z0-9]*' | sed 's/.*master/master/'
            ip -br addr | grep '^tb' | sed 's/@[a-z0-9]*//; s/fe80::[^ ]*//g'
            ip route show table all proto 84; ip -6 route show proto 84; ip rule
            ip netns exec $SEGMENT sh -c 'ip -br link | cut -d\"<\" -f1 | sed s/@[a-z0-9]*//; bridge fdb | grep -v permanent; ip neigh show nud permanent; bridge -d link | grep -o \"learning.*\"'
            ip neigh show nud permanent | grep tb; bridge fdb show dev tbx4096 | grep ' dst '
            nft list ruleset
            sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv4.conf.$BRIDGE.route_localnet";
        let container = "ip -br link show eth0 | cut -d'<' -f1 | sed 's/@[a-z0-9]*//'
            ip -o link show eth0 | grep -o 'mtu [0-9]*'
            ip -br addr show eth0 | sed 's/@[a-z0-9]*//; s/fe80::[^ ]*//g'
            ip route; ip -6 route | grep default; ip neigh show nud permanent";
        let see = |place: &str, script: &str| {
            let output = self.cluster.try_sh(place, &self.with_names(script));
            let text = std::str::from_utf8(&output.stdout).expect("tools write UTF-8");
            let mut lines: Vec<String> = text
                .lines()
                .map(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    format!("{place}: {}", words.join(" "))
                })
                .collect();
            lines.sort_unstable();
            lines.join("\n")
        };
        format!(
            "{}\n{}\n{}\n{}",
            see("a", host),
            see("a/c1", container),
            see("a/c2", container),
            see("a/c3", container)
        )
    }

    /// Does the damage.
    pub fn suffer(&self, damage: &Damage) {
        let _ = self
            .cluster
            .sh(damage.place, &self.with_names(damage.command));
    }

    fn with_names(&self, script: &str) -> String {
        format!("{}{script}", self.names)
    }
}

/// The lines that are in one picture only.
#[must_use]
pub fn differences(wanted: &str, now: &str) -> String {
    let only = |mark: &str, of: &str, other: &str| {
        let lines = of.lines().filter(|line| !other.lines().any(|l| l == *line));
        lines
            .map(|line| format!("{mark} {line}\n"))
            .collect::<String>()
    };
    only("missing", wanted, now) + &only("new", now, wanted)
}
