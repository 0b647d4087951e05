//! What a datapath is made of: devices and sockets.

use crate::device::Device;
use crate::socket::Socket;

/// All descriptors of a datapath.
#[derive(Debug, Default)]
pub struct Ports {
    /// A device for each network.
    pub devices: Vec<Device>,
    /// The sockets, several to each address.
    pub sockets: Vec<Socket>,
}

impl Ports {
    /// How many threads there are for each direction: as many as a device has queues.
    pub(super) fn width(&self) -> usize {
        let widest = self.devices.iter().map(|device| device.queues.len()).max();
        widest.unwrap_or(0).max(1)
    }

    /// The socket that a thread sends by.
    pub(super) fn socket(&self, port: u16, v6: bool, thread: usize) -> Option<&Socket> {
        let fitting =
            |socket: &&Socket| socket.address.port() == port && socket.address.is_ipv6() == v6;
        let count = self.sockets.iter().filter(fitting).count();
        let nth = thread.checked_rem(count)?;
        self.sockets.iter().filter(fitting).nth(nth)
    }

    /// The sockets that a thread reads: all of them are read by somebody.
    pub(super) fn read_by(&self, thread: usize) -> Vec<usize> {
        let width = self.width();
        let mut seen = std::collections::BTreeMap::new();
        let mut mine = Vec::new();
        for (index, socket) in self.sockets.iter().enumerate() {
            let nth = seen.entry(socket.address).or_insert(0usize);
            if *nth % width == thread {
                mine.push(index);
            }
            *nth += 1;
        }
        mine
    }
}
