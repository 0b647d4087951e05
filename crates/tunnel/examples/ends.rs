//! One end of a tunnel between hosts that know each other from the start:
//!
//! ```sh
//! ends DEVICE MTU QUEUES LISTEN PEER=NET[,NET…]…
//! ends tbu0 1464 2 192.0.2.1:4799 192.0.2.2:4799=10.244.2.0/24
//! ```
//!
//! It prints what it counted when its input ends.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use tombolo_tunnel::{
    Datapath, Device, NetworkEntry, NetworkId, NodeId, PeerEntry, Ports, Socket, Table,
};

const NETWORK: NetworkId = NetworkId(1);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [device, mtu, queues, listen, ways @ ..] = &words[..] else {
        return Err("ends DEVICE MTU QUEUES LISTEN PEER=NET[,NET…]…".into());
    };
    let (mtu, queues, listen): (u16, usize, std::net::SocketAddr) =
        (mtu.parse()?, queues.parse()?, listen.parse()?);
    let (mut peers, mut routes) = (Vec::new(), BTreeMap::new());
    for way in ways {
        let (endpoint, nets) = way
            .split_once('=')
            .ok_or("a peer is ADDRESS:PORT=NET,NET")?;
        for net in nets.split(',') {
            routes.insert(net.parse()?, peers.len());
        }
        peers.push(PeerEntry {
            id: NodeId(endpoint.to_owned()),
            port: listen.port(),
            endpoint: endpoint.parse()?,
            mtu,
            traffic: Arc::default(),
        });
    }
    let ports = Ports {
        devices: vec![Device::open(device, NETWORK, queues)?],
        sockets: Socket::open(listen, queues)?,
    };
    let (datapath, _control) = Datapath::start(ports)?;
    let networks = BTreeMap::from([(NETWORK, NetworkEntry { routes })]);
    datapath.set_table(Arc::new(Table::new(peers, &networks)));
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    println!("{:#?}", datapath.counters());
    Ok(())
}
