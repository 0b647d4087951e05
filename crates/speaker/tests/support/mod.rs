//! Speakers in namespaces of their own, and what a test waits for.
//!
//! The tests need root (CAP_SYS_ADMIN, for new namespaces); without it they fail at once and say so.
//! Namespaces have no names: they live as long as their handles, so that nothing is left behind when a
//! test panics.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tombolo_bgp::rib::NextHops;
use tombolo_bgp::{Asn, Bfd, Config, Origination, Peer, RouterId, SessionState, SessionStatus};
use tombolo_kernel::NetnsHandle;
use tombolo_speaker::{Handle, Options, Routes, SpeakerError, start};

/// What takes longer than this does not come.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A network namespace, in which `lo` is up.
pub struct Host {
    pub netns: NetnsHandle,
}

impl Host {
    pub fn new() -> Host {
        let netns = NetnsHandle::create().expect("these tests need root, to make namespaces");
        let host = Host { netns };
        host.run("ip link set lo up");
        host
    }

    /// Two hosts with a wire between them: `wire`, with 10.9.0.1 and 10.9.0.2, fd09::1 and fd09::2.
    pub fn pair() -> [Host; 2] {
        let [a, b] = [Host::new(), Host::new()];
        a.wire(&b, "10.9.0", "fd09:");
        [a, b]
    }

    /// A wire to another host: this end is `wire` with the addresses ending in 1, the other with 2.
    pub fn wire(&self, other: &Host, v4: &str, v6: &str) {
        let path = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            other.netns.as_fd().as_raw_fd()
        );
        self.run("ip link add wire type veth peer name there");
        self.run(&format!("ip link set there netns {path}"));
        other.run("ip link set there name wire");
        for (host, last) in [(self, 1), (other, 2)] {
            host.run(&format!(
                "ip addr add {v4}.{last}/24 dev wire && \
                 ip -6 addr add {v6}:{last}/64 dev wire nodad && ip link set wire up"
            ));
        }
    }

    /// The output of a command that succeeds here.
    pub fn run(&self, line: &str) -> String {
        let output = self
            .netns
            .run(|| Command::new("sh").args(["-c", line]).output())
            .unwrap()
            .expect("there is a shell");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A counter of the kernel, as `TCPMD5Failure`, from /proc/net/netstat.
    pub fn counter(&self, name: &str) -> u64 {
        let text = self.run("cat /proc/net/netstat");
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        lines
            .chunks(2)
            .find_map(|pair| {
                let at = pair[0].iter().position(|column| *column == name)?;
                pair[1][at].parse().ok()
            })
            .unwrap_or_else(|| panic!("the kernel has no counter {name}"))
    }

    /// Starts a speaker here.
    pub fn start(&self, options: Options) -> Speaking {
        self.try_start(options).unwrap()
    }

    pub fn try_start(&self, options: Options) -> Result<Speaking, SpeakerError> {
        let handle = self.netns.run(|| start(options)).unwrap()?;
        Ok(Speaking { handle })
    }
}

/// A running speaker.
pub struct Speaking {
    pub handle: Handle,
}

impl Speaking {
    pub fn session(&self, peer: &str) -> SessionStatus {
        let status = self.handle.status().wait().unwrap();
        let found = (status.sessions.into_iter()).find(|session| session.peer.to_string() == peer);
        found.unwrap_or_else(|| panic!("there is no peer {peer}"))
    }

    pub fn is_established(&self, peer: &str) -> bool {
        self.session(peer).state == SessionState::Established
    }

    pub fn established(&self, peer: &str) {
        until(&format!("the session with {peer} stands"), || {
            let session = self.session(peer);
            if session.state == SessionState::Established {
                Ok(())
            } else {
                Err(format!("{session:?}"))
            }
        });
    }

    pub fn parted(&self, peer: &str) {
        until(&format!("the session with {peer} is over"), || {
            (!self.is_established(peer))
                .then_some(())
                .ok_or_else(String::new)
        });
    }

