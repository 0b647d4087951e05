//! Two hosts on a wire, a container on each, and tunnels between them.
//!
//! The tests need root (CAP_SYS_ADMIN, for new namespaces); without it they fail at once and say so.
//! Namespaces have no names: they live as long as their handles, so that nothing is left behind when a
//! test panics.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tombolo_kernel::NetnsHandle;
use tombolo_tunnel::{
    ControlMessage, Datapath, Device, NetworkEntry, NetworkId, NodeId, PeerEntry, Ports, Reason,
    Socket, Table,
};

pub const NETWORK: NetworkId = NetworkId(5);
pub const PORT: u16 = 4799;
/// What is left of 1500 bytes over IPv6.
pub const MTU: u16 = 1444;
/// What takes longer than this does not come.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A network namespace, in which `lo` is up.
pub struct Place {
    pub netns: NetnsHandle,
}

impl Place {
    pub fn new() -> Place {
        let netns = NetnsHandle::create().expect("these tests need root, to make namespaces");
        let place = Place { netns };
        place.run("ip link set lo up");
        place
    }

    /// A pair of links to another place, each end under its name.
    pub fn wire(&self, near: &str, other: &Place, far: &str) {
        let there = other.netns.as_fd().as_raw_fd();
        let path = format!("/proc/{}/fd/{there}", std::process::id());
        self.run(&format!(
            "ip link add {near} type veth peer name {far} netns {path}"
        ));
    }

    /// What a command says that succeeds here.
    pub fn run(&self, line: &str) -> String {
        let (success, said) = self.try_run(line);
        assert!(success, "{line}: {said}");
        said
    }

    /// Whether a command succeeds here, and what it says.
    pub fn try_run(&self, line: &str) -> (bool, String) {
        let output = self
            .netns
            .run(|| Command::new("sh").args(["-c", line]).output())
            .unwrap()
            .expect("there is a shell");
        let text = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&text).into_owned();
        (output.status.success(), said)
    }

    pub fn udp(&self, address: &str) -> UdpSocket {
        let socket = self.netns.run(|| UdpSocket::bind(address)).unwrap();
        let socket = socket.unwrap_or_else(|error| panic!("bind {address}: {error}"));
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    }
}

/// A host with its number, 1 or 2, its container, and perhaps its tunnel.
pub struct Host {
    pub number: u8,
    pub place: Place,
    pub container: Place,
    pub tunnel: Option<(Datapath, Receiver<ControlMessage>)>,
}

impl Host {
    fn new(number: u8) -> Host {
        let host = Host {
            number,
            place: Place::new(),
            container: Place::new(),
            tunnel: None,
        };
        host.place.wire("vc", &host.container, "eth0");
        let i = number;
        host.place.run(&format!(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
             ip link set vc up
             ip addr add 10.244.{i}.1/24 dev vc && ip addr add fd44:{i}::1/64 dev vc nodad"
        ));
        host.container.run(&format!(
            "ip link set eth0 up
             ip addr add 10.244.{i}.2/24 dev eth0 && ip addr add fd44:{i}::2/64 dev eth0 nodad
             ip route add default via 10.244.{i}.1 && ip route add default via fd44:{i}::1"
        ));
        host
    }

    /// Two hosts on a wire, without tunnels.
    pub fn pair() -> [Host; 2] {
        let hosts = [Host::new(1), Host::new(2)];
        hosts[0].place.wire("eth0", &hosts[1].place, "eth0");
        for host in &hosts {
            let i = host.number;
            host.place.run(&format!(
                "ip link set eth0 up
                 ip addr add 192.0.2.{i}/24 dev eth0 && ip addr add fd02::{i}/64 dev eth0 nodad"
            ));
        }
        hosts
    }

    /// Two hosts whose tunnels carry both families, over IPv4 or over IPv6.
    pub fn joined(outer_is_v6: bool) -> [Host; 2] {
        let mut hosts = Host::pair();
        for host in &mut hosts {
            host.begin(outer_is_v6, 2);
            let peer = peer(3 - host.number, outer_is_v6, MTU);
            host.set_table(&[peer]);
        }
        hosts
    }

    /// Starts the tunnel; its table is empty.
    pub fn begin(&mut self, outer_is_v6: bool, queues: usize) {
        let address = outer(self.number, outer_is_v6);
        let ports = self.place.netns.run(|| Ports {
            devices: vec![Device::open("tbu0", NETWORK, queues).unwrap()],
            sockets: Socket::open(address, queues).unwrap(),
        });
        self.tunnel = Some(Datapath::start(ports.unwrap()).unwrap());
        let (i, j) = (self.number, 3 - self.number);
        self.place.run(&format!(
            "ip link set tbu0 mtu {MTU} up
             ip addr replace 10.249.0.{i}/32 dev tbu0 && ip addr replace fd49::{i}/128 dev tbu0
             ip route replace 10.244.{j}.0/24 dev tbu0 && ip route replace fd44:{j}::/64 dev tbu0
             ip route replace 10.249.0.{j}/32 dev tbu0 && ip route replace fd49::{j}/128 dev tbu0"
        ));
    }

    pub fn datapath(&self) -> &Datapath {
        &self.tunnel.as_ref().expect("the tunnel was begun").0
    }

    /// Each peer is the host of the same number as its list place plus one, or the one that it is named for.
    pub fn set_table(&self, peers: &[PeerEntry]) {
        let mut routes = BTreeMap::new();
        for (index, peer) in peers.iter().enumerate() {
            let j = &peer.id.0;
            for net in [
                format!("10.244.{j}.0/24"),
                format!("10.249.0.{j}/32"),
                format!("fd44:{j}::/64"),
                format!("fd49::{j}/128"),
            ] {
                routes.insert(net.parse().unwrap(), index);
            }
        }
        let networks = BTreeMap::from([(NETWORK, NetworkEntry { routes })]);
        let table = Table::new(peers.to_vec(), &networks);
        self.datapath().set_table(Arc::new(table));
    }

    pub fn dropped(&self, reason: Reason) -> u64 {
        let dropped = self.datapath().counters().dropped;
        dropped.get(&reason).copied().unwrap_or_default()
    }
}

/// Where a host's tunnel listens.
pub fn outer(number: u8, v6: bool) -> SocketAddr {
    let ip = if v6 {
        format!("fd02::{number}").parse().unwrap()
    } else {
        format!("192.0.2.{number}").parse().unwrap()
    };
    SocketAddr::new(ip, PORT)
}

/// The other host as a peer.
pub fn peer(number: u8, v6: bool, mtu: u16) -> PeerEntry {
    PeerEntry {
        id: NodeId(number.to_string()),
        port: PORT,
        endpoint: outer(number, v6),
        mtu,
        traffic: Arc::default(),
    }
}

/// Waits until something holds.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::yield_now();
    }
}
