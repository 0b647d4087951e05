//! One file per kind: its spec, its status if it has one, and what makes it valid.

pub mod bgp;
mod block;
mod endpoint;
mod handle;
mod macvlan;
mod network;
mod node;
pub mod policy;
mod pool;
mod reservation;
mod token;

pub use bgp::{BgpConfiguration, BgpFilter, BgpPeer, Learned};
pub use block::{Allocation, Block, Purpose, Sharing};
pub use endpoint::Endpoint;
pub use handle::Handle;
pub use macvlan::{Macvlan, MacvlanMode};
pub(crate) use network::overlap;
pub use network::{Isolation, MtuChoice, Network, TransportSpec};
pub use node::{Node, NodeAddress, NodeBgp, NodeNetworkStatus, NodeStatus};
pub use policy::{
    GlobalNetworkPolicy, GlobalNetworkSet, HostEndpoint, NamedPort, Namespace, NetworkPolicy,
    NetworkSet, Profile, Tier,
};
pub use pool::IpPool;
pub use reservation::IpReservation;
pub use token::{Token, TokenUse};
