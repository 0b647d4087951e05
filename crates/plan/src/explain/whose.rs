//! Whose an object is that is not ours, as far as it can be told.

use tombolo_model::IfName;

/// What tells whose an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The protocol of a route or rule (`RTPROT_*`, linux/rtnetlink.h).
    Protocol(u8),
    /// An interface: its name, its kind (none for hardware), the one it is a port of.
    Device {
        /// The name.
        name: IfName,
        /// `veth`, `bridge`, ….
        kind: Option<String>,
        /// The bridge, bond or VRF above it.
        master: Option<IfName>,
    },
    /// An address on an interface.
    On(IfName),
    /// A neighbour or forwarding entry, by its state, as `reachable`.
    Entry(&'static str),
    /// A chain or set of a table of another one's.
    Table {
        /// `ip`, `ip6`, `inet`, ….
        family: String,
        /// The table.
        name: String,
    },
    /// A kernel setting.
    Setting,
}

/// Numbers of `/etc/iproute2/rt_protos`, with whom they stand for.
const PROTOCOLS: &[(u8, &str)] = &[
    (1, "redirect: an ICMP redirect of a router"),
    (2, "kernel: it comes with an address or an interface"),
    (3, "boot: set by hand or by a script, with `ip`"),
    (
        4,
        "static: set by an administrator, or by the network's configuration",
    ),
    (9, "ra: a router's advertisement (IPv6)"),
    (10, "mrt: a multicast routing daemon"),
    (11, "zebra: FRR or Zebra"),
    (12, "bird: BIRD, which Calico uses too"),
    (14, "xorp: XORP"),
    (16, "dhcp: a DHCP client, as systemd-networkd's"),
    (17, "mrouted: a multicast routing daemon"),
    (18, "keepalived"),
    (42, "babel: a Babel daemon"),
    (80, "calico: Calico's Felix"),
    (85, "the lab: a host made by `tombolo lab`"),
    (186, "bgp: FRR's bgpd"),
    (187, "isis: FRR's isisd"),
    (188, "ospf: FRR's ospfd"),
    (189, "rip: FRR's ripd"),
    (192, "eigrp: FRR's eigrpd"),
];

/// Beginnings of interfaces' names, with whose they are.
const DEVICES: &[(&str, &str)] = &[
    ("docker", "Docker's default bridge"),
    ("br-", "a bridge of a Docker network"),
    ("vethwe", "Weave Net's"),
    ("weave", "Weave Net's"),
    ("cni-podman", "a bridge of Podman's"),
    ("podman", "a bridge of Podman's"),
    (
        "cni",
        "a bridge of the CNI plugin `bridge`, which flannel uses too",
    ),
    ("flannel", "flannel's"),
    ("cali", "Calico's, the host's end of a container"),
    ("tunl", "the kernel's IPIP device, which Calico uses"),
    ("sit0", "the kernel's own, which comes with its module"),
    ("ip6tnl0", "the kernel's own, which comes with its module"),
    (
        "gre",
        "the kernel's own, if it ends in 0: it comes with its module",
    ),
    ("ip6gre0", "the kernel's own, which comes with its module"),
    ("erspan0", "the kernel's own, which comes with its module"),
    ("vxlan.calico", "Calico's VXLAN device"),
    ("cilium", "Cilium's"),
    ("lxc", "Cilium's or LXC's, the host's end of a container"),
    ("virbr", "a bridge of libvirt's"),
    ("vnet", "libvirt's, a virtual machine's interface"),
    ("kube-ipvs", "kube-proxy's"),
    ("nodelocaldns", "Kubernetes' NodeLocal DNSCache"),
    ("tailscale", "Tailscale's"),
    ("wg", "a WireGuard tunnel, by its name"),
    ("veth", "one end of a pair, as container runtimes make them"),
    ("lo", "the loopback"),
];

/// Tables by name, with whose they are.
const TABLES: &[(&str, &str)] = &[
    ("firewalld", "firewalld's"),
    (
        "filter",
        "made by iptables, if nobody else named a table so",
    ),
    ("nat", "made by iptables, if nobody else named a table so"),
    (
        "mangle",
        "made by iptables, if nobody else named a table so",
    ),
    ("raw", "made by iptables, if nobody else named a table so"),
    ("netavark", "Podman's (netavark)"),
    ("docker-bridges", "Docker's"),
    ("kube-proxy", "kube-proxy's"),
    ("cni_plugins_masquerade", "the CNI plugins'"),
    ("libvirt_network", "libvirt's"),
];

/// Whose an object is, in words, as far as it can be told.
#[must_use]
pub fn whose(mark: &Mark) -> String {
    match mark {
        Mark::Protocol(number) => match PROTOCOLS.iter().find(|(n, _)| n == number) {
            Some((_, words)) => format!("not ours: protocol {words}"),
            None => format!("not ours: protocol {number}, which this program does not know"),
        },
        Mark::Device { name, kind, master } => {
            let known = DEVICES.iter().find(|(p, _)| name.as_str().starts_with(p));
            let words = known.map(|(_, words)| format!(", {words}"));
            let kind = kind.as_deref().unwrap_or("hardware or no special kind");
            let port = master
                .as_ref()
                .map(|master| format!(", a port of {master}"));
            format!(
                "not ours: {kind}{}{}",
                words.unwrap_or_default(),
                port.unwrap_or_default()
            )
        }
        Mark::On(link) => format!("not ours: set on {link}, which is not ours"),
        Mark::Entry(state) => format!("not ours: {state}"),
        Mark::Table { family, name } => {
            let known = TABLES.iter().find(|(table, _)| table == name);
            let words = known.map_or_else(String::new, |(_, words)| format!(", {words}"));
            format!("not ours: table {family} {name}{words}")
        }
        Mark::Setting => {
            "not ours: a setting of the kernel, of which we want nothing here".to_owned()
        }
    }
}
