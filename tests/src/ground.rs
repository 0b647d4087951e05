//! Two hosts joined by one wire, each with a container of one network: what a way of networking has to
//! do is tried on them.
//!
//! ```text
//!  container 0 ── host a ──eth0────eth0── host b ── container 1
//! ```
//!
//! Where both containers are on one host, the other one has none.
//!
//! There are no agents: each host's plan comes from one World, and is made so by the kernel crate. A
//! host takes a [`Ground::turn`] as its agent would: it plans, changes its kernel, and then tells the
//! others what it does. What a host would announce by BGP the other one learns in its next turn
//! (`gossip`). Nothing has a name on the machine but a folder of namespaces for segments; all of it goes
//! with the test.

mod cast;
mod gossip;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tombolo_kernel::echo::{Answer, Echo};
use tombolo_kernel::{Kernel, NetnsHandle, Ownership};
use tombolo_model::{Accept, AnyResource, Family, Name, World, parse};
use tombolo_plan::naming::segment_prefix;

use crate::stage::run;
pub use cast::{Numbers, Spot};
use cast::{net, pool};
use gossip::Gossip;

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
    spot: Spot,
    world: World,
    gossip: Gossip,
    hosts: [Host; 2],
    containers: [NetnsHandle; 2],
    folder: PathBuf,
}

struct Host {
    node: Name,
    netns: NetnsHandle,
}

impl Ground {
    /// Hosts whose wire has addresses of these families, and nothing on them yet.
    ///
    /// # Panics
    /// We are not root.
    #[must_use]
    pub fn new(underlay: &[Family], numbers: Numbers) -> Ground {
        Ground::at(Spot::Near, underlay, numbers)
    }

    /// The same, where hosts and containers are as it is said.
    ///
    /// # Panics
    /// We are not root.
    #[must_use]
    pub fn at(spot: Spot, underlay: &[Family], numbers: Numbers) -> Ground {
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
            for family in underlay {
                let own = net(spot, *family, number);
                script.push_str(&format!("; ip addr add {own} dev eth0 nodad"));
                if spot == Spot::Far {
                    let far = net(spot, *family, 3 - number).trunc();
                    script.push_str(&format!("; ip route add {far} dev eth0"));
                }
            }
            let _ = run(&host.netns, &script);
        }
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let folder = format!("tombolo-ground-{}-{count}", std::process::id());
        let mut ground = Ground {
            numbers,
            spot,
            world: World::default(),
            gossip: Gossip::new(spot, underlay),
            hosts,
            containers: [netns(), netns()],
            folder: std::env::temp_dir().join(folder),
        };
        let people = cast::people(&ground, underlay);
        ground.put(&people);
        ground
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
        if let Some(learned) = self.gossip.learned(host, &self.hosts[host].node) {
            self.put(&learned);
        }
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
        let news = self.gossip.tell(host, plan.bgp.as_ref()) || told != self.world.nodes[node];
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

    /// How many of the hosts have containers: the first ones.
    #[must_use]
    pub fn inhabited(&self) -> usize {
        match self.spot {
            Spot::Together => 1,
            Spot::Near | Spot::Far => 2,
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

    /// Looks at what passes the wire, as tcpdump(8) tells it, while something is done, until a line has
    /// a word in it.
    ///
    /// # Errors
    /// What is done fails, or none has: the error shows some of what passed.
    pub fn seen(
        &self,
        word: &str,
        what: impl Fn(&Ground) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut command = Command::new("tcpdump");
        command.args(["-Z", "root", "-lUni", "eth0", "-c", "200"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.hosts[1].netns.run(|| command.spawn());
        let child = child.expect("a namespace is entered");
        let mut child = Watcher(child.map_err(|error| format!("tcpdump: {error}"))?);
        let told = child.0.stderr.take().expect("it is piped");
        let mut ready = BufReader::new(told).lines().map_while(Result::ok);
        if !ready.any(|line| line.contains("listening on")) {
            return Err("tcpdump ends without a word".to_owned());
        }
        let out = child.0.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        let mut passed = Vec::new();
        // Each round passes at least a packet, so the lines are not waited for in vain.
        for _ in 0..20 {
            what(self)?;
            let line = lines.next().ok_or("tcpdump has ended")?;
            if line.contains(word) {
                return Ok(());
            }
            passed.push(line);
        }
        Err(format!("{word} is not on the wire: {}", passed.join("; ")))
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
                let via = net(self.spot, *family, usize::from(there) + 1).addr();
                let _ = run(
                    &self.hosts[here].netns,
                    &format!("ip route add {block} via {via}"),
                );
            }
        }
    }

    /// What the host's own routes are, of both families.
    #[must_use]
    pub fn routes(&self, host: usize) -> String {
        run(
            &self.hosts[host].netns,
            "ip route show proto 84; ip -6 route show proto 84",
        )
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

/// A program that ends with this.
struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes one connection, and tells how many bytes came.
fn count(listener: &TcpListener) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let arrived = std::io::copy(&mut stream, &mut std::io::sink())?;
    write!(stream, "{arrived}")
}

fn word(text: &str) -> Name {
    Name::new(text).expect("letters make a name")
}

/// A path that leads to a namespace for as long as its handle lives.
fn path(netns: &NetnsHandle) -> String {
    let descriptor = netns.as_fd().as_raw_fd();
    format!("/proc/{}/fd/{descriptor}", std::process::id())
}
