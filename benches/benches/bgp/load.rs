//! The peers of a speaker under test: they say OPEN, tell what they have, and count what they hear.
//!
//! Each is a thread with a socket that blocks. They read no more of an UPDATE than how many prefixes it
//! announces.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ipnet::{IpNet, Ipv4Net};
use socket2::{Domain, Socket, Type};
use tombolo_bgp::message::{
    Capability, Message, Negotiated, Open, decode, encode, encode_announced, frame,
};
use tombolo_bgp::{
    AsPath, AsSegment, Asn, Attributes, Community, Families, Family, NextHop, Nlri, PathId,
    RouterId,
};

use crate::install::now;
use crate::scene::{OURS, Part, Scene};

/// So many prefixes share their attributes.
const SHARED: u32 = 50;
/// Nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(230);
/// Until it is tried again what nobody tells of.
const AGAIN: Duration = Duration::from_millis(10);
/// The stack of a thread.
const STACK: usize = 256 << 10;

/// Lets all peers of a scene do their part; answers how long that took, in milliseconds.
pub fn run(scene: &Scene) -> Result<f64> {
    listens(scene)?;
    let begun = Instant::now();
    let barrier = Barrier::new(scene.parts.len());
    let spans: Result<Vec<(Instant, Instant)>> = thread::scope(|scope| {
        let threads = scene.parts.iter().map(|part| {
            let work = || play(scene, part, &barrier);
            let thread = thread::Builder::new().stack_size(STACK);
            thread.spawn_scoped(scope, work).context("start a thread")
        });
        let threads: Vec<_> = threads.collect::<Result<_>>()?;
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|span| span.map_err(|_| anyhow!("a peer panicked"))?)
            .collect()
    });
    let spans = spans?;
    let starts = spans.iter().map(|(start, _)| *start);
    let start = if scene.cold {
        Some(begun)
    } else {
        starts.max()
    };
    let end = spans.iter().map(|(_, end)| *end).max();
    let (start, end) = start.zip(end).context("the scene has no parts")?;
    Ok(end.duration_since(start).as_secs_f64() * 1000.0)
}

/// A peer that has told its table, and stays.
pub struct Telling {
    /// When it began, in milliseconds of the system's clock.
    pub begun: f64,
    /// Its end would take back all that it told.
    _session: Session,
}

/// Lets the first peer of a scene tell what it has.
pub fn tell(scene: &Scene) -> Result<Telling> {
    listens(scene)?;
    let part = scene.parts.first().context("the scene has no parts")?;
    let told = table(part)?;
    let mut session = connect(scene, part)?;
    let begun = now()?;
    session.stream.write_all(&told).context("tell prefixes")?;
    Ok(Telling {
        begun,
        _session: session,
    })
}

/// One peer from its connection to its last prefix: when it began to tell, and when it was done. It stays
/// until all are done.
fn play(scene: &Scene, part: &Part, barrier: &Barrier) -> Result<(Instant, Instant)> {
    let told = table(part);
    let session = connect(scene, part);
    if !scene.cold {
        barrier.wait();
    }
    let start = Instant::now();
    let done = session.and_then(|mut session| {
        session.stream.write_all(&told?).context("tell prefixes")?;
        session.hear(part.hears)?;
        Ok((session, Instant::now()))
    });
    barrier.wait();
    let (_session, end) = done.with_context(|| format!("the peer {}", part.address))?;
    Ok((start, end))
}

/// Waits until the speaker listens.
fn listens(scene: &Scene) -> Result<()> {
    let begun = Instant::now();
    while let Err(error) = TcpStream::connect((scene.speaker, 179)) {
        ensure!(
            begun.elapsed() < PATIENCE,
            "the speaker does not listen: {error}"
        );
        thread::sleep(AGAIN);
    }
    Ok(())
}

