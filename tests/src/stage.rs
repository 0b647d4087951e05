//! Hosts without agents: containers whose kernel objects are planned from a World that a test writes,
//! and packets between them.
//!
//! ```text
//!  containers ──pairs── host ──eth0──┐
//!                                    ├── bridge: whoever is outside, and the way between hosts
//!  containers ──pairs── host ──eth0──┘
//! ```
//!
//! Nothing has a name on the machine: all of it goes with the test.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use ipnet::IpNet;
use tombolo_kernel::{Kernel, NetnsHandle, Ownership};
use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_model::{Family, Name, World};
use tombolo_policy::{Flow, Party};

use crate::probe::{Probe, Prober, What};

/// A packet's name, source port and result are the prober's; who is who is known here.
pub struct Stage {
    /// What the hosts are to hold; [`Stage::apply`] makes it so.
    pub world: World,
    /// Asks who reaches whom.
    pub prober: Prober,
    /// Its stations, in the order of the prober's.
    pub actors: Vec<Actor>,
    hosts: Vec<Host>,
    outside: NetnsHandle,
}

/// Somebody who sends and is sent to.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Who it is.
    pub role: Role,
    /// Its addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
    netns: NetnsHandle,
}

/// What an actor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A container whose endpoint is of this namespace and name.
    Container(Name, Name),
    /// The host of a node.
    Host(Name),
    /// Somebody behind the hosts' interfaces.
    Outside,
}

struct Host {
    node: Name,
    netns: NetnsHandle,
    kernel: Kernel,
}

impl Stage {
    /// Hosts of nodes with addresses at their interfaces `eth0`, and nobody outside yet.
    ///
    /// # Panics
    /// We are not root.
    #[must_use]
    pub fn new(hosts: &[(&str, &[&str])]) -> Stage {
        let outside = NetnsHandle::create().expect("these tests need root, to make namespaces");
        let _ = run(
            &outside,
            "ip link set lo up; ip link add wires type bridge; ip link set wires up
             sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
        );
        let mut stage = Stage {
            world: World::default(),
            prober: Prober::default(),
            actors: Vec::new(),
            hosts: Vec::new(),
            outside,
        };
        for (node, nets) in hosts {
            stage.host(node, nets);
        }
        stage
    }

    /// A host, whose routes to everywhere lead outside, and back.
    fn host(&mut self, node: &str, nets: &[&str]) {
        let netns = NetnsHandle::create().expect("a namespace is made");
        let wire = format!(
            "ip link add wire-{node} type veth peer name eth0 netns {}
             ip link set wire-{node} master wires up",
            path(&netns)
        );
        let _ = run(&self.outside, &wire);
        let nets = nets
            .iter()
            .map(|net| net.parse().expect("an address with its prefix"));
        let nets: Vec<IpNet> = nets.collect();
        let (mut own, mut back) = (
            "ip link set lo up; ip link set eth0 up\n".to_owned(),
            String::new(),
        );
        for net in &nets {
            let gateway = net.hosts().last().expect("a subnet has a last address");
            let prefix = net.prefix_len();
            let _ = writeln!(
                own,
                "ip addr add {net} dev eth0 nodad; ip route replace default via {gateway}"
            );
            // The last host that is made is where packets from outside go first.
            let _ = writeln!(
                back,
                "ip addr replace {gateway}/{prefix} dev wires nodad
                 ip route replace {} via {}",
                if gateway.is_ipv4() {
                    "10.0.0.0/8"
                } else {
                    "fd00::/8"
                },
                net.addr()
            );
        }
        let _ = run(&self.outside, &back);
        let _ = run(&netns, &own);
        let node = word(node);
        let kernel = Kernel::open(&netns, Ownership::default()).expect("the kernel is open");
        let addresses: Vec<IpAddr> = nets.iter().map(IpNet::addr).collect();
        self.act(Role::Host(node.clone()), netns.clone(), &addresses);
        self.hosts.push(Host {
            node,
            netns,
            kernel,
        });
    }

    /// A way from outside to addresses behind a host, in place of one that is there.
    pub fn way(&self, net: &str, host: &str) {
        let _ = run(&self.outside, &format!("ip route replace {net} via {host}"));
    }

