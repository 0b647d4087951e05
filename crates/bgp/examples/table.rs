//! How long a routing table takes, and how much memory: 100,000 prefixes in from one peer and out to
//! ten, as bytes on both sides, on one core.
//!
//! `cargo run --release -p tombolo-bgp --example table [PREFIXES [PEERS [PREFIXES_OF_ONE_PATH]]]`

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net};
use tombolo_bgp::message::{self, Message, Negotiated};
use tombolo_bgp::rib::{Local, NextHops, PeerId, Rib, Role};
use tombolo_bgp::simulate::agreement;
use tombolo_bgp::{
    AsPath, AsSegment, Asn, Attributes, Community, Families, Family, NextHop, Nlri, PathId, Peer,
    PeerKey, RouterId,
};

const OURS: Asn = Asn(65000);

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse::<u32>().ok());
    let prefixes = numbers.next().unwrap_or(100_000);
    let peers = u8::try_from(numbers.next().unwrap_or(10)).unwrap_or(u8::MAX);
    let shared = numbers.next().unwrap_or(50).max(1);
    let source = role(0);
    let bytes = feed(prefixes, shared, &source.negotiated);
    let before = memory();
    let mut rib = Rib::new(Local {
        asn: OURS,
        router_id: RouterId([10, 0, 0, 100].into()),
        cluster_id: RouterId([10, 0, 0, 100].into()),
        multipath: 1,
    });
    rib.set_next_hops(NextHops::everywhere());
    rib.peer_up(PeerId(0), source.clone());
    for peer in 1..=peers {
        rib.peer_up(PeerId(u16::from(peer)), role(peer));
    }
    let (input, count) = timed(|| hear(&mut rib, PeerId(0), &bytes, &source.negotiated));
    let (output, written) = timed(|| (1..=peers).map(|peer| tell(&mut rib, peer)).sum::<usize>());
    println!(
        "in       {input:>9.1?}  {count} messages, {} bytes",
        bytes.len()
    );
    println!("out      {output:>9.1?}  {written} bytes to {peers} peers");
    println!(
        "memory   {:>6} kB more at the peak",
        memory().saturating_sub(before)
    );
    let (again, _) = timed(|| hear(&mut rib, PeerId(0), &bytes, &source.negotiated));
    println!("again    {again:>9.1?}  the same messages once more");
    let mut second = role(1);
    second.negotiated.peer_asn = source.negotiated.peer_asn;
    rib.peer_up(PeerId(1), second);
    let (beside, _) = timed(|| hear(&mut rib, PeerId(1), &bytes, &source.negotiated));
    println!("beside   {beside:>9.1?}  the same from another peer");
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let result = work();
    (begin.elapsed(), result)
}

/// What was the most memory so far, in kB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

fn role(number: u8) -> Role {
    let address = IpAddr::from([10, 0, 0, number]);
    let asn = Asn(65001 + u32::from(number));
    Role {
        key: PeerKey::from(address),
        peer: Peer::new(format!("peer {number}"), asn),
        negotiated: Negotiated {
            peer_address: address,
            families: Families::from_iter([Family::Ipv4]),
            ..agreement(asn, RouterId([1, 1, 1, number].into()))
        },
        local_asn: OURS,
    }
}

/// The messages of a peer: so many prefixes share a path.
fn feed(prefixes: u32, shared: u32, context: &Negotiated) -> Vec<u8> {
    let mut bytes = Vec::new();
    for first in (0..prefixes).step_by(shared as usize) {
        let number = first / shared;
        let mut attributes = Attributes::local(NextHop::V4([10, 0, 0, 0].into()));
        let path = [65001, 70_000 + number % 5000, 80_000 + number]
            .map(Asn)
            .to_vec();
        attributes.as_path = AsPath(vec![AsSegment::Sequence(path)]);
        attributes.communities = vec![Community(number), Community(number + 1_000_000)];
        let end = (first + shared).min(prefixes);
        let nets: Vec<Nlri> = (first..end).map(nlri).collect();
        let written =
            message::encode_announced(&attributes, Family::Ipv4, &nets, context, &mut bytes);
        assert!(written.is_ok(), "short attributes fit");
    }
    bytes
}

fn nlri(number: u32) -> Nlri {
    let address = Ipv4Addr::from(0x1000_0000 + (number << 8));
    Nlri {
        prefix: IpNet::V4(Ipv4Net::new_assert(address, 24)),
        path: PathId(0),
    }
}

/// Takes the messages in; what changed is asked for as often as sockets are read.
fn hear(rib: &mut Rib, peer: PeerId, bytes: &[u8], context: &Negotiated) -> usize {
    let mut rest = bytes;
    let mut count = 0;
    while let Ok(Some(length)) = message::frame(rest) {
        if let Ok(Message::Update(update)) = message::decode(&rest[..length], Some(context)) {
            let taken = rib.update(peer, update);
            assert!(taken.is_ok(), "there is no limit");
        }
        rest = &rest[length..];
        count += 1;
        if count % 16 == 0 {
            rib.changes();
        }
    }
    count
}

fn tell(rib: &mut Rib, peer: u8) -> usize {
    let peer = PeerId(u16::from(peer));
    let mut out = Vec::new();
    let mut written = 0;
    while rib.has_more(peer) {
        out.clear();
        rib.transmit(peer, &mut out, 65_536);
        written += out.len();
    }
    written
}