struct Session {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Connects until the session stands: the speaker may not be there yet, or not ready for this peer.
fn connect(scene: &Scene, part: &Part) -> Result<Session> {
    let begun = Instant::now();
    loop {
        match try_connect(scene, part) {
            Ok(session) => return Ok(session),
            Err(error) => ensure!(begun.elapsed() < PATIENCE, "no session stands: {error:#}"),
        }
        thread::sleep(AGAIN);
    }
}

fn try_connect(scene: &Scene, part: &Part) -> Result<Session> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("open a socket")?;
    socket
        .bind(&SocketAddr::from((part.address, 0)).into())
        .context("bind")?;
    let remote = SocketAddr::from((scene.speaker, 179)).into();
    socket
        .connect_timeout(&remote, Duration::from_secs(5))
        .context("connect")?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).context("set TCP_NODELAY")?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .context("set a timeout")?;
    let mut session = Session {
        stream,
        buffer: Vec::new(),
    };
    let open = Open {
        asn: part.asn,
        hold_time: 240,
        router_id: RouterId(part.address),
        capabilities: vec![
            Capability::Multiprotocol(Family::Ipv4),
            Capability::FourOctetAs(part.asn),
        ],
    };
    let mut bytes = Vec::new();
    encode(&Message::Open(open), None, &mut bytes);
    encode(&Message::Keepalive, None, &mut bytes);
    session.stream.write_all(&bytes).context("say OPEN")?;
    loop {
        match decode(&session.next()?, None)? {
            Message::Keepalive => return Ok(session),
            Message::Notification(why) => return Err(anyhow!("{}", why.describe())),
            _ => {}
        }
    }
}

impl Session {
    /// Waits until the speaker has announced so many prefixes.
    fn hear(&mut self, mut prefixes: u32) -> Result<()> {
        while prefixes > 0 {
            let message = self.next()?;
            match message.get(18) {
                Some(2) => prefixes = prefixes.saturating_sub(announced(&message)),
                Some(3) => return Err(anyhow!("the speaker ended the session: {message:?}")),
                _ => {}
            }
        }
        Ok(())
    }

    /// The next message.
    fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(length) = frame(&self.buffer)? {
                return Ok(self.buffer.drain(..length).collect());
            }
            let mut piece = [0; 4096];
            let count = self.stream.read(&mut piece).context("hear")?;
            ensure!(count > 0, "the speaker closed the connection");
            self.buffer.extend_from_slice(&piece[..count]);
        }
    }
}

/// How many prefixes of IPv4 an UPDATE announces.
fn announced(message: &[u8]) -> u32 {
    let length = |at: usize| {
        let field = message.get(at..at + 2).and_then(<[u8]>::first_chunk);
        field.map_or(0, |field| usize::from(u16::from_be_bytes(*field)))
    };
    let attributes = 21 + length(19);
    let mut rest = message
        .get(attributes + 2 + length(attributes)..)
        .unwrap_or_default();
    let mut count = 0;
    while let Some((bits, behind)) = rest.split_first() {
        rest = behind
            .get(usize::from(*bits).div_ceil(8)..)
            .unwrap_or_default();
        count += 1;
    }
    count
}

/// What a peer tells, as bytes.
fn table(part: &Part) -> Result<Vec<u8>> {
    let context = context(part);
    let (first, count) = part.tells;
    let numbers: Vec<u32> = (first..first + count).collect();
    let mut bytes = Vec::new();
    for group in numbers.chunks(SHARED as usize) {
        let origin = group.first().copied().unwrap_or_default() / SHARED;
        let mut systems = vec![Asn(64512 + origin % 300), Asn(4_200_000_000 + origin)];
        if part.asn != OURS {
            systems.insert(0, part.asn);
        }
        let attributes = Attributes {
            as_path: AsPath(vec![AsSegment::Sequence(systems)]),
            local_pref: (part.asn == OURS).then_some(100),
            communities: vec![Community((65000 << 16) | (origin % 60_000))],
            ..Attributes::local(NextHop::V4(part.address))
        };
        let prefixes: Vec<Nlri> = group.iter().map(|number| nlri(*number)).collect();
        encode_announced(&attributes, Family::Ipv4, &prefixes, &context, &mut bytes)?;
    }
    Ok(bytes)
}

fn nlri(number: u32) -> Nlri {
    // /24s from 20.0.0.0 on: no bits of another prefix, none that a speaker refuses.
    let net = Ipv4Net::new_assert(Ipv4Addr::from((20 << 24) + (number << 8)), 24);
    Nlri {
        prefix: IpNet::V4(net),
        path: PathId(0),
    }
}

fn context(part: &Part) -> Negotiated {
    Negotiated {
        peer_asn: OURS,
        peer_id: RouterId(part.address),
        local_address: IpAddr::from(part.address),
        peer_address: IpAddr::from(part.address),
        internal: part.asn == OURS,
        families: Families {
            ipv4: true,
            ipv6: false,
        },
        four_octet: true,
        extended_next_hop: false,
        add_path_send: Families::default(),
        add_path_receive: Families::default(),
        refresh: false,
        enhanced_refresh: false,
        hold_time: 240,
        graceful: None,
        long_lived: Vec::new(),
    }
}