    /// Waits until BFD is up with a peer, at the pace of [`with_bfd`], and was heard in the session.
    pub fn detects(&self, peer: &str) {
        until("BFD is up", || {
            let status = self.handle.status().wait().unwrap();
            match status.bfd.get(&peer.parse().unwrap()) {
                Some(bfd)
                    if bfd.state == "Up"
                        && bfd.detection_time.is_some_and(|t| t < 0.6)
                        && self.session(peer).seconds > 0.6 =>
                {
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// Waits until what was last wrong with a peer says this.
    pub fn complains(&self, peer: &str, words: &str) {
        until(&format!("it complains of {peer}: {words}"), || {
            let trouble = self.session(peer).trouble;
            match trouble {
                Some(trouble) if trouble.words.contains(words) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// Waits until the routes are as told.
    pub fn routes(&self, what: &str, wanted: impl Fn(&Routes) -> bool) {
        let mut routes = self.handle.routes();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let waited = runtime.block_on(async {
            let waiting = routes.wait_for(wanted);
            tokio::time::timeout(DEADLINE, waiting).await.is_ok()
        });
        let routes = self.handle.routes();
        let known: Vec<IpNet> = routes.now().best.keys().take(20).copied().collect();
        assert!(
            waited,
            "in vain waited for routes: {what}; known: {known:?}; {:#?}",
            self.handle.status().wait()
        );
    }

    pub fn knows(&self, prefix: &str) {
        let prefix: IpNet = prefix.parse().unwrap();
        self.routes(&prefix.to_string(), |routes| {
            routes.best.contains_key(&prefix)
        });
    }

    pub fn forgets(&self, prefix: &str) {
        let prefix: IpNet = prefix.parse().unwrap();
        self.routes(&format!("no {prefix}"), |routes| {
            !routes.best.contains_key(&prefix)
        });
    }
}

/// Asks again and again: sessions offer no event for what these tests wait for.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(instead) => assert!(
                begun.elapsed() < DEADLINE,
                "in vain waited until {what}: {instead}"
            ),
        }
        std::thread::yield_now();
    }
}

/// A speaker of a system, with this number as its identifier's last byte, and these peers.
pub fn config(asn: u32, id: u8, peers: &[(&str, Peer)]) -> Config {
    Config {
        asn: Asn(asn),
        router_id: RouterId(Ipv4Addr::new(192, 0, 2, id)),
        port: 179,
        cluster_id: None,
        multipath: 1,
        graceful: None,
        peers: peers
            .iter()
            .map(|(key, peer)| (key.parse().unwrap(), peer.clone()))
            .collect(),
    }
}

/// A peer that is tried again every second.
pub fn peer(asn: u32) -> Peer {
    let mut peer = Peer::new(format!("of {asn}"), Asn(asn));
    peer.connect_retry = Duration::from_secs(1);
    peer
}

/// A peer with BFD that takes half a second to find that it is gone.
pub fn with_bfd(asn: u32) -> Peer {
    let mut peer = peer(asn);
    peer.bfd = Some(Bfd {
        // Less than a large table takes, more than a busy machine lets a thread wait.
        interval: Duration::from_millis(100),
        multiplier: 5,
    });
    peer
}

/// A speaker that tells of these prefixes, and to which everything is reachable.
pub fn options(config: Config, prefixes: &[&str]) -> Options {
    let mut options = Options::new(config);
    options.originate = origins(prefixes);
    options.next_hops = everything();
    options
}

pub fn origins(prefixes: &[&str]) -> BTreeMap<IpNet, Origination> {
    prefixes
        .iter()
        .map(|prefix| (prefix.parse().unwrap(), Origination::default()))
        .collect()
}

pub fn everything() -> NextHops {
    NextHops(vec![
        ("0.0.0.0/0".parse().unwrap(), 0),
        ("::/0".parse().unwrap(), 0),
    ])
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
