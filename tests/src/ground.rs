//! Two hosts joined by one wire, each with a container of one network: what a way of networking has to
//! do is tried on them.
//!
//! ```text
//!  container 0 ── host a ──eth0────eth0── host b ── container 1
//! ```
//!
//! There are no agents: each host's plan comes from one World, and is made so by the kernel crate. A
//! host takes a [`Ground::turn`] as its agent would: it plans, changes its kernel, and then tells the
//! others what it does. Nothing has a name on the machine but a folder of namespaces for segments; all
//! of it goes with the test.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use tombolo_kernel::echo::{Answer, Echo};
use tombolo_kernel::{Kernel, NetnsHandle, Ownership};
use tombolo_model::{Accept, AnyResource, Family, Name, World, parse};
use tombolo_plan::naming::segment_prefix;

use crate::stage::run;

/// The network that is tried.
const NETWORK: &str = "net";
/// Bytes of a ping that fits everywhere.
const SMALL: u32 = 100;
/// How long a ping or a part of a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so many rounds two hosts have told each other everything.
const ROUNDS: usize = 12;

/// Two hosts, two containers.
pub struct Ground {
    numbers: Numbers,
    world: World,
    hosts: [Host; 2],
    containers: [NetnsHandle; 2],
    folder: PathBuf,
}

struct Host {
    node: Name,
    netns: NetnsHandle,
}

/// Which addresses the containers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Of both families, from one pool each.
    Plain,
    /// Of IPv4 only, as they follow from the hosts' own: 192.168.0.1 has 250.0.1.0/24.
    Fan,
}

impl Numbers {
    /// The families in which there are addresses.
    #[must_use]
    pub fn families(self) -> &'static [Family] {
        match self {
            Numbers::Plain => &[Family::V4, Family::V6],
            Numbers::Fan => &[Family::V4],
        }
    }

    fn address(self, container: u8, family: Family) -> IpAddr {
        match (self, family) {
            (Numbers::Fan, _) => [250, 0, 1 + container, 5].into(),
            (_, Family::V4) => [10, 1, container, 5].into(),
            (_, Family::V6) => [0xfd00, 1, 0, 0, 0, 0, 0, 0x100 * u16::from(container) + 5].into(),
        }
    }

    fn pool(self, family: Family) -> &'static str {
        match (self, family) {
            (Numbers::Fan, _) => "cidr: 250.0.0.0/8, blockSize: 24",
            (_, Family::V4) => "cidr: 10.1.0.0/16",
            (_, Family::V6) => "cidr: 'fd00:1::/64', blockSize: 122",
        }
    }

    /// The block that a container's address is in.
    fn block(self, container: u8, family: Family) -> IpNet {
        let length = match (self, family) {
            (Numbers::Fan, _) => 24,
            (_, Family::V4) => 26,
            (_, Family::V6) => 122,
        };
        let block = IpNet::new(self.address(container, family), length);
        block.expect("the length fits the family").trunc()
    }
}

impl Ground {
    /// Hosts whose wire has addresses of these families, and nothing on them yet.
    ///
    /// # Panics
    /// We are not root.
    #[must_use]
    pub fn new(underlay: &[Family], numbers: Numbers) -> Ground {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let netns = || NetnsHandle::create().expect("these tests need root, to make namespaces");
        let hosts = ["a", "b"].map(|name| Host {
            node: word(name),
            netns: netns(),
        });
        for host in &hosts {
            // Nobody else has their addresses, and a router without a link-local one forwards nothing
            // until it has asked (RFC 4862 section 5.4).
            let _ = run(&host.netns, "sysctl -qw net.ipv6.conf.default.accept_dad=0");
        }
        let wire = format!(
            "ip link add eth0 type veth peer name eth0 netns {}",
            path(&hosts[1].netns)
        );
        let _ = run(&hosts[0].netns, &wire);
        for (host, number) in hosts.iter().zip(1..) {
            let mut script = "ip link set lo up; ip link set eth0 up".to_owned();
            for net in underlay.iter().map(|family| net(*family, number)) {
                script.push_str(&format!("; ip addr add {net} dev eth0 nodad"));
            }
            let _ = run(&host.netns, &script);
        }
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let folder = format!("tombolo-ground-{}-{count}", std::process::id());
        let mut ground = Ground {
            numbers,
            world: World::default(),
            hosts,
            containers: [netns(), netns()],
            folder: std::env::temp_dir().join(folder),
        };
        ground.put(&ground.people(underlay));
        ground
    }

