//! The nouns of Tombolo: what can exist, how it is named, and when it makes sense.
//!
//! Everything that enters the system, from YAML, JSON, the store or a flag, becomes one of these
//! types at the edge and stays one inside. A value of a type of this crate is valid by
//! construction: a [`Name`] can be part of a store key, an [`IfName`] fits into the kernel, a
//! [`Vni`] has 24 bits.
//!
//! ```text
//!  names, net        small values: names, MAC addresses, MTUs, VNIs, ports, families
//!  selector          which nodes or endpoints: Calico's selector language
//!  resource, kinds   Resource<Spec> with metadata, and one file per kind below kinds/
//!  parse             text (YAML or JSON) → resources, with errors that name file, line and field
//!  world             every resource that exists, by kind: what the planner and IPAM read
//! ```
//!
//! The crate is pure: no I/O, no clock, no randomness.

pub mod kinds;
pub mod names;
pub mod net;
pub mod parse;
pub mod resource;
pub mod selector;
pub mod world;
pub mod write;

pub use kinds::{
    Allocation, BgpConfiguration, BgpFilter, BgpPeer, Block, Endpoint, GlobalNetworkPolicy,
    GlobalNetworkSet, Handle, HostEndpoint, IpPool, IpReservation, Learned, Namespace, Network,
    NetworkPolicy, NetworkSet, Node, Profile, Tier, Token,
};
pub use names::{ContainerId, IfName, Name, NameError};
pub use net::{AddressRange, Family, MacAddr, Mtu, PortMapping, Protocol, Vni};
pub use parse::{Accept, ParseError, ParseErrors, Parsed, Source};
pub use resource::{AnyResource, FieldError, Kind, KindName, Metadata, Resource, ResourceKey};
pub use world::World;
pub use write::{Change, Expected, Write};
