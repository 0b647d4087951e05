//! From the device to the peers.

use std::net::IpAddr;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

use super::batch::{Batch, PIECES};
use super::ports::Ports;
use super::shared::{Hold, Shared};
use super::slow::{TooBig, too_big};
use super::wait::{readable, wait};
use crate::header::{HEADER_BYTES, Header};
use crate::packet::{Limiter, MAX_HEADER_BYTES, OFFLOAD_BYTES, Offload, Piece, Super};
use crate::sys::{Outgoing, Vectors};
use crate::{NetworkId, PeerEntry, Reason, Table};

/// The largest packet that a device hands over, with what it says of it.
const SLOT: usize = OFFLOAD_BYTES + 65_536;
/// Packets are read one behind the other into so much room, until less than a slot is left.
const READ_BYTES: usize = 4 * SLOT;
/// A packet of less bytes is no part of a stream that would come in larger ones.
const SMALL: usize = 2048;
/// Headers of segments are written behind it.
const HEADS_BYTES: usize = 512 * (HEADER_BYTES + MAX_HEADER_BYTES);

/// The thread of one queue.
pub(super) struct Outward {
    ports: Arc<Ports>,
    index: usize,
    stop: Arc<EventFd>,
    shared: Arc<Shared>,
    hold: Hold,
    bytes: Vec<u8>,
    /// Where the next header goes.
    heads: usize,
    batch: Batch,
    /// By which socket the batch goes.
    socket: Option<(u16, bool)>,
    /// Where the last packet went: the next one often goes there as well.
    last: Option<(NetworkId, IpAddr, usize)>,
    limiter: Limiter,
    began: Instant,
}

impl Outward {
    pub(super) fn new(
        ports: &Arc<Ports>,
        index: usize,
        shared: &Arc<Shared>,
        stop: &Arc<EventFd>,
    ) -> Outward {
        Outward {
            ports: Arc::clone(ports),
            index,
            stop: Arc::clone(stop),
            shared: Arc::clone(shared),
            hold: Hold::new(shared),
            bytes: vec![0; READ_BYTES + HEADS_BYTES],
            heads: READ_BYTES,
            batch: Batch::default(),
            socket: None,
            last: None,
            limiter: Limiter::default(),
            began: Instant::now(),
        }
    }

    /// Works until the word to stop.
    pub(super) fn run(mut self) {
        let (ports, stop) = (Arc::clone(&self.ports), Arc::clone(&self.stop));
        let queue = |device: usize| ports.devices[device].queues.get(self.index);
        let mut devices: Vec<usize> = (0..ports.devices.len())
            .filter(|device| queue(*device).is_some())
            .collect();
        let mut vectors = Vectors::default();
        let mut ready = Vec::new();
        loop {
            let queues = devices
                .iter()
                .map(|device| &ports.devices[*device].queues[self.index]);
            let mut descriptors: Vec<_> = queues.map(|queue| readable(queue.as_fd())).collect();
            descriptors.push(readable(stop.as_fd()));
            let gone = loop {
                if wait(&mut descriptors, &mut ready).is_none() {
                    return;
                }
                let works = |place: &&usize| self.empty(devices[**place], &mut vectors).is_err();
                if let Some(gone) = ready.iter().find(works) {
                    break *gone;
                }
            };
            let device = devices.remove(gone);
            self.shared.lose(ports.devices[device].network);
        }
    }

