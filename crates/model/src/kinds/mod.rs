//! One file per kind: its spec, its status if it has one, and what makes it valid.

pub mod bgp;
mod block;
mod endpoint;
mod fan;
mod handle;
mod network;
mod node;
mod physical;
pub mod policy;
mod pool;
mod reservation;
mod token;

pub use bgp::{BgpConfiguration, BgpFilter, BgpPeer, Learned};
pub use block::{Allocation, Block, Purpose, Sharing};
pub use endpoint::Endpoint;
pub use fan::Fan;
pub use handle::Handle;
pub(crate) use network::overlap;
pub use network::{Isolation, MtuChoice, Network, Tracking, TransportSpec};
pub use node::{Node, NodeAddress, NodeBgp, NodeNetworkStatus, NodeStatus};
pub use physical::{
    Ipvlan, IpvlanFlag, IpvlanMode, Macvlan, MacvlanMode, Physical, PhysicalSort, Vlan,
};
pub use policy::{
    GlobalNetworkPolicy, GlobalNetworkSet, HostEndpoint, NamedPort, Namespace, NetworkPolicy,
    NetworkSet, Profile, Tier,
};
pub use pool::IpPool;
pub use reservation::IpReservation;
pub use token::{Token, TokenUse};
