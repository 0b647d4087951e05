//! A client and a server on one host, and what is measured between them.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tombolo_benches::{Inside, median};
use tombolo_lab::Lab;

use crate::HOST;

/// The server echoes on the one, and closes each connection at once on the other.
const ECHO: u16 = 80;
const CLOSE: u16 = 81;
const ROUND_TRIPS: usize = 3000;
/// How long connections are made in a row.
const CONNECT: Duration = Duration::from_millis(300);

/// The address of the server that is made by hand.
pub(crate) const BY_HAND_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 98, 2, 2));

/// The same by hand: two containers, routed, and one chain with a rule for each policy.
pub(crate) const BY_HAND: &str = r#"
set -e
sysctl -qw net.ipv4.ip_forward=1
container() { # NAME SUBNET
    ip netns add $1
    ip link add v$1 type veth peer name eth0 netns $1
    ip addr add $2.1/24 dev v$1
    ip link set v$1 up
    ip -n $1 link set lo up
    ip -n $1 addr add $2.2/24 dev eth0
    ip -n $1 link set eth0 up
    ip -n $1 route add default via $2.1
}
container client 10.98.1
container server 10.98.2
{
    echo '*filter'
    echo ':FORWARD DROP [0:0]'
    echo '-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT'
    for n in $(seq 1 $1); do
        echo "-A FORWARD -s 10.98.1.2/32 -d 10.98.3.2/32 -p tcp -m tcp --dport $((1024 + n % 60000)) -j ACCEPT"
    done
    echo '-A FORWARD -s 10.98.1.2/32 -d 10.98.2.2/32 -p tcp -j ACCEPT'
    echo COMMIT
} | iptables-restore
"#;

/// What the two are asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// Serve on both ports.
    Serve,
    /// The median round trip of a byte, in microseconds?
    RoundTrip(IpAddr),
    /// How many connections a second?
    Connections(IpAddr),
}

pub(crate) fn answer(question: &Question) -> Result<f64> {
    match question {
        Question::Serve => serve(),
        Question::RoundTrip(server) => round_trip(*server),
        Question::Connections(server) => connections(*server),
    }
}

fn serve() -> Result<f64> {
    let listen = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).context("listen");
    let (echo, close) = (listen(ECHO)?, listen(CLOSE)?);
    thread::spawn(move || {
        for mut stream in echo.incoming().flatten() {
            let _ = stream.set_nodelay(true);
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        }
    });
    // Who closes first remembers the connection for a minute, and the client has fewer ports.
    thread::spawn(move || close.incoming().for_each(drop));
    Ok(0.0)
}

fn round_trip(server: IpAddr) -> Result<f64> {
    let mut stream = TcpStream::connect(SocketAddr::new(server, ECHO)).context("connect")?;
    stream.set_nodelay(true)?;
    let mut byte = [1];
    let mut trips = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        trips.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&trips))
}

fn connections(server: IpAddr) -> Result<f64> {
    let begun = Instant::now();
    let mut made = 0.0;
    while begun.elapsed() < CONNECT {
        let mut stream = TcpStream::connect(SocketAddr::new(server, CLOSE)).context("connect")?;
        let _ = stream.read(&mut [0])?;
        made += 1.0;
    }
    Ok(made / begun.elapsed().as_secs_f64())
}

/// A client and a server.
pub(crate) struct Site {
    client: Inside,
    _server: Inside,
    address: IpAddr,
}

/// What was measured once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub microseconds: f64,
    pub connections: f64,
}

impl Site {
    /// The containers `client` and `server` of a lab's host, the latter with its address.
    pub(crate) fn new(lab: &Lab, address: IpAddr) -> Result<Site> {
        let place = |name: &str| Inside::start(lab, format!("{HOST}/{name}").as_str());
        let (client, mut server) = (place("client")?, place("server")?);
        server.ask::<f64>(&crate::Question::Way(Question::Serve))?;
        Ok(Site {
            client,
            _server: server,
            address,
        })
    }

    pub(crate) fn measure(&mut self) -> Result<Seen> {
        let mut ask = |question| self.client.ask(&crate::Question::Way(question));
        Ok(Seen {
            microseconds: ask(Question::RoundTrip(self.address))?,
            connections: ask(Question::Connections(self.address))?,
        })
    }
}
