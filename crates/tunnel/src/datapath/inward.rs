//! From the peers to the device.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

use super::ControlMessage;
use super::ports::Ports;
use super::shared::{Hold, Shared};
use super::wait::{readable, wait};
use crate::header::{HEADER_BYTES, Header, Kind};
use crate::packet::{HEAD_BYTES, Inner, Merger, Packet, Piece, Run};
use crate::sys::{Received, Receiver, Vectors};
use crate::{NetworkId, Reason, Table};

/// What one call may bring into one slot: all that a datagram, or many that the kernel joined, can hold.
const SLOT: usize = 65_536;
/// So many slots are filled by one call.
const SLOTS: usize = 32;

/// The thread of some sockets.
pub(super) struct Inward {
    ports: Arc<Ports>,
    index: usize,
    stop: Arc<EventFd>,
    shared: Arc<Shared>,
    hold: Hold,
    control: SyncSender<ControlMessage>,
    merger: Merger,
    /// What was found right of the last packet: the next one is often of the same flow.
    last: Option<Judged>,
}

/// A flow between two addresses, found right.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Judged {
    peer: usize,
    network: NetworkId,
    source: IpAddr,
    destination: IpAddr,
}

/// What is the same for all that one call brought.
struct Turn<'a> {
    table: &'a Table,
    port: u16,
    bytes: &'a [u8],
}

/// Who sent a message, and which peer that is.
struct Sender {
    from: SocketAddr,
    peer: Option<usize>,
}

impl Inward {
    pub(super) fn new(
        ports: &Arc<Ports>,
        index: usize,
        (shared, stop): (&Arc<Shared>, &Arc<EventFd>),
        control: SyncSender<ControlMessage>,
    ) -> Inward {
        Inward {
            ports: Arc::clone(ports),
            index,
            stop: Arc::clone(stop),
            shared: Arc::clone(shared),
            hold: Hold::new(shared),
            control,
            merger: Merger::default(),
            last: None,
        }
    }

    /// Works until the word to stop.
    pub(super) fn run(mut self) {
        let (ports, stop) = (Arc::clone(&self.ports), Arc::clone(&self.stop));
        let sockets = ports.read_by(self.index);
        let mut descriptors: Vec<_> = sockets
            .iter()
            .map(|socket| readable(ports.sockets[*socket].fd.as_fd()))
            .collect();
        descriptors.push(readable(stop.as_fd()));
        let mut bytes = vec![0; SLOT * SLOTS];
        let mut receiver = Receiver::new(SLOT);
        let mut vectors = Vectors::default();
        let mut ready = Vec::new();
        while wait(&mut descriptors, &mut ready).is_some() {
            for place in &ready {
                let socket = &ports.sockets[sockets[*place]];
                let port = socket.address.port();
                self.empty(
                    (port, socket.fd.as_fd()),
                    &mut bytes,
                    &mut receiver,
                    &mut vectors,
                );
            }
        }
    }

    /// Reads a socket until nothing is left.
    fn empty(
        &mut self,
        (port, socket): (u16, BorrowedFd<'_>),
        bytes: &mut [u8],
        receiver: &mut Receiver,
        out: &mut Vectors,
    ) {
        let mut most = 2;
        loop {
            let (table, is_new) = self.hold.renew();
            if is_new {
                self.last = None;
            }
            let received = match receiver.receive(socket, bytes, most) {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => continue,
                // A word of the network about what was sent before; the next call tells of this one.
                Err(_) => return,
            };
            let is_all = received.len() < most;
            let turn = Turn {
                table: &table,
                port,
                bytes,
            };
            for (slot, message) in received.iter().enumerate() {
                self.take(&turn, slot * SLOT, message, out);
            }
            self.finish(bytes, out);
            if is_all {
                return;
            }
            most = SLOTS.min(most * 4);
        }
    }

    /// Takes all datagrams that lie in the slot at `at`.
    fn take(&mut self, turn: &Turn<'_>, at: usize, message: &Received, out: &mut Vectors) {
        let Some(from) = message.from.filter(|_| !message.truncated) else {
            self.shared.drops.count(Reason::Oversized);
            return;
        };
        let sender = Sender {
            from,
            peer: turn.table.source(turn.port, from),
        };
        let (mut packets, mut octets) = (0, 0);
        let step = message.segment.max(1);
        let end = at + message.length;
        let mut begin = at;
        while begin < end {
            let next = (begin + step).min(end);
            match self.judge(turn, &sender, begin..next) {
                Ok(Some(packet)) => {
                    packets += 1;
                    octets += u64::from(packet.piece.length);
                    self.merge(&packet, turn.bytes, out);
                }
                Ok(None) => {}
                Err(reason) => self.shared.drops.count(reason),
            }
            begin = next;
        }
        if let Some(peer) = sender.peer.and_then(|peer| turn.table.peer(peer)) {
            peer.traffic.received.add(packets, octets);
        }
    }

    fn merge(&mut self, packet: &Packet, bytes: &[u8], out: &mut Vectors) {
        let mut merger = std::mem::take(&mut self.merger);
        merger.push(packet, bytes, |run| self.write(run, bytes, out));
        self.merger = merger;
    }

    fn finish(&mut self, bytes: &[u8], out: &mut Vectors) {
        let mut merger = std::mem::take(&mut self.merger);
        merger.finish(|run| self.write(run, bytes, out));
        self.merger = merger;
    }

    /// Whether a datagram is one that may come in; none if it was a control message.
    fn judge(
        &mut self,
        turn: &Turn<'_>,
        sender: &Sender,
        datagram: Range<usize>,
    ) -> Result<Option<Packet>, Reason> {
        let at = datagram.start + HEADER_BYTES;
        let (header, rest) = Header::read(&turn.bytes[datagram])?;
        if header.kind == Kind::Control {
            let message = ControlMessage {
                port: turn.port,
                from: sender.from,
                body: rest.to_vec(),
            };
            let kept = self.control.try_send(message);
            return kept.map(|()| None).map_err(|_| Reason::ControlFull);
        }
        let peer = sender.peer.ok_or(Reason::Stranger)?;
        let inner = Inner::read(rest)?;
        let judged = Judged {
            peer,
            network: header.network,
            source: inner.source,
            destination: inner.destination,
        };
        if self.last != Some(judged) {
            let behind = |address| turn.table.behind(header.network, address);
            if !turn.table.has(header.network) {
                return Err(Reason::UnknownNetwork);
            }
            if behind(inner.source) != Some(peer) {
                return Err(Reason::Spoofed);
            }
            if behind(inner.destination) == Some(peer) {
                return Err(Reason::Looping);
            }
            self.last = Some(judged);
        }
        Ok(Some(Packet {
            network: header.network,
            piece: Piece::new(at, rest.len()),
            inner,
            partial_checksum: header.partial_checksum,
        }))
    }

    /// Hands a run to its device.
    fn write(&self, run: &Run, bytes: &[u8], out: &mut Vectors) {
        let mut devices = self.ports.devices.iter();
        let device = devices.find(|device| device.network == run.network);
        let queues = device.map(|device| &device.queues[..]).unwrap_or_default();
        let Some(queue) = queues.get(self.index % queues.len().max(1)) else {
            self.shared
                .drops
                .add(Reason::UnknownNetwork, run.packets() as u64);
            return;
        };
        let mut head = [0; HEAD_BYTES];
        let length = run.write_head(&mut head);
        if out
            .write(queue.as_fd(), &head[..length], bytes, run.pieces())
            .is_err()
        {
            self.shared
                .drops
                .add(Reason::DeviceBusy, run.packets() as u64);
        }
    }
}