    /// Reads a device until nothing is left.
    fn empty(&mut self, device: usize, vectors: &mut Vectors) -> Result<(), Errno> {
        let ports = Arc::clone(&self.ports);
        let device = &ports.devices[device];
        let queue = device.queues[self.index].as_fd();
        let mut is_first = true;
        loop {
            let (table, is_new) = self.hold.renew();
            if is_new {
                self.last = None;
            }
            let mut at = 0;
            let mut more = true;
            while more && at + SLOT <= READ_BYTES {
                match nix::unistd::read(queue, &mut self.bytes[at..at + SLOT]) {
                    Ok(length) => {
                        let from = (&*table, device.network);
                        if let Err(reason) = self.take(from, at..at + length, vectors) {
                            self.shared.drops.count(reason);
                        }
                        // A packet begins on a cache line of its own.
                        at += length.next_multiple_of(64);
                        if std::mem::take(&mut is_first) && length < SMALL {
                            // Often it is alone, and somebody waits for it.
                            self.flush(vectors);
                        }
                    }
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => more = false,
                    Err(errno) => {
                        self.flush(vectors);
                        return Err(errno);
                    }
                }
            }
            self.flush(vectors);
            if !more {
                return Ok(());
            }
        }
    }
}

/// What becomes of a packet that was read.
impl Outward {
    /// Takes the packet that lies there, with what the device says of it, into the batch.
    fn take(
        &mut self,
        (table, network): (&Table, NetworkId),
        all: Range<usize>,
        out: &mut Vectors,
    ) -> Result<(), Reason> {
        let bytes = &mut self.bytes[all.clone()];
        let (offload, packet) = bytes
            .split_first_chunk_mut::<OFFLOAD_BYTES>()
            .ok_or(Reason::Truncated)?;
        let offload = Offload::read(offload).ok_or(Reason::Malformed)?;
        let whole = Super::read(packet, &offload)?;
        let address = whole.inner.destination;
        if address.is_multicast() {
            // The kernel's own, which looks for routers and groups on every link; none is here.
            return Ok(());
        }
        let index = match self.last {
            Some((last, to, index)) if last == network && to == address => index,
            _ => table.behind(network, address).ok_or(Reason::NoRoute)?,
        };
        self.last = Some((network, address, index));
        let peer = table.peer(index).ok_or(Reason::NoRoute)?;
        let by = (peer.port, peer.endpoint.is_ipv6());
        if self.socket != Some(by) {
            self.flush(out);
            self.socket = Some(by);
        }
        let at = all.start + OFFLOAD_BYTES;
        if whole.largest() > usize::from(peer.mtu) {
            return self.too_big(network, peer, (at..all.end, &whole), out);
        }
        let count = whole.segments();
        for segment in 0..count {
            self.push(network, peer, (at, &whole, segment), out);
        }
        let bytes = all.end - at + (count - 1) * whole.header_bytes();
        peer.traffic.sent.add(count as u64, bytes as u64);
        Ok(())
    }