    /// Nodes, pools, blocks and endpoints as text.
    fn people(&self, underlay: &[Family]) -> String {
        let mut text = String::new();
        let mut add = |kind: &str, metadata: &str, spec: &str| {
            text.push_str(&format!(
                "---\napiVersion: tombolo.dev/v1\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {{{spec}}}\n"
            ));
        };
        let numbers = self.numbers;
        for family in numbers.families() {
            add(
                "IPPool",
                &format!("name: {}", pool(*family)),
                numbers.pool(*family),
            );
        }
        for (host, (sandbox, index)) in self.hosts.iter().zip(self.containers.iter().zip(0..)) {
            let node = &host.node;
            let nets = underlay
                .iter()
                .map(|family| net(*family, usize::from(index) + 1));
            let nets: Vec<String> = nets
                .map(|net| format!("{{address: '{net}', interface: eth0, mtu: 1500}}"))
                .collect();
            let spec = format!("addresses: [{}]", nets.join(", "));
            add("Node", &format!("name: {node}, uid: u-{node}"), &spec);
            for family in numbers.families() {
                let block = numbers.block(index, *family);
                let name = tombolo_model::Block::resource_name(None, block);
                let spec = format!(
                    "cidr: '{block}', pool: {pool}, node: {node}, generation: 1, allocations: {{
  '0': {{handle: t{node}, generation: 1, node: {node}, purpose: tunnel}},
  '5': {{handle: c{node}, generation: 1, node: {node}}}}}",
                    pool = pool(*family)
                );
                add("Block", &format!("name: {name}"), &spec);
            }
            let addresses = numbers.families().iter();
            let addresses =
                addresses.map(|family| format!("'{}'", numbers.address(index, *family)));
            let spec = format!(
                "node: {node}, network: {NETWORK}, containerID: c{node}, interface: eth0, sandbox: {},
  handle: c{node}, generation: 1, addresses: [{}], mac: '02:00:00:00:01:0{index}'",
                path(sandbox),
                addresses.collect::<Vec<_>>().join(", ")
            );
            add(
                "Endpoint",
                &format!("name: c{node}, namespace: default"),
                &spec,
            );
        }
        text
    }

    fn put(&mut self, text: &str) {
        let parsed = parse::parse_with("ground.yaml", text, Accept::Internal);
        for parsed in parsed.expect("the ground is valid") {
            self.world.put(parsed.resource);
        }
    }

    /// Makes the network another one: what its `spec` says besides its pools.
    ///
    /// # Panics
    /// It is no network.
    pub fn network(&mut self, spec: &str) {
        let pools: Vec<&str> = self.numbers.families().iter().map(|f| pool(*f)).collect();
        self.put(&format!(
            "apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {{name: {NETWORK}}}\nspec: {{{spec}, pools: [{}]}}\n",
            pools.join(", ")
        ));
    }

    /// A host plans, makes its kernel so, and tells what it does. Answers whether that, or anything
    /// in its kernel, is new.
    ///
    /// # Errors
    /// The kernel refuses something.
    pub fn turn(&mut self, host: usize) -> Result<bool, String> {
        let Host { node, netns } = &self.hosts[host];
        let plan = tombolo_plan::plan(&self.world, node).ok_or("the node is not in the World")?;
        let ownership = Ownership {
            namespaces: self.folder.clone(),
            ..Ownership::of(node)
        };
        // Opened anew, it remembers nothing, so that whatever changed meanwhile is seen.
        let mut kernel = Kernel::open(netns, ownership).map_err(|error| error.to_string())?;
        let done = kernel.converge(&plan).map_err(|error| error.to_string())?;
        if let Some((op, error)) = done.failed.first() {
            return Err(format!("{node}: {op}: {error}"));
        }
        let mut told = self.world.nodes[node].clone();
        told.status.networks = plan.announce;
        let news = told != self.world.nodes[node];
        self.world.put(AnyResource::Node(told));
        Ok(news || !done.done.is_empty())
    }

    /// The hosts take turns until nobody has anything to do; after each turn something is looked at.
    ///
    /// # Errors
    /// A turn or a look fails, or it does not end.
    pub fn settle(
        &mut self,
        look: &mut dyn FnMut(&Ground) -> Result<(), String>,
    ) -> Result<(), String> {
        for _ in 0..ROUNDS {
            let mut busy = false;
            for host in [0, 1] {
                if self.turn(host)? {
                    busy = true;
                    look(self).map_err(|why| {
                        format!("{why}, after a turn of {}", self.hosts[host].node)
                    })?;
                }
            }
            if !busy {
                return Ok(());
            }
        }
        Err(format!(
            "the hosts do not come to rest within {ROUNDS} rounds"
        ))
    }

    /// What the planner says cannot be done, on either host.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let plans = self
            .hosts
            .iter()
            .filter_map(|host| tombolo_plan::plan(&self.world, &host.node));
        plans
            .flat_map(|plan| plan.problems)
            .map(|problem| problem.message)
            .collect()
    }

    /// Whether the containers ping each other, by packets of so many bytes, IP header and all, in one
    /// piece; small ones if none are given.
    ///
    /// # Errors
    /// They do not.
    pub fn ping(&self, family: Family, bytes: Option<u32>) -> Result<(), String> {
        let to = self.numbers.address(1, family);
        let bytes = bytes.unwrap_or(SMALL);
        let told = |error: tombolo_kernel::KernelError| error.to_string();
        let mut echo = Echo::open(&self.containers[0], family).map_err(told)?;
        match echo.ping(to, bytes, PATIENCE).map_err(told)? {
            Answer::Replied(_) => Ok(()),
            other => Err(format!("a ping of {bytes} bytes to {to}: {other:?}")),
        }
    }

    /// The MTU of a container's interface.
    #[must_use]
    pub fn mtu(&self, container: usize) -> u32 {
        let told = run(&self.containers[container], "ip -o link show eth0");
        let mut words = told.split(' ').skip_while(|word| *word != "mtu");
        let mtu = words.nth(1).and_then(|word| word.parse().ok());
        mtu.expect("a link has an MTU")
    }

    /// Sends so many bytes from one container to the other by TCP, and has them told how many came.
    ///
    /// # Errors
    /// There is no connection, or not all arrive.
    pub fn tcp(&self, family: Family, bytes: usize) -> Result<(), String> {
        let told = |error: std::io::Error| format!("TCP over {family}: {error}");
        let [from, to] = &self.containers;
        let listener = to.run(|| TcpListener::bind((self.numbers.address(1, family), 0)));
        let listener = listener.expect("a namespace is entered").map_err(told)?;
        let server: SocketAddr = listener.local_addr().map_err(told)?;
        std::thread::scope(|scope| {
            let serve = scope.spawn(move || count(&listener));
            let client = from.run(|| TcpStream::connect_timeout(&server, PATIENCE));
            let mut client = match client.expect("a namespace is entered") {
                Ok(client) => client,
                Err(error) => {
                    // Whom it waits for comes from where it is.
                    drop(to.run(|| TcpStream::connect_timeout(&server, PATIENCE)));
                    return Err(told(error));
                }
            };
            client.set_write_timeout(Some(PATIENCE)).map_err(told)?;
            client.set_read_timeout(Some(PATIENCE)).map_err(told)?;
            client.write_all(&vec![7; bytes]).map_err(told)?;
            client.shutdown(Shutdown::Write).map_err(told)?;
            let mut answer = String::new();
            client.read_to_string(&mut answer).map_err(told)?;
            let served = serve.join().expect("the server does not panic");
            served.map_err(told)?;
            let arrived = answer == bytes.to_string();
            arrived
                .then_some(())
                .ok_or_else(|| format!("of {bytes} bytes {answer} arrived"))
        })
    }

    /// Runs a script in every namespace of a host that we fill but its container's: its own, and those
    /// of its segments.
    pub fn damage(&self, host: usize, script: &str) {
        let _ = run(&self.hosts[host].netns, script);
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten();
        let prefix = segment_prefix(&self.hosts[host].node);
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                let segment = NetnsHandle::open(entry.path()).expect("a segment is there");
                let _ = run(&segment, script);
            }
        }
    }

    /// Lets each host know that the other one has its container's block, as its routers would.
    pub fn tell_routes(&self) {
        for (here, there) in [(0, 1_u8), (1, 0)] {
            for family in self.numbers.families() {
                let block = self.numbers.block(there, *family);
                let far = net(*family, usize::from(there) + 1);
                let via = far.split('/').next().unwrap_or_default();
                let _ = run(
                    &self.hosts[here].netns,
                    &format!("ip route add {block} via {via}"),
                );
            }
        }
    }

    /// Runs a script in a container.
    pub fn damage_inside(&self, container: usize, script: &str) {
        let _ = run(&self.containers[container], script);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
        {
            let _ = NetnsHandle::delete(entry.path());
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// Takes one connection, and tells how many bytes came.
fn count(listener: &TcpListener) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let arrived = std::io::copy(&mut stream, &mut std::io::sink())?;
    write!(stream, "{arrived}")
}

fn pool(family: Family) -> &'static str {
    match family {
        Family::V4 => "p4",
        Family::V6 => "p6",
    }
}

/// The address of host 1 or 2 on the wire.
fn net(family: Family, number: usize) -> String {
    match family {
        Family::V4 => format!("192.168.0.{number}/24"),
        Family::V6 => format!("fd00:5::{number}/64"),
    }
}

fn word(text: &str) -> Name {
    Name::new(text).expect("letters make a name")
}

/// A path that leads to a namespace for as long as its handle lives.
fn path(netns: &NetnsHandle) -> String {
    let descriptor = netns.as_fd().as_raw_fd();
    format!("/proc/{}/fd/{descriptor}", std::process::id())
}
