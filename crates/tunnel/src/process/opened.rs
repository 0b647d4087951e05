//! Devices and sockets as a configuration says: what is missing is opened, what is not wanted closed.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::{Config, Device, NetworkId, Ports, Socket};

/// Makes descriptors fit a configuration. Answers why something of it cannot be had, in words.
pub(super) fn fit(ports: Ports, config: &Config, queues: usize) -> (Ports, Vec<String>) {
    let mut problems = Vec::new();
    let Ports {
        mut devices,
        mut sockets,
    } = ports;
    devices.retain(|device| is_right(device, config));
    for (network, wanted) in &config.networks {
        if devices.iter().any(|device| device.network == *network) {
            continue;
        }
        match Device::open(&wanted.device, *network, queues) {
            Ok(device) => devices.push(device),
            Err(error) => problems.push(error.to_string()),
        }
    }
    sockets.retain(|socket| config.listen.contains(&socket.address));
    let there: BTreeSet<SocketAddr> = sockets.iter().map(|socket| socket.address).collect();
    for address in config.listen.difference(&there) {
        match Socket::open(*address, queues) {
            Ok(opened) => sockets.extend(opened),
            Err(error) => problems.push(error.to_string()),
        }
    }
    (Ports { devices, sockets }, problems)
}

/// Whether descriptors are all that a configuration asks for.
pub(super) fn fits(ports: &Ports, config: &Config) -> bool {
    let devices: BTreeSet<NetworkId> = ports.devices.iter().map(|d| d.network).collect();
    let sockets: BTreeSet<SocketAddr> = ports.sockets.iter().map(|s| s.address).collect();
    ports.devices.iter().all(|device| is_right(device, config))
        && config.networks.keys().eq(devices.iter())
        && config.listen == sockets
}

/// Whether a device is still there, under the name that it should have.
fn is_right(device: &Device, config: &Config) -> bool {
    let wanted = config.networks.get(&device.network);
    wanted.is_some_and(|wanted| device.name().is_ok_and(|name| name == wanted.device))
}