    /// The actor that is the host of a node.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn host_actor(&self, node: &str) -> usize {
        let role = Role::Host(word(node));
        let place = self.actors.iter().position(|actor| actor.role == role);
        place.expect("the node has a host")
    }

    /// Somebody outside, and which actor it is.
    pub fn outside(&mut self, addresses: &[IpAddr]) -> usize {
        for address in addresses {
            let _ = run(
                &self.outside,
                &format!("ip addr add {address} dev wires nodad"),
            );
        }
        self.act(Role::Outside, self.outside.clone(), addresses)
    }

    /// A sandbox for an endpoint, and which actor it is; [`Stage::sandbox`] is what the endpoint's
    /// `spec` is to say.
    ///
    /// # Panics
    /// We are not root.
    pub fn container(&mut self, namespace: &str, name: &str, addresses: &[IpAddr]) -> usize {
        let netns = NetnsHandle::create().expect("a namespace is made");
        self.act(
            Role::Container(word(namespace), word(name)),
            netns,
            addresses,
        )
    }

    /// The path of a container's sandbox.
    #[must_use]
    pub fn sandbox(&self, actor: usize) -> String {
        path(&self.actors[actor].netns)
    }

    fn act(&mut self, role: Role, netns: NetnsHandle, addresses: &[IpAddr]) -> usize {
        let actor = self.prober.station(netns.clone(), addresses);
        self.actors.push(Actor {
            role,
            addresses: addresses.to_vec(),
            netns,
        });
        actor
    }

    /// Makes the kernels hold what the World asks for.
    ///
    /// # Panics
    /// Something is refused.
    pub fn apply(&mut self) {
        for host in &mut self.hosts {
            let plan = tombolo_plan::plan(&self.world, &host.node);
            let plan = plan.expect("the node is in the World");
            let done = host.kernel.converge(&plan).expect("the kernel is read");
            let failed = done.failed.iter().map(|(_, error)| error.to_string());
            let failed: Vec<String> = failed.collect();
            assert!(failed.is_empty(), "{failed:#?}");
        }
    }

    /// What the hosts' packet filters hold.
    #[must_use]
    pub fn ruleset(&self) -> String {
        let hosts = self.hosts.iter();
        let shown =
            hosts.map(|host| format!("# {}\n{}", host.node, run(&host.netns, "nft list ruleset")));
        shown.collect()
    }

    /// A packet between two actors that both have addresses of a family.
    pub fn probe(&mut self, from: usize, to: usize, family: Family, what: What) -> Option<Probe> {
        let of = |actor: usize| self.actors[actor].address(family);
        let (source, to) = (of(from)?, of(to)?);
        let outside = self.actors[from].role == Role::Outside;
        Some(Probe {
            from,
            source: outside.then_some(source),
            to,
            what,
            source_port: self.prober.fresh_port(from),
        })
    }

    /// The flow of a packet, as the evaluator is asked about it.
    ///
    /// # Panics
    /// It is sent to nobody.
    #[must_use]
    pub fn flow(&self, probe: &Probe) -> Flow {
        let family = Family::of(probe.to);
        let party = |actor: &Actor| match &actor.role {
            Role::Container(namespace, name) => Party::Endpoint(namespace.clone(), name.clone()),
            Role::Host(node) => Party::Host(node.clone()),
            Role::Outside => Party::address(actor.address(family).expect("it was sent from there")),
        };
        let mut to = self
            .actors
            .iter()
            .filter(|actor| actor.addresses.contains(&probe.to));
        let (port, icmp) = match probe.what {
            What::Tcp(port) | What::Udp(port) | What::Sctp(port) => (Some(port), None),
            What::Icmp(kind, code) => (None, Some((kind, code))),
        };
        Flow {
            from: party(&self.actors[probe.from]),
            to: party(to.next().expect("somebody has the address")),
            family: Some(family),
            protocol: ProtocolMatch(probe.what.protocol(probe.to)),
            source_port: Some(probe.source_port),
            destination_port: port,
            icmp,
        }
    }
}

impl Actor {
    /// Its address of a family.
    #[must_use]
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        let mut own = self.addresses.iter();
        own.find(|address| Family::of(**address) == family).copied()
    }
}

fn word(text: &str) -> Name {
    Name::new(text).expect("letters make a name")
}

/// A path that leads to a namespace for as long as its handle lives.
fn path(netns: &NetnsHandle) -> String {
    format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        netns.as_fd().as_raw_fd()
    )
}

/// The output of a shell command in a namespace.
///
/// # Panics
/// It fails.
#[must_use]
pub fn run(netns: &NetnsHandle, script: &str) -> String {
    let output = netns.run(|| Command::new("sh").args(["-ec", script]).output());
    let output = output
        .expect("the namespace is entered")
        .expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {text}{error}");
    text
}
