//! Our own BGP speaker in a host of the lab, beside the daemons of [`crate::router`].
//!
//! It runs in a thread of the test, which has entered the host's network namespace; so a scenario
//! sees its routes and sessions as values, and is woken when they change.
//!
//! The scenarios' addresses are the lab's: host `a` is 192.168.50.11 and fd50::b, and so on. We are
//! always `a`, of AS 65001, and tell of 10.1.0.0/24 and fd10:1::/64.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tombolo_bgp::rib::{NextHops, Path};
use tombolo_bgp::{Asn, Config, Origination, Peer, PeerKey, RouterId, SessionState, SessionStatus};
use tombolo_kernel::NetnsHandle;
use tombolo_lab::Lab;
use tombolo_speaker::{Handle, Options, Routes, Stop, start};

use crate::router::DEADLINE;

/// A running speaker of ours.
pub struct Speaking {
    /// To tell it what to do.
    pub handle: Handle,
}

impl Speaking {
    /// Starts a speaker in a host.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(lab: &Lab, host: &str, options: Options) -> Speaking {
        let pid = lab.host(host).expect("the host is there").process.pid;
        let netns = NetnsHandle::open(format!("/proc/{pid}/ns/net")).expect("it has a namespace");
        let handle = netns.run(|| start(options)).expect("it can be entered");
        Speaking {
            handle: handle.expect("the speaker starts"),
        }
    }

    /// How it stands with a peer.
    ///
    /// # Panics
    /// There is no such peer.
    #[must_use]
    pub fn session(&self, peer: &str) -> SessionStatus {
        let status = self.handle.status().wait().expect("it runs");
        let mut sessions = status.sessions.into_iter();
        let found = sessions.find(|session| session.peer.to_string() == peer);
        found.unwrap_or_else(|| panic!("there is no peer {peer}"))
    }

    /// Asks about a session again and again, until there is an answer.
    ///
    /// # Panics
    /// There is none within [`DEADLINE`].
    pub fn until<T>(&self, peer: &str, what: &str, ask: impl Fn(&SessionStatus) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let session = self.session(peer);
            if let Some(answer) = ask(&session) {
                return answer;
            }
            assert!(
                begun.elapsed() < DEADLINE,
                "in vain waited until {what}: {session:#?}"
            );
            std::thread::yield_now();
        }
    }

    /// Waits until the session with a peer stands.
    pub fn established(&self, peer: &str) {
        self.until(
            peer,
            &format!("the session with {peer} stands"),
            |session| (session.state == SessionState::Established).then_some(()),
        );
    }

    /// Waits until the session with a peer does not stand.
    pub fn parted(&self, peer: &str) {
        self.until(
            peer,
            &format!("the session with {peer} is over"),
            |session| (session.state != SessionState::Established).then_some(()),
        );
    }

    /// Waits until what was last wrong with a peer says this.
    pub fn complains(&self, peer: &str, words: &str) {
        self.until(peer, &format!("it complains: {words}"), |session| {
            let trouble = session.trouble.as_ref()?;
            trouble.words.contains(words).then_some(())
        });
    }

    /// Waits until the routes are as told.
    ///
    /// # Panics
    /// They are not within [`DEADLINE`].
    pub fn routes(&self, what: &str, wanted: impl Fn(&Routes) -> bool) {
        let mut routes = self.handle.routes();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().expect("a runtime is made");
        let in_time = runtime.block_on(async {
            let waiting = routes.wait_for(wanted);
            tokio::time::timeout(DEADLINE, waiting).await.is_ok()
        });
        let known: Vec<IpNet> = routes.now().best.keys().take(20).copied().collect();
        assert!(
            in_time,
            "in vain waited for routes: {what}; known: {known:?}; {:#?}",
            self.handle.status().wait()
        );
    }

    /// Watches over prefixes until the speaker ends: the answer is whether one of them was ever gone.
    ///
    /// # Panics
    /// No runtime can be had.
    #[must_use]
    pub fn watch_over(&self, prefixes: &[&str]) -> JoinHandle<bool> {
        let prefixes: Vec<IpNet> = prefixes.iter().map(|prefix| net(prefix)).collect();
        let mut routes = self.handle.routes();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime is made").block_on(async {
                let mut gone = false;
                while routes.changed().await.is_ok() {
                    let best = &routes.take().best;
                    gone |= !prefixes.iter().all(|prefix| best.contains_key(prefix));
                }
                gone
            })
        })
    }

    /// Waits until a peer has told of a prefix.
    pub fn knows(&self, prefix: &str) {
        let net: IpNet = net(prefix);
        self.routes(prefix, |routes| routes.best.contains_key(&net));
    }

    /// Waits until no peer tells of a prefix.
    pub fn forgets(&self, prefix: &str) {
        let net: IpNet = net(prefix);
        self.routes(&format!("no {prefix}"), |routes| {
            !routes.best.contains_key(&net)
        });
    }

    /// The paths to a prefix.
    #[must_use]
    pub fn paths(&self, prefix: &str) -> Vec<Path> {
        let routes = self.handle.routes().now();
        let paths = routes.best.get(&net(prefix));
        paths.map(|paths| paths.to_vec()).unwrap_or_default()
    }

    /// Tells of these prefixes, and of no others.
    pub fn tell(&self, prefixes: &[&str]) {
        self.handle.originate(origins(prefixes));
    }

    /// Follows another configuration.
    ///
    /// # Panics
    /// It cannot.
    pub fn configure(&self, config: Config) {
        let done = self.handle.configure(config).wait().expect("it runs");
        done.expect("it follows the configuration");
    }

    /// Ends it.
    ///
    /// # Panics
    /// It has ended already.
    pub fn stop(self, how: Stop) {
        self.handle.stop(how).wait().expect("it ran until now");
    }
}

/// We, of AS 65001, with these peers.
#[must_use]
pub fn config(peers: &[(&str, Peer)]) -> Config {
    Config {
        asn: Asn(65001),
        router_id: RouterId(Ipv4Addr::new(192, 168, 50, 11)),
        port: 179,
        cluster_id: None,
        multipath: 1,
        graceful: None,
        peers: peers
            .iter()
            .map(|(key, peer)| (key.parse::<PeerKey>().expect("an address"), peer.clone()))
            .collect(),
    }
}

/// A peer of a system, which is tried every second, and to which we are `a`.
#[must_use]
pub fn peer(asn: u32) -> Peer {
    let mut peer = Peer::new("other", Asn(asn));
    peer.connect_retry = Duration::from_secs(1);
    peer.next_hops = vec![address("192.168.50.11"), address("fd50::b")];
    peer
}

/// A speaker that tells of our two prefixes, on the lab's switch.
#[must_use]
pub fn options(config: Config) -> Options {
    let mut options = Options::new(config);
    options.originate = origins(&["10.1.0.0/24", "fd10:1::/64"]);
    // Over IPv4, FRR may tell of an IPv6 next hop that is an address of the link, or none at all: what
    // it had heard of its own addresses when the session began.
    options.next_hops = NextHops(vec![(net("192.168.50.0/24"), 0), (net("::/0"), 0)]);
    options
}

/// What is told of prefixes: nothing but that they are here.
#[must_use]
pub fn origins(prefixes: &[&str]) -> BTreeMap<IpNet, Origination> {
    let pairs = prefixes
        .iter()
        .map(|prefix| (net(prefix), Origination::default()));
    pairs.collect()
}

/// An address that a scenario writes out.
///
/// # Panics
/// It is none.
#[must_use]
pub fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A prefix that a scenario writes out.
///
/// # Panics
/// It is none.
#[must_use]
pub fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}
