//! The threads that move packets: for each queue of the devices one that sends, and one that receives.
//!
//! ```text
//!  outward:  device queue ─► Super ─► Table::behind ─► Batch ─► sendmmsg
//!  inward:   recvmmsg ─► Header, Table::source, behind ─► Merger ─► writev ─► device queue
//! ```
//!
//! A thread sleeps in poll(2) when there is nothing to do, takes no lock on its way, and allocates nothing
//! for a packet. Sockets and devices are handed over and handed back ([`Ports`]): what waits in them
//! survives the threads.

mod batch;
mod inward;
mod outward;
mod ports;
mod shared;
mod slow;
mod wait;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};

use crate::header::{HEADER_BYTES, Header};
use crate::{Counters, NetworkId, Table, TunnelError};
pub use ports::Ports;
use shared::Shared;

/// So many control messages wait at most until they are read.
const CONTROL_MESSAGES: usize = 4096;

/// A message of the control protocol, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlMessage {
    /// The port of ours that it came to.
    pub port: u16,
    /// From whom, as the network says.
    pub from: SocketAddr,
    /// What is behind the header.
    pub body: Vec<u8>,
}

/// A running datapath. Dropped, it stops, and closes what it was started with.
#[derive(Debug)]
pub struct Datapath {
    shared: Arc<Shared>,
    ports: Option<Arc<Ports>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<EventFd>,
}

impl Datapath {
    /// Starts the threads, and answers where control messages come out. Without a table everything is
    /// dropped.
    ///
    /// # Errors
    /// The kernel has no more threads or descriptors.
    pub fn start(ports: Ports) -> Result<(Datapath, Receiver<ControlMessage>), TunnelError> {
        Datapath::start_with(ports, Arc::default())
    }

    /// The same with a table from the first packet on: what has waited in the ports is not dropped.
    ///
    /// # Errors
    /// The kernel has no more threads or descriptors.
    pub fn start_with(
        ports: Ports,
        table: Arc<Table>,
    ) -> Result<(Datapath, Receiver<ControlMessage>), TunnelError> {
        let resources = |operation| move |errno| TunnelError::Resources { operation, errno };
        let stop = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)
            .map_err(resources("make an event descriptor"))?;
        let (control, messages) = sync_channel(CONTROL_MESSAGES);
        let mut datapath = Datapath {
            shared: Arc::new(Shared::default()),
            ports: Some(Arc::new(ports)),
            threads: Vec::new(),
            stop: Arc::new(stop),
        };
        datapath.set_table(table);
        let Some(ports) = datapath.ports.clone() else {
            return Ok((datapath, messages));
        };
        for index in 0..ports.width() {
            let (shared, stop) = (&datapath.shared, &datapath.stop);
            let out = outward::Outward::new(&ports, index, shared, stop);
            let inward = inward::Inward::new(&ports, index, (shared, stop), control.clone());
            datapath.run(format!("tunnel-out-{index}"), move || out.run())?;
            datapath.run(format!("tunnel-in-{index}"), move || inward.run())?;
        }
        Ok((datapath, messages))
    }

    fn run(
        &mut self,
        name: String,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), TunnelError> {
        let thread = std::thread::Builder::new().name(name).spawn(work);
        self.threads
            .push(thread.map_err(|error| TunnelError::Resources {
                operation: "start a thread",
                errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)),
            })?);
        Ok(())
    }

    /// From now on packets go by this table.
    pub fn set_table(&self, table: Arc<Table>) {
        self.shared.set_table(table);
    }

    /// The table by which packets go.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.shared.table()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut peers = BTreeMap::new();
        for peer in self.table().peers() {
            let sums = peer.traffic.sums();
            let all: &mut crate::Sums = peers.entry(peer.id.clone()).or_default();
            all.sent_packets += sums.sent_packets;
            all.sent_bytes += sums.sent_bytes;
            all.received_packets += sums.received_packets;
            all.received_bytes += sums.received_bytes;
        }
        Counters {
            peers,
            dropped: self.shared.drops.sums(),
        }
    }

    /// Networks whose device is gone: nothing of them is moved any more.
    #[must_use]
    pub fn lost(&self) -> Vec<NetworkId> {
        self.shared.lost()
    }

    /// Sends a control message from a port of ours. It is never fragmented: one that is larger than the way
    /// is refused, by us or on its way.
    ///
    /// # Errors
    /// There is no such socket, or the kernel refuses; [`TunnelError::Send`] with `EMSGSIZE` if the message
    /// is larger than the first device carries.
    pub fn send_control(&self, port: u16, to: SocketAddr, body: &[u8]) -> Result<(), TunnelError> {
        let missing = TunnelError::NoSocket { port, to };
        let ports = self.ports.as_ref().ok_or(missing.clone())?;
        let socket = ports.socket(port, to.is_ipv6(), 0).ok_or(missing)?;
        let failed = |errno| TunnelError::Send {
            to,
            bytes: HEADER_BYTES + body.len(),
            errno,
        };
        let length = u16::try_from(body.len()).map_err(|_| failed(Errno::EMSGSIZE))?;
        let mut datagram = Header::control(length).to_bytes().to_vec();
        datagram.extend_from_slice(body);
        sendto(
            socket.fd.as_fd().as_raw_fd(),
            &datagram,
            &SockaddrStorage::from(to),
            MsgFlags::MSG_DONTWAIT,
        )
        .map(drop)
        .map_err(failed)
    }

    /// What it was started with, to be handed to another process while it runs.
    #[must_use]
    pub fn ports(&self) -> Option<&Ports> {
        self.ports.as_deref()
    }

    /// Stops the threads and gives back what it was started with. What waits in the sockets and the devices
    /// waits on.
    #[must_use]
    pub fn stop(mut self) -> Ports {
        self.end();
        let ports = self.ports.take().and_then(Arc::into_inner);
        ports.unwrap_or_default()
    }

    fn end(&mut self) {
        // It can only fail if the counter is full, and then it wakes as well.
        let _ = self.stop.write(1);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Datapath {
    fn drop(&mut self) {
        self.end();
    }
}