    /// Adds a segment of the packet at `at` to the batch.
    fn push(
        &mut self,
        network: NetworkId,
        peer: &PeerEntry,
        (at, whole, segment): (usize, &Super, usize),
        out: &mut Vectors,
    ) {
        let size = HEADER_BYTES + whole.header_bytes();
        if self.batch.is_full() || self.heads + size > self.bytes.len() {
            self.flush(out);
        }
        let payload = whole.payload(segment);
        let length = whole.header_bytes() + payload.len();
        let header = Header::data(network, length as u16, whole.partial_checksum);
        let (packets, heads) = self.bytes.split_at_mut(READ_BYTES);
        let head = &mut heads[self.heads - READ_BYTES..][..size];
        head[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        whole.write(&packets[at..], segment, &mut head[HEADER_BYTES..]);
        let head = Piece::new(self.heads, size);
        let payload = Piece::new(at + payload.start, payload.len());
        self.batch.push(peer.endpoint, head, payload);
        self.heads += size;
    }

    /// Sends the batch.
    fn flush(&mut self, out: &mut Vectors) {
        self.heads = READ_BYTES;
        let ports = Arc::clone(&self.ports);
        let mut messages = &self.batch.messages[..];
        let socket = self
            .socket
            .and_then(|(port, v6)| ports.socket(port, v6, self.index));
        while let (Some(socket), Some((first, rest))) = (socket, messages.split_first()) {
            let fd = socket.fd.as_fd();
            match out.send(fd, &self.bytes, &self.batch.pieces, messages) {
                Ok(sent) => messages = &messages[sent.min(messages.len())..],
                Err(Errno::EINTR) => {}
                // The way to the peer does not cut: a device without checksums, before Linux 6.11.
                Err(Errno::EIO | Errno::EINVAL | Errno::EOPNOTSUPP) if first.segment > 0 => {
                    for single in singles(first) {
                        self.send_single(&single, out);
                    }
                    messages = rest;
                }
                Err(errno) => {
                    let lost = first.pieces.len() / PIECES;
                    self.shared.drops.add(reason(errno), lost as u64);
                    messages = rest;
                }
            }
        }
        for message in messages {
            let lost = message.pieces.len() / PIECES;
            self.shared.drops.add(Reason::Unreachable, lost as u64);
        }
        self.batch.clear();
    }

    fn send_single(&self, message: &Outgoing, out: &mut Vectors) {
        let socket = self
            .socket
            .and_then(|(port, v6)| self.ports.socket(port, v6, self.index));
        let Some(socket) = socket else { return };
        let messages = std::slice::from_ref(message);
        let sent = out.send(socket.fd.as_fd(), &self.bytes, &self.batch.pieces, messages);
        if let Err(errno) = sent {
            self.shared.drops.count(reason(errno));
        }
    }

    /// A packet that the way to its peer does not carry.
    fn too_big(
        &mut self,
        network: NetworkId,
        peer: &PeerEntry,
        (range, whole): (Range<usize>, &Super),
        out: &mut Vectors,
    ) -> Result<(), Reason> {
        match too_big(&self.bytes[range], whole, peer.mtu) {
            TooBig::Answer(answer) => {
                if let Some(answer) = answer.filter(|_| self.limiter.allow(self.began.elapsed())) {
                    self.answer(network, &answer, out);
                }
                Err(Reason::TooBig)
            }
            TooBig::Cut(packets) => {
                for packet in packets {
                    self.send_copy(network, peer, &packet, out);
                }
                Ok(())
            }
        }
    }

    /// Hands a packet to the device, as if it had come from a peer.
    fn answer(&self, network: NetworkId, packet: &[u8], out: &mut Vectors) {
        let device = self
            .ports
            .devices
            .iter()
            .find(|device| device.network == network);
        if let Some(queue) = device.and_then(|device| device.queues.get(self.index)) {
            // Who asked for too much will ask again.
            let _ = out.write(
                queue.as_fd(),
                &[0; OFFLOAD_BYTES],
                packet,
                &[Piece::new(0, packet.len())],
            );
        }
    }

    /// Sends a packet that lies elsewhere than in the buffer.
    fn send_copy(
        &mut self,
        network: NetworkId,
        peer: &PeerEntry,
        packet: &[u8],
        out: &mut Vectors,
    ) {
        self.flush(out);
        let header = Header::data(network, packet.len() as u16, false).to_bytes();
        let datagram = [&header[..], packet].concat();
        let all = Piece::new(READ_BYTES, datagram.len());
        self.bytes[all.range()].copy_from_slice(&datagram);
        self.batch
            .push(peer.endpoint, all, Piece::new(READ_BYTES, 0));
        peer.traffic.sent.add(1, packet.len() as u64);
        self.flush(out);
    }
}

/// A message that the kernel does not cut, as one for each datagram.
fn singles(message: &Outgoing) -> impl Iterator<Item = Outgoing> {
    let to = message.to;
    message
        .pieces
        .clone()
        .step_by(PIECES)
        .map(move |begin| Outgoing {
            pieces: begin..begin + PIECES,
            to,
            segment: 0,
        })
}

fn reason(errno: Errno) -> Reason {
    match errno {
        Errno::EMSGSIZE => Reason::TooBig,
        Errno::ENOBUFS | Errno::EAGAIN | Errno::ENOMEM => Reason::SocketFull,
        _ => Reason::Unreachable,
    }
}
